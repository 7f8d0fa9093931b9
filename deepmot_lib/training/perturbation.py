"""Imperfect ground-truth boxes: what trackers are initialised with in training (Sec. 4.3, Appendix A.2)."""

from __future__ import annotations

import torch
from torch import Tensor

#: The paper's ranges (Appendix A.2): the factor of the size, and the largest offset in widths and heights.
SCALES = (0.8, 1.2)
LARGEST_OFFSET = 0.25


def perturb(
    boxes: Tensor,
    generator: torch.Generator | None = None,
    scales: tuple[float, float] = SCALES,
    largest_offset: float = LARGEST_OFFSET,
) -> Tensor:
    """``boxes`` (K, 4), xyxy, each rescaled about its centre and then shifted, at random (Appendix A.2).

    The factor, one a box, is uniform in ``scales``. The shift along each axis is uniform in
    ``[-largest_offset, largest_offset]`` times the box's width or height before rescaling; the paper gives
    its length alone (0 to 0.25), the direction is drawn here, for shifts to one side would teach a bias.

    The draws come from ``generator``, a CPU one whatever the boxes' device, or from torch's global one: as
    many as boxes, in their order. Boxes without area stay points; nothing is clipped to the image.
    ValueError for another shape, integers, or ranges that make no sense.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
        raise ValueError(f"boxes must be float (K, 4), got {boxes.dtype} {tuple(boxes.shape)}")
    low, high = scales
    if not (0 < low <= high and largest_offset >= 0):
        raise ValueError(f"cannot draw factors in {scales} and offsets up to {largest_offset}")
    draws = torch.rand(len(boxes), 3, generator=generator, dtype=torch.float64).to(boxes)
    factor = low + (high - low) * draws[:, :1]
    size = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + (2 * draws[:, 1:] - 1) * largest_offset * size
    return torch.cat([centre - factor * size / 2, centre + factor * size / 2], dim=1)
