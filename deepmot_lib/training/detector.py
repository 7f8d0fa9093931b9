"""Training Tracktor as the detector that it is: the rows "Vanilla" of the paper's tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from ..data import mot
from ..trackers.backbones import PERSON
from ..trackers.tracking import to_tensor
from ..trackers.tracktor import Tracktor
from .fitting import Fit, warm_cosine
from .schedules import DetectorSchedule

_BOX = ["x1", "y1", "x2", "y2"]


class DetectorExample(NamedTuple):
    """A frame and the people to be found in it: boxes (K, 4), clipped to the image."""

    sequence: mot.Sequence
    frame: int
    boxes: Tensor


def labeled_frames(
    sequences: Iterable[mot.Sequence], part: str = "train", min_visibility: float = 0.0
) -> list[DetectorExample]:
    """All frames of that part of the sequences (``mot.split``); those without people too.

    ValueError where there are no people at all.
    """
    found = []
    for sequence in sequences:
        rows = mot.pedestrians(sequence.gt(), min_visibility)
        by_frame = {
            int(frame): torch.tensor(boxes[_BOX].to_numpy(np.float32))
            for frame, boxes in rows.groupby("frame")
        }
        for frame in mot.split(sequence)[part]:
            boxes = clip_boxes_to_image(by_frame.get(frame, torch.empty(0, 4)), sequence.image_size)
            found.append(DetectorExample(sequence, frame, boxes[remove_small_boxes(boxes, 1.0)]))
    if not any(len(item.boxes) for item in found):
        raise ValueError(f"no sequence has people at least {min_visibility:g} visible in its part {part!r}")
    return found


def train(
    tracktor: Tracktor,
    sequences: Iterable[mot.Sequence],
    schedule: DetectorSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains ``tracktor`` in place on the first halves of the sequences; returns its history.

    The losses are torchvision's: ``loss_classifier`` and ``loss_box_reg`` of the box head,
    ``loss_objectness`` and ``loss_rpn_box_reg`` of the proposals. Half of the frames are mirrored. The ReID
    head is not trained.
    The history, ``checkpoint`` and errors are those of ``fitting.Fit.run``; ValueError where there are no
    people to learn from.
    """
    frames = labeled_frames(sequences, "train", schedule.min_visibility)
    tracktor.to(device)
    trained = [parameter for parameter in tracktor.detector.parameters() if parameter.requires_grad]
    rate, decay = schedule.learning_rate, schedule.weight_decay

    def loss(step: int) -> dict[str, Tensor]:
        rng = fit.rng(step)
        drawn = [frames[i] for i in rng.choice(len(frames), schedule.images)]
        pairs = [
            _example(item, mirror, device)
            for item, mirror in zip(drawn, rng.random(len(drawn)) < 0.5, strict=True)
        ]
        images, targets = zip(*pairs, strict=True)
        return tracktor.detector(list(images), list(targets))

    fit = Fit(
        name="vanilla tracktor",
        settings={
            **tracktor.options,
            **dataclasses.asdict(schedule),
            "data": sorted({f"{item.sequence.name}, {item.sequence.length} frames" for item in frames}),
        },
        steps=schedule.steps,
        seed=seed,
        optimizer=torch.optim.AdamW(trained, lr=rate, weight_decay=decay),
        rate=lambda step: warm_cosine(step, schedule.steps, rate),
        loss=loss,
        largest_gradient=10.0,
    )
    return fit.run(tracktor, checkpoint)


def _example(
    item: DetectorExample, mirrored: bool, device: str | torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    """An image and its target, as torchvision's detectors take them."""
    image, boxes = to_tensor(item.sequence.image(item.frame)), item.boxes
    if mirrored:
        image, width = image.flip(-1), image.shape[-1]
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
    labels = torch.full((len(boxes),), PERSON)
    return image.to(device), {"boxes": boxes.to(device), "labels": labels.to(device)}
