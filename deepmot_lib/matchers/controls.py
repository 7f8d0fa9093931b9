"""Matchers that nobody trains, behind the interface of the networks: what a learned one has to beat.

Each offers ``soft(distance)``: (B, N, M) distances, N and M at least 1, to (B, N, M) in [0, 1], where gated
entries (at or above ``pairs.GATED``) come out 0. None has parameters.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..assignment import discretize, optimal_assignment
from ..data.pair_checks import GATED


class Softmax(nn.Module):
    """Softmax of -D / ``temperature`` over the rows times the same over the columns.

    An entry is near 1 where it is the smallest of its row and of its column by several temperatures. The
    default is where ``Sinkhorn`` ends its annealing; larger is smoother and leaves fewer entries above 0.5.
    """

    def __init__(self, temperature: float = 0.002) -> None:
        super().__init__()
        self.temperature = _positive("temperature", temperature)

    def soft(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Return the product of the two softmaxes, 0 at gated entries."""
        gated = distance >= GATED
        # The lowest number, not -inf, so that a line of nothing but gated entries is no 0 / 0.
        scores = (-distance / self.temperature).masked_fill(gated, torch.finfo(distance.dtype).min)
        return (scores.softmax(-1) * scores.softmax(-2)).masked_fill(gated, 0.0)


class Greedy(nn.Module):
    """1 at each row's smallest ungated entry (the first of equals), 0 elsewhere.

    A step function of D: it has no gradient to pass, and the one that backpropagation finds is 0 everywhere.
    """

    def soft(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Return 1 at each row's smallest ungated entry and 0 elsewhere, with a gradient of 0."""
        return discretize(-distance, "row", threshold=-GATED) + 0 * distance


class Sinkhorn(nn.Module):
    """Entropic optimal transport (Sinkhorn's algorithm), differentiated through its rounds.

    It is computed in the log domain. Each row and column carries mass 1. A dustbin column takes what rows
    leave unmatched, a dustbin row likewise for columns, each unit at the distance ``dustbin``; so a pair is
    preferred to leaving both its ends alone as long as it is less than 2 * ``dustbin`` apart. ``rounds``
    alternate between columns and rows while the entropy's weight eps falls geometrically from ``eps_start``
    to ``eps_end``: the smaller its last value, the nearer to 0/1 and to the optimum, and the steeper the
    gradient (up to 1 / eps). The last update is one of the rows, whose sums are therefore at most 1; those of
    the columns are so at convergence.

    The defaults suit distances in [0, 1]; eps is in their unit.
    """

    def __init__(
        self, eps_start: float = 0.3, eps_end: float = 0.002, rounds: int = 200, dustbin: float = 1.0
    ) -> None:
        super().__init__()
        self.eps_start, self.eps_end = _positive("eps_start", eps_start), _positive("eps_end", eps_end)
        self.rounds, self.dustbin = int(_positive("rounds", rounds)), dustbin

    def soft(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Return the mass that each pair carries after the last round, clamped to at most 1."""
        _, n, m = distance.shape
        scores = (-distance).masked_fill(distance >= GATED, -torch.inf)
        scores = nn.functional.pad(scores, (0, 1, 0, 1), value=-self.dustbin)
        scores[:, n, m] = 0.0
        # The dustbins hold as much as all lines of the other side together: nothing need be matched.
        row_mass, column_mass = scores.new_zeros(n + 1, 1), scores.new_zeros(1, m + 1)
        row_mass[n], column_mass[:, m] = math.log(m), math.log(n)
        rows = torch.zeros_like(scores[:, :, :1])
        for k in range(self.rounds):
            eps = self.eps_start * (self.eps_end / self.eps_start) ** (k / max(1, self.rounds - 1))
            scaled = scores / eps
            columns = eps * (column_mass - (scaled + rows / eps).logsumexp(-2, keepdim=True))
            rows = eps * (row_mass - (scaled + columns / eps).logsumexp(-1, keepdim=True))
        return ((scores + rows + columns) / eps).exp()[:, :n, :m].clamp(max=1.0)


class Hungarian(nn.Module):
    """The optimal assignment A*, exactly, with the gradient of a blackbox solver.

    The gradient is that of "Differentiation of Blackbox Combinatorial Solvers" (Vlastelica et al., arXiv
    1912.02175). The backward pass solves once more, for D' = D + ``strength`` * dL/dA, and answers
    (A*(D') - A*(D)) / ``strength``: the gradient of a piecewise affine interpolation of the loss, the coarser
    and the more often different from 0 the larger ``strength`` (that paper's lambda).
    """

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = _positive("strength", strength)

    def soft(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Return the optimal assignment, 0/1, whose backward pass solves once more."""
        return _Blackbox.apply(distance, self.strength)


class _Blackbox(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor, strength: float) -> Tensor:
        assignment = optimal_assignment(distance, gate=GATED)
        ctx.save_for_backward(distance, assignment)
        ctx.strength = strength
        return assignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        distance, assignment = ctx.saved_tensors
        moved = (distance + ctx.strength * gradient).masked_fill(distance >= GATED, torch.inf)
        return (optimal_assignment(moved) - assignment) / ctx.strength, None


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return value
