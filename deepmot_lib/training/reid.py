"""Training of the external ReID network (Sec. 5.1, "+ReIDext"): batch-hard triplets of identities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..boxes import from_table
from ..data import mot
from ..data.image_tensors import to_tensor
from ..distance import appearance_distance
from ..trackers.reid import Embedder, crops
from .schedules import ReIDSchedule
from .trainer import Training, warm_cosine

_SHARPNESS = 10.0  # cosine distances of different people differ by tenths: this makes them matter


def triplet_loss(embeddings: Tensor, identities: Tensor) -> Tensor:
    """Return the batch-hard triplet loss with a soft margin (Hermans et al., 2017, Eq. 5).

    For each anchor: how much smaller the cosine distance of its hardest negative is than that of its hardest
    positive; averaged over the anchors that have both.

    Args:
        embeddings: (K, C), of any length.
        identities: (K,) integers.

    Returns:
        A scalar, above 0.

    Raises:
        ValueError: no anchor has both a positive and a negative.
    """
    distance = appearance_distance(embeddings, embeddings)
    same = identities[:, None] == identities
    positive = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    anchors = positive.any(1) & (~same).any(1)
    if not anchors.any():
        raise ValueError("a triplet takes two pictures of one person and one of another")
    hardest_positive = distance.masked_fill(~positive, -1.0).amax(1)
    hardest_negative = distance.masked_fill(same, 2.0).amin(1)
    return softplus(_SHARPNESS * (hardest_positive - hardest_negative)[anchors]).mean()


class Album(NamedTuple):
    """Crops of people, uint8 (K, 3, 128, 64), and their identities, int64 (K,), counted from 0."""

    crops: Tensor
    identities: Tensor


def gather(sequences: Iterable[mot.Sequence], schedule: ReIDSchedule, part: str = "train") -> Album:
    """Cut out the people with two crops or more of a part of the sequences.

    The same people again, in a sequence that comes with another detector's boxes, are left out.

    Args:
        sequences: Sequences with images and ground truth.
        schedule: How visible a person must be, and how many crops of one are kept.
        part: A part of ``mot.split``.

    Raises:
        ValueError: there are fewer than two people.
    """
    found: list[Tensor] = []
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
        spread = [_spread(person, schedule.max_crops_per_identity) for _, person in chosen.groupby("id")]
        if not spread:
            continue
        chosen = pd.concat(spread)
        numbers = people + pd.factorize(chosen["id"])[0]
        people = int(numbers.max()) + 1
        for frame, index in chosen.reset_index(drop=True).groupby("frame").groups.items():
            image = to_tensor(sequence.image(cast(int, frame)))
            boxes = from_table(chosen.iloc[index])
            found.append((crops(image, boxes) * 255).round().to(torch.uint8))
            identities += numbers[index].tolist()
    if people < 2:
        raise ValueError(f"fewer than two people to tell apart in the part {part!r} of the sequences")
    return Album(torch.cat(found), torch.tensor(identities))


def _spread(person: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many of a person's rows, spread evenly over time."""
    return person.iloc[np.linspace(0, len(person) - 1, min(most, len(person))).round().astype(int)]


class ReIDTraining(Training):
    """Training of an embedder on the identities of the sequences' first halves, by batch-hard triplets.

    Crops are mirrored and lit at random.

    Args:
        embedder: The network.
        sequences: Sequences with images and ground truth.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.

    Raises:
        ValueError: there are fewer than two people.
    """

    name = "external reid"

    def __init__(
        self, embedder: Embedder, sequences: Iterable[mot.Sequence], schedule: ReIDSchedule, seed: int
    ) -> None:
        self.network: Embedder = embedder
        self.seed, self.steps, self.schedule = seed, schedule.steps, schedule
        self.album = gather(sequences, schedule)
        identities = self.album.identities
        self.of_person = [(identities == i).nonzero().flatten().numpy() for i in identities.unique()]
        self.optimizer = torch.optim.Adam(embedder.parameters(), lr=schedule.learning_rate)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the triplet loss of some crops of each of some people."""
        rng = self.rng(step)
        people = rng.choice(
            len(self.of_person), min(self.schedule.people, len(self.of_person)), replace=False
        )
        drawn = [
            rng.choice(self.of_person[i], min(self.schedule.pictures, len(self.of_person[i])), replace=False)
            for i in people
        ]
        index = np.concatenate(drawn)
        is_mirrored = torch.tensor(rng.random((len(index), 1, 1, 1)) < 0.5, device=self.device)
        light = torch.tensor(rng.uniform(0.7, 1.3, (len(index), 1, 1, 1)), dtype=torch.float32)
        pictures = self.album.crops[index].to(self.device).float() / 255
        pictures = torch.where(is_mirrored, pictures.flip(-1), pictures) * light.to(self.device)
        identities = self.album.identities[index].to(self.device)
        return {"triplet": triplet_loss(self.network.embed(pictures), identities)}
