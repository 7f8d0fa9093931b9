"""Clips of consecutive frames, on which trackers are trained (Sec. 4.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from ..boxes import by_frame, from_table
from ..data import mot
from ..data.image_tensors import to_tensor


class LabeledFrame(NamedTuple):
    """A frame of a clip: image (3, height, width), the people's boxes (K, 4) in pixels, their identities."""

    image: Tensor
    boxes: Tensor
    ids: list[int]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.shape[-2:]
        return height, width

    def to(self, device: str | torch.device) -> LabeledFrame:
        """Return the frame on another device."""
        return LabeledFrame(self.image.to(device), self.boxes.to(device), self.ids)


class Clips:
    """Clips of consecutive frames of one part of the sequences, each frame with people in it.

    Args:
        sequences: Sequences with images and ground truth.
        length: The number of frames of a clip.
        part: A part of ``mot.split``.
        min_visibility: People less visible than this, in [0, 1], do not count.

    Raises:
        ValueError: there is no such clip.
    """

    def __init__(
        self,
        sequences: Iterable[mot.Sequence],
        length: int = 2,
        part: str = "train",
        min_visibility: float = 0.1,
    ) -> None:
        self.length = length
        self._people: list[tuple[mot.Sequence, dict[int, pd.DataFrame]]] = []
        self._starts: list[tuple[int, int]] = []
        for number, sequence in enumerate(sequences):
            rows = mot.pedestrians(sequence.gt(), min_visibility)
            people = by_frame(rows)
            self._people.append((sequence, people))
            frames = mot.split(sequence)[part]
            self._starts += [
                (number, first)
                for first in frames
                if first + length - 1 in frames and all(first + k in people for k in range(length))
            ]
        if not self._starts:
            raise ValueError(f"no sequence has {length} consecutive frames with people in its part {part!r}")

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> list[LabeledFrame]:
        return [self.frame(index, k) for k in range(self.length)]

    def frame(self, index: int, k: int) -> LabeledFrame:
        """Return the frame ``k`` of a clip."""
        number, first = self._starts[index]
        sequence, people = self._people[number]
        rows = people[first + k]
        return LabeledFrame(to_tensor(sequence.image(first + k)), from_table(rows), rows["id"].tolist())
