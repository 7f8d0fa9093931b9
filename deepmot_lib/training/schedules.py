"""How long, on what and at which rate each network is trained: plain settings, filled in by ``profiles``.

``describe`` puts a schedule into a line for a table's provenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DHNSchedule:
    """How a Deep Hungarian Net is trained (Appendix A.1).

    ``steps`` are optimizer steps (the paper: 20 epochs over 114,483 pairs in batches of about ten) of
    ``batch`` matrices of similar size, fewer where they are large (``pairs.mixed_batches``), by RMSprop,
    whose rate decays in stairs, as in the paper. ``cosine`` takes AdamW with a warm-up and a cosine decay
    instead. ``cost_cap`` draws a matrix of more entries than this with probability ``cost_cap / entries``
    instead of 1, which makes all sizes cost alike; None draws all alike, as the paper does. ``test_pairs``
    evaluates on that many test pairs, drawn with a fixed seed; None on all.
    """

    steps: int
    batch: int = 10
    learning_rate: float = 3e-4
    decay: float = 0.95
    decay_every: int = 20_000
    cosine: bool = False
    cost_cap: int | None = None
    test_pairs: int | None = None
    hidden_size: int = 256

    def options(self, variant: str) -> dict[str, Any]:
        """Return what ``matchers.create`` takes for that network: the recurrent ones have a hidden size."""
        return {"hidden_size": self.hidden_size} if variant.endswith(("gru", "lstm")) else {}

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        drawn = "drawn alike" if self.cost_cap is None else f"above {self.cost_cap} entries more rarely"
        rate = f"RMSprop {self.learning_rate:g} times {self.decay:g} each {self.decay_every:,}"
        if self.cosine:
            rate = f"AdamW {self.learning_rate:g} with warm-up and cosine decay"
        return (
            f"{self.steps:,} steps of {self.batch} matrices of similar size ({drawn}), {rate}, "
            f"hidden size {self.hidden_size}"
        )


@dataclass(frozen=True)
class PriceSchedule:
    """How the price network of ``min_sum`` is trained, a matcher beyond the paper: AdamW, a cosine decay.

    A step takes at most ``entries`` entries of matrices of one shape. In the last ``unroll_fraction`` of the
    steps up to ``rounds`` rounds are unrolled, and the loss of their beliefs is added with ``unroll_weight``.
    ``uniform`` is the number of uniform random matrices mixed in, as a fraction of the pairs.
    """

    steps: int = 12_000
    entries: int = 40_000
    learning_rate: float = 4e-3
    unroll_fraction: float = 0.4
    unroll_weight: float = 0.3
    rounds: int = 10
    uniform: float = 0.15

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of at most {self.entries:,} entries, AdamW {self.learning_rate:g} with "
            f"cosine decay, {self.uniform:.0%} uniform random matrices mixed in, rounds unrolled in the "
            f"last {self.unroll_fraction:.0%}"
        )


@dataclass(frozen=True)
class DetectorSchedule:
    """How the detector is trained: by AdamW, with a warm-up and a cosine decay.

    It takes ``steps`` on ``images`` frames each. ``min_visibility``, in [0, 1], is that from which a person
    is to be found; ``zoom`` the range of factors by which images are enlarged.
    """

    steps: int
    images: int = 2
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    min_visibility: float = 0.25
    zoom: tuple[float, float] = (0.6, 1.5)

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of {self.images} square crops, zoomed by {self.zoom[0]:g} to "
            f"{self.zoom[1]:g}, AdamW {self.learning_rate:g} with warm-up and cosine decay, people at least "
            f"{self.min_visibility:.0%} visible"
        )


@dataclass(frozen=True)
class PairSchedule:
    """How a single-object tracker is pre-trained.

    ``steps`` optimizer steps (Adam, ``learning_rate`` reached after a twentieth of them, then falling to
    zero on a cosine) of ``frames`` pairs of frames, at most ``max_frame_gap`` frames apart, with at most
    ``tracks`` people of each pair. ``min_visibility`` (in [0, 1]) is that from which a person can be found;
    ``negatives`` the share of people who are searched where they are not.
    """

    steps: int
    frames: int = 4
    tracks: int = 8
    max_frame_gap: int = 5
    learning_rate: float = 1e-3
    min_visibility: float = 0.25
    negatives: float = 0.15

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of {self.frames} pairs of frames at most {self.max_frame_gap} apart, Adam "
            f"{self.learning_rate:g} with cosine decay, {self.negatives:.0%} negatives"
        )


@dataclass(frozen=True)
class ReIDSchedule:
    """How the embedding is trained: ``steps`` of Adam, each on ``people`` and ``pictures`` of each of them.

    Of each person at most ``max_crops_per_identity`` crops are kept, spread over time, in which they are at
    least ``min_visibility`` visible.
    """

    steps: int
    people: int = 12
    pictures: int = 4
    learning_rate: float = 1e-3
    min_visibility: float = 0.3
    max_crops_per_identity: int = 40

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of {self.people} people with {self.pictures} pictures each, Adam "
            f"{self.learning_rate:g} with warm-up and cosine decay, batch-hard triplets"
        )


@dataclass(frozen=True)
class TrackerSchedule:
    """How a tracker is trained by the DeepMOT loss or by smooth L1 (Sec. 4.3, Appendix A.2).

    ``steps`` of Adam, each on one clip of two frames (the paper: 15 to 18 epochs); with a ReID head
    ``reid_steps``, each on a clip of ``reid_frames``. The paper's ``learning_rate`` falls on a cosine here:
    of so few steps the last ones else decide by chance. ``scale`` is that of the loss's softmaxes
    (``loss.deepmot_loss``), and people at least ``min_visibility`` (in [0, 1]) visible count. ``validations``
    are spread over the steps; the best weights are kept.
    """

    steps: int
    reid_steps: int
    learning_rate: float = 1e-4
    scale: float = 100.0
    reid_frames: int = 10
    min_visibility: float = 0.1
    validations: int = 5

    def clip(self, head: bool) -> tuple[int, int]:
        """Return the number of steps and the frames of a clip, with or without a ReID head."""
        return (self.reid_steps, self.reid_frames) if head else (self.steps, 2)

    def describe(self, head: bool = False) -> str:
        """Return the schedule in a line, for a table's provenance."""
        steps, frames = self.clip(head)
        return (
            f"{steps:,} clips of {frames} frames, Adam {self.learning_rate:g} with cosine decay, "
            f"softmax scale {self.scale:g}, best of {self.validations} validations on the third quarters"
        )


@dataclass(frozen=True)
class RolloutSchedule:
    """How Tracktor is trained along clips (``rollout``).

    ``steps`` of Adam at a constant ``learning_rate``, one on each frame but the first of clips of ``frames``;
    people at least ``min_visibility`` (in [0, 1]) visible count. ``scale`` is that of the loss's softmaxes.
    The last weights are kept, as in the release; with ``validations``, which are spread over the steps, the
    best ones.
    """

    steps: int
    frames: int = 10
    learning_rate: float = 1e-4
    scale: float = 100.0
    min_visibility: float = 0.5
    validations: int = 0

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        kept = f"best of {self.validations} validations on the third quarters"
        return (
            f"{self.steps:,} frames of clips of {self.frames}, one update each, Adam {self.learning_rate:g}, "
            f"softmax scale {self.scale:g}, people at least {self.min_visibility:.0%} visible, "
            f"{kept if self.validations else 'last weights'}"
        )


@dataclass(frozen=True)
class HeadSchedule:
    """How a ReID head is trained (``head``): the same for all that it may be trained by.

    ``steps`` of Adam, at a ``learning_rate`` that falls to zero on a cosine, on the features of people at
    least ``min_visibility`` visible: at most ``people`` of each of at most ``frames`` frames, spread evenly.

    A step of the DeepMOT loss takes tracks of ``past`` frames, at most ``max_frame_gap`` before the objects'
    frame, and at most ``people`` of these; ``scale`` is that of its softmaxes. A step of the others takes
    ``pictures`` of each of ``people`` people.
    """

    steps: int
    frames: int = 500
    people: int = 24
    past: int = 3
    max_frame_gap: int = 100
    pictures: int = 4
    learning_rate: float = 1e-3
    scale: float = 10.0
    min_visibility: float = 0.3

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps on the features of at most {self.people} people of each of at most "
            f"{self.frames} frames, Adam {self.learning_rate:g} with cosine decay, "
            f"softmax scale {self.scale:g}"
        )
