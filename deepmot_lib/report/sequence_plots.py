"""Pictures of sequences: frames with their boxes, and what a ground truth or a detector is like."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from pandas import DataFrame

from .plots import image_axes


def identity_color(identity: int) -> tuple[float, float, float]:
    """RGB in [0, 1]: bright, the same for the same identity, far apart for neighbouring ones."""
    return tuple(hsv_to_rgb(((0.1 + identity * 0.618034) % 1, 0.85, (1.0, 0.9)[identity % 2])))


def street(
    ax: Axes, image: np.ndarray, table: DataFrame, title: str = "", label: str = "", tails=None
) -> None:
    """An ``(H, W, 3)`` image with a frame's boxes: in the colour of their identity, or, without one (id -1),
    the fainter the lower their score.

    ``label`` names a column to write above each box; ``tails`` holds earlier boxes, whose feet become trails.
    """
    height, width = image.shape[:2]
    image_axes(ax, (height, width), title)
    ax.imshow(image, extent=(0, width, height, 0))
    for identity, past in tails.groupby("id") if tails is not None else ():
        past = past.sort_values("frame") if identity in set(table["id"]) else past[:0]
        ax.plot((past["x1"] + past["x2"]) / 2, past["y2"], color=identity_color(identity), linewidth=1.6)
    for box in table.itertuples():
        known = box.id >= 0
        color, opacity = (identity_color(box.id), 1) if known else ("#FFE34D", 0.25 + 0.75 * box.conf)
        outline = {"edgecolor": color, "facecolor": "none", "linewidth": 1.6, "alpha": opacity}
        ax.add_patch(plt.Rectangle((box.x1, box.y1), box.x2 - box.x1, box.y2 - box.y1, **outline))
        if label:
            value = getattr(box, label)
            text = f"{value:.1f}" if isinstance(value, float) else f"{value}"
            x, y = float(np.clip(box.x1, 0, width - 1)), float(np.clip(box.y1, 8, height - 1))
            back = {"facecolor": color, "alpha": 0.85, "linewidth": 0, "pad": 0.6}
            ax.text(x, y, text, fontsize=6, color="black", bbox=back, clip_on=True)
    ax.set(xlim=(0, width), ylim=(height, 0))


def streets(panels: dict[str, tuple], columns: int = 3, width: float = 3.6, label: str = "") -> Figure:
    """Frames side by side: title -> (image, boxes[, earlier boxes for the trails])."""
    rows = -(-len(panels) // columns)
    height, across = next(iter(panels.values()))[0].shape[:2]
    size = (columns * width, rows * (width * height / across + 0.3))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, (image, table, *tails)) in zip(axes.flat, panels.items(), strict=False):
        street(ax, image, table, title, label, *tails)
    return figure


def crowd_statistics(tables: dict[str, DataFrame]) -> Figure:
    """For each named ground truth: people in each frame, heights of the boxes [px], visibility (stacked)."""
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
    axes[2].set(title="visibility: how much of a person is seen", xlabel="visibility")
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


def parts(split: dict[str, range], title: str = "") -> Figure:
    """The parts of a sequence as one bar along its frames."""
    figure, ax = plt.subplots(figsize=(8, 1.0))
    for (name, frames), color in zip(split.items(), ("#0072B2", "#999999", "#E69F00"), strict=True):
        ax.barh(0, len(frames), left=frames.start - 0.5, color=color)
        middle = (frames.start + frames.stop - 1) / 2
        ax.text(
            middle, 0, f"{name}\n{frames.start}-{frames.stop - 1}", ha="center", va="center", color="white"
        )
    ax.set(yticks=[], xlabel="frame", title=title, xlim=(0.5, max(f.stop for f in split.values()) - 0.5))
    ax.spines["left"].set_visible(False)
    return figure
