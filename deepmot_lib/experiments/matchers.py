"""One network of one run, trained and scored: what notebook 02 shows and the notebooks behind it read.

Everything large lies below ``runs/<profile>/dhn/<variant>-<pairs>/seed<seed>``, the measures in the profile's
tables. What is there already is not made again; what is not is made on the spot.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors.torch import save_file

from ..data.files import atomic
from ..evaluation import matching as scoring
from ..matchers import CONTROLS, WEIGHTS, create, freeze, load_weights
from ..matchers.network import Matcher
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.matcher import MatcherTraining
from ..training.prices import PriceTraining
from ..training.schedules import PriceSchedule
from . import settings as profiles
from . import tables
from .fingerprints import Fingerprint
from .pairs import DHNData
from .source import code


class Trained(NamedTuple):
    """A trained network: frozen, its history (of ``trainer.train``) and the file of its weights.

    A control has neither history nor weights.
    """

    matcher: Matcher
    history: pd.DataFrame | None = None
    weights: Path | None = None


def folder(profile: str, run: profiles.DHNRun) -> Path:
    """Where the checkpoint, weights and scores of a run lie."""
    return profiles.Paths.of(profile).runs / "dhn" / f"{run.variant}-{run.pairs}" / f"seed{run.seed}"


def table_file(profile: str, run: profiles.DHNRun) -> Path:
    """Where the measures of a run lie."""
    return profiles.Paths.of(profile).tables / f"dhn_{run.variant}_{run.pairs}_seed{run.seed}.csv"


def train(profile: str, run: profiles.DHNRun, data: DHNData, device: str = "cpu") -> Trained:
    """Trains a network as its profile says, from its checkpoint on where there is one; a control is ready.

    Raises as ``trainer.train``.
    """
    settings = profiles.get(profile)
    torch.manual_seed(run.seed)
    matcher = create(run.variant, **settings.dhn.options(run.variant))
    if run.variant in CONTROLS:
        return Trained(freeze(matcher).to(device))
    place = folder(profile, run)
    place.mkdir(parents=True, exist_ok=True)
    schedule = settings.schedule(run.variant)
    training: PriceTraining | MatcherTraining
    if isinstance(schedule, PriceSchedule):
        training = PriceTraining(matcher.to(device), data.train, schedule, run.seed)
    else:
        training = MatcherTraining(matcher.to(device), data.train, schedule, run.seed)
    fields = dataclasses.asdict(schedule)
    fields.pop("test_pairs", None)  # says how a network is scored
    fingerprint = Fingerprint(
        settings={"options": matcher.options, "schedule": fields},
        data={"pairs": data.train.digest},
        code=code(type(training).__module__),
    )
    checkpoint = CheckpointFile(place / "checkpoint.pt", dataclasses.asdict(fingerprint))
    history = trainer.train(training, checkpoint)
    history.to_csv(place / "history.csv", index=False)
    weights = place / "weights.safetensors"
    save_file(matcher.core.state_dict(), weights)
    return Trained(freeze(matcher), history, weights)


def score(
    profile: str, run: profiles.DHNRun, trained: Trained, data: DHNData, device: str = "cpu"
) -> pd.DataFrame:
    """A network's scores on the profile's test pairs, as ``scoring.score``; its table is written as well.

    The table has the columns of ``scoring.table`` and one more, ``distances``: the kind of the pairs.
    """
    settings = profiles.get(profile)
    place = folder(profile, run)
    place.mkdir(parents=True, exist_ok=True)
    name = "control" if trained.weights is None else tables.file_hash(trained.weights)
    indices = data.test.sample(settings.dhn.test_pairs)
    cache = place / f"scores-{name}-{data.test.digest}.csv"
    scores = scoring.score(trained.matcher, data.test, indices, device, cache)
    unseen = scores[data.unseen[scores.index]]
    results = scoring.table(run.variant, {"all": scores, "unseen": unseen})
    results["distances"] = run.pairs
    is_control = trained.weights is None
    made_from = tables.provenance(
        profile=profile,
        data=data.description,
        split=f"{len(scores):,} test pairs, {len(unseen):,} of them unseen",
        seeds=[] if is_control else [run.seed],
        weights=None if is_control else name,
        schedule=None if is_control else settings.schedule(run.variant).describe(),
    )
    tables.write(table_file(profile, run), results, made_from)
    return scores


def complete(profile: str, runs: list[profiles.DHNRun], data: DHNData, device: str = "cpu") -> None:
    """Sees to it that all ``runs`` (on one kind of pairs) are trained and scored: what is not is made now."""
    for run in runs:
        weights = folder(profile, run) / "weights.safetensors"
        trained = run.variant in CONTROLS or weights.is_file()
        if not (trained and table_file(profile, run).is_file()):
            score(profile, run, train(profile, run, data, device), data, device)


def history(profile: str, run: profiles.DHNRun) -> pd.DataFrame:
    """The history of a run's training (of ``trainer.train``); FileNotFoundError where it has not been
    trained."""
    return pd.read_csv(folder(profile, run) / "history.csv")


def networks(profile: str, pairs: str, device: str = "cpu") -> dict[str, Matcher]:
    """The networks that have been trained in this profile on a kind of pairs, seed 0, by name."""
    settings, found = profiles.get(profile), {}
    for run in settings.dhn_runs:
        weights = folder(profile, run) / "weights.safetensors"
        if run.pairs == pairs and run.seed == 0 and weights.is_file():
            matcher = create(run.variant, **settings.dhn.options(run.variant))
            found[run.variant] = freeze(load_weights(matcher, weights)).to(device)
    return found


def with_rounds(matcher: Matcher, rounds: int) -> Matcher:
    """The same ``min_sum`` network with another number of rounds."""
    other = create(matcher.name, **{**matcher.options, "rounds": rounds})
    other.core.load_state_dict(matcher.core.state_dict())
    return freeze(other)


def ship(profile: str, run: profiles.DHNRun, target: Path = WEIGHTS) -> Path:
    """Puts a run's weights and their card where ``matchers.load`` finds them; returns the card's path.

    The card tells what they were trained on and how they score, from the run's table. FileNotFoundError
    where the run has not been made.
    """
    measures, made_from = tables.read(table_file(profile, run))
    source = folder(profile, run) / "weights.safetensors"
    place = target / f"{run.variant}-{run.pairs}.safetensors"
    options = profiles.get(profile).dhn.options(run.variant)
    matcher = load_weights(create(run.variant, **options), source)
    save_file(matcher.core.state_dict(), place)
    pooled = {}
    for part, rows in measures.groupby("pairs", sort=False):
        by_axis = rows.set_index("discretization")
        names = [f"{measure}_{axis}" for measure in ("WA", "MA", "SA") for axis in scoring.AXES]
        values = {name: round(float(by_axis.loc[name[3:], name[:2]]), 2) for name in names}
        pooled[part] = {"matrices": int(rows["matrices"].iloc[0]), **values}
    card = {
        "name": run.variant,
        "options": options,
        "pairs": run.pairs,
        "data": made_from["data"],
        "licence": "CC BY-NC-SA 3.0 (see LICENSE.md): trained on data derived from MOTChallenge",
        "schedule": f"profile {profile}: {made_from['schedule']}",
        "seed": run.seed,
        "commit": made_from["commit"],
        "device": made_from["device"],
        "sha256": hashlib.sha256(place.read_bytes()).hexdigest(),
        "measures": pooled,
    }
    path = place.with_suffix(".json")
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    return path
