"""Soft counts of a frame: false positives, misses and identity switches (Sec. 4.2, Eq. 5-6).

A soft assignment ``(..., N, M)`` of N tracks (rows) to M objects (columns) is turned into counts by a softmax
over each line to which the threshold delta has been appended. The published equations show no temperature,
but without one a softmax over numbers in [0, 1] is nearly flat and the counts mean nothing: ``scale``
multiplies its input, and with the released code's 100 the soft counts are the counts. Half precision is
converted to float32 first: at that scale the step of bfloat16 near 1 moves the softmax's input by 0.4.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Real, Shaped
from torch import Tensor
from torch.nn.functional import pad

from .numerics import full_precision

#: The largest weight and the largest scale: to float32 a steeper softmax is a step.
LARGEST_SETTING = 1e6


def row_softmax(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch N M+1"]:
    """Compute C^r of Eq. 5 (Fig. 3a): delta appended as a column, softmax over each row.

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1): a prediction counts as matched where an entry of its row exceeds it.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(..., N, M + 1)``: rows that sum to 1, whose last entry says how far a track matches nothing.

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> row_softmax(torch.tensor([[0.9, 0.1], [0.2, 0.1]])).round(decimals=2)
        tensor([[1., 0., 0.],
                [0., 0., 1.]])
    """
    check_softmax(delta, scale)
    return torch.softmax(scale * pad(full_precision(soft), (0, 1), value=delta), dim=-1)


def column_softmax(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch N+1 M"]:
    """Compute C^c of Eq. 5-6 (Fig. 3b): delta appended as a row, softmax over each column.

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1): an object counts as matched where an entry of its column exceeds it.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(..., N + 1, M)``: columns that sum to 1, whose last entry says how far an object is missed.

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> column_softmax(torch.tensor([[0.9, 0.1], [0.2, 0.1]])).round(decimals=2)
        tensor([[1., 0.],
                [0., 0.],
                [0., 1.]])
    """
    check_softmax(delta, scale)
    return torch.softmax(scale * pad(full_precision(soft), (0, 0, 0, 1), value=delta), dim=-2)


def soft_false_positives(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch"]:
    """Count predictions without an object, softly (Eq. 5, left).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, N].

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> soft_false_positives(torch.tensor([[1.0, 0], [0, 0], [0, 0]]))
        tensor(2.)
    """
    return row_softmax(soft, delta, scale)[..., -1].sum(-1)


def soft_false_negatives(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch"]:
    """Count objects without a prediction, softly (Eq. 5, right).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, M].

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> soft_false_negatives(torch.tensor([[1.0, 0], [0, 0], [0, 0]]))
        tensor(1.)
    """
    return column_softmax(soft, delta, scale)[..., -1, :].sum(-1)


def soft_id_switches(
    soft: Real[Tensor, "*batch N M"],
    previous_matches: Shaped[Tensor, "*batch N M"],
    delta: float = 0.5,
    scale: float = 100.0,
) -> Float[Tensor, "*batch"]:
    """Count matches that the previous frame did not have, softly (Eq. 6).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        previous_matches: ``(..., N, M)`` 0/1, B_-1^TP over the tracks and objects of this frame: see
            :func:`.identities.align_matches`.
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, M].

    Raises:
        ValueError: matrices of two shapes; delta or scale out of range.

    Example:
        Two tracks that have swapped their objects:

        >>> soft_id_switches(torch.tensor([[0.0, 1], [1, 0]]), torch.eye(2))
        tensor(2.)
    """
    return soft_misses_and_switches(soft, previous_matches, delta, scale)[1]


def soft_misses_and_switches(
    soft: Real[Tensor, "*batch N M"],
    previous_matches: Shaped[Tensor, "*batch N M"],
    delta: float = 0.5,
    scale: float = 100.0,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Count as :func:`soft_false_negatives` and :func:`soft_id_switches` do, by one softmax.

    Args:
        soft: as for :func:`soft_id_switches`.
        previous_matches: as for :func:`soft_id_switches`.
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        Misses and switches, ``(...)`` in [0, M] each.

    Raises:
        ValueError: matrices of two shapes; delta or scale out of range.

    Example:
        >>> soft_misses_and_switches(torch.tensor([[0.0, 1], [0, 0]]), torch.eye(2))
        (tensor(1.), tensor(1.))
    """
    if soft.shape != previous_matches.shape:
        shapes = f"{tuple(previous_matches.shape)} and {tuple(soft.shape)}"
        raise ValueError(f"previous_matches and soft must have one shape, got {shapes}")
    columns = column_softmax(soft, delta, scale)
    unmatched_before = 1 - previous_matches.to(columns.dtype)
    return columns[..., -1, :].sum(-1), (columns[..., :-1, :] * unmatched_before).sum((-2, -1))


def check_softmax(delta: float, scale: float) -> None:
    """Refuse a threshold or a scale with which the counts mean nothing, or overflow.

    Args:
        delta: threshold in (0, 1).
        scale: inverse temperature, above 0 and at most ``LARGEST_SETTING``.

    Raises:
        ValueError: names the one that is out of range.

    Example:
        >>> check_softmax(delta=0.5, scale=float("nan"))
        Traceback (most recent call last):
        ValueError: scale must be above 0 and at most 1e+06, got nan
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, got {delta}")
    if not 0 < scale <= LARGEST_SETTING:
        raise ValueError(f"scale must be above 0 and at most {LARGEST_SETTING:g}, got {scale}")
