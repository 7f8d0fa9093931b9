"""Distances between predicted and ground-truth boxes (Eq. 3-4) and appearances (Appendix A.2).

Boxes are float tensors ``xyxy`` in pixels; every function takes N predictions and M objects and returns an
``(..., N, M)`` matrix, differentiable in both, with finite gradients everywhere: where a derivative does not
exist, a subgradient stands in. NaN in, NaN out; the loss is where it is reported.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Below this area [px^2] a union counts as empty. Its inverse still fits into float32, so no gradient
#: overflows.
EMPTY_AREA = 1e-12

#: Below this norm an embedding has no direction (the value that torch.nn.functional.cosine_similarity uses).
EMPTY_NORM = 1e-8


def _pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``(..., N, 4)`` and ``(..., M, 4)`` boxes as ``(..., N, 1, 4)`` and ``(..., 1, M, 4)``, checked."""
    for name, boxes in (("a", a), ("b", b)):
        if boxes.ndim < 2 or boxes.shape[-1] != 4:
            raise ValueError(f"{name} must hold boxes of shape (..., count, 4), got {tuple(boxes.shape)}")
        if not boxes.is_floating_point():
            raise ValueError(f"{name} must be a floating-point tensor, got {boxes.dtype}")
    return a.unsqueeze(-2), b.unsqueeze(-3)


def center_distance(a: Tensor, b: Tensor, image_size: tuple[float, float]) -> Tensor:
    """Euclidean distance of the box centres over the image diagonal: f of Eq. 4, ``(..., N, M)``.

    Args:
        a: ``(..., N, 4)`` predicted boxes, xyxy [px].
        b: ``(..., M, 4)`` object boxes, xyxy [px].
        image_size: (height, width) [px].

    In [0, 1] while both centres lie inside the image, above 1 only where one has left it far: not clipped,
    for a clipped distance pulls no box back. The gradient of coinciding centres, a kink, is 0. ValueError
    where the image has no size.
    """
    height, width = image_size
    diagonal = math.hypot(height, width)
    if not (height > 0 and width > 0 and math.isfinite(diagonal)):
        raise ValueError(f"image_size must be a positive (height, width), got {tuple(image_size)}")
    a, b = _pairs(a, b)
    offset = ((a[..., :2] - b[..., :2]) + (a[..., 2:] - b[..., 2:])) / (2 * diagonal)
    same = (offset == 0).all(-1)
    # hypot's derivative at (0, 0) is 0 / 0: those pairs take a detour around it.
    dx, dy = offset.masked_fill(same.unsqueeze(-1), 1.0).unbind(-1)
    return torch.hypot(dx, dy).masked_fill(same, 0.0)


def jaccard_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - IoU (J of Eq. 3), ``(..., N, M)`` in [0, 1].

    Args:
        a: ``(..., N, 4)`` predicted boxes, xyxy [px].
        b: ``(..., M, 4)`` object boxes, xyxy [px].

    Disjoint boxes are at 1 with no gradient, which is why Eq. 3 adds the centre distance. A box turned inside
    out (x2 < x1) has no area; two boxes without area are at 1, wherever they lie.
    """
    a, b = _pairs(a, b)
    size_a, size_b = ((box[..., 2:] - box[..., :2]).clamp(min=0) for box in (a, b))
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = overlap.prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - intersection
    empty = union < EMPTY_AREA
    iou = intersection.masked_fill(empty, 0.0) / union.masked_fill(empty, 1.0)
    return (1 - iou).clamp(0, 1)


def box_distance(a: Tensor, b: Tensor, image_size: tuple[float, float]) -> Tensor:
    """d of Eq. 3: the mean of :func:`center_distance` and :func:`jaccard_distance`, ``(..., N, M)``."""
    return (center_distance(a, b, image_size) + jaccard_distance(a, b)) / 2


def appearance_distance(a: Tensor, b: Tensor) -> Tensor:
    """Cosine distance of embeddings, (1 - cos) / 2, ``(..., N, M)`` in [0, 1].

    Args:
        a: ``(..., N, F)`` embeddings of the predictions, of any length.
        b: ``(..., M, F)`` embeddings of the objects.

    0 means the same direction, 0.5 unrelated, 1 opposite. An all-zero embedding has no direction: it is at
    0.5 from everything, without a gradient.
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"embeddings must be (..., count, features) of equal features, got {shapes}")
    cosine = _direction(a) @ _direction(b).transpose(-1, -2)
    return ((1 - cosine) / 2).clamp(0, 1)


def _direction(embedding: Tensor) -> Tensor:
    """Unit vectors along the last axis; the zero vector where there is next to no length."""
    empty = torch.linalg.vector_norm(embedding, dim=-1, keepdim=True) < EMPTY_NORM
    embedding = embedding.masked_fill(empty, 1.0)
    return (embedding / torch.linalg.vector_norm(embedding, dim=-1, keepdim=True)).masked_fill(empty, 0.0)
