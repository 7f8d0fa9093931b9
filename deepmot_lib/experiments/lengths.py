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
from ..evaluation.intervals import Difference, mean_difference
from ..evaluation.matching import AXES
from . import matchers, tables
from .experiment import Experiment, Paths
from .settings import MatcherRun, Settings


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
    test = experiment.pairs(run(experiment.settings).pairs).test
    groups = fingerprints(test)[scores.index]
    levels = {axis: 100 * scores[[f"WA_{axis}"]].to_numpy().T for axis in AXES}
    return {axis: mean_difference(np.zeros_like(level), level, groups) for axis, level in levels.items()}


def table(experiment: Experiment) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Train and score all lengths, as far as they are not.

    Returns:
        One row per length and discretization, in percent: ``discretization``, ``steps``, WA on all test pairs
        with the ends ``low`` and ``high`` of its 95 % interval, MA and SA, and ``WA unseen`` on those that no
        training pair gives away. And the provenance of each length.
    """
    parts, origins = [], []
    for one in every(experiment):
        ends = {axis: level._asdict() for axis, level in accuracy(one).items()}
        measures, made_from = tables.read(matchers.table_file(one, run(one.settings)))
        whole, unseen = (
            measures[measures["pairs"] == part].set_index("discretization") for part in ("all", "unseen")
        )
        found = whole[["WA"]].join(pd.DataFrame(ends).T[["low", "high"]]).join(whole[["MA", "SA"]])
        found["WA unseen"] = unseen["WA"]
        found.insert(0, "steps", one.settings.dhn.steps)
        parts.append(found.reset_index())
        origins.append(made_from)
    return pd.concat(parts, ignore_index=True), origins


def _scores(experiment: Experiment) -> pd.DataFrame:
    """Return the scores of the test pairs, kept from the first call on."""
    wanted = run(experiment.settings)
    return matchers.score(experiment, wanted, matchers.train(experiment, wanted))
