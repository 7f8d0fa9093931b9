"""What the paper claims of the DHN, and what was found: Tables 5 and 6, Fig. 8 and 9 (docs/protocol.md).

Read are the scores of single matrices and frames that notebooks 02 to 04 have left; nothing is trained here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import paper
from ..data.pairs import fingerprints
from ..evaluation.intervals import NOTHING, Difference, mean_difference
from ..evaluation.matching import AXES
from . import gradient_quality, lengths, tables
from . import matchers as matcher_runs
from .experiment import Experiment
from .settings import MatcherRun

#: The paper's five networks, the proposed one first.
NETWORKS: list[str] = paper.table(5)["network"].unique().tolist()
PROPOSED = NETWORKS[0]
#: Fig. 8: the text calls matrices up to this size very small; those after it are compared with them up to ...
SMALLEST, MEDIUM = 6, 50
#: The losses of ``gradients_frames.csv`` that Fig. 9 is judged by.
LOSS, COUNTS, COUNTS_10 = "dMOTA + 5 dMOTP, scale 100", "dMOTA, scale 100", "dMOTA, scale 10"

_TABLE5 = "03_dhn_ablation#Table 5"
_LENGTHS = "03_dhn_ablation#How long it takes to learn"
_TABLE6 = "03_dhn_ablation#Table 6: the matrices that a tracker sees"
_FIG8 = "04_matrix_size#Fig. 8"
_FIG9 = "03_dhn_ablation#The gradient"


class Answer(NamedTuple):
    """A claim of the paper with what was found.

    Attributes:
        claim: The claim, a sentence.
        source: Where the paper makes it, such as "Table 5".
        measure: What the effect is a difference of.
        paper: The paper's effect, NaN where it prints none and claims a rise.
        ours: The effect here, ``NOTHING`` where it was not run.
        shown: The notebook and its heading that show it, separated by ``#``.
        is_detail: Whether a report may fold it: the same by another discretization or scale, and the like.
    """

    claim: str
    source: str
    measure: str
    paper: float
    ours: Difference
    shown: str
    is_detail: bool = False


def found(experiment: Experiment) -> list[Answer]:
    """Return what was found for each claim, in the paper's order."""
    return [
        *_table5(experiment),
        *_table6(experiment),
        *_fig8(_read(experiment, "fig8_matrices")),
        *_fig9(_read(experiment, "gradients_frames")),
    ]


class Scores(NamedTuple):
    """Scores of networks on the same matrices.

    Attributes:
        values: For each network that was run (S, K): K values for each of S seeds.
        groups: (K,) labels of what is drawn together.
        weights: (K,) how much each value counts for.
    """

    values: dict[str, NDArray[Any]]
    groups: NDArray[Any]
    weights: NDArray[Any]

    def level(self, network: str) -> Difference:
        """Return the mean of a network, over zero."""
        if network not in self.values:
            return NOTHING
        best = self.values[network]
        return mean_difference(np.zeros((1, best.shape[1])), best, self.groups, self.weights)

    def lead(self, less_is_better: bool = False) -> tuple[str, Difference]:
        """Return the next best of the other networks, and what the proposed one has more."""
        sign = -1 if less_is_better else 1
        others = {name: one for name, one in self.values.items() if name != PROPOSED}
        if PROPOSED not in self.values or not others:
            return "none was run", NOTHING
        means = {
            name: sign * np.average(one, axis=1, weights=self.weights).mean() for name, one in others.items()
        }
        rival = max(means, key=lambda name: means[name])
        return rival, mean_difference(others[rival], self.values[PROPOSED], self.groups, self.weights)


def _printed_lead(number: int, axis: str, measure: str, less_is_better: bool = False) -> tuple[float, float]:
    """The paper's value of the proposed network, and what it has more than the next best."""
    column = paper.table(number).set_index(paper.KEYS[number])[measure].loc[axis]
    others = column[NETWORKS[1:]]
    return float(column[PROPOSED]), float(
        column[PROPOSED] - (others.min() if less_is_better else others.max())
    )


# --- Table 5 ------------------------------------------------------------------------------------------------


def _table5(experiment: Experiment) -> list[Answer]:
    kind = experiment.settings.dhn_runs[0].pairs
    made = [run for run in experiment.settings.dhn_runs if run.pairs == kind]
    scores = {name: _scores(experiment, [run for run in made if run.variant == name]) for name in NETWORKS}
    known = {name: one for name, one in scores.items() if one}
    groups: NDArray[Any] = np.empty(0)
    if known:
        pairs = next(iter(known.values()))[0].index
        groups = fingerprints(experiment.pairs(kind).test)[pairs]
    # How accurate the network can be its longest training tells, the order of the five their equal ones.
    best = lengths.longest(experiment)
    after = "" if best is None else f"; {best.settings.dhn.steps:,} steps"
    longer = None if best in (None, experiment) else lengths.accuracy(best)
    rows = []
    for axis in AXES:
        values = {
            name: 100 * np.stack([one[f"WA_{axis}"].to_numpy() for one in seeds])
            for name, seeds in known.items()
        }
        on_pairs = Scores(values, groups, np.ones(len(groups)))
        value, ahead = _printed_lead(5, axis, "WA")
        rival, lead = on_pairs.lead()
        text = f"The sequential GRU assigns accurately ({axis}-wise maximum{after})."
        is_detail = axis != AXES[0]
        level = on_pairs.level(PROPOSED) if longer is None else longer[axis]
        rows.append(Answer(text, "Table 5", "WA", value, level, _LENGTHS, is_detail))
        text = f"... and better than the four other networks ({axis}-wise; here the next is {rival})."
        rows.append(Answer(text, "Table 5", "WA", ahead, lead, _TABLE5, is_detail))
    return rows


def _scores(experiment: Experiment, runs: list[MatcherRun]) -> list[pd.DataFrame]:
    """The scores of a network's seeds on all test pairs, none where they have not been made."""
    made = [run for run in runs if matcher_runs.table_file(experiment, run).is_file()]
    return [matcher_runs.score(experiment, run, matcher_runs.train(experiment, run)) for run in made]


# --- Table 6 ------------------------------------------------------------------------------------------------


def _table6(experiment: Experiment) -> list[Answer]:
    blocks = _read(experiment, "table6_blocks")
    kinds = list(dict.fromkeys(run.pairs for run in experiment.settings.dhn_runs))
    names = {"released": "the released pairs", "eq3": "Eq. 3's distances"}
    rows = []
    for axis in AXES:
        value, ahead = _printed_lead(6, axis, "WA")
        for kind in kinds:
            level = _on_blocks(blocks, kind, axis, "WA", "matrices").level(PROPOSED)
            text = (
                f"The DHN is accurate on a training's matrices, too ({axis}-wise; trained on {names[kind]})."
            )
            is_detail = axis != AXES[0] or kind != kinds[0]
            rows.append(Answer(text, "Table 6", "WA", value, level, _TABLE6, is_detail))
        rival, lead = _on_blocks(blocks, kinds[0], axis, "WA", "matrices").lead()
        text = f"... and better than the four other networks ({axis}-wise; here the next is {rival})."
        rows.append(Answer(text, "Table 6", "WA", ahead, lead, _TABLE6, axis != AXES[0]))
        _, fewer = _printed_lead(6, axis, "MA", less_is_better=True)
        rival, lead = _on_blocks(blocks, kinds[0], axis, "MA", "lines").lead(less_is_better=True)
        text = f"It leaves the fewest assignments out ({axis}-wise; here the next is {rival})."
        rows.append(Answer(text, "Table 6", "MA", fewer, lead, _TABLE6, is_detail=True))
    return rows


def _on_blocks(blocks: pd.DataFrame, kind: str, axis: str, measure: str, weight: str) -> Scores:
    """A measure of the networks trained on a kind of pairs; each block counts for its matrices or lines."""
    if blocks.empty:
        return Scores({}, np.empty(0), np.empty(0))
    chosen = blocks[(blocks["pairs"] == kind) & (blocks["discretization"] == axis)]
    values = {
        str(name): one.pivot(index="seed", columns="block", values=measure).to_numpy()
        for name, one in chosen.groupby("network")
    }
    weights = chosen.groupby("block")[weight].first()
    return Scores(values, weights.index.to_numpy(), weights.to_numpy(float))


# --- Fig. 8 -------------------------------------------------------------------------------------------------


def _fig8(scores: pd.DataFrame) -> list[Answer]:
    """The figure's statements, on the mean WA of both discretizations; the k-th matrices go together."""
    lead, rival, falls, variants, small = NOTHING, "none was run", NOTHING, NOTHING, NOTHING
    if not scores.empty:
        sizes = np.unique(scores["size"])
        # WA of the k-th matrix of each size, (K, sizes).
        wa = {
            str(name): one.pivot_table(index="matrix", columns="size", values="WA").to_numpy()
            for name, one in scores.groupby("network")
        }
        groups = np.arange(len(wa[PROPOSED]))
        means = {name: one.mean(axis=1)[None] for name, one in wa.items()}
        rival, lead = Scores(means, groups, np.ones(len(groups))).lead()
        is_small, is_medium = sizes <= SMALLEST, (sizes > SMALLEST) & (sizes <= MEDIUM)
        if is_small.any() and is_medium.any():
            lower = wa[PROPOSED][:, is_medium].mean(axis=1) - wa[PROPOSED][:, is_small].mean(axis=1)
            small = _over_zero(lower, groups)
        if (~is_small).sum() > 1:
            fall = {name: _fall(sizes[~is_small], one[:, ~is_small]) for name, one in wa.items()}
            falls = _over_zero(fall[PROPOSED], groups)
            variants = _over_zero(np.mean([fall[name] for name in NETWORKS[1:]], axis=0), groups)
    lost = "WA lost by 100 more objects"
    claims = (
        (f"The sequential GRU outperforms the others, all sizes together (the next is {rival}).", "WA", lead),
        ("Its accuracy falls as matrices grow.", lost, falls),
        ("The accuracy of the four variants falls, too, as matrices grow.", lost, variants),
        (
            f"Very small matrices (up to {SMALLEST}, against up to {MEDIUM}) have a lower accuracy.",
            "WA",
            small,
        ),
    )
    return [
        Answer(text, "Fig. 8", measure, np.nan, ours, _FIG8, is_detail=number > 1)
        for number, (text, measure, ours) in enumerate(claims)
    ]


def _fall(sizes: NDArray[Any], wa: NDArray[Any]) -> NDArray[Any]:
    """What each row of (K, sizes) loses by 100 more objects, by a least-squares line."""
    return -100 * np.polyfit(sizes.astype(float), wa.T, 1)[0]


# --- Fig. 9 -------------------------------------------------------------------------------------------------


def _fig9(frames: pd.DataFrame) -> list[Answer]:
    """The gradients through the proposed network; a frame in which there is next to none counts as 0."""
    cosine = "cosine to counted"
    claims = (
        ("The loss draws boxes to their objects.", "pull", LOSS),
        ("... and so do its counts alone, through the DHN (scale 100).", "pull", COUNTS),
        ("Its counts alone do so, too (scale 10).", "pull", COUNTS_10),
        ("The counts' gradient points where the counted measure improves (scale 100).", cosine, COUNTS),
        ("The counts' gradient points where the counted measure improves (scale 10).", cosine, COUNTS_10),
    )
    rows = []
    for text, measure, loss in claims:
        ours = NOTHING
        chosen = frames
        if not frames.empty:
            chosen = frames[(frames["loss"] == loss) & (frames["matcher"] == PROPOSED)]
        if not chosen.empty:
            values = chosen[measure].where(chosen["size"] >= gradient_quality.NONE, 0.0)
            ours = _over_zero(values.to_numpy(float), chosen["block"].to_numpy())
        is_detail = measure == cosine or loss == COUNTS_10
        rows.append(Answer(text, "Fig. 9", measure, np.nan, ours, _FIG9, is_detail))
    return rows


def _over_zero(values: NDArray[Any], groups: NDArray[Any]) -> Difference:
    """The mean of values of one seed, over zero."""
    return mean_difference(np.zeros((1, len(values))), values[None], groups)


def _read(experiment: Experiment, name: str) -> pd.DataFrame:
    """A table of the run, empty where it has not been written."""
    file = experiment.paths.tables / f"{name}.csv"
    return tables.read(file)[0] if file.is_file() else pd.DataFrame()
