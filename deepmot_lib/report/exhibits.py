"""What a notebook shows of its numbers.

A banner where they are no evidence, narrow tables, a line in place of an exhibit that a profile leaves empty,
and what ``reports/standard`` has published.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..experiments.settings import Settings
from ..experiments.tables import read
from .prose import say
from .tables import in_words, side, texts, to_markdown

#: The published evidence of the checkout.
PUBLISHED = Path(__file__).parents[2] / "reports" / "standard"
#: That of the comparison on rendered scenes (notebook 13).
RENDERED = PUBLISHED.with_name("rendered")
#: Columns that fit on a page.
MOST_COLUMNS = 8

_PUBLISHED_PAGE = "[`reports/standard`](../reports/standard/REPORT.md)"
_SAID_OF_PUBLISHED = ("data", "split", "protocol", "seeds", "device", "commit")


def banner(settings: Settings) -> None:
    """Display a warning where the numbers of a profile are no evidence; nothing where they are."""
    if not settings.evidence:
        say(
            f"> **No evidence.** The numbers of the profile `{settings.name}` come from minutes on small "
            f"rendered data; they show that everything runs. What may be quoted is in {_PUBLISHED_PAGE}."
        )


def show(
    frame: pd.DataFrame,
    columns: Sequence[str] = (),
    caption: str = "",
    decimals: int = 2,
    folded: pd.DataFrame | None = None,
) -> None:
    """Display a table of at most eight columns; what else it has is folded below.

    Fractions are rounded, counts are whole, and what was not run is an empty cell.

    Args:
        frame: The table. An index that has a name becomes columns.
        columns: Those to be seen at once; by default the first eight.
        caption: Markdown above it.
        decimals: Of fractions.
        folded: The table to fold below it; by default the same where it has more columns.

    Raises:
        ValueError: more than eight columns are to be seen at once.
    """
    from IPython.display import display

    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    seen = list(columns) or list(frame)[:MOST_COLUMNS]
    if len(seen) > MOST_COLUMNS:
        raise ValueError(f"{len(seen)} columns do not fit on a page: name at most {MOST_COLUMNS}")
    written = _written(frame[seen], decimals)
    html = _html(written)
    if folded is None and len(seen) < len(frame.columns):
        folded = frame
    if folded is not None:
        whole = _html(_written(folded, decimals))
        html += f"<details><summary>all {len(folded.columns)} columns</summary>{whole}</details>"
    if caption:
        say(caption)
    display({"text/html": html, "text/plain": to_markdown(written)}, raw=True)


def only_run(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the paper's table that have numbers of ours, and display which are left out.

    Args:
        table: As ``tables.beside`` makes it.
        keys: The columns that name a row.
    """
    run = side(table, "ours").notna().any(axis=1)
    if not run.all():
        names = "; ".join(" ".join(map(str, row)) for row in table.loc[~run, list(keys)].to_numpy())
        say(f"*{(~run).sum()} of {len(table)} rows were not run in this profile and are hidden: {names}.*")
    return table[run].reset_index(drop=True)


def enough(found: int, least: int, what: str) -> bool:
    """Return whether there is enough of something for an exhibit; display a line in its place if not.

    Args:
        found: How many there are.
        least: How many the exhibit takes.
        what: What is counted, in the plural: "steps of the training curve".
    """
    if found < least:
        say(f"*Hidden: this profile leaves {found} {what}; from {least} on they are shown.*")
    return found >= least


def published(name: str, folder: Path = PUBLISHED) -> pd.DataFrame | None:
    """Read a table of ``reports/standard``, and display what it was made from.

    Args:
        name: Its file's name without suffix: "table1".
        folder: The published report.

    Returns:
        The table; None, with a line that says so, where it is not published.
    """
    try:
        frame, made_from = read(folder / "tables" / f"{name}.csv")
    except FileNotFoundError:
        say(f"*{_named(folder)} has no table `{name}` yet.*")
        return None
    say(f"*From {_named(folder)}: {_origin(made_from)}.*")
    return frame


def published_figure(name: str, folder: Path = PUBLISHED) -> None:
    """Display a figure of ``reports/standard``, or a line that says that there is none.

    Args:
        name: Its file's name without suffix: "fig8".
        folder: The published report.
    """
    from IPython.display import Image, display

    file = folder / "figures" / f"{name}.png"
    if not file.is_file():
        say(f"*{_named(folder)} has no figure `{name}` yet.*")
        return
    say(f"*From {_named(folder)}, figure `{name}`.*")
    display(Image(data=file.read_bytes()))


def _named(folder: Path) -> str:
    """Name a published report, with a link to its page where it has one."""
    if (folder / "REPORT.md").is_file():
        return f"[`reports/{folder.name}`](../reports/{folder.name}/REPORT.md)"
    return f"`reports/{folder.name}`"


def _origin(made_from: dict[str, Any]) -> str:
    known = (key for key in _SAID_OF_PUBLISHED if made_from.get(key) is not None)
    return "; ".join(f"{key}: {in_words(made_from[key])}" for key in known)


def _written(frame: pd.DataFrame, decimals: int) -> pd.DataFrame:
    return pd.DataFrame({name: texts(frame[name], decimals) for name in frame})


def _html(written: pd.DataFrame) -> str:
    return str(written.to_html(index=False, border=0))
