"""Training of a tracker by the DeepMOT loss as the paper's text has it (Sec. 4.3, Appendix A.2).

Tracks start at the ground truth of one frame, perturbed; the tracker propagates them into the next; D, the
soft assignment of a frozen matcher and the loss measure its boxes, and the gradient goes back to its weights.
``smooth_l1`` is the same with the association of the ground truth: each box is pulled to where its own object
went. ``rollout`` trains Tracktor as the released code does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data import mot
from ..distance import appearance_distance, box_distance, jaccard_distance
from ..identities import FrameIds, MatchState
from ..loss import deepmot_loss
from ..soft_hota import HOTAFrame, soft_hota
from ..trackers.tracker import Tracker
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
from .schedules import TrackerSchedule
from .trainer import Training, warm_cosine


class ClipLoss(NamedTuple):
    """The losses of a clip, and the matcher's input.

    Attributes:
        loss: The loss of the clip, a scalar.
        score_loss: The loss of the tracker's own scores, a scalar.
        distances: The distance matrices D ``(N, M)`` that the matcher was given.
    """

    loss: Tensor
    score_loss: Tensor
    distances: list[Tensor]


def clip_loss(
    tracker: Tracker,
    clip: Sequence[LabeledFrame],
    objective: str,
    matcher: SoftAssignment | None,
    scale: float = 100.0,
    reid: bool = False,
    generator: torch.Generator | None = None,
) -> ClipLoss:
    """Compute the mean losses of the frames of a clip but the first.

    In each frame the tracks are the people of the frame before. What is computed once per frame
    (``tracker.encode``) gets no gradient. HOTA is that of the whole clip.

    Args:
        tracker: The network.
        clip: Two frames or more, each with people, on the tracker's device.
        objective: One of ``LOSSES``.
        matcher: The frozen network between D and the loss; those of ``ONE_OBJECT`` take none.
        scale: The inverse temperature of the loss's softmaxes.
        reid: Whether D is the mean of Eq. 3's distance and the cosine distance of embeddings (Sec. 4.1,
            "adding a term"): that of the mean of a track's embeddings so far from those of the objects.
        generator: A CPU generator of the perturbations; None takes torch's global one.

    Returns:
        The losses, differentiable by the tracker's weights, and the matrices D without gradient.

    Raises:
        FloatingPointError: the tracker has diverged: boxes or embeddings are not finite, or absurdly large.
        ValueError: an unknown objective; no matcher; ``reid`` for a tracker without embeddings.
    """
    check_objective(objective, matcher)
    tracks = _Tracks(tracker)
    losses, score_losses, distances = [], [], []
    state = _own_matches(clip[0])  # before the clip the tracks had their own objects
    frames = [HOTAFrame(state.matches, state.matches, FrameIds(clip[0].ids, clip[0].ids))]
    with torch.no_grad():
        encoded = tracker.encode(clip[0].image)
    for before, now in pairwise(clip):
        # Propagate the perturbed ground truth (Appendix A.2) into this frame.
        tracks.start(before.ids, encoded, before.boxes)
        with torch.no_grad():
            encoded = tracker.encode(now.image)
        starts, own = perturb(before.boxes, generator), _same_people(before, now)
        targets = torch.where(own.any(1, keepdim=True), own @ now.boxes, torch.nan)
        propagated, score_loss = tracker.propagate_with_score_loss(
            encoded, starts, tracks.memory(before.ids), targets
        )
        check_divergence(tracker, propagated)
        score_losses.append(tracker.score_weight * score_loss)
        if matcher is None or objective in ONE_OBJECT:
            losses.append(_one_object_loss(objective, propagated.boxes, before, now, own))
            continue

        # D (Eq. 3), the soft assignment, and the loss (Eq. 9).
        ids = FrameIds(before.ids, now.ids)
        distance = box_distance(propagated.boxes, now.boxes, now.image_size)
        if reid:
            if propagated.appearance is None:
                raise ValueError(f"{tracker.name} has no embeddings: an appearance term needs a ReID head")
            distance = (distance + tracks.appearance_distance(ids, encoded, now.boxes)) / 2
            tracks.extend(before.ids, propagated.appearance)
        distances.append(distance.detach())
        soft = matcher(distance[None])[0]
        if objective == SOFT_HOTA:
            frames.append(HOTAFrame(1 - jaccard_distance(propagated.boxes, now.boxes), soft, ids))
            continue
        weights = OBJECTIVES[objective]
        terms, state = deepmot_loss(
            distance, soft, ids, state, lambda_=LAMBDA, gamma=weights.gamma, scale=scale
        )
        losses.append(weights.value(terms))
    if objective == SOFT_HOTA:
        losses.append(1 - soft_hota(frames).hota)
    return ClipLoss(torch.stack(losses).mean(), torch.stack(score_losses).mean(), distances)


class DeepMOTTraining(Training):
    """Training of a tracker on clips of the sequences' first halves, by ``clip_loss``.

    Args:
        tracker: The network; what is trained is ``tracker.trained("paper")``.
        sequences: Sequences with images and ground truth.
        objective: One of ``LOSSES``.
        matcher: The frozen network between D and the loss; those of ``ONE_OBJECT`` take none.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.
        reid: Whether the embeddings of a ReID head enter D: see ``clip_loss``.
        validation: Scores the tracker, up is better; the network ends with the weights that scored best. None
            for those of the last step.
        matrices: A folder for about a hundred of the matrices D; None keeps none.

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
        schedule: TrackerSchedule,
        seed: int,
        reid: bool = False,
        validation: Callable[[], float] | None = None,
        matrices: Path | None = None,
    ) -> None:
        check_objective(objective, matcher)
        self.network: Tracker = tracker
        self.name, self.seed, self.schedule = f"{tracker.name}, {objective}", seed, schedule
        self.objective, self.matcher, self.reid = objective, matcher, reid
        self.steps, length = schedule.clip(head=reid)
        self.matrices = MatrixFolder(matrices, self.steps)
        self.clips = Clips(sequences, length, "train", schedule.min_visibility)
        trained = list(tracker.trained("paper"))
        tracker.requires_grad_(False)  # gradients of what is not trained would take half of a step's time
        for parameter in trained:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.Adam(trained, lr=schedule.learning_rate)
        self.validation = validation
        self.validations = 0 if validation is None else schedule.validations

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a clip, under the objective's name, and that of the scores."""
        rng = self.rng(step)
        clip = [frame.to(self.device) for frame in self.clips[int(rng.integers(len(self.clips)))]]
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        found = clip_loss(
            self.network, clip, self.objective, self.matcher, self.schedule.scale, self.reid, generator
        )
        if found.distances:
            self.matrices.keep(step, found.distances[0])
        return {self.objective: found.loss, "scores": found.score_loss}

    def validate(self) -> float:
        """Return the score that was asked for."""
        if self.validation is None:
            raise TypeError(f"{self.name}: no validation was given")
        return self.validation()


class _Tracks:
    """What a clip has collected of each identity: the tracker's memory of it, and its embeddings so far."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._memory: dict[int, Tensor] = {}
        self._embeddings: dict[int, list[Tensor]] = {}

    def start(self, ids: Sequence[int], encoded: Any, boxes: Tensor) -> None:
        """Start a track at the boxes (K, 4) of each identity that the clip has not had before."""
        new = [k for k, identity in enumerate(ids) if identity not in self._memory]
        if new:
            for k, memory in zip(new, self.tracker.init_memory(encoded, boxes[new]), strict=True):
                self._memory[ids[k]] = memory
                self._embeddings[ids[k]] = [memory]

    def memory(self, ids: Sequence[int]) -> Tensor:
        """Return the tracker's memory of the tracks, (K, ...)."""
        return torch.stack([self._memory[identity] for identity in ids])

    def appearance_distance(self, ids: FrameIds, encoded: Any, objects: Tensor) -> Tensor:
        """Return the cosine distances (N, M) of the tracks' mean embeddings and those of objects (M, 4)."""
        tracks = torch.stack([torch.stack(self._embeddings[identity]).mean(0) for identity in ids.tracks])
        return appearance_distance(tracks, self.tracker.init_memory(encoded, objects))

    def extend(self, ids: Sequence[int], embeddings: Tensor) -> None:
        """Add the embeddings (K, C) of this frame to those of the tracks."""
        for identity, embedding in zip(ids, embeddings, strict=True):
            self._embeddings[identity].append(embedding)


def _one_object_loss(
    objective: str, boxes: Tensor, before: LabeledFrame, now: LabeledFrame, own: Tensor
) -> Tensor:
    """Return a loss that pulls each box to one object; tracks come from the ground truth, without a past."""
    matches = hungarian_matches(boxes, now.boxes, now.image_size) if objective == HUNGARIAN else own
    past = torch.full_like(before.boxes, torch.nan)
    return one_object_loss(objective, boxes, now.boxes, matches, before.boxes, past, now.image_size)


def _own_matches(frame: LabeledFrame) -> MatchState:
    """Return the matches of tracks that stand at their own objects."""
    ids = torch.tensor(frame.ids, device=frame.boxes.device)
    return MatchState(torch.eye(len(ids), device=frame.boxes.device), ids, ids)


def _same_people(before: LabeledFrame, now: LabeledFrame) -> Tensor:
    """Return who is who in two frames, (N, M) 0/1."""
    rows, columns = (torch.tensor(frame.ids, device=now.boxes.device) for frame in (before, now))
    return (rows[:, None] == columns).to(now.boxes)
