"""Figures of distances, matrices and gradients, and what all figures share.

Arrays in, a matplotlib ``Figure`` (or a filled ``ax``) out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.files import atomic

#: One colour for one meaning, in every figure (Okabe and Ito's palette, readable to colour-blind people).
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
    """The figure as a PNG for the report, at 120 dpi without margins; all of it or nothing."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight")


# --- boxes and the forces on them ---


def boxes(ax: Axes, values: np.ndarray, kind: str, names: Sequence[str] = (), **style) -> None:
    """Outlines of ``(K, 4)`` xyxy boxes [px]: objects filled and dashed, predictions plain; names above or
    below them."""
    color = COLORS[kind]
    if kind == "object":
        style = {"linestyle": "--", "facecolor": color + "26"} | style
    for (x1, y1, x2, y2), name in zip_longest(np.asarray(values), names, fillvalue=""):
        style = {"facecolor": "none", "edgecolor": color, "linewidth": 1.8} | style
        ax.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
        below = kind == "object"
        ax.annotate(
            name, ((x1 + x2) / 2, y2 if below else y1), (0, -3 if below else 3), textcoords="offset points",
            color=color, ha="center", va="top" if below else "bottom", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.6, "pad": 0.5, "linewidth": 0},
        )  # fmt: skip


def image_axes(ax: Axes, image_size: tuple[int, int], title: str = "") -> None:
    """Axes of an image of (height, width) [px], y downwards."""
    height, width = image_size
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", title=title, xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=True, color="#BBBBBB")


def pulls(ax: Axes, values: np.ndarray, forces: np.ndarray, color: str, length: float) -> None:
    """Arrows at the two corners of each ``(K, 4)`` box, along the ``(K, 4)`` forces on them; the strongest
    is ``length`` px.

    Arrows below a hundredth of the strongest are left out.
    """
    corners, forces = np.asarray(values).reshape(-1, 2), np.asarray(forces, dtype=float).reshape(-1, 2)
    strength = np.hypot(*forces.T)
    strongest = strength.max(initial=0.0)
    if strongest == 0:
        return
    seen = strength > strongest / 100
    ax.quiver(
        *corners[seen].T, *(forces[seen].T / strongest * length), color=color,
        angles="xy", scale_units="xy", scale=1, width=0.008, zorder=3,
    )  # fmt: skip


def distance_profile(
    offset: np.ndarray, values: dict[str, np.ndarray], slopes: dict[str, np.ndarray], overlap: float
) -> Figure:
    """Distances (left) and their derivatives (right) as one box slides over another: what a tracker can
    learn from.

    ``offset`` [px] is how far the box is off; beyond ``overlap`` px the boxes are disjoint.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    looks = zip(("#D55E00", "#009E73", "#0072B2"), ("--", ":", "-"), strict=True)
    for name, (color, line) in zip(values, looks, strict=False):
        axes[0].plot(offset, values[name], line, color=color, label=name)
        axes[1].plot(offset, slopes[name], line, color=color, label=name)
    for ax in axes:
        ax.axvspan(offset.min(), -overlap, color="#EEEEEE", zorder=0)
        ax.axvspan(overlap, offset.max(), color="#EEEEEE", zorder=0)
        ax.set(xlabel="horizontal offset [px]", xlim=(offset.min(), offset.max()))
    axes[0].set(title="distance (grey: the boxes are disjoint)", ylim=(-0.03, 1.1))
    axes[1].legend(loc="upper left", fontsize=9)
    axes[1].set(title="derivative by the offset [1/px]")
    return figure


def descents(paths: dict[str, np.ndarray], target: np.ndarray, image_size: tuple[int, int]) -> Figure:
    """For each title, a box on its way to the ``(4,)`` target: ``(steps, 4)`` positions, early ones faint."""
    figure, axes = plt.subplots(1, len(paths), figsize=(4.6 * len(paths), 3.4), squeeze=False)
    for ax, (title, path) in zip(axes[0], paths.items(), strict=True):
        image_axes(ax, image_size, title)
        boxes(ax, target[None], "object", ["object"])
        shown = np.unique(np.linspace(0, len(path) - 1, 7).astype(int))
        for rank, index in enumerate(shown):
            boxes(ax, path[index][None], "prediction", alpha=0.25 + 0.75 * (rank + 1) / len(shown))
        centers = (path[:, :2] + path[:, 2:]) / 2
        ax.plot(*centers.T, color=COLORS["prediction"], linewidth=1)
        ax.plot(*centers[-1], "o", color=COLORS["prediction"], markersize=4)
    return figure


def rivals(
    box: np.ndarray,
    rival: np.ndarray,
    target: np.ndarray,
    image_size: tuple[int, int],
    distances: dict[str, float],
    forces: dict[str, np.ndarray],
    counts: dict[str, float],
) -> Figure:
    """Two predictions and an object, ``(1, 4)`` each: for each distance its pull on the first; numbers in
    [0, 1] as bars."""
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
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    mark: np.ndarray | None = None,
) -> None:
    """An annotated matrix with entries in [0, 1]; cells where ``mark`` is true get a red frame."""
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (n, m), value in np.ndenumerate(values):
        color = "white" if value > 0.65 else "black"
        ax.text(m, n, f"{value:.2f}", ha="center", va="center", fontsize=9, color=color)
        if mark is not None and mark[n, m]:
            frame = {"fill": False, "edgecolor": "#CC0000", "linewidth": 2}
            ax.add_patch(plt.Rectangle((m - 0.46, n - 0.46), 0.92, 0.92, **frame))
    ax.set(title=title, xticks=range(len(columns)), yticks=range(len(rows)))
    ax.set_xticklabels(columns, fontsize=9)
    ax.set_yticklabels(rows, fontsize=9)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for side in ax.spines.values():
        side.set_visible(False)


def matrices(panels: dict[str, tuple], columns: int = 4, cell: float = 0.62) -> Figure:
    """Annotated heat maps side by side: title -> (matrix, row names, column names[, cells to frame])."""
    rows = -(-len(panels) // columns)
    height = max(len(panel[1]) for panel in panels.values())
    width = max(len(panel[2]) for panel in panels.values())
    size = (columns * (cell * width + 0.9), rows * (cell * height + 0.9))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, panel) in zip(axes.flat, panels.items(), strict=False):
        heat_map(ax, *panel[:3], title, *panel[3:])
    return figure


def count_bars(soft: dict[str, list[float]], counted: dict[str, list[int]]) -> Figure:
    """For FP, FN and IDS, the soft count of each frame (bar) and the counted one (black line)."""
    figure, axes = plt.subplots(1, len(soft), figsize=(3.3 * len(soft), 2.8), sharey=True)
    for ax, (name, values) in zip(axes, soft.items(), strict=True):
        frames = np.arange(1, len(values) + 1)
        ax.bar(frames, values, color=COLORS[name.lower()], width=0.6, label="soft")
        ax.hlines(counted[name], frames - 0.42, frames + 0.42, color="black", linewidth=2.5, label="counted")
        ax.set(title=name, xlabel="frame", xticks=frames)
    axes[0].set_ylabel("count")
    axes[-1].legend(loc="upper left", fontsize=9)
    return figure


def saturation(entry: np.ndarray, values: dict[str, np.ndarray], slopes: dict[str, np.ndarray]) -> Figure:
    """The soft FP of a lone entry a (left) and the size of its derivative (right, logarithmic), a curve for
    each scale."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
    looks = zip(("#E69F00", "#009E73", "#0072B2"), (":", "--", "-"), strict=True)
    for name, (color, line) in zip(values, looks, strict=False):
        axes[0].plot(entry, values[name], line, color=color, label=name)
        axes[1].semilogy(entry, np.abs(slopes[name]), line, color=color, label=name)
    axes[0].step([0, 0.5, 1], [1, 1, 0], color="black", linewidth=1, label="counted")
    axes[0].set(xlabel="entry a of the soft assignment", title="soft FP of one prediction, one object")
    axes[1].set(xlabel="entry a of the soft assignment", title="|d FP / d a|", ylim=(1e-21, 1e3))
    axes[0].legend(fontsize=9)
    return figure


def _pull_panel(ax: Axes, frame, forces, image_size: tuple[int, int], name: str) -> None:
    """The boxes of a ``gradients.Frame`` with the arrows of one term of its ``gradients.Forces``."""
    color = COLORS.get(name.lower(), "black")
    image_axes(ax, image_size)
    boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])
    boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    pulls(ax, frame.predictions, forces.pulls[name], color, image_size[1] / 8)
    strongest = float(forces.pulls[name].abs().max()) if len(frame.predictions) else 0.0
    ax.set_xlabel(f"longest arrow {strongest:.0e} /px" if strongest else "no gradient", fontsize=9)


def pull_grid(scenes: dict[str, tuple], image_size: tuple[int, int], names: Sequence[str]) -> Figure:
    """Fig. 9: a row for each title -> (frame, forces), a column for each named term of the loss; arrows
    show -gradient.

    Arrow lengths are scaled panel by panel; what the longest stands for is written below.
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


def clip(frame, forces, image_size: tuple[int, int], title: str) -> Figure:
    """One frame taken apart: D and soft A, the soft counts, and the pull of every term of the loss."""
    figure = plt.figure(figsize=(13, 5.6))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
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


def frames(clip: Sequence, image_size: tuple[int, int]) -> Figure:
    """The ``gradients.Frame`` s of a clip side by side: predictions and objects with their identities."""
    figure, axes = plt.subplots(1, len(clip), figsize=(4.2 * len(clip), 3.3), squeeze=False)
    for index, (ax, frame) in enumerate(zip(axes[0], clip, strict=True)):
        image_axes(ax, image_size, f"frame {index + 1}")
        boxes(ax, frame.objects, "object", [f"object {i}" for i in frame.object_ids])
        boxes(ax, frame.predictions, "prediction", [f"track {i}" for i in frame.track_ids])
    return figure
