"""Track management: birth, death and revival of tracks, from propagated boxes and detections (Sec. 5.2, A.2).

It has no trained parameters and uses no network; its thresholds are ``rules.Rules``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image, nms

from ..assignment import optimal_assignment
from ..boxes import centers, sizes
from ..distance import appearance_distance
from . import motion
from .rules import Rules
from .tracker import Propagation

_MIN_SIDE = 1.0  # [px] a track whose box has a smaller side inside the image ends


@dataclass(eq=False)
class Track:
    """A person's track.

    Attributes:
        id: Its identity, from 1.
        box: ``(4,)`` xyxy [px].
        score: Score of the box in [0, 1].
        embedding: ``(C,)`` of the last frame, None without a ReID model.
        past: Its last boxes, compensated for the camera's motion since.
        embeddings: Its last embeddings.
        missed: Number of frames since it was last visible.
        unverified: Number of frames since it last had a detection of its own.
        memory: What the tracker's network keeps of it.
    """

    id: int
    box: Float[Tensor, "4"]
    score: float
    embedding: Float[Tensor, " C"] | None
    past: deque[Tensor]
    embeddings: deque[Tensor]
    missed: int = 0
    unverified: int = 0
    memory: Tensor | None = None

    @property
    def appearance(self) -> Float[Tensor, " C"]:
        """The mean of the last embeddings (C,)."""
        return torch.stack(list(self.embeddings)).mean(0)

    @property
    def next(self) -> Float[Tensor, "4"]:
        """The box (4,) that the motion model predicts for the next frame."""
        return motion.constant_velocity(torch.stack(list(self.past)))

    def coast(self) -> None:
        """Move the track by the motion model alone."""
        self.box = self.next
        self.past.append(self.box)

    def update(self, box: Tensor, score: float, embedding: Tensor | None) -> None:
        """Set box, score and embedding of the current frame."""
        self.box, self.score, self.embedding = box, score, embedding


@dataclass
class Tracks:
    """The tracks of one sequence. All tensors but ``Track.memory`` are on the CPU.

    Attributes:
        rules: Thresholds of birth, death and revival.
        image_size: (height, width) [px].
        live: The tracks to propagate to the next frame, in the order of ``boxes``.
        lost: The tracks that may be revived.
    """

    rules: Rules
    image_size: tuple[int, int]
    live: list[Track] = field(default_factory=list)
    lost: list[Track] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count = 0
        self._candidates: list[tuple[Tensor, int]] = []  # last box, number of consecutive frames

    @property
    def boxes(self) -> Float[Tensor, "K 4"]:
        """The boxes (K, 4) of the live tracks, xyxy [px]."""
        return stack_boxes([track.box for track in self.live])

    @property
    def visible(self) -> list[Track]:
        """The live tracks to output for the last frame."""
        return [track for track in self.live if track.missed == 0]

    def move(self, warp: NDArray[np.floating] | None = None) -> None:
        """Move all tracks to the next frame by the motion models that the rules ask for.

        Args:
            warp: ``(2, 3)`` the camera's motion, see ``motion.camera_motion``; None for a static camera.
        """
        if warp is not None:
            self._warp(warp)
        for track in self.live:
            track.box = track.box + (track.next - track.past[-1])
        for track in self.lost:
            track.coast()

    def _warp(self, warp: NDArray[np.floating]) -> None:
        """Move all boxes by the camera's motion at once: one by one they took a third of a frame's time."""
        tracks = self.live + self.lost
        boxes = [box for box, _ in self._candidates]
        boxes += [box for track in tracks for box in (track.box, *track.past)]
        moved = iter(motion.warp_boxes(stack_boxes(boxes), warp))
        self._candidates = [(next(moved), age) for _, age in self._candidates]
        for track in tracks:
            track.box = next(moved)
            track.past = deque(islice(moved, len(track.past)), track.past.maxlen)

    @torch.no_grad()
    def step(self, propagated: Propagation, detected: Propagation) -> list[Track]:
        """Update the tracks by one frame. Boxes are clipped to the image.

        Args:
            propagated: The K live tracks in this frame, in their order.
            detected: The frame's detections, with embeddings if ``propagated`` has some.

        Returns:
            The tracks to output.

        Raises:
            ValueError: ``propagated`` does not hold K tracks.
        """
        if len(propagated.boxes) != len(self.live):
            raise ValueError(
                f"{len(propagated.boxes)} boxes were propagated, of {len(self.live)} live tracks"
            )
        detected = self._filter(self._clip(detected)[0])
        for track in self.lost:
            track.missed += 1
        own: dict[Track, int] = {}
        if self.rules.detections_first:
            self._assign(detected, own)
        self._propagate(propagated, detected, own)
        self._assign(detected, own)
        self._verify(detected, own)
        confirmed = self._confirm(_select(detected, self._uncovered(detected, own)))
        self._birth(_select(confirmed, ~self._revive(confirmed)))
        for track in self.visible:
            track.past.append(track.box)
            if track.embedding is not None:
                track.embeddings.append(track.embedding)
        for tracks in (self.live, self.lost):
            tracks[:] = [track for track in tracks if track.missed < max(1, self.rules.patience)]
        return self.visible

    # --- one frame, in this order ---------------------------------------------------------------------------

    def _clip(self, found: Propagation) -> tuple[Propagation, Bool[Tensor, " K"]]:
        """Clip boxes to the image, on the CPU; return those inside, and which ones they are."""
        found = _apply(found, lambda part: part.detach().float().cpu())
        boxes = clip_boxes_to_image(found.boxes, self.image_size)
        inside = (sizes(boxes) >= _MIN_SIDE).all(1)  # false for NaN
        return _select(found._replace(boxes=boxes), inside), inside

    def _filter(self, detected: Propagation) -> Propagation:
        """Discard detections by score, and suppress those that overlap better ones."""
        lowest = self.rules.birth_score
        if self.rules.second_score is not None:
            lowest = min(lowest, self.rules.second_score)
        detected = _select(detected, detected.scores >= lowest)
        return _select(detected, nms(detected.boxes, detected.scores, self.rules.detection_nms))

    def _assign(self, detected: Propagation, own: dict[Track, int]) -> None:
        """Assign detections to live tracks, both as far as not in ``own``, and enter the pairs there.

        Strong detections come first, weak ones go to the tracks that are left.
        """
        strong = detected.scores >= self.rules.birth_score
        for part in (strong, ~strong):
            overlap = box_iou(self.boxes, detected.boxes)
            allowed = (overlap >= self.rules.cover) & part
            for row, track in enumerate(self.live):
                allowed[row] &= track not in own
            allowed[:, list(own.values())] = False
            own |= {self.live[row]: column for row, column in _pairs(1 - overlap, allowed)}

    def _propagate(self, propagated: Propagation, detected: Propagation, own: dict[Track, int]) -> None:
        """Move the live tracks to their propagated boxes; end those outside, lose those of a low score."""
        propagated, inside = self._clip(propagated)
        tracks = [track for track, stays in zip(self.live, inside.tolist(), strict=True) if stays]
        for i, track in enumerate(tracks):
            embedding = None if propagated.appearance is None else propagated.appearance[i]
            track.update(propagated.boxes[i], float(propagated.scores[i]), embedding)
        confident = torch.ones(len(tracks), dtype=torch.bool)
        if self.rules.death_score is not None:
            confident = propagated.scores >= self.rules.death_score
        if self.rules.second_score is not None:
            confident |= (box_iou(propagated.boxes, detected.boxes) >= self.rules.cover).any(1)
        confident |= torch.tensor([track in own for track in tracks], dtype=torch.bool)
        index = confident.nonzero().flatten()
        # A track with a detection precedes others, a visible one those that are hidden.
        order = [float(tracks[i] in own) - float(tracks[i].missed > 0) for i in index.tolist()]
        rank = propagated.scores[index] + torch.tensor(order)
        alive = set(index[nms(propagated.boxes[index], rank, self.rules.track_nms)].tolist())
        self.live = [track for i, track in enumerate(tracks) if i in alive]
        self._lose([track for i, track in enumerate(tracks) if i not in alive])

    def _lose(self, tracks: list[Track]) -> None:
        """Stop propagating tracks; the motion model moves them on from where they were seen last."""
        for track in tracks:
            track.missed += 1
            track.coast()  # the propagated box is not the person's
        self.lost += tracks

    def _verify(self, detected: Propagation, own: dict[Track, int]) -> None:
        """Update the live tracks by their own detections; hide or lose those that had none for too long."""
        owners = [track for track in self.live if track in own]
        boxes = detected.boxes[[own[track] for track in owners]]
        overlaps = box_iou(stack_boxes([track.box for track in owners]), boxes).diagonal()
        for track in self.live:
            track.unverified += 1
        for track, box, overlap in zip(owners, boxes, overlaps.tolist(), strict=True):
            track.unverified = 0
            if overlap >= self.rules.matched_overlap and self.rules.matched_box != "propagated":
                track.box = box if self.rules.matched_box == "detected" else (track.box + box) / 2
        hidden, ended = (
            float("inf") if limit is None else limit
            for limit in (self.rules.unverified_frames, self.rules.unverified_death)
        )
        lost = [track for track in self.live if track.unverified > ended]
        self.live = [track for track in self.live if track.unverified <= ended]
        for track in self.live:
            track.missed = track.missed + 1 if track.unverified > hidden else 0
        self._lose(lost)

    def _uncovered(self, detected: Propagation, own: dict[Track, int]) -> Bool[Tensor, " M"]:
        """Return which detections are strong and belong to no live track: they may start one."""
        strong = detected.scores >= self.rules.birth_score
        strong[[own[track] for track in self.live if track in own]] = False
        return strong & ~(box_iou(self.boxes, detected.boxes) >= self.rules.cover).any(0)

    def _confirm(self, detected: Propagation) -> Propagation:
        """Return the detections that recurred often enough to start a track; the others become candidates."""
        before = stack_boxes([box for box, _ in self._candidates])
        overlap = box_iou(before, detected.boxes)
        ages = torch.ones(len(detected.boxes), dtype=torch.long)
        for old, new in _pairs(1 - overlap, overlap >= self.rules.birth_overlap):
            ages[new] += self._candidates[old][1]
        confirmed = ages >= self.rules.birth_frames
        others = (~confirmed).nonzero().flatten().tolist()
        self._candidates = [(detected.boxes[i], int(ages[i])) for i in others]
        return _select(detected, confirmed)

    def _revive(self, detected: Propagation) -> Bool[Tensor, " detections"]:
        """Assign detections to lost and hidden tracks; return which are assigned.

        They are assigned by appearance and then by place.
        """
        assigned = torch.zeros(len(detected.boxes), dtype=torch.bool)
        for score in (self._similar, self._overlapping):
            missed = [track for track in self.lost + self.live if track.missed]
            distance, allowed = score(missed, detected)
            for old, new in _pairs(distance, allowed & ~assigned):
                track, assigned[new] = missed[old], True
                look = None if detected.appearance is None else detected.appearance[new]
                track.update(detected.boxes[new], float(detected.scores[new]), look)
                track.missed = track.unverified = 0
                track.past.clear()
                if track in self.lost:
                    self.lost.remove(track)
                    self.live.append(track)
        return assigned

    def _similar(
        self, missed: list[Track], detected: Propagation
    ) -> tuple[Float[Tensor, "K M"], Bool[Tensor, "K M"]]:
        """Return the appearance distances, and where they and the places allow a revival."""
        boxes, limit = stack_boxes([track.box for track in missed]), self.rules.revival_distance
        far = torch.ones(len(boxes), len(detected.boxes))
        known = torch.tensor([len(track.embeddings) > 0 for track in missed], dtype=torch.bool)
        if limit is None or detected.appearance is None or not known.any():
            return far, far < 0
        appearances = torch.stack([track.appearance for track in missed if track.embeddings])
        far[known] = appearance_distance(appearances, detected.appearance)
        reach = self.rules.revival_reach * sizes(boxes)[:, 1:]
        near = torch.cdist(centers(boxes), centers(detected.boxes)) <= reach
        return far, near & (far <= limit) & known[:, None]

    def _overlapping(
        self, missed: list[Track], detected: Propagation
    ) -> tuple[Float[Tensor, "K M"], Bool[Tensor, "K M"]]:
        """Return 1 - IoU, and where it allows a revival."""
        overlap = box_iou(stack_boxes([track.box for track in missed]), detected.boxes)
        limit = self.rules.revival_overlap
        return 1 - overlap, overlap >= (2.0 if limit is None else limit)

    def _birth(self, detected: Propagation) -> None:
        """Start a track from each detection."""
        for i, (box, score) in enumerate(zip(detected.boxes, detected.scores.tolist(), strict=True)):
            self._count += 1
            embedding = None if detected.appearance is None else detected.appearance[i]
            past: deque[Tensor] = deque(maxlen=self.rules.velocity_frames + 1)
            embeddings: deque[Tensor] = deque(maxlen=self.rules.appearance_frames)
            self.live.append(Track(self._count, box, score, embedding, past, embeddings))


def stack_boxes(boxes: list[Tensor]) -> Float[Tensor, "K 4"]:
    """Stack boxes, of which there may be none."""
    return torch.stack(boxes) if boxes else torch.empty(0, 4)


def _apply(found: Propagation, function: Callable[[Tensor], Tensor]) -> Propagation:
    """Apply a function to boxes, scores and embeddings."""
    appearance = None if found.appearance is None else function(found.appearance)
    return Propagation(function(found.boxes), function(found.scores), appearance)


def _select(found: Propagation, index: Tensor) -> Propagation:
    """Select tracks or detections by a bool or integer index."""
    return _apply(found, lambda part: part[index])


def _pairs(cost: Float[Tensor, "N M"], allowed: Bool[Tensor, "N M"]) -> list[tuple[int, int]]:
    """Return the cheapest one-to-one pairs (row, column) among the allowed ones; costs are in [0, 1]."""
    chosen = optimal_assignment(torch.where(allowed, cost, 2.0), gate=2.0)
    return [(row, column) for row, column in chosen.nonzero().tolist()]
