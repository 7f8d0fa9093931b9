"""What makes a pair of distances and assignment a valid one: asked of what is read and of what is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What a gated-out entry holds: a distance no match can bridge (the authors' value).
GATED = 1000.0
_INT16, _INT8 = np.iinfo(np.int16).max, np.iinfo(np.int8).max


def problem_of_pairs(
    shape: NDArray[Any],
    distance: NDArray[Any],
    match: NDArray[Any],
    source: NDArray[Any],
    source_names: Sequence[str] | NDArray[Any],
) -> str:
    """Find the first thing wrong with the arrays of a pair file, as ``pairs`` describes them.

    Args:
        shape: (K, 2).
        distance: (entries of all matrices,), gated entries at ``GATED``.
        match: (rows of all matrices,).
        source: (K,).
        source_names: the names that ``source`` indexes.

    Returns:
        A sentence, empty where nothing is wrong.
    """
    for name, array in (("shape", shape), ("match", match), ("source", source)):
        if array.dtype.kind not in "iu":
            return f"{name!r} must hold integers, not {array.dtype}"
    if distance.dtype.kind not in "iuf":
        return f"'distance' must hold numbers, not {distance.dtype}"
    if shape.ndim != 2 or shape.shape[1] != 2 or (shape < 1).any() or (shape > _INT16).any():
        return f"'shape' must be (K, 2) with sizes from 1 to {_INT16}"
    if any(array.ndim != 1 for array in (distance, match, source)):
        return "'distance', 'match' and 'source' must be flat"
    rows, columns = shape.astype(np.int64).T
    for name, have, expected in (
        ("distance", len(distance), (rows * columns).sum()),
        ("match", len(match), rows.sum()),
        ("source", len(source), len(shape)),
    ):
        if have != expected:
            return f"{name!r} holds {have} values where 'shape' asks for {expected}"
    if len(source_names) > _INT8 + 1 or (source < 0).any() or (source >= len(source_names)).any():
        return f"'source' must index 'source_names', of which there can be {_INT8 + 1}"
    if not _valid(distance):
        return "'distance' holds values that are negative or not finite"
    if ((match < -1) | (match >= np.repeat(columns, rows))).any():
        return "'match' names a column that its matrix does not have"
    return _problem_of_matches(rows, columns, distance, match)


def problem_of_target(distance: NDArray[Any], target: NDArray[Any]) -> str:
    """Find the first thing wrong with a stack of distance matrices and their assignments.

    Args:
        distance: (n, N, M), gated entries at ``GATED``.
        target: (n, N, M), 0 or 1.

    Returns:
        A sentence, empty where nothing is wrong.
    """
    if distance.dtype.kind not in "iuf" or target.dtype.kind not in "biuf":
        return f"numbers expected, not {distance.dtype} and {target.dtype}"
    if not _valid(distance):
        return "a distance is negative or not finite"
    if not np.isin(target, (0, 1)).all():
        return "a target is neither 0 nor 1"
    for name, axis in (("row", 2), ("column", 1)):
        if (target.sum(axis=axis) > 1).any():
            matrix, line = np.argwhere(target.sum(axis=axis) > 1)[0]
            return f"two ones in {name} {line} of the target of matrix {matrix}"
    if ((target == 1) & (distance >= GATED)).any():
        matrix, row, column = np.argwhere((target == 1) & (distance >= GATED))[0]
        return f"the target of matrix {matrix} matches row {row} with column {column}, which is gated out"
    return ""


def _valid(distance: NDArray[Any]) -> bool:
    return bool(((distance >= 0) & (distance <= np.finfo(np.float32).max)).all())


def _problem_of_matches(
    rows: NDArray[np.int64], columns: NDArray[np.int64], distance: NDArray[Any], match: NDArray[Any]
) -> str:
    """A column taken twice in a matrix, or a match that is gated out; matrices count from 0."""
    matrix = np.repeat(np.arange(len(rows)), rows)
    first_row, first_entry = np.cumsum(rows) - rows, np.cumsum(rows * columns) - rows * columns
    matched = np.flatnonzero(match >= 0)
    of, column = matrix[matched], match[matched].astype(np.int64)
    taken = np.sort(of * (_INT16 + 1) + column)
    if (twice := taken[1:] == taken[:-1]).any():
        return f"'match' has two rows of matrix {taken[1:][twice][0] // (_INT16 + 1)} in one column"
    gated = distance[first_entry[of] + (matched - first_row[of]) * columns[of] + column] >= GATED
    return f"'match' takes an entry of matrix {of[gated][0]} that is gated out" if gated.any() else ""
