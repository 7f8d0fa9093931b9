"""The 1-D convolutional Deep Hungarian Net (Appendix B (iii), Fig. 7): a U-Net over the flattened D."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool1d


class ConvolutionalDHN(nn.Module):
    """A U-Net over the row-wise flattened D, a sequence of N * M numbers; it sees D's neighborhoods only.

    [input channels, output channels, kernel size] as printed: encoder [1, 24, 15] and [24, 48, 15], halved
    in length after each; bottleneck [48, 48, 15]; decoder [96, 48, 5] and [72, 24, 5], each after an
    upsampling x 2 and the concatenation of the encoder's output at that length; a last convolution.

    Chosen here, as the paper does not print them: the last convolution is [24, 1, 1]; leaky ReLUs (slope
    0.2) follow all others; halving takes the larger of two neighbors, and an odd last one as it is;
    upsampling interpolates linearly to the length of the encoder's output, so that any length >= 1 will do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([_convolution(1, 24, 15), _convolution(24, 48, 15)])
        self.bottleneck = _convolution(48, 48, 15)
        self.decoder = nn.ModuleList([_convolution(96, 48, 5), _convolution(72, 24, 5)])
        self.last = _convolution(24, 1, 1)

    def logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the logits of the soft assignment of (B, N, M) distances, N and M at least 1."""
        values, skips = distance.flatten(1).unsqueeze(1), []
        for convolution in self.encoder:
            skips.append(leaky_relu(convolution(values), 0.2))
            values = max_pool1d(skips[-1], 2, ceil_mode=True)
        values = leaky_relu(self.bottleneck(values), 0.2)
        for convolution, skip in zip(self.decoder, reversed(skips), strict=True):
            values = interpolate(values, skip.shape[-1], mode="linear")
            values = leaky_relu(convolution(torch.cat([values, skip], 1)), 0.2)
        return self.last(values).view(distance.shape)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
