"""GOTURN (Held, Thrun, Savarese: Learning to Track at 100 FPS with Deep Regression Networks, ECCV 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from .crops import crop, rectangles, to_crop, to_image
from .tracker import Propagation, Tracker

#: What the fully connected layers count in: a tenth of the crop, so that their outputs are of the order of 1.
_UNIT = 0.1


class GOTURN(Tracker):
    """Regresses the box inside a search crop from what template and search crop look like side by side.

    Both crops show ``context`` times the box's width and height, stretched to ``size`` x ``size`` pixels,
    and go through one AlexNet-style tower (11x11, 5x5 and three 3x3 convolutions of ``widths`` channels,
    normalised by groups, so that no track's result depends on the others); their features, concatenated,
    through two layers of ``hidden`` units to the four corners' shift since the box before. A shift of zero
    is thus where an untrained network starts.

    GOTURN itself gives no score. Ours is a fifth output, trained jointly: the probability that the target is
    in the search crop at all.
    """

    name = "goturn"

    def __init__(
        self,
        size: int = 128,
        widths: tuple[int, int, int, int, int] = (32, 64, 96, 96, 64),
        hidden: int = 512,
        context: float = 2.0,
    ):
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
        nn.init.zeros_(self.regressor[-1].weight)
        nn.init.zeros_(self.regressor[-1].bias)

    def encode(self, image: Tensor) -> Tensor:
        return image

    def init_memory(self, encoded: Tensor, boxes: Tensor) -> Tensor:
        """The template's features (K, F)."""
        return self.features(self.template_crops(encoded, boxes))

    def propagate(self, encoded: Tensor, boxes: Tensor, memory: Tensor) -> Propagation:
        crops, region = self.search_crops(encoded, boxes)
        shift, score = self.regress(memory, crops)
        before = to_crop(boxes.detach(), region)
        return Propagation(to_image(before + shift, region), score.sigmoid())

    def template_crops(self, image: Tensor, boxes: Tensor) -> Tensor:
        """(K, 3, size, size) around the boxes (K, 4)."""
        return crop(image, rectangles(boxes.detach(), self.context), self.size)

    def search_crops(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The crops (K, 3, size, size) around the boxes (K, 4) and their regions (K, 4) in pixels."""
        region = rectangles(boxes.detach(), self.context)
        return crop(image, region, self.size), region

    def features(self, crops: Tensor) -> Tensor:
        """Features (K, F) of crops (K, 3, size, size)."""
        # Channels last: on a CPU poolings and convolutions then take about half the time.
        return self.tower(((crops - 0.45) / 0.25).contiguous(memory_format=torch.channels_last))

    def regress(self, memory: Tensor, searches: Tensor) -> tuple[Tensor, Tensor]:
        """The corners' shift (K, 4) in crop coordinates and the score's logit (K,)."""
        output = self.regressor(torch.cat([memory, self.features(searches)], dim=1))
        return output[:, :4] * _UNIT, output[:, 4]

    def pair_loss(
        self, memory: Tensor, searches: Tensor, before: Tensor, target: Tensor, present: Tensor
    ) -> Tensor:
        """L1 on the box, as GOTURN is trained, and cross-entropy on the score, over K pairs of crops.

        ``before`` and ``target`` (K, 4): the box in the middle of the search crop and the true one, in crop
        coordinates; ``present`` (K,) bool: pairs whose target is in the search crop; the others teach the
        score alone.
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
