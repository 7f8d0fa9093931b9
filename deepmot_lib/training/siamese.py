"""Pre-training of the single-object trackers on pairs of crops, each by the loss of its own paper.

These are the rows "Pre-trained" of Table 3. The paper takes networks that were trained on videos of all
kinds of objects; here the pairs come from the training halves of given sequences, so that nothing must be
downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..boxes import by_frame, centers, from_centers, mirror, sizes
from ..columns import XYXY
from ..data import mot
from ..data.image_tensors import to_tensor
from ..trackers.crops import contains, to_crop
from ..trackers.goturn import GOTURN
from ..trackers.siamrpn import SiamRPN
from .perturbation import perturb
from .schedules import PairSchedule
from .trainer import Training, warm_cosine

_COLUMNS = ["frame", "id", "visibility", *XYXY]


class CropPair(NamedTuple):
    """K people in two frames, of whom the first frame's crops are searched in the second.

    Attributes:
        first: (3, height, width), the image that the templates are cut out of.
        second: (3, height, width), the image that is searched.
        template: (K, 4), around which the templates are cut out, in pixels as the other boxes.
        search: (K, 4), around which the search crops are cut out.
        target: (K, 4), where the people truly are in ``second``; NaN for those who have left.
        present: (K,) bool, whether they are visible there.
    """

    first: Tensor
    second: Tensor
    template: Tensor
    search: Tensor
    target: Tensor
    present: Tensor


class CropPairs:
    """Pairs of crops of one person, from the training halves of sequences (``mot.split``).

    Args:
        sequences: Sequences with images and ground truth.
        schedule: Which frames and people make a pair.

    Raises:
        ValueError: the training halves hold no visible person.
    """

    def __init__(self, sequences: Sequence[mot.Sequence], schedule: PairSchedule) -> None:
        self.sequences, self.schedule = list(sequences), schedule
        self.tables: list[dict[int, pd.DataFrame]] = []
        self.starts: list[tuple[int, int]] = []
        for number, sequence in enumerate(self.sequences):
            people = mot.pedestrians(sequence.gt())
            people = people[people["frame"].isin(mot.split(sequence)["train"])]
            self.tables.append(by_frame(people[_COLUMNS]))
            visible = people.loc[people["visibility"] >= schedule.min_visibility, "frame"].unique()
            self.starts += [(number, int(frame)) for frame in visible]
        if not self.starts:
            names = ", ".join(sequence.name for sequence in self.sequences) or "no sequences"
            raise ValueError(f"nobody to train on in the training halves of {names}")

    def draw(self, generator: torch.Generator) -> CropPair:
        """Draw a pair of frames, with jittered boxes; it depends on the generator alone."""
        number, frame = self.starts[_integer(len(self.starts), generator)]
        tables, visibility = self.tables[number], self.schedule.min_visibility
        near = [other for other in tables if 0 < abs(other - frame) <= self.schedule.max_frame_gap] or [frame]
        other = near[_integer(len(near), generator)]
        rows = tables[frame][tables[frame]["visibility"] >= visibility]
        order = torch.randperm(len(rows), generator=generator)[: self.schedule.tracks]
        rows = rows.iloc[order.numpy()].merge(tables[other], on="id", how="left", suffixes=("", "_then"))
        before = _tensor(rows[XYXY])
        target = _tensor(rows[[f"{name}_then" for name in XYXY]])
        present = torch.tensor((rows["visibility_then"] >= visibility).to_numpy(bool))
        # Templates: as clean as the truth or as loose as detections. Searches: where the template was, as
        # while tracking, or moved.
        template = _some(before, perturb(before, generator), 0.5, generator)
        search = _some(template, move(template, generator), 0.75, generator)
        # Negatives look where somebody else of the frame is.
        negative = torch.rand(len(rows), generator=generator) < self.schedule.negatives
        elsewhere = _move_far(search[torch.randperm(len(rows), generator=generator)], generator)
        search = torch.where(negative.unsqueeze(1), elsewhere, search)
        sequence = self.sequences[number]
        first, second = (to_tensor(sequence.image(at)) for at in (frame, other))
        return CropPair(first, second, template, search, target, present)


def move(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Move and rescale boxes as Held et al. do for GOTURN: little more often than much.

    The shifts of the center, in widths and heights, come from a Laplace distribution of scale 1/5, limited
    to 1; the factors of width and height from one of scale 1/15 around 1, limited to 0.6..1.4.

    Args:
        boxes: ``(K, 4)`` xyxy [px].
        generator: A generator on the CPU.

    Returns:
        ``(K, 4)`` xyxy [px].
    """
    uniform = torch.rand(len(boxes), 4, generator=generator, dtype=torch.float64) - 0.5
    # The inverse of the distribution function; the bound keeps the logarithm finite.
    laplace = -uniform.sign() * (1 - 2 * uniform.abs()).clamp(min=1e-9).log()
    shift, factor = laplace.to(boxes).split(2, dim=1)
    size = sizes(boxes)
    center = centers(boxes) + (shift / 5).clamp(-1, 1) * size
    return from_centers(center, (1 + factor / 15).clamp(0.6, 1.4) * size)


def pair_loss(tracker: GOTURN | SiamRPN, pairs: list[CropPair], generator: torch.Generator) -> Tensor:
    """Compute a tracker's own loss (its ``pair_loss``) over all people of some pairs of frames.

    Their crops are mirrored and lit at random. A person whose true center is outside of the search crop, or
    who is not visible, is a negative.

    Args:
        tracker: The network, on any device.
        pairs: The pairs of frames, at least one.
        generator: A generator on the CPU: what is drawn depends on it alone.

    Returns:
        A scalar, differentiable by the tracker's weights.
    """
    device = next(tracker.parameters()).device
    parts = []
    for pair in pairs:
        first, second, template, search, target, present = (part.to(device) for part in pair)
        searches, square = tracker.search_crops(second, search)
        target = to_crop(target, square)
        present = present & contains(target)  # not of a person who left: NaN
        target = torch.where(present.unsqueeze(1), target, 0.5)
        parts.append(
            (tracker.template_crops(first, template), searches, to_crop(search, square), target, present)
        )
    templates, searches, before, target, present = (torch.cat(part) for part in zip(*parts, strict=True))
    is_mirrored = (torch.rand(len(present), generator=generator) < 0.5).to(device)
    templates, searches = (
        torch.where(is_mirrored.view(-1, 1, 1, 1), crops.flip(-1), crops) for crops in (templates, searches)
    )
    before, target = (
        torch.where(is_mirrored.unsqueeze(1), mirror(boxes, 1), boxes) for boxes in (before, target)
    )
    light = 0.7 + 0.6 * torch.rand(len(present), 1, 1, 1, generator=generator).to(device)
    memory = tracker.features(templates * light)
    return tracker.pair_loss(memory, searches * light, before, target, present)


class SiameseTraining(Training):
    """Pre-training of a single-object tracker on pairs of crops from the sequences' first halves.

    Args:
        tracker: The network.
        sequences: Sequences with images and ground truth.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.

    Raises:
        ValueError: there is nobody to train on.
    """

    max_gradient_norm = 5.0

    def __init__(
        self, tracker: GOTURN | SiamRPN, sequences: Sequence[mot.Sequence], schedule: PairSchedule, seed: int
    ) -> None:
        self.network: GOTURN | SiamRPN = tracker
        self.name, self.seed, self.steps = f"{tracker.name}, pre-training", seed, schedule.steps
        self.schedule, self.pairs = schedule, CropPairs(sequences, schedule)
        self.optimizer = torch.optim.Adam(tracker.parameters(), lr=schedule.learning_rate)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the tracker's own loss over a batch of pairs of frames."""
        generator = torch.Generator().manual_seed(int(self.rng(step).integers(2**63)))
        drawn = [self.pairs.draw(generator) for _ in range(self.schedule.frames)]
        return {"pairs": pair_loss(self.network, drawn, generator)}


def _integer(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))


def _move_far(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Perturb boxes beyond the ranges of A.2, for fast people and loose detections."""
    return perturb(boxes, generator, scales=(0.7, 1.4), largest_offset=0.5)


def _some(boxes: Tensor, others: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Return ``others`` in a fraction of the rows, drawn at random, else ``boxes``; (K, 4) each."""
    return torch.where(torch.rand(len(boxes), 1, generator=generator) < fraction, others, boxes)


def _tensor(table: pd.DataFrame) -> Tensor:
    return torch.from_numpy(table.to_numpy(np.float32))
