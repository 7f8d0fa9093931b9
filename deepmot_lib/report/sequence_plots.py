"""Figures of sequences: frames with their boxes, statistics of ground truth and detectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from pandas import DataFrame

from ..boxes import feet
from ..columns import XYXY
from ..data.video import identity_color
from .plots import image_axes


def street(
    ax: Axes,
    image: NDArray[np.uint8],
    table: DataFrame,
    title: str = "",
    label: str = "",
    past: DataFrame | None = None,
) -> None:
    """Draw an image with boxes in the color of their identity; without one (id -1), fainter for low scores.

    Args:
        ax: The axes to draw on.
        image: ``(height, width, 3)`` RGB.
        table: The frame's boxes: columns id, x1, y1, x2, y2 [px], conf.
        title: Title of the axes.
        label: Column to print above each box; none if empty.
        past: Boxes of earlier frames, for the trails of those in ``table``.
    """
    height, width = image.shape[:2]
    image_axes(ax, (height, width), title)
    ax.imshow(image, extent=(0, width, height, 0))
    if past is not None:
        for identity in sorted(set(past["id"]) & set(table["id"])):
            trail = past[past["id"] == identity].sort_values("frame")
            ax.plot(*feet(trail[XYXY].to_numpy(float)).T, color=identity_color(identity), linewidth=1.6)
    for box in table.to_dict("records"):
        color: tuple[float, float, float] | str = "#FFE34D"
        opacity = 1.0
        if box["id"] >= 0:
            color = identity_color(box["id"])
        else:
            opacity = 0.25 + 0.75 * box["conf"]
        corner, size = (box["x1"], box["y1"]), (box["x2"] - box["x1"], box["y2"] - box["y1"])
        ax.add_patch(
            Rectangle(corner, *size, edgecolor=color, facecolor="none", linewidth=1.6, alpha=opacity)
        )
        if label:
            value = box[label]
            text = f"{value:.1f}" if isinstance(value, float) else f"{value}"
            x, y = float(np.clip(box["x1"], 0, width - 1)), float(np.clip(box["y1"], 8, height - 1))
            back = {"facecolor": color, "alpha": 0.85, "linewidth": 0, "pad": 0.6}
            ax.text(x, y, text, fontsize=6, color="black", bbox=back, clip_on=True)
    ax.set(xlim=(0, width), ylim=(height, 0))


def streets(
    panels: Mapping[str, tuple[Any, ...]], columns: int = 3, width: float = 3.6, label: str = ""
) -> Figure:
    """Plot frames side by side; see :func:`street`.

    Args:
        panels: By title, the image, its boxes, and optionally the boxes of earlier frames for trails.
        columns: Number of panels in a row.
        width: Width of a panel [inch].
        label: Column to print above each box; none if empty.

    Returns:
        The figure.
    """
    rows = -(-len(panels) // columns)
    height, across = next(iter(panels.values()))[0].shape[:2]
    size = (columns * width, rows * (width * height / across + 0.3))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, (image, table, *past)) in zip(axes.flat, panels.items(), strict=False):
        street(ax, image, table, title, label, *past)
    return figure


def crowd_statistics(tables: Mapping[str, DataFrame]) -> Figure:
    """Plot people per frame, box heights [px] and visibility of ground truths by name."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 2.9))
    colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
    for (name, table), color in zip(tables.items(), colors, strict=False):
        axes[0].plot(table.groupby("frame").size(), color=color, label=name)
    axes[0].set(title="people in each frame", xlabel="frame", ylim=(0, None))
    axes[0].legend(fontsize=8, loc="lower left")
    heights = [table["y2"] - table["y1"] for table in tables.values()]
    shown = [table["visibility"] for table in tables.values()]
    axes[1].hist(heights, bins=24, stacked=True, color=colors[: len(tables)])
    axes[1].set(title="height of the boxes", xlabel="height [px]", ylabel="boxes")
    axes[2].hist(shown, bins=20, range=(0, 1), stacked=True, color=colors[: len(tables)])
    axes[2].set(title="visible fraction of a person", xlabel="visibility")
    return figure


def detector_quality(matched: dict[str, tuple[DataFrame, DataFrame]]) -> Figure:
    """Plot each detector's recall by visibility, and the scores of its true and false detections.

    Args:
        matched: By detector, what ``synthetic.match_detections`` returns.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        1, 1 + len(matched), figsize=(12, 2.7), width_ratios=[1.5] + [1] * len(matched)
    )
    edges = np.linspace(0, 1, 11)
    for ax, (name, (people, found)), color in zip(
        axes[1:], matched.items(), ("#999999", "#E69F00", "#0072B2"), strict=False
    ):
        bins = np.clip(np.digitize(people["visibility"], edges) - 1, 0, 9)
        recall = people.groupby(bins)["found"].mean()
        axes[0].plot((recall.index + 0.5) / 10, recall, marker="o", markersize=4, color=color, label=name)
        true, scores = found["true"], found["conf"]
        ax.hist(scores[true], bins=20, range=(0, 1), color=color, label="true")
        ax.hist(scores[~true], bins=20, range=(0, 1), histtype="step", color="black", label="false")
        ax.set(title=f"{name}: scores", xlabel="score", ylabel="detections" if ax is axes[1] else "")
        ax.legend(fontsize=8, loc="upper left")
    axes[0].set(title="people found, by visibility", xlabel="visibility", ylabel="recall", ylim=(0, 1.03))
    axes[0].legend(fontsize=8)
    return figure


def parts(split: Mapping[str, range], title: str = "") -> Figure:
    """Plot the parts of a sequence (train, val, test) as a bar along its frames."""
    figure, ax = plt.subplots(figsize=(8, 1.0))
    for (name, frames), color in zip(split.items(), ("#0072B2", "#999999", "#E69F00"), strict=True):
        ax.barh(0, len(frames), left=frames.start - 0.5, color=color)
        middle = (frames.start + frames.stop - 1) / 2
        ax.text(
            middle, 0, f"{name}\n{frames.start}-{frames.stop - 1}", ha="center", va="center", color="white"
        )
    first, last = min(f.start for f in split.values()), max(f.stop for f in split.values()) - 1
    ax.set(yticks=[], xlabel="frame", title=title, xlim=(first - 0.5, last + 0.5))
    ax.spines["left"].set_visible(False)
    return figure
