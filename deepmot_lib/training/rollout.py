"""Training of Tracktor by the DeepMOT loss as the released code does it (docs/deviations.md).

Tracks go on from their own predictions along a clip, with one update a frame. Two matrices pass the frozen
matcher: the distances of boxes, which train the box regression layer, and those of embeddings, which train
the ReID head; which pairs belong together the boxes decide for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import mot
from ..distance import appearance_distance, box_distance, jaccard_distance
from ..identities import FrameIds, MatchState, align_matches
from ..loss import deepmot_loss, loss_terms
from ..soft_hota import HOTAFrame, soft_hota
from ..trackers.tracker import Propagation, Tracker
from .clip_history import AnySize, ClipHistory
from .clips import Clips, LabeledFrame
from .matrices import MatrixFolder
from .objectives import (
    HUNGARIAN,
    LAMBDA,
    OBJECTIVES,
    ONE_OBJECT,
    SOFT_HOTA,
    SoftAssignment,
    check_divergence,
    check_objective,
    hungarian_matches,
    one_object_loss,
)
from .perturbation import perturb
from .schedules import RolloutSchedule
from .trainer import Training


class Rollout(AnySize):
    """A tracker and, as buffers, the K tracks that it has in the last frame: a checkpoint keeps both.

    Attributes:
        tracker: The network.
        history: The frames of the clip so far, where HOTA is trained for.
        boxes: (K, 4) where the tracks are, xyxy [px].
        last_boxes: (K, 4) where they were one frame earlier; where they are for new ones.
        embeddings: (K, C) the mean of each track's embeddings so far; (K, 0) without a ReID head.
        ages: (K,) the number of these.
        matches: (K, M) 0/1, which objects of the last frame are the tracks' own.
        track_ids: (K,).
        object_ids: (M,).
    """

    boxes: Tensor
    last_boxes: Tensor
    embeddings: Tensor
    ages: Tensor
    matches: Tensor
    track_ids: Tensor
    object_ids: Tensor

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker
        self.history = ClipHistory()
        self._set_tracks(*(torch.empty(0) for _ in range(7)))

    def start(self, frame: LabeledFrame, generator: torch.Generator | None = None) -> None:
        """Start a clip: a track at the perturbed box of each object of its first frame."""
        nobody = frame.boxes[:0]
        with torch.no_grad():
            encoded = self.tracker.encode(frame.image)
            embeddings = self.tracker.init_memory(encoded, nobody)
        ids = torch.empty(0, dtype=torch.long, device=nobody.device)
        matches = nobody.new_zeros(0, len(frame.ids))
        self._set_tracks(nobody, nobody, embeddings, nobody[:, 0], matches, ids, ids)
        self._end_and_start(frame, encoded, nobody, embeddings, matches, generator)
        self.history.clear()
        overlap = 1 - jaccard_distance(self.boxes, frame.boxes)
        self.history.add(HOTAFrame(overlap, self.matches, FrameIds(self.track_ids, self.object_ids)))

    def step(
        self,
        frame: LabeledFrame,
        objective: str,
        matcher: SoftAssignment | None,
        scale: float = 100.0,
        generator: torch.Generator | None = None,
        box_gamma: float = 0.0,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Propagate the tracks into the clip's next frame, and compute its loss.

        Args:
            frame: The frame, with one person or more, on the tracker's device.
            objective: One of ``LOSSES``.
            matcher: The frozen network between D and the loss; those of ``ONE_OBJECT`` take none.
            scale: The inverse temperature of the loss's softmaxes.
            generator: A CPU generator of the perturbations of new tracks; None takes torch's global one.
            box_gamma: The weight of identity switches in the loss of the boxes. The release counts them for
                the embeddings alone, which is 0.

        Returns:
            The terms "boxes" and, with a ReID head, "appearance", differentiable by the tracker's weights;
            and D of the boxes.

        Raises:
            FloatingPointError: the tracker has diverged.
        """
        with torch.no_grad():
            encoded = self.tracker.encode(frame.image)
        propagated = self.tracker.propagate(encoded, self.boxes, self.embeddings)
        check_divergence(self.tracker, propagated)
        if matcher is None or objective in ONE_OBJECT:
            distance, matches = None, self._own_objects(frame)
            if objective == HUNGARIAN:
                matches = hungarian_matches(propagated.boxes, frame.boxes, frame.image_size)
            terms = {"boxes": self._one_object_loss(objective, propagated.boxes, frame, matches)}
        else:
            # The boxes: D (Eq. 3), its soft assignment, and Eq. 9, in the release without switches.
            distance = box_distance(propagated.boxes, frame.boxes, frame.image_size)
            soft = matcher(distance[None])[0]
            ids, before = FrameIds(self.track_ids, frame.ids), self._state()
            found, (matches, *names) = deepmot_loss(
                distance, soft, ids, before, lambda_=LAMBDA, gamma=box_gamma, scale=scale
            )
            if objective == SOFT_HOTA:
                terms = {"boxes": self._hota_loss(propagated.boxes, frame, soft)}
            else:
                terms = {"boxes": OBJECTIVES[objective].value(found)}
            if propagated.appearance is not None:
                previous = align_matches(*before, matches, *names)
                embeddings = self.tracker.init_memory(encoded, frame.boxes)
                terms["appearance"] = appearance_loss(
                    self.embeddings, embeddings, matches, previous, objective, matcher, scale
                )
        self._advance(frame, encoded, propagated, matches, generator)
        return terms, distance

    def _own_objects(self, frame: LabeledFrame) -> Tensor:
        """Return (K, M) 0/1: the objects of this frame that were the tracks' own in the last one."""
        ids = torch.tensor(frame.ids, device=self.boxes.device)
        return self.matches @ (self.object_ids[:, None] == ids).to(self.matches)

    def _one_object_loss(self, objective: str, boxes: Tensor, frame: LabeledFrame, matches: Tensor) -> Tensor:
        """Return a loss that pulls each box to one object."""
        before_last = torch.where(self.ages[:, None] > 1, self.last_boxes, torch.nan)
        return one_object_loss(
            objective, boxes, frame.boxes, matches, self.boxes, before_last, frame.image_size
        )

    def _hota_loss(self, boxes: Tensor, frame: LabeledFrame, soft: Tensor) -> Tensor:
        """Return 1 - HOTA of the clip so far, to which only this frame has a gradient; remember the frame."""
        overlap = 1 - jaccard_distance(boxes, frame.boxes)
        now = HOTAFrame(overlap, soft, FrameIds(self.track_ids, frame.ids))
        loss = 1 - soft_hota([*self.history.frames(), now]).hota
        self.history.add(now)
        return loss

    def _state(self) -> MatchState:
        return MatchState(self.matches, self.track_ids, self.object_ids)

    @torch.no_grad()
    def _advance(
        self,
        frame: LabeledFrame,
        encoded: Any,
        propagated: Propagation,
        matches: Tensor,
        generator: torch.Generator | None,
    ) -> None:
        """Go on from the tracker's own boxes, to the next frame."""
        embeddings = self.embeddings
        if propagated.appearance is not None:
            embeddings = embeddings + (propagated.appearance - embeddings) / (self.ages[:, None] + 1)
        self._end_and_start(frame, encoded, propagated.boxes, embeddings, matches, generator)

    @torch.no_grad()
    def _end_and_start(
        self,
        frame: LabeledFrame,
        encoded: Any,
        boxes: Tensor,
        embeddings: Tensor,
        matches: Tensor,
        generator: torch.Generator | None,
    ) -> None:
        """End the tracks without an object; start one at the perturbed box of each object without a track."""
        goes_on, new = matches.any(1), (~matches.any(0)).nonzero().flatten()
        starts = perturb(frame.boxes[new], generator)
        first = int(self.track_ids.max()) + 1 if len(self.track_ids) else 0
        own = matches.new_zeros(len(new), len(frame.ids))
        order = torch.arange(len(new), device=new.device)
        own[order, new] = 1
        self._set_tracks(
            torch.cat([boxes[goes_on], starts]),
            torch.cat([self.boxes[goes_on], starts]),
            torch.cat([embeddings[goes_on], self.tracker.init_memory(encoded, starts)]),
            torch.cat([self.ages[goes_on] + 1, starts.new_ones(len(new))]),
            torch.cat([matches[goes_on], own]),
            torch.cat([self.track_ids[goes_on], first + order]),
            torch.tensor(frame.ids, device=boxes.device),
        )

    def _set_tracks(
        self,
        boxes: Tensor,
        last_boxes: Tensor,
        embeddings: Tensor,
        ages: Tensor,
        matches: Tensor,
        track_ids: Tensor,
        object_ids: Tensor,
    ) -> None:
        self.register_buffer("boxes", boxes)
        self.register_buffer("last_boxes", last_boxes)
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("ages", ages)
        self.register_buffer("matches", matches)
        self.register_buffer("track_ids", track_ids)
        self.register_buffer("object_ids", object_ids)


def appearance_loss(
    tracks: Tensor,
    objects: Tensor,
    matches: Tensor,
    previous_matches: Tensor,
    objective: str,
    matcher: SoftAssignment,
    scale: float,
) -> Tensor:
    """Return the loss of embeddings by themselves: the cosine distances pass the matcher alone.

    1 - HOTA is that of two frames, the last one and this, in which all that belongs together overlaps fully.

    Args:
        tracks: (N, C) embeddings of the tracks.
        objects: (M, C) embeddings of the objects.
        matches: (N, M) 0/1, B^TP: which of them belong together.
        previous_matches: (N, M) 0/1, B_-1^TP: all other matches are switches.
        objective: One of ``OBJECTIVES``, or ``SOFT_HOTA``.
        matcher: The frozen network between the distances and the loss.
        scale: The inverse temperature of the loss's softmaxes.
    """
    distance = appearance_distance(tracks, objects)
    soft = matcher(distance[None])[0]
    if objective == SOFT_HOTA:
        ids = FrameIds(range(len(tracks)), range(len(objects)))
        last = HOTAFrame(previous_matches, previous_matches, ids)
        return 1 - soft_hota([last, HOTAFrame(matches, soft, ids)]).hota
    weights = OBJECTIVES[objective]
    terms = loss_terms(
        distance, soft, matches, previous_matches, lambda_=LAMBDA, gamma=weights.gamma, scale=scale
    )
    return weights.value(terms)


class RolloutTraining(Training):
    """Training of Tracktor along clips of the sequences' first halves; a step is one frame.

    Args:
        tracker: The network; what is trained is ``tracker.trained("release")``.
        sequences: Sequences with images and ground truth.
        objective: One of ``LOSSES``.
        matcher: The frozen network between D and the loss; those of ``ONE_OBJECT`` take none.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.
        validation: Scores the tracker, up is better; the network ends with the weights that scored best. None
            for those of the last step.
        matrices: A folder for about a hundred of the matrices D; None keeps none.
        box_gamma: As of ``Rollout.step``.

    Raises:
        ValueError: an unknown objective, no matcher; the sequences have no clip to train on.
    """

    max_gradient_norm = 10.0

    def __init__(
        self,
        tracker: Tracker,
        sequences: Iterable[mot.Sequence],
        objective: str,
        matcher: SoftAssignment | None,
        schedule: RolloutSchedule,
        seed: int,
        validation: Callable[[], float] | None = None,
        matrices: Path | None = None,
        box_gamma: float = 0.0,
    ) -> None:
        check_objective(objective, matcher)
        self.box_gamma = box_gamma
        self.network: Rollout = Rollout(tracker).to(next(tracker.parameters()).device)
        self.name, self.seed, self.steps = f"{tracker.name}, {objective}", seed, schedule.steps
        self.objective, self.matcher, self.schedule = objective, matcher, schedule
        self.matrices = MatrixFolder(matrices, schedule.steps)
        self.clips = Clips(sequences, schedule.frames, "train", schedule.min_visibility)
        self.optimizer = torch.optim.Adam(tracker.trained("release"), lr=schedule.learning_rate)
        self.validation = validation
        self.validations = 0 if validation is None else schedule.validations

    def learning_rate(self, step: int) -> float:
        """Return the learning rate, which is constant."""
        return self.schedule.learning_rate

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of the next frame of a clip; the first of its steps starts its tracks."""
        number, k = divmod(step, self.schedule.frames - 1)
        index = int(self.rng(number).integers(len(self.clips)))
        generator = torch.Generator().manual_seed(int(self.rng(step).integers(2**63)))
        if k == 0:
            self.network.start(self.clips.frame(index, 0).to(self.device), generator)
        frame = self.clips.frame(index, k + 1).to(self.device)
        terms, distance = self.network.step(
            frame, self.objective, self.matcher, self.schedule.scale, generator, self.box_gamma
        )
        if distance is not None:
            self.matrices.keep(step, distance)
        return terms

    def validate(self) -> float:
        """Return the score that was asked for."""
        if self.validation is None:
            raise TypeError(f"{self.name}: no validation was given")
        return self.validation()
