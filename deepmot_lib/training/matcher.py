"""Training a DHN on pairs of D and A* (Sec. 5.1, Appendix A.1): resumable at any step, stops on a non-finite
loss."""

from __future__ import annotations

import dataclasses
import pickle
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from tqdm import tqdm

from ..assignment import discretize, weighted_accuracy
from ..data.files import atomic
from ..data.pairs import Pairs, batches
from ..matchers.network import Matcher
from .schedules import DHNSchedule

_SAVE_EVERY_S = 60.0
_HISTORY_POINTS = 100


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another training; the message names the file."""


def focal_loss(logits: Tensor, assignment: Tensor, exponent: float = 2.0) -> Tensor:
    """Focal loss of logits against A*, (B, N, M) each, averaged over all entries (Sec. 5.1, Appendix A.1).

    Of a matrix with n1 ones and n0 zeros, a zero weighs w0 = n1 / (n0 + n1) and a one w1 = 1 - w0; an entry
    predicted with probability p_t of its true class is modulated by (1 - p_t)^exponent.
    """
    w0 = assignment.mean(dim=(-2, -1), keepdim=True)
    ones = assignment * (1 - w0) * torch.sigmoid(-logits) ** exponent * logsigmoid(logits)
    zeros = (1 - assignment) * w0 * torch.sigmoid(logits) ** exponent * logsigmoid(-logits)
    return -(ones + zeros).mean()


@dataclass(frozen=True)
class Recipe:
    """How one kind of network is trained; ``fit`` is the loop around it.

    ``settings`` tells one training from another, for its checkpoint; ``rate`` is the learning rate at a step.
    ``batches`` yields (D, A*) from a step on, (B, N, M) each, a function of the step alone, so that a resumed
    training sees what the uninterrupted one does. ``objective`` takes (D, A*, step) to the loss and a
    function that gives the logits behind it, called only where the history needs them.
    """

    settings: dict
    steps: int
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]]
    objective: Callable[[Tensor, Tensor, int], tuple[Tensor, Callable[[], Tensor]]]
    largest_gradient: float | None = None  # the norm that a step's gradient is clipped to


def train(
    matcher: Matcher,
    pairs: Pairs,
    schedule: DHNSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains ``matcher`` in place as the paper does, by the focal loss for ``schedule.steps`` steps of
    RMSprop; returns its history.

    The history has about a hundred rows: ``step``, the mean ``loss`` since the row before, ``WA`` of the
    batch (row-wise maximum, in [0, 1]) and ``learning_rate``. ``checkpoint`` is written each minute and at
    the end; where it is there already, training goes on from it, and a finished one returns at once. The
    order of the pairs depends on ``seed`` alone.

    Raises CheckpointError for a checkpoint that is broken or of another training, FloatingPointError on a
    non-finite loss (the checkpoint then still holds the last finite state), TypeError for a matcher whose
    weights have no gradient from its output.
    """
    fields = dataclasses.asdict(schedule).items()

    def epoch(rng: np.random.Generator) -> Iterator[np.ndarray]:
        return batches(pairs, schedule.batch, rng, schedule.cost_cap)

    def objective(distance: Tensor, assignment: Tensor, step: int) -> tuple[Tensor, Callable[[], Tensor]]:
        logits = matcher.logits(distance)
        if not logits.requires_grad:
            raise TypeError(f"{matcher.name}: its output has no gradient to its weights: train it otherwise")
        return focal_loss(logits, assignment), lambda: logits

    recipe = Recipe(
        settings={key: value for key, value in fields if key not in _NOT_OF_TRAINING}
        | {"pairs": pairs.digest},
        steps=schedule.steps,
        optimizer=torch.optim.RMSprop(matcher.to(device).parameters(), lr=schedule.learning_rate),
        rate=lambda step: schedule.learning_rate * schedule.decay ** (step // schedule.decay_every),
        batches=lambda step: map(pairs.stack, from_step(epoch, schedule.steps, seed, step)),
        objective=objective,
        largest_gradient=1.0,
    )
    return fit(matcher, recipe, checkpoint, seed, device)


def fit(
    matcher: Matcher, recipe: Recipe, checkpoint: str | Path, seed: int, device: str | torch.device = "cpu"
) -> pd.DataFrame:
    """The loop of every training: ``recipe.steps`` steps from ``checkpoint`` on, which is written each minute
    and at the end.

    Returns the history, and raises, as ``train`` does.
    """
    checkpoint = Path(checkpoint)
    settings = {"name": matcher.name, "options": matcher.options, "seed": seed, **recipe.settings}
    matcher.to(device).train()
    optimizer = recipe.optimizer
    history: list[dict] = []
    step = 0
    if checkpoint.exists():
        state = read_checkpoint(checkpoint, settings, device)
        matcher.load_state_dict(state["matcher"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        history, step = state["history"], state["step"]
    else:
        torch.manual_seed(seed)

    def save() -> None:
        state = {
            "settings": settings,
            "matcher": matcher.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "history": history,
            "step": step,
        }
        with atomic(checkpoint) as temporary:
            torch.save(state, temporary)

    interval = max(1, recipe.steps // _HISTORY_POINTS)
    total = torch.zeros((), device=device)
    saved = time.monotonic()
    progress = tqdm(total=recipe.steps, initial=step, desc=f"{matcher.name}, seed {seed}", unit="step")
    for batch in recipe.batches(step):
        rate = recipe.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        distance, assignment = (tensor.to(device) for tensor in batch)
        loss, logits = recipe.objective(distance, assignment, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.largest_gradient is not None:
            nn.utils.clip_grad_norm_(matcher.parameters(), recipe.largest_gradient)
        optimizer.step()
        total += loss.detach()
        step += 1
        progress.update()
        # A row ends at fixed steps, so that a resumed history is the uninterrupted one; saving waits for such
        # a step.
        if step % interval == 0 or step == recipe.steps:
            steps_since = step - (history[-1]["step"] if history else 0)
            mean = float(total) / steps_since
            if not np.isfinite(mean):
                progress.close()
                raise FloatingPointError(
                    f"{matcher.name}: the loss became {mean} between steps {step - steps_since} and {step}; "
                    f"try a smaller learning rate than {rate:g}"
                )
            soft = logits().detach().sigmoid()
            accuracy = weighted_accuracy(discretize(soft, axis="row"), assignment).mean()
            history.append({"step": step, "loss": mean, "WA": float(accuracy), "learning_rate": rate})
            total.zero_()
            progress.set_postfix(loss=f"{mean:.2e}", WA=f"{float(accuracy):.3f}")
            if time.monotonic() - saved > _SAVE_EVERY_S:
                save()
                saved = time.monotonic()
    progress.close()
    if progress.n > progress.initial:
        save()
    matcher.eval()
    return pd.DataFrame(history)


#: Fields of a schedule that say how a network is made or tested, not how it is trained.
_NOT_OF_TRAINING = ("test_pairs", "hidden_size")


def from_step(epoch: Callable[[np.random.Generator], Iterable], steps: int, seed: int, step: int) -> Iterator:
    """The batches of training from ``step`` to ``steps``: each epoch's order follows from (seed, epoch), so
    skipping is exact."""
    number = done = 0
    while done < steps:
        for batch in epoch(np.random.default_rng([seed, number])):
            if done == steps:
                return
            if done >= step:
                yield batch
            done += 1
        number += 1


def read_checkpoint(path: Path, settings: dict, device: str | torch.device) -> dict:
    """What a training with these settings has saved; CheckpointError for a broken or another checkpoint."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found = state["settings"]
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is no checkpoint or a broken one; delete it to start anew") from error
    different = [key for key in settings if found.get(key) != settings[key]]
    if different:
        key = different[0]
        raise CheckpointError(
            f"{path} belongs to another training: its {key} is {found.get(key)!r}, not {settings[key]!r}; "
            "delete it to start anew"
        )
    return state
