"""The comparisons in docs/results.md, from Table 1 of reports/standard and from reports/rendered.

``python -m deepmot_lib.report.results`` updates them; a test compares the page with the tables.
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


def rendered(comparison: pd.DataFrame) -> str:
    """Format the comparison of losses on rendered scenes as Markdown.

    Args:
        comparison: As ``comparison_results.results`` returns it.

    Returns:
        A table of each arm's pooled MOTA and IDF1, and of what DeepMOT has more, with 95 % intervals.
    """
    shown = pd.DataFrame({"arm": comparison["arm"]})
    for measure in ("MOTA", "IDF1"):
        shown[measure] = comparison[measure].map("{:.1f}".format)
    for name, before in {"MOTA": "", "IDF1": "IDF1 ", "switches by 1,000 boxes": "IDs "}.items():
        columns = [comparison[f"{before}{part}"] for part in ("difference", "low", "high")]
        shown[f"DeepMOT less the arm, {name}"] = [
            "" if pd.isna(found) else f"{found:+.2f} ({low:+.2f} to {high:+.2f})"
            for found, low, high in zip(*columns, strict=True)
        ]
    shown["verdict on MOTA"] = comparison["verdict"].fillna("")
    return to_markdown(shown)


def tables() -> dict[str, str]:
    """Return the tables of docs/results.md by the name of their markers, those that are published."""
    sources = {"headline": ("standard", "table1", headline), "rendered": ("rendered", "comparison", rendered)}
    files = {
        name: (ROOT / "reports" / profile / "tables" / f"{table}.csv", format_)
        for name, (profile, table, format_) in sources.items()
    }
    return {name: format_(read(file)[0]) for name, (file, format_) in files.items() if file.is_file()}


def updated(text: str) -> str:
    """Return the page's text with the tables between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, table in tables().items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = before + start + "\n" + table + "\n" + end + rest.partition(end)[2]
    return text


def main() -> None:
    """Update docs/results.md."""
    with atomic(PAGE) as temporary:
        temporary.write_text(updated(PAGE.read_text()))


if __name__ == "__main__":
    main()
