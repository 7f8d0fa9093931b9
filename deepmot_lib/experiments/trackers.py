"""One tracker of one run, trained and scored: what notebook 07 shows and the notebooks behind it read.

Everything large lies below ``runs/<profile>/trackers``, the measures in the profile's tables. What is there
already is not made again; what is not is made on the spot.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from .. import evaluation, matchers
from ..data import mot
from ..trackers import Tracker, create, load, reid, save, tracking
from ..trackers.tracktor import Tracktor
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.deepmot import DeepMOTTraining
from ..training.detector import DetectorTraining
from ..training.reid import ReIDTraining
from ..training.siamese import SiameseTraining
from . import sequences as data
from . import settings as profiles
from . import tables
from .fingerprints import PARTS, Fingerprint, data_digests
from .settings import TrackerRun
from .source import code


class Trained(NamedTuple):
    """A trained tracker in evaluation mode, its training's history and the file of its weights."""

    tracker: Tracker
    history: pd.DataFrame
    weights: Path


class Team(NamedTuple):
    """All that tracks together: the tracker, and, if there are such, the detector that judges public
    detections and the network of the external ReID."""

    tracker: Tracker
    detector: Tracktor | None
    embed: reid.Embedder | None = None


def learning(run: TrackerRun) -> TrackerRun:
    """The run whose weights ``run`` takes: an external ReID does not change how a tracker learns."""
    return run._replace(reid="none") if run.reid == "external" else run


def folder(profile: str, run: TrackerRun) -> Path:
    """Where a run's checkpoint, weights and results lie."""
    place = profiles.Paths.of(profile).runs / "trackers" / run.tracker / run.loss / run.reid / run.matcher
    return place / f"seed{run.seed}"


def table_file(profile: str, run: TrackerRun) -> Path:
    """Where the measures of a run lie."""
    parts = "_".join([run.tracker, run.loss, run.reid, run.matcher, f"seed{run.seed}"])
    return profiles.Paths.of(profile).tables / f"tracker_{parts}.csv"


def train(profile: str, run: TrackerRun, device: str = "cpu") -> Trained:
    """The tracker of a run, trained as its profile says, from its checkpoint on where there is one.

    "vanilla" trains Tracktor as a detector, GOTURN and SiamRPN on pairs of crops; every other loss starts
    from there. Raises as ``trainer.train``.
    """
    run = learning(run)
    place = folder(profile, run)
    place.mkdir(parents=True, exist_ok=True)
    weights, history = place / "weights.safetensors", place / "history.csv"
    if weights.is_file() and history.is_file():
        tracker = load(weights, device)
        _keep_features(profile, tracker)
        return Trained(tracker, pd.read_csv(history), weights)
    teach = _pretrain if run.loss == "vanilla" else _finetune
    tracker, learnt = teach(profile, run, place / "checkpoint.pt", device)
    learnt.to_csv(history, index=False)
    save(weights, tracker, profile=profile, run=run._asdict(), validation=_best(learnt))
    return Trained(tracker.eval(), learnt, weights)


def _best(history: pd.DataFrame) -> float | None:
    return float(history["validation"].max()) if "validation" in history else None


def _pretrain(profile: str, run: TrackerRun, checkpoint: Path, device: str) -> tuple[Tracker, pd.DataFrame]:
    settings = profiles.get(profile).trackers
    torch.manual_seed(run.seed)
    tracker = create(run.tracker, **settings.options[run.tracker]).to(device)
    sequences = data.for_profile(profile).learn
    training: DetectorTraining | SiameseTraining
    if isinstance(tracker, Tracktor):
        training = DetectorTraining(tracker, sequences, settings.detector, run.seed)
    else:
        training = SiameseTraining(tracker, sequences, settings.pairs, run.seed)
    history = trainer.train(training, CheckpointFile(checkpoint, _fingerprint(training, sequences)))
    _keep_features(profile, tracker)
    return tracker, history


def _finetune(profile: str, run: TrackerRun, checkpoint: Path, device: str) -> tuple[Tracker, pd.DataFrame]:
    settings, found = profiles.get(profile).trackers, data.for_profile(profile)
    start = train(profile, TrackerRun(run.tracker, "vanilla"), device).tracker
    tracker = start
    if run.has_head:
        torch.manual_seed(run.seed)
        tracker = create(run.tracker, **(start.options | {"reid": True, "pretrained": False}))
        tracker.load_state_dict(start.state_dict(), strict=False)  # the head is new
        tracker.to(device)
        _keep_features(profile, tracker)
    members = team(profile, run._replace(reid="none"), tracker, device)

    def validate() -> float:
        counts = data.judged(follow(members, found.judge, "val"), found.judge, "val")
        return evaluation.summarize(counts).loc[evaluation.OVERALL, "MOTA"]

    training = DeepMOTTraining(
        tracker,
        found.learn,
        run.loss,
        None if run.matcher == "none" else matcher(run.matcher, device),
        settings.training,
        run.seed,
        reid=run.reid if run.has_head else None,
        validation=validate,
        matrices=checkpoint.parent / "matrices",
    )
    upstream = {"start": _weights_digest(start)}
    if isinstance(training.matcher, nn.Module):
        upstream["matcher"] = _weights_digest(training.matcher)
    fingerprint = _fingerprint(training, found.judge, PARTS, {"run": run._asdict()}, upstream)
    return tracker, trainer.train(training, CheckpointFile(checkpoint, fingerprint))


def _fingerprint(
    training: DetectorTraining | SiameseTraining | ReIDTraining | DeepMOTTraining,
    sequences: list[mot.Sequence],
    parts: tuple[str, ...] = ("gt", "seqinfo", "images"),
    settings: dict[str, object] | None = None,
    upstream: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What a training depends on, for its checkpoint."""
    fingerprint = Fingerprint(
        settings={"options": training.network.options, "schedule": training.schedule, **(settings or {})},
        data=data_digests(sequences, parts),
        upstream=upstream or {},
        code=code(type(training).__module__),
    )
    return dataclasses.asdict(fingerprint)


def _weights_digest(network: nn.Module) -> str:
    """Twelve hexadecimal digits of a network's weights."""
    digest = hashlib.blake2b(digest_size=6)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def matcher(name: str, device: str = "cpu") -> matchers.Matcher:
    """The frozen network between D and the loss: as shipped, trained on Eq. 3's distances. Sinkhorn with the
    smooth end of eps that notebook 03 found a gradient with."""
    if name == "sinkhorn":
        return matchers.create(name, eps_end=0.05, rounds=30).to(device)
    return matchers.load(name, device, pairs="eq3")


def team(profile: str, run: TrackerRun, tracker: Tracker, device: str = "cpu") -> Team:
    """Who tracks beside the tracker of a run. Public detections are judged by Tracktor itself, or for the
    single-object trackers by the vanilla one (Appendix A.2)."""
    detector = tracker
    if not isinstance(tracker, Tracktor):
        detector = train(profile, TrackerRun("tracktor", "vanilla"), device).tracker
    return Team(tracker, detector, embedder(profile, device) if run.reid == "external" else None)


def embedder(profile: str, device: str = "cpu") -> reid.Embedder:
    """The network of the external ReID, trained from its checkpoint on where there is one."""
    with torch.random.fork_rng(devices=[]):  # the same network whoever comes first, and no matter when
        torch.manual_seed(0)
        network = reid.Embedder()
    place = profiles.Paths.of(profile).runs / "trackers" / "reid"
    place.mkdir(parents=True, exist_ok=True)
    sequences, schedule = data.for_profile(profile).learn, profiles.get(profile).trackers.reid
    training = ReIDTraining(network.to(device), sequences, schedule, seed=0)
    trainer.train(training, CheckpointFile(place / "checkpoint.pt", _fingerprint(training, sequences)))
    return network


def follow(members: Team, sequences: Iterable[mot.Sequence], part: str) -> dict[str, pd.DataFrame]:
    """The tracks (``tracking.COLUMNS``) in that part of the sequences, by name."""
    rules = data.rules(members.tracker.name)
    return {
        sequence.name: tracking.track(
            members.tracker,
            sequence,
            rules,
            members.detector,
            members.embed,
            mot.split(sequence)[part],
            progress=False,
        )
        for sequence in sequences
    }


def score(profile: str, run: TrackerRun, trained: Trained, device: str = "cpu") -> pd.DataFrame:
    """Tracks the last quarters and counts: a row a sequence and ``OVERALL``, as ``evaluation.evaluate``.

    The result files stay in the run's folder; the measures, beside the run's fields, go to its table.
    """
    settings, found = profiles.get(profile).trackers, data.for_profile(profile)
    results = follow(team(profile, run, trained.tracker, device), found.judge, "test")
    for name, boxes in results.items():
        mot.write_results(results_folder(profile, run) / f"{name}.txt", boxes)
    measures = evaluation.summarize(data.judged(results, found.judge, "test"))
    is_vanilla = run.loss == "vanilla"
    pretrained = settings.detector if run.tracker == "tracktor" else settings.pairs
    schedule = pretrained.describe() if is_vanilla else settings.training.describe(run.has_head)
    made_from = tables.provenance(
        profile=profile,
        data=found.description,
        split="trained on first halves, reported on last quarters",
        detectors=data.detectors(found.judge),
        protocol=data.PROTOCOL,
        seeds=[run.seed],
        weights=tables.file_hash(trained.weights),
        schedule=schedule,
    )
    tables.write(table_file(profile, run), measures.reset_index().assign(**run._asdict()), made_from)
    return measures


def results_folder(profile: str, run: TrackerRun) -> Path:
    """Where the result files of a run lie."""
    return folder(profile, run) / "results"


def complete(profile: str, runs: Iterable[TrackerRun], device: str = "cpu") -> None:
    """Sees to it that all ``runs`` are trained and scored: what is not is made now."""
    for run in runs:
        if not table_file(profile, run).is_file():
            score(profile, run, train(profile, run, device), device)


def compared(profile: str) -> list[TrackerRun]:
    """The trainings of Tracktor that differ in their loss: with the paper's matcher, and with the ReID head
    where the loss can train one (Table 2)."""
    heads = ("none", "distance")
    return [
        run
        for run in profiles.get(profile).trackers.runs
        if run.tracker == "tracktor" and run.loss != "vanilla"
        if run.reid == heads[run.loss != "smooth_l1"] and run.matcher in ("none", profiles.DHN)
    ]


def _keep_features(profile: str, tracker: Tracker) -> None:
    if isinstance(tracker, Tracktor) and profiles.get(profile).trackers.keep_features:
        tracker.keep_features(profiles.Paths.of(profile).runs / "trackers" / "features")


def results(profile: str, run: TrackerRun) -> dict[str, pd.DataFrame]:
    """The tracks that ``score`` has left, by sequence name; FileNotFoundError where there are none."""
    files = sorted(results_folder(profile, run).glob("*.txt"))
    if not files:
        raise FileNotFoundError(f"{results_folder(profile, run)}: this run has not been scored")
    return {file.stem: mot.read_boxes(file)[tracking.COLUMNS] for file in files}
