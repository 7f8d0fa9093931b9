"""What the recurrent Deep Hungarian Nets share: their bidirectional RNNs."""

from __future__ import annotations

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .gru import GRU

_MAX_ENTRIES = 100_000  # whose hidden states are kept at once: more matrices go one after the other
_CELLS = {"gru": GRU, "lstm": nn.LSTM}


class RecurrentDHN(nn.Module):
    """A network of two-layer bidirectional RNNs of one cell, "gru" or "lstm"; ValueError names the choices.

    As released: ``hidden_size`` 256, dropout 0.2 between the layers of an RNN.
    """

    def __init__(self, cell: str = "gru", hidden_size: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"unknown cell {cell!r}: choose one of {', '.join(_CELLS)}")
        self.cell, self.hidden_size, self.dropout = cell, hidden_size, dropout

    def _rnn(self, channels: int) -> nn.RNNBase:
        """Create an RNN from (length, B, channels) to (length, B, 2 * hidden_size)."""
        return _CELLS[self.cell](
            channels, self.hidden_size, num_layers=2, bidirectional=True, dropout=self.dropout
        )

    def logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the logits of the soft assignment of (B, N, M) distances, N and M at least 1.

        Of a batch too large to keep all hidden states, a part at a time is computed, and once more in the
        backward pass.
        """
        batch, n, m = distance.shape
        size = max(1, _MAX_ENTRIES // (n * m))
        if batch <= size:
            return self._logits(distance)
        parts = distance.split(size)
        return torch.cat([checkpoint(self._logits, part, use_reentrant=False) for part in parts])

    def _logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or out of it, where the RNNs only lose their dropout.

        cuDNN refuses the backward pass of an RNN in evaluation mode, and a frozen DHN is there to pass
        gradients.
        """
        super().train(mode)
        for rnn in self.children():
            if isinstance(rnn, nn.RNNBase):
                rnn.train()
                rnn.dropout = self.dropout if mode else 0.0
        return self
