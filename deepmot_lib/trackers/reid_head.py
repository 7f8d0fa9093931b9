"""The ReID head (Sec. 5.1, "+ReIDhead"): embeddings from the features that Tracktor has computed anyway.

Unlike the box head's features, which were trained to be alike for all people, those of the finest pyramid
level still show colors and patterns. They keep their place in the box (shirts are not trousers) and are
standardized before one linear layer: to the cosine distance their common mean makes all people alike.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import roi_align

from ..numerics import full_precision

#: Rows and columns that the features of a box are pooled to.
ROI = (8, 4)
_UNITS = 128
_FINEST = "0"  # torchvision's name of the pyramid level P2
_SAMPLES = 2  # per side of a bin


class ReIDHead(nn.Module):
    """Standardizes the RoI features of a box and maps them to 128 units.

    The standardization is no batch statistic: :meth:`standardize_by` sets it once, and it stays in training
    mode, so that the embedding of a person does not depend on who else is there.

    Args:
        channels: Channels of the feature pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(channels * ROI[0] * ROI[1], affine=False)
        self.linear = nn.Linear(channels * ROI[0] * ROI[1], _UNITS)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but of the standardization."""
        super().train(mode)
        self.standardize.eval()
        return self

    @torch.no_grad()
    def standardize_by(self, features: Float[Tensor, "K F"]) -> None:
        """Set the standardization to mean and variance of the RoI features of people, two or more."""
        variance, mean = torch.var_mean(features.float(), dim=0)
        self.standardize.running_mean.copy_(mean)  # type: ignore[union-attr]
        self.standardize.running_var.copy_(variance)  # type: ignore[union-attr]

    @torch.no_grad()
    def make_constant(self) -> None:
        """Give all people the same embedding: the control that tells nobody apart."""
        self.linear.weight.zero_()
        self.linear.bias.fill_(1.0)

    def forward(self, features: Float[Tensor, "K F"]) -> Float[Tensor, "K 128"]:
        """Embed people by their RoI features, see :func:`roi_features`."""
        return full_precision(self.linear(self.standardize(features)))


def roi_features(
    pyramid: dict[str, Tensor],
    boxes: Float[Tensor, "K 4"],
    image_size: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "K F"]:
    """Pool the finest level of a feature pyramid in boxes, without gradient.

    Args:
        pyramid: The levels by torchvision's names, each (1, C, height, width).
        boxes: ``(K, 4)`` xyxy [px] of the image; K may be 0. They may lie outside of it.
        image_size: (height, width) of the image [px].
        size: (height, width) that it was resized to [px].

    Returns:
        ``(K, C * 8 * 4)``.
    """
    finest = pyramid[_FINEST].detach()
    # The levels may be padded beyond the image: the stride is a power of 2.
    stride = 2 ** round(math.log2(size[1] / finest.shape[-1]))
    resized = resize_boxes(boxes.detach().nan_to_num(), image_size, size).to(finest.dtype)
    return roi_align(finest, [resized], ROI, 1 / stride, _SAMPLES, aligned=True).flatten(1)
