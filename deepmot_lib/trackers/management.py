"""Track management: which tracks there are, given what a tracker and the detector say of a frame (Sec. 5.2,
A.2).

Not trained, and free of any network: tensors in, tracks out. The two sets of rules of the paper are
``TRACKTOR`` (Bergmann et al., 2019) and ``MOT_BY_SOT`` (Appendix A.2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image, nms

from ..assignment import optimal_assignment
from ..distance import appearance_distance
from . import motion
from .tracker import Propagation

_MIN_SIDE = 1.0  # [px] a box of which less is inside the image has left it


@dataclass(frozen=True)
class Rules:
    """How tracks are born, die and come back. Overlaps are IoU in [0, 1]; None switches a rule off.

    ``detection_score``: detections below it are false positives; ``detection_nms``: of two that overlap more
    the better is kept; ``regress_detections``: whether the detector may move the public boxes, or only score
    them. ``cover``: a detection that overlaps a track so much is that track's, else it may start one, once
    it has come in ``birth_frames`` consecutive frames with an overlap of ``birth_overlap`` from each to the
    next.

    ``death_score``: a track whose own score is below is lost, and is not propagated on; ``track_nms``: of two
    tracks that overlap more the worse is lost. ``verified``: a track without a detection of its own is
    invisible, though propagated on. ``average_overlap``: a track whose detection overlaps it more takes the
    mean of both boxes. Lost and invisible tracks end after ``patience`` frames; until then a newborn revives
    one whose appearance is within ``revival_distance`` (``distance.appearance_distance``, in [0, 1]) and
    whose centre is within ``revival_reach`` of its heights. An appearance is the mean of the last
    ``appearance_frames``.

    ``camera_motion``: tracks move with the camera; ``velocity_frames``: they move on at their mean velocity
    over so many frames, 0 for not at all.
    """

    detection_score: float = 0.5
    detection_nms: float = 0.3
    regress_detections: bool = True
    cover: float = 0.3
    birth_frames: int = 1
    birth_overlap: float = 0.3
    death_score: float | None = 0.5
    track_nms: float = 0.6
    verified: bool = False
    average_overlap: float | None = None
    patience: int = 10
    revival_distance: float | None = 0.2
    revival_reach: float = 1.0
    appearance_frames: int = 10
    camera_motion: bool = True
    velocity_frames: int = 0

    def __post_init__(self) -> None:
        if self.birth_frames < 1 or self.appearance_frames < 1 or self.velocity_frames < 0:
            raise ValueError(f"a track is born of one frame or more, and has seen no fewer than none: {self}")


TRACKTOR = Rules()
MOT_BY_SOT = Rules(
    regress_detections=False,
    birth_frames=3,
    death_score=None,
    verified=True,
    average_overlap=0.6,
    patience=60,
    camera_motion=False,
)


@dataclass(eq=False)
class Track:
    """One person's track: ``box`` (4,), its ``score``, and for how many frames it has been ``missed``.

    ``past`` are its last boxes where the camera would see them now, ``looks`` its last embeddings (``look``
    is the newest). ``memory`` is the tracker's, and only kept here.
    """

    id: int
    box: Tensor
    score: float
    look: Tensor | None
    past: deque[Tensor]
    looks: deque[Tensor]
    missed: int = 0
    memory: Tensor | None = None

    @property
    def appearance(self) -> Tensor:
        return torch.stack(list(self.looks)).mean(0)

    @property
    def next(self) -> Tensor:
        """Where the motion of ``past`` leads."""
        return motion.constant_velocity(torch.stack(list(self.past)))

    def coast(self) -> None:
        """Moves on unseen."""
        self.box = self.next
        self.past.append(self.box)

    def found(self, box: Tensor, score: float, look: Tensor | None) -> None:
        self.box, self.score, self.look = box, score, look


@dataclass
class Tracks:
    """The tracks of one sequence. ``image_size`` is (height, width) in pixels.

    ``live`` are propagated into the next frame, in the order of ``boxes``; ``lost`` wait to be revived. Every
    tensor here is on the CPU, but ``Track.memory``.
    """

    rules: Rules
    image_size: tuple[int, int]
    live: list[Track] = field(default_factory=list)
    lost: list[Track] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._born = 0
        self._candidates: list[tuple[Tensor, int]] = []  # last box, in how many consecutive frames

    @property
    def boxes(self) -> Tensor:
        """(K, 4): where the live tracks are."""
        return _stack([track.box for track in self.live])

    @property
    def visible(self) -> list[Track]:
        """The live tracks that the last frame shows: those to output."""
        return [track for track in self.live if track.missed == 0]

    def move(self, warp: np.ndarray | None = None) -> None:
        """Moves all tracks to where the next frame should show them: by the camera's motion ``warp`` (2, 3),
        if given, and at constant velocity, if the rules say so."""
        if warp is not None:
            self._candidates = [(motion.warp_boxes(box, warp), age) for box, age in self._candidates]
            for track in self.live + self.lost:
                track.past = deque((motion.warp_boxes(box, warp) for box in track.past), track.past.maxlen)
                track.box = motion.warp_boxes(track.box, warp)
        for track in self.live:
            track.box = track.box + (track.next - track.past[-1])
        for track in self.lost:
            track.coast()

    @torch.no_grad()
    def step(self, propagated: Propagation, detected: Propagation) -> list[Track]:
        """Takes in one frame; returns the tracks to output.

        ``propagated``: what the tracker says of the K live tracks, in their order; ``detected``: the frame's
        detections, with an appearance wherever ``propagated`` has one. Boxes are clipped to the image.
        ValueError where ``propagated`` is not of K tracks.
        """
        if len(propagated.boxes) != len(self.live):
            raise ValueError(
                f"{len(propagated.boxes)} boxes were propagated, of {len(self.live)} live tracks"
            )
        detected = self._believed(self._inside(detected)[0])
        for track in self.lost:
            track.missed += 1
        self._advance(propagated)
        newborn = self._ripe(_take(detected, ~self._attribute(detected)))
        self._birth(_take(newborn, ~self._revive(newborn)))
        for track in self.visible:
            track.past.append(track.box)
            if track.look is not None:
                track.looks.append(track.look)
        for tracks in (self.live, self.lost):
            tracks[:] = [track for track in tracks if track.missed < max(1, self.rules.patience)]
        return self.visible

    # --- one frame, in this order ---------------------------------------------------------------------------

    def _inside(self, found: Propagation) -> tuple[Propagation, Tensor]:
        """What is inside the image, clipped to it, on the CPU; and which (bool) of the boxes these are."""
        found = Propagation(*(None if part is None else part.detach().float().cpu() for part in found))
        boxes = clip_boxes_to_image(found.boxes, self.image_size)
        inside = (boxes[:, 2:] - boxes[:, :2] >= _MIN_SIDE).all(1)  # not so for NaN
        return _take(found._replace(boxes=boxes), inside), inside

    def _believed(self, detected: Propagation) -> Propagation:
        """The detections above the rules' score, without doubles."""
        detected = _take(detected, detected.scores >= self.rules.detection_score)
        return _take(detected, nms(detected.boxes, detected.scores, self.rules.detection_nms))

    def _advance(self, propagated: Propagation) -> None:
        """Moves the live tracks to where they were propagated; some leave the image, some are lost."""
        propagated, inside = self._inside(propagated)
        tracks = [track for track, stays in zip(self.live, inside.tolist(), strict=True) if stays]
        for index, track in enumerate(tracks):
            look = None if propagated.appearance is None else propagated.appearance[index]
            track.found(propagated.boxes[index], float(propagated.scores[index]), look)
        sure = torch.ones(len(tracks), dtype=torch.bool)
        if self.rules.death_score is not None:
            sure = propagated.scores >= self.rules.death_score
        index = sure.nonzero().flatten()
        # One that is seen goes before one that was followed blindly.
        rank = propagated.scores[index] - torch.tensor([float(tracks[i].missed > 0) for i in index])
        alive = set(index[nms(propagated.boxes[index], rank, self.rules.track_nms)].tolist())
        self.live = [track for i, track in enumerate(tracks) if i in alive]
        for i, track in enumerate(tracks):
            if i not in alive:
                track.missed += 1
                track.coast()  # what was propagated there is not the person
                self.lost.append(track)

    def _attribute(self, detected: Propagation) -> Tensor:
        """Gives detections to live tracks; returns which (bool) of them the tracks cover."""
        overlap = box_iou(self.boxes, detected.boxes)
        own = dict(_pairs(1 - overlap, overlap >= self.rules.cover))
        for index, track in enumerate(self.live):
            if index in own:
                box, shared = detected.boxes[own[index]], overlap[index, own[index]]
                if self.rules.average_overlap is not None and shared > self.rules.average_overlap:
                    track.box = (track.box + box) / 2
            if self.rules.verified:
                track.missed = 0 if index in own else track.missed + 1
        return (overlap >= self.rules.cover).any(0)

    def _ripe(self, uncovered: Propagation) -> Propagation:
        """The uncovered detections that have come often enough to be tracks; the others become candidates."""
        before = _stack([box for box, _ in self._candidates])
        overlap = box_iou(before, uncovered.boxes)
        ages = torch.ones(len(uncovered.boxes), dtype=torch.long)
        for old, new in _pairs(1 - overlap, overlap >= self.rules.birth_overlap):
            ages[new] += self._candidates[old][1]
        ripe = ages >= self.rules.birth_frames
        young = (~ripe).nonzero().flatten().tolist()
        self._candidates = [(uncovered.boxes[i], int(ages[i])) for i in young]
        return _take(uncovered, ripe)

    def _revive(self, newborn: Propagation) -> Tensor:
        """Gives newborns to the tracks that they look like; returns which (bool) of them are taken."""
        taken = torch.zeros(len(newborn.boxes), dtype=torch.bool)
        unseen = [track for track in self.lost + self.live if track.missed and track.looks]
        if self.rules.revival_distance is None or newborn.appearance is None or not unseen:
            return taken
        looks = torch.stack([track.appearance for track in unseen])
        distance = appearance_distance(looks, newborn.appearance)
        boxes = _stack([track.box for track in unseen])
        heights = boxes[:, 3:] - boxes[:, 1:2]
        near = torch.cdist(_centers(boxes), _centers(newborn.boxes)) <= self.rules.revival_reach * heights
        for old, new in _pairs(distance, near & (distance <= self.rules.revival_distance)):
            track, taken[new] = unseen[old], True
            track.found(newborn.boxes[new], float(newborn.scores[new]), newborn.appearance[new])
            track.missed = 0
            track.past.clear()
            if track in self.lost:
                self.lost.remove(track)
                self.live.append(track)
        return taken

    def _birth(self, newborn: Propagation) -> None:
        rules = self.rules
        for index, (box, score) in enumerate(zip(newborn.boxes, newborn.scores.tolist(), strict=True)):
            self._born += 1
            look = None if newborn.appearance is None else newborn.appearance[index]
            past, looks = deque(maxlen=rules.velocity_frames + 1), deque(maxlen=rules.appearance_frames)
            self.live.append(Track(self._born, box, score, look, past, looks))


def _stack(boxes: list[Tensor]) -> Tensor:
    return torch.stack(boxes) if boxes else torch.empty(0, 4)


def _take(found: Propagation, index: Tensor) -> Propagation:
    """The chosen ones, by a bool or an integer index."""
    return Propagation(*(None if part is None else part[index] for part in found))


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _pairs(cost: Tensor, allowed: Tensor) -> list[tuple[int, int]]:
    """The cheapest one-to-one pairs (row, column) among those allowed; costs are in [0, 1]."""
    chosen = optimal_assignment(torch.where(allowed, cost, 2.0), gate=2.0)
    return [tuple(pair) for pair in chosen.nonzero().tolist()]
