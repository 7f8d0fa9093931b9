"""The comparison in docs/results.md, from Table 1 of reports/standard.

``python -m deepmot_lib.report.results`` updates it; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..data.files import atomic
from ..experiments.tables import read
from .tables import narrow, to_markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
_START, _END = "<!-- headline -->\n", "<!-- /headline -->"


def headline(table1: pd.DataFrame) -> str:
    """Format the main columns of Table 1 as Markdown, ours with the standard deviation over seeds.

    Args:
        table1: Table 1 with the columns of the paper and ours (``tables.beside``).

    Returns:
        The table.
    """
    rows = table1.assign(row=table1["training"] + " " + table1["method"])
    shown = narrow(rows, ["row"], {"MOTA": 1, "IDF1": 1, "IDS": 0})
    return to_markdown(shown.rename(columns={"row": ""}))


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
