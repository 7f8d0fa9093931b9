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
    color, below = COLORS[kind], kind == "object"
    fill = {"linestyle": "--", "facecolor": color + "26"} if below else {"facecolor": "none"}
    corners: list[list[float]] = np.asarray(values).tolist()
    for x1, y1, x2, y2 in corners:
        outline: dict[str, Any] = {"edgecolor": color, "linewidth": 1.8} | fill | style
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **outline))
    for (x1, y1, x2, y2), name in zip(corners, names, strict=False):
        ax.annotate(
            name, ((x1 + x2) / 2, y2 if below else y1), (0, -3 if below else 3), textcoords="offset points",
            color=color, ha="center", va="top" if below else "bottom", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.6, "pad": 0.5, "linewidth": 0},
        )  # fmt: skip


def image_axes(ax: Axes, image_size: tuple[int, int], title: str = "") -> None:
    """Set up axes for an image of (height, width) [px], y downwards."""
    height, width = image_size
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title=title, xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color="#BBBBBB")


def pulls(ax: Axes, values: ArrayLike, forces: ArrayLike, color: str, length: float) -> None:
    """Draw the forces on the two corners of each box as arrows; those below 1 % of the largest are omitted.

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
        *corners[shown].T, *(arrows[shown].T / strongest * length), color=color,
        angles="xy", scale_units="xy", scale=1, width=0.008, zorder=3,
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


def rivals(
    box: NDArray[Any],
    rival: NDArray[Any],
    target: NDArray[Any],
    image_size: tuple[int, int],
    distances: Mapping[str, float],
    forces: Mapping[str, ArrayLike],
    counts: Mapping[str, float],
) -> Figure:
    """Plot two predictions and an object, with the force of each distance on the first prediction.

    Args:
        box: ``(1, 4)`` the first prediction, xyxy [px].
        rival: ``(1, 4)`` the second.
        target: ``(1, 4)`` the object.
        image_size: (height, width) [px].
        distances: Values of the distances between the first prediction and the object.
        forces: By distance, its negative gradient (1, 4) by the first prediction.
        counts: Soft assignment and soft counts, for bars.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        1, len(distances) + 1, figsize=(13, 2.9), width_ratios=[3] * len(distances) + [2.4]
    )
    for ax, (name, value) in zip(axes, distances.items(), strict=False):
        image_axes(ax, image_size, f"{name} = {value:.3f}")
        boxes(ax, rival, "prediction", ["rival"], edgecolor=COLORS["paper"])
        boxes(ax, target, "object", ["object"])
        boxes(ax, box, "prediction", ["yours"])
        pulls(ax, box, forces[name], "black", 45)
        if not np.any(np.asarray(forces[name])):
            ax.text(0.5, 0.03, "no gradient", transform=ax.transAxes, ha="center", color="#AA0000")
    colors = [COLORS["prediction"], COLORS["paper"], COLORS["fp"], COLORS["fn"]]
    bars = axes[-1].bar(list(counts), list(counts.values()), color=colors)
    axes[-1].bar_label(bars, fmt="%.2f", fontsize=9)
    axes[-1].set(title="soft assignment and counts", ylim=(0, 1.12 * max(1.0, *counts.values())))
    axes[-1].tick_params(axis="x", labelsize=8)
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
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (n, m), value in np.ndenumerate(values):
        color = "white" if value > 0.65 else "black"
        ax.text(m, n, f"{value:.2f}", ha="center", va="center", fontsize=9, color=color)
        if mark is not None and mark[n, m]:
            cell = Rectangle((m - 0.46, n - 0.46), 0.92, 0.92, fill=False, edgecolor="#CC0000", linewidth=2)
            ax.add_patch(cell)
    ax.set(title=title, xticks=range(len(columns)), yticks=range(len(rows)))
    ax.set_xticklabels(columns, fontsize=9)
    ax.set_yticklabels(rows, fontsize=9)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for side in ax.spines.values():
        side.set_visible(False)


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


def _pull_panel(ax: Axes, frame: Frame, forces: Forces, image_size: tuple[int, int], name: str) -> None:
    """Draw the boxes of a frame with the arrows of one term of the loss."""
    color = COLORS.get(name.lower(), "black")
    image_axes(ax, image_size)
    boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])
    boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    pulls(ax, frame.predictions, forces.pulls[name], color, image_size[1] / 8)
    strongest = float(forces.pulls[name].abs().max()) if len(frame.predictions) else 0.0
    ax.set_xlabel(f"longest arrow {strongest:.0e} /px" if strongest else "no gradient", fontsize=9)


def pull_grid(
    scenes: Mapping[str, tuple[Frame, Forces]], image_size: tuple[int, int], names: Sequence[str]
) -> Figure:
    """Plot Fig. 9: negative gradients as arrows, one row per scene and one column per term of the loss.

    Arrows are scaled in each panel; the gradient of the longest is printed below.

    Args:
        scenes: By title, a frame and its forces.
        image_size: (height, width) [px].
        names: Terms of the loss.

    Returns:
        The figure.
    """
    ratio = image_size[0] / image_size[1]
    size = (3.1 * len(names), len(scenes) * (3.1 * ratio + 0.55))
    figure, axes = plt.subplots(len(scenes), len(names), figsize=size, squeeze=False)
    for row, (title, (frame, forces)) in zip(axes, scenes.items(), strict=True):
        values = forces.terms._asdict() | {"loss": forces.terms.total}
        for ax, name in zip(row, names, strict=True):
            _pull_panel(ax, frame, forces, image_size, name)
            ax.set_title(f"{name} = {values[name.lower()]:.2f}", color=COLORS.get(name.lower(), "black"))
        row[0].set_ylabel(title)
    return figure


def clip(frame: Frame, forces: Forces, image_size: tuple[int, int], title: str) -> Figure:
    """Plot D, the soft assignment, the soft counts and the forces of every term of the loss in a frame.

    Args:
        frame: The frame.
        forces: Its loss and negative gradients.
        image_size: (height, width) [px].
        title: Title of the counts.

    Returns:
        The figure.
    """
    figure = plt.figure(figsize=(13, 5.6))
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15))[:, 0]
    rows, columns = [f"track {i}" for i in frame.track_ids], [f"obj. {i}" for i in frame.object_ids]
    axes = top.subplots(1, 3)
    heat_map(axes[0], forces.distance.numpy(), rows, columns, "distance D")
    heat_map(axes[1], forces.soft.numpy(), rows, columns, "soft assignment Ã")
    counts = {name: getattr(forces.terms, name.lower()).item() for name in ("FP", "FN", "IDS")}
    axes[2].bar(list(counts), list(counts.values()), color=[COLORS[name.lower()] for name in counts])
    axes[2].set(title=f"{title}: soft counts", ylim=(0, max(2.0, *counts.values()) * 1.05))
    for ax, name in zip(bottom.subplots(1, len(forces.pulls)), forces.pulls, strict=True):
        _pull_panel(ax, frame, forces, image_size, name)
        ax.set_title(name, color=COLORS.get(name.lower(), "black"))
    return figure


def frames(clip: Sequence[Frame], image_size: tuple[int, int]) -> Figure:
    """Plot the frames of a clip side by side: predictions and objects with their identities."""
    figure, axes = plt.subplots(1, len(clip), figsize=(4.2 * len(clip), 3.3), squeeze=False)
    for index, (ax, frame) in enumerate(zip(axes[0], clip, strict=True)):
        image_axes(ax, image_size, f"frame {index + 1}")
        boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])
        boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    return figure
