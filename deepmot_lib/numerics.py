"""Precision and range of what passes between boxes and loss: float32 at least, and no silent NaN.

float16 holds three decimal digits, bfloat16 two: the area of a box overflows the first, and both round a soft
assignment by more than what decides in the softmax of the loss. Distances, matchers and loss therefore
compute in float32 (or float64, where that comes in), under ``torch.autocast`` too, and refuse numbers that
would turn into NaN on the way.
"""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def full_precision(values: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert half precision, integers and booleans to float32; leave float32 and float64 as they are.

    Args:
        values: a tensor of any shape.

    Returns:
        The same values, float32 or float64; the gradient, if any, flows back in the dtype of ``values``.

    Example:
        >>> full_precision(torch.tensor([0.5], dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> AbstractContextManager[object]:
    """Return a context in which matrix products on the device of ``values`` keep the dtype of their inputs.

    Args:
        values: any tensor on the device in question.

    Example:
        >>> ones = torch.ones(1, 1)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast(ones):
        ...     (ones @ ones).dtype
        torch.float32
    """
    kind = values.device.type
    if not torch.amp.is_autocast_available(kind):
        return contextlib.nullcontext()
    return torch.autocast(kind, enabled=False)


def check_range(name: str, values: Float[Tensor, "*shape"], low: float, high: float, rule: str) -> None:
    """Refuse values outside of [low, high], NaN among them.

    Waits for the device once.

    Args:
        name: what the message calls them: the argument's name.
        values: a floating-point tensor of any shape.
        low: the smallest value that is allowed.
        high: the largest value that is allowed.
        rule: what the message says of the values that are allowed.

    Raises:
        ValueError: names the first value outside and its indices.

    Example:
        >>> check_range("soft", torch.tensor([[0.2, 7.0]]), 0, 1, "a soft assignment lies in [0, 1]")
        Traceback (most recent call last):
        ValueError: soft holds 7 at (0, 1): a soft assignment lies in [0, 1]
    """
    if values.numel() == 0:
        return
    values = values.detach()
    smallest, largest = torch.stack(torch.aminmax(values)).tolist()  # both NaN where any value is
    if not (low <= smallest and largest <= high):
        index = tuple((~((values >= low) & (values <= high))).nonzero()[0].tolist())
        value = values[index].item()
        raise ValueError(f"{name} holds {'NaN' if math.isnan(value) else f'{value:g}'} at {index}: {rule}")
