"""Pictures of DHN pairs, of training and of soft assignments beside the exact ones."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..pairs import GATED, Pairs
from ..plots import COLORS


def pair(distance: Tensor, assignment: Tensor) -> Figure:
    """One training pair: (N, M) distances, gated entries grey, and the optimal assignment beside them."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.4))
    _distances(axes[0], distance)
    _assignment(axes[1], assignment, "$A^*$: the optimal assignment")
    return figure


def training(history: pd.DataFrame) -> Figure:
    """Focal loss and weighted accuracy over the steps of a training (``dhn.training.train``'s history)."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    for ax, column, label in zip(axes, ("loss", "WA"), ("focal loss", "WA of a training batch"), strict=True):
        values = history[column]
        ax.plot(history["step"], values, color=COLORS["ours"], alpha=0.3, linewidth=1)
        ax.plot(history["step"], values.rolling(7, min_periods=1, center=True).mean(), color=COLORS["ours"])
        ax.set(xlabel="step", ylabel=label)
    axes[0].set_yscale("log")
    axes[1].set_ylim(None, 1)
    return figure


def matches(triples: list[tuple[Tensor, Tensor, Tensor]], titles: list[str]) -> Figure:
    """A row a matrix: D, the soft assignment, and the optimal one, (N, M) each."""
    figure, axes = plt.subplots(len(triples), 3, figsize=(10, 2.1 * len(triples)), squeeze=False)
    for row, (distance, soft, optimal), title in zip(axes, triples, titles, strict=True):
        _distances(row[0], distance, title)
        _assignment(row[1], soft, r"$\tilde{A}$: soft (white 0, dark 1)")
        _assignment(row[2], optimal, "$A^*$: optimal")
    return figure


def busy(pairs: Pairs, count: int, max_entries: int = 300) -> list[int]:
    """The ``count`` pairs of at most ``max_entries`` entries with the most ungated ones."""
    starts = np.cumsum(pairs.entries) - pairs.entries
    ungated = np.add.reduceat(pairs.distance < GATED, starts) * (pairs.entries <= max_entries)
    return [int(k) for k in np.argsort(-ungated, kind="stable")[:count]]


def accuracy_by_size(scores: pd.DataFrame) -> Figure:
    """Mean WA over the number of entries of a matrix, for both discretisations (of ``scoring.score``)."""
    edges = np.unique(np.geomspace(1, max(2, (scores.N * scores.M).max() + 1), 9).astype(int))
    group = pd.cut(scores.N * scores.M, edges, right=False)
    figure, ax = plt.subplots(figsize=(6, 3.2))
    for axis, marker in (("row", "o"), ("column", "s")):
        values = scores[f"WA_{axis}"].groupby(group, observed=True)
        middle = [interval.mid for interval in values.mean().index]
        ax.plot(middle, 100 * values.mean(), marker=marker, label=f"{axis}-wise maximum")
    ax.set(xscale="log", xlabel="entries N x M of a matrix", ylabel="mean WA [%]", ylim=(None, 101))
    ax.legend()
    return figure


def _distances(ax: Axes, distance: Tensor, title: str = "D: distances") -> None:
    values = distance.detach().cpu().numpy()
    shown = np.ma.masked_where(values >= GATED, values)
    ax.set_facecolor("#dddddd")
    image = ax.imshow(shown, cmap="viridis", vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.7, aspect=12)
    _label(ax, f"{title} (grey: gated out)")


def _assignment(ax: Axes, values: Tensor, title: str) -> None:
    ax.imshow(values.detach().cpu().numpy(), cmap="Blues", vmin=0, vmax=1)
    _label(ax, title)


def _label(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="object m", ylabel="prediction n")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.get_major_locator().set_params(integer=True)
