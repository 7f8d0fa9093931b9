"""Training a tracker for the measure that it is judged by (Sec. 4.3, Appendix A.2).

Tracks start at the ground truth of one frame, perturbed; the tracker takes them into the next; D, the soft
assignment of a frozen matcher and the DeepMOT loss say what its boxes are worth, and the gradient goes back
to its weights. ``smooth_l1`` is the same with the association of the ground truth: each box is pulled to
where its own object went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from ..data import mot
from ..distance import appearance_distance, box_distance
from ..loss import DeepMOTLoss, LossTerms
from ..trackers.tracker import Propagation, Tracker
from ..trackers.tracking import to_tensor
from .perturbation import perturb

#: What is minimised, by its name in Tables 2 and 3: of the loss's weights and the terms of a frame.
OBJECTIVES: dict[str, Callable[[DeepMOTLoss, LossTerms, int], Tensor]] = {
    "dMOTP": lambda loss, terms, objects: loss.lambda_ * (1 - terms.dmotp),
    "dMOTA": lambda loss, terms, objects: 1 - terms.dmota,
    "dMOTA+dMOTP-IDS": lambda loss, terms, objects: terms.total - loss.gamma * terms.ids / max(objects, 1),
    "dMOTA+dMOTP": lambda loss, terms, objects: terms.total,
}
LOSSES = ("smooth_l1", *OBJECTIVES)
_WITH_SWITCHES = ("dMOTA", "dMOTA+dMOTP")
_BETA = 0.1  # where smooth L1 turns from a square into a line, in box sizes

Matcher = Callable[[Tensor], Tensor]


class LabeledFrame(NamedTuple):
    """A frame of a clip: image (3, height, width), the people in it (K, 4) in pixels, and who they are."""

    image: Tensor
    boxes: Tensor
    ids: list[int]

    @property
    def image_size(self) -> tuple[int, int]:
        return tuple(self.image.shape[-2:])

    def to(self, device: str | torch.device) -> LabeledFrame:
        return LabeledFrame(self.image.to(device), self.boxes.to(device), self.ids)


class Clips:
    """Clips of ``length`` consecutive frames of one part of the sequences, each frame with people in it.

    People at least ``min_visibility`` visible count. ValueError where there is no such clip.
    """

    def __init__(
        self,
        sequences: Iterable[mot.Sequence],
        length: int = 2,
        part: str = "train",
        min_visibility: float = 0.1,
    ) -> None:
        self.length, self._people, self._starts = length, [], []
        for number, sequence in enumerate(sequences):
            rows = mot.pedestrians(sequence.gt(), min_visibility)
            people = {int(frame): boxes for frame, boxes in rows.groupby("frame")}
            self._people.append((sequence, people))
            frames = mot.split(sequence)[part]
            self._starts += [
                (number, first)
                for first in frames
                if first + length - 1 in frames and all(first + k in people for k in range(length))
            ]
        if not self._starts:
            raise ValueError(f"no sequence has {length} consecutive frames with people in its part {part!r}")

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> list[LabeledFrame]:
        number, first = self._starts[index]
        sequence, people = self._people[number]
        clip = []
        for frame in range(first, first + self.length):
            rows = people[frame]
            boxes = torch.from_numpy(rows[["x1", "y1", "x2", "y2"]].to_numpy(np.float32))
            clip.append(LabeledFrame(to_tensor(sequence.image(frame)), boxes, rows["id"].tolist()))
        return clip


class Appearance(NamedTuple):
    """What a clip has encoded of each identity: the tracker's memory of it, and its embeddings so far."""

    memory: dict[int, Tensor]
    embeddings: dict[int, list[Tensor]]


def clip_loss(
    tracker: Tracker,
    clip: Sequence[LabeledFrame],
    objective: str,
    matcher: Matcher,
    loss: DeepMOTLoss,
    generator: torch.Generator | None = None,
    reid: str | None = None,
) -> Tensor:
    """The mean loss of the frames of a clip but the first, differentiable by the tracker's weights.

    In each frame the tracks are the people of the frame before, at boxes perturbed as in Appendix A.2; what
    a frame costs once, ``tracker.encode``, is not trained. ``objective`` is one of ``LOSSES``. With ``reid``
    the mean of a track's embeddings so far is compared with those of the objects:

    - "distance": D is the mean of Eq. 3's and the cosine distance (Sec. 4.1, "adding a term");
    - "separate": D is Eq. 3's, and the cosine distances go through the matcher for themselves; their
      identity switches are added, as in the released code.

    Every frame has people, as those of ``Clips`` do. ValueError for another objective or ``reid``, or for
    ``reid`` with a tracker without embeddings.
    """
    if objective not in LOSSES or reid not in (None, "distance", "separate"):
        raise ValueError(f"unknown objective {objective!r} or reid {reid!r}: choose of {', '.join(LOSSES)}")
    loss.reset()
    switches = DeepMOTLoss(loss.lambda_, loss.gamma, loss.delta, loss.scale)
    known, parts = Appearance({}, {}), []
    with torch.no_grad():
        encoded = tracker.encode(clip[0].image)
    for before, now in pairwise(clip):
        encoded_before = encoded
        with torch.no_grad():
            encoded = tracker.encode(now.image)
        starts = perturb(before.boxes, generator)
        _init_memories(tracker, encoded_before, before, starts, known)
        memory = torch.stack([known.memory[identity] for identity in before.ids])
        propagated = tracker.propagate(encoded, starts, memory)
        if objective == "smooth_l1":
            parts.append(_smooth_l1(propagated.boxes, before, now))
        else:
            distance = box_distance(propagated.boxes, now.boxes, now.image_size)
            embeddings = (
                None
                if reid is None
                else _appearance_distance(tracker, propagated, encoded, before, now, known)
            )
            if reid == "distance":
                distance = (distance + embeddings) / 2
            if not parts:  # whom the tracks had before: their own objects
                own = torch.eye(len(before.ids), device=distance.device)
                loss(1 - own, own, before.ids, before.ids)
                switches(1 - own, own, before.ids, before.ids)
            terms = loss(distance, matcher(distance[None])[0], before.ids, now.ids)
            part = OBJECTIVES[objective](loss, terms, len(now.ids))
            if reid == "separate" and objective in _WITH_SWITCHES:
                ids = switches(embeddings, matcher(embeddings[None])[0], before.ids, now.ids).ids
                part = part + loss.gamma * ids / len(now.ids)
            parts.append(part)
    return torch.stack(parts).mean()


def _init_memories(
    tracker: Tracker, encoded: object, frame: LabeledFrame, boxes: Tensor, known: Appearance
) -> None:
    """Remembers the people of a frame that the clip has not had before, at these boxes."""
    new = [k for k, identity in enumerate(frame.ids) if identity not in known.memory]
    if new:
        for k, memory in zip(new, tracker.init_memory(encoded, boxes[new]), strict=True):
            known.memory[frame.ids[k]] = memory
            known.embeddings[frame.ids[k]] = [memory]


def _appearance_distance(
    tracker: Tracker,
    propagated: Propagation,
    encoded: object,
    before: LabeledFrame,
    now: LabeledFrame,
    known: Appearance,
) -> Tensor:
    """(N, M) cosine distances of the tracks' mean embeddings so far and the objects' in this frame."""
    if propagated.appearance is None:
        raise ValueError(f"{tracker.name} has no embeddings: it needs a ReID head for an appearance term")
    tracks = torch.stack([torch.stack(known.embeddings[identity]).mean(0) for identity in before.ids])
    distance = appearance_distance(tracks, tracker.init_memory(encoded, now.boxes))
    for identity, embedding in zip(before.ids, propagated.appearance, strict=True):
        known.embeddings[identity].append(embedding)
    return distance


def _smooth_l1(boxes: Tensor, before: LabeledFrame, now: LabeledFrame) -> Tensor:
    """Smooth L1 of the boxes (K, 4) of the people of ``before`` and where the same people are ``now``, in
    sizes of theirs; those who left do not count."""
    place = {identity: k for k, identity in enumerate(now.ids)}
    stayed = [k for k, identity in enumerate(before.ids) if identity in place]
    if not stayed:
        return boxes.sum() * 0
    target = now.boxes[[place[before.ids[k]] for k in stayed]]
    size = (target[:, 2:] - target[:, :2]).clamp(min=1).repeat(1, 2)
    return smooth_l1_loss(boxes[stayed] / size, target / size, beta=_BETA)
