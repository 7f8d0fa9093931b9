"""Figures of distances, matrices and gradients, and the style of all figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from ..boxes import centers
from ..data.files import atomic
from ..experiments.gradients import Forces, Frame

#: A color has the same meaning in every figure (Okabe and Ito's palette, safe for color-blind readers).
COLORS = {
    "prediction": "#0072B2",
    "object": "#009E73",
    "fp": "#D55E00",
    "fn": "#E69F00",
    "ids": "#CC79A7",
    "paper": "#999999",
    "ours": "#0072B2",
    "unseen": "#56B4E9",
}

plt.rcParams.update(
    {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 2,
    }
)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically as a PNG of 120 dpi without margins."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight")


# --- boxes and the forces on them ---


def boxes(ax: Axes, values: ArrayLike, kind: str, names: Sequence[str] = (), **style: Any) -> None:
    """Draw boxes: objects filled and dashed, named below; predictions as outlines, named above.

    Args:
        ax: The axes to draw on.
        values: ``(K, 4)`` xyxy [px].
        kind: "object" or "prediction".
        names: Up to K names.
        style: Properties of the rectangles.
    """
    color, below = style.get("edgecolor", COLORS[kind]), kind == "object"
    fill = {"linestyle": "--", "facecolor": color + "26"} if below else {"facecolor": "none"}
    corners: list[list[float]] = np.asarray(values).tolist()
    for x1, y1, x2, y2 in corners:
        outline: dict[str, Any] = {"edgecolor": color, "linewidth": 1.8} | fill | style
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **outline))
    placed: list[tuple[float, float]] = []
    line, character = 11 * ax.figure.dpi / 72, 4.4 * ax.figure.dpi / 72  # of the names [px]
    for (x1, y1, x2, y2), name in zip(corners, names, strict=False):
        x, y = ax.transData.transform(((x1 + x2) / 2, y2 if below else y1))
        # Where people overlap their names stand in several lines.
        row = 0
        while any(abs(x - x0) < character * len(name) and abs(y - y0) < line for x0, y0 in placed):
            row, y = row + 1, y + (-line if below else line)
        placed.append((x, y))
        offset = 3 + 11 * row
        ax.annotate(
            name, ((x1 + x2) / 2, y2 if below else y1), (0, -offset if below else offset),
            textcoords="offset points", color=color, ha="center", va="top" if below else "bottom", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.6, "pad": 0.5, "linewidth": 0},
        )  # fmt: skip


def image_axes(ax: Axes, image_size: tuple[int, int], title: str = "") -> None:
    """Set up axes for an image of (height, width) [px], y downwards."""
    height, width = image_size
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title=title, xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color="#BBBBBB")


#: A gradient by a pixel below which nothing would move; its arrows are gray.
NEGLIGIBLE = 1e-8


def pulls(ax: Axes, values: ArrayLike, forces: ArrayLike, color: str, length: float) -> None:
    """Draw the forces on the two corners of each box as arrows; those below 1 % of the largest are omitted.

    Where the largest is below ``NEGLIGIBLE`` the arrows are gray.

    Args:
        ax: The axes to draw on.
        values: ``(K, 4)`` boxes, xyxy [px].
        forces: ``(K, 4)`` negative gradients by the boxes.
        color: Color of the arrows.
        length: Length of the longest arrow [px].
    """
    corners, arrows = np.asarray(values).reshape(-1, 2), np.asarray(forces, dtype=float).reshape(-1, 2)
    strength = np.hypot(*arrows.T)
    strongest = strength.max(initial=0.0)
    if strongest == 0:
        return
    shown = strength > strongest / 100
    ax.quiver(
        *corners[shown].T, *(arrows[shown].T / strongest * length), width=0.008, zorder=3,
        color=color if strongest >= NEGLIGIBLE else "#BBBBBB", angles="xy", scale_units="xy", scale=1,
    )  # fmt: skip


def distance_profile(
    offset: NDArray[Any], values: dict[str, NDArray[Any]], slopes: dict[str, NDArray[Any]], overlap: float
) -> Figure:
    """Plot distances (left) and their derivatives (right) as one box slides over another.

    Args:
        offset: ``(P,)`` offsets of the box [px].
        values: By distance, its values (P,).
        slopes: By distance, its derivatives (P,).
        overlap: Offset beyond which the boxes are disjoint [px].

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    styles = zip(("#D55E00", "#009E73", "#0072B2"), ("--", ":", "-"), strict=True)
    for name, (color, line) in zip(values, styles, strict=False):
        axes[0].plot(offset, values[name], line, color=color, label=name)
        axes[1].plot(offset, slopes[name], line, color=color, label=name)
    for ax in axes:
        ax.axvspan(offset.min(), -overlap, color="#EEEEEE", zorder=0)
        ax.axvspan(overlap, offset.max(), color="#EEEEEE", zorder=0)
        ax.set(xlabel="horizontal offset [px]", xlim=(offset.min(), offset.max()))
    axes[0].set(title="distance (gray: the boxes are disjoint)", ylim=(-0.03, 1.1))
    axes[1].legend(loc="upper left", fontsize=9)
    axes[1].set(title="derivative by the offset [1/px]")
    return figure


def descents(paths: dict[str, NDArray[Any]], target: NDArray[Any], image_size: tuple[int, int]) -> Figure:
    """Plot the paths of boxes during gradient descent, early boxes fainter.

    Args:
        paths: By title, the boxes (steps, 4), xyxy [px].
        target: ``(4,)`` the object's box, xyxy [px].
        image_size: (height, width) [px].

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, len(paths), figsize=(4.6 * len(paths), 3.4), squeeze=False)
    for ax, (title, path) in zip(axes[0], paths.items(), strict=True):
        image_axes(ax, image_size, title)
        boxes(ax, target[None], "object", ["object"])
        shown = np.unique(np.linspace(0, len(path) - 1, 7).astype(int))
        for rank, index in enumerate(shown):
            boxes(ax, path[index][None], "prediction", alpha=0.25 + 0.75 * (rank + 1) / len(shown))
        middles = centers(path)
        ax.plot(*middles.T, color=COLORS["prediction"], linewidth=1)
        ax.plot(*middles[-1], "o", color=COLORS["prediction"], markersize=4)
    return figure


def heat_map(
    ax: Axes,
    values: NDArray[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    mark: NDArray[Any] | None = None,
) -> None:
    """Draw an annotated matrix with entries in [0, 1]; cells where ``mark`` is true get a red frame."""
    matrix_axes(ax, rows, columns, title)
    cells(ax, values, mark)


def matrix_axes(ax: Axes, rows: Sequence[str], columns: Sequence[str], title: str) -> None:
    """Set up axes for a matrix with named rows and columns."""
    ax.set(title=title, xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for side in ax.spines.values():
        side.set_visible(False)


def cells(ax: Axes, values: NDArray[Any], mark: NDArray[Any] | None = None) -> None:
    """Draw the entries of a matrix, in [0, 1]; those where ``mark`` is true get a red frame."""
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (n, m), value in np.ndenumerate(values):
        color = "white" if value > 0.65 else "black"
        ax.text(m, n, f"{value:.2f}", ha="center", va="center", fontsize=9, color=color)
        if mark is not None and mark[n, m]:
            cell = Rectangle((m - 0.46, n - 0.46), 0.92, 0.92, fill=False, edgecolor="#CC0000", linewidth=2)
            ax.add_patch(cell)


def matrices(panels: Mapping[str, tuple[Any, ...]], columns: int = 4, cell: float = 0.62) -> Figure:
    """Plot annotated matrices side by side.

    Args:
        panels: By title, the matrix, the names of its rows and columns, and optionally the cells to mark.
        columns: Number of panels in a row.
        cell: Size of a matrix entry [inch].

    Returns:
        The figure.
    """
    rows = -(-len(panels) // columns)
    height = max(len(panel[1]) for panel in panels.values())
    width = max(len(panel[2]) for panel in panels.values())
    size = (columns * (cell * width + 0.9), rows * (cell * height + 0.9))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, (values, row_names, column_names, *mark)) in zip(axes.flat, panels.items(), strict=False):
        heat_map(ax, values, row_names, column_names, title, *mark)
    return figure


def count_bars(soft: dict[str, list[float]], counted: dict[str, list[int]]) -> Figure:
    """Plot the soft counts of each frame (bars) and the exact ones (black lines).

    Args:
        soft: By count (FP, FN, IDS), the soft count of each frame.
        counted: By count, the exact count of each frame.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, len(soft), figsize=(3.3 * len(soft), 2.8), sharey=True)
    for ax, (name, values) in zip(axes, soft.items(), strict=True):
        frames = np.arange(1, len(values) + 1)
        ax.bar(frames, values, color=COLORS[name.lower()], width=0.6, label="soft")
        ax.hlines(counted[name], frames - 0.42, frames + 0.42, color="black", linewidth=2.5, label="counted")
        ax.set(title=name, xlabel="frame", xticks=frames)
    axes[0].set_ylabel("count")
    axes[-1].legend(loc="upper left", fontsize=9)
    return figure


def saturation(
    entry: NDArray[Any], values: dict[str, NDArray[Any]], slopes: dict[str, NDArray[Any]]
) -> Figure:
    """Plot the soft FP of a 1 x 1 assignment (left) and the size of its derivative (right, logarithmic).

    Args:
        entry: ``(P,)`` values a of the soft assignment.
        values: By scale of the softmax, the soft FP (P,).
        slopes: By scale, its derivative by a (P,).

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    styles = zip(("#E69F00", "#009E73", "#0072B2"), (":", "--", "-"), strict=True)
    for name, (color, line) in zip(values, styles, strict=False):
        axes[0].plot(entry, values[name], line, color=color, label=name)
        axes[1].semilogy(entry, np.abs(slopes[name]), line, color=color, label=name)
    axes[0].step([0, 0.5, 1], [1, 1, 0], color="black", linewidth=1, label="counted")
    axes[0].set(xlabel="entry a of the soft assignment", title="soft FP of one prediction, one object")
    axes[1].set(xlabel="entry a of the soft assignment", title="|d FP / d a|", ylim=(1e-21, 1e3))
    axes[0].legend(fontsize=9)
    return figure


def pull_axes(ax: Axes, frame: Frame, image_size: tuple[int, int], title: str) -> None:
    """Set up axes for the forces on a frame's predictions: the image and its objects.

    Args:
        ax: The axes to draw on.
        frame: The frame.
        image_size: (height, width) [px].
        title: Title; the name of a term of the loss gives it that term's color.
    """
    image_axes(ax, image_size)
    ax.set_title(title, color=COLORS.get(title.split()[0].lower(), "black"))
    boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])


def pulled(ax: Axes, frame: Frame, forces: Forces, image_size: tuple[int, int], name: str) -> None:
    """Draw the predictions of a frame with the arrows of one term of the loss, the longest labeled below.

    Args:
        ax: Axes by ``pull_axes``.
        frame: The frame.
        forces: Its loss and negative gradients.
        image_size: (height, width) [px].
        name: The term, as in ``forces.pulls``.
    """
    boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    pulls(ax, frame.predictions, forces.pulls[name], COLORS.get(name.lower(), "black"), image_size[1] / 8)
    strongest = float(forces.pulls[name].abs().max()) if len(frame.predictions) else 0.0
    label = f"longest arrow {strongest:.0e} /px" if strongest else "no gradient"
    label += ": too little" * (0 < strongest < NEGLIGIBLE)
    ax.text(0.5, -0.03, label, transform=ax.transAxes, ha="center", va="top", fontsize=9)


def pull_grid(
    scenes: Mapping[str, tuple[Frame, Forces]], image_size: tuple[int, int], names: Sequence[str]
) -> Figure:
    """Plot Fig. 9: negative gradients as arrows, one row per scene and one column per term of the loss.

    Arrows are scaled in each panel; the gradient of the longest is printed below.

    Args:
        scenes: By title, a frame and its forces.
        image_size: (height, width) [px].
        names: Terms of the loss, or other names of ``Forces.pulls``.

    Returns:
        The figure.
    """
    ratio = image_size[0] / image_size[1]
    size = (3.1 * len(names), len(scenes) * (3.1 * ratio + 0.55))
    figure, axes = plt.subplots(len(scenes), len(names), figsize=size, squeeze=False)
    for row, (title, (frame, forces)) in zip(axes, scenes.items(), strict=True):
        values = forces.terms._asdict() | {"loss": forces.terms.total}
        for ax, name in zip(row, names, strict=True):
            value = values.get(name.lower())
            pull_axes(ax, frame, image_size, name if value is None else f"{name} = {value:.2f}")
            pulled(ax, frame, forces, image_size, name)
        row[0].set_ylabel(title)
    return figure


def count_axes(ax: Axes, names: Sequence[str], most: float = 3.2) -> None:
    """Set up axes for the counts of a frame."""
    ax.set(ylim=(0, most), xlim=(-0.6, len(names) - 0.4), title="bars: soft, lines: counted")
    ax.set_yticks(range(int(most) + 1))
    ax.set_xticks(range(len(names)), names)


def soft_and_counted(ax: Axes, soft: Mapping[str, float], counted: Mapping[str, int]) -> None:
    """Draw the soft counts of a frame as bars and the counted ones as black lines.

    Args:
        ax: Axes by ``count_axes``.
        soft: The soft counts, by name (FP, FN, IDS).
        counted: The counted ones.
    """
    for place, (name, value) in enumerate(soft.items()):
        ax.bar(place, value, color=COLORS[name.lower()], width=0.6)
        ax.hlines(counted[name], place - 0.42, place + 0.42, color="black", linewidth=2.5)
        ax.text(place, max(value, counted[name]) + 0.06, f"{abs(value):.2f}", ha="center", fontsize=9)


def frames(clip: Sequence[Frame], image_size: tuple[int, int]) -> Figure:
    """Plot the frames of a clip side by side: predictions and objects with their identities."""
    figure, axes = plt.subplots(1, len(clip), figsize=(4.2 * len(clip), 3.3), squeeze=False)
    for index, (ax, frame) in enumerate(zip(axes[0], clip, strict=True)):
        image_axes(ax, image_size, f"frame {index + 1}")
        boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])
        boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    return figure
