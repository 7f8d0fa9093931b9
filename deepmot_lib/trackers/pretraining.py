"""Pre-training of the single-object trackers on pairs of crops, each by the loss of its own paper.

These are the rows "Pre-trained" of Table 3. The paper takes networks that were trained on videos of all
kinds of objects; here the pairs come from the training halves of given sequences, so that nothing must be
downloaded.
"""

from __future__ import annotations

import math
import pickle
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from .. import mot
from ..dhn.training import CheckpointError
from ..files import atomic
from .crops import to_crop
from .goturn import GOTURN
from .perturbation import perturb
from .siamrpn import SiamRPN
from .tracking import to_tensor

_SAVE_EVERY_S = 60.0
_HISTORY_POINTS = 100
_LARGEST_GRADIENT = 5.0  # the norm that a step's gradient is clipped to
_COORDINATES = ["x1", "y1", "x2", "y2"]
_BOXES = ["id", "visibility", *_COORDINATES]
#: Perturbations beyond A.2's, for fast people and loose detections.
_LARGE = {"scales": (0.7, 1.4), "largest_offset": 0.5}


@dataclass(frozen=True)
class PairSchedule:
    """How a single-object tracker is pre-trained.

    ``steps`` optimiser steps (Adam, ``learning_rate`` reached after a twentieth of them, then falling to
    zero on a cosine) of ``frames`` pairs of frames, at most ``apart`` frames from each other, with at most
    ``tracks`` people of each pair. ``min_visibility`` (in [0, 1]) is that from which a person can be found;
    ``negatives`` the share of people who are searched where they are not.
    """

    steps: int
    frames: int = 4
    tracks: int = 8
    apart: int = 5
    learning_rate: float = 1e-3
    min_visibility: float = 0.25
    negatives: float = 0.15

    def rate(self, step: int) -> float:
        """The learning rate at a step (0-based)."""
        warm_up = min(1.0, (step + 1) / max(1, self.steps // 20))
        return self.learning_rate * warm_up * (1 + math.cos(math.pi * step / self.steps)) / 2

    def describe(self) -> str:
        """The schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of {self.frames} pairs of frames at most {self.apart} apart, Adam "
            f"{self.learning_rate:g} with cosine decay, {self.negatives:.0%} negatives"
        )


class Pair(NamedTuple):
    """K people of two frames: images (3, height, width), boxes (K, 4) in pixels, ``present`` (K,) bool.

    The template is cut out around ``template`` in ``first``, and searched in ``second`` around ``search``,
    where the person truly is at ``target`` if ``present``.
    """

    first: Tensor
    second: Tensor
    template: Tensor
    search: Tensor
    target: Tensor
    present: Tensor


class Pairs:
    """Pairs of crops of one person, from the training halves of sequences (``mot.split``).

    ``draw(generator)`` is a pair of frames that ``schedule`` describes, with boxes jittered. Raises
    ValueError where the training halves hold no visible person.
    """

    def __init__(self, sequences: Sequence[mot.Sequence], schedule: PairSchedule):
        self.sequences, self.schedule = list(sequences), schedule
        self.tables: list[dict[int, pd.DataFrame]] = []
        self.starts: list[tuple[int, int]] = []
        for number, sequence in enumerate(self.sequences):
            people = mot.pedestrians(sequence.gt())
            people = people[people["frame"].isin(mot.split(sequence)["train"])]
            self.tables.append({int(frame): rows[_BOXES] for frame, rows in people.groupby("frame")})
            visible = people.loc[people["visibility"] >= schedule.min_visibility, "frame"].unique()
            self.starts += [(number, int(frame)) for frame in visible]
        if not self.starts:
            names = ", ".join(sequence.name for sequence in self.sequences) or "no sequences"
            raise ValueError(f"nobody to learn from in the training halves of {names}")

    def draw(self, generator: torch.Generator) -> Pair:
        """One pair of frames; depends on the generator alone."""
        number, frame = self.starts[_integer(len(self.starts), generator)]
        tables, visibility = self.tables[number], self.schedule.min_visibility
        near = [other for other in tables if 0 < abs(other - frame) <= self.schedule.apart] or [frame]
        other = near[_integer(len(near), generator)]
        rows = tables[frame][tables[frame]["visibility"] >= visibility]
        order = torch.randperm(len(rows), generator=generator)[: self.schedule.tracks]
        rows = rows.iloc[order.numpy()].merge(tables[other], on="id", how="left", suffixes=("", "_then"))
        before = _tensor(rows[_COORDINATES])
        target = _tensor(rows[[f"{name}_then" for name in _COORDINATES]])
        present = torch.tensor((rows["visibility_then"] >= visibility).to_numpy(bool))
        # Templates: as clean as the truth or as loose as detections. Searches: where the template was, as
        # while tracking, or moved by what one frame or several change.
        template = _some(before, perturb(before, generator), 0.5, generator)
        moved = _some(perturb(template, generator), perturb(template, generator, **_LARGE), 0.5, generator)
        search = _some(template, moved, 2 / 3, generator)
        # Negatives look where somebody else of the frame is.
        negative = torch.rand(len(rows), generator=generator) < self.schedule.negatives
        elsewhere = perturb(search[torch.randperm(len(rows), generator=generator)], generator, **_LARGE)
        search = torch.where(negative.unsqueeze(1), elsewhere, search)
        sequence = self.sequences[number]
        first, second = (to_tensor(sequence.image(at)) for at in (frame, other))
        return Pair(first, second, template, search, target, present)


def pair_loss(tracker: GOTURN | SiamRPN, pairs: list[Pair], generator: torch.Generator) -> Tensor:
    """The tracker's own loss (its ``pair_loss``) over all people of the pairs, mirrored and lit at random.

    A person whose true centre is outside of the search crop, or who is not visible, is a negative.
    """
    device = next(tracker.parameters()).device
    parts = []
    for pair in pairs:
        first, second, template, search, target, present = (part.to(device) for part in pair)
        searches, square = tracker.search_crops(second, search)
        target = to_crop(target, square)
        centre = (target[:, :2] + target[:, 2:]) / 2
        present = present & ((centre > 0) & (centre < 1)).all(dim=1)  # NaN, of a person who left, is neither
        target = torch.where(present.unsqueeze(1), target, 0.5)
        parts.append(
            (tracker.template_crops(first, template), searches, to_crop(search, square), target, present)
        )
    templates, searches, before, target, present = (torch.cat(part) for part in zip(*parts, strict=True))
    mirrored = (torch.rand(len(present), generator=generator) < 0.5).to(device)
    templates, searches = (_mirror_crops(crops, mirrored) for crops in (templates, searches))
    before, target = (_mirror_boxes(boxes, mirrored) for boxes in (before, target))
    light = 0.7 + 0.6 * torch.rand(len(present), 1, 1, 1, generator=generator).to(device)
    memory = tracker.features(templates * light)
    return tracker.pair_loss(memory, searches * light, before, target, present)


def pretrain(
    tracker: GOTURN | SiamRPN,
    sequences: Sequence[mot.Sequence],
    schedule: PairSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains ``tracker`` in place on pairs from the sequences' training halves; returns its history.

    The history has about a hundred rows: ``step``, the mean ``loss`` since the row before,
    ``learning_rate``. ``checkpoint`` is written each minute and at the end; where it is there already,
    training goes on from it, and a finished one returns at once. What a step sees depends on ``seed`` and
    the step alone.

    Raises CheckpointError for a checkpoint that is broken or of another training, FloatingPointError on a
    non-finite loss (the checkpoint then still holds the last finite state), ValueError where there is nobody
    to learn from.
    """
    checkpoint = Path(checkpoint)
    settings = {
        "name": tracker.name,
        "options": tracker.options,
        "seed": seed,
        "sequences": [sequence.name for sequence in sequences],
        **asdict(schedule),
    }
    pairs = Pairs(sequences, schedule)
    tracker.to(device).train()
    optimizer = torch.optim.Adam(tracker.parameters(), lr=schedule.learning_rate)
    history: list[dict] = []
    step = 0
    if checkpoint.exists():
        state = _read(checkpoint, settings, device)
        tracker.load_state_dict(state["tracker"])
        optimizer.load_state_dict(state["optimizer"])
        history, step = state["history"], state["step"]

    def save() -> None:
        state = {
            "settings": settings,
            "tracker": tracker.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": history,
            "step": step,
        }
        with atomic(checkpoint) as temporary:
            torch.save(state, temporary)

    interval = max(1, schedule.steps // _HISTORY_POINTS)
    losses: list[Tensor] = []
    saved = time.monotonic()
    label = f"{tracker.name}, pre-training, seed {seed}"
    for number in tqdm(
        range(step, schedule.steps), initial=step, total=schedule.steps, desc=label, unit="step"
    ):
        rate = schedule.rate(number)
        for group in optimizer.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(_mixed(seed, number))
        loss = pair_loss(tracker, [pairs.draw(generator) for _ in range(schedule.frames)], generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tracker.parameters(), _LARGEST_GRADIENT)
        optimizer.step()
        losses.append(loss.detach())
        step = number + 1
        # A row ends at fixed steps, so that a resumed history is the uninterrupted one; saving waits for it.
        if step % interval == 0 or step == schedule.steps:
            mean = float(torch.stack(losses).mean())
            losses.clear()
            if not np.isfinite(mean):
                raise FloatingPointError(
                    f"{tracker.name}: the loss became {mean} before step {step}; try a smaller learning rate "
                    f"than {schedule.learning_rate:g}"
                )
            history.append({"step": step, "loss": mean, "learning_rate": rate})
            if step == schedule.steps or time.monotonic() - saved > _SAVE_EVERY_S:
                save()
                saved = time.monotonic()
    tracker.eval()
    return pd.DataFrame(history)


def _read(path: Path, settings: dict, device: str | torch.device) -> dict:
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


def _mixed(seed: int, step: int) -> int:
    """A seed of its own for each step of each training."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))


def _some(boxes: Tensor, others: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """``others`` in ``share`` of the rows, drawn at random, else ``boxes``."""
    return torch.where(torch.rand(len(boxes), 1, generator=generator) < share, others, boxes)


def _tensor(table: pd.DataFrame) -> Tensor:
    return torch.from_numpy(table.to_numpy(np.float32))


def _mirror_crops(crops: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored.view(-1, 1, 1, 1), crops.flip(-1), crops)


def _mirror_boxes(boxes: Tensor, mirrored: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.where(mirrored.unsqueeze(1), torch.stack([1 - x2, y1, 1 - x1, y2], dim=-1), boxes)
