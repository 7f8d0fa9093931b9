"""GOTURN (Held, Thrun, Savarese: Learning to Track at 100 FPS with Deep Regression Networks, ECCV 2016)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from ..numerics import full_precision
from .crops import contains, crop, rectangles, to_crop, to_image
from .tracker import Propagation, Tracker

#: Unit of the predicted shift, as a fraction of the crop: the layers' outputs are then of the order of 1.
_UNIT = 0.1


class GOTURN(Tracker):
    """Regress the box in a search crop from the features of the template crop and the search crop.

    Both crops show ``context`` times the box's width and height, stretched to ``size`` x ``size`` pixels. One
    AlexNet-style tower encodes them (11x11, 5x5 and three 3x3 convolutions, group-normalized, so that no
    track's result depends on the others). Two layers map the concatenated features to the shift of the four
    coordinates since the last box; it is zero before training.

    GOTURN has no score. Ours is a fifth output, trained jointly: the probability that the target is in the
    search crop.

    Args:
        size: Side of the crops [px].
        widths: Channels of the five convolutions.
        hidden: Units of the two hidden layers.
        context: Width and height of the crops, in those of the box.
    """

    name = "goturn"
    has_memory = True

    def __init__(
        self,
        size: int = 128,
        widths: tuple[int, int, int, int, int] = (32, 64, 96, 96, 64),
        hidden: int = 256,
        context: float = 2.0,
    ) -> None:
        super().__init__()
        self.options = {"size": size, "widths": tuple(widths), "hidden": hidden, "context": context}
        self.size, self.context = size, context
        first, second, third, fourth, fifth = widths
        self.tower = nn.Sequential(
            *_convolution(3, first, 11, stride=4),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_convolution(first, second, 5),
            nn.MaxPool2d(3, stride=2, padding=1),
            *_convolution(second, third, 3),
            *_convolution(third, fourth, 3),
            *_convolution(fourth, fifth, 3),
            nn.Flatten(),
        )
        with torch.no_grad():
            length = self.tower(torch.zeros(1, 3, size, size)).shape[1]
        self.regressor = nn.Sequential(
            nn.Linear(2 * length, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 5),
        )
        for parameter in self.regressor[-1].parameters():
            nn.init.zeros_(parameter)

    def encode(self, image: Tensor) -> Tensor:
        """Return the image itself, which crops are cut from."""
        return image

    def init_memory(self, encoded: Tensor, boxes: Tensor) -> Tensor:
        """Encode the templates: features (K, F)."""
        return self.features(self.template_crops(encoded, boxes))

    def trained(self, training: str = "release") -> Iterator[nn.Parameter]:
        """Yield the parameters that the loss of a clip trains: of the regressor, not of the tower.

        So Held et al. train GOTURN itself, on a tower from ImageNet.
        """
        return self.regressor.parameters()

    def propagate(self, encoded: Tensor, boxes: Tensor, memory: Tensor) -> Propagation:
        """Find the tracks, all in one batch, by the shift of each box in its search crop."""
        return self._propagate(encoded, boxes, memory)[0]

    def propagate_with_score_loss(
        self, encoded: Tensor, boxes: Tensor, memory: Tensor, targets: Tensor
    ) -> tuple[Propagation, Tensor]:
        """Propagate tracks, and compute the cross-entropy of the scores: is the target in the crop?"""
        propagated, score, region = self._propagate(encoded, boxes, memory)
        present = contains(to_crop(targets, region)).to(score)
        loss = binary_cross_entropy_with_logits(score, present, reduction="sum")
        return propagated, loss / max(1, len(score))

    def _propagate(
        self, image: Tensor, boxes: Tensor, memory: Tensor
    ) -> tuple[Propagation, Float[Tensor, " K"], Float[Tensor, "K 4"]]:
        """Propagate tracks; return the logits of their scores and the regions of their crops, too."""
        crops, region = self.search_crops(image, boxes)
        shift, score = self.regress(memory, crops)
        before = to_crop(boxes.detach(), region)
        return Propagation(to_image(before + shift, region), score.sigmoid()), score, region

    def template_crops(
        self, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]
    ) -> Float[Tensor, "K 3 {self.size} {self.size}"]:
        """Crop the templates (K, 3, size, size) around the boxes (K, 4)."""
        return crop(image, rectangles(boxes.detach(), self.context), self.size)

    def search_crops(
        self, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]
    ) -> tuple[Float[Tensor, "K 3 {self.size} {self.size}"], Float[Tensor, "K 4"]]:
        """Crop the search regions (K, 3, size, size) around the boxes (K, 4).

        Returns:
            The crops, and their regions (K, 4), xyxy [px].
        """
        region = rectangles(boxes.detach(), self.context)
        return crop(image, region, self.size), region

    def features(self, crops: Float[Tensor, "K 3 size size"]) -> Float[Tensor, "K F"]:
        """Encode crops (K, 3, size, size) to features (K, F)."""
        # Channels last: on a CPU poolings and convolutions then take about half the time.
        features: Tensor = self.tower(((crops - 0.45) / 0.25).contiguous(memory_format=torch.channels_last))
        return features

    def regress(
        self, memory: Float[Tensor, "K F"], searches: Float[Tensor, "K 3 size size"]
    ) -> tuple[Float[Tensor, "K 4"], Float[Tensor, " K"]]:
        """Predict the shift of the box (K, 4) in crop coordinates, and the logit of the score (K,)."""
        # To the first layer, which is linear, memory and difference are as good as both features; but of a
        # person who has hardly moved the difference is small from the start.
        features = torch.cat([memory, self.features(searches) - memory], dim=1)
        output = full_precision(self.regressor(features))
        return output[:, :4] * _UNIT, output[:, 4]

    def pair_loss(
        self,
        memory: Float[Tensor, "K F"],
        searches: Float[Tensor, "K 3 size size"],
        before: Float[Tensor, "K 4"],
        target: Float[Tensor, "K 4"],
        present: Bool[Tensor, " K"],
    ) -> Float[Tensor, ""]:
        """Compute the L1 loss of the box, as in GOTURN, plus the cross-entropy of the score.

        Args:
            memory: ``(K, F)`` features of the templates.
            searches: ``(K, 3, size, size)`` search crops.
            before: ``(K, 4)`` the box at the center of the search crop, xyxy in crop coordinates.
            target: ``(K, 4)`` the true box, likewise.
            present: ``(K,)`` whether the target is in the search crop; where not, only the score is trained.

        Returns:
            The scalar loss, a mean over the pairs.
        """
        shift, score = self.regress(memory, searches)
        loss = binary_cross_entropy_with_logits(score, present.to(score))
        if present.any():
            loss = loss + l1_loss(shift[present], (target - before)[present]) / _UNIT
        return loss


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(8 if outputs % 8 == 0 else 1, outputs),
        nn.ReLU(),
    ]
