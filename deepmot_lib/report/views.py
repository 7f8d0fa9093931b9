"""What of a table is seen at once, and what is folded below it.

Where data, split and protocol are the paper's, its numbers stand beside ours. Else the effects do, what a row
has more than the first one; the two tables are folded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from .document import Table
from .effects import effects
from .markdown import escape
from .tables import keys, side

#: More rows than these are folded.
MOST_ROWS = 30
#: A table of more columns than these shows the main ones of its kind first.
MOST_COLUMNS = 8
_MAIN = (
    ("difference", "low", "high", "verdict", "MOTA"),
    ("MOTA", "IDF1", "IDS", "IDs", "HOTA"),
    ("steps", "WA", "low", "high", "gain", "gain low", "gain high"),
    ("WA", "WA unseen", "MA", "SA"),
)
# Columns of numbers that fit across a printed page.
_ACROSS = 15


class View(NamedTuple):
    """Some columns and rows of a table.

    Attributes:
        caption: What it shows, Markdown; empty where the table's own text says it.
        frame: The columns and rows.
        kind: "values", "effects" (with a sign; none is the best), or "beside" (the paper's and ours are alike
            in data, split and protocol: their difference is better or worse).
    """

    caption: str
    frame: pd.DataFrame
    kind: str = "values"


class Views(NamedTuple):
    """What is seen of a table at once, and what is folded under a summary."""

    seen: list[View]
    folded: list[View]
    summary: str


def views(table: Table) -> Views:
    """Return what is seen of a table, and what is folded.

    Args:
        table: The table.

    Returns:
        The folded views hold all cells of the table, unless those that are seen do.
    """
    frame = table.frame
    theirs, ours = side(frame, "paper"), side(frame, "ours")
    if theirs.columns.empty or table.like_with_like:
        return _of_one(frame, "values" if theirs.columns.empty else "beside")
    printed = frame[theirs.notna().any(axis=1)].drop(columns=_all_but_keys(frame, "paper"))
    papers = View("The paper's:", _plain(printed))
    if ours.isna().all(axis=None):
        return Views([], [papers], "the paper's numbers")
    run = frame[ours.notna().any(axis=1)].drop(columns=theirs.columns)
    measured = _plain(run)
    against = effects(frame, keys(frame), table.within)
    has_effect = against.frame.select_dtypes("number").notna().any(axis=1)
    caption = f"Effects: what a row has more than {_in_words(against.against)}, the paper's beside ours."
    seen = [
        View(caption, against.frame[has_effect].reset_index(drop=True), "effects"),
        View("Ours:", main_columns(measured)),
    ]
    return Views(seen, [papers, View("Ours:", measured)], "the two tables, all columns")


def main_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the keys and the main measures of a wide table, with their spreads; a narrow one as it is."""
    if len(frame.columns) <= MOST_COLUMNS:
        return frame
    for measures in _MAIN:
        if not any(_measure(name) == measures[0] for name in frame):
            continue
        main = [name for measure in measures for name in frame if _measure(name) == measure]
        return frame[[*keys(frame), *dict.fromkeys(main)]]
    return frame


def _of_one(frame: pd.DataFrame, kind: str) -> Views:
    """Return the main columns of a table, of sequences their total, and the whole below."""
    if "sequence" in frame and (overall := frame["sequence"] == "OVERALL").any():
        first = main_columns(frame[overall].reset_index(drop=True))
    else:
        first = main_columns(frame)
    if len(first) > MOST_ROWS:
        return Views([], [View("", frame, kind)], f"{len(frame)} rows")
    if first.shape == frame.shape:
        return Views([View("", frame, kind)], [], "")
    return Views([View("", first, kind)], _across(frame, kind), f"all {len(frame)} rows, all columns")


def _across(frame: pd.DataFrame, kind: str) -> list[View]:
    """Return a table in as few parts as fit across a printed page, each with its keys."""
    names = keys(frame)
    rest = [name for name in frame if name not in names]
    size = math.ceil(len(rest) / math.ceil(len(rest) / _ACROSS))
    return [
        View("", frame[[*names, *rest[start : start + size]]], kind) for start in range(0, len(rest), size)
    ]


def _measure(name: object) -> str:
    """Return the measure of a column: MOTA of ``MOTA (paper)`` and ``MOTA std``."""
    return str(name).removesuffix(" (paper)").removesuffix(" (ours)").removesuffix(" std")


def _all_but_keys(frame: pd.DataFrame, name: str) -> list[str]:
    """Return the columns that are neither keys nor of that side."""
    columns = map(str, frame)
    return [column for column in columns if column not in keys(frame) and not column.endswith(f" ({name})")]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Rename ``X (paper)`` or ``X (ours)`` to X."""
    return frame.rename(
        columns=lambda name: name.removesuffix(" (paper)").removesuffix(" (ours)")
    ).reset_index(drop=True)


def _in_words(names: list[str]) -> str:
    """Join the names of rows; several are those of groups."""
    names = list(map(escape, names))
    return f"*{names[0]}*" if len(names) == 1 else f"the first of its group ({', '.join(names)})"
