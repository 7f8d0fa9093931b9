"""Context crops for single-object trackers: the region around each box, all tracks of a frame at once.

Crop coordinates are shares of the region: (0, 0) is its upper left corner, (1, 1) its lower right one,
whatever the size of the crop in pixels. Pixel (row i, column j) of an image covers [j, j + 1] x [i, i + 1],
as in box files.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

#: Samples a side, averaged into one pixel of a crop: a large person, shrunk, must not flicker.
_SAMPLES = 2


def squares(boxes: Tensor, context: float) -> Tensor:
    """The squares (K, 4) around ``boxes`` (K, 4), ``context`` times their longer side, both xyxy in pixels.

    A side shorter than one pixel counts as one, so that a box without area, or turned inside out, has a
    square too. For a walking person the longer side is the height, which legs and arms do not change:
    SiamRPN's own rule, sqrt((w + p)(h + p)) with p = (w + h) / 2, gives 1.3 to 1.4 heights, but varies with
    the width. ValueError for boxes that are not finite.
    """
    return _around(boxes, context * _sides(boxes).amax(dim=1, keepdim=True))


def rectangles(boxes: Tensor, context: float) -> Tensor:
    """As ``squares``, but of the boxes' own shape: ``context`` times their width and height.

    A crop of it is stretched to a square, so that narrow people fill it as wide ones do.
    """
    return _around(boxes, context * _sides(boxes))


def _sides(boxes: Tensor) -> Tensor:
    """Widths and heights (K, 2), at least one pixel."""
    if not torch.isfinite(boxes).all():
        wrong = (~torch.isfinite(boxes)).any(dim=1).nonzero()[0].item()
        raise ValueError(f"box {wrong} of {len(boxes)} is not finite: {boxes[wrong].tolist()}")
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)


def _around(boxes: Tensor, sides: Tensor) -> Tensor:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=1)


def to_crop(boxes: Tensor, region: Tensor) -> Tensor:
    """Boxes (..., 4) in image pixels as crop coordinates of the regions (..., 4)."""
    corner, side = region[..., :2], region[..., 2:] - region[..., :2]
    return torch.cat([(boxes[..., :2] - corner) / side, (boxes[..., 2:] - corner) / side], dim=-1)


def to_image(boxes: Tensor, region: Tensor) -> Tensor:
    """Boxes (..., 4) in crop coordinates of the regions (..., 4) as image pixels: undoes :func:`to_crop`."""
    corner, side = region[..., :2], region[..., 2:] - region[..., :2]
    return torch.cat([boxes[..., :2] * side + corner, boxes[..., 2:] * side + corner], dim=-1)


def crop(image: Tensor, region: Tensor, size: int) -> Tensor:
    """What ``image`` (C, height, width) shows in the regions (K, 4), resized to (K, C, size, size).

    What lies outside of the image is filled with its mean colour (SiamFC's rule: a black border would be an
    edge to look at). K may be 0; a region wholly outside is all mean. No gradient flows into the regions.
    """
    fine = size * _SAMPLES
    middles = (torch.arange(fine, device=image.device, dtype=image.dtype) + 0.5) / fine
    scale = image.new_tensor(image.shape[:0:-1])  # width, height
    corner, far = (part.detach().to(image) / scale * 2 - 1 for part in (region[:, :2], region[:, 2:]))
    x, y = (corner.unsqueeze(-1) + (far - corner).unsqueeze(-1) * middles).unbind(1)  # (K, fine) each
    grid = torch.stack(torch.broadcast_tensors(x.unsqueeze(1), y.unsqueeze(2)), dim=-1)
    # One tall picture of all crops: the image need not be repeated for each.
    mean = image.mean(dim=(1, 2), keepdim=True)
    grid = grid.reshape(1, -1, fine, 2)
    tall = grid_sample((image - mean).unsqueeze(0), grid, align_corners=False)[0] + mean
    stacked = tall.view(len(image), len(region), fine, fine).transpose(0, 1)
    return avg_pool2d(stacked, _SAMPLES)
