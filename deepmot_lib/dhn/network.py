"""What every matcher shares: the checks around (B, N, M) distances in, (B, N, M) soft assignment out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Matcher(nn.Module):
    """A named network that maps distances to a soft assignment Ã = g(D, ω) (Sec. 4.1).

    ``core`` offers ``logits(distance)`` for N, M >= 1; the matcher adds what a caller may send besides: empty
    matrices, other dtypes, bad input. ``options`` are the arguments that the network was created with.
    """

    def __init__(self, name: str, core: nn.Module, options: dict) -> None:
        super().__init__()
        self.name, self.core, self.options = name, core, options

    def logits(self, distance: Tensor) -> Tensor:
        """(B, N, M) distances to (B, N, M) logits, in the dtype of the input.

        Gated entries hold ``pairs.GATED``. Raises ValueError on another rank and on integers, and, outside
        training (where it would cost a wait for the device in each step), on values that are not finite.
        """
        if distance.ndim != 3 or not distance.is_floating_point():
            raise ValueError(
                f"distance must be a floating-point (B, N, M) tensor, got {distance.dtype} "
                f"{tuple(distance.shape)}"
            )
        if not self.training and not torch.isfinite(distance).all():
            raise ValueError("distance holds values that are not finite (gated entries are written as 1000)")
        if distance.numel() == 0:
            return distance * 1.0
        dtype = next(self.core.parameters()).dtype
        return self.core.logits(distance.to(dtype)).to(distance.dtype)

    def forward(self, distance: Tensor) -> Tensor:
        """(B, N, M) distances to the soft assignment, (B, N, M) in [0, 1]."""
        return torch.sigmoid(self.logits(distance))
