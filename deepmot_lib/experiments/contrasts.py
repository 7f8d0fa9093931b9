"""Differences between trained trackers, with 95 % intervals, from the errors that their runs have left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .. import paper
from ..data.files import visible
from ..evaluation.intervals import BLOCK_MEASURES, NOTHING, Difference, difference
from . import rows, tables
from .settings import TrackerRun


def contrast(folder: Path, first: TrackerRun, second: TrackerRun, measure: str) -> Difference:
    """Return what a second run has more of a measure than a first one, over all seeds of each.

    Args:
        folder: A folder of tables with the ``blocks_*.csv`` of the runs.
        first: A run; its seed does not count.
        second: Another one.
        measure: One of ``intervals.BLOCK_MEASURES``.

    Returns:
        The difference, ``NOTHING`` where either has not been made.
    """
    before, after = _errors(folder, first), _errors(folder, second)
    return NOTHING if before.empty or after.empty else difference(before, after, measure)


def table(folder: Path, number: int, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Compare rows of Table 1, 2 or 3: what the first of each pair has more than the second.

    Args:
        folder: As for :func:`contrast`.
        number: The table's number.
        pairs: Names of rows, their keys joined by a space; pairs with a row that was not run are left out.

    Returns:
        Columns ``row``, ``against``, and of each measure (``MOTA`` and ``IDF1`` in points, ``IDs`` by 1,000
        ground-truth boxes) ``X (paper)``, ``X (ours)``, ``X low`` and ``X high``; last ``seeds``, of both.
    """
    runs = {" ".join(name): TrackerRun._make((*run, 0)) for name, run in rows.TABLES[number].items()}
    found = []
    for one, other in pairs:
        after, before = _errors(folder, runs[one]), _errors(folder, runs[other])
        if before.empty or after.empty:
            continue
        line: dict[str, object] = {"row": one, "against": other}
        for measure in BLOCK_MEASURES:
            ours = difference(before, after, measure)
            line[f"{measure} (paper)"] = _printed(number, measure, one) - _printed(number, measure, other)
            line |= {
                f"{measure} (ours)": ours.effect,
                f"{measure} low": ours.low,
                f"{measure} high": ours.high,
            }
        counts = dict.fromkeys(str(errors["seed"].nunique()) for errors in (after, before))
        found.append(line | {"seeds": " and ".join(counts)})
    parts = [
        f"{measure} {part}" for measure in BLOCK_MEASURES for part in ("(paper)", "(ours)", "low", "high")
    ]
    return pd.DataFrame(found, columns=["row", "against", *parts, "seeds"])


def _errors(folder: Path, run: TrackerRun) -> pd.DataFrame:
    """The errors of a run's seeds by blocks of frames, none where it has not been made."""
    name = run.label.removesuffix(str(run.seed))
    parts = [tables.read(file)[0] for file in visible(folder, f"blocks_{name}*.csv")]
    return pd.concat(parts) if parts else pd.DataFrame()


def _printed(number: int, measure: str, row: str) -> float:
    """The paper's value of a row, NaN where it has none."""
    printed = paper.table(number)
    named = printed.set_index(printed[list(paper.KEYS[number])].agg(" ".join, axis=1))
    if measure != "IDs":
        return float(named[measure].get(row, float("nan")))
    return float(named["IDS"].get(row, float("nan"))) * 1000 / paper.BOXES
