"""The sequential Deep Hungarian Net (Sec. 4.1, Figs. 2 and 5): the network that the paper proposes."""

from __future__ import annotations

from torch import Tensor, nn

_CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


class SequentialDHN(nn.Module):
    """Two bidirectional RNNs, one over the rows of D and one over its columns, and three linear layers.

    The row-wise flattened D (a sequence of N * M numbers) goes through a first two-layer Bi-RNN; its hidden
    states, flattened column-wise, through a second; linear layers 2h -> 256 -> 64 -> 1 with nothing between
    them and a sigmoid make an entry of the soft assignment of each hidden state. As released: ``hidden_size``
    h = 256, dropout 0.2 between the layers of an RNN.
    """

    def __init__(self, cell: str = "gru", hidden_size: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"unknown cell {cell!r}: choose one of {', '.join(_CELLS)}")
        rnn = _CELLS[cell]
        self.dropout = dropout
        kind = {"num_layers": 2, "bidirectional": True, "dropout": dropout}
        self.row_rnn = rnn(1, hidden_size, **kind)
        self.column_rnn = rnn(2 * hidden_size, hidden_size, **kind)
        self.head = nn.Sequential(nn.Linear(2 * hidden_size, 256), nn.Linear(256, 64), nn.Linear(64, 1))

    def train(self, mode: bool = True) -> SequentialDHN:
        """As ``nn.Module.train``, except that outside training the RNNs only lose their dropout.

        cuDNN refuses the backward pass of an RNN in evaluation mode, and a frozen DHN is there to pass
        gradients.
        """
        super().train(mode)
        for rnn in (self.row_rnn, self.column_rnn):
            rnn.train()
            rnn.dropout = self.dropout if mode else 0.0
        return self

    def logits(self, distance: Tensor) -> Tensor:
        """(B, N, M) distances, N and M at least 1, to (B, N, M) logits of the soft assignment."""
        batch, n, m = distance.shape
        rows = distance.permute(1, 2, 0).reshape(n * m, batch, 1)
        hidden, _ = self.row_rnn(rows)
        columns = hidden.view(n, m, batch, -1).transpose(0, 1).reshape(m * n, batch, -1)
        hidden, _ = self.column_rnn(columns)
        return self.head(hidden).view(m, n, batch).permute(2, 1, 0)
