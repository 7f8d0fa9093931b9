"""What the recurrent Deep Hungarian Nets share: their bidirectional RNNs, over matrices as sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from .cells import GRU, LSTM

_MAX_ENTRIES = 100_000  # whose hidden states are kept at once: more matrices go one after the other
_CELLS = {"gru": GRU, "lstm": LSTM}


class Flattening(NamedTuple):
    """How the matrices of a batch lie in sequences (length, B, C), row by row or column by column.

    Attributes:
        lengths: ``(B,)`` the entries of each matrix; None where they all have as many.
        by_columns: ``(length, B)`` the position, row by row, of each entry of the order column by column.
        by_rows: ``(length, B)`` the other way around.
    """

    lengths: Int64[Tensor, " B"] | None
    by_columns: Int64[Tensor, "length B"]
    by_rows: Int64[Tensor, "length B"]

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]], device: torch.device) -> Flattening:
        """Return that of matrices of these shapes (N, M)."""
        orders = [torch.arange(n * m).view(n, m).T.flatten() for n, m in shapes]
        back = [torch.arange(n * m).view(m, n).T.flatten() for n, m in shapes]
        sizes = [len(order) for order in orders]
        lengths = None if len(set(sizes)) == 1 else torch.tensor(sizes, device=device)
        return cls(lengths, pad_sequence(orders).to(device), pad_sequence(back).to(device))

    def to_columns(self, rows: Float[Tensor, "length B C"]) -> Float[Tensor, "length B C"]:
        """Reorder from row by row to column by column."""
        return rows.gather(0, self.by_columns[..., None].expand_as(rows))

    def to_rows(self, columns: Float[Tensor, "length B C"]) -> Float[Tensor, "length B C"]:
        """Reorder from column by column to row by row."""
        return columns.gather(0, self.by_rows[..., None].expand_as(columns))


class RecurrentDHN(nn.Module):
    """A network of two-layer bidirectional RNNs of one cell, "gru" or "lstm"; ValueError names the choices.

    As released: ``hidden_size`` 256, dropout 0.2 between the layers of an RNN.
    """

    def __init__(self, cell: str = "gru", hidden_size: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"unknown cell {cell!r}: choose one of {', '.join(_CELLS)}")
        self.cell, self.hidden_size, self.dropout = cell, hidden_size, dropout

    def _rnn(self, channels: int) -> GRU | LSTM:
        """Create an RNN from (length, B, channels) to (length, B, 2 * hidden_size)."""
        return _CELLS[self.cell](
            channels, self.hidden_size, num_layers=2, bidirectional=True, dropout=self.dropout
        )

    def logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the logits of the soft assignment of (B, N, M) distances, N and M at least 1."""
        return torch.stack(self.logits_of(distance.unbind()))

    def logits_of(self, distances: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
        """Compute the logits of matrices of any shapes, N and M at least 1, best of similar sizes.

        Of a batch too large to keep all hidden states, a part at a time is computed, and once more in the
        backward pass.
        """
        size = max(1, _MAX_ENTRIES // max(distance.numel() for distance in distances))
        if len(distances) <= size:
            return self._part(*distances)
        parts = [distances[start : start + size] for start in range(0, len(distances), size)]
        return [found for part in parts for found in checkpoint(self._part, *part, use_reentrant=False)]

    def _part(self, *distances: Tensor) -> list[Tensor]:
        shapes = [(distance.shape[0], distance.shape[1]) for distance in distances]
        rows = pad_sequence([distance.flatten() for distance in distances])
        logits = self._logits(rows[..., None], Flattening.of(shapes, rows.device))[..., 0]
        return [logits[: n * m, index].view(n, m) for index, (n, m) in enumerate(shapes)]

    def _logits(self, rows: Float[Tensor, "length B 1"], order: Flattening) -> Float[Tensor, "length B 1"]:
        """Compute the logits of matrices that are flattened row by row, in that order."""
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
