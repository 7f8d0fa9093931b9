"""The loop of a tracker's training: resumable at any step, stops on a non-finite loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..data.files import atomic
from .matcher import read_checkpoint

_SAVE_EVERY_S = 60.0
_HISTORY_POINTS = 100
_WARM_UP = 0.05  # of the steps


@dataclass(frozen=True)
class Fit:
    """How a network is trained; ``run`` is the loop around it.

    ``settings`` tells one training from another, for its checkpoint, and must be plain numbers, strings and
    lists. ``loss`` takes a step (from 0) to the parts of its loss, by name; what it draws comes from torch's
    global generator, which is seeded anew for each step by ``seed``, or from a generator seeded by the step,
    so that a resumed training sees what the uninterrupted one does. ``rate`` is the learning rate at a step.

    ``validate`` (up is better; the network is in evaluation mode) is asked ``validations`` times, spread over
    the steps, the last time at their end; the network then ends with the weights that it liked best.
    """

    name: str
    settings: dict
    steps: int
    seed: int
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    loss: Callable[[int], dict[str, Tensor]]
    largest_gradient: float | None = None  # the norm that a step's gradient is clipped to
    validate: Callable[[], float] | None = None
    validations: int = 1

    def run(self, network: nn.Module, checkpoint: str | Path) -> pd.DataFrame:
        """Trains ``network`` in place from ``checkpoint`` on, which is written each minute and at the end.

        Returns the history, about a hundred rows: ``step``, the mean ``loss`` and that of each of its parts
        since the row before, ``learning_rate``, and ``validation`` where it was asked. A finished training
        returns at once. Raises ``dhn.training.CheckpointError`` for a checkpoint that is broken or of another
        training, FloatingPointError on a non-finite loss (the checkpoint then still holds the last finite
        state).
        """
        checkpoint = Path(checkpoint)
        settings = {"name": self.name, "seed": self.seed, "steps": self.steps, **self.settings}
        history: list[dict] = []
        start = 0
        best: dict | None = None
        if checkpoint.exists():
            state = read_checkpoint(checkpoint, settings, next(network.parameters()).device)
            network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            history, start, best = state["history"], state["step"], state.get("best")

        def save() -> None:
            state = {"settings": settings, "network": network.state_dict(), "history": history, "step": done}
            with atomic(checkpoint) as temporary:
                torch.save({**state, "best": best, "optimizer": self.optimizer.state_dict()}, temporary)

        interval = max(1, self.steps // _HISTORY_POINTS)
        recent: list[dict[str, Tensor]] = []
        saved = time.monotonic()
        network.train()
        with tqdm(total=self.steps, initial=start, desc=f"{self.name}, seed {self.seed}", unit="step") as bar:
            for step in range(start, self.steps):
                recent.append(self._step(network, step))
                bar.update()
                done = step + 1
                # A row ends at fixed steps, so that a resumed history is the uninterrupted one; saving waits
                # for such a step.
                if done % interval == 0 or done == self.steps:
                    row = {key: float(torch.stack([p[key] for p in recent]).mean()) for key in recent[0]}
                    total = sum(row.values())
                    if not math.isfinite(total):
                        raise FloatingPointError(
                            f"{self.name}: the loss became {row} between steps {done - len(recent)} and "
                            f"{done}; try a smaller learning rate than {self.rate(step):g}"
                        )
                    history.append({"step": done, "loss": total, **row, "learning_rate": self.rate(step)})
                    bar.set_postfix(loss=f"{total:.3g}")
                    recent.clear()
                    due = self._is_validated(done, interval)
                    if due:
                        score = history[-1]["validation"] = self._validation(network)
                        if best is None or score > best["score"]:
                            weights = {name: value.clone() for name, value in network.state_dict().items()}
                            best = {"score": score, "step": done, "network": weights}
                    if due or done == self.steps or time.monotonic() - saved > _SAVE_EVERY_S:
                        save()
                        saved = time.monotonic()
        if best is not None:
            network.load_state_dict(best["network"])
        network.eval()
        return pd.DataFrame(history)

    def _is_validated(self, done: int, interval: int) -> bool:
        """Whether a validation falls between this row and the one before."""
        before = (done - 1) // interval * interval
        return self.validate is not None and (
            done * self.validations // self.steps > before * self.validations // self.steps
        )

    @torch.no_grad()
    def _validation(self, network: nn.Module) -> float:
        network.eval()
        score = float(self.validate())
        network.train()
        return score

    def _step(self, network: nn.Module, step: int) -> dict[str, Tensor]:
        """One step of the optimiser; returns the parts of its loss."""
        torch.manual_seed(int(self.rng(step).integers(2**63)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        parts = self.loss(step)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        if self.largest_gradient is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self.largest_gradient)
        self.optimizer.step()
        return {name: part.detach() for name, part in parts.items()}

    def rng(self, step: int) -> np.random.Generator:
        """What a step draws from: a function of seed and step alone."""
        return np.random.default_rng([self.seed, step])


def warm_cosine(step: int, steps: int, rate: float) -> float:
    """A learning rate that rises linearly in the first twentieth of the steps and falls to 0 on a cosine."""
    return rate * min(1.0, (step + 1) / (_WARM_UP * steps + 1)) * (1 + math.cos(math.pi * step / steps)) / 2
