"""Training of Tracktor's ReID head on features of people that are computed once.

The frames of a clip of ten are so alike that any embedding tells people apart in them. Here a track's past
lies seconds before the objects that it is compared with. By the DeepMOT loss the cosine distances of tracks
and objects pass the frozen matcher by themselves, as in the released code; which of them belong together the
boxes have decided. Cross-entropy and triplets train the same head on the same features, for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ..assignment import optimal_assignment
from ..boxes import by_frame, from_table
from ..data import mot
from ..data.image_tensors import to_tensor
from ..distance import box_distance
from ..trackers.reid_head import ReIDHead
from ..trackers.tracktor import Tracktor
from .objectives import OBJECTIVES, SOFT_HOTA, SoftAssignment
from .perturbation import perturb
from .reid import triplet_loss
from .rollout import appearance_loss
from .schedules import HeadSchedule
from .trainer import Training

#: What a head may be trained by instead of an objective of the DeepMOT loss.
CONTROLS = ("cross-entropy", "triplet")
_OF_TRACKS = (*OBJECTIVES, SOFT_HOTA)
_GATE = 0.5  # a box farther from its nearest object has lost it
_SHARPNESS = 16.0  # of cosines, in the cross-entropy
_LABEL_SMOOTHING = 0.1


class FramePeople(NamedTuple):
    """RoI features of K people in a frame, in half precision.

    Attributes:
        sequence: The name of the sequence.
        frame: The number of the frame.
        identities: (K,) counted over all sequences.
        objects: (K, F) at the ground truth.
        tracks: (K, F) at boxes that Tracktor has propagated there from perturbed ones.
    """

    sequence: str
    frame: int
    identities: Tensor
    objects: Tensor
    tracks: Tensor


@torch.no_grad()
def gather(
    tracktor: Tracktor, sequences: Iterable[mot.Sequence], schedule: HeadSchedule, part: str = "train"
) -> list[FramePeople]:
    """Compute the features of people in frames that are spread evenly over a part of the sequences.

    Args:
        tracktor: The network.
        sequences: Sequences with images and ground truth, each set of images once.
        schedule: How many people and frames at most: what bounds the memory.
        part: A part of ``mot.split``.

    Returns:
        Frames with two people or more, in order.

    Raises:
        ValueError: there are none.
    """
    device = next(tracktor.parameters()).device
    generator = torch.Generator().manual_seed(0)
    known: dict[tuple[str, int], int] = {}
    frames = []
    for sequence in sequences:
        people = by_frame(mot.pedestrians(sequence.gt(), schedule.min_visibility))
        frames += [
            (sequence, frame, people[frame])
            for frame in mot.split(sequence)[part]
            if len(people.get(frame, ())) > 1
        ]
    if not frames:
        raise ValueError(f"no sequence has two people in one frame of its part {part!r}")
    found = []
    spread = np.linspace(0, len(frames) - 1, min(schedule.frames, len(frames))).round().astype(int)
    for sequence, frame, rows in (frames[k] for k in spread):
        chosen = torch.randperm(len(rows), generator=generator)[: schedule.people].sort().values
        rows = rows.iloc[chosen.tolist()]
        boxes = from_table(rows).to(device)
        encoded = tracktor.encode(to_tensor(sequence.image(frame)).to(device))
        # Which track has which object is for the boxes to say.
        starts = perturb(boxes, generator)
        refined = tracktor.propagate(encoded, starts).boxes
        assigned = optimal_assignment(box_distance(refined, boxes, sequence.image_size), gate=_GATE)
        track, object_ = assigned.nonzero(as_tuple=True)
        keys = [(sequence.name, int(rows["id"].iloc[k])) for k in object_.tolist()]
        identities = torch.tensor([known.setdefault(key, len(known)) for key in keys], dtype=torch.long)
        objects, tracks = (
            tracktor.appearance_features(encoded, one).half().cpu()
            for one in (boxes[object_], refined[track])
        )
        found.append(FramePeople(sequence.name, frame, identities, objects, tracks))
    return found


class HeadTraining(Training):
    """Training of a ReID head by one of ``OBJECTIVES``, ``SOFT_HOTA`` or one of ``CONTROLS``.

    The head's standardization is set at once. The network is the head and, for the cross-entropy, a
    classifier of the identities, which is of no use later.

    Args:
        head: The head, on the device to train on.
        people: As ``gather`` returns them.
        objective: What it is trained by.
        matcher: The frozen network between the distances and the loss; ``CONTROLS`` take none.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.

    Raises:
        ValueError: an unknown objective; a loss that needs a matcher without one; fewer than two people.
    """

    max_gradient_norm = 10.0

    def __init__(
        self,
        head: ReIDHead,
        people: list[FramePeople],
        objective: str,
        matcher: SoftAssignment | None,
        schedule: HeadSchedule,
        seed: int,
    ) -> None:
        if objective not in (*_OF_TRACKS, *CONTROLS) or (objective in _OF_TRACKS and matcher is None):
            raise ValueError(f"a ReID head cannot be trained by {objective!r}, or not without a matcher")
        self.identities = torch.cat([frame.identities for frame in people])
        count = int(self.identities.max()) + 1 if len(self.identities) else 0
        if count < 2:
            raise ValueError("fewer than two people to tell apart")
        self.name, self.seed, self.steps = f"ReID head, {objective}", seed, schedule.steps
        self.objective, self.matcher, self.schedule = objective, matcher, schedule
        self.head, self.people = head, people
        objects, tracks = (torch.cat(views) for views in zip(*(frame[3:] for frame in people), strict=True))
        self.views = torch.stack([objects, tracks])
        head.standardize_by(objects)
        self.of_person = [(self.identities == i).nonzero().flatten().numpy() for i in range(count)]
        self.network: nn.ModuleDict = nn.ModuleDict({"head": head})
        if objective == "cross-entropy":
            classifier = nn.Linear(head.linear.out_features, count, bias=False)
            self.network["classifier"] = classifier.to(head.linear.weight.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=schedule.learning_rate)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a cosine decay."""
        return self.schedule.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of some people, under the objective's name."""
        rng = self.rng(step)
        loss = self._of_tracks(rng) if self.objective in _OF_TRACKS else self._of_identities(rng)
        return {self.objective: loss}

    def _of_tracks(self, rng: np.random.Generator) -> Tensor:
        """Return the loss of the mean embeddings of tracks and those of later objects."""
        now, past = self._draw(rng)
        ids = torch.cat([frame.identities for frame in past])
        chosen = torch.from_numpy(rng.permutation(torch.cat([ids, now.identities]).unique().numpy()))
        chosen = chosen[: self.schedule.people]
        seen, there = torch.isin(ids, chosen), torch.isin(now.identities, chosen)
        track_ids, track = ids[seen].unique(return_inverse=True)
        is_its = (torch.arange(len(track_ids))[:, None] == track).float().to(self.device)
        tracks = is_its @ self._embed(torch.cat([frame.tracks for frame in past])[seen])
        objects = self._embed(now.objects[there])
        # The tracks have had these objects since their past: any other match is a switch.
        matches = (track_ids[:, None] == now.identities[there]).float().to(self.device)
        return appearance_loss(
            tracks / is_its.sum(1, keepdim=True),
            objects,
            matches,
            matches,
            self.objective,
            cast(SoftAssignment, self.matcher),
            self.schedule.scale,
        )

    def _draw(self, rng: np.random.Generator) -> tuple[FramePeople, list[FramePeople]]:
        """Draw a frame and some before it; itself, if it is a sequence's first."""
        last = int(rng.integers(len(self.people)))
        now = self.people[last]
        before = [
            frame
            for frame in self.people[:last]
            if frame.sequence == now.sequence and now.frame - frame.frame <= self.schedule.max_frame_gap
        ]
        past = [before[k] for k in rng.permutation(len(before))[: self.schedule.past]]
        return now, past or [now]

    def _of_identities(self, rng: np.random.Generator) -> Tensor:
        """Return the cross-entropy or the triplet loss of some pictures of each of some people."""
        people = rng.permutation(len(self.of_person))[: self.schedule.people]
        drawn = [rng.permutation(self.of_person[i])[: self.schedule.pictures] for i in people]
        index = torch.from_numpy(np.concatenate(drawn))
        identities = self.identities[index].to(self.device)
        view = torch.from_numpy(rng.integers(2, size=len(index)))
        embeddings = self._embed(self.views[view, index])
        if self.objective == "triplet":
            return triplet_loss(embeddings, identities)
        classes = normalize(cast(nn.Linear, self.network["classifier"]).weight, dim=-1)
        cosines = normalize(embeddings, dim=-1) @ classes.T
        return cross_entropy(_SHARPNESS * cosines, identities, label_smoothing=_LABEL_SMOOTHING)

    def _embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.head(features.to(self.device, torch.float32)))
