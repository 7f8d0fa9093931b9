"""What came of the comparison on rendered scenes: DeepMOT less each other arm, and what may be said of it."""

from __future__ import annotations

import pandas as pd

from .. import evaluation, matchers
from ..evaluation import matching
from . import matrices, tables
from .comparison import ARMS, MAIN, NEGATIVE, POSITIVE, VANILLA, trainings_folder
from .experiment import Experiment

#: Points of MOTA below which a difference does not matter (docs/protocol.md).
MARGIN = 0.3
#: The matchers that are asked who belongs to whom in the trainings' own matrices.
ASKED = ("softmax", "greedy", "seq_gru", "min_sum")
_SECONDARY = ("IDF1", "IDs")


def verdict(low: float, high: float, margin: float = MARGIN) -> str:
    """Say what the 95 % interval of a difference in points of MOTA allows.

    Args:
        low: The lower end of the interval of what DeepMOT has more.
        high: The upper end.
        margin: Below it a difference does not matter.

    Example:
        >>> verdict(0.1, 0.9), verdict(0.4, 0.9), verdict(0.05, 0.2)
        ('better', 'better, by more than the margin', 'better, by less than the margin')
        >>> verdict(-0.9, -0.4), verdict(-0.2, 0.1), verdict(-0.2, 0.5)
        ('worse, by more than the margin', 'alike within the margin', 'undecided')
    """
    for sign, word in ((1, "better"), (-1, "worse")):
        near, far = sorted((sign * low, sign * high))
        if near > 0:
            by = (
                ", by more than the margin" if near > margin else ", by less than the margin" * (far < margin)
            )
            return f"{word}{by}"
    return "alike within the margin" if -margin < low and high < margin else "undecided"


def results(counts: pd.DataFrame) -> pd.DataFrame:
    """Compare DeepMOT with every other arm.

    Args:
        counts: As ``comparison.complete`` returns them.

    Returns:
        One row per arm: ``arm``, ``seeds`` (initializations), ``scenes``, its pooled ``MOTA`` and ``IDF1`` in
        percent and ``switches`` by 1,000 boxes; ``difference`` (DeepMOT less the arm, in points of MOTA),
        ``low``, ``high`` and ``verdict``; the same difference of ``IDF1`` and of switches, each with its
        interval. DeepMOT's own row has no difference.
    """
    by_arm = dict(list(counts.groupby("arm")))
    rows = []
    for arm in (VANILLA, *(one.name for one in ARMS), NEGATIVE, POSITIVE):
        found = by_arm[arm]
        sums = found[["boxes", "FP", "FN", "IDs", "IDTP", "IDFP", "IDFN"]].sum()
        errors = sums["FP"] + sums["FN"] + sums["IDs"]
        row = {
            "arm": arm,
            "seeds": found["seed"].nunique(),
            "scenes": found["images"].nunique(),
            "MOTA": 100 * (1 - errors / sums["boxes"]),
            "IDF1": 200 * sums["IDTP"] / (2 * sums["IDTP"] + sums["IDFP"] + sums["IDFN"]),
            "switches": 1000 * sums["IDs"] / sums["boxes"],
        }
        if arm != MAIN:
            ours = evaluation.difference(found, by_arm[MAIN], "MOTA")
            row |= {"difference": ours.effect, "low": ours.low, "high": ours.high}
            row["verdict"] = verdict(ours.low, ours.high)
            for measure in _SECONDARY:
                other = evaluation.difference(found, by_arm[MAIN], measure)
                row |= {f"{measure} difference": other.effect, f"{measure} low": other.low}
                row[f"{measure} high"] = other.high
        rows.append(row)
    return pd.DataFrame(rows)


def association(experiment: Experiment) -> pd.DataFrame:
    """Return who matches the tracks of the trainings to their objects: whether association matters in them.

    Of the distance matrices that DeepMOT's trainings have left, a hundred for each; the pilots' too.

    Returns:
        One row per matcher: ``matcher``, ``matrices``, ``WA_row`` and ``WA_column`` in percent, and ``all
        right``: the percentage of matrices whose row-wise maxima are the optimal assignment.
    """
    rows, pairs = [], matrices.training_pairs(trainings_folder(experiment))
    for name in ASKED:
        matcher = matchers.load(name, experiment.device, pairs="eq3")
        scores = matching.score(matcher, pairs)
        row = {"matcher": name, "matrices": len(scores)}
        row |= {f"WA_{axis}": 100 * scores[f"WA_{axis}"].mean() for axis in matching.AXES}
        rows.append(row | {"all right": 100 * (scores["WA_row"] == 1).mean()})
    return pd.DataFrame(rows)


def write(experiment: Experiment, name: str, table: pd.DataFrame) -> None:
    """Write a table of the comparison with the provenance of its counts."""
    file = experiment.paths.tables / "comparison_0.csv"
    made = tables.read(file)[1]
    seeds = list(range(experiment.settings.comparison.initializations))
    tables.write(experiment.paths.tables / f"{name}.csv", table, {**made, "seeds": seeds})
