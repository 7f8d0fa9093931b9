"""Which results switch identity, and when: the single events behind the column ``IDs``."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from .protocol import MIN_OVERLAP, Rules, frames, prepare

COLUMNS = ["frame", "object", "before", "after"]


def identity_switches(gt: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The identity switches of one sequence under the protocol ``motchallenge``: a row each, of int64.

    In ``frame`` the ground-truth id ``object`` is matched by the result id ``after``; at its last match,
    however long ago, it was by ``before``. Sorted by frame and object; as many rows as ``evaluation``'s IDs.

    ``gt`` and ``results`` as ``evaluation.evaluate_sequence`` takes them; raises as it does. The rule is
    CLEAR-MOT's as TrackEval applies it: matches of the frame before go on while they overlap by half, and all
    others are chosen for the greatest overlap.
    """
    gt, results = prepare(gt, results, Rules.of())
    numbers, objects, ids = gt["frame"].to_numpy(), gt["id"].to_numpy(), results["id"].to_numpy()
    rows: list[tuple[int, int, int, int]] = []
    last: dict[int, int] = {}  # each object's last match
    before: dict[int, int] = {}  # of these, the ones in the frame before
    for here, found, overlap in frames(gt, results):
        if overlap.size:  # else there is nothing to match, and for TrackEval no frame
            pairs = _match(overlap, objects[here], ids[found], before)
            switched = [(key, last[key], now) for key, now in pairs.items() if last.get(key, now) != now]
            rows += [(numbers[here.start], *switch) for switch in switched]
            before = pairs
            last |= pairs
    table = pd.DataFrame(np.array(rows, dtype=np.int64).reshape(-1, len(COLUMNS)), columns=COLUMNS)
    return table.sort_values(["frame", "object"], ignore_index=True)


def _match(
    overlap: np.ndarray, objects: np.ndarray, ids: np.ndarray, before: dict[int, int]
) -> dict[int, int]:
    """Object -> result of one frame, from the overlaps (objects, results) and the frame before's matches."""
    continued = np.array([before.get(key, np.nan) for key in objects.tolist()])[:, None] == ids
    score = np.where(overlap < MIN_OVERLAP, 0.0, 1000.0 * continued + overlap)
    rows, columns = linear_sum_assignment(score, maximize=True)
    matched = score[rows, columns] > 0
    return dict(zip(objects[rows[matched]].tolist(), ids[columns[matched]].tolist(), strict=True))
