"""Imperfect ground-truth boxes: what trackers are initialized with in training (Sec. 4.3, Appendix A.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..boxes import centers, from_centers, sizes

#: The paper's ranges (Appendix A.2): the factor of the size, and the largest offset in widths and heights.
SCALES = (0.8, 1.2)
LARGEST_OFFSET = 0.25


def perturb(
    boxes: Float[Tensor, "K 4"],
    generator: torch.Generator | None = None,
    scales: tuple[float, float] = SCALES,
    largest_offset: float = LARGEST_OFFSET,
) -> Float[Tensor, "K 4"]:
    """Rescale each box about its center and shift it, at random (Appendix A.2).

    The shift along each axis is uniform in [-largest_offset, largest_offset] times the box's width or height
    before rescaling. The paper gives its length alone (0 to 0.25); the direction is drawn here, for shifts to
    one side would teach a bias.

    Args:
        boxes: ``(K, 4)`` xyxy [px]. Those without area stay points.
        generator: source of the draws, on the CPU whatever the boxes' device; torch's global one if None. As
            many draws as boxes are made, in their order.
        scales: range of the factor of the size, uniform, one factor per box.
        largest_offset: in widths and heights.

    Returns:
        ``(K, 4)`` xyxy [px], not clipped to the image.

    Raises:
        ValueError: boxes of another shape or dtype; ranges from which nothing can be drawn.

    Example:
        Half the size, in place:

        >>> perturb(torch.tensor([[0.0, 0, 10, 40]]), scales=(0.5, 0.5), largest_offset=0)
        tensor([[ 2.5000, 10.0000,  7.5000, 30.0000]])
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
        raise ValueError(f"boxes must be float (K, 4), got {boxes.dtype} {tuple(boxes.shape)}")
    low, high = scales
    if not (0 < low <= high and largest_offset >= 0):
        raise ValueError(f"cannot draw factors in {scales} and offsets up to {largest_offset}")
    draws = torch.rand(len(boxes), 3, generator=generator, dtype=torch.float64).to(boxes)
    factor = low + (high - low) * draws[:, :1]
    size = sizes(boxes)
    center = centers(boxes) + (2 * draws[:, 1:] - 1) * largest_offset * size
    return from_centers(center, factor * size)
