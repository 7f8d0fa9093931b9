"""What a tracker's network is here: something that follows boxes from one frame into the next.

Tracktor, GOTURN and SiamRPN differ in how they do it; track management, training and the notebooks know this
interface alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn


class Propagation(NamedTuple):
    """Where K tracks are in a frame.

    ``boxes`` (K, 4), xyxy in pixels of the original image, differentiable by the tracker's parameters;
    ``scores`` (K,) in [0, 1], how sure it is that a person is there; ``appearance`` (K, C) embeddings,
    compared by ``distance.appearance_distance``, or None for a tracker without a ReID head.
    """

    boxes: Tensor
    scores: Tensor
    appearance: Tensor | None = None


class Tracker(nn.Module, ABC):
    """A network that follows boxes. ``image`` is float32 (3, height, width), RGB in [0, 1]."""

    #: The name in tables and on the command line: tracktor, goturn, siamrpn.
    name: str
    #: What makes the same network again, in plain data.
    options: dict

    def trained(self) -> Iterator[nn.Parameter]:
        """The parameters that the loss of a clip reaches: by default all."""
        return self.parameters()

    @abstractmethod
    def encode(self, image: Tensor) -> Any:
        """What is computed once a frame, whatever the number of tracks (features, or the image itself)."""

    @abstractmethod
    def init_memory(self, encoded: Any, boxes: Tensor) -> Tensor:
        """What the tracker keeps of (K, 4) boxes of a frame to find them again, (K, ...); K may be 0.

        A template for the single-object trackers, an appearance embedding (or (K, 0)) for Tracktor.
        """

    @abstractmethod
    def propagate(self, encoded: Any, boxes: Tensor, memory: Tensor) -> Propagation:
        """Where the tracks are in the frame ``encoded``, all in one batch; K may be 0.

        ``boxes`` (K, 4) are where they were in the frame before (moved already by a motion model, if there
        is one), ``memory`` (K, ...) what ``init_memory`` kept of them.
        """
