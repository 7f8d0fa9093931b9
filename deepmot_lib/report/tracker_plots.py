"""Figures about trackers: their training, their rows side by side, and the same frames by several of them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..data import mot
from ..data.video import draw
from ..evaluation.switches import identity_switches
from .plots import COLORS

_TRAIL_S = 1.0  # [s] of a trail behind a person


def training(history: pd.DataFrame, unit: str = "loss") -> Figure:
    """The loss of a training, one point a row of its history and their running mean; where it was validated,
    MOTA [%] on the third quarters beside it."""
    validated = "validation" in history and history["validation"].notna().any()
    figure, axes = plt.subplots(1, 1 + validated, figsize=(5 + 4 * validated, 3.2), squeeze=False)
    ax = axes[0, 0]
    ax.plot(history["step"], history["loss"], ".", color=COLORS["paper"], markersize=4)
    window = max(1, len(history) // 7)
    smooth = history["loss"].rolling(window, min_periods=1, center=True).mean()
    ax.plot(history["step"], smooth, color=COLORS["ours"])
    ax.set(xlabel="step", ylabel=unit, title="training", ylim=(0, None))
    if validated:
        found = history.dropna(subset=["validation"])
        best = found.loc[found["validation"].idxmax()]
        ax = axes[0, 1]
        ax.plot(found["step"], 100 * found["validation"], "o-", color=COLORS["ours"])
        ax.plot(best["step"], 100 * best["validation"], "o", color=COLORS["fp"], markersize=9, label="kept")
        ax.set(xlabel="step", ylabel="MOTA [%]", title="third quarters", xlim=(0, None))
        ax.legend()
    return figure


def rows(ours: pd.DataFrame, keys: list[str], measures: Sequence[str] = ("MOTA", "IDF1", "IDS")) -> Figure:
    """Rows of ``rows.table``, named by ``keys``, a panel a measure; whiskers are deviations over seeds."""
    labels = [" ".join(row) for row in ours[keys].to_numpy()]
    height = 0.34 * len(labels) + 1.0
    figure, axes = plt.subplots(1, len(measures), figsize=(3.4 * len(measures), height), sharey=True)
    place = np.arange(len(labels))[::-1]
    for ax, measure in zip(np.atleast_1d(axes), measures, strict=True):
        spread = ours.get(f"{measure} std")
        ax.errorbar(
            ours[measure], place, xerr=spread, fmt="o", color=COLORS["ours"], ecolor="black", capsize=3
        )
        ax.set(title=measure + (" (down is better)" if measure == "IDS" else " [%]"), ylim=(-0.6, None))
        ax.grid(axis="y", color="#E5E5E5")
        ax.set_yticks(place, labels)
    return figure


def loss_and_mota(histories: dict[str, list[pd.DataFrame]]) -> tuple[Figure, pd.Series]:
    """Each loss's mean between two validations against MOTA [%] at the second, all seeds; and the rank
    correlation of the two, by loss."""
    figure, axes = plt.subplots(
        1, len(histories), figsize=(2.9 * len(histories), 2.9), sharey=True, squeeze=False
    )
    correlations = {}
    for ax, (name, seeds) in zip(axes[0], histories.items(), strict=True):
        points = pd.concat(_between_validations(history) for history in seeds)
        correlations[name] = points["loss"].corr(points["validation"], method="spearman")
        ax.scatter(points["loss"], 100 * points["validation"], s=18, color=COLORS["ours"])
        found = f"{correlations[name]:+.2f}" if len(points) > 2 else "needs more points"
        ax.set(title=f"{name}\nrank correlation {found}", xlabel="training loss")
    axes[0, 0].set_ylabel("MOTA, third quarters [%]")
    return figure, pd.Series(correlations, name="rank correlation of loss and MOTA")


def _between_validations(history: pd.DataFrame) -> pd.DataFrame:
    number = history["validation"].notna().shift(fill_value=False).cumsum()
    return history.groupby(number).agg(loss=("loss", "mean"), validation=("validation", "max")).dropna()


def telling(sequence: mot.Sequence, boxes: pd.DataFrame, frames: range, count: int) -> list[int]:
    """``count`` frames, a third of a second apart, around where these tracks switch most."""
    step = max(1, round((sequence.frame_rate or 25) / 3))
    gt = mot.pedestrians(sequence.gt())
    switched = identity_switches(gt[gt["frame"].isin(frames)], boxes)["frame"].to_numpy()
    length = step * (count - 1)
    starts = range(frames.start, max(frames.start + 1, frames.stop - length))
    first = max(starts, key=lambda start: ((switched > start) & (switched <= start + length)).sum())
    return [frame for frame in range(first, first + length + 1, step) if frame in frames]


def strip(
    sequence: mot.Sequence,
    variants: dict[str, pd.DataFrame],
    frames: Sequence[int],
    region: tuple[int, int, int, int] | None = None,
) -> Figure:
    """The same frames, one a column, with the boxes of each variant, one a row; who has switched since the
    column before is marked.

    ``variants`` holds tables with ``tracking.COLUMNS`` by name; ``region`` (x1, y1, x2, y2) [px] is the part
    of the picture that is shown, by default all.
    """
    x1, y1, x2, y2 = region or (0, 0, sequence.width, sequence.height)
    width = 14 / len(frames)
    height = width * (y2 - y1) / (x2 - x1)
    figure, axes = plt.subplots(
        len(variants), len(frames), figsize=(14, (height + 0.05) * len(variants) + 0.4), squeeze=False
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
