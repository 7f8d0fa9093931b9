"""Tracktor: a detector that tracks, with the paper's ReID head (Sec. 5.1).

It tracks, for its box head finds in the next frame what it is given from the last (Bergmann et al., 2019).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import box_iou

from ..boxes import sizes
from ..numerics import full_precision
from . import backbones
from .features import FeatureStore
from .reid_head import ReIDHead, roi_features
from .tracker import Propagation, Tracker

_PADDING = 32  # torchvision pads resized images to multiples of it [px]
# Of Faster R-CNN's classification: boxes that overlap a person less, or as much, are background, or a person.
_BACKGROUND, _PERSON = 0.3, 0.5


class EncodedFrame(NamedTuple):
    """A frame's feature pyramid, the size that the image was resized to, and its own; (height, width)."""

    features: dict[str, Tensor]
    size: tuple[int, int]
    image_size: tuple[int, int]


class Tracktor(Tracker):
    """Follows boxes by the second stage of a Faster R-CNN: the box head, run on where the tracks were.

    ``backbone`` is one of ``backbones.NAMES``; images are resized to ``side`` pixels on the short side;
    ``reid`` adds the ReID head. ``pretrained=False`` makes a network to load weights into. Raises as
    ``backbones.detector``.

    ``detector`` is torchvision's FasterRCNN, trained as such (``vanilla``); ``options`` make the same network
    again. ``store``, None unless ``keep_features`` was called, keeps what the backbone has encoded.
    """

    name = "tracktor"

    def __init__(
        self, backbone: str = "mobilenet_v2", side: int = 360, reid: bool = False, pretrained: bool = True
    ):
        super().__init__()
        self.options = {"backbone": backbone, "side": side, "reid": reid}
        self.detector = backbones.detector(backbone, side, pretrained)
        self.reid = ReIDHead(self.detector.backbone.out_channels) if reid else None
        self.store: FeatureStore | None = None

    def keep_features(self, folder: str | Path, code: str = "") -> None:
        """Read the features of a frame that was encoded before from ``folder`` from now on.

        Only for a backbone that is no longer trained.

        Args:
            folder: Where they are kept; networks may share it.
            code: Digest of the code that computes them: another code's features are not used.
        """
        self.store = FeatureStore(folder, self.detector.backbone, (self.options["side"], code))

    def with_head(self, head: ReIDHead) -> Tracktor:
        """Return a copy with this ReID head."""
        other = copy.deepcopy(self)
        other.options, other.reid = self.options | {"reid": True}, head
        return other

    def trained(self, training: str = "release") -> Iterator[nn.Parameter]:
        """Yield the parameters that the loss of a clip trains, those of the ReID head among them.

        The others are those of the box regression layer, as the release trains, or of the whole box head, as
        the paper's text says (Appendix A.2).
        """
        roi = self.detector.roi_heads
        yield from (roi if training == "paper" else roi.box_predictor.bbox_pred).parameters()
        if self.reid is not None:
            yield from self.reid.parameters()

    def encode(self, image: Float[Tensor, "3 height width"]) -> EncodedFrame:
        """Compute the feature pyramid, or read it where :meth:`keep_features` keeps it."""
        if self.store is None:
            return self._compute_features(image)
        return EncodedFrame(*self.store.get(image, self._compute_features))

    def init_memory(self, encoded: EncodedFrame, boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "K C"]:
        """Compute the embeddings of boxes, (K, 128), or (K, 0) without a ReID head."""
        if self.reid is None:
            return boxes.new_empty(len(boxes), 0)
        return self.reid(self.appearance_features(encoded, boxes))

    def propagate(
        self, encoded: EncodedFrame, boxes: Float[Tensor, "K 4"], memory: Tensor | None = None
    ) -> Propagation:
        """Regress and score boxes by the box head, those of tracks as well as public detections.

        The boxes are not clipped to the image, so that the gradient also reaches those at its border.

        Args:
            encoded: The frame.
            boxes: ``(K, 4)`` xyxy [px]; K may be 0.
            memory: Not used.

        Returns:
            The boxes, their scores and, with a ReID head, their embeddings.
        """
        return self.predict(encoded, *self.box_features(encoded, boxes))

    def predict(
        self, encoded: EncodedFrame, resized: Float[Tensor, "K 4"], features: Float[Tensor, "K F"]
    ) -> Propagation:
        """Regress and score boxes from their features: what :meth:`propagate` returns.

        Args:
            encoded: The frame.
            resized: ``(K, 4)`` the boxes in the resized image, as :meth:`box_features` returns them.
            features: ``(K, F)`` the box head's features there.
        """
        roi = self.detector.roi_heads
        # torchvision decodes boxes in the dtype of the deltas: in bfloat16 pixels would be rounded to 4 or 8.
        logits, deltas = (full_precision(output) for output in roi.box_predictor(features))
        # decode(), unlike decode_single(), takes no empty list of boxes.
        moved = roi.box_coder.decode_single(deltas, resized).unflatten(
            1, (backbones.BACKGROUND_AND_PERSON, 4)
        )[:, backbones.PERSON]
        refined = resize_boxes(moved, encoded.size, encoded.image_size)
        scores = logits.softmax(-1)[:, backbones.PERSON]
        # Embeddings belong to the refined boxes: where a track came from, another person may stand.
        return Propagation(refined, scores, None if self.reid is None else self.init_memory(encoded, refined))

    def propagate_with_score_loss(
        self,
        encoded: EncodedFrame,
        boxes: Float[Tensor, "K 4"],
        memory: Tensor,
        targets: Float[Tensor, "K 4"],
    ) -> tuple[Propagation, Float[Tensor, ""]]:
        """Propagate tracks, and compute the cross-entropy of person and background.

        A person is in the targets, and in those of the tracks' own boxes that overlap one by half or more;
        not in those, nor in boxes beside the targets, that overlap them by less than 0.3.
        """
        propagated = self.propagate(encoded, boxes, memory)
        present = targets[targets.isfinite().all(1)]
        candidates = torch.cat([boxes, present, _beside(present)])
        overlap = torch.cat([box_iou(candidates, present), boxes.new_zeros(len(candidates), 1)], 1).amax(1)
        index = ((overlap < _BACKGROUND) | (overlap >= _PERSON)).nonzero().flatten()
        if not len(index):
            return propagated, boxes.new_zeros(())
        _, features = self.box_features(encoded, candidates[index])
        logits = full_precision(self.detector.roi_heads.box_predictor.cls_score(features))
        return propagated, cross_entropy(logits, (overlap[index] >= _PERSON).long())

    def appearance_features(self, encoded: EncodedFrame, boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "K F"]:
        """Return the RoI features that the ReID head embeds, without gradient."""
        return roi_features(encoded.features, boxes, encoded.image_size, encoded.size)

    def _compute_features(self, image: Float[Tensor, "3 height width"]) -> EncodedFrame:
        images, _ = self.detector.transform([image])
        # In this order torchvision pools boxes nine times faster than in that of the convolutions.
        levels = self.detector.backbone(images.tensors)
        features = {name: level.contiguous() for name, level in levels.items()}
        height, width = image.shape[-2:]
        return EncodedFrame(features, images.image_sizes[0], (height, width))

    def box_features(
        self, encoded: EncodedFrame, boxes: Float[Tensor, "K 4"]
    ) -> tuple[Float[Tensor, "K 4"], Float[Tensor, "K F"]]:
        """Return the boxes in the resized image, and the box head's features there."""
        roi = self.detector.roi_heads
        resized = resize_boxes(boxes, encoded.image_size, encoded.size)
        return resized, roi.box_head(roi.box_roi_pool(encoded.features, [resized], [encoded.size]))

    @torch.no_grad()
    def detect(self, encoded: EncodedFrame) -> Propagation:
        """Detect all people in a frame by the whole detector.

        Returns:
            Their boxes, scores and, with a ReID head, their embeddings.
        """
        # Of the image itself, the anchors take nothing but its size after padding.
        padded = (-(-side // _PADDING) * _PADDING for side in encoded.size)
        images = ImageList(
            next(iter(encoded.features.values())).new_empty(1).expand(1, 3, *padded), [encoded.size]
        )
        training = self.detector.training
        self.detector.eval()
        try:
            proposals, _ = self.detector.rpn(images, encoded.features)
            found, _ = self.detector.roi_heads(encoded.features, proposals, [encoded.size])
        finally:
            self.detector.train(training)
        boxes = resize_boxes(found[0]["boxes"], encoded.size, encoded.image_size)
        return Propagation(
            boxes, found[0]["scores"], None if self.reid is None else self.init_memory(encoded, boxes)
        )


def _beside(boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "4*K 4"]:
    """Shift boxes by their width to both sides, and by two thirds of their height up and down."""
    directions = boxes.new_tensor([[1, 0], [-1, 0], [0, 2 / 3], [0, -2 / 3]])
    return (boxes + (directions[:, None] * sizes(boxes)).repeat(1, 1, 2)).flatten(0, 1)
