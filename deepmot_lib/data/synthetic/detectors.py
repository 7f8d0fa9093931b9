"""Public detections for the embedded sequences: three simulated detectors that fail the way real ones do.

Each person has a latent detectability in every frame: higher when tall in the image and in full view, with a
part of chance that lasts for several frames (real detectors lose the same person for a while). Where it is
positive the person is found; the score follows it, so that scores carry information. Boxes jitter and lean
towards the part in view; neighbours are suppressed; some people are found twice; and ghosts appear, mostly at
things that stand upright, for a few frames each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import expit

from ...assignment import optimal_assignment
from ...distance import jaccard_distance
from ..mot import Sequence, pedestrians


@dataclass(frozen=True)
class Detector:
    """How good a detector is; ``name`` ends the names of its sequences, as in MOT17."""

    name: str
    bias: float  # detectability of a fully visible person of a fifth of the image's height
    small: float  # lost with each halving of the height
    hidden: float  # lost between full view and none
    jitter: float  # standard deviation of each side, in parts of the box
    doubles: float  # probability of a second box
    ghosts: float  # expected ghosts a frame


#: In rising quality, as MOT17's three.
DETECTORS = (
    Detector("DPM", bias=1.0, small=1.1, hidden=6.5, jitter=0.055, doubles=0.05, ghosts=0.9),
    Detector("FRCNN", bias=2.5, small=0.9, hidden=6.0, jitter=0.035, doubles=0.025, ghosts=0.6),
    Detector("SDP", bias=3.4, small=0.7, hidden=5.0, jitter=0.025, doubles=0.015, ghosts=0.25),
)


def detect(
    people: pd.DataFrame,
    detector: Detector,
    frames: int,
    image_size: tuple[int, int],
    ghost_box: Callable[[int, np.random.Generator], Callable[[int], tuple | None]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Detections with the columns frame, id (-1), x1, y1, x2, y2, conf in (0, 1).

    ``people``: frame, id, x1, y1, x2, y2, visibility and the box of the part in view, v1, w1, v2, w2 (NaN
    where there is none). ``ghost_box(start, rng)`` gives a function from a frame to the box of a new ghost,
    or None out of view.
    """
    height, width = image_size
    boxes = people[["x1", "y1", "x2", "y2"]].to_numpy(float)
    seen = people[["v1", "w1", "v2", "w2"]].to_numpy(float)
    visibility = people["visibility"].to_numpy(float)
    chance = _lasting_noise(people, frames, rng)
    tall = np.log2(np.maximum(boxes[:, 3] - boxes[:, 1], 1) / (0.2 * height)).clip(-2.5, 1)
    quality = detector.bias + detector.small * tall - detector.hidden * (1 - visibility) + chance
    found = (quality > 0) & (visibility > 0.08)
    boxes, seen, visibility, quality = boxes[found], seen[found], visibility[found], quality[found]

    lean = rng.uniform(0, 0.6, (len(boxes), 1)) * (1 - visibility[:, None])
    boxes = (1 - lean) * boxes + lean * seen
    boxes = _jittered(boxes, detector.jitter * (1.5 - 0.5 * visibility)[:, None], rng)
    conf = expit(0.8 * quality + rng.normal(0, 0.4, len(boxes)))
    table = pd.DataFrame({"frame": people["frame"].to_numpy()[found], "conf": conf})
    table[["x1", "y1", "x2", "y2"]] = boxes
    table = table[_survivors(table, overlap=0.6)]

    twice = table[rng.random(len(table)) < detector.doubles]
    second = _jittered(twice[["x1", "y1", "x2", "y2"]].to_numpy(), 0.16, rng)
    twice = twice.assign(conf=twice["conf"] * rng.uniform(0.4, 0.9, len(twice)))
    twice[["x1", "y1", "x2", "y2"]] = second
    table = pd.concat([table, twice, _ghosts(detector, frames, ghost_box, rng)], ignore_index=True)

    table[["x1", "x2"]] = table[["x1", "x2"]].clip(0, width)
    table[["y1", "y2"]] = table[["y1", "y2"]].clip(0, height)
    table = table[(table["x2"] - table["x1"] > 3) & (table["y2"] - table["y1"] > 6)]
    table["conf"] = table["conf"].clip(0.01, 0.999)
    return table.assign(id=-1).sort_values(["frame", "conf"], ascending=[True, False], kind="stable")


def _lasting_noise(people: pd.DataFrame, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(rows,): an autoregressive walk over the frames for each person (standard deviation 1), and a constant
    part (0.5)."""
    identities = np.unique(people["id"])
    keep = 0.85
    walk = np.empty((frames, len(identities)))
    walk[0] = rng.standard_normal(len(identities))
    for frame in range(1, frames):
        walk[frame] = keep * walk[frame - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(len(identities))
    walk += 0.5 * rng.standard_normal(len(identities))
    return walk[people["frame"].to_numpy() - 1, np.searchsorted(identities, people["id"])]


def _jittered(boxes: np.ndarray, spread: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
    """Each side moved by a part of the box's extent, (rows, 4); sides never swap."""
    extent = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + extent * (spread * rng.standard_normal(boxes.shape)).clip(-0.4, 0.4)
    return moved


def _survivors(table: pd.DataFrame, overlap: float) -> np.ndarray:
    """bool (rows,): non-maximum suppression in each frame at this intersection over union."""
    boxes = table[["x1", "y1", "x2", "y2"]].to_numpy()
    keep = np.ones(len(table), bool)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for rows in table.reset_index(drop=True).groupby("frame").indices.values():
        rows = rows[np.argsort(-table["conf"].to_numpy()[rows], kind="stable")]
        low = np.maximum(boxes[rows, None, :2], boxes[None, rows, :2])
        high = np.minimum(boxes[rows, None, 2:], boxes[None, rows, 2:])
        common = np.prod(np.clip(high - low, 0, None), axis=-1)
        iou = common / np.maximum(area[rows, None] + area[None, rows] - common, 1e-9)
        for index, row in enumerate(rows):
            if keep[row]:
                keep[rows[index + 1 :][iou[index, index + 1 :] > overlap]] = False
    return keep


def _ghosts(detector: Detector, frames: int, ghost_box, rng: np.random.Generator) -> pd.DataFrame:
    """False detections that last for five frames on average, flicker and score low."""
    lasting = 5
    rows = []
    for start in np.sort(
        rng.integers(1 - lasting, frames + 1, rng.poisson(detector.ghosts * (frames + lasting) / lasting))
    ):
        box_at = ghost_box(int(start), rng)
        level = rng.normal(-0.4, 0.7)
        for frame in range(int(start), int(start) + rng.geometric(1 / lasting)):
            box = box_at(frame) if 1 <= frame <= frames and rng.random() < 0.85 else None
            if box is not None:
                rows.append((frame, expit(level + rng.normal(0, 0.3)), *box))
    table = pd.DataFrame(rows, columns=["frame", "conf", "x1", "y1", "x2", "y2"])
    sides = table[["x1", "y1", "x2", "y2"]].to_numpy(float)
    table[["x1", "y1", "x2", "y2"]] = _jittered(sides, detector.jitter, rng)
    return table.astype({"frame": int})


def judge(sequences: Iterable[Sequence]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ground truth with a column ``found`` and the detections with a column ``true`` (both bool): matched
    frame by frame, each once, at an intersection over union of at least one half."""
    people, detections = [], []
    for sequence in sequences:
        objects, boxes = pedestrians(sequence.gt()), sequence.detections()
        objects, boxes = objects.assign(found=False), boxes.assign(true=False)
        groups = dict(iter(boxes.groupby("frame")))
        for frame, rows in objects.groupby("frame"):
            if frame in groups:
                ours, theirs = (
                    torch.from_numpy(table[["x1", "y1", "x2", "y2"]].to_numpy(float))
                    for table in (groups[frame], rows)
                )
                # The gate leaves pairs at or above it unmatched: an overlap of exactly one half is a match.
                match = optimal_assignment(jaccard_distance(ours, theirs), gate=0.5 + 1e-9).bool().numpy()
                boxes.loc[groups[frame].index[match.any(1)], "true"] = True
                objects.loc[rows.index[match.any(0)], "found"] = True
        people.append(objects)
        detections.append(boxes)
    return pd.concat(people, ignore_index=True), pd.concat(detections, ignore_index=True)
