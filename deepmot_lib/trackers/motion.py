"""Where a box will be before anyone has looked: the camera's motion and a constant velocity.

Both are what Tracktor adds for moving cameras and low frame rates (Bergmann et al., 2019). Boxes are xyxy in
pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

_LONG_SIDE = 240  # of the grey image on which frames are aligned
_ITERATIONS, _PRECISION = 50, 1e-4
_MIN_SHARPNESS = 1.0  # standard deviation of grey values below which there is nothing to align


def thumbnail(image: np.ndarray) -> np.ndarray:
    """What ``camera_motion`` compares: a small grey picture, uint8, of a (height, width, 3) RGB uint8 one."""
    height, width = image.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def camera_motion(before: np.ndarray, after: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """The rigid motion of the background from one frame to the next: float64 (2, 3), pixels to pixels.

    ``before`` and ``after`` are thumbnails of images of ``image_size`` (height, width). By maximising the
    enhanced correlation coefficient (Evangelidis and Psarakis, 2008; OpenCV). Where that does not converge,
    as between two unlike or blank pictures, the camera is taken to stand still. ValueError where the
    thumbnails differ in size.
    """
    if before.shape != after.shape:
        raise ValueError(f"thumbnails of two sizes cannot be aligned: {before.shape} and {after.shape}")
    still = np.eye(2, 3)
    if min(before.std(), after.std()) < _MIN_SHARPNESS:
        return still
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _PRECISION)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, warp = cv2.findTransformECC(before, after, start, cv2.MOTION_EUCLIDEAN, criteria, None, 5)
    except cv2.error:
        return still
    if not np.isfinite(warp).all():
        return still
    warp = warp.astype(np.float64)
    height, width = image_size
    # A rotation is the same at any scale; the shift is in pixels of the thumbnail.
    warp[:, 2] *= (width / before.shape[1] + height / before.shape[0]) / 2
    return warp


def warp_boxes(boxes: Tensor, warp: np.ndarray) -> Tensor:
    """(..., 4) boxes after the rigid motion ``warp`` (2, 3): the centres move, the sizes stay."""
    matrix = torch.as_tensor(warp, dtype=boxes.dtype, device=boxes.device)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    shift = centers @ matrix[:, :2].T + matrix[:, 2] - centers
    return boxes + torch.cat([shift, shift], dim=-1)


def constant_velocity(past: Tensor) -> Tensor:
    """The next box (..., 4) after ``past`` (T, ..., 4), oldest first: the last one, its centre moved on at
    the mean velocity of the T frames (at none, if T is 1)."""
    if len(past) < 2:
        return past[-1]
    centers = (past[..., :2] + past[..., 2:]) / 2
    velocity = (centers[-1] - centers[0]) / (len(past) - 1)
    return past[-1] + torch.cat([velocity, velocity], dim=-1)
