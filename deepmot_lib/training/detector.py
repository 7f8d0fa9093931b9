"""Training of Tracktor's detector: the rows "Vanilla" of the paper's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models.detection import FasterRCNN
from torchvision.ops import clip_boxes_to_image, remove_small_boxes
from torchvision.transforms import v2

from ..boxes import by_frame, from_table
from ..data import mot
from ..data.image_tensors import to_tensor
from ..trackers.backbones import PERSON
from ..trackers.tracktor import Tracktor
from .schedules import DetectorSchedule, RolloutSchedule
from .trainer import Training, warm_cosine

_WIDEST = 4  # an image is at most so many times wider than high
_MIN_SIDE = 4.0  # [px] what a crop leaves of a person is at least so large to be found


class DetectorExample(NamedTuple):
    """A frame and the people to be detected in it: boxes (K, 4) in pixels, clipped to the image."""

    sequence: mot.Sequence
    frame: int
    boxes: Tensor


def labeled_frames(
    sequences: Iterable[mot.Sequence], part: str = "train", min_visibility: float = 0.0
) -> list[DetectorExample]:
    """Return all frames of a part of the sequences with their people; those without people too.

    Args:
        sequences: Sequences with ground truth.
        part: A part of ``mot.split``.
        min_visibility: People less visible than this, in [0, 1], are left out.

    Returns:
        The frames in their order; images are read later.

    Raises:
        ValueError: there are no people at all.
    """
    found = []
    for sequence in sequences:
        people = mot.pedestrians(sequence.gt(), min_visibility)
        boxes_of = {frame: from_table(rows) for frame, rows in by_frame(people).items()}
        for frame in mot.split(sequence)[part]:
            boxes = clip_boxes_to_image(boxes_of.get(frame, torch.empty(0, 4)), sequence.image_size)
            found.append(DetectorExample(sequence, frame, boxes[remove_small_boxes(boxes, 1.0)]))
    if not any(len(item.boxes) for item in found):
        raise ValueError(f"no sequence has people at least {min_visibility:g} visible in its part {part!r}")
    return found


def load_example(item: DetectorExample) -> tuple[Tensor, Tensor]:
    """Return an image (3, height, width) in [0, 1] and the boxes (K, 4) of its people."""
    return to_tensor(item.sequence.image(item.frame)), item.boxes


def augmentation(side: int, zoom: tuple[float, float]) -> v2.Transform:
    """Build the random change of a training image: mirrored, zoomed, cropped and lit otherwise.

    A square of ``side`` pixels is cropped out of the image, whose shorter side was ``side`` times a factor
    drawn from ``zoom``: other cameras show people smaller or larger. Its randomness is torch's global one.

    Args:
        side: Side of the square [px].
        zoom: Range of the factor.

    Returns:
        A transform of an image (3, height, width), boxes and labels; it drops boxes outside of the square.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            # The factor is relative to the height: no image is that much wider than high.
            v2.ScaleJitter((side, _WIDEST * side), zoom),
            v2.RandomCrop(side, pad_if_needed=True, fill=0.5),
            v2.RandomPhotometricDistort(p=0.5),
            v2.SanitizeBoundingBoxes(min_size=_MIN_SIDE),
        ]
    )


class DetectorTraining(Training):
    """Training of Tracktor's detector on the first halves of sequences.

    The terms of the loss are torchvision's: ``loss_classifier`` and ``loss_box_reg`` of the box head,
    ``loss_objectness`` and ``loss_rpn_box_reg`` of the proposals.

    Args:
        detector: The network, such as ``Tracktor.detector``.
        sequences: Sequences with images and ground truth.
        schedule: How long, on what, and at which rate.
        seed: Decides which frames are drawn, how they are changed, and what torchvision samples.

    Raises:
        ValueError: there are no people to train on.
    """

    name = "tracktor, detector"
    max_gradient_norm = 10.0

    def __init__(
        self, detector: FasterRCNN, sequences: Iterable[mot.Sequence], schedule: DetectorSchedule, seed: int
    ) -> None:
        self.network: FasterRCNN = detector
        self.seed, self.steps, self.schedule = seed, schedule.steps, schedule
        self.frames = labeled_frames(sequences, "train", schedule.min_visibility)
        self.augment = augmentation(detector.transform.min_size[0], schedule.zoom)
        trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, schedule.learning_rate, weight_decay=schedule.weight_decay
        )

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return torchvision's four losses of a batch of frames."""
        images, targets = [], []
        for index in self.rng(step).choice(len(self.frames), self.schedule.images):
            image, boxes = load_example(self.frames[index])
            changed = self.augment(
                {
                    "image": tv_tensors.Image(image),
                    "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=image.shape[-2:]),
                    "labels": torch.full((len(boxes),), PERSON),
                }
            )
            images.append(changed["image"].as_subclass(Tensor).to(self.device))
            targets.append(
                {key: changed[key].as_subclass(Tensor).to(self.device) for key in ("boxes", "labels")}
            )
        return self.network(images, targets)


class ContinuedTraining(DetectorTraining):
    """Training of Tracktor's box regression layer on, by the detector's own loss.

    It is the control of training it on tracks, with as many updates of the same layer at the same rate, and
    selected alike.

    Args:
        tracker: The network, without a ReID head; what is trained is its box regression layer.
        sequences: Sequences with images and ground truth.
        schedule: How its detector was trained, for what images look like.
        rollout: How it is trained on tracks, for how long and at which rate; one frame a step.
        seed: As of ``DetectorTraining``.
        validation: Scores the tracker, up is better; the network ends with the weights that scored best.

    Raises:
        ValueError: there are no people to train on.
    """

    name = "tracktor, detector, trained on"

    def __init__(
        self,
        tracker: Tracktor,
        sequences: Iterable[mot.Sequence],
        schedule: DetectorSchedule,
        rollout: RolloutSchedule,
        seed: int,
        validation: Callable[[], float],
    ) -> None:
        once = replace(schedule, steps=rollout.steps, images=1, learning_rate=rollout.learning_rate)
        super().__init__(tracker.detector, sequences, once, seed)
        tracker.detector.requires_grad_(False)
        trained = list(tracker.trained("release"))
        self.optimizer = torch.optim.Adam(
            [parameter.requires_grad_() for parameter in trained], once.learning_rate
        )
        self.validation, self.validations = validation, rollout.validations

    def learning_rate(self, step: int) -> float:
        """Return the learning rate, which is constant."""
        return self.schedule.learning_rate

    def validate(self) -> float:
        """Return the score that was asked for."""
        return self.validation()
