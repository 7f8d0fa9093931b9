"""What every matcher shares: the checks around (B, N, M) distances in, (B, N, M) soft assignment out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Matcher(nn.Module):
    """A named network, or control, that maps distances to a soft assignment Ã = g(D, ω) (Sec. 4.1).

    ``core`` offers ``logits(distance)`` for N, M >= 1, or, where it is nothing to be trained by its logits,
    ``soft(distance)``; the matcher adds what a caller may send besides: empty matrices, other dtypes, bad
    input. ``options`` are the arguments that the core was created with.
    """

    def __init__(self, name: str, core: nn.Module, options: dict) -> None:
        super().__init__()
        self.name, self.core, self.options = name, core, options
        # Makes .to(device) complain of a device that is not there even where there are no weights to move.
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    def logits(self, distance: Tensor) -> Tensor:
        """(B, N, M) distances to (B, N, M) logits, in the dtype of the input.

        Gated entries hold ``pairs.GATED``. Raises ValueError on another rank and on integers, and, outside
        training (where it would cost a wait for the device in each step), on values that are not finite;
        TypeError where the core has no logits.
        """
        if not hasattr(self.core, "logits"):
            raise TypeError(f"{self.name} has no logits: there is nothing of it to train")
        return self._run(self.core.logits, distance)

    def forward(self, distance: Tensor) -> Tensor:
        """(B, N, M) distances to the soft assignment, (B, N, M) in [0, 1]; raises as ``logits``."""
        return self._run(getattr(self.core, "soft", self._sigmoid), distance)

    def _sigmoid(self, distance: Tensor) -> Tensor:
        return torch.sigmoid(self.core.logits(distance))

    def _run(self, function: Callable[[Tensor], Tensor], distance: Tensor) -> Tensor:
        if distance.ndim != 3 or not distance.is_floating_point():
            raise ValueError(
                f"distance must be a floating-point (B, N, M) tensor, got {distance.dtype} "
                f"{tuple(distance.shape)}"
            )
        if distance.numel() == 0:
            return distance * 1.0
        weight = next(self.core.parameters(), None)
        # Half precision is too coarse to tell distances apart: without weights to follow, float32 at least.
        dtype = torch.promote_types(distance.dtype, torch.float32) if weight is None else weight.dtype
        values = distance.to(dtype)
        if not self.training and not torch.isfinite(values).all():
            raise ValueError("distance holds values that are not finite (gated entries are written as 1000)")
        return function(values).to(distance.dtype)
