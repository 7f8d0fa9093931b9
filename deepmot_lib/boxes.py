"""Arithmetic of boxes, once for the whole library; ``columns`` has the names of their columns in tables.

A box is ``xyxy`` in pixels: left, top, right and bottom, with right = left + width, as in MOTChallenge files
read by ``mot``. Functions take tensors or arrays ``(..., 4)`` and keep dtype and device. What torchvision
offers for tensors is taken from there: ``box_iou``, ``clip_boxes_to_image``, ``remove_small_boxes``, ``nms``.
"""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from .columns import LARGEST, XYXY
from .numerics import check_range

#: A tensor or an array, whichever came in.
Array = TypeVar("Array", Tensor, NDArray[np.floating])


def centers(boxes: Array) -> Array:
    """Return the centers of boxes.

    Args:
        boxes: ``(..., 4)`` xyxy [px].

    Returns:
        ``(..., 2)`` x and y [px].

    Example:
        >>> centers(torch.tensor([[0.0, 0, 10, 40]]))
        tensor([[ 5., 20.]])
    """
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def sizes(boxes: Array) -> Array:
    """Return the widths and heights of boxes.

    Args:
        boxes: ``(..., 4)`` xyxy [px].

    Returns:
        ``(..., 2)`` width and height [px], negative where a box is inside out (x2 < x1 or y2 < y1).

    Example:
        >>> sizes(torch.tensor([[0.0, 0, 10, 40]]))
        tensor([[10., 40.]])
    """
    return boxes[..., 2:] - boxes[..., :2]


def feet(boxes: Array) -> Array:
    """Return the middles of the bottom edges of boxes: where a standing person touches the ground.

    Args:
        boxes: ``(..., 4)`` xyxy [px].

    Returns:
        ``(..., 2)`` x and y [px].

    Example:
        >>> feet(torch.tensor([[0.0, 0, 10, 40]]))
        tensor([[ 5., 40.]])
    """
    return _join(centers(boxes)[..., :1], boxes[..., 3:])


def from_centers(center: Array, size: Array) -> Array:
    """Return the boxes of these centers and sizes.

    Args:
        center: ``(..., 2)`` x and y [px].
        size: ``(..., 2)`` width and height [px], broadcast against ``center``.

    Returns:
        ``(..., 4)`` xyxy [px].

    Example:
        >>> from_centers(torch.tensor([[5.0, 20]]), torch.tensor([[10.0, 40]]))
        tensor([[ 0.,  0., 10., 40.]])
    """
    return _join(center - size / 2, center + size / 2)


def shift(boxes: Array, offset: Array) -> Array:
    """Return boxes moved by an offset, of the same sizes.

    Args:
        boxes: ``(..., 4)`` xyxy [px].
        offset: ``(..., 2)`` along x and y [px].

    Returns:
        ``(..., 4)`` xyxy [px].

    Example:
        >>> shift(torch.tensor([[0.0, 0, 10, 40]]), torch.tensor([[1.0, -2]]))
        tensor([[ 1., -2., 11., 38.]])
    """
    return boxes + _join(offset, offset)


def mirror(boxes: Float[Tensor, "*batch 4"], width: float) -> Float[Tensor, "*batch 4"]:
    """Return where boxes are once their image has been flipped left to right.

    Args:
        boxes: ``(..., 4)`` xyxy [px].
        width: of the image [px]; 1 where boxes are in shares of it.

    Returns:
        ``(..., 4)`` xyxy [px].

    Example:
        >>> mirror(torch.tensor([[10.0, 0, 30, 40]]), 100)
        tensor([[70.,  0., 90., 40.]])
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def from_table(table: pd.DataFrame, dtype: torch.dtype = torch.float32) -> Float[Tensor, "K 4"]:
    """Return the boxes of a table with the columns ``XYXY``, one per row.

    Args:
        table: K rows.
        dtype: of the result.

    Returns:
        ``(K, 4)`` xyxy [px].

    Example:
        >>> from_table(pd.DataFrame({"x1": [0], "y1": [1], "x2": [10], "y2": [41]}))
        tensor([[ 0.,  1., 10., 41.]])
    """
    return torch.tensor(table[XYXY].to_numpy(np.float64), dtype=dtype)


def by_frame(table: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Split a table of boxes into those of each frame.

    Args:
        table: rows with the column ``frame``.

    Returns:
        The rows of each frame that has any, in their order.

    Example:
        >>> [len(rows) for rows in by_frame(pd.DataFrame({"frame": [3, 1, 3]})).values()]
        [1, 2]
    """
    return {int(cast(int, frame)): rows for frame, rows in table.groupby("frame")}


def check(name: str, boxes: Tensor) -> None:
    """Refuse what is no set of boxes, or holds coordinates whose areas would overflow.

    Args:
        name: what the message calls them: the argument's name.
        boxes: ``(..., K, 4)`` floating point, each coordinate finite and at most ``LARGEST`` in size.

    Raises:
        ValueError: another shape or dtype; a coordinate that is NaN, infinite or too large.

    Example:
        >>> check("boxes", torch.tensor([[0.0, 0, 2e19, 10]]))
        Traceback (most recent call last):
        ValueError: boxes holds 2e+19 at (0, 2): coordinates must be finite and at most 1e+15 px in size
    """
    if boxes.ndim < 2 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must hold boxes of shape (..., count, 4), got {tuple(boxes.shape)}")
    if not boxes.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor, got {boxes.dtype}")
    rule = f"coordinates must be finite and at most {LARGEST:g} px in size"
    check_range(name, boxes, -LARGEST, LARGEST, rule)


def _join(first: Array, second: Array) -> Array:
    """Two pairs of coordinates (..., 2), side by side."""
    if isinstance(first, Tensor):
        return torch.cat([first, second], dim=-1)
    return np.concatenate([first, second], axis=-1)
