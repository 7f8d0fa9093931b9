"""What the loss does to boxes: negative gradients of its terms (Appendix C, Fig. 9), and steps along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..distance import box_distance
from ..loss import DeepMOTLoss, LossTerms

Matcher = Callable[[Tensor], Tensor]


class Frame(NamedTuple):
    """Predicted and ground-truth boxes of one frame, xyxy [px], with their identities."""

    predictions: Tensor
    track_ids: Sequence[int]
    objects: Tensor
    object_ids: Sequence[int]


class Forces(NamedTuple):
    """The last frame of a clip: D and soft A ``(N, M)``, the loss, and a ``(N, 4)`` negative gradient for
    each of its terms."""

    distance: Tensor
    soft: Tensor
    terms: LossTerms
    pulls: dict[str, Tensor]


def forces(
    clip: Sequence[Frame],
    matcher: Matcher,
    image_size: tuple[float, float],
    loss: DeepMOTLoss | None = None,
) -> Forces:
    """Runs boxes -> D -> soft A -> loss over the frames of ``clip`` and differentiates the last one by its
    predictions.

    Args:
        clip: consecutive frames; those before the last only tell which track had which object.
        matcher: maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
        loss: with the weights to use; the paper's where None. It is reset first.

    The pulls are named FP, FN, IDS, dMOTP and loss (the weighted sum, Eq. 9): where each wants the corners
    of the boxes to go."""
    loss = DeepMOTLoss() if loss is None else loss
    loss.reset()
    for frame in clip:
        boxes = frame.predictions.detach().clone().requires_grad_()
        distance = box_distance(boxes, frame.objects, image_size)
        soft = matcher(distance[None])[0]
        terms = loss(distance, soft, frame.track_ids, frame.object_ids)
    wanted = {"FP": terms.fp, "FN": terms.fn, "IDS": terms.ids, "dMOTP": -terms.dmotp, "loss": terms.total}
    pulls = {
        name: -torch.autograd.grad(
            value, boxes, retain_graph=True, allow_unused=True, materialize_grads=True
        )[0]
        for name, value in wanted.items()
    }
    return Forces(distance.detach(), soft.detach(), LossTerms(*(t.detach() for t in terms)), pulls)


def descend(objective: Callable[[Tensor], Tensor], start: Tensor, steps: int, step_size: float) -> Tensor:
    """Gradient descent on boxes: ``(steps + 1, ..., 4)`` positions, the start first.

    Each step moves the coordinate with the largest gradient by ``step_size`` px, the others in proportion;
    where there is no gradient the boxes stay."""
    path = [start.detach()]
    for _ in range(steps):
        boxes = path[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(boxes).sum(), boxes)
        path.append(path[-1] - step_size * gradient / gradient.abs().max().clamp(min=1e-12))
    return torch.stack(path)
