"""The sequential Deep Hungarian Net (Sec. 4.1, Figs. 2 and 5): the network that the paper proposes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from .recurrent import RecurrentDHN


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

    def _logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        batch, n, m = distance.shape
        rows = distance.permute(1, 2, 0).reshape(n * m, batch, 1)
        hidden, _ = self.row_rnn(rows)
        columns = hidden.view(n, m, batch, -1).transpose(0, 1).reshape(m * n, batch, -1)
        hidden, _ = self.column_rnn(columns)
        return self.head(hidden).view(m, n, batch).permute(2, 1, 0)
