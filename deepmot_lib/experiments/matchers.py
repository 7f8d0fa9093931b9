"""One matcher of one run, trained and scored: Tables 5 and 6, and what reads their networks.

Everything large lies below ``runs/<profile>/dhn``, the measures in the experiment's tables. What is there and
was made from the same settings, data and code is reused; all else is made now.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from .. import matchers
from ..data import weights as weight_files
from ..data.files import atomic
from ..evaluation import matching
from ..matchers.network import Matcher
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.matcher import MatcherTraining
from ..training.prices import PriceTraining
from ..training.schedules import DHNSchedule, PriceSchedule
from ..training.trainer import Training
from . import tables
from .experiment import Experiment
from .fingerprints import Fingerprint, fresh, stamped
from .settings import MatcherRun
from .source import code, short_digest

#: The module of each network, for the code that it depends on.
_MODULES = {
    "seq_gru": "sequential",
    "seq_lstm": "sequential",
    "paral_gru": "parallel",
    "paral_lstm": "parallel",
    "1d_conv": "convolutional",
    "min_sum": "min_sum",
    **{name: "min_sum" if name == "min_sum_rule" else "controls" for name in matchers.CONTROLS},
}
# Tables of names, whose many imports a run does not need, and this module, which only calls others.
_ALONE = ("deepmot_lib.matchers", __name__)


class TrainedMatcher(NamedTuple):
    """A trained matcher: frozen, with the history of its training (``trainer.train``) and its weight file.

    A control has neither history nor weights.
    """

    matcher: Matcher
    history: pd.DataFrame | None = None
    weights: Path | None = None


def folder(experiment: Experiment, run: MatcherRun) -> Path:
    """Return where the checkpoint, weights and scores of a run lie."""
    return experiment.paths.matchers / f"{run.variant}-{run.pairs}" / f"seed{run.seed}"


def table_file(experiment: Experiment, run: MatcherRun) -> Path:
    """Return where the measures of a run lie."""
    return experiment.paths.tables / f"dhn_{run.label}.csv"


def code_of(*modules: str, variant: str) -> dict[str, str]:
    """Digest the code of some modules and of a matcher."""
    return code(*modules, f"deepmot_lib.matchers.{_MODULES[variant]}", alone=_ALONE)


def digest(matcher: Matcher) -> str:
    """Digest what a matcher computes, its code aside: name, options and weights."""
    parts = hashlib.blake2b(repr((matcher.name, sorted(matcher.options.items()))).encode(), digest_size=6)
    for name, tensor in matcher.state_dict().items():
        parts.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return parts.hexdigest()


def train(experiment: Experiment, run: MatcherRun) -> TrainedMatcher:
    """Train the matcher of a run, or load it where it is there; a control is ready at once.

    What ships with the package is taken where it was made from the same settings, data and code.

    Raises:
        CheckpointError, FloatingPointError: As ``trainer.train``.
    """
    torch.manual_seed(run.seed)
    matcher = _create(experiment, run.variant)
    if run.variant in matchers.CONTROLS:
        return TrainedMatcher(matchers.freeze(matcher))
    schedule = experiment.settings.schedule(run.variant)
    kind = _kind(schedule)
    data = experiment.pairs(run.pairs)
    wanted = Fingerprint(
        settings={"run": run, "schedule": _of_training(schedule), "options": matcher.options},
        data={"training pairs": data.train.digest},
        code=code_of(kind.__module__, variant=run.variant),
    )
    place = folder(experiment, run)
    weights, history = place / "weights.safetensors", place / "history.csv"
    _take_what_ships(run, wanted, weights, history)
    if history.is_file() and fresh(weight_files.stamp(weights), wanted, f"weights of {run.label}"):
        matchers.load_weights(matcher, weights)
        return TrainedMatcher(matchers.freeze(matcher), pd.read_csv(history), weights)
    learning = kind(matcher, data.train, schedule, run.seed)  # type: ignore[arg-type]
    trained = trainer.train(learning, CheckpointFile(place / "checkpoint.pt", asdict(wanted)))
    with stamped(history, wanted) as temporary:
        trained.to_csv(temporary, index=False)
    made_from = experiment.provenance(data=data.description, seeds=[run.seed], schedule=schedule.describe())
    weight_files.write(
        weights,
        matcher.core.state_dict(),
        {
            "matcher": run.variant,
            "options": matcher.options,
            "made_from": made_from,
            "fingerprint": asdict(wanted),
        },
    )
    return TrainedMatcher(matchers.freeze(matcher), trained, weights)


def _take_what_ships(run: MatcherRun, wanted: Fingerprint, weights: Path, history: Path) -> None:
    """Copy a run's weights and history from the package, where there are none and those are the same."""
    ships = matchers.WEIGHTS / f"{run.variant}-{run.pairs}.safetensors"
    stamp = None if weights.is_file() else weight_files.stamp(ships)
    if stamp and Fingerprint.from_json(stamp) == wanted:
        with stamped(history, wanted) as temporary:
            shutil.copyfile(ships.with_suffix(".csv"), temporary)
        with atomic(weights) as temporary:
            shutil.copyfile(ships, temporary)


def training(experiment: Experiment, run: MatcherRun) -> Training:
    """Return the training of a new matcher, as :func:`train` has it; a control has none."""
    schedule = experiment.settings.schedule(run.variant)
    matcher = _create(experiment, run.variant)
    return _kind(schedule)(matcher, experiment.pairs(run.pairs).train, schedule, run.seed)  # type: ignore[arg-type]


def score(experiment: Experiment, run: MatcherRun, trained: TrainedMatcher) -> pd.DataFrame:
    """Score a matcher on the test pairs, and write its table.

    The table has the columns of ``matching.table`` and one more, ``distances``: the kind of the pairs.

    Returns:
        The scores, one row per pair, as ``matching.score``.
    """
    data = experiment.pairs(run.pairs)
    is_control = trained.weights is None
    wanted = Fingerprint(
        settings={"run": run, "test_pairs": experiment.settings.dhn.test_pairs},
        data={"test pairs": data.test.digest, "unseen": short_digest(data.unseen.tobytes().hex())},
        upstream={"matcher": digest(trained.matcher)},
        code=code_of("deepmot_lib.evaluation.matching", variant=run.variant),
    )
    place = folder(experiment, run)
    cache = place / f"scores-{wanted.digest}.csv"
    for file in set(place.glob("scores-*.csv")) - {cache}:
        file.unlink()
    indices = data.test.sample(experiment.settings.dhn.test_pairs)
    scores = matching.score(trained.matcher, data.test, indices, cache)
    table = table_file(experiment, run)
    if not fresh(tables.stamp(table), wanted, f"table of {run.label}"):
        unseen = scores[data.unseen[scores.index]]
        results = matching.table(run.variant, {"all": scores, "unseen": unseen})
        results["distances"] = run.pairs
        origin = {} if trained.weights is None else weight_files.read_about(trained.weights)["made_from"]
        made_from = experiment.provenance(
            data=data.description,
            split=f"{len(scores):,} test pairs, {len(unseen):,} of them unseen",
            seeds=[] if is_control else [run.seed],
            weights=None if trained.weights is None else tables.file_hash(trained.weights),
            schedule=origin.get("schedule"),
            trained=tables.trained_where(origin),
        )
        tables.write(table, results, made_from, wanted)
    return scores


def complete(experiment: Experiment, runs: Iterable[MatcherRun]) -> None:
    """Train and score all runs, as far as they are not."""
    for run in runs:
        score(experiment, run, train(experiment, run))


def history(experiment: Experiment, run: MatcherRun) -> pd.DataFrame:
    """Read the history of a run's training.

    Raises:
        FileNotFoundError: The run has not been trained.
    """
    return pd.read_csv(folder(experiment, run) / "history.csv")


def networks(experiment: Experiment, kind: str) -> dict[str, Matcher]:
    """Return the networks of this experiment's runs on a kind of pairs, seed 0, by name."""
    runs = (run for run in experiment.settings.dhn_runs if run.pairs == kind and run.seed == 0)
    return {run.variant: train(experiment, run).matcher for run in runs}


def with_rounds(matcher: Matcher, rounds: int) -> Matcher:
    """Return the same ``min_sum`` network with another number of rounds."""
    other = matchers.create(matcher.name, **{**matcher.options, "rounds": rounds})
    other.core.load_state_dict(matcher.core.state_dict())
    return matchers.freeze(other)


def ship(experiment: Experiment, run: MatcherRun, target: Path = matchers.WEIGHTS) -> Path:
    """Put a run's weights and their card where ``matchers.load`` finds them; return the card's path.

    The card says what they were trained on and how they score, from the run's table. The history of their
    training goes beside them, so that :func:`train` can take both.

    Raises:
        FileNotFoundError: The run has not been made.
    """
    measures, scored = tables.read(table_file(experiment, run))
    source = folder(experiment, run) / "weights.safetensors"
    place = target / f"{run.variant}-{run.pairs}.safetensors"
    about = weight_files.read_about(source)
    origin = about["made_from"]
    weight_files.write(place, weight_files.read(source), about)
    with atomic(place.with_suffix(".csv")) as temporary:
        shutil.copyfile(source.with_name("history.csv"), temporary)
    pooled: dict[str, Any] = {}
    for part, rows in measures.groupby("pairs", sort=False):
        by_axis = rows.set_index("discretization")
        names = [f"{measure}_{axis}" for measure in ("WA", "MA", "SA") for axis in matching.AXES]
        values = {name: round(float(by_axis[name[:2]].loc[name[3:]]), 2) for name in names}
        pooled[str(part)] = {"matrices": int(rows["matrices"].iloc[0]), **values}
    card = {
        "name": run.variant,
        "options": about["options"],
        "pairs": run.pairs,
        "data": scored["data"],
        "license": "CC BY-NC-SA 3.0 (see LICENSE.md): trained on data derived from MOTChallenge",
        "schedule": f"profile {origin['profile']}: {origin['schedule']}",
        "seed": run.seed,
        "commit": origin["commit"],
        "device": origin["device"],
        "sha256": hashlib.sha256(place.read_bytes()).hexdigest(),
        "measures": pooled,
    }
    path = place.with_suffix(".json")
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return path


def _kind(schedule: DHNSchedule | PriceSchedule) -> type[PriceTraining] | type[MatcherTraining]:
    return PriceTraining if isinstance(schedule, PriceSchedule) else MatcherTraining


def _create(experiment: Experiment, variant: str) -> Matcher:
    return matchers.create(variant, **experiment.settings.dhn.options(variant)).to(experiment.device)


def _of_training(schedule: DHNSchedule | PriceSchedule) -> dict[str, Any]:
    """The fields of a schedule that say how a network is trained, not how it is made or tested."""
    return {key: value for key, value in asdict(schedule).items() if key not in ("test_pairs", "hidden_size")}
