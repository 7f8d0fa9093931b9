"""The interface of a tracker's network: to propagate boxes from one frame to the next.

Tracktor, GOTURN and SiamRPN implement it; track management, training and the notebooks use it alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Propagation(NamedTuple):
    """The boxes of K tracks in a frame.

    Attributes:
        boxes: ``(K, 4)`` xyxy [px] in the original image, differentiable by the tracker's parameters.
        scores: ``(K,)`` probabilities in [0, 1] that a person is there.
        appearance: ``(K, C)`` embeddings for ``distance.appearance_distance``, None without a ReID head.
    """

    boxes: Float[Tensor, "K 4"]
    scores: Float[Tensor, " K"]
    appearance: Float[Tensor, "K C"] | None = None


class Tracker(nn.Module, ABC):
    """A network that propagates boxes.

    Attributes:
        name: Its name in tables and on the command line: tracktor, goturn or siamrpn.
        options: The arguments of the constructor, as plain data.
        has_memory: Whether ``propagate`` takes what ``init_memory`` returns.
        score_weight: The weight of its score loss where its boxes are trained by the loss of a clip.
    """

    name: str
    options: dict[str, Any]
    has_memory: bool = False
    score_weight: float = 1.0

    def trained(self, training: str = "release") -> Iterator[nn.Parameter]:
        """Yield the parameters that the loss of a clip trains, by default all.

        Args:
            training: "release" or "paper", where they differ (docs/deviations.md): for Tracktor.
        """
        return self.parameters()

    @abstractmethod
    def encode(self, image: Float[Tensor, "3 height width"]) -> Any:
        """Compute what all tracks of a frame share.

        Args:
            image: ``(3, height, width)`` RGB in [0, 1].

        Returns:
            Features, or the image itself.
        """

    @abstractmethod
    def init_memory(self, encoded: Any, boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "K ..."]:
        """Encode the targets, for :meth:`propagate`: templates or an appearance embedding.

        Args:
            encoded: The frame, as :meth:`encode` returns it.
            boxes: ``(K, 4)`` the targets' boxes in that frame, xyxy [px]; K may be 0.

        Returns:
            ``(K, ...)``, or ``(K, 0)`` for a tracker without a memory.
        """

    @abstractmethod
    def propagate(
        self, encoded: Any, boxes: Float[Tensor, "K 4"], memory: Float[Tensor, "K ..."]
    ) -> Propagation:
        """Find the tracks in a frame, all in one batch.

        Args:
            encoded: The frame, as :meth:`encode` returns it.
            boxes: ``(K, 4)`` their boxes in the frame before, moved by the motion model if there is one, xyxy
                [px]; K may be 0.
            memory: ``(K, ...)``, as :meth:`init_memory` returns it.

        Returns:
            Their boxes, scores and embeddings in the frame.
        """

    def propagate_with_score_loss(
        self,
        encoded: Any,
        boxes: Float[Tensor, "K 4"],
        memory: Float[Tensor, "K ..."],
        targets: Float[Tensor, "K 4"],
    ) -> tuple[Propagation, Float[Tensor, ""]]:
        """Propagate tracks, and compute the loss of the tracker's own scores, by one pass of the network.

        The DeepMOT loss moves the boxes and knows no scores: of layers that both share, those would drift.
        The tracker's own loss keeps them true.

        Args:
            encoded: As of :meth:`propagate`.
            boxes: ``(K, 4)`` likewise.
            memory: ``(K, ...)`` likewise.
            targets: ``(K, 4)`` where the tracks' objects truly are in the frame, xyxy [px]; NaN for those
                who have left it.

        Returns:
            What :meth:`propagate` returns, and the scalar loss, a mean over the tracks: 0 of no tracks, and
            of a tracker whose scores are not trained with its boxes, as by default.
        """
        return self.propagate(encoded, boxes, memory), boxes.new_zeros(())
