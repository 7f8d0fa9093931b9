"""Runs every benchmark of this folder and prints one table: python -m benchmarks.run

Returns 1 where a target is missed. On a busy machine run it again before believing a miss.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pandas as pd

from benchmarks import Ratio
from deepmot_lib.experiments import tables
from deepmot_lib.report.tables import to_markdown


def table(ratios: list[Ratio]) -> str:
    """The ratios as a Markdown table, in the order given."""
    rows = [
        {
            "what": ratio.what,
            "ratio": f"{ratio.ratio:.2f}",
            "target": f"at {'least' if ratio.higher_is_better else 'most'} {ratio.target:g}",
            "met": "yes" if ratio.is_met else "no",
        }
        for ratio in ratios
    ]
    return to_markdown(pd.DataFrame(rows, columns=["what", "ratio", "target", "met"]))


def main() -> int:
    """Runs the benchmarks one after the other, by name; 0 if all targets are met, else 1."""
    ratios: list[Ratio] = []
    for file in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"{file.stem} ...", file=sys.stderr, flush=True)
        ratios += importlib.import_module(f"benchmarks.{file.stem}").run()
    print(f"Device: {tables.device_name()}. Commit: {tables.commit()}.\n")
    print(table(ratios), end="")
    return 0 if all(ratio.is_met for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
