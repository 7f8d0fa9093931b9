"""The paper's claims: its effect, the one measured here, and a verdict by docs/protocol.md's rule.

Only what two arms differ by is compared, never the paper's value with ours: data, split and schedules differ.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from .. import paper
from ..evaluation.intervals import NOTHING
from . import matcher_claims
from .contrasts import contrast
from .experiment import Experiment
from .matcher_claims import Answer
from .settings import DEEPMOT, DHN, TrackerRun

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


#: The notebook and the heading that show what was found for a claim of each table.
SHOWN = {
    1: "08_tracker_ablation#Table 1: re-identification",
    2: "08_tracker_ablation#Table 2: which term of the loss?",
    3: "08_tracker_ablation#Table 3: other trackers",
    4: "09_benchmark#Test: the server's numbers",
}

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
        effect: The paper's effect, not 0; NaN where it claims a rise and prints no number.
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
    if math.isnan(effect):
        effect = 0.0  # any rise will do
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
        One row per claim: ``claim``, ``paper's table`` (or figure), ``measure``, ``paper`` and
        ``ours`` (effects), ``low`` and ``high`` (the 95 % interval of ours), ``blocks``, ``seeds``, ``blocks
        needed`` and ``seeds needed`` (to see the paper's effect), ``verdict``, ``shown in`` (the notebook and
        its heading, ``name#heading``), ``rank`` ("main", or "detail": what a report may fold). A claim whose
        runs have not been made has no number of ours and is not testable; where a profile's numbers are no
        evidence, there is no verdict.
    """
    text = "DeepMOT-Tracktor leads the benchmark over Tracktor."
    answers = [
        *matcher_claims.found(experiment),
        *(_answer(experiment.paths.tables, claim) for claim in CLAIMS),
        Answer(text, "Table 4", "MOTA", _of_table4(), NOTHING, SHOWN[4]),
    ]
    judged = pd.DataFrame([_row(answer) for answer in answers])
    if not experiment.settings.evidence:
        judged["verdict"] = NO_EVIDENCE
    return judged


def _row(answer: Answer) -> dict[str, object]:
    ours, effect = answer.ours, answer.paper
    return {
        "claim": answer.claim,
        "paper's table": answer.source,
        "measure": answer.measure,
        "paper": effect,
        "ours": ours.effect,
        "low": ours.low,
        "high": ours.high,
        "blocks": ours.blocks,
        "seeds": ours.seeds,
        "blocks needed": ours.blocks_needed(effect),
        "seeds needed": ours.seeds_needed(effect),
        "verdict": verdict(effect, ours.low, ours.high),
        "shown in": answer.shown,
        "rank": "detail" if answer.is_detail else "main",
    }


def _answer(folder: Path, claim: Claim) -> Answer:
    found = contrast(folder, *claim.runs, claim.measure)
    number = claim.table
    return Answer(claim.text, f"Table {number}", claim.measure, claim.paper, found, SHOWN[number])


def _of_table4() -> float:
    printed = paper.table(4).set_index(paper.KEYS[4])["MOTA"].loc["MOT17"]
    return float(printed["DeepMOT-Tracktor"] - printed["Tracktor"])
