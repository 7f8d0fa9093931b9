"""What every matcher shares: the checks around (B, N, M) distances in, (B, N, M) soft assignment out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..columns import LARGEST
from ..numerics import check_range, full_precision, without_autocast

_RULE = f"what is not finite, or above {LARGEST:g}, cannot be matched (a gated pair is written as 1000)"


class Matcher(nn.Module):
    """A named network, or control, that maps distances to a soft assignment Ã = g(D, ω) (Sec. 4.1).

    ``core`` offers ``logits(distance)`` for N, M >= 1, or, where it is nothing to be trained by its logits,
    ``soft(distance)``; the matcher adds what a caller may send besides: empty matrices, other dtypes, bad
    input.

    It computes in float32 at least, also under ``torch.autocast`` and inside a model that has been converted
    to half precision: there its weights stay float32. Half precision is too coarse to tell distances apart.

    Args:
        name: one of ``names()``.
        core: the network or control.
        options: the arguments that it was created with.
    """

    _anchor: Tensor

    def __init__(self, name: str, core: nn.Module, options: dict[str, Any]) -> None:
        super().__init__()
        self.name, self.core, self.options = name, core, options
        # Makes .to(device) complain of a device that is not there even where there are no weights to move.
        self._anchor: Tensor
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Return the device that the matcher computes on."""
        return self._anchor.device

    def logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the logits of the soft assignment.

        Args:
            distance: ``(B, N, M)``; gated pairs hold ``pairs.GATED``.

        Returns:
            ``(B, N, M)`` logits, in the dtype of ``distance``.

        Raises:
            ValueError: another rank, integers, and, outside of training (where it would cost a wait for the
                device in each step), values that are not finite.
            TypeError: the core has no logits.
        """
        if not hasattr(self.core, "logits"):
            raise TypeError(f"{self.name} has no logits: there is nothing of it to train")
        return self._run(cast(Callable[[Tensor], Tensor], self.core.logits), distance)

    def logits_of(self, distances: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
        """Compute the logits of matrices of any shapes, to train by.

        A recurrent network takes them in one pass, which lasts as long as the largest; any other those of one
        shape.

        Args:
            distances: ``(N, M)`` each, N and M at least 1, in the precision of the weights.

        Returns:
            ``(N, M)`` logits of each.

        Raises:
            TypeError: the core has no logits.
        """
        if hasattr(self.core, "logits_of"):
            with without_autocast(distances[0]):
                return cast(Callable[..., list[Tensor]], self.core.logits_of)(distances)
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, distance in enumerate(distances):
            alike[tuple(distance.shape)].append(index)
        found: dict[int, Tensor] = {}
        for indices in alike.values():
            logits = self.logits(torch.stack([distances[index] for index in indices]))
            found |= zip(indices, logits.unbind(), strict=True)
        return [found[index] for index in range(len(distances))]

    def forward(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the soft assignment.

        Args:
            distance: ``(B, N, M)``; gated pairs hold ``pairs.GATED``.

        Returns:
            ``(B, N, M)`` in [0, 1], in the dtype of ``distance``.

        Raises:
            ValueError: as :meth:`logits`.
        """
        return self._run(getattr(self.core, "soft", self._sigmoid), distance)

    def _sigmoid(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        return torch.sigmoid(cast(Callable[[Tensor], Tensor], self.core.logits)(distance))

    def _run(
        self, function: Callable[[Tensor], Tensor], distance: Float[Tensor, "B N M"]
    ) -> Float[Tensor, "B N M"]:
        """Call a function of the core on distances that it can take, in its precision."""
        if distance.ndim != 3 or not distance.is_floating_point():
            raise ValueError(
                f"distance must be a floating-point (B, N, M) tensor, got {distance.dtype} "
                f"{tuple(distance.shape)}"
            )
        if distance.numel() == 0:
            return distance * 1.0
        weight = next(self.core.parameters(), None)
        values = full_precision(distance) if weight is None else distance.to(weight.dtype)
        if not self.training:
            check_range("distance", values, -LARGEST, LARGEST, _RULE)
        with without_autocast(values):
            return function(values).to(distance.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the weights, as every ``nn.Module`` does, but never to half precision."""

        def keep(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            coarse = changed.is_floating_point() and changed.element_size() < 4
            return full_precision(tensor).to(changed.device) if coarse else changed

        return super()._apply(keep, recurse)
