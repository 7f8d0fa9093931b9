"""A matcher beyond the paper: min-sum message passing from predicted prices, exact enough and cheap.

Min-sum belief propagation solves the assignment problem exactly where the optimum is unique (Bayati, Shah and
Sharma, IEEE Trans. Inf. Theory 54(3), 2008). A round takes the best and the second best of every line. What
makes it slow are price wars: where most rows and columns compete, messages creep by the competitors' small
differences until one gives up. So the rounds start from a price for each column, near what it will reach:
from a two-line rule, or from a small set network. They repair its errors: every start ends at one optimum.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..data.pair_checks import GATED

#: What a match is worth, in units of distance: a pair farther apart stays unmatched, and below about half of
#: it more matches are hardly ever given up for shorter ones.
BENEFIT = 2.0
_CLOSED = -100.0  # the gain of a gated pair: below that of any pair that could match
_NEVER = -1e4  # the logit of a gated pair: finite in half precision, and its sigmoid is 0


class MinSum(nn.Module):
    """Soft assignment by ``rounds`` of min-sum message passing, from the prices of a set network.

    ``learned=False`` starts from the rule of ``balance_price`` instead and has no parameters. The gradient
    flows through the last ``graded`` rounds, along alternating paths of that many columns, and not into the
    prices: they are trained by ``training.prices``. ``temperature`` (in units of distance) smooths the
    output: it decides how far beyond the undecided pairs a gradient reaches; which entries exceed 0.5 does
    not depend on it.
    """

    def __init__(
        self,
        hidden_size: int = 16,
        layers: int = 2,
        rounds: int = 20,
        graded: int = 4,
        temperature: float = 0.2,
        learned: bool = True,
    ) -> None:
        super().__init__()
        if rounds < 1 or graded < 1 or not temperature > 0:
            raise ValueError(
                f"rounds and graded must be at least 1 and temperature above 0, got {rounds}, {graded} and "
                f"{temperature}"
            )
        self.price = PriceNetwork(hidden_size, layers) if learned else None
        self.rounds, self.graded, self.temperature = rounds, graded, temperature

    def logits(self, distance: Float[Tensor, "B N M"]) -> Float[Tensor, "B N M"]:
        """Compute the logits of the soft assignment of (B, N, M) distances, N and M at least 1.

        A belief divided by the temperature; constant for gated pairs, whose assignment and gradient are 0.
        """
        gain, open_pairs = gains(distance)
        with torch.no_grad():
            share = self.price or balance_price
            price = BENEFIT * torch.sigmoid(share(gain, open_pairs))
        belief = min_sum(gain, price, self.rounds, self.graded)
        return torch.where(open_pairs, belief / self.temperature, _NEVER)


def gains(distance: Float[Tensor, "B N M"]) -> tuple[Float[Tensor, "B N M"], Bool[Tensor, "B N M"]]:
    """Compute what each pair gains by matching, and which pairs may match.

    Both are (B, N, M), as the distances; those pairs may match (bool) that are not gated.
    """
    open_pairs = distance < GATED
    return torch.where(open_pairs, BENEFIT - distance, _CLOSED), open_pairs


def min_sum(
    gain: Float[Tensor, "B N M"], price: Float[Tensor, "B M"], rounds: int, graded: int | None = None
) -> Float[Tensor, "B N M"]:
    """Compute the belief in each pair after some rounds of message passing from column prices.

    The belief of a pair is its gain less what its row and its column can get elsewhere.

    Args:
        gain: ``(B, N, M)`` from :func:`gains`.
        price: ``(B, M)`` price of each column, in units of distance.
        rounds: how many.
        graded: how many of them, the last, carry a gradient; None: all.

    Returns:
        ``(B, N, M)``, positive where a pair matches.
    """
    graded = rounds if graded is None else min(graded, rounds)
    column = price.unsqueeze(1).expand_as(gain)
    with torch.no_grad():
        for _ in range(rounds - graded):
            column = _best_other(gain - _best_other(gain - column, dim=2), dim=1)
    for _ in range(graded):
        row = _best_other(gain - column, dim=2)
        column = _best_other(gain - row, dim=1)
    return gain - row - column


def _best_other(value: Float[Tensor, "B N M"], dim: int) -> Float[Tensor, "B N M"]:
    """Find for each entry the largest value among the others on its line and 0 (no match)."""
    best, where = value.max(dim, keepdim=True)
    second = value.scatter(dim, where, _CLOSED).amax(dim, keepdim=True)
    return best.clamp(min=0).expand_as(value).scatter(dim, where, second.clamp(min=0))


def _balance(open_pairs: Bool[Tensor, "B N M"]) -> Float[Tensor, "B 1"]:
    """Compute the logarithm of rows to columns, of those with an open pair."""
    rows, columns = (open_pairs.any(dim).sum(1, keepdim=True) for dim in (2, 1))
    return torch.log((rows + 0.1) / (columns + 0.1))


def balance_price(
    gain: Float[Tensor, "B N M"], open_pairs: Bool[Tensor, "B N M"], steepness: float | Tensor = 4.0
) -> Float[Tensor, "B M"]:
    """Price columns by the rule: dear where rows outnumber columns, free where columns outnumber rows.

    Args:
        gain: ``(B, N, M)`` from :func:`gains`.
        open_pairs: ``(B, N, M)`` from :func:`gains`.
        steepness: how fast the price rises with the ratio of rows to columns.

    Returns:
        ``(B, M)`` logit of each column's price as a share of ``BENEFIT``.
    """
    return (steepness * (10 * _balance(open_pairs)).clamp(-1, 1)).expand(-1, gain.shape[2])


class PriceNetwork(nn.Module):
    """Predicts each column's price: a set network, equivariant to permutations of rows and of columns.

    Every line (row or column) has a state of ``hidden_size`` numbers. A layer passes the states of the rows
    to the columns and back, weighed by softmaxes of the gains at a learned temperature, over rows and over
    columns; the states of a matrix's lines also receive their mean. What comes out is added to
    ``balance_price`` of a learned steepness: untrained, the network is the rule.
    """

    _FEATURES = 8

    def __init__(self, hidden_size: int = 16, layers: int = 2) -> None:
        super().__init__()

        def perceptron(inputs: int, inner: int) -> nn.Module:
            return nn.Sequential(nn.Linear(inputs, inner), nn.SiLU(), nn.Linear(inner, hidden_size))

        self.embed = nn.ModuleList(perceptron(self._FEATURES, hidden_size) for _ in range(2))
        self.to_column, self.to_row = (
            nn.ModuleList(perceptron(4 * hidden_size, 2 * hidden_size) for _ in range(layers))
            for _ in range(2)
        )
        self.out = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.log_temperature = nn.Parameter(torch.tensor(0.03).log())
        self.steepness = nn.Parameter(torch.tensor(4.0))

    def forward(
        self, gain: Float[Tensor, "B N M"], open_pairs: Bool[Tensor, "B N M"]
    ) -> Float[Tensor, "B M"]:
        """Compute the logit of each column's price as a share of ``BENEFIT``."""
        rows, columns = open_pairs.any(2), open_pairs.any(1)
        balance = _balance(open_pairs)
        row = self.embed[0](_features(gain, open_pairs, balance, dim=2))
        column = self.embed[1](_features(gain, open_pairs, -balance, dim=1))
        scaled = gain.clamp(min=-3) / self.log_temperature.clamp(-6, 1).exp()
        scaled = torch.where(open_pairs, scaled, _NEVER)
        links = [torch.softmax(scaled, dim) * open_pairs for dim in (2, 1)]
        for to_column, to_row in zip(self.to_column, self.to_row, strict=True):
            received = [link.transpose(1, 2) @ row for link in links] + [_mean(row, rows).expand_as(column)]
            column = column + to_column(torch.cat([column, *received], -1))
            received = [link @ column for link in links] + [_mean(column, columns).expand_as(row)]
            row = row + to_row(torch.cat([row, *received], -1))
        return balance_price(gain, open_pairs, self.steepness) + 4 * self.out(column).squeeze(-1)


def _features(
    gain: Float[Tensor, "B N M"], open_pairs: Bool[Tensor, "B N M"], balance: Float[Tensor, "B 1"], dim: int
) -> Float[Tensor, "B lines 8"]:
    """Describe the lines along ``dim`` by eight numbers each.

    They tell the best gains, mean gain, open pairs, balance, lines in the matrix, and whether there is an
    open pair at all.
    """
    best, rest = [], gain
    for _ in range(3):
        value, where = rest.max(dim, keepdim=True)
        best.append(value.squeeze(dim).clamp(min=0))
        rest = rest.scatter(dim, where, _CLOSED)
    count = open_pairs.sum(dim).to(gain.dtype)
    present = (count > 0).to(gain.dtype)
    features = (
        best[0],
        4 * (best[0] - best[1]),  # margins decide: they are scaled to the size of the others
        4 * (best[1] - best[2]),
        (gain * open_pairs).sum(dim) / count.clamp(min=1),
        count.log1p() / 4,
        balance.expand_as(count),
        (present.sum(1, keepdim=True).log1p() / 4).expand_as(count),
        present,
    )
    return torch.stack(features, -1)


def _mean(state: Float[Tensor, "B lines H"], present: Bool[Tensor, "B lines"]) -> Float[Tensor, "B 1 H"]:
    """Average the states of the lines that are present."""
    present = present[..., None].to(state.dtype)
    return (state * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
