"""Figures about matchers: training pairs, training curves, soft assignments, accuracy and cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from torch import Tensor

from ..data.pair_checks import GATED
from ..data.pairs import Pairs
from .plots import COLORS


def pair(distance: Float[Tensor, "N M"], assignment: Float[Tensor, "N M"]) -> Figure:
    """Plot a training pair: the distances, gated entries gray, and the optimal assignment."""
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.3))
    _distances(axes[0], distance)
    _assignment(axes[1], assignment, "$A^*$: the optimal assignment")
    return figure


def training(history: pd.DataFrame) -> Figure:
    """Plot the focal loss and the weighted accuracy of a training (columns step, loss, WA) over its steps."""
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.7))
    for ax, column, label in zip(axes, ("loss", "WA"), ("focal loss", "WA of a training batch"), strict=True):
        values = history[column]
        ax.plot(history["step"], values, color=COLORS["ours"], alpha=0.3, linewidth=1)
        ax.plot(history["step"], values.rolling(7, min_periods=1, center=True).mean(), color=COLORS["ours"])
        ax.set(xlabel="step", ylabel=label)
    axes[0].set_yscale("log")
    axes[1].set_ylim(None, 1)
    return figure


def matches(triples: Sequence[tuple[Tensor, Tensor, Tensor]], titles: Sequence[str]) -> Figure:
    """Plot D, the soft and the optimal assignment (N, M), one row per triple."""
    figure, axes = plt.subplots(len(triples), 3, figsize=(6.8, 1.9 * len(triples)), squeeze=False)
    for row, (distance, soft, optimal), title in zip(axes, triples, titles, strict=True):
        _distances(row[0], distance, title)
        _assignment(row[1], soft, r"$\tilde{A}$: soft")
        _assignment(row[2], optimal, "$A^*$: optimal")
        for ax in row[1:]:
            ax.set_ylabel("")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    return figure


def densest_pairs(pairs: Pairs, count: int, max_entries: int = 300) -> list[int]:
    """Return the indices of the ``count`` pairs with the most ungated entries, among those small enough."""
    starts = np.cumsum(pairs.entries) - pairs.entries
    ungated = np.add.reduceat(pairs.distance < GATED, starts) * (pairs.entries <= max_entries)
    return [int(k) for k in np.argsort(-ungated, kind="stable")[:count]]


def accuracy_by_size(scores: pd.DataFrame) -> Figure:
    """Plot the mean WA over the number of entries of a matrix, for both discretizations.

    Args:
        scores: One row per pair, as ``evaluation.matching.score`` returns it.

    Returns:
        The figure.
    """
    entries = scores["N"] * scores["M"]
    edges = np.unique(np.geomspace(1, max(2, entries.max() + 1), 9).astype(int))
    group = pd.cut(entries, edges.tolist(), right=False)
    figure, ax = plt.subplots(figsize=(6, 3.2))
    for axis, marker in (("row", "o"), ("column", "s")):
        values = scores[f"WA_{axis}"].groupby(group, observed=True)
        middle = [interval.mid for interval in values.mean().index]
        ax.plot(middle, 100 * values.mean(), marker=marker, label=f"{axis}-wise maximum")
    ax.set(xscale="log", xlabel="entries N x M of a matrix", ylabel="mean WA [%]", ylim=(None, 101))
    ax.legend()
    return figure


def table5(table: pd.DataFrame, measure: str = "WA") -> Figure:
    """Plot a measure of Tables 5 and 6, the paper's beside ours on all test pairs and on the unseen ones.

    Args:
        table: The table with the columns of both, and "WA std" over seeds for the error bars.
        measure: WA, MA or SA.

    Returns:
        The figure.
    """
    names = list(dict.fromkeys(table["network"]))
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 0.3 * len(names) + 1.3), sharex=True, sharey=True)
    shown = [
        (f"{measure} (paper)", "s", COLORS["paper"], "paper"),
        (f"{measure} (ours)", "o", COLORS["ours"], "ours"),
        (f"{measure} unseen", "|", COLORS["fp"], "ours, unseen pairs"),
    ]
    for ax, axis in zip(axes, ("row", "column"), strict=True):
        part = table[table["discretization"] == axis].set_index("network").reindex(names)
        for column, marker, color, label in shown:
            if column in part:
                given = column == "WA (ours)" and "WA std" in part
                spread = part["WA std"].to_numpy(float) if given else None
                style = {
                    "fmt": marker,
                    "color": color,
                    "label": label,
                    "markersize": 11 if marker == "|" else 6,
                }
                ax.errorbar(part[column].astype(float), range(len(names)), xerr=spread, **style)
        ax.set(title=f"{axis}-wise maximum", xlabel=f"{measure} [%]")
        ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Plot loss and weighted accuracy of several trainings, by network, over the fraction of their steps."""
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 4.8), sharex=True)
    for name, history in histories.items():
        share = 100 * history["step"] / history["step"].max()
        for ax, column in zip(axes, ("loss", "WA"), strict=True):
            smooth = history[column].rolling(9, min_periods=1, center=True).mean()
            ax.plot(share, smooth, line_of(name), color=color_of(name), label=name)
    axes[0].set(ylabel="loss", yscale="log")
    axes[1].set(xlabel="share of the training [%]", ylabel="WA of a training batch", ylim=(None, 1.01))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def lengths(table: pd.DataFrame, paper: dict[str, float]) -> Figure:
    """Plot WA over the length of a training, with its 95 % interval, and the paper's WA as a line.

    Pairs that a training pair gives away are among "all"; "unseen" are the others.

    Args:
        table: As ``experiments.lengths.table`` returns it.
        paper: The paper's WA [%] by discretization.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharex=True, sharey=True)
    for ax, (axis, theirs) in zip(axes, paper.items(), strict=True):
        ax.axhline(theirs, color=COLORS["paper"], linestyle="--", label=f"paper: {theirs:.1f}")
        for part, color, label in (("all", "ours", "all test pairs"), ("unseen", "unseen", "unseen pairs")):
            rows = table[(table["discretization"] == axis) & (table["pairs"] == part)]
            ends = np.abs(rows[["low", "high"]].to_numpy().T - rows["WA"].to_numpy())
            ax.errorbar(rows["steps"], rows["WA"], ends, marker="o", color=COLORS[color], label=label)
        ax.set(xscale="log", xlabel="updates of a training", title=f"{axis}-wise maximum")
        steps = table["steps"].unique().tolist()
        ax.set_xticks(steps, [f"{number:,}" for number in steps], fontsize=9)
        ax.minorticks_off()
        ax.legend(loc="lower right")
    axes[0].set(ylabel="WA [%]")
    return figure


def fig8(table: pd.DataFrame, axis: str = "row") -> Figure:
    """Plot Fig. 8: WA over the size of uniform matrices, mean and standard deviation over the matrices.

    Args:
        table: As ``timing.fig8`` returns it.
        axis: The discretization, "row" or "column".

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.2))
    for name, part in table[table["discretization"] == axis].groupby("network", sort=False):
        color, mean, spread = color_of(name), part["mean"], part["std"]
        ax.plot(part["size"], mean, line_of(name), marker="o", markersize=3, color=color, label=name)
        ax.fill_between(part["size"], mean - spread, (mean + spread).clip(upper=100), color=color, alpha=0.1)
    ax.set(xscale="log", ylim=(None, 101))
    ax.set(xlabel="objects and predictions N = M", ylabel=f"WA [%], {axis}-wise maximum")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    _legend_above(figure, ax)
    return figure


def costs(table: pd.DataFrame) -> Figure:
    """Plot the time of one forward and backward pass over the number of objects (of ``timing.costs``)."""
    figure, ax = plt.subplots(figsize=(6.4, 4.6))
    for name, part in table.groupby("network", sort=False):
        line, color = (line_of(name), color_of(name)) if name != "scipy" else (":", "black")
        label = "scipy (no gradient)" if name == "scipy" else name
        ax.plot(part["size"], part["ms"], line, marker="o", markersize=4, label=label, color=color)
    sizes = sorted(table["size"].unique())
    ax.set(
        xscale="log", yscale="log", xlabel="objects and predictions N = M", ylabel="forward + backward [ms]"
    )
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
    _legend_above(figure, ax)
    return figure


def price_of_accuracy(table: pd.DataFrame) -> Figure:
    """Plot the error over the time per matrix, one line per method (of ``timing.price_of_accuracy``)."""
    figure, ax = plt.subplots(figsize=(6.4, 4))
    offsets = itertools.cycle([(4, 4), (-10, -12)])  # methods that lie close write on either side
    markers = itertools.cycle("osD^v")
    for (name, part), offset in zip(table.groupby("method", sort=False), offsets, strict=False):
        color, errors = color_of(name), 100 - part["WA"]
        ax.plot(part["ms"], errors, marker=next(markers), markersize=6, color=color, label=name)
        for label, ms, error in zip(part["setting"], part["ms"], errors, strict=True):
            ax.annotate(
                label, (ms, error), xytext=offset, textcoords="offset points", fontsize=9, color=color
            )
    ax.set(xscale="log", xlabel="time of a matrix [ms]", ylabel="error 100 - WA [%]")
    if (table["WA"] < 100).all():
        ax.set_yscale("log")
    else:  # down to no error at all
        ax.set_yscale("symlog", linthresh=0.1)
        ax.set_ylim(-0.01, 1.5 * float(100 - table["WA"].min()))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    _legend_above(figure, ax)
    return figure


def cosines(table: pd.DataFrame) -> Figure:
    """Plot the cosine of each matcher's gradient with that of the counted measure.

    Args:
        table: One row per loss and matcher: ``gradient_quality.compare``'s, with a column loss.

    Returns:
        The figure.
    """
    names = list(dict.fromkeys(table["matcher"]))
    figure, ax = plt.subplots(figsize=(6.4, 0.3 * len(names) + 1.5))
    styles = zip("osD^", ("ours", "fn", "object", "fp"), strict=True)
    for (label, part), (marker, color) in zip(table.groupby("loss", sort=False), styles, strict=False):
        values = part.set_index("matcher")["cosine to counted"].reindex(names)
        ax.plot(values, range(len(names)), marker, color=COLORS[color], label=label, alpha=0.85)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("cosine to the counted measure's gradient")
    _legend_above(figure, ax, columns=2)
    return figure


#: A network has the same color in all figures; networks with LSTMs are the dashed ones.
_NETWORK_COLORS = {
    "seq_gru": "#0072B2",
    "seq_lstm": "#56B4E9",
    "paral_gru": "#E69F00",
    "paral_lstm": "#A65E00",
    "1d_conv": "#999999",
    "min_sum": "#D55E00",
    "min_sum_rule": "#CC79A7",
    "sinkhorn": "#009E73",
    "softmax": "#8C6D31",
    "greedy": "#636363",
    "hungarian": "#000000",
}


def color_of(name: object) -> str:
    """Return the color of a network or control."""
    return _NETWORK_COLORS.get(str(name), "#444444")


def line_of(name: object) -> str:
    """Return the line style of a network or control."""
    return "--" if str(name).endswith("lstm") else "-"


def _legend_above(figure: Figure, ax: Axes, columns: int = 4) -> None:
    """Put the legend above the axes, where it leaves them their width on a narrow page."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=columns, fontsize=9)


def _distances(ax: Axes, distance: Tensor, title: str = "D (gray: gated out)") -> None:
    """Draw distances with a color bar, gated entries gray."""
    values = distance.detach().cpu().numpy()
    shown = np.ma.masked_where(values >= GATED, values)
    ax.set_facecolor("#dddddd")
    image = ax.imshow(shown, cmap="viridis", vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, shrink=0.7, aspect=12)
    _label(ax, title)


def _assignment(ax: Axes, values: Tensor, title: str) -> None:
    """Draw an assignment, darker for larger entries."""
    ax.imshow(values.detach().cpu().numpy(), cmap="Blues", vmin=0, vmax=1)
    _label(ax, title)


def _label(ax: Axes, title: str) -> None:
    """Set the title and integer ticks."""
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="object m", ylabel="prediction n")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
