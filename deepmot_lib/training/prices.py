"""Training of the price network of ``min_sum``: towards optimal dual prices, then through the rounds.

The dual of the assignment problem puts a price on every column: at an optimum each row's match gains it at
least as much, after the price, as any other column would. Such prices are not unique: those of a column fill
an interval, whose ends follow from the optimal assignment by shortest paths. The network is punished only
outside of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import smooth_l1_loss, softplus

from ..assignment import discretize, optimal_assignment, weighted_accuracy
from ..data.pair_checks import GATED
from ..data.pairs import Pairs, batches, concatenate, from_matrices
from ..matchers.min_sum import BENEFIT, MinSum, gains, min_sum
from ..matchers.network import Matcher
from .matcher import Epochs
from .schedules import PriceSchedule
from .trainer import Training

_WARM_UP = 50  # steps
_FLIPPED = 0.3  # share of the batches whose rows and columns change places
_UNIFORM_SIZES = (2, 60)
_UNIFORM_GROUP = 16  # uniform matrices of one shape


class PriceTraining(Training):
    """Training of the price network of ``min_sum``: towards optimal prices, then also through the rounds.

    The history has ``WA``, the weighted accuracy of the last batch (row-wise maximum, in [0, 1]).

    Args:
        matcher: A ``min_sum`` matcher.
        pairs: The matrices D with their optimal assignments A*.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.

    Raises:
        TypeError: a matcher without a price network.
    """

    max_gradient_norm = 1.0

    def __init__(self, matcher: Matcher, pairs: Pairs, schedule: PriceSchedule, seed: int) -> None:
        if not isinstance(matcher.core, MinSum) or matcher.core.price is None:
            raise TypeError(f"{matcher.name} has no price network to train")
        self.network: Matcher = matcher
        self.price = matcher.core.price
        self.name, self.seed, self.steps = matcher.name, seed, schedule.steps
        self.pairs, self.schedule = pairs, schedule
        self.unrolled_from = round(schedule.steps * (1 - schedule.unroll_fraction))
        self.optimizer = torch.optim.AdamW(matcher.parameters(), schedule.learning_rate, weight_decay=1e-4)
        self.batches = Epochs(self._epoch, seed)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: it warms up, then falls to a hundredth on a cosine."""
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.schedule.learning_rate * min(1, (step + 1) / _WARM_UP) * (0.01 + 0.99 * cosine)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a step's prices and, in the last part of the steps, that of the beliefs."""
        self.distance, self.assignment = (tensor.to(self.device) for tensor in self.batches[step].stack())
        gain, open_pairs = gains(self.distance)
        share = self.price(gain, open_pairs)
        terms = {"prices": price_loss(share, gain, open_pairs, self.assignment)}
        if step >= self.unrolled_from:
            rounds = int(self.rng(step).integers(3, self.schedule.rounds + 1))
            belief = min_sum(gain, BENEFIT * torch.sigmoid(share), rounds)
            terms["beliefs"] = self.schedule.unroll_weight * belief_loss(belief, open_pairs, self.assignment)
        return terms

    def metrics(self) -> dict[str, float]:
        """Return the weighted accuracy of the last batch, with the weights as they are now."""
        predicted = discretize(self.network.logits(self.distance).sigmoid(), axis="row")
        return {"WA": float(weighted_accuracy(predicted, self.assignment).mean())}

    def _epoch(self, rng: np.random.Generator) -> list[PriceBatch]:
        """Return the batches of an epoch, with uniform random matrices mixed in."""
        count = round(self.schedule.uniform * len(self.pairs))
        mixed = concatenate([self.pairs, uniform_pairs(count, rng)]) if count else self.pairs
        return [
            PriceBatch(mixed, indices, bool(rng.random() < _FLIPPED))
            for indices in batches(mixed, 256, rng, max_entries=self.schedule.entries)
        ]


class PriceBatch(NamedTuple):
    """The pairs of a step, of one shape, and whether their rows and columns change places."""

    pairs: Pairs
    indices: np.ndarray
    is_flipped: bool

    def stack(self) -> tuple[Tensor, Tensor]:
        """Return D and A*, (B, N, M) each."""
        distance, assignment = self.pairs.stack(self.indices)
        if self.is_flipped:
            return distance.transpose(1, 2).contiguous(), assignment.transpose(1, 2).contiguous()
        return distance, assignment


def price_interval(gain: Tensor, open_pairs: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest optimal dual price of each column, (B, M) each, by batched Bellman-Ford.

    ``gain``, ``open_pairs`` and the optimal ``assignment`` are (B, N, M). Prices p obey: p is 0 where a
    column is unmatched, and elsewhere between 0 and its match's gain; the row i matched to j prefers no other
    column k, p_j <= p_k + gain_ij - gain_ik; a row without a match wants none, p_k >= gain_ik. Where
    ``assignment`` is not the optimum of the gains, no prices obey and the interval means nothing.
    """
    matched = assignment.bool()
    has_row, row_matched = matched.any(1), matched.any(2)
    own = (gain * matched).sum(1)
    wanted = assignment.transpose(1, 2).to(gain.dtype) @ torch.where(open_pairs, gain, -GATED)
    difference = torch.where(has_row[:, :, None], own[:, :, None] - wanted, GATED)
    highest = own
    lowest = torch.where(open_pairs & ~row_matched[:, :, None], gain, 0.0).amax(1).clamp(min=0) * has_row
    for _ in range(gain.shape[2]):
        higher = torch.minimum(highest, (highest[:, None, :] + difference).amin(2))
        lower = torch.maximum(lowest, (lowest[:, :, None] - difference).amax(1)) * has_row
        settled = torch.allclose(higher, highest, rtol=0, atol=1e-6) & torch.allclose(
            lower, lowest, rtol=0, atol=1e-6
        )
        highest, lowest = higher, lower
        if settled:
            break
    return lowest, highest.clamp(min=0)


def price_loss(share: Tensor, gain: Tensor, open_pairs: Tensor, assignment: Tensor) -> Tensor:
    """How far the logits of prices, (B, M), lie outside the logits of their optimal intervals.

    Huber's loss of the distance, averaged over a matrix's columns with an open pair, then over matrices: a
    large matrix does not weigh more than a small one.
    """
    with torch.no_grad():
        lowest, highest = price_interval(gain, open_pairs, assignment)
        low, high = (torch.logit((price / BENEFIT).clamp(0.0015, 0.9985)) for price in (lowest, highest))
        low = torch.where(lowest < 0.003, -30.0, low)  # an end of the scale is no end of the logits
        high = torch.where(highest > 0.997 * BENEFIT, 30.0, high)
        nearest = torch.minimum(torch.maximum(share, low), high)
        present = open_pairs.any(1).to(share.dtype)
    outside = smooth_l1_loss(share, nearest, beta=0.3, reduction="none") * present
    return (outside.sum(1) / present.sum(1).clamp(min=1)).mean()


def belief_loss(belief: Tensor, open_pairs: Tensor, assignment: Tensor, unit: float = 0.004) -> Tensor:
    """How wrong the beliefs are after some rounds, (B, N, M): the logarithmic loss of compressed beliefs.

    A belief counts by its asinh in ``unit``, so that one of either size is worth getting right; a matrix by
    the logarithm of its loss a match, so that the few that stay wrong do not own the gradient.
    """
    sign = 1 - 2 * assignment
    loss = softplus(2 * torch.asinh(sign * belief / unit)) * open_pairs
    matches = assignment.sum((1, 2)).clamp(min=1)
    return torch.log1p(loss.sum((1, 2)) / matches).mean()


def uniform_pairs(count: int, rng: np.random.Generator) -> Pairs:
    """At least ``count`` uniform random matrices of 2 to 59 rows and columns, in groups of one shape.

    Every second group is square, and every second one gated at a threshold drawn uniformly.
    """
    matrices: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    while len(matrices) < count:
        n, m = rng.integers(*_UNIFORM_SIZES, 2)
        distance = torch.from_numpy(
            rng.random((_UNIFORM_GROUP, n, n if rng.random() < 0.5 else m), np.float32)
        )
        if rng.random() < 0.5:
            distance = distance.masked_fill(distance > rng.random(), GATED)
        matrices += zip(distance.numpy(), optimal_assignment(distance, GATED).numpy(), strict=True)
    return from_matrices(matrices, "uniform")
