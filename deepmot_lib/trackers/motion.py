"""Motion models: the camera's motion and a constant velocity.

Both are Tracktor's extensions for moving cameras and low frame rates (Bergmann et al., 2019). Boxes are xyxy
in pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..boxes import centers, shift
from ..numerics import without_autocast

_LONG_SIDE = 240  # [px] of the grayscale image on which frames are aligned
_ITERATIONS, _PRECISION = 50, 1e-4
_BLUR = 5  # [px] size of the Gaussian filter of the alignment
_MIN_CONTRAST = 1.0  # standard deviation of gray values below which an image cannot be aligned


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the small grayscale image that :func:`camera_motion` aligns.

    Args:
        image: ``(height, width, 3)`` RGB.

    Returns:
        Grayscale, its longer side at most 240 pixels.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    return gray.astype(np.uint8, copy=False)


def camera_motion(
    before: NDArray[np.uint8], after: NDArray[np.uint8], image_size: tuple[int, int]
) -> NDArray[np.float64]:
    """Estimate the rigid motion of the background between two frames.

    The motion maximizes the enhanced correlation coefficient (Evangelidis and Psarakis, 2008; OpenCV). Where
    that does not converge, as between two different or uniform images, the camera is assumed static.

    Args:
        before: Thumbnail of the first frame.
        after: Thumbnail of the second frame, of the same size.
        image_size: (height, width) of the frames [px].

    Returns:
        ``(2, 3)``: maps pixels of the first frame to pixels of the second.

    Raises:
        ValueError: The thumbnails differ in size.
    """
    if before.shape != after.shape:
        raise ValueError(f"thumbnails of two sizes cannot be aligned: {before.shape} and {after.shape}")
    static = np.eye(2, 3)
    if min(before.std(), after.std()) < _MIN_CONTRAST:
        return static
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _PRECISION)
    start = np.eye(2, 3, dtype=np.float32)
    mask: Any = None  # OpenCV's stubs do not allow for the default
    try:
        _, found = cv2.findTransformECC(before, after, start, cv2.MOTION_EUCLIDEAN, criteria, mask, _BLUR)
    except cv2.error:
        return static
    if not np.isfinite(found).all():
        return static
    warp = np.asarray(found, np.float64)
    height, width = image_size
    # A rotation is the same at any scale; the translation is in pixels of the thumbnail.
    warp[:, 2] *= (width / before.shape[1] + height / before.shape[0]) / 2
    return warp


def warp_boxes(boxes: Float[Tensor, "*batch 4"], warp: NDArray[np.floating]) -> Float[Tensor, "*batch 4"]:
    """Move the centers of boxes by a rigid motion; their sizes stay.

    Args:
        boxes: ``(..., 4)`` xyxy [px].
        warp: ``(2, 3)``, as :func:`camera_motion` returns it.

    Returns:
        ``(..., 4)`` xyxy [px].
    """
    matrix = torch.as_tensor(warp, dtype=boxes.dtype, device=boxes.device)
    before = centers(boxes)
    with without_autocast(boxes):  # bfloat16 would round pixels to 4 or 8 in the width of an image
        after = before @ matrix[:, :2].T + matrix[:, 2]
    return shift(boxes, after - before)


def constant_velocity(past: Float[Tensor, "T *batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Extrapolate boxes by one frame at the mean velocity of their centers.

    Args:
        past: ``(T, ..., 4)`` the boxes of T consecutive frames, oldest first, xyxy [px].

    Returns:
        ``(..., 4)``: the next box, of the last one's size; the last one itself if T is 1.
    """
    if len(past) < 2:
        return past[-1]
    middles = centers(past)
    return shift(past[-1], (middles[-1] - middles[0]) / (len(past) - 1))
