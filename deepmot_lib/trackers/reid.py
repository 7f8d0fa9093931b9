"""External re-identification (Sec. 5.1, "+ReIDext"): a network of its own for appearance embeddings.

In place of the paper's ResNet-50 a small network, trained from scratch (``training.reid``).
"""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.ops import roi_align

CROP = (128, 64)  # height, width in pixels
_CHANNELS = (3, 32, 64, 96, 128)


class Embedder(nn.Module):
    """A convolutional network from the crops of people to embeddings of unit length.

    In training mode it normalizes over the batch, and takes two boxes or more.

    Args:
        units: Features of an embedding.
    """

    def __init__(self, units: int = 128) -> None:
        super().__init__()
        self.options = {"units": units}
        stages = [
            nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b, stride=1))
            for a, b in pairwise(_CHANNELS)
        ]
        # Rows of the picture stay apart: shirts are not trousers.
        self.body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten())
        # Batch-hard triplets like to collapse to one point for all; a normalized spread forbids it.
        self.head = nn.Sequential(
            nn.Linear(4 * _CHANNELS[-1], units, bias=False), nn.BatchNorm1d(units, affine=False)
        )

    def forward(
        self, image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]
    ) -> Float[Tensor, "K units"]:
        """Embed the people in an image.

        Args:
            image: ``(3, height, width)`` RGB in [0, 1].
            boxes: ``(K, 4)`` xyxy [px]; K may be 0, and a box may lie outside of the image.

        Returns:
            ``(K, units)``, each of norm 1.
        """
        return self.embed(crops(image, boxes))

    def embed(self, pictures: Float[Tensor, "K 3 128 64"]) -> Float[Tensor, "K units"]:
        """Embed crops ``(K, 3, 128, 64)`` in [0, 1], as :func:`crops` cuts them out."""
        return normalize(self.head(self.body(pictures * 4 - 2)), dim=-1)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.ReLU())


def crops(image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "K 3 128 64"]:
    """Cut out the boxes of an image, each resized to ``CROP``.

    Args:
        image: ``(3, height, width)``.
        boxes: ``(K, 4)`` xyxy [px].

    Returns:
        ``(K, 3, 128, 64)``.
    """
    return roi_align(image[None], [boxes.to(image.dtype)], CROP, aligned=True)
