"""Figures about trackers: training curves, comparisons of methods, and frames with their tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from .. import evaluation
from ..boxes import feet
from ..columns import XYXY
from ..data import mot
from ..data.video import draw
from ..evaluation.switches import identity_switches
from ..experiments.settings import OURS
from ..training.clips import LabeledFrame
from .plots import COLORS, heat_map, image_axes
from .plots import boxes as draw_boxes

_FAR = 4.0  # times the median
_TRAIL_S = 1.0  # [s] length of the trail behind a person


def training(history: pd.DataFrame, unit: str = "loss") -> Figure:
    """Plot the loss of a training with its running mean, and the MOTA of its validations, if any.

    Args:
        history: Columns step, loss and optionally validation (MOTA in [0, 1], NaN between validations).
        unit: Label of the loss.

    Returns:
        The figure.
    """
    validated = int("validation" in history and history["validation"].notna().any())
    figure, axes = plt.subplots(1, 1 + validated, figsize=(4 + 3 * validated, 2.8), squeeze=False)
    ax = axes[0, 0]
    ax.plot(history["step"], history["loss"], ".", color=COLORS["paper"], markersize=4)
    window = max(1, len(history) // 7)
    smooth = history["loss"].rolling(window, min_periods=1, center=True).mean()
    ax.plot(history["step"], smooth, color=COLORS["ours"])
    ax.set(xlabel="step", ylabel=unit, title="training", ylim=(0, None))
    if validated:
        found = history.dropna(subset=["validation"])
        best = found["validation"].argmax()
        step, mota = found["step"].to_numpy(), 100 * found["validation"].to_numpy()
        ax = axes[0, 1]
        ax.plot(step, mota, "o-", color=COLORS["ours"])
        ax.plot(step[best], mota[best], "o", color=COLORS["fp"], markersize=9, label="kept")
        ax.set(xlabel="step", ylabel="MOTA [%]", title="third quarters", xlim=(0, None))
        ax.legend()
    return figure


def tracks_of(
    frame: LabeledFrame,
    panels: Mapping[str, Tensor],
    names: Sequence[str] = (),
    chosen: Sequence[int] | None = None,
) -> Figure:
    """Draw tracks over a frame, one panel per state of theirs, with all people dashed.

    Args:
        frame: The frame with its people.
        panels: By title, the boxes (K, 4) of its tracks, xyxy [px].
        names: Of the K tracks.
        chosen: The tracks to draw, with only what is around them; None for all in the whole frame.

    Returns:
        The figure.
    """
    x, y = _around(frame, [boxes[list(chosen)] for boxes in panels.values()] if chosen else ())
    size = (7, 7 / len(panels) * (y[0] - y[1]) / (x[1] - x[0]) + 0.3)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False)
    for ax, (title, boxes) in zip(axes[0], panels.items(), strict=True):
        image_axes(ax, frame.image_size, title)
        ax.set(xlim=x, ylim=y)
        _tracks(ax, frame, boxes, names, chosen)
    return figure


def step(
    frame: LabeledFrame,
    tracks: Tensor,
    distance: Tensor,
    soft: Tensor,
    names: Sequence[str],
    chosen: Sequence[int],
) -> Figure:
    """Show some tracks of a training step: where they are, their distances D and the soft assignment.

    A red frame marks the person nearest to a track.

    Args:
        frame: The frame with its people.
        tracks: (N, 4) where the tracks have been found in it, xyxy [px].
        distance: (N, M) D.
        soft: (N, M) the soft assignment.
        names: Of the N tracks.
        chosen: The tracks to show, with the people nearest to them.

    Returns:
        The figure.
    """
    index = list(chosen)
    nearest = distance[index].argmin(1).tolist()
    people = list(dict.fromkeys(nearest))
    mark = np.array([[m == own for m in people] for own in nearest])
    figure = plt.figure(figsize=(7, 3.4 + 0.42 * len(index)))
    axes = figure.subplot_mosaic("II;DA", height_ratios=[3.4, 0.42 * len(index)])
    image_axes(axes["I"], frame.image_size, "the tracks, and the people (dashed)")
    x, y = _around(frame, [tracks[index]])
    axes["I"].set(xlim=x, ylim=y)
    _tracks(axes["I"], frame, tracks, names, chosen)
    for key, title, matrix in (("D", "distances D", distance), ("A", "soft assignment Ã", soft)):
        columns = [f"person\n{frame.ids[m]}" for m in people]
        rows = [names[n] for n in index] if key == "D" else [""] * len(index)
        heat_map(axes[key], matrix[index][:, people].cpu().numpy(), rows, columns, title, mark)
    return figure


def _tracks(
    ax: Axes, frame: LabeledFrame, boxes: Tensor, names: Sequence[str], chosen: Sequence[int] | None
) -> None:
    """Draw tracks (K, 4) over a frame, or some of them; the axes have their limits."""
    height, width = frame.image_size
    limits = ax.axis()
    ax.imshow(frame.image.permute(1, 2, 0).cpu(), extent=(0, width, height, 0), alpha=0.75)
    ax.axis(limits)
    draw_boxes(ax, frame.boxes.cpu().numpy(), "object")
    index = list(range(len(boxes)) if chosen is None else chosen)
    draw_boxes(ax, boxes[index].cpu().numpy(), "prediction", [names[k] for k in index] if names else ())


def _around(frame: LabeledFrame, boxes: Sequence[Tensor]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of x and y around boxes (K, 4), with a margin; of the whole frame for none."""
    height, width = frame.image_size
    if not boxes:
        return (0, width), (height, 0)
    both = torch.cat(list(boxes)).cpu()
    margin = (both[:, 3] - both[:, 1]).mean().item() / 3
    (left, top), (right, bottom) = both[:, :2].amin(0).tolist(), both[:, 2:].amax(0).tolist()
    return (
        (max(0, left - margin), min(width, right + margin)),
        (min(height, bottom + margin), max(0, top - margin)),
    )


def rows(
    table: pd.DataFrame, keys: Sequence[str], measures: Sequence[str] = ("MOTA", "IDF1", "IDS")
) -> Figure:
    """Plot our rows of a table, one panel per measure, with error bars of one standard deviation over seeds.

    Args:
        table: The table, as ``tables.beside`` makes it, or one of ours alone; columns ``X std``, if any, are
            the deviations.
        keys: Columns that name a row.
        measures: Columns to plot.

    Returns:
        The figure.
    """
    labels = [" ".join(map(str, row)) for row in table[list(keys)].to_numpy()]
    size = (2.4 * len(measures), 0.3 * len(labels) + 0.9)
    figure, axes = plt.subplots(1, len(measures), figsize=size, sharey=True, squeeze=False)
    place = np.arange(len(labels))[::-1]
    for ax, measure in zip(axes[0], measures, strict=True):
        ours = f"{measure} (ours)"
        values = table[ours if ours in table else measure].astype(float)
        ax.errorbar(
            values,
            place,
            xerr=table.get(f"{measure} std"),
            fmt="o",
            color=COLORS["ours"],
            ecolor="black",
            capsize=3,
        )
        ax.set(title=measure + (" (down is better)" if measure == "IDS" else " [%]"), ylim=(-0.6, None))
        if values.min() > 0 and values.max() > _FAR * values.median():
            # One far behind must not press the others together.
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_locator(NullLocator())
        else:
            # Differences of less than a point are none: they do not fill the axis.
            low, high = ax.get_xlim()
            missing = max(0.0, 2 - (high - low)) / 2
            ax.set_xlim(low - missing, high + missing)
            ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        ax.grid(axis="y", color="#E5E5E5")
        ax.set_yticks(place, labels)
    return figure


def frames_with_most_switches(
    sequence: mot.Sequence, boxes: pd.DataFrame, frames: range, count: int
) -> list[int]:
    """Choose frames, a third of a second apart, in the interval with the most identity switches.

    Args:
        sequence: The sequence with its ground truth.
        boxes: Tracks, a table with ``tracking.COLUMNS``.
        frames: The frames to choose from.
        count: Number of frames.

    Returns:
        Up to ``count`` frame numbers.
    """
    step = max(1, round((sequence.frame_rate or 25) / 3))
    gt = mot.pedestrians(sequence.gt())
    switched = identity_switches(gt[gt["frame"].isin(frames)], boxes)["frame"].to_numpy()
    length = step * (count - 1)
    starts = range(frames.start, max(frames.start + 1, frames.stop - length))
    first = max(starts, key=lambda start: int(((switched > start) & (switched <= start + length)).sum()))
    return [frame for frame in range(first, first + length + 1, step) if frame in frames]


def strip(
    sequence: mot.Sequence,
    variants: Mapping[str, pd.DataFrame],
    frames: Sequence[int],
    region: tuple[int, int, int, int] | None = None,
) -> Figure:
    """Show frames with the tracks of several variants, and mark the tracks that switched identity.

    Args:
        sequence: The sequence with its images and ground truth.
        variants: By name, tracks: a table with ``tracking.COLUMNS``. One row of images each.
        frames: Frame numbers, ascending, one column each; a switch since the column before is marked.
        region: (x1, y1, x2, y2) [px] to show, by default the whole image.

    Returns:
        The figure.
    """
    x1, y1, x2, y2 = region or (0, 0, sequence.width, sequence.height)
    width = 8 / len(frames)
    height = width * (y2 - y1) / (x2 - x1)
    figure, axes = plt.subplots(
        len(variants), len(frames), figsize=(8, (height + 0.05) * len(variants) + 0.4), squeeze=False
    )
    gt = mot.pedestrians(sequence.gt())
    trail = round(_TRAIL_S * (sequence.frame_rate or 25))
    for row, (name, boxes) in zip(axes, variants.items(), strict=True):
        switched = identity_switches(gt[gt["frame"].isin(boxes["frame"])], boxes)
        last = frames[0] - 1
        for ax, frame in zip(row, frames, strict=True):
            now = boxes[boxes["frame"] == frame]
            past = boxes[boxes["frame"].between(frame - trail, frame - 1)]
            marks = set(switched.loc[switched["frame"].between(last + 1, frame), "after"])
            ax.imshow(draw(sequence.image(frame), now, past, marks)[y1:y2, x1:x2])
            ax.set(xticks=[], yticks=[])
            if row is axes[0]:
                ax.set_title(f"frame {frame}", fontsize=10)
            last = frame
        row[0].set_ylabel(name, fontsize=10)
    return figure


def around_switches(
    sequence: mot.Sequence, variants: Mapping[str, pd.DataFrame], frames: Sequence[int]
) -> tuple[int, int, int, int]:
    """Choose the quarter of the image, (x1, y1, x2, y2) [px], in which most tracks switch.

    Args:
        sequence: The sequence with its ground truth.
        variants: By name, tracks: a table with ``tracking.COLUMNS``.
        frames: The frames to look at, ascending; where nothing switches in between, it is the whole image.
    """
    gt = mot.pedestrians(sequence.gt())
    places = []
    for boxes in variants.values():
        switched = identity_switches(gt[gt["frame"].isin(boxes["frame"])], boxes)
        here = switched[switched["frame"].between(frames[0], frames[-1])]
        places.append(boxes.merge(here, left_on=["frame", "id"], right_on=["frame", "after"]))
    found = pd.concat(places)
    if found.empty:
        return 0, 0, sequence.width, sequence.height
    width, height = sequence.width // 2, sequence.height // 2
    middle = feet(found[XYXY].to_numpy(float))
    # The place from which most others are within the quarter.
    near = (abs(middle[:, None] - middle) <= (width / 2, height / 2)).all(-1).sum(1)
    x, y = middle[near.argmax()]
    left = int(np.clip(x - width / 2, 0, sequence.width - width))
    top = int(np.clip(y - 0.7 * height, 0, sequence.height - height))
    return left, top, left + width, top + height


_MEASURE_COLORS = (COLORS["ours"], COLORS["fp"], COLORS["object"], "black")  # MOTA, HOTA, IDF1, FPS


def benchmark(table: pd.DataFrame) -> Figure:
    """Plot the pooled rows of ``experiments.benchmark.local``: ours filled, others hollow.

    One line of panels per protocol: measures in percent, and frames per second on a logarithmic axis.
    """
    pooled = table[table["sequence"] == evaluation.OVERALL]
    kinds = list(pooled["protocol"].unique())
    height = 0.27 * pooled["method"].nunique() + 0.7
    figure, axes = plt.subplots(
        len(kinds), 2, figsize=(6.4, height * len(kinds) + 0.4), squeeze=False, width_ratios=[2, 1]
    )
    for (left, right), kind in zip(axes, kinds, strict=True):
        rows = pooled[pooled["protocol"] == kind].reset_index(drop=True)
        ours = rows["method"].isin(list(OURS))
        shown = (("MOTA", "o", left), ("HOTA", "s", left), ("IDF1", "D", left), ("FPS", "o", right))
        for (measure, marker, ax), color in zip(shown, _MEASURE_COLORS, strict=True):
            for part, face in ((rows[ours], color), (rows[~ours], "white")):
                label = measure if face == color else ""
                style = {"markerfacecolor": face, "color": color, "label": label}
                ax.plot(part[measure].astype(float), part.index, marker, **style)
        left.set_yticks(range(len(rows)), rows["method"])
        right.set_yticks(range(len(rows)), [""] * len(rows))
        right.set_xscale("log")
        right.xaxis.set_major_formatter("{x:g}")
        left.set(title=f"protocol {kind}", xlabel="%")
        right.set(title="frames per second", xlabel="1/s")
        for ax in (left, right):
            ax.set_ylim(len(rows) - 0.5, -0.5)
            ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
