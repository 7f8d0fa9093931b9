"""The single identity switches that the column ``IDs`` counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .protocol import MIN_OVERLAP, Rules, frames, prepare

COLUMNS = ["frame", "object", "before", "after"]


def identity_switches(gt: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Find the identity switches of one sequence under the protocol ``motchallenge``.

    The rule is CLEAR-MOT's as implemented by TrackEval: matches of the frame before are kept while their IoU
    is at least 0.5, and all others maximize the sum of IoU.

    Args:
        gt: Ground truth, as for ``evaluation.evaluate_sequence``.
        results: Results, likewise.

    Returns:
        One row per switch, sorted by frame and object, all int64: the ``frame``, the ground-truth id
        ``object``, the result id ``before`` of its last match, however long ago, and ``after`` of this one.
    """
    gt, results = prepare(gt, results, Rules.of())
    numbers, objects, ids = gt["frame"].to_numpy(), gt["id"].to_numpy(), results["id"].to_numpy()
    rows: list[tuple[int, int, int, int]] = []
    last: dict[int, int] = {}  # each object's last match
    before: dict[int, int] = {}  # of these, the ones in the frame before
    for here, found, overlap in frames(gt, results):
        if overlap.size:  # TrackEval skips frames without objects or results
            pairs = _match(overlap, objects[here], ids[found], before)
            switched = [(key, last[key], now) for key, now in pairs.items() if last.get(key, now) != now]
            rows += [(numbers[here.start], *switch) for switch in switched]
            before = pairs
            last |= pairs
    table = pd.DataFrame(np.array(rows, dtype=np.int64).reshape(-1, len(COLUMNS)), columns=COLUMNS)
    return table.sort_values(["frame", "object"], ignore_index=True)


def _match(
    overlap: NDArray[np.floating], objects: NDArray[np.int64], ids: NDArray[np.int64], before: dict[int, int]
) -> dict[int, int]:
    """Match a frame's objects with results, given their IoU and the matches of the frame before."""
    continued = np.array([before.get(key, np.nan) for key in objects.tolist()])[:, None] == ids
    score = np.where(overlap < MIN_OVERLAP, 0.0, 1000.0 * continued + overlap)
    rows, columns = linear_sum_assignment(score, maximize=True)
    matched = score[rows, columns] > 0
    return dict(zip(objects[rows[matched]].tolist(), ids[columns[matched]].tolist(), strict=True))
