"""How the accuracy of the paper's network grows with its training: one schedule, several lengths.

Each length is a training of its own, whose rate falls to zero at its end, with files below ``steps<number>``
of the run. The others of Table 5 are compared at the length of the profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..data.pairs import fingerprints
from ..evaluation.intervals import NOTHING, Difference, mean_difference
from ..evaluation.matching import AXES
from . import matchers, tables
from .experiment import Experiment, Paths
from .settings import MatcherRun, Settings

_COLUMNS = [
    "discretization",
    "pairs",
    "steps",
    "WA",
    "low",
    "high",
    "MA",
    "SA",
    "gain",
    "gain low",
    "gain high",
]


def run(settings: Settings) -> MatcherRun:
    """Return the run that is repeated: Table 5's first, the paper's network with seed 0."""
    return settings.dhn_runs[0]


def of_length(experiment: Experiment, steps: int) -> Experiment:
    """Return the same experiment on the same pairs with DHNs that are trained for another number of steps."""
    settings = experiment.settings
    if steps == settings.dhn.steps:
        return experiment
    experiment.pairs(run(settings).pairs)  # read or rendered once, for all lengths
    return replace(
        experiment,
        settings=replace(settings, dhn=replace(settings.dhn, steps=steps)),
        paths=Paths(experiment.paths.root / f"steps{steps}"),
    )


def every(experiment: Experiment) -> Iterator[Experiment]:
    """Yield the experiment of each length, the profile's own among them, the shortest first."""
    settings = experiment.settings
    for steps in sorted({*settings.dhn_lengths, settings.dhn.steps}):
        yield of_length(experiment, steps)


def longest(experiment: Experiment) -> Experiment | None:
    """Return the experiment of the longest training that has been scored, None where none has been."""
    scored = [one for one in every(experiment) if matchers.table_file(one, run(one.settings)).is_file()]
    return scored[-1] if scored else None


def accuracy(experiment: Experiment) -> dict[str, Difference]:
    """Return the WA [%] by discretization, over zero, with its 95 % interval over frames.

    The network is trained and scored where it is not.
    """
    scores = _scores(experiment)
    return {axis: _gain(experiment, None, scores, axis) for axis in AXES}


def table(experiment: Experiment) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Train and score all lengths, as far as they are not.

    Returns:
        One row per length, discretization and part of the test pairs, in percent: ``discretization``,
        ``pairs`` ("all", or those "unseen", which no training pair gives away), ``steps``, ``WA`` with the
        ends ``low`` and ``high`` of its 95 % interval, ``MA``, ``SA``, and what the length before has less,
        ``gain`` with ``gain low`` and ``gain high``. And the provenance of each length.
    """
    rows, origins = [], []
    before = None
    for one in every(experiment):
        scores = _scores(one)
        measures, made_from = tables.read(matchers.table_file(one, run(one.settings)))
        unseen = one.pairs(run(one.settings).pairs).unseen[scores.index]
        for row in measures[["discretization", "pairs", "WA", "MA", "SA"]].to_dict("records"):
            part = unseen if row["pairs"] == "unseen" else np.ones_like(unseen)
            level = _gain(one, None, scores[part], row["discretization"])
            gain = (
                NOTHING if before is None else _gain(one, before[part], scores[part], row["discretization"])
            )
            row |= {"steps": one.settings.dhn.steps, "low": level.low, "high": level.high}
            rows.append(row | {"gain": gain.effect, "gain low": gain.low, "gain high": gain.high})
        origins.append(made_from)
        before = scores
    return pd.DataFrame(rows)[_COLUMNS], origins


def _gain(experiment: Experiment, before: pd.DataFrame | None, after: pd.DataFrame, axis: str) -> Difference:
    """Compare scores of the same pairs, by default with zero; those of one frame are drawn together."""
    test = experiment.pairs(run(experiment.settings).pairs).test
    second = 100 * after[[f"WA_{axis}"]].to_numpy().T
    first = np.zeros_like(second) if before is None else 100 * before[[f"WA_{axis}"]].to_numpy().T
    return mean_difference(first, second, fingerprints(test)[after.index])


def _scores(experiment: Experiment) -> pd.DataFrame:
    """Return the scores of the test pairs, kept from the first call on."""
    wanted = run(experiment.settings)
    return matchers.score(experiment, wanted, matchers.train(experiment, wanted))
