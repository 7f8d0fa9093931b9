"""The README's comparison, out of reports/standard: ``python -m deepmot_lib.report.readme`` puts it there.

A test holds the two together.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..data.files import atomic
from ..experiments.tables import read
from .tables import to_markdown

ROOT = Path(__file__).parents[2]
_START, _END = "<!-- headline -->\n", "<!-- /headline -->"


def headline(table1: pd.DataFrame) -> str:
    """Table 1 with ours beside the paper's (``tables.beside``) in few columns, as Markdown; ours with the
    deviation over seeds, where there are several."""
    shown = pd.DataFrame({"": table1["training"] + " " + table1["method"]})
    for measure, decimals in (("MOTA", 1), ("IDF1", 1), ("IDS", 0)):
        for side in ("paper", "ours"):
            shown[f"{measure}, {side}"] = _texts(table1[f"{measure} ({side})"], decimals)
        shown[f"{measure}, ours"] += _texts(table1[f"{measure} std"], decimals, " ± ")
    return to_markdown(shown)


def _texts(values: pd.Series, decimals: int, before: str = "") -> pd.Series:
    return values.map(lambda value: "" if pd.isna(value) else f"{before}{value:.{decimals}f}")


def with_headline(text: str, table: str) -> str:
    """The README's text with that table between its marks."""
    before, _, rest = text.partition(_START)
    return before + _START + "\n" + table + "\n" + _END + rest.partition(_END)[2]


def main() -> None:
    """Rewrites README.md."""
    table1, _ = read(ROOT / "reports" / "standard" / "tables" / "table1.csv")
    readme = ROOT / "README.md"
    with atomic(readme) as temporary:
        temporary.write_text(with_headline(readme.read_text(), headline(table1)))


if __name__ == "__main__":
    main()
