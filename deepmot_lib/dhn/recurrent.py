"""What the recurrent Deep Hungarian Nets share: their bidirectional RNNs."""

from __future__ import annotations

from typing import Self

from torch import nn

from .gru import GRU

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
        """Maps (length, B, channels) to (length, B, 2 * hidden_size)."""
        return _CELLS[self.cell](
            channels, self.hidden_size, num_layers=2, bidirectional=True, dropout=self.dropout
        )

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, except that outside training the RNNs only lose their dropout.

        cuDNN refuses the backward pass of an RNN in evaluation mode, and a frozen DHN is there to pass
        gradients.
        """
        super().train(mode)
        for rnn in self.children():
            if isinstance(rnn, nn.RNNBase):
                rnn.train()
                rnn.dropout = self.dropout if mode else 0.0
        return self
