"""Public detections for the rendered sequences: three simulated detectors with the errors of real ones.

Each person has a latent detectability in every frame: higher for a tall and fully visible person, with a
random part that is correlated over several frames (real detectors lose the same person for a while). Where
it is positive the person is detected, with a score that increases with it. Boxes are jittered and shifted
towards the visible part; overlapping ones are suppressed; some people are detected twice; and false positives
appear, mostly at upright objects, for a few frames each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torchvision.ops import nms

from ...assignment import optimal_assignment
from ...boxes import from_table, sizes
from ...columns import XYXY
from ...distance import jaccard_distance
from ..mot import Sequence, pedestrians


@dataclass(frozen=True)
class Detector:
    """The quality of a detector.

    Attributes:
        name: Suffix of its sequences' names, as in MOT17.
        bias: Detectability of a fully visible person of a fifth of the image's height.
        small: Detectability lost with each halving of the height.
        hidden: Detectability lost between full and no visibility.
        jitter: Standard deviation of each side of a box, as a fraction of its size.
        doubles: Probability of a second box for the same person.
        ghosts: Expected number of false positives per frame.
    """

    name: str
    bias: float
    small: float
    hidden: float
    jitter: float
    doubles: float
    ghosts: float


#: In increasing quality, as MOT17's three.
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
    ghost_box: Callable[[np.random.Generator], Callable[[int], tuple[float, ...] | None]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Simulate a detector on a sequence.

    Args:
        people: One row per person and frame: frame, id, x1, y1, x2, y2, visibility in [0, 1], and the box of
            the visible part, v1, w1, v2, w2 (NaN if none).
        detector: The detector's quality.
        frames: Number of frames of the sequence.
        image_size: (height, width) of the images in pixels.
        ghost_box: Samples the place of a false positive: a function from a frame to a box, or None out of
            view.
        rng: Random numbers.

    Returns:
        Detections with the columns frame, id (-1), x1, y1, x2, y2 in pixels, conf in (0, 1); sorted by frame,
        highest score first.
    """
    height, width = image_size
    boxes = people[XYXY].to_numpy(float)
    visible = people[["v1", "w1", "v2", "w2"]].to_numpy(float)
    visibility = people["visibility"].to_numpy(float)
    chance = _correlated_noise(people, frames, rng)
    tall = np.log2(np.maximum(sizes(boxes)[:, 1], 1) / (0.2 * height)).clip(-2.5, 1)
    quality = detector.bias + detector.small * tall - detector.hidden * (1 - visibility) + chance
    found = (quality > 0) & (visibility > 0.08)
    boxes, visible, visibility, quality = boxes[found], visible[found], visibility[found], quality[found]

    lean = rng.uniform(0, 0.6, (len(boxes), 1)) * (1 - visibility[:, None])
    boxes = (1 - lean) * boxes + lean * visible
    boxes = _jittered(boxes, detector.jitter * (1.5 - 0.5 * visibility)[:, None], rng)
    conf = expit(0.8 * quality + rng.normal(0, 0.4, len(boxes)))
    table = pd.DataFrame({"frame": people["frame"].to_numpy()[found], "conf": conf})
    table[XYXY] = boxes
    table = table[_nms(table, overlap=0.6)]

    twice = table[rng.random(len(table)) < detector.doubles]
    second = _jittered(twice[XYXY].to_numpy(), 0.16, rng)
    twice = twice.assign(conf=twice["conf"] * rng.uniform(0.4, 0.9, len(twice)))
    twice[XYXY] = second
    table = pd.concat([table, twice, _ghosts(detector, frames, ghost_box, rng)], ignore_index=True)

    table[["x1", "x2"]] = table[["x1", "x2"]].clip(0, width)
    table[["y1", "y2"]] = table[["y1", "y2"]].clip(0, height)
    across, tall = sizes(table[XYXY].to_numpy(float)).T
    table = table.loc[(across > 3) & (tall > 6)]
    table["conf"] = table["conf"].clip(0.01, 0.999)
    return table.assign(id=-1).sort_values(["frame", "conf"], ascending=[True, False], kind="stable")


def _correlated_noise(people: pd.DataFrame, frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Sample, for each row, its person's first-order autoregression (std 1) plus a constant (std 0.5)."""
    identities = np.unique(people["id"])
    keep = 0.85
    walk = np.empty((frames, len(identities)))
    walk[0] = rng.standard_normal(len(identities))
    for frame in range(1, frames):
        walk[frame] = keep * walk[frame - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(len(identities))
    walk += 0.5 * rng.standard_normal(len(identities))
    return walk[people["frame"].to_numpy() - 1, np.searchsorted(identities, people["id"])]


def _jittered(
    boxes: NDArray[np.float64], spread: NDArray[np.float64] | float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Shift each side of boxes (rows, 4) by a random fraction of their size; sides never swap."""
    extent = np.tile(sizes(boxes), 2)
    return boxes + extent * (spread * rng.standard_normal(boxes.shape)).clip(-0.4, 0.4)


def _nms(table: pd.DataFrame, overlap: float) -> NDArray[np.bool_]:
    """Mark the rows that remain after non-maximum suppression in each frame at this IoU."""
    boxes = from_table(table, torch.float64)
    scores = torch.from_numpy(table["conf"].to_numpy(copy=True))
    keep = np.zeros(len(table), bool)
    for indices in table.reset_index(drop=True).groupby("frame").indices.values():
        rows = torch.as_tensor(indices)
        keep[rows[nms(boxes[rows], scores[rows], overlap)]] = True
    return keep


def _ghosts(
    detector: Detector,
    frames: int,
    ghost_box: Callable[[np.random.Generator], Callable[[int], tuple[float, ...] | None]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Sample flickering false positives with low scores that last for five frames on average."""
    lasting = 5
    rows = []
    for start in np.sort(
        rng.integers(1 - lasting, frames + 1, rng.poisson(detector.ghosts * (frames + lasting) / lasting))
    ):
        box_at = ghost_box(rng)
        level = rng.normal(-0.4, 0.7)
        for frame in range(int(start), int(start) + rng.geometric(1 / lasting)):
            box = box_at(frame) if 1 <= frame <= frames and rng.random() < 0.85 else None
            if box is not None:
                rows.append((frame, expit(level + rng.normal(0, 0.3)), *box))
    table = pd.DataFrame(rows, columns=["frame", "conf", *XYXY])
    sides = table[XYXY].to_numpy(float)
    table[XYXY] = _jittered(sides, detector.jitter, rng)
    return table.astype({"frame": int})


def match_detections(sequences: Iterable[Sequence]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Match detections with the ground truth, one-to-one in each frame, at an IoU of at least 0.5.

    Args:
        sequences: Sequences with ground truth and detections.

    Returns:
        The ground truth of all sequences with a column ``found``, and their detections with a column ``true``
        (both bool).
    """
    people, detections = [], []
    for sequence in sequences:
        objects, boxes = pedestrians(sequence.gt()), sequence.detections()
        true, found = np.zeros(len(boxes), bool), np.zeros(len(objects), bool)
        rows_of_objects = objects.reset_index(drop=True).groupby("frame").indices
        for frame, rows in boxes.reset_index(drop=True).groupby("frame").indices.items():
            columns = rows_of_objects.get(frame, np.empty(0, int))
            in_frame = boxes.iloc[rows], objects.iloc[columns]
            distance = jaccard_distance(*(from_table(table, torch.float64) for table in in_frame))
            # The gate leaves pairs at or above it unmatched: an overlap of exactly one half is a match.
            match = optimal_assignment(distance, gate=0.5 + 1e-9).bool().numpy()
            true[rows], found[columns] = match.any(1), match.any(0)
        people.append(objects.assign(found=found))
        detections.append(boxes.assign(true=true))
    return pd.concat(people, ignore_index=True), pd.concat(detections, ignore_index=True)
