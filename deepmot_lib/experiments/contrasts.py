"""Differences between trained trackers, with 95 % intervals, from the errors that their runs have left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from .. import paper
from ..data.files import visible
from ..evaluation.intervals import BLOCK_MEASURES, NOTHING, Difference, difference
from . import rows, tables
from .settings import DEEPMOT, DHN, TrackerRun


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


def of_table(folder: Path, number: int, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
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
    printed = paper.table(number)
    printed = printed.set_index(printed[list(paper.KEYS[number])].agg(" ".join, axis=1))
    return _compare(folder, runs, pairs, printed.assign(IDs=printed["IDS"] * 1000 / paper.BOXES))


def of_matchers(folder: Path, names: Iterable[str]) -> pd.DataFrame:
    """Compare Tracktor trained by Eq. 9 through the paper's matcher with that through each other one.

    Args:
        folder: As for :func:`contrast`.
        names: The matchers.

    Returns:
        As :func:`of_table`; the paper has no such rows.
    """
    runs = {name: TrackerRun("tracktor", DEEPMOT, "head", name) for name in (DHN, *names)}
    return _compare(folder, runs, [(DHN, name) for name in names if name != DHN], pd.DataFrame())


def _compare(
    folder: Path, runs: Mapping[str, TrackerRun], pairs: Iterable[tuple[str, str]], printed: pd.DataFrame
) -> pd.DataFrame:
    """Compare pairs of named runs; ``printed`` has the paper's measures by the same names, if any."""
    parts = [
        f"{measure} {part}" for measure in BLOCK_MEASURES for part in ("(paper)", "(ours)", "low", "high")
    ]
    found = []
    for one, other in pairs:
        after, before = _errors(folder, runs[one]), _errors(folder, runs[other])
        if before.empty or after.empty:
            continue
        known = {one, other} <= set(printed.index)
        line: dict[str, object] = {"row": one, "against": other}
        for measure in BLOCK_MEASURES:
            ours = difference(before, after, measure)
            effect = printed[measure][one] - printed[measure][other] if known else float("nan")
            values = (effect, ours.effect, ours.low, ours.high)
            line |= dict(zip([name for name in parts if name.startswith(measure)], values, strict=True))
        counts = dict.fromkeys(str(errors["seed"].nunique()) for errors in (after, before))
        found.append(line | {"seeds": " and ".join(counts)})
    return pd.DataFrame(found, columns=["row", "against", *parts, "seeds"])


def _errors(folder: Path, run: TrackerRun) -> pd.DataFrame:
    """The errors of a run's seeds by blocks of frames, none where it has not been made."""
    name = run.label.removesuffix(str(run.seed))
    parts = [tables.read(file)[0] for file in visible(folder, f"blocks_{name}*.csv")]
    return pd.concat(parts) if parts else pd.DataFrame()
