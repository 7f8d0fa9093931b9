"""Anchors of a region proposal network: their grid, and boxes as offsets from them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..boxes import centers, from_centers, sizes

_MIN_SIDE = 1e-3  # of a box in crop coordinates


def grid(places: int, spacing: float, longer: float, ratios: tuple[float, ...]) -> Float[Tensor, "anchors 4"]:
    """Return anchors that differ in place and shape; the longer side of all is the same.

    Args:
        places: Number of places along each axis, around the middle of the crop.
        spacing: Their distance, in crop coordinates.
        longer: The longer side, in crop coordinates.
        ratios: Aspect ratios, height over width.

    Returns:
        ``(len(ratios) * places * places, 4)`` xyxy in crop coordinates, row-major for each ratio.
    """
    shapes = torch.tensor([(min(1, 1 / ratio), min(1, ratio)) for ratio in ratios]) * longer  # width, height
    middle = 0.5 + (torch.arange(places) - (places - 1) / 2) * spacing
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return from_centers(torch.stack([x, y], dim=-1).reshape(1, -1, 2), shapes.unsqueeze(1)).reshape(-1, 4)


def encode(
    boxes: Float[Tensor, "*#batch 4"], anchors: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*#batch 4"]:
    """Encode boxes as offsets from anchors.

    Args:
        boxes: ``(..., 4)`` xyxy in crop coordinates.
        anchors: ``(..., 4)`` likewise.

    Returns:
        ``(..., 4)``: the shift of the center in anchor sizes, and the logarithms of the ratios of the sizes.
    """
    anchor_size = box_sizes(anchors)
    shift = (centers(boxes) - centers(anchors)) / anchor_size
    return torch.cat([shift, (box_sizes(boxes) / anchor_size).log()], dim=-1)


def decode(
    offsets: Float[Tensor, "*#batch 4"], anchors: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*#batch 4"]:
    """Decode offsets from anchors to boxes: the inverse of :func:`encode`.

    Args:
        offsets: ``(..., 4)``, as :func:`encode` returns them.
        anchors: ``(..., 4)`` xyxy in crop coordinates.

    Returns:
        ``(..., 4)`` xyxy in crop coordinates; the sizes are limited to e^-2 .. e^2 times those of the anchor.
    """
    anchor_size = box_sizes(anchors)
    center = centers(anchors) + offsets[..., :2] * anchor_size
    return from_centers(center, anchor_size * offsets[..., 2:].clamp(-2, 2).exp())


def box_sizes(boxes: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 2"]:
    """Return widths and heights of boxes in crop coordinates, at least a thousandth."""
    return sizes(boxes).clamp(min=_MIN_SIDE)
