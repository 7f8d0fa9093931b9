"""The parallel Deep Hungarian Net (Appendix B (ii), Fig. 6): rows and columns side by side."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .recurrent import Flattening, RecurrentDHN


class ParallelDHN(RecurrentDHN):
    """Two bidirectional RNNs over D itself, one row-wise and one column-wise, joined by linear layers.

    Row-wise and column-wise flattening of D (two sequences of N * M numbers) go through a two-layer Bi-RNN
    each; a linear layer reduces the channels of each, both are concatenated along the channels, and two more
    linear layers and a sigmoid make an entry of the soft assignment.

    Fig. 6 prints no sizes. Chosen here, so that both variants differ in their structure alone: the RNNs of
    the sequential network; 2h -> 128 channels for each direction, so that the 256 channels of both meet the
    sequential network's last two layers, 256 -> 64 -> 1, with nothing between linear layers there too.
    """

    def __init__(self, cell: str = "gru", hidden_size: int = 256, dropout: float = 0.2) -> None:
        super().__init__(cell, hidden_size, dropout)
        self.row_rnn, self.column_rnn = self._rnn(1), self._rnn(1)
        self.row_reduce, self.column_reduce = nn.Linear(2 * hidden_size, 128), nn.Linear(2 * hidden_size, 128)
        self.head = nn.Sequential(nn.Linear(256, 64), nn.Linear(64, 1))

    def _logits(self, rows: Float[Tensor, "length B 1"], order: Flattening) -> Float[Tensor, "length B 1"]:
        of_rows = self.row_reduce(self.row_rnn(rows, order.lengths))
        of_columns = self.column_reduce(self.column_rnn(order.to_columns(rows), order.lengths))
        return self.head(torch.cat([of_rows, order.to_rows(of_columns)], -1))
