"""The sequential Deep Hungarian Net (Sec. 4.1, Figs. 2 and 5): the network that the paper proposes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from .recurrent import Flattening, RecurrentDHN


class SequentialDHN(RecurrentDHN):
    """Two bidirectional RNNs, one over the rows of D and one over its columns, and three linear layers.

    The row-wise flattened D (a sequence of N * M numbers) goes through a first two-layer Bi-RNN; its hidden
    states, flattened column-wise, through a second; linear layers 2h -> 256 -> 64 -> 1 with nothing between
    them and a sigmoid make an entry of the soft assignment of each hidden state.
    """

    def __init__(self, cell: str = "gru", hidden_size: int = 256, dropout: float = 0.2) -> None:
        super().__init__(cell, hidden_size, dropout)
        self.row_rnn = self._rnn(1)
        self.column_rnn = self._rnn(2 * hidden_size)
        self.head = nn.Sequential(nn.Linear(2 * hidden_size, 256), nn.Linear(256, 64), nn.Linear(64, 1))

    def _logits(self, rows: Float[Tensor, "length B 1"], order: Flattening) -> Float[Tensor, "length B 1"]:
        columns = order.to_columns(self.row_rnn(rows, order.lengths))
        return order.to_rows(self.head(self.column_rnn(columns, order.lengths)))
