"""Training of a Deep Hungarian Net on pairs of D and A* (Sec. 5.1, Appendix A.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..assignment import discretize, weighted_accuracy
from ..data.pairs import Pairs, mixed_batches
from ..matchers.network import Matcher
from .schedules import DHNSchedule
from .trainer import Training, warm_cosine

Batch = TypeVar("Batch")


def focal_loss(logits: Tensor, assignment: Tensor, exponent: float = 2.0) -> Tensor:
    """Return the focal loss of logits against A*, averaged over all entries (Sec. 5.1, Appendix A.1).

    Of a matrix with n1 ones and n0 zeros, a zero weighs w0 = n1 / (n0 + n1) and a one w1 = 1 - w0; an entry
    predicted with probability p_t of its true class is modulated by (1 - p_t)^exponent.

    Args:
        logits: (B, N, M) logits of the soft assignment.
        assignment: (B, N, M) optimal assignment A*, 0/1.
        exponent: The focusing exponent, at least 0.

    Returns:
        A scalar, at least 0.
    """
    w0 = assignment.mean(dim=(-2, -1), keepdim=True)
    ones = assignment * (1 - w0) * torch.sigmoid(-logits) ** exponent * logsigmoid(logits)
    zeros = (1 - assignment) * w0 * torch.sigmoid(logits) ** exponent * logsigmoid(-logits)
    return -(ones + zeros).mean()


class Epochs(Generic[Batch]):
    """The batch of each step: epoch after epoch, each drawn by a generator of (seed, epoch).

    ``epochs[step]`` is a function of the step alone, and cheap for steps that follow each other.

    Args:
        draw: Makes the batches of an epoch, at least one, from its generator.
        seed: Decides all epochs.
    """

    def __init__(self, draw: Callable[[np.random.Generator], list[Batch]], seed: int) -> None:
        self._draw, self._seed = draw, seed
        self._start(0, first_step=0)

    def __getitem__(self, step: int) -> Batch:
        if step < self._first_step:
            self._start(0, first_step=0)
        while step >= self._first_step + len(self._batches):
            self._start(self._epoch + 1, self._first_step + len(self._batches))
        return self._batches[step - self._first_step]

    def _start(self, epoch: int, first_step: int) -> None:
        self._epoch, self._first_step = epoch, first_step
        self._batches = self._draw(np.random.default_rng([self._seed, epoch]))
        if not self._batches:
            raise ValueError("an epoch without a batch: there are no pairs to train on")


class MatcherTraining(Training):
    """Training of a matcher as the paper trains its DHN: by the focal loss.

    The history has ``WA``, the weighted accuracy of the last batch (row-wise maximum, in [0, 1]).

    Args:
        matcher: The network.
        pairs: The matrices D with their optimal assignments A*.
        schedule: How long, and at which rate.
        seed: Decides the order of the pairs and the dropout.
    """

    max_gradient_norm = 1.0

    def __init__(self, matcher: Matcher, pairs: Pairs, schedule: DHNSchedule, seed: int) -> None:
        self.network: Matcher = matcher
        self.name, self.seed, self.steps = matcher.name, seed, schedule.steps
        self.pairs, self.schedule = pairs, schedule
        optimizer = torch.optim.AdamW if schedule.cosine else torch.optim.RMSprop
        self.optimizer = optimizer(matcher.parameters(), lr=schedule.learning_rate)
        self.batches = Epochs(self._epoch, seed)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        if self.schedule.cosine:
            return warm_cosine(step, self.steps, self.schedule.learning_rate)
        return self.schedule.learning_rate * self.schedule.decay ** (step // self.schedule.decay_every)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the focal loss, a mean over the matrices of a step's batch.

        Raises:
            TypeError: the weights have no gradient from the matcher's output.
        """
        batch = [self.pairs.stack([index]) for index in self.batches[step]]
        distances = [distance[0].to(self.device) for distance, _ in batch]
        self.assignments = [assignment.to(self.device) for _, assignment in batch]
        self.logits = [logits[None] for logits in self.network.logits_of(distances)]
        if not self.logits[0].requires_grad:
            raise TypeError(f"{self.name}: its output has no gradient to its weights: train it otherwise")
        losses = map(focal_loss, self.logits, self.assignments)
        return {"focal": torch.stack(list(losses)).mean()}

    def metrics(self) -> dict[str, float]:
        """Return the weighted accuracy of the last batch, before the weights moved."""
        chosen = (discretize(logits.sigmoid(), axis="row") for logits in self.logits)
        accuracies = map(weighted_accuracy, chosen, self.assignments)
        return {"WA": float(torch.cat(list(accuracies)).mean())}

    def _epoch(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Return the indices of the pairs in each batch of an epoch."""
        return mixed_batches(self.pairs, self.schedule.batch, rng, self.schedule.cost_cap)
