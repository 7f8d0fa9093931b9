"""Training of a tracker by the DeepMOT loss (Sec. 4.3, Appendix A.2).

Tracks start at the ground truth of one frame, perturbed; the tracker propagates them into the next; D, the
soft assignment of a frozen matcher and the loss measure its boxes, and the gradient goes back to its weights.
``smooth_l1`` is the same with the association of the ground truth: each box is pulled to where its own object
went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from ..boxes import sizes
from ..columns import LARGEST
from ..data import mot
from ..data.files import atomic, visible
from ..distance import appearance_distance, box_distance
from ..identities import FrameIds, MatchState
from ..loss import LossTerms, deepmot_loss
from ..trackers.tracker import Propagation, Tracker
from .clips import Clips, LabeledFrame
from .perturbation import perturb
from .schedules import TrackerSchedule
from .trainer import Training, warm_cosine

LAMBDA, GAMMA = 5.0, 2.0  # the paper's weights of Eq. 9 and Eq. 7
#: What is minimized, by its name in Tables 2 and 3: of the terms of a frame and its number of objects.
OBJECTIVES: dict[str, Callable[[LossTerms, int], Tensor]] = {
    "dMOTP": lambda terms, objects: LAMBDA * (1 - terms.dmotp),
    "dMOTA": lambda terms, objects: 1 - terms.dmota,
    "dMOTA+dMOTP-IDS": lambda terms, objects: terms.total - GAMMA * terms.ids / max(objects, 1),
    "dMOTA+dMOTP": lambda terms, objects: terms.total,
}
LOSSES = ("smooth_l1", *OBJECTIVES)
_WITH_SWITCHES = ("dMOTA", "dMOTA+dMOTP")
_BETA = 0.1  # where smooth L1 turns from a square into a line, in box sizes
_MATRICES = 100  # distance matrices kept of a training, spread over its steps

#: A matcher's forward pass: (B, N, M) distances to (B, N, M) soft assignments.
SoftAssignment = Callable[[Tensor], Tensor]


class ClipLoss(NamedTuple):
    """The loss of a clip, a scalar, and the distance matrices D (N, M) that the matcher was given."""

    loss: Tensor
    distances: list[Tensor]


def clip_loss(
    tracker: Tracker,
    clip: Sequence[LabeledFrame],
    objective: str,
    matcher: SoftAssignment | None,
    scale: float = 100.0,
    reid: str | None = None,
    generator: torch.Generator | None = None,
) -> ClipLoss:
    """Compute the mean loss of the frames of a clip but the first.

    In each frame the tracks are the people of the frame before. What is computed once per frame
    (``tracker.encode``) gets no gradient.

    Args:
        tracker: The network.
        clip: Two frames or more, each with people, on the tracker's device.
        objective: One of ``LOSSES``.
        matcher: The frozen network between D and the loss; "smooth_l1" takes none.
        scale: The inverse temperature of the loss's softmaxes.
        reid: How the embeddings of a ReID head enter; the mean of a track's embeddings so far is compared
            with those of the objects. "distance": D is the mean of Eq. 3's distance and the cosine distance
            (Sec. 4.1, "adding a term"). "separate": D is Eq. 3's; the cosine distances pass the matcher by
            themselves, and their identity switches are added, as in the released code. None: not at all.
        generator: A CPU generator of the perturbations; None takes torch's global one.

    Returns:
        The loss, differentiable by the tracker's weights, and the matrices D without gradient.

    Raises:
        FloatingPointError: the tracker has diverged: boxes or embeddings are not finite, or absurdly large.
        ValueError: an unknown objective or ``reid``; a ``reid`` for a tracker without embeddings; no matcher.
    """
    if objective not in LOSSES or reid not in (None, "distance", "separate"):
        raise ValueError(f"unknown objective {objective!r} or reid {reid!r}: choose of {', '.join(LOSSES)}")
    if matcher is None and objective != "smooth_l1":
        raise ValueError(f"{objective} needs a matcher")
    tracks = _Tracks(tracker)
    losses, distances = [], []
    # Before the clip the tracks had their own objects.
    state = appearance_state = _own_matches(clip[0])
    with torch.no_grad():
        encoded = tracker.encode(clip[0].image)
    for before, now in pairwise(clip):
        # Propagate the perturbed ground truth (Appendix A.2) into this frame.
        starts = perturb(before.boxes, generator)
        tracks.start(before.ids, encoded, starts)
        with torch.no_grad():
            encoded = tracker.encode(now.image)
        propagated = tracker.propagate(encoded, starts, tracks.memory(before.ids))
        _check_divergence(tracker, propagated)
        if matcher is None or objective == "smooth_l1":
            losses.append(_smooth_l1(propagated.boxes, before, now))
            continue

        # D (Eq. 3), the soft assignment, and the loss (Eq. 9).
        ids = FrameIds(before.ids, now.ids)
        distance = box_distance(propagated.boxes, now.boxes, now.image_size)
        if reid is not None:
            if propagated.appearance is None:
                raise ValueError(f"{tracker.name} has no embeddings: an appearance term needs a ReID head")
            appearance = tracks.appearance_distance(ids, encoded, now.boxes)
            tracks.extend(before.ids, propagated.appearance)
        if reid == "distance":
            distance = (distance + appearance) / 2
        distances.append(distance.detach())
        terms, state = deepmot_loss(distance, matcher(distance[None])[0], ids, state, scale=scale)
        loss = OBJECTIVES[objective](terms, len(now.ids))
        if reid == "separate" and objective in _WITH_SWITCHES:
            soft = matcher(appearance[None])[0]
            terms, appearance_state = deepmot_loss(appearance, soft, ids, appearance_state, scale=scale)
            loss = loss + GAMMA * terms.ids / len(now.ids)
        losses.append(loss)
    return ClipLoss(torch.stack(losses).mean(), distances)


class DeepMOTTraining(Training):
    """Training of a tracker on clips of the sequences' first halves, by ``clip_loss``.

    Args:
        tracker: The network; of Tracktor, only the heads are trained (``tracker.trained``).
        sequences: Sequences with images and ground truth.
        objective: One of ``LOSSES``.
        matcher: The frozen network between D and the loss; "smooth_l1" takes none.
        schedule: How long, on what, and at which rate.
        seed: Decides all that is drawn.
        reid: How the embeddings of a ReID head enter: see ``clip_loss``.
        validation: Scores the tracker, up is better; the network ends with the weights that scored best. None
            for those of the last step.
        matrices: A folder for about a hundred of the matrices D, which ``collected`` reads; None keeps none.

    Raises:
        ValueError: the sequences have no clip to train on.
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
        reid: str | None = None,
        validation: Callable[[], float] | None = None,
        matrices: Path | None = None,
    ) -> None:
        self.network: Tracker = tracker
        self.name, self.seed, self.schedule = f"{tracker.name}, {objective}", seed, schedule
        self.objective, self.matcher, self.reid, self.matrices = objective, matcher, reid, matrices
        self.steps, length = schedule.clip(head=reid is not None)
        self.clips = Clips(sequences, length, "train", schedule.min_visibility)
        self.optimizer = torch.optim.Adam(tracker.trained(), lr=schedule.learning_rate)
        self.validation = validation
        self.validations = 0 if validation is None else schedule.validations

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a clip, under the objective's name."""
        rng = self.rng(step)
        clip = [frame.to(self.device) for frame in self.clips[int(rng.integers(len(self.clips)))]]
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        found = clip_loss(
            self.network, clip, self.objective, self.matcher, self.schedule.scale, self.reid, generator
        )
        if found.distances and step % max(1, self.steps // _MATRICES) == 0:
            self._keep(step, found.distances[0])
        return {self.objective: found.loss}

    def validate(self) -> float:
        """Return the score that was asked for."""
        if self.validation is None:
            raise TypeError(f"{self.name}: no validation was given")
        return self.validation()

    def _keep(self, step: int, distance: Tensor) -> None:
        """Write a step's matrix, and drop those of another training at the first step."""
        if self.matrices is None:
            return
        if step == 0:
            for file in self.matrices.glob("*.npy"):
                file.unlink()
        with atomic(self.matrices / f"{step:07d}.npy") as temporary:
            np.save(temporary, distance.cpu().numpy())


def collected(folder: str | Path) -> list[NDArray[np.float32]]:
    """Read the distance matrices that trainings have left anywhere below a folder, without hidden files.

    Returns:
        The matrices (N, M) in the order of their paths, without those of 0 rows or columns.

    Raises:
        ValueError: a file is damaged; the message names it.
    """
    found = []
    for matrices in sorted(Path(folder).rglob("matrices")):
        for file in visible(matrices, "*.npy"):
            try:
                matrix = np.load(file)
            except Exception as error:  # a damaged header raises nearly anything
                raise ValueError(f"{file}: damaged, delete it ({error})") from None
            if matrix.size:
                found.append(matrix)
    return found


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


def _own_matches(frame: LabeledFrame) -> MatchState:
    """Return the matches of tracks that stand at their own objects."""
    ids = torch.tensor(frame.ids, device=frame.boxes.device)
    return MatchState(torch.eye(len(ids), device=frame.boxes.device), ids, ids)


def _check_divergence(tracker: Tracker, propagated: Propagation) -> None:
    """Refuse what only a tracker predicts that has diverged; NaN fails the comparison."""
    for predicted in (propagated.boxes, propagated.appearance):
        if predicted is not None and not (predicted.abs() <= LARGEST).all():
            raise FloatingPointError(f"the boxes or embeddings of {tracker.name} are not finite")


def _smooth_l1(boxes: Tensor, before: LabeledFrame, now: LabeledFrame) -> Tensor:
    """Return the smooth L1 distance of boxes (K, 4) from where the same people are now, in sizes of theirs.

    Those who left do not count.
    """
    place = {identity: k for k, identity in enumerate(now.ids)}
    stayed = [k for k, identity in enumerate(before.ids) if identity in place]
    if not stayed:
        return boxes.sum() * 0
    target = now.boxes[[place[before.ids[k]] for k in stayed]]
    size = sizes(target).clamp(min=1).repeat(1, 2)
    return smooth_l1_loss(boxes[stayed] / size, target / size, beta=_BETA)
