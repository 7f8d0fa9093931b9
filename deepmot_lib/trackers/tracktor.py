"""Tracktor: a detector that tracks, for its box head finds in the next frame what it is given from the last
(Bergmann et al., 2019), with the paper's ReID head (Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import resize_boxes

from . import backbones
from .features import FeatureStore
from .tracker import Followed, Follower

REID_UNITS = 128


class Seen(NamedTuple):
    """A frame's feature pyramid, the size that the image was resized to, and its own; (height, width)."""

    features: dict[str, Tensor]
    size: tuple[int, int]
    image_size: tuple[int, int]


class Tracktor(Follower):
    """Follows boxes by the second stage of a Faster R-CNN: the box head, run on where the tracks were.

    ``backbone`` is one of ``backbones.NAMES``; images are resized to ``side`` pixels on the short side;
    ``reid`` adds the ReID head, a linear layer from the box features to 128 units (131 K parameters where
    these are 1024). ``pretrained=False`` makes a network to load weights into. Raises as
    ``backbones.detector``.

    ``detector`` is torchvision's FasterRCNN, trained as such (``vanilla``); ``options`` make the same network
    again. ``store``, None unless ``keep_features`` was called, keeps what the backbone has seen.
    """

    name = "tracktor"

    def __init__(
        self, backbone: str = "mobilenet_v2", side: int = 360, reid: bool = False, pretrained: bool = True
    ):
        super().__init__()
        self.options = {"backbone": backbone, "side": side, "reid": reid}
        self.detector = backbones.detector(backbone, side, pretrained)
        features = self.detector.roi_heads.box_predictor.cls_score.in_features
        self.reid = nn.Linear(features, REID_UNITS) if reid else None
        self.store: FeatureStore | None = None

    def keep_features(self, folder: str | Path) -> None:
        """From now on a frame that has been seen is read from ``folder``. Only for a backbone that is no
        longer trained."""
        self.store = FeatureStore(folder, self.detector.backbone, self.options["side"])

    def trained(self) -> Iterator[nn.Parameter]:
        """The parameters that the paper trains: of the box head and the ReID head (Appendix A.2)."""
        yield from self.detector.roi_heads.parameters()
        if self.reid is not None:
            yield from self.reid.parameters()

    def see(self, image: Tensor) -> Seen:
        if self.store is None:
            return self._seen(image)
        return Seen(*self.store.get(image, self._seen))

    def remember(self, seen: Seen, boxes: Tensor) -> Tensor:
        """The embeddings of the boxes, (K, 128), or (K, 0) without a ReID head."""
        if self.reid is None:
            return boxes.new_empty(len(boxes), 0)
        return self.reid(self._look(seen, boxes)[1])

    def follow(self, seen: Seen, boxes: Tensor, memory: Tensor | None = None) -> Followed:
        """As ``Follower.follow``; ``memory`` does not matter. Public detections are judged in the same way:
        what they are moved to, how sure it is that a person is there.

        The boxes are not clipped to the image, so that the gradient also reaches those at its border.
        """
        roi = self.detector.roi_heads
        resized, features = self._look(seen, boxes)
        logits, deltas = roi.box_predictor(features)
        # decode(), unlike decode_single(), takes no empty list of boxes.
        moved = roi.box_coder.decode_single(deltas, resized).unflatten(
            1, (backbones.BACKGROUND_AND_PERSON, 4)
        )[:, backbones.PERSON]
        return Followed(
            resize_boxes(moved, seen.size, seen.image_size),
            logits.softmax(-1)[:, backbones.PERSON],
            None if self.reid is None else self.reid(features),
        )

    def _seen(self, image: Tensor) -> Seen:
        images, _ = self.detector.transform([image])
        features = dict(self.detector.backbone(images.tensors))
        return Seen(features, images.image_sizes[0], tuple(image.shape[-2:]))

    def _look(self, seen: Seen, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes in the resized image, and the box head's features (K, F) there."""
        roi = self.detector.roi_heads
        resized = resize_boxes(boxes, seen.image_size, seen.size)
        return resized, roi.box_head(roi.box_roi_pool(seen.features, [resized], [seen.size]))

    @torch.no_grad()
    def detect(self, image: Tensor) -> Followed:
        """All people in an image (3, height, width), by the whole detector; no embeddings."""
        training = self.detector.training
        try:
            found = self.detector.eval()([image])[0]
        finally:
            self.detector.train(training)
        return Followed(found["boxes"], found["scores"])
