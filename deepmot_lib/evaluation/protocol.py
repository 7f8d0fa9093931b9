"""Which boxes count: the protocols, and what the benchmarks of MOTChallenge leave out (docs/evaluation.md).

``motchallenge``
    The official protocol: results that overlap a distractor are dropped, ground truth that is not to be
    evaluated is removed. What a distractor is depends on the benchmark.
``plain``
    No preprocessing, except that ground truth with flag 0 is removed. For MOT15 and own data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackeval.datasets import MotChallenge2DBox

from ..columns import LARGEST, TRACK_COLUMNS, XYXY
from ..data.box_files import PEDESTRIAN

PROTOCOLS = ("motchallenge", "plain")
_MOT16 = (2, 7, 8, 12)  # person on vehicle, static person, distractor, reflection
#: The classes of each benchmark that are no mistake to find, though none to miss. MOT15 has no classes.
DISTRACTORS = {"MOT15": (), "MOT16": _MOT16, "MOT17": _MOT16, "MOT20": (*_MOT16, 6)}  # non-motorized vehicle
DEFAULT_BENCHMARK = "MOT17"
MIN_OVERLAP = 0.5 - np.finfo(float).eps  # of a match, with TrackEval's tolerance


class EvaluationWarning(UserWarning):
    """A sequence none of whose ground truth is evaluated."""


@dataclass(frozen=True)
class Rules:
    """Which boxes of a sequence count.

    Attributes:
        protocol: one of ``PROTOCOLS``.
        classes: of the ground truth that is evaluated; None: all.
        distractors: classes of the ground truth; the results that overlap them are dropped.
    """

    protocol: str
    classes: tuple[int, ...] | None
    distractors: tuple[int, ...]

    @classmethod
    def of(
        cls,
        protocol: str = "motchallenge",
        benchmark: str = DEFAULT_BENCHMARK,
        classes: Iterable[int] | None = None,
    ) -> Rules:
        """Return the rules of a protocol.

        Args:
            protocol: one of ``PROTOCOLS``.
            benchmark: one of ``DISTRACTORS``, whose preprocessing ``motchallenge`` takes.
            classes: those to evaluate (default: pedestrians for ``motchallenge``, but for MOT15, which has no
                classes; all for ``plain``).

        Raises:
            ValueError: an unknown protocol or benchmark, no classes.
        """
        for name, value, known in (("protocol", protocol, PROTOCOLS), ("benchmark", benchmark, DISTRACTORS)):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")
        official = protocol == "motchallenge"
        counting: tuple[int, ...] | None = (PEDESTRIAN,) if official and benchmark != "MOT15" else None
        if classes is not None:
            counting = tuple(classes)
            if not counting:
                raise ValueError("classes must name one at least")
        dropped = set(DISTRACTORS[benchmark]) - set(counting or ()) if official else set()
        return cls(protocol, counting, tuple(sorted(dropped)))

    def evaluated(self, gt: pd.DataFrame) -> NDArray[np.bool_]:
        """Tell which rows of a ground truth are evaluated.

        Args:
            gt: may have the columns conf (the flag, else 1) and cls (else pedestrian).

        Returns:
            bool, one per row.
        """
        flag, cls = _column(gt, "conf", 1), _column(gt, "cls", PEDESTRIAN)
        return (flag != 0) & (True if self.classes is None else np.isin(cls, self.classes))

    def why_nothing(self, gt: pd.DataFrame) -> str:
        """Say why no row of a ground truth is evaluated, and what would help; empty where one is.

        Args:
            gt: as for ``evaluated``.
        """
        if self.evaluated(gt).any():
            return ""
        if gt.empty:
            return "there is no ground truth in the frames to evaluate"
        none = f"none of its {len(gt)} ground-truth rows is evaluated under the protocol {self.protocol}"
        flagged = gt[_column(gt, "conf", 1) != 0]
        if flagged.empty:
            return f"{none}: all have the flag 0 (column 7), not to be evaluated"
        found, rows = np.unique(_column(flagged, "cls", PEDESTRIAN), return_counts=True)
        there = ", ".join(f"{rows} of class {cls}" for cls, rows in zip(found, rows, strict=True))
        count = " and ".join(map(str, self.classes or ()))
        return (
            f"{none}, where class {count} counts: there are {there}; --classes {' '.join(map(str, found))} "
            f"evaluates these, --protocol plain every class"
        )


def benchmark_of(name: str) -> str | None:
    """Tell the benchmark of a sequence by its name.

    Args:
        name: such as ``MOT20-01`` or ``MOT17-02-SDP``.

    Returns:
        One of ``DISTRACTORS``, None where the name tells none.

    Example:
        >>> benchmark_of("MOT20-01"), benchmark_of("street")
        ('MOT20', None)
    """
    found = re.match(r"MOT(15|16|17|20)(?!\d)", name)
    return found[0] if found else None


def prepare(gt: pd.DataFrame, results: pd.DataFrame, rules: Rules) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Select the ground truth and the results of a sequence that count.

    Args:
        gt: the columns ``TRACK_COLUMNS`` and, if any, conf and cls.
        results: the columns ``TRACK_COLUMNS``.
        rules: which count.

    Returns:
        Ground truth and results, sorted by frame and id.

    Raises:
        ValueError: a missing column, a coordinate that is not finite or too large, an id that comes twice in
            a frame.
    """
    gt, results = _checked(gt, "ground truth"), _checked(results, "results")
    if rules.distractors:
        results = results[~_on_distractors(gt, results, rules.distractors)]
    return gt[rules.evaluated(gt)], results


def frames(gt: pd.DataFrame, results: pd.DataFrame) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Go through the frames of a sequence that have any box.

    Args:
        gt: sorted by frame.
        results: sorted by frame.

    Yields:
        The frame's rows in both tables, and their overlaps (objects, results).
    """
    columns = [table["frame"].to_numpy() for table in (gt, results)]
    numbers = np.union1d(*columns)
    starts, ends = (
        [np.searchsorted(column, numbers, side) for column in columns] for side in ("left", "right")
    )
    gt_boxes, result_boxes = (table[XYXY].to_numpy(float) for table in (gt, results))
    for a, b, c, d in zip(starts[0], ends[0], starts[1], ends[1], strict=True):
        overlap = MotChallenge2DBox._calculate_box_ious(
            gt_boxes[a:b], result_boxes[c:d], box_format="x0y0x1y1"
        )
        yield slice(a, b), slice(c, d), overlap


def _column(gt: pd.DataFrame, name: str, default: float) -> NDArray[Any]:
    return gt[name].to_numpy() if name in gt else np.full(len(gt), default)


def _checked(boxes: pd.DataFrame, what: str) -> pd.DataFrame:
    """The boxes sorted by frame and id: the measures must not depend on the order of the rows."""
    if missing := [name for name in TRACK_COLUMNS if name not in boxes]:
        raise ValueError(f"the {what} lack the columns {', '.join(missing)}")
    if not np.isfinite(boxes[TRACK_COLUMNS].to_numpy(float)).all():
        raise ValueError(f"the {what} hold a number that is not finite")
    if (boxes[XYXY].abs() > LARGEST).any(axis=None):
        raise ValueError(f"the {what} hold a coordinate larger than {LARGEST:g} px")
    boxes = boxes.sort_values(["frame", "id"])
    twice = boxes.duplicated(["frame", "id"])
    if twice.any():
        frame, identity = boxes.loc[twice, ["frame", "id"]].iloc[0]
        raise ValueError(f"the {what} hold id {identity} twice in frame {frame}")
    return boxes


def _on_distractors(gt: pd.DataFrame, results: pd.DataFrame, classes: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which results the official preprocessing drops.

    In each frame they are assigned to the ground truth of every class and flag (greatest overlap, at least
    0.5); those assigned to a distractor go.
    """
    distractor = np.isin(_column(gt, "cls", PEDESTRIAN), classes)
    drop = np.zeros(len(results), dtype=bool)
    # Only where there is one does it matter what is assigned to what.
    here, there = (table["frame"].isin(gt["frame"][distractor]).to_numpy() for table in (gt, results))
    gt, results, distractor, rows_of = gt[here], results[there], distractor[here], np.flatnonzero(there)
    for objects, found, overlap in frames(gt, results):
        overlap = np.where(overlap < MIN_OVERLAP, 0.0, overlap)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        matched = columns[(overlap[rows, columns] > 0) & distractor[objects][rows]]
        drop[rows_of[found.start + matched]] = True
    return drop
