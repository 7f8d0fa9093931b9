"""Training of Tracktor's detector: the rows "Vanilla" of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from ..boxes import by_frame, from_table, mirror
from ..data import mot
from ..trackers.backbones import PERSON
from ..trackers.tracking import to_tensor
from ..trackers.tracktor import Tracktor
from .schedules import DetectorSchedule
from .trainer import Training, warm_cosine


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


def load_example(item: DetectorExample, is_mirrored: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Return an image (3, height, width) and its target, as torchvision's detectors take them."""
    image, boxes = to_tensor(item.sequence.image(item.frame)), item.boxes
    if is_mirrored:
        image, width = image.flip(-1), image.shape[-1]
        boxes = mirror(boxes, width)
    return image, {"boxes": boxes, "labels": torch.full((len(boxes),), PERSON)}


class DetectorTraining(Training):
    """Training of a Tracktor as a detector, on the first halves of sequences, half of the frames mirrored.

    The terms of the loss are torchvision's: ``loss_classifier`` and ``loss_box_reg`` of the box head,
    ``loss_objectness`` and ``loss_rpn_box_reg`` of the proposals. The ReID head is not trained.

    Args:
        tracktor: The network.
        sequences: Sequences with images and ground truth.
        schedule: How long, on what, and at which rate.
        seed: Decides which frames are drawn, which of them are mirrored, and what torchvision samples.

    Raises:
        ValueError: there are no people to train on.
    """

    name = "tracktor, detector"
    max_gradient_norm = 10.0

    def __init__(
        self, tracktor: Tracktor, sequences: Iterable[mot.Sequence], schedule: DetectorSchedule, seed: int
    ) -> None:
        self.network: Tracktor = tracktor
        self.seed, self.steps, self.schedule = seed, schedule.steps, schedule
        self.frames = labeled_frames(sequences, "train", schedule.min_visibility)
        trained = [parameter for parameter in tracktor.detector.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, schedule.learning_rate, weight_decay=schedule.weight_decay
        )

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a warm-up and a cosine decay."""
        return warm_cosine(step, self.steps, self.schedule.learning_rate)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return torchvision's four losses of a batch of frames."""
        rng = self.rng(step)
        drawn = [self.frames[i] for i in rng.choice(len(self.frames), self.schedule.images)]
        is_mirrored = rng.random(len(drawn)) < 0.5
        images, targets = [], []
        for item, flip in zip(drawn, is_mirrored, strict=True):
            image, target = load_example(item, bool(flip))
            images.append(image.to(self.device))
            targets.append({name: tensor.to(self.device) for name, tensor in target.items()})
        return self.network.detector(images, targets)
