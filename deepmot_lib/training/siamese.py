"""Pre-training of the single-object trackers on pairs of crops, each by the loss of its own paper.

These are the rows "Pre-trained" of Table 3. The paper takes networks that were trained on videos of all
kinds of objects; here the pairs come from the training halves of given sequences, so that nothing must be
downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..data import mot
from ..trackers.crops import to_crop
from ..trackers.goturn import GOTURN
from ..trackers.siamrpn import SiamRPN
from ..trackers.tracking import to_tensor
from .fitting import Fit, warm_cosine
from .perturbation import perturb
from .schedules import PairSchedule

_LARGEST_GRADIENT = 5.0  # the norm that a step's gradient is clipped to
_COORDINATES = ["x1", "y1", "x2", "y2"]
_BOXES = ["id", "visibility", *_COORDINATES]
#: Perturbations beyond A.2's, for fast people and loose detections.
_LARGE = {"scales": (0.7, 1.4), "largest_offset": 0.5}


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

    History, ``checkpoint`` and errors are those of ``fitting.Fit.run``; ValueError where there is nobody to
    learn from.
    """
    pairs = Pairs(sequences, schedule)
    tracker.to(device)

    def loss(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(int(fit.rng(step).integers(2**63)))
        drawn = [pairs.draw(generator) for _ in range(schedule.frames)]
        return {"pairs": pair_loss(tracker, drawn, generator)}

    fit = Fit(
        name=f"{tracker.name}, pre-training",
        settings={
            **tracker.options,
            **asdict(schedule),
            "sequences": [sequence.name for sequence in sequences],
        },
        steps=schedule.steps,
        seed=seed,
        optimizer=torch.optim.Adam(tracker.parameters(), lr=schedule.learning_rate),
        rate=lambda step: warm_cosine(step, schedule.steps, schedule.learning_rate),
        loss=loss,
        largest_gradient=_LARGEST_GRADIENT,
    )
    return fit.run(tracker, checkpoint)


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
