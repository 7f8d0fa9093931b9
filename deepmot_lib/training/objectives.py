"""What a tracker is trained to minimize: the rows of Table 2; beyond the paper HOTA, and UniTrack's terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from ..assignment import optimal_assignment
from ..boxes import centers, sizes
from ..columns import LARGEST
from ..distance import box_distance, jaccard_distance
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
#: Smooth L1 to the objects that the Hungarian algorithm assigns, in place of the tracks' own ones.
HUNGARIAN = "smooth_l1_hungarian"
_GATE = 0.5  # of D, as for the loss of Eq. 9: a track farther from all objects has none
#: What pulls each box to one object: no matcher, and nothing for embeddings to learn.
ONE_OBJECT = ("smooth_l1", HUNGARIAN, "iou_center", "unitrack")
LOSSES = (*ONE_OBJECT, *OBJECTIVES, SOFT_HOTA)


def check_objective(objective: str, matcher: SoftAssignment | None) -> None:
    """Refuse an unknown objective, and one without the matcher that it needs.

    Raises:
        ValueError: says which.
    """
    if objective not in LOSSES:
        raise ValueError(f"unknown objective {objective!r}: choose of {', '.join(LOSSES)}")
    if matcher is None and objective not in ONE_OBJECT:
        raise ValueError(f"{objective} needs a matcher")


def check_divergence(tracker: Tracker, propagated: Propagation) -> None:
    """Refuse what only a tracker predicts that has diverged; NaN fails the comparison.

    Raises:
        FloatingPointError: boxes or embeddings are not finite, or absurdly large.
    """
    for predicted in (propagated.boxes, propagated.appearance):
        if predicted is not None and not (predicted.abs() <= LARGEST).all():
            raise FloatingPointError(f"the boxes or embeddings of {tracker.name} are not finite")


def one_object_loss(
    objective: str,
    boxes: Tensor,
    objects: Tensor,
    matches: Tensor,
    last: Tensor,
    before_last: Tensor,
    image_size: tuple[int, int],
) -> Tensor:
    """Return a loss that pulls each box to one object.

    Args:
        objective: One of ``ONE_OBJECT``.
        boxes: (N, 4) the tracks in this frame, xyxy [px].
        objects: (M, 4) xyxy [px].
        matches: (N, M) 0/1: which belong together; boxes and objects without one do not count.
        last: (N, 4) the tracks in the last frame; NaN where there were none.
        before_last: (N, 4) those in the frame before it; NaN where there were none.
        image_size: (height, width) [px].

    Returns:
        A scalar; 0, with a gradient of 0, where none belong together.
    """
    if objective == "unitrack":
        return unitrack(boxes, objects, matches, last, before_last, image_size)
    if objective == "iou_center":
        distance = box_distance(boxes, objects, image_size)
        return (distance * matches).sum() / matches.sum().clamp(min=1)
    return smooth_l1(boxes, objects, matches)


@torch.no_grad()
def hungarian_matches(boxes: Tensor, objects: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return (N, M) 0/1: the optimal assignment of boxes to objects by the distances D of Eq. 3, gated."""
    return optimal_assignment(box_distance(boxes, objects, image_size), gate=_GATE)


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
