"""How long, on what and at which rate Tracktor and its ReID head are trained as in the released code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RolloutSchedule:
    """How Tracktor is trained along clips (``rollout``).

    ``steps`` of Adam at a constant ``learning_rate``, one on each frame but the first of clips of ``frames``;
    people at least ``min_visibility`` (in [0, 1]) visible count. ``scale`` is that of the loss's softmaxes.
    ``validations`` are spread over the steps; the best weights are kept.
    """

    steps: int
    frames: int = 10
    learning_rate: float = 1e-4
    scale: float = 100.0
    min_visibility: float = 0.5
    validations: int = 5

    def describe(self) -> str:
        """Return the schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} frames of clips of {self.frames}, one update each, Adam {self.learning_rate:g}, "
            f"softmax scale {self.scale:g}, people at least {self.min_visibility:.0%} visible, "
            f"best of {self.validations} validations on the third quarters"
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
