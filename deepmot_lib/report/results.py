"""The comparison in docs/results.md, from Table 1 of reports/standard.

``python -m deepmot_lib.report.results`` updates it; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..data.files import atomic
from ..experiments.tables import read
from .effects import effects
from .tables import difference, narrow, to_markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
_START, _END = "<!-- headline -->\n", "<!-- /headline -->"


def headline(table1: pd.DataFrame) -> str:
    """Format the main columns of Table 1 as Markdown.

    Args:
        table1: Table 1 with the columns of the paper and ours (``tables.beside``).

    Returns:
        A table of ours with the standard deviation over seeds, and effects against the first row, the paper's
        beside ours.
    """
    keys = ["training", "method"]
    measured = narrow(table1, keys, {"MOTA": 1, "IDF1": 1, "IDS": 0})
    shown = pd.DataFrame({"": measured["training"] + " " + measured["method"]})
    for measure in ("MOTA", "IDF1", "IDS"):
        shown[measure] = measured[f"{measure}, ours"]
    found = effects(table1, keys).frame
    found = found.set_index(found.columns[0])
    for name, decimals in {"MOTA": 1, "IDF1": 1, "IDS %": 0}.items():
        for side in ("paper", "ours"):
            changes = found[f"{name} ({side})"].reindex(shown[""])
            shown[f"Δ {name}, {side}"] = [difference(change, decimals) for change in changes]
    return to_markdown(shown)


def with_headline(text: str, table: str) -> str:
    """Return the page's text with the table between its markers."""
    before, _, rest = text.partition(_START)
    return before + _START + "\n" + table + "\n" + _END + rest.partition(_END)[2]


def main() -> None:
    """Update docs/results.md."""
    table1, _ = read(ROOT / "reports" / "standard" / "tables" / "table1.csv")
    with atomic(PAGE) as temporary:
        temporary.write_text(with_headline(PAGE.read_text(), headline(table1)))


if __name__ == "__main__":
    main()
