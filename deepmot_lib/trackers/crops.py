"""Context crops for single-object trackers: the region around each box, all tracks of a frame at once.

Crop coordinates are fractions of the region: (0, 0) is its upper left corner, (1, 1) its lower right one,
whatever the size of the crop in pixels. Pixel (row i, column j) of an image covers [j, j + 1] x [i, i + 1],
as in box files.
"""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from ..boxes import centers, from_centers, sizes

#: Samples per side that are averaged into one pixel of a crop, against aliasing in crops of large persons.
_SAMPLES = 2
#: Crops that are made at once: on a CPU more take twice as long each, for they leave the cache.
_AT_ONCE = 16


def squares(boxes: Float[Tensor, "K 4"], context: float) -> Float[Tensor, "K 4"]:
    """Return the squares around boxes whose side is ``context`` times the box's longer side.

    For a walking person the longer side is the height, which legs and arms do not change. SiamRPN's own rule,
    sqrt((w + p)(h + p)) with p = (w + h) / 2, gives 1.3 to 1.4 heights, but varies with the width.

    Args:
        boxes: ``(K, 4)`` xyxy [px]; a side below one pixel, or a negative one, counts as one pixel.
        context: Factor of the longer side.

    Returns:
        ``(K, 4)`` xyxy [px].

    Raises:
        ValueError: A box is not finite.
    """
    return from_centers(centers(boxes), context * _sizes(boxes).amax(dim=1, keepdim=True))


def rectangles(boxes: Float[Tensor, "K 4"], context: float) -> Float[Tensor, "K 4"]:
    """Return the rectangles around boxes with ``context`` times their width and height.

    A crop of it is stretched to a square, which narrow and wide people fill alike.

    Args:
        boxes: ``(K, 4)`` xyxy [px]; a side below one pixel, or a negative one, counts as one pixel.
        context: Factor of width and height.

    Returns:
        ``(K, 4)`` xyxy [px].

    Raises:
        ValueError: A box is not finite.
    """
    return from_centers(centers(boxes), context * _sizes(boxes))


def _sizes(boxes: Tensor) -> Tensor:
    """Return widths and heights (K, 2), at least one pixel."""
    if not torch.isfinite(boxes).all():
        wrong = int((~torch.isfinite(boxes)).any(dim=1).nonzero()[0])
        raise ValueError(f"box {wrong} of {len(boxes)} is not finite: {boxes[wrong].tolist()}")
    return sizes(boxes).clamp(min=1)


def to_crop(
    boxes: Float[Tensor, "*#batch 4"], region: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*#batch 4"]:
    """Convert boxes from image pixels to crop coordinates.

    Args:
        boxes: ``(..., 4)`` xyxy [px].
        region: ``(..., 4)`` the regions of the crops, xyxy [px].

    Returns:
        ``(..., 4)`` xyxy in crop coordinates.
    """
    corner, side = region[..., :2], sizes(region)
    return torch.cat([(boxes[..., :2] - corner) / side, (boxes[..., 2:] - corner) / side], dim=-1)


def to_image(
    boxes: Float[Tensor, "*#batch 4"], region: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*#batch 4"]:
    """Convert boxes from crop coordinates to image pixels: the inverse of :func:`to_crop`.

    Args:
        boxes: ``(..., 4)`` xyxy in crop coordinates.
        region: ``(..., 4)`` the regions of the crops, xyxy [px].

    Returns:
        ``(..., 4)`` xyxy [px].
    """
    corner, side = region[..., :2], sizes(region)
    return torch.cat([boxes[..., :2] * side + corner, boxes[..., 2:] * side + corner], dim=-1)


def contains(boxes: Float[Tensor, "*batch 4"]) -> Bool[Tensor, "*batch"]:
    """Tell whose centers a crop contains.

    Args:
        boxes: ``(..., 4)`` xyxy in crop coordinates; NaN is not contained.

    Returns:
        ``(...)``.
    """
    center = centers(boxes)
    return ((center > 0) & (center < 1)).all(dim=-1)


def crop(
    image: Float[Tensor, "C height width"], region: Float[Tensor, "K 4"], size: int
) -> Float[Tensor, "K C {size} {size}"]:
    """Crop regions of an image and resize them.

    Outside of the image a crop has the image's mean color (SiamFC's rule: a black border would be a spurious
    edge). No gradient flows to the regions.

    Args:
        image: ``(C, height, width)``.
        region: ``(K, 4)`` xyxy [px]; K may be 0.
        size: Side of the crops [px].

    Returns:
        ``(K, C, size, size)``.
    """
    offsets = torch.arange(size * _SAMPLES, device=image.device, dtype=image.dtype) + 0.5
    scale = image.new_tensor([image.shape[2], image.shape[1]])
    near, far = (part.detach().to(image) / scale * 2 - 1 for part in (region[:, :2], region[:, 2:]))
    places = near.unsqueeze(-1) + (far - near).unsqueeze(-1) * offsets / (size * _SAMPLES)
    mean = image.mean(dim=(1, 2), keepdim=True)
    parts = [_resample(image - mean, part, size) for part in places.split(_AT_ONCE)]
    return torch.cat(parts) + mean


def _resample(
    image: Float[Tensor, "C height width"], places: Float[Tensor, "K 2 samples"], size: int
) -> Float[Tensor, "K C {size} {size}"]:
    """Return the mean of each pixel's samples; places along x and y, in [-1, 1] inside of the image."""
    total = image.new_zeros(len(image), len(places) * size, size)
    for row, column in product(range(_SAMPLES), repeat=2):
        x, y = places[:, 0, None, column::_SAMPLES], places[:, 1, row::_SAMPLES, None]
        grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)
        # One tall picture of all crops: the image need not be repeated for each.
        total += grid_sample(image[None], grid.reshape(1, -1, size, 2), align_corners=False)[0]
    return total.view(len(image), len(places), size, size).transpose(0, 1) / _SAMPLES**2
