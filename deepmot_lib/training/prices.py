"""Training the price network of ``min_sum``: towards optimal dual prices, then through the rounds.

The dual of the assignment problem puts a price on every column: at an optimum each row's match gains it at
least as much, after the price, as any other column would. Such prices are not unique: those of a column fill
an interval, whose ends follow from the optimal assignment by shortest paths. The network is punished only
outside of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss, softplus

from ..assignment import optimal_assignment
from ..data.pairs import GATED, Pairs, batches, concatenate, from_matrices
from ..matchers.min_sum import BENEFIT, MinSum, gains, min_sum
from ..matchers.network import Matcher
from .matcher import Recipe, fit, from_step
from .schedules import PriceSchedule

_WARM_UP = 50  # steps
_FLIPPED = 0.3  # share of the batches whose rows and columns change places
_UNIFORM_SIZES = (2, 60)
_UNIFORM_GROUP = 16  # uniform matrices of one shape


def train(
    matcher: Matcher,
    pairs: Pairs,
    schedule: PriceSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains the price network of a ``min_sum`` matcher in place; returns its history.

    As ``training.train``: resumable from ``checkpoint``, and the result follows from ``seed``, on one device.
    TypeError for a matcher without a price network.
    """
    if getattr(matcher.core, "price", None) is None or not isinstance(matcher.core, MinSum):
        raise TypeError(f"{matcher.name} has no price network to train")
    matcher.to(device)
    through_from = round(schedule.steps * (1 - schedule.through))

    def rate(step: int) -> float:
        cosine = (1 + math.cos(math.pi * step / schedule.steps)) / 2
        return schedule.learning_rate * min(1, (step + 1) / _WARM_UP) * (0.01 + 0.99 * cosine)

    def objective(distance: Tensor, assignment: Tensor, step: int) -> tuple[Tensor, Callable[[], Tensor]]:
        gain, open_pairs = gains(distance)
        share = matcher.core.price(gain, open_pairs)
        loss = price_loss(share, gain, open_pairs, assignment)
        if step >= through_from:
            rounds = int(np.random.default_rng([seed, step]).integers(3, schedule.rounds + 1))
            belief = min_sum(gain, BENEFIT * torch.sigmoid(share), rounds)
            loss = loss + schedule.through_weight * belief_loss(belief, open_pairs, assignment)
        return loss, lambda: matcher.logits(distance)

    recipe = Recipe(
        settings={**dataclasses.asdict(schedule), "pairs": pairs.digest},
        steps=schedule.steps,
        optimizer=torch.optim.AdamW(matcher.parameters(), schedule.learning_rate, weight_decay=1e-4),
        rate=rate,
        batches=lambda step: map(
            _stack, from_step(lambda rng: _epoch(pairs, schedule, rng), schedule.steps, seed, step)
        ),
        objective=objective,
        largest_gradient=1.0,
    )
    return fit(matcher, recipe, checkpoint, seed, device)


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
    matrices = []
    while len(matrices) < count:
        n, m = rng.integers(*_UNIFORM_SIZES, 2)
        distance = torch.from_numpy(
            rng.random((_UNIFORM_GROUP, n, n if rng.random() < 0.5 else m), np.float32)
        )
        if rng.random() < 0.5:
            distance = distance.masked_fill(distance > rng.random(), GATED)
        matrices += zip(distance.numpy(), optimal_assignment(distance, GATED).numpy(), strict=True)
    return from_matrices(matrices, "uniform")


def _epoch(
    pairs: Pairs, schedule: PriceSchedule, rng: np.random.Generator
) -> Iterator[tuple[Pairs, np.ndarray, bool]]:
    """The batches of an epoch and whether their rows and columns change places."""
    count = round(schedule.uniform * len(pairs))
    mixed = concatenate([pairs, uniform_pairs(count, rng)]) if count else pairs
    for indices in batches(mixed, 256, rng, max_entries=schedule.entries):
        yield mixed, indices, bool(rng.random() < _FLIPPED)


def _stack(batch: tuple[Pairs, np.ndarray, bool]) -> tuple[Tensor, Tensor]:
    pairs, indices, flipped = batch
    distance, assignment = pairs.stack(indices)
    if flipped:
        distance, assignment = (tensor.transpose(1, 2).contiguous() for tensor in (distance, assignment))
    return distance, assignment
