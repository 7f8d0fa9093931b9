"""Negative gradients of the terms of the loss by predicted boxes (Appendix C, Fig. 9); gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from ..assignment import optimal_assignment
from ..distance import box_distance, jaccard_distance
from ..loss import DeepMOTLoss, LossTerms

#: Maps distances (B, N, M) to a soft assignment of that shape.
SoftMatcher: TypeAlias = Callable[[Tensor], Tensor]


class Frame(NamedTuple):
    """Predicted and ground-truth boxes of one frame.

    Attributes:
        predictions: ``(N, 4)`` xyxy [px].
        track_ids: Their N identities.
        objects: ``(M, 4)`` ground truth, xyxy [px].
        object_ids: Their M identities.
    """

    predictions: Float[Tensor, "N 4"]
    track_ids: Sequence[int]
    objects: Float[Tensor, "M 4"]
    object_ids: Sequence[int]


class Forces(NamedTuple):
    """The loss and its negative gradients in the last frame of a clip.

    Attributes:
        distance: ``(N, M)`` D of Eq. 3.
        soft: ``(N, M)`` soft assignment.
        terms: The loss and its terms.
        pulls: By term, the negative gradient ``(N, 4)`` by the predicted boxes.
    """

    distance: Float[Tensor, "N M"]
    soft: Float[Tensor, "N M"]
    terms: LossTerms
    pulls: dict[str, Tensor]


def forces(
    clip: Sequence[Frame],
    matcher: SoftMatcher,
    image_size: tuple[float, float],
    loss: DeepMOTLoss | None = None,
) -> Forces:
    """Compute the loss over a clip and its negative gradients by the last frame's predictions.

    Args:
        clip: Consecutive frames; those before the last only determine the previous matches.
        matcher: Maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
        loss: The loss with its weights, by default the paper's; reset first.

    Returns:
        The last frame's result; its ``pulls`` are named FP, FN, IDS, dMOTP and loss (Eq. 9).
    """
    loss = DeepMOTLoss() if loss is None else loss
    loss.reset()
    for frame in clip:
        boxes = frame.predictions.detach().clone().requires_grad_()
        distance = box_distance(boxes, frame.objects, image_size)
        soft = matcher(distance[None])[0]
        terms = loss(distance, soft, frame.track_ids, frame.object_ids)
    by_term = {"FP": terms.fp, "FN": terms.fn, "IDS": terms.ids, "dMOTP": -terms.dmotp, "loss": terms.total}
    pulls = {
        name: -torch.autograd.grad(
            value, boxes, retain_graph=True, allow_unused=True, materialize_grads=True
        )[0]
        for name, value in by_term.items()
    }
    return Forces(distance.detach(), soft.detach(), LossTerms(*(t.detach() for t in terms)), pulls)


def count_errors(clip: Sequence[Frame], image_size: tuple[float, float]) -> dict[str, int]:
    """Count the errors of a clip's last frame as MOTA does.

    A track and an object can match if their boxes overlap by half.

    Args:
        clip: Consecutive frames.
        image_size: (height, width) [px].

    Returns:
        FP, FN and IDS (by Eq. 6's rule) of the matches with the least total distance (Eq. 3).
    """
    loss = DeepMOTLoss()
    for frame in clip:
        distance = box_distance(frame.predictions, frame.objects, image_size)
        apart = jaccard_distance(frame.predictions, frame.objects) > 0.5
        matches = optimal_assignment(distance.masked_fill(apart, torch.inf))
        terms = loss(distance, matches, frame.track_ids, frame.object_ids)
    return {name: round(getattr(terms, name.lower()).item()) for name in ("FP", "FN", "IDS")}


def descend(objective: Callable[[Tensor], Tensor], start: Tensor, steps: int, step_size: float) -> Tensor:
    """Run gradient descent on boxes.

    Args:
        objective: The function of boxes ``(..., 4)`` to minimize.
        start: ``(..., 4)`` xyxy [px].
        steps: Number of steps.
        step_size: How far a step moves the coordinate with the largest gradient [px]; the others move in
            proportion.

    Returns:
        ``(steps + 1, ..., 4)``: the boxes, the start first.
    """
    path = [start.detach()]
    for _ in range(steps):
        boxes = path[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(boxes).sum(), boxes)
        path.append(path[-1] - step_size * gradient / gradient.abs().max().clamp(min=1e-12))
    return torch.stack(path)
