"""The loop of every training: one that was cut off continues to the same bits, one that diverges stops."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .checkpoint import CheckpointError, CheckpointFile

_SAVE_EVERY_S = 60.0
_HISTORY_ROWS = 100
_WARM_UP = 0.05  # of the steps


class Training(ABC):
    """A network and how it is trained: what a step computes, for the loop in ``train``.

    Attributes:
        network: What is trained, in place, on the device where it is.
        name: The training in a few words, for the progress bar and for messages.
        seed: Decides, together with the step, all that a step draws.
        steps: The number of optimizer steps.
        optimizer: An optimizer of the trained parameters; its learning rate is set before each step.
        max_gradient_norm: The norm that a step's gradient is clipped to.
        validations: How many times ``validate`` is called, spread evenly over the steps, the last time at
            their end, besides once before the first. The network ends with the weights that scored best,
            which may be those it started from; with the last ones for 0.
    """

    network: nn.Module
    name: str
    seed: int
    steps: int
    optimizer: torch.optim.Optimizer
    max_gradient_norm: float = math.inf
    validations: int = 0

    @abstractmethod
    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the terms of a step's loss by name, scalars whose sum is minimized; steps count from 0.

        It must depend on nothing but the weights and the step: whatever is random comes from torch's global
        generators, which are seeded before each step, or from ``rng(step)``.
        """

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    def metrics(self) -> dict[str, float]:
        """Return what else is worth a column of the history, measured on the batch of the last step."""
        return {}

    def validate(self) -> float:
        """Return the network's score, up is better; it is in evaluation mode and without gradients."""
        raise NotImplementedError

    def rng(self, step: int) -> np.random.Generator:
        """Return the generator of a step: a function of seed and step alone."""
        return np.random.default_rng([self.seed, step])

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.network.parameters()).device


def train(training: Training, checkpoint: CheckpointFile) -> pd.DataFrame:
    """Train a network in place, from its checkpoint on where there is one.

    The checkpoint is written each minute, after each validation and at the end; a finished training returns
    at once. One with another fingerprint is not used: the training then starts anew and says what has
    changed. On a CPU a resumed training ends with the same bits as an uninterrupted one.

    Args:
        training: What is trained, and how.
        checkpoint: Where to save it, and the fingerprint of what it depends on; name, seed and steps of the
            training are added to that.

    Returns:
        The history, about a hundred rows: ``step`` (the number of steps done), means since the row before of
        the ``loss`` and each of its terms, the metrics, ``learning_rate`` and, if any, ``validation``, which
        has a row of its own for step 0.

    Raises:
        CheckpointError: the checkpoint is damaged or does not fit the network.
        FloatingPointError: a loss, a gradient or the weights became non-finite. The weights are those before
            that step, and the checkpoint holds finite ones.
    """
    network, optimizer, steps = training.network, training.optimizer, training.steps
    identity = {"name": training.name, "seed": training.seed, "steps": steps}
    checkpoint = CheckpointFile(checkpoint.path, {"training": identity, **checkpoint.fingerprint})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    rows, validated = _schedule(steps, training.validations)
    start, history, recent, best = 0, [], [], None  # recent: the terms of the steps since the last row
    state = checkpoint.load()
    if state is not None:
        _restore(training, state, checkpoint)
        start, history, recent, best = (state[key] for key in ("step", "history", "recent", "best"))

    # What a training starts from is the first candidate: the best of the validations is never worse.
    if validated and best is None and start == 0:
        score = _validate(training)
        history.append({"step": 0, "validation": score})
        if not math.isnan(score):
            best = {"score": score, "step": 0, "network": _copy(network)}
    network.train()
    saved = time.monotonic()
    with tqdm(total=steps, initial=start, desc=f"{training.name}, seed {training.seed}", unit="step") as bar:
        for step in range(start, steps):
            # The loss. All that is random follows from seed and step: there is no random state to save.
            _seed(training, step)
            rate = training.learning_rate(step)
            try:
                terms = training.loss(step)
            except FloatingPointError as error:
                raise _diverged(training, step, str(error)) from error
            values = {name: term.item() for name, term in terms.items()}
            if not all(map(math.isfinite, values.values())):
                raise _diverged(training, step, f"the loss is not finite: {values}")

            # The gradient and, where it is finite, the weights.
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if not norm.isfinite():
                raise _diverged(training, step, f"the gradient is not finite: {_non_finite(training, step)}")
            nn.utils.clip_grads_with_norm_(parameters, training.max_gradient_norm, norm)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

            # The history, the validation and the checkpoint.
            done = step + 1
            recent.append(values)
            if done in rows:
                with torch.no_grad():
                    metrics = training.metrics()
                history.append({"step": done, **_means(recent), **metrics, "learning_rate": rate})
                recent = []
                bar.set_postfix(loss=f"{history[-1]['loss']:.3g}", refresh=False)
            bar.update()
            is_saved = done in validated or done == steps or time.monotonic() - saved > _SAVE_EVERY_S
            if is_saved and not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
                raise _diverged(training, step, "it left weights that are not finite")
            if done in validated:
                score = history[-1]["validation"] = _validate(training)
                if score > (-math.inf if best is None else best["score"]):
                    best = {"score": score, "step": done, "network": _copy(network)}
            if is_saved:
                weights = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
                checkpoint.save({"step": done, "history": history, "recent": recent, "best": best, **weights})
                saved = time.monotonic()

    if best is not None:
        network.load_state_dict(best["network"])
    network.eval()
    return pd.DataFrame(history)


def warm_cosine(step: int, steps: int, peak: float) -> float:
    """Return a learning rate that rises linearly in the first twentieth of the steps, then falls on a cosine.

    Args:
        step: The step, from 0.
        steps: Their number.
        peak: The largest learning rate.

    Returns:
        The learning rate, in [0, ``peak``].
    """
    return peak * min(1.0, (step + 1) / (_WARM_UP * steps + 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def _schedule(steps: int, validations: int) -> tuple[set[int], set[int]]:
    """Return the numbers of steps after which the history gets a row, and those with a validation."""
    interval = max(1, steps // _HISTORY_ROWS)
    rows = {*range(interval, steps + 1, interval), steps}
    due = (steps * k / validations for k in range(1, validations + 1))
    return rows, {min(row for row in rows if row >= at) for at in due}


def _seed(training: Training, step: int) -> None:
    """Seed torch's generators, of the CPU and of every GPU (the dropout of cuDNN's RNNs among them)."""
    torch.manual_seed(int(training.rng(step).integers(2**63)))


def _means(recent: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean loss of some steps, and that of each term over the steps that have it."""
    names = dict.fromkeys(name for terms in recent for name in terms)
    means = {name: fmean(terms[name] for terms in recent if name in terms) for name in names}
    return {"loss": fmean(sum(terms.values()) for terms in recent), **means}


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@torch.no_grad()
def _validate(training: Training) -> float:
    training.network.eval()
    score = float(training.validate())
    training.network.train()
    return score


def _restore(training: Training, state: dict[str, Any], checkpoint: CheckpointFile) -> None:
    """Load network and optimizer from a checkpoint's state."""
    try:
        training.network.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{checkpoint.path} is of another network than {training.name}; delete it to start anew"
        ) from error


def _diverged(training: Training, step: int, what: str) -> FloatingPointError:
    return FloatingPointError(
        f"{training.name}, step {step + 1} of {training.steps}: {what}. Try a smaller learning rate than "
        f"{training.learning_rate(step):g}, or look for extreme values in what it is trained on"
    )


def _non_finite(training: Training, step: int) -> str:
    """Name the terms and parameters of a step whose gradient is not finite, by computing it once more."""
    parameters = {name: p for name, p in training.network.named_parameters() if p.requires_grad}
    _seed(training, step)
    found = []
    for term, value in training.loss(step).items():
        if value.requires_grad:
            gradients = torch.autograd.grad(
                value, list(parameters.values()), retain_graph=True, allow_unused=True
            )
            found += [
                f"{term!r} by {name}"
                for name, gradient in zip(parameters, gradients, strict=True)
                if gradient is not None and not gradient.isfinite().all()
            ]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more or "its norm overflows"
