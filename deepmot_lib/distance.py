"""Distances between predicted and ground-truth boxes (Eq. 3-4) and appearances (Appendix A.2).

Boxes are float tensors ``xyxy`` in pixels; every function takes N predictions and M objects and returns an
``(..., N, M)`` matrix, differentiable in both, with finite gradients everywhere: where a derivative does not
exist, a subgradient stands in.

Half precision is converted to float32 first, for a float16 area overflows at 256 x 256 pixels; the distances
are float32 then, under ``torch.autocast`` too. What would turn into NaN is refused: coordinates and features
must be finite and at most ``columns.LARGEST`` in size.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from . import boxes
from .columns import LARGEST
from .numerics import check_range, full_precision, without_autocast

#: Below this area [px^2] a union counts as empty. Its inverse still fits into float32, so no gradient
#: overflows.
EMPTY_AREA = 1e-12

#: Below this norm an embedding has no direction (the value that torch.nn.functional.cosine_similarity uses).
EMPTY_NORM = 1e-8


def center_distance(
    a: Float[Tensor, "*#batch N 4"], b: Float[Tensor, "*#batch M 4"], image_size: tuple[float, float]
) -> Float[Tensor, "*#batch N M"]:
    """Compute f of Eq. 4: the Euclidean distance of the box centers over the image diagonal.

    It is not clipped, for a clipped distance would pull no box back. The gradient of coinciding centers, a
    kink, is 0.

    Args:
        a: ``(..., N, 4)`` predicted boxes, xyxy [px].
        b: ``(..., M, 4)`` object boxes, xyxy [px].
        image_size: (height, width) [px], both above 0.

    Returns:
        ``(..., N, M)``: in [0, 1] while both centers lie inside the image, above 1 only where one has left it
        far.

    Raises:
        ValueError: boxes of another shape or dtype, or out of range; an image without a size.

    Example:
        Centers 6 and 8 pixels apart, in an image with a diagonal of 50 pixels:

        >>> a, b = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[6.0, 8, 16, 18]])
        >>> center_distance(a, b, (30, 40))
        tensor([[0.2000]])
    """
    return _center(*_checked(a, b), _diagonal(image_size))


def jaccard_distance(
    a: Float[Tensor, "*#batch N 4"], b: Float[Tensor, "*#batch M 4"]
) -> Float[Tensor, "*#batch N M"]:
    """Compute J of Eq. 3: 1 - IoU.

    Disjoint boxes are at 1 with no gradient, which is why Eq. 3 adds the center distance. A box turned inside
    out (x2 < x1) has no area; two boxes without area are at 1, wherever they lie.

    Args:
        a: ``(..., N, 4)`` predicted boxes, xyxy [px].
        b: ``(..., M, 4)`` object boxes, xyxy [px].

    Returns:
        ``(..., N, M)`` in [0, 1].

    Raises:
        ValueError: boxes of another shape or dtype, or out of range.

    Example:
        Half of each box is shared, a third of their union:

        >>> jaccard_distance(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]]))
        tensor([[0.6667]])
    """
    return _jaccard(*_checked(a, b))


def box_distance(
    a: Float[Tensor, "*#batch N 4"], b: Float[Tensor, "*#batch M 4"], image_size: tuple[float, float]
) -> Float[Tensor, "*#batch N M"]:
    """Compute d of Eq. 3: the mean of :func:`center_distance` and :func:`jaccard_distance`.

    Args:
        a: ``(..., N, 4)`` predicted boxes, xyxy [px].
        b: ``(..., M, 4)`` object boxes, xyxy [px].
        image_size: (height, width) [px], both above 0.

    Returns:
        ``(..., N, M)``: in [0, 1] while both centers lie inside the image.

    Raises:
        ValueError: boxes of another shape or dtype, or out of range; an image without a size.

    Example:
        >>> a = torch.tensor([[0.0, 0, 10, 10]])
        >>> b = torch.tensor([[0.0, 0, 10, 10], [6, 8, 16, 18]])
        >>> box_distance(a, b, (30, 40))
        tensor([[0.0000, 0.5792]])
    """
    diagonal = _diagonal(image_size)
    a, b = _checked(a, b)
    return (_center(a, b, diagonal) + _jaccard(a, b)) / 2


def appearance_distance(
    a: Float[Tensor, "*#batch N F"], b: Float[Tensor, "*#batch M F"]
) -> Float[Tensor, "*#batch N M"]:
    """Compute the cosine distance of embeddings, (1 - cos) / 2 (Appendix A.2).

    0 means the same direction, 0.5 unrelated, 1 opposite. An all-zero embedding has no direction: it is at
    0.5 from everything, without a gradient.

    Args:
        a: ``(..., N, F)`` embeddings of the predictions, of any norm.
        b: ``(..., M, F)`` embeddings of the objects.

    Returns:
        ``(..., N, M)`` in [0, 1].

    Raises:
        ValueError: embeddings of unlike lengths or another shape, or out of range.

    Example:
        >>> a, b = torch.tensor([[2.0, 0]]), torch.tensor([[5.0, 0], [0, 1], [-1, 0]])
        >>> appearance_distance(a, b)
        tensor([[0.0000, 0.5000, 1.0000]])
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"embeddings must be (..., count, features) of equal features, got {shapes}")
    directions = []
    for name, embeddings in (("a", a), ("b", b)):
        rule = f"features must be finite and at most {LARGEST:g} in size"
        check_range(name, embeddings, -LARGEST, LARGEST, rule)
        directions.append(_direction(full_precision(embeddings)))
    with without_autocast(a):
        cosine = directions[0] @ directions[1].transpose(-1, -2)
    return ((1 - cosine) / 2).clamp(0, 1)


def _checked(
    a: Float[Tensor, "*batch_a N 4"], b: Float[Tensor, "*batch_b M 4"]
) -> tuple[Float[Tensor, "*batch_a N 4"], Float[Tensor, "*batch_b M 4"]]:
    """Refuse what is out of range; convert half precision to float32."""
    boxes.check("a", a)
    boxes.check("b", b)
    return full_precision(a), full_precision(b)


def _diagonal(image_size: tuple[float, float]) -> float:
    """Return the diagonal [px] of an image of this (height, width)."""
    height, width = image_size
    if not (1 / LARGEST <= height <= LARGEST and 1 / LARGEST <= width <= LARGEST):
        raise ValueError(f"image_size must be a positive (height, width), got {tuple(image_size)}")
    return math.hypot(height, width)


def _center(
    a: Float[Tensor, "*#batch N 4"], b: Float[Tensor, "*#batch M 4"], diagonal: float
) -> Float[Tensor, "*#batch N M"]:
    """Compute f of Eq. 4."""
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    # Twice the offset of the centers, differences first: far from the origin that keeps more digits.
    offset = ((a[..., :2] - b[..., :2]) + (a[..., 2:] - b[..., 2:])) / (2 * diagonal)
    same = (offset == 0).all(-1)
    # hypot's derivative at (0, 0) is 0 / 0: those pairs take a detour around it.
    dx, dy = offset.masked_fill(same.unsqueeze(-1), 1.0).unbind(-1)
    return torch.hypot(dx, dy).masked_fill(same, 0.0)


def _jaccard(
    a: Float[Tensor, "*#batch N 4"], b: Float[Tensor, "*#batch M 4"]
) -> Float[Tensor, "*#batch N M"]:
    """Compute J of Eq. 3."""
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    size_a, size_b = (boxes.sizes(box).clamp(min=0) for box in (a, b))
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = overlap.prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - intersection
    empty = union < EMPTY_AREA
    iou = intersection.masked_fill(empty, 0.0) / union.masked_fill(empty, 1.0)
    return (1 - iou).clamp(0, 1)


def _direction(embedding: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch F"]:
    """Return unit vectors along the last axis; the zero vector where there is next to no length."""
    empty = torch.linalg.vector_norm(embedding, dim=-1, keepdim=True) < EMPTY_NORM
    embedding = embedding.masked_fill(empty, 1.0)
    return (embedding / torch.linalg.vector_norm(embedding, dim=-1, keepdim=True)).masked_fill(empty, 0.0)
