"""The tables of README.md and docs/results.md that hold measured numbers, from reports/.

``python -m deepmot_lib.report.results`` updates them; a test compares the pages with the reports' tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..data.files import atomic
from ..experiments.tables import read
from . import verdicts
from .document import Link
from .effects import effects
from .tables import difference, narrow, to_markdown

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")


def claims(frame: pd.DataFrame) -> str:
    """Format the paper's claims as Markdown, without the details, each verdict a link to its notebook.

    Args:
        frame: As ``experiments.claims.table`` returns it.
    """
    shown = {
        place: Link("", f"notebooks/{notebook}.ipynb", fragment=heading.replace(" ", "-"))
        for place in frame["shown in"].dropna()
        for notebook, _, heading in [place.partition("#")]
    }
    return verdicts.markdown([one for one in verdicts.judged(frame) if not one.is_detail], shown)


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


_TABLES: dict[str, tuple[str, str, Callable[[pd.DataFrame], str]]] = {
    "claims": ("standard", "claims", claims),
    "headline": ("standard", "table1", headline),
    "rendered": ("rendered", "comparison", rendered),
}


def updated(text: str) -> str:
    """Return a page's text with the reports' tables between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, (profile, table, markdown) in _TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(start)
        if found:
            frame = read(ROOT / "reports" / profile / "tables" / f"{table}.csv")[0]
            text = before + start + "\n" + markdown(frame) + "\n" + end + rest.partition(end)[2]
    return text


def main() -> None:
    """Update the pages."""
    for page in PAGES:
        with atomic(page) as temporary:
            temporary.write_text(updated(page.read_text()))


if __name__ == "__main__":
    main()
