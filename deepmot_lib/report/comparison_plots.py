"""Figures of the comparison on rendered scenes (notebook 13)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..experiments.comparison import NEGATIVE, POSITIVE, VANILLA


def differences(results: pd.DataFrame, margin: float) -> Figure:
    """Draw what DeepMOT has more than each other arm, with 95 % intervals, the controls apart.

    Args:
        results: As ``comparison_results.results`` returns them.
        margin: Points of MOTA below which a difference does not matter: the gray band.
    """
    found = results[results["difference"].notna()]
    is_control = found["arm"].isin([NEGATIVE, POSITIVE])
    found = pd.concat([found[~is_control], found[is_control]])
    figure, ax = plt.subplots(figsize=(7, 0.42 * len(found) + 1.1), layout="constrained")
    rows = np.arange(len(found))[::-1]
    controls = found["arm"].isin([NEGATIVE, POSITIVE, VANILLA]).to_numpy()
    ax.axvspan(-margin, margin, color="0.9", label=f"within the margin of {margin:g}")
    ax.axvline(0, color="0.4", lw=0.8)
    for chosen, color, label in (
        (~controls, "tab:blue", "trained on by a loss"),
        (controls, "0.4", "control"),
    ):
        effect = found["difference"].to_numpy()[chosen]
        errors = [effect - found["low"].to_numpy()[chosen], found["high"].to_numpy()[chosen] - effect]
        ax.errorbar(effect, rows[chosen], xerr=errors, fmt="o", color=color, capsize=3, label=label)
    ax.set_yticks(rows, found["arm"])
    ax.set_xlabel("DeepMOT less the arm, points of MOTA (95 %)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def by_seed(counts: pd.DataFrame, arms: list[str]) -> Figure:
    """Draw the MOTA of each initialization under each arm, one line an initialization.

    Args:
        counts: As ``comparison.complete`` returns them.
        arms: Those to draw, from left to right.
    """
    sums = counts.groupby(["arm", "seed"])[["boxes", "FP", "FN", "IDs"]].sum()
    mota = 100 * (1 - sums[["FP", "FN", "IDs"]].sum(axis=1) / sums["boxes"])
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for _, values in mota.unstack("arm")[arms].iterrows():
        ax.plot(arms, values, "o-", ms=3, lw=0.8)
    ax.set_ylabel("MOTA, %")
    ax.tick_params(axis="x", labelrotation=25)
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    return figure
