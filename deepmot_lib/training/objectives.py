"""What a tracker is trained to minimize: the rows of Table 2; beyond the paper HOTA, and UniTrack's terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from ..boxes import centers, sizes
from ..columns import LARGEST
from ..distance import jaccard_distance
from ..loss import LossTerms
from ..trackers.tracker import Propagation, Tracker

LAMBDA, GAMMA = 5.0, 2.0  # the paper's weights of Eq. 9 and Eq. 7
_BETA = 0.1  # where smooth L1 turns from a square into a line, in box sizes

#: A matcher's forward pass: (B, N, M) distances to (B, N, M) soft assignments.
SoftAssignment: TypeAlias = Callable[[Tensor], Tensor]


class Objective(NamedTuple):
    """Which terms of Eq. 9 count.

    Attributes:
        accuracy: Whether dMOTA does.
        precision: Whether dMOTP does, with weight lambda.
        gamma: The weight of the identity switches within dMOTA.
    """

    accuracy: bool
    precision: bool
    gamma: float = 0.0

    def value(self, terms: LossTerms) -> Tensor:
        """Return the objective out of a frame's terms, which were computed with this ``gamma``."""
        accuracy = (1 - terms.dmota) * self.accuracy
        return accuracy + LAMBDA * (1 - terms.dmotp) * self.precision


#: By the names of Tables 2 and 3.
OBJECTIVES = {
    "dMOTP": Objective(accuracy=False, precision=True),
    "dMOTA": Objective(accuracy=True, precision=False, gamma=GAMMA),
    "dMOTA+dMOTP-IDS": Objective(accuracy=True, precision=True),
    "dMOTA+dMOTP": Objective(accuracy=True, precision=True, gamma=GAMMA),
}
#: HOTA in place of Eq. 9: the boxes and the embeddings get one each.
SOFT_HOTA = "soft_hota"
#: What pulls each box to its own object: no matcher, and nothing for embeddings to learn.
OWN_OBJECT = ("smooth_l1", "unitrack")
LOSSES = (*OWN_OBJECT, *OBJECTIVES, SOFT_HOTA)


def check_objective(objective: str, matcher: SoftAssignment | None) -> None:
    """Refuse an unknown objective, and one without the matcher that it needs.

    Raises:
        ValueError: says which.
    """
    if objective not in LOSSES:
        raise ValueError(f"unknown objective {objective!r}: choose of {', '.join(LOSSES)}")
    if matcher is None and objective not in OWN_OBJECT:
        raise ValueError(f"{objective} needs a matcher")


def check_divergence(tracker: Tracker, propagated: Propagation) -> None:
    """Refuse what only a tracker predicts that has diverged; NaN fails the comparison.

    Raises:
        FloatingPointError: boxes or embeddings are not finite, or absurdly large.
    """
    for predicted in (propagated.boxes, propagated.appearance):
        if predicted is not None and not (predicted.abs() <= LARGEST).all():
            raise FloatingPointError(f"the boxes or embeddings of {tracker.name} are not finite")


def smooth_l1(boxes: Tensor, objects: Tensor, matches: Tensor) -> Tensor:
    """Return the smooth L1 distance of boxes from the objects that they belong to, in sizes of these.

    Args:
        boxes: (N, 4) xyxy [px].
        objects: (M, 4) xyxy [px].
        matches: (N, M) 0/1: which belong together; boxes and objects without one do not count.

    Returns:
        A scalar; 0, with a gradient of 0, where none belong together.
    """
    track, object_ = matches.nonzero(as_tuple=True)
    if not len(track):
        return boxes.sum() * 0
    target = objects[object_]
    size = sizes(target).clamp(min=1).repeat(1, 2)
    return smooth_l1_loss(boxes[track] / size, target / size, beta=_BETA)


#: Weights of UniTrack's three terms: the defaults that its authors' release documents.
UNITRACK_WEIGHTS = {"tracking": 2.0, "spatial": 1.5, "temporal": 1.8}


def unitrack(
    boxes: Tensor,
    objects: Tensor,
    matches: Tensor,
    last: Tensor,
    before_last: Tensor,
    image_size: tuple[int, int],
) -> Tensor:
    """Return a loss after UniTrack (Galoaa et al., 2026), of which docs/deviations.md says what is guessed.

    The sum of three weighted means: 1 - IoU over the pairs of a track and its own object; how much a track's
    width and height changed since the last frame; how much its velocity did. The last two in image diagonals.

    Args:
        boxes: (N, 4) the tracks in this frame, xyxy [px].
        objects: (M, 4) xyxy [px].
        matches: (N, M) 0/1: which belong together.
        last: (N, 4) the tracks in the last frame; NaN where there were none.
        before_last: (N, 4) those in the frame before it; NaN where there were none.
        image_size: (height, width) [px].

    Returns:
        A scalar; without pairs and former boxes 0, with a gradient of 0.
    """
    old = last.isfinite().all(1)
    older = old & before_last.isfinite().all(1)
    size_change = sizes(boxes[old]) - sizes(last[old])
    acceleration = centers(boxes[older]) - 2 * centers(last[older]) + centers(before_last[older])
    terms = {
        "tracking": jaccard_distance(boxes, objects)[matches.bool()],
        "spatial": size_change.abs().sum(1) / math.hypot(*image_size),
        "temporal": acceleration.abs().sum(1) / math.hypot(*image_size),
    }
    weighted = [UNITRACK_WEIGHTS[name] * term.sum() / max(len(term), 1) for name, term in terms.items()]
    return torch.stack(weighted).sum()
