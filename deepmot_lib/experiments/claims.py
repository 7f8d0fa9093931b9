"""The paper's claims: its effect, the one measured here, and a verdict by docs/protocol.md's rule.

Only what two arms differ by is compared, never the paper's value with ours: data, split and schedules differ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from .. import paper
from ..data.pairs import fingerprints
from ..evaluation.intervals import Difference, difference, mean_difference
from . import matchers as matcher_runs
from . import tables
from . import trackers as tracker_runs
from .experiment import Experiment
from .settings import DEEPMOT, DHN, MatcherRun, TrackerRun

#: The verdicts, in the order of how much they say for the paper.
VERDICTS = ("reproduced", "in direction only", "not testable here", "not found", "contradicted")
#: In place of a verdict where a profile's numbers are no evidence.
NO_EVIDENCE = "no evidence"


class Claim(NamedTuple):
    """A claim of the paper: that a second tracker has more, or less, of a measure than a first one.

    Attributes:
        text: The claim, a sentence.
        table: The number of the paper's table.
        rows: The paper's rows, by its keys: the first one and the second one.
        runs: The runs that answer them, without seeds.
        measure: "MOTA" and "IDF1" in points, "IDs" in switches by 1,000 ground-truth boxes.
    """

    text: str
    table: int
    rows: tuple[tuple[str, ...], tuple[str, ...]]
    runs: tuple[TrackerRun, TrackerRun]
    measure: str = "MOTA"

    @property
    def paper(self) -> float:
        """Return the paper's effect: the second row's value less the first one's."""
        printed = paper.table(self.table).set_index(paper.KEYS[self.table])
        column = "IDS" if self.measure == "IDs" else self.measure
        values = printed[column].to_dict()
        first, second = (float(values[row if len(row) > 1 else row[0]]) for row in self.rows)
        return (second - first) * (1000 / paper.BOXES if self.measure == "IDs" else 1)


def _tracktor(loss: str, reid: str = "none") -> TrackerRun:
    return TrackerRun("tracktor", loss, reid, DHN if loss.startswith("dM") else "none")


def _of_sots() -> list[Claim]:
    found = []
    for name, tracker in (("GOTURN", "goturn"), ("SiamRPN", "siamrpn")):
        ours = TrackerRun(tracker, DEEPMOT, "none", DHN)
        for other, label, loss in (
            ("its pre-training", "Pre-trained", "vanilla"),
            ("Smooth L1", "Smooth L1", "smooth_l1"),
        ):
            text = f"DeepMOT improves {name} over {other}."
            rows = ((name, label), (name, "DeepMOT"))
            found.append(Claim(text, 3, rows, (TrackerRun(tracker, loss), ours)))
    return found


_HEAD = _tracktor(DEEPMOT, "head")
_EXTERNAL = (("DeepMOT", "+ReIDext"), ("DeepMOT", "+ReIDhead"))
#: What Tables 1 to 3 claim about trackers.
CLAIMS = (
    Claim(
        "DeepMOT improves the vanilla tracker.",
        1,
        (("Vanilla", "Base"), ("DeepMOT", "Base")),
        (_tracktor("vanilla"), _tracktor(DEEPMOT)),
    ),
    Claim(
        "... and more than as many updates by the detector's own loss do (a control that the paper lacks).",
        1,
        (("Vanilla", "Base"), ("DeepMOT", "Base")),
        (_tracktor("detector"), _tracktor(DEEPMOT)),
    ),
    Claim(
        "DeepMOT is better than Smooth L1.",
        2,
        (("Smooth L1",), (DEEPMOT,)),
        (_tracktor("smooth_l1", "external"), _HEAD),
    ),
    Claim(
        "The ReID head switches less than the external network.",
        1,
        _EXTERNAL,
        (_tracktor(DEEPMOT, "external"), _HEAD),
        "IDs",
    ),
    Claim(
        "The ReID head keeps identities better than the external network.",
        1,
        _EXTERNAL,
        (_tracktor(DEEPMOT, "external"), _HEAD),
        "IDF1",
    ),
    *(
        Claim(
            f"The whole loss is better than {loss}.",
            2,
            ((loss,), (DEEPMOT,)),
            (_tracktor(loss, "head"), _HEAD),
        )
        for loss in ("dMOTP", "dMOTA", "dMOTA+dMOTP-IDS")
    ),
    *_of_sots(),
)


def verdict(effect: float, low: float, high: float) -> str:
    """Judge a claim by the rule of docs/protocol.md.

    Args:
        effect: The paper's effect, not 0.
        low: The lower end of the 95 % interval of the effect here.
        high: The upper end.

    Returns:
        One of ``VERDICTS``.

    Example:
        >>> verdict(0.5, 0.1, 0.9), verdict(0.5, 0.1, 0.3), verdict(0.5, -0.2, 0.9), verdict(0.5, -0.2, 0.3)
        ('reproduced', 'in direction only', 'not testable here', 'not found')
        >>> verdict(-0.5, 0.1, 0.9)
        'contradicted'
    """
    if effect < 0:
        effect, low, high = -effect, -high, -low
    if math.isnan(low) or math.isnan(high):
        return "not testable here"
    if high < 0:
        return "contradicted"
    if low > 0:
        return "reproduced" if high >= effect else "in direction only"
    return "not found" if high < effect else "not testable here"


def table(experiment: Experiment) -> pd.DataFrame:
    """Return all claims with the paper's effects, ours and the verdicts.

    Returns:
        One row per claim: ``claim``, ``paper's table``, ``measure``, ``paper`` and ``ours`` (effects),
        ``low`` and ``high`` (the 95 % interval of ours), ``blocks``, ``seeds``, ``verdict``. A claim whose
        runs have not been made has no number of ours and is not testable; where a profile's numbers are no
        evidence, there is no verdict.
    """
    rows = [*_of_networks(experiment), *(_row(experiment, claim) for claim in CLAIMS)]
    nothing = Difference(np.nan, np.nan, np.nan, 0, 0)
    rows.append(
        _as_row("DeepMOT-Tracktor leads the benchmark over Tracktor.", 4, "MOTA", _of_table4(), nothing)
    )
    judged = pd.DataFrame(rows)
    if not experiment.settings.evidence:
        judged["verdict"] = NO_EVIDENCE
    return judged


def _as_row(text: str, number: int, measure: str, effect: float, ours: Difference) -> dict[str, object]:
    return {
        "claim": text,
        "paper's table": number,
        "measure": measure,
        "paper": effect,
        "ours": ours.effect,
        "low": ours.low,
        "high": ours.high,
        "blocks": ours.blocks,
        "seeds": ours.seeds,
        "verdict": verdict(effect, ours.low, ours.high),
    }


def _row(experiment: Experiment, claim: Claim) -> dict[str, object]:
    first, second = (_blocks(experiment, run) for run in claim.runs)
    ours = Difference(np.nan, np.nan, np.nan, 0, 0)
    if len(first) and len(second):
        ours = difference(first, second, claim.measure)
    return _as_row(claim.text, claim.table, claim.measure, claim.paper, ours)


def _blocks(experiment: Experiment, run: TrackerRun) -> pd.DataFrame:
    """The block counts of a run's seeds, none where it has not been made."""
    made = (one for one in experiment.settings.trackers.runs if one._replace(seed=0) == run)
    files = [tracker_runs.blocks_file(experiment, one) for one in made]
    parts = [tables.read(file)[0] for file in files if file.is_file()]
    return pd.concat(parts) if parts else pd.DataFrame()


# --- the networks of Table 5 --------------------------------------------------------------------------------


def _of_networks(experiment: Experiment) -> list[dict[str, object]]:
    """How accurate the sequential GRU is, and how far ahead of the best of the paper's other networks."""
    kind = experiment.settings.dhn_runs[0].pairs
    names = paper.table(5)["network"].unique().tolist()
    made = [run for run in experiment.settings.dhn_runs if run.pairs == kind and run.variant in names]
    scores = {name: _scores(experiment, [run for run in made if run.variant == name]) for name in names}
    known = {name: found for name, found in scores.items() if found}
    if names[0] not in known:
        return []
    test = experiment.pairs(kind).test
    groups = fingerprints(test)[known[names[0]][0].index]
    rows = []
    for axis in ("row", "column"):
        printed = paper.table(5).set_index(paper.KEYS[5])["WA"].loc[axis]
        values = {
            name: 100 * np.stack([one[f"WA_{axis}"].to_numpy() for one in found])
            for name, found in known.items()
        }
        best = values.pop(names[0])
        ours = mean_difference(np.zeros((1, best.shape[1])), best, groups)
        text = f"The sequential GRU assigns accurately ({axis}-wise maximum)."
        rows.append(_as_row(text, 5, "WA", float(printed[names[0]]), ours))
        if values:
            next_best = max(values, key=lambda name: values[name].mean())
            ahead = mean_difference(values[next_best], best, groups)
            text = f"... and better than the four other networks ({axis}-wise; here the next is {next_best})."
            lead = float(printed[names[0]] - printed[names[1:]].max())
            rows.append(_as_row(text, 5, "WA", lead, ahead))
    return rows


def _scores(experiment: Experiment, runs: list[MatcherRun]) -> list[pd.DataFrame]:
    """The scores of a network's seeds on all test pairs, none where they have not been made."""
    made = [run for run in runs if matcher_runs.table_file(experiment, run).is_file()]
    return [matcher_runs.score(experiment, run, matcher_runs.train(experiment, run)) for run in made]


def _of_table4() -> float:
    printed = paper.table(4).set_index(paper.KEYS[4])["MOTA"].loc["MOT17"]
    return float(printed["DeepMOT-Tracktor"] - printed["Tracktor"])
