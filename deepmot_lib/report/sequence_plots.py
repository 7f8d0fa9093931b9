"""Figures of sequences: frames with their boxes, statistics of ground truth and detectors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from pandas import DataFrame

from ..boxes import feet
from ..columns import XYXY
from ..data.video import identity_color
from .plots import image_axes

_FOUND = "#FFE34D"  # a box without an identity


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
        color: tuple[float, float, float] | str = _FOUND
        opacity = 1.0
        if box["id"] >= 0:
            color = identity_color(box["id"])
        else:
            opacity = 0.25 + 0.75 * box["conf"]
        corner, size = (box["x1"], box["y1"]), (box["x2"] - box["x1"], box["y2"] - box["y1"])
        ax.add_patch(
            Rectangle(corner, *size, edgecolor=color, facecolor="none", linewidth=1.6, alpha=opacity)
        )
    ax.set(xlim=(0, width), ylim=(height, 0))
    if label:
        _labels(ax, table, label)


def _labels(ax: Axes, table: DataFrame, label: str, size: float = 8) -> None:
    """Print a column at a corner of each box: nearest people first, where possible beside other labels."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()  # pixels from above: bottom is the larger
    columns = ax.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    em = size * (right - left) * columns * ax.figure.dpi / (72 * ax.figure.bbox.width)
    taken: list[Bbox] = []
    for box in table.sort_values("y2", ascending=False).to_dict("records"):
        value = box[label]
        text = f"{value:.1f}" if isinstance(value, float) else f"{value}"
        wide, high = em * (0.65 * len(text) + 0.2), 1.3 * em
        corners = [
            (x, y) for y in (box["y1"] - high, box["y2"] - high) for x in (box["x1"], box["x2"] - wide)
        ]
        places = [
            Bbox.from_bounds(np.clip(x, left, right - wide), np.clip(y, top, bottom - high), wide, high)
            for x, y in corners
        ]
        place = next((one for one in places if one.count_overlaps(taken) == 0), places[0])
        taken.append(place)
        color = identity_color(box["id"]) if box["id"] >= 0 else _FOUND
        back = {"facecolor": color, "linewidth": 0, "pad": 0.6}
        ink = "black" if np.dot(to_rgb(color), (0.3, 0.59, 0.11)) > 0.45 else "white"
        x, y = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
        ax.text(x, y, text, fontsize=size, color=ink, bbox=back, ha="center", va="center", clip_on=True)


def streets(
    panels: Mapping[str, tuple[Any, ...]], columns: int = 2, width: float = 3.3, label: str = ""
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
    figure, axes = plt.subplot_mosaic("PP;HV", figsize=(6.4, 4.8))
    colors = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
    lines = itertools.cycle(("-", "--", ":"))
    for (name, table), color, line in zip(tables.items(), colors, lines, strict=False):
        axes["P"].plot(table.groupby("frame").size(), line, color=color, label=name)
    axes["P"].set(title="people in each frame", xlabel="frame", ylim=(0, None))
    axes["P"].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    heights = [table["y2"] - table["y1"] for table in tables.values()]
    shown = [table["visibility"] for table in tables.values()]
    axes["H"].hist(heights, bins=24, stacked=True, color=colors[: len(tables)])
    axes["H"].set(title="height of the boxes", xlabel="height [px]", ylabel="boxes")
    axes["V"].hist(shown, bins=20, range=(0, 1), stacked=True, color=colors[: len(tables)])
    axes["V"].set(title="visible fraction of a person", xlabel="visibility")
    return figure


def detector_quality(matched: dict[str, tuple[DataFrame, DataFrame]]) -> Figure:
    """Plot each detector's recall by visibility, and the scores of its true and false detections.

    Args:
        matched: By detector, at most three, what ``synthetic.match_detections`` returns.

    Returns:
        The figure.
    """
    figure, axes = plt.subplot_mosaic([["recall"] * len(matched), list(matched)], figsize=(6.4, 4.8))
    recalls, panels = axes["recall"], [axes[name] for name in matched]
    edges = np.linspace(0, 1, 11)
    styles = zip(("#999999", "#E69F00", "#0072B2"), "osD", strict=True)
    for ax, (name, (people, found)), (color, marker) in zip(panels, matched.items(), styles, strict=False):
        bins = np.clip(np.digitize(people["visibility"], edges) - 1, 0, 9)
        recall = people.groupby(bins)["found"].mean()
        recalls.plot((recall.index + 0.5) / 10, recall, marker=marker, markersize=5, color=color, label=name)
        true, scores = found["true"], found["conf"]
        ax.hist(scores[true], bins=20, range=(0, 1), color=color, label="true")
        ax.hist(scores[~true], bins=20, range=(0, 1), histtype="step", color="black", label="false")
        ax.set(title=f"{name}: scores", xlabel="score", ylabel="detections" if ax is panels[0] else "")
    panels[0].legend(loc="upper left")
    recalls.set(title="people found, by visibility", xlabel="visibility", ylabel="recall", ylim=(0, 1.03))
    recalls.legend()
    return figure


def parts(split: Mapping[str, range], title: str = "") -> Figure:
    """Plot the parts of a sequence (train, val, test) as a bar along its frames."""
    figure, ax = plt.subplots(figsize=(6.4, 1.1))
    styles = zip(("#0072B2", "#999999", "#E69F00"), ("white", "black", "black"), strict=True)
    for (name, frames), (color, ink) in zip(split.items(), styles, strict=True):
        ax.barh(0, len(frames), left=frames.start - 0.5, color=color)
        middle = (frames.start + frames.stop - 1) / 2
        text = f"{name}\n{frames.start}-{frames.stop - 1}"
        ax.text(middle, 0, text, ha="center", va="center", color=ink)
    first, last = min(f.start for f in split.values()), max(f.stop for f in split.values()) - 1
    ax.set(yticks=[], xlabel="frame", title=title, xlim=(first - 0.5, last + 0.5))
    ax.spines["left"].set_visible(False)
    return figure
