"""Hand-made frames for the notebooks, small enough to count false positives, misses and switches by eye."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import motmetrics
import numpy as np
import torch
from torch import Tensor

from ..boxes import from_centers
from ..loss import DeepMOTLoss
from .gradients import Frame

#: (height, width) [px] of all frames below.
IMAGE_SIZE = (240, 320)


def _frame(tracks: Mapping[int, Sequence[float]], objects: Mapping[int, Sequence[float]]) -> Frame:
    """Build a frame from boxes by identity, each (center x, center y[, width=50, height=120]) [px]."""
    return Frame(_boxes(tracks.values()), list(tracks), _boxes(objects.values()), list(objects))


def _boxes(group: Iterable[Sequence[float]]) -> Tensor:
    """Return the boxes (K, 4), xyxy [px]."""
    rows = torch.tensor([(*box, 50, 120)[:4] for box in group], dtype=torch.float32).reshape(-1, 4)
    return from_centers(rows[:, :2], rows[:, 2:])


def three_frames() -> list[Frame]:
    """Return a clip with a miss, then two switched tracks and a false positive.

    Counted by eye: FP 0, 0, 1; FN 0, 1, 0; IDS 0, 0, 2. Track 3 is new in the last frame, so its match is no
    switch.
    """
    return [
        _frame({1: (61, 120), 2: (158, 119)}, {1: (60, 120), 2: (160, 120)}),
        _frame({1: (76, 120), 2: (143, 121)}, {1: (75, 120), 2: (145, 120), 3: (255, 130)}),
        _frame(
            {1: (142, 121), 2: (79, 119), 3: (248, 129), 4: (288, 52, 30, 60)},
            {1: (80, 120), 2: (140, 120), 3: (250, 130)},
        ),
    ]


def fig9() -> dict[str, list[Frame]]:
    """Return the three cases of Fig. 9, as clips whose last frame has the error.

    ``FP``: track 1 has no object, and is near one that has a track. ``FN``: an object without a track is near
    one with a track. ``IDS``: two people pass each other and the tracks are exchanged.
    """
    passed = {1: (130, 120), 2: (190, 124)}
    return {
        "FP": [_frame({1: (250, 112), 2: (90, 118), 3: (200, 124)}, {1: (80, 120), 2: (208, 120)})],
        "FN": [_frame({1: (79, 123), 2: (194, 114)}, {1: (80, 120), 2: (184, 120), 3: (240, 126)})],
        "IDS": [
            _frame({1: (67, 122), 2: (252, 119)}, {1: (66, 122), 2: (254, 118)}),
            _frame({1: (184, 117), 2: (136, 126)}, passed),
        ],
    }


class Matched(NamedTuple):
    """The identities in a frame: its tracks, its objects, and the matched pairs (track, object)."""

    tracks: Sequence[int]
    objects: Sequence[int]
    pairs: Sequence[tuple[int, int]]


def switch_cases() -> dict[str, list[Matched]]:
    """Return the cases, by description, in which it is often asked whether they are an identity switch."""
    first, lost = Matched([1, 2], [1], [(1, 1)]), Matched([1, 2], [1], [])
    both = Matched([1, 2], [1, 2], [(1, 1), (2, 2)])
    return {
        "two tracks swap their objects": [both, both._replace(pairs=[(2, 1), (1, 2)])],
        "an old track takes the object over": [first, first._replace(pairs=[(2, 1)])],
        "... and the former one has ended": [first, Matched([2], [1], [(2, 1)])],
        "a new object meets an old track": [first, Matched([1, 2], [1, 2], [(1, 1), (2, 2)])],
        "missed for a frame, then the same track": [first, lost, first],
        "missed for a frame, then another old track": [first, lost, first._replace(pairs=[(2, 1)])],
        "a new track takes the object over": [first, Matched([2, 3], [1], [(3, 1)])],
    }


def count_switches(frames: Sequence[Matched]) -> dict[str, int]:
    """Count the identity switches by the DeepMOT loss and by CLEAR-MOT (motmetrics)."""
    loss, clear, ours = DeepMOTLoss(), motmetrics.MOTAccumulator(auto_id=True), 0.0
    for tracks, objects, pairs in frames:
        soft = torch.zeros(len(tracks), len(objects))
        for track, obj in pairs:
            soft[tracks.index(track), objects.index(obj)] = 1
        ours += loss(1 - soft, soft, tracks, objects).ids.item()
        clear.update(objects, tracks, np.where(soft.T == 1, 0.1, np.nan))
    return {"DeepMOT loss": round(ours), "CLEAR-MOT": int((clear.mot_events.Type == "SWITCH").sum())}
