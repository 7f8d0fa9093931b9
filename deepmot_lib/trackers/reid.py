"""External ReID (Sec. 5.1, "+ReIDext"): a network of its own that tells people apart by how they look.

Trained beside the tracker, by the triplet loss with batch-hard mining (Hermans et al., 2017), on the
identities of the training halves. In place of the paper's ResNet-50 a small network, trained from nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torchvision.ops import roi_align

from ..data import mot
from ..distance import appearance_distance
from ..training.fitting import Fit, warm_cosine
from ..training.schedules import ReIDSchedule
from .tracking import to_tensor

CROP = (128, 64)  # height, width in pixels
_BOX = ["x1", "y1", "x2", "y2"]
_CHANNELS = (3, 32, 64, 96, 128)
_SHARPNESS = 10.0  # cosine distances of unlike people differ by tenths: this makes them matter


class Embedder(nn.Module):
    """Embeds people: (image (3, height, width) in [0, 1], boxes (K, 4) in pixels) to (K, 128), unit length.

    What ``tracking.track`` takes as ``embed``; K may be 0, and a box may lie outside of the image. In
    training mode it normalises over the batch, and takes two boxes or more.
    """

    def __init__(self, units: int = 128):
        super().__init__()
        self.options = {"units": units}
        stages = [
            nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b, stride=1))
            for a, b in pairwise(_CHANNELS)
        ]
        # Rows of the picture stay apart: shirts are not trousers.
        self.body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten())
        # Batch-hard triplets like to collapse to one point for all; a normalised spread forbids it.
        self.head = nn.Sequential(
            nn.Linear(4 * _CHANNELS[-1], units, bias=False), nn.BatchNorm1d(units, affine=False)
        )

    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        return self.embed(crops(image, boxes))

    def embed(self, pictures: Tensor) -> Tensor:
        """(K, 3, 128, 64) crops in [0, 1] to (K, 128)."""
        return normalize(self.head(self.body(pictures * 4 - 2)), dim=-1)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.ReLU())


def crops(image: Tensor, boxes: Tensor) -> Tensor:
    """What ``image`` (3, height, width) shows in the boxes (K, 4): (K, 3, 128, 64)."""
    return roi_align(image[None], [boxes.to(image.dtype)], CROP, aligned=True)


def triplet_loss(embeddings: Tensor, identities: Tensor) -> Tensor:
    """The batch-hard triplet loss with a soft margin (Hermans et al., 2017, Eq. 5), of (K, C) and (K,).

    For each anchor: how much nearer its nearest stranger is than its farthest likeness, by the cosine
    distance; averaged over the anchors that have both. ValueError where none has.
    """
    distance = appearance_distance(embeddings, embeddings)
    same = identities[:, None] == identities
    other_self = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    anchors = other_self.any(1) & (~same).any(1)
    if not anchors.any():
        raise ValueError("a triplet takes two pictures of one person and one of another")
    farthest = distance.masked_fill(~other_self, -1.0).amax(1)
    nearest = distance.masked_fill(same, 2.0).amin(1)
    return softplus(_SHARPNESS * (farthest - nearest)[anchors]).mean()


class Album(NamedTuple):
    """K pictures of people, uint8 (K, 3, 128, 64), and whose they are, int64 (K,), counted from 0."""

    pictures: Tensor
    identities: Tensor


def gather(sequences: Iterable[mot.Sequence], schedule: ReIDSchedule, part: str = "train") -> Album:
    """The album of that part of the sequences (``mot.split``): people with two pictures or more.

    The same people again, in a sequence that comes with another detector's boxes, are left out. ValueError
    where there are fewer than two people.
    """
    pictures: list[Tensor] = []
    identities: list[int] = []
    known: list[pd.DataFrame] = []
    people = 0
    for sequence in sequences:
        rows = mot.pedestrians(sequence.gt(), schedule.min_visibility)
        rows = rows[rows["frame"].isin(mot.split(sequence)[part])]
        if any(rows.equals(other) for other in known):
            continue
        known.append(rows)
        chosen = rows.groupby("id").filter(lambda person: len(person) > 1)
        spread = [_spread(person, schedule.gathered) for _, person in chosen.groupby("id")]
        if not spread:
            continue
        chosen = pd.concat(spread)
        numbers = people + pd.factorize(chosen["id"])[0]
        people = int(numbers.max()) + 1
        for frame, index in chosen.reset_index(drop=True).groupby("frame").groups.items():
            image = to_tensor(sequence.image(int(frame)))
            boxes = torch.tensor(chosen.iloc[index][_BOX].to_numpy(np.float32))
            pictures.append((crops(image, boxes) * 255).round().to(torch.uint8))
            identities += numbers[index].tolist()
    if people < 2:
        raise ValueError(f"fewer than two people to tell apart in the part {part!r} of the sequences")
    return Album(torch.cat(pictures), torch.tensor(identities))


def _spread(person: pd.DataFrame, most: int) -> pd.DataFrame:
    return person.iloc[np.linspace(0, len(person) - 1, min(most, len(person))).round().astype(int)]


def train(
    embedder: Embedder,
    sequences: Iterable[mot.Sequence],
    schedule: ReIDSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains ``embedder`` in place on the people of the sequences' first halves; returns its history.

    Pictures are mirrored and lit at random. The history, ``checkpoint`` and errors are those of
    ``fitting.Fit.run``; ValueError where there are fewer than two people.
    """
    album = gather(sequences, schedule)
    embedder.to(device)
    members = [(album.identities == i).nonzero().flatten().numpy() for i in album.identities.unique()]

    def loss(step: int) -> dict[str, Tensor]:
        rng = fit.rng(step)
        people = rng.choice(len(members), min(schedule.people, len(members)), replace=False)
        index = np.concatenate(
            [rng.choice(members[i], min(schedule.pictures, len(members[i])), replace=False) for i in people]
        )
        pictures = album.pictures[index].to(device).float() / 255
        mirrored = torch.tensor(rng.random((len(index), 1, 1, 1)) < 0.5, device=device)
        light = torch.tensor(rng.uniform(0.7, 1.3, (len(index), 1, 1, 1)), dtype=torch.float32, device=device)
        pictures = torch.where(mirrored, pictures.flip(-1), pictures) * light
        return {"triplet": triplet_loss(embedder.embed(pictures), album.identities[index].to(device))}

    fit = Fit(
        name="external reid",
        settings={
            **embedder.options,
            **dataclasses.asdict(schedule),
            "data": [len(members), len(album.pictures), int(album.pictures.sum(dtype=torch.int64))],
        },
        steps=schedule.steps,
        seed=seed,
        optimizer=torch.optim.Adam(embedder.parameters(), lr=schedule.learning_rate),
        rate=lambda step: warm_cosine(step, schedule.steps, schedule.learning_rate),
        loss=loss,
    )
    return fit.run(embedder, checkpoint)


@torch.no_grad()
def nearest_is_same(embedder: Embedder, album: Album, batch: int = 64) -> float:
    """The share of pictures, in [0, 1], whose nearest other picture is of the same person (rank 1)."""
    device = next(embedder.parameters()).device
    parts = album.pictures.split(batch)
    embeddings = torch.cat([embedder.embed(part.to(device).float() / 255).cpu() for part in parts])
    distance = appearance_distance(embeddings, embeddings).fill_diagonal_(2.0)
    return float((album.identities[distance.argmin(1)] == album.identities).float().mean())
