"""Figures of what goes beyond the paper: HOTA softly, how far a loss sees, where its gradient dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .matcher_plots import color_of
from .plots import NEGLIGIBLE

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_LINES = ("-", "--", "-.", ":")


def by_threshold(
    thresholds: NDArray[np.floating], counted: NDArray[np.floating], soft: Mapping[str, NDArray[np.floating]]
) -> Figure:
    """Plot HOTA over the overlap that it asks for, counted and soft.

    Args:
        thresholds: ``(19,)``.
        counted: ``(19,)`` HOTA at each.
        soft: By name, the soft HOTA (19,).

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    ax.plot(thresholds, counted, "ko", markersize=4, label="counted")
    for (name, values), color, line in zip(soft.items(), _COLORS, _LINES, strict=False):
        ax.plot(thresholds, values, line, color=color, label=name)
    ax.set(xlabel="overlap that a match needs", ylabel="HOTA", xlim=(0, 1), ylim=(0, None))
    ax.legend()
    return figure


def past(frames: Sequence[int], pulls: Mapping[str, Sequence[float]]) -> Figure:
    """Plot how strongly tracks are pulled to the objects that they have been switched to.

    Args:
        frames: The numbers of frames that they followed their own objects before.
        pulls: By measure, the pull after each [1/px]; below zero they are pushed away.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    for (name, values), color, line in zip(pulls.items(), _COLORS, _LINES, strict=False):
        ax.plot(frames, values, line, marker="o", color=color, label=name)
    ax.axhline(0, color="black", linewidth=1)
    ax.set(xscale="log", xlabel="frames before the switch", ylabel="pull to the wrong object [1/px]")
    ax.set_xticks(frames, [str(number) for number in frames])
    ax.minorticks_off()
    ax.legend()
    return figure


def reach(offset: NDArray[np.floating], slopes: Mapping[str, NDArray[np.floating]], width: float) -> Figure:
    """Plot how strongly each loss pulls a box that stands beside its object.

    Args:
        offset: ``(P,)`` distance of the centers along x [px].
        slopes: By loss, the size of its derivative (P,); what is ``NEGLIGIBLE`` is left out.
        width: From which distance on the boxes do not overlap [px].

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    for (name, values), color, line in zip(slopes.items(), _COLORS, _LINES, strict=True):
        ax.semilogy(offset, np.where(values >= NEGLIGIBLE, values, np.nan), line, color=color, label=name)
    ax.axvline(width, color="black", linewidth=1)
    ax.annotate("no overlap", (width, 1), (4, -4), ("data", "axes fraction"), "offset points", va="top")
    ax.set(xlabel="box beside its object [px]", ylabel="|slope| [1/px]")
    figure.legend(loc="outside upper center", ncols=2, fontsize=9)
    return figure


def trade_off(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the size of a gradient and the error of the soft counts, one column of panels per setting.

    Args:
        tables: By name of the setting, a table with the columns ``setting``, ``matcher``, ``size`` and
            ``miscounted``.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(2, len(tables), figsize=(4.2 * len(tables), 5.2), sharex="col", sharey="row")
    for column, (name, table) in zip(axes.T, tables.items(), strict=True):
        for (matcher, part), line in zip(table.groupby("matcher", sort=False), _LINES, strict=False):
            for ax, measure in zip(column, ("size", "miscounted"), strict=True):
                ax.plot(
                    part["setting"], part[measure], line, marker="o", color=color_of(matcher), label=matcher
                )
        column[0].set(xscale="log", yscale="log")
        column[1].set(xlabel=name, ylim=(0, None))
        column[1].set_xticks(table["setting"].unique())
        column[1].xaxis.set_major_formatter("{x:g}")
        column[1].minorticks_off()
    axes[0, 0].set_ylabel("gradient of the counts,\nmultiple of the counted one's")
    axes[1, 0].set_ylabel("miscounted errors a frame")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    return figure
