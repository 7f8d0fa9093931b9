"""The optimal assignment, the discretized soft one, and how well they agree (Sec. 3, 5.1, Appendix B).

Matrices are ``(..., N, M)``: N predictions by M objects, any leading batch dimensions. Assignments are 0/1
tensors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Real, Shaped
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Axis = Literal["row", "column"]
_DIM = {"row": -1, "column": -2}


def optimal_assignment(
    distance: Real[Tensor, "*batch N M"], gate: float | None = None
) -> Real[Tensor, "*batch N M"]:
    """Solve for A* of Sec. 3: as many pairs as can be matched, at the least total distance.

    Args:
        distance: ``(..., N, M)``, no NaN. An infinite entry can never be matched.
        gate: entries at or above it can never be matched either; None gates nothing.

    Returns:
        ``(..., N, M)`` 0/1, of the distance's dtype and device, without gradient. Rows and columns sum to at
        most 1. Without gated entries exactly min(N, M) pairs are matched. With them the paper's program is
        solved over the rest (footnote 1): the most pairs that the ungated entries allow, then the least
        total.

    Raises:
        ValueError: NaN among the distances, or fewer than two dimensions.

    Example:
        The first row's smallest entry goes to the second row, which has nothing else:

        >>> optimal_assignment(torch.tensor([[0.1, 0.2], [0.3, 9.0]]), gate=1.0)
        tensor([[0., 1.],
                [1., 0.]])
    """
    if distance.ndim < 2:
        raise ValueError(f"distance must be (..., N, M), got {tuple(distance.shape)}")
    distance = distance.detach()
    if distance.isnan().any():
        raise ValueError(f"distance {tuple(distance.shape)} holds NaN: there is no optimal assignment")
    allowed = (distance.isfinite() if gate is None else distance.isfinite() & (distance < gate)).cpu().numpy()
    cost = distance.to("cpu", torch.float64).numpy()
    matched = np.zeros(cost.shape, dtype=bool)
    for index in np.ndindex(cost.shape[:-2]):
        matched[index] = _solve(cost[index], allowed[index])
    return torch.from_numpy(matched).to(distance.device, distance.dtype)


def _solve(cost: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Match one matrix (N, M)."""
    matched = np.zeros(cost.shape, dtype=bool)
    if not allowed.any():
        return matched
    if not allowed.all():
        values = cost[allowed]
        low, spread = values.min(), np.ptp(values)
        # One forbidden pair must outweigh any rearrangement of the others, so that it is taken only where
        # nothing else is left. No larger than that: a huge constant would swallow the digits that decide
        # between the real costs.
        forbidden = (min(cost.shape) + 1) * spread if spread > 0 else 1.0
        cost = np.where(allowed, cost - low, forbidden)
    rows, columns = linear_sum_assignment(cost)
    matched[rows, columns] = allowed[rows, columns]
    return matched


def discretize(
    soft: Real[Tensor, "*batch N M"], axis: Axis = "row", threshold: float = 0.5
) -> Real[Tensor, "*batch N M"]:
    """Turn a soft assignment into a 0/1 one (Appendix B).

    Each line's largest entry becomes 1 where it exceeds the threshold.

    Args:
        soft: ``(..., N, M)`` soft assignment.
        axis: "row" takes the maximum of every row (prediction), "column" that of every column (object).
        threshold: an entry must be larger than this.

    Returns:
        ``(..., N, M)`` 0/1, of soft's dtype, at most one 1 in each line along ``axis``; lines across it may
        hold several.

    Raises:
        ValueError: another axis.

    Example:
        >>> discretize(torch.tensor([[0.9, 0.2], [0.8, 0.3]]), "row")
        tensor([[1., 0.],
                [1., 0.]])
    """
    dim = _dim(axis)
    hard = torch.zeros_like(soft)
    if soft.shape[dim] == 0:
        return hard
    value, winner = soft.detach().max(dim, keepdim=True)
    return hard.scatter_(dim, winner, (value > threshold).to(soft.dtype))


def weighted_accuracy(
    predicted: Shaped[Tensor, "*batch N M"], target: Shaped[Tensor, "*batch N M"]
) -> Float[Tensor, "*batch"]:
    """Compute WA of each matrix (Eq. 10).

    WA = (w1 n1* + w0 n0*) / (w1 n1 + w0 n0), where the target holds n1 ones and n0 zeros, w0 = n1 / (n0 +
    n1), w1 = 1 - w0, and n1*, n0* of them are predicted right. (The text below Eq. 10 calls n0* "false
    positives", which would reward errors.) With these weights WA is the mean of the hit rates on ones and on
    zeros.

    A matrix without ones, or without zeros, makes Eq. 10 0 / 0: the hit rate of the class that is there
    stands in. An empty matrix scores 1.

    Args:
        predicted: ``(..., N, M)`` 0/1.
        target: ``(..., N, M)`` 0/1.

    Returns:
        ``(...)`` in [0, 1], float32 or float64.

    Raises:
        ValueError: matrices of two shapes, or fewer than two dimensions.

    Example:
        One of two ones found, both zeros right:

        >>> weighted_accuracy(torch.tensor([[1, 0], [0, 0]]), torch.eye(2))
        tensor(0.7500)
    """
    predicted, target, dtype = _binary(predicted, target)
    return _accuracy(predicted, target).to(dtype)


def missing_assignments(
    predicted: Shaped[Tensor, "*batch N M"], target: Shaped[Tensor, "*batch N M"], axis: Axis
) -> Float[Tensor, "*batch"]:
    """Compute MA of each matrix (Appendix B): the share of lines that only one of the two assigns.

    A line is missed where the target assigns it and the prediction does not, or inversely.

    Args:
        predicted: ``(..., N, M)`` 0/1.
        target: ``(..., N, M)`` 0/1.
        axis: the discretisation; the lines counted are those across it: columns after a row-wise maximum,
            rows after a column-wise one.

    Returns:
        ``(...)`` in [0, 1], float32 or float64.

    Raises:
        ValueError: matrices of two shapes, fewer than two dimensions, another axis.

    Example:
        The second column has lost its track:

        >>> missing_assignments(torch.tensor([[1, 0], [1, 0]]), torch.eye(2), "row")
        tensor(0.5000)
    """
    predicted, target, dtype = _binary(predicted, target)
    return _share(_missing(predicted, target, axis), dtype)


def several_assignments(predicted: Shaped[Tensor, "*batch N M"], axis: Axis) -> Float[Tensor, "*batch"]:
    """Compute SA of each matrix (Appendix B): the share of lines with more than one assignment.

    The lines are those across ``axis``.

    Args:
        predicted: ``(..., N, M)`` 0/1.
        axis: the discretisation; columns are counted after a row-wise maximum, rows after a column-wise one
            (the maximum itself leaves no more than one along its own axis).

    Returns:
        ``(...)`` in [0, 1], float32 or float64.

    Raises:
        ValueError: fewer than two dimensions, another axis.

    Example:
        >>> several_assignments(torch.tensor([[1, 0], [1, 0]]), "row")
        tensor(0.5000)
    """
    predicted, _, dtype = _binary(predicted, predicted)
    return _share(_several(predicted, axis), dtype)


def _dim(axis: str) -> int:
    if axis not in _DIM:
        raise ValueError(f'axis must be "row" or "column", got {axis!r}')
    return _DIM[axis]


def _binary(
    predicted: Tensor, target: Tensor
) -> tuple[Bool[Tensor, "*batch N M"], Bool[Tensor, "*batch N M"], torch.dtype]:
    """Convert both to bool, and choose the dtype for the result."""
    if predicted.ndim < 2 or predicted.shape != target.shape:
        raise ValueError(
            f"predicted and target must be (..., N, M) of one shape, "
            f"got {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    dtype = predicted.dtype if predicted.is_floating_point() else torch.get_default_dtype()
    return predicted > 0.5, target > 0.5, torch.promote_types(dtype, torch.float32)


def _accuracy(
    predicted: Bool[Tensor, "*batch N M"], target: Bool[Tensor, "*batch N M"]
) -> Float[Tensor, "*batch"]:
    """Compute WA of each matrix in float64."""
    count = (target.sum((-2, -1)), (~target).sum((-2, -1)))
    right = ((predicted & target).sum((-2, -1)), (~predicted & ~target).sum((-2, -1)))
    rates = torch.stack([r.double() / n.clamp(min=1) for r, n in zip(right, count, strict=True)])
    there = torch.stack([n > 0 for n in count])
    accuracy = (rates * there).sum(0) / there.sum(0).clamp(min=1)
    return torch.where(there.any(0), accuracy, 1.0)


def _missing(
    predicted: Bool[Tensor, "*batch N M"], target: Bool[Tensor, "*batch N M"], axis: str
) -> Bool[Tensor, "*batch lines"]:
    """Find the lines across ``axis`` that one assigns and the other does not."""
    across = _DIM["column" if _dim(axis) == _DIM["row"] else "row"]
    return predicted.any(across) != target.any(across)


def _several(predicted: Bool[Tensor, "*batch N M"], axis: str) -> Bool[Tensor, "*batch lines"]:
    """Find the lines across ``axis`` with more than one assignment."""
    across = _DIM["column" if _dim(axis) == _DIM["row"] else "row"]
    return predicted.sum(across) > 1


def _share(lines: Bool[Tensor, "*batch lines"], dtype: torch.dtype) -> Float[Tensor, "*batch"]:
    """Compute the share of lines that are marked; 0 where there are none."""
    return (lines.sum(-1).double() / max(lines.shape[-1], 1)).to(dtype)
