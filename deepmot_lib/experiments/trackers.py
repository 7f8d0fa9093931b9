"""One tracker of one run, trained and scored: Tables 1 to 3, and what reads their networks and tracks.

Everything large lies below ``runs/<profile>/trackers``, the measures in the experiment's tables. What is
there and was made from the same settings, data, weights and code is reused; all else is made now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from .. import evaluation, matchers, trackers
from ..data import mot
from ..data import weights as weight_files
from ..data.files import visible
from ..data.image_sequences import ImageSequence
from ..matchers.network import Matcher
from ..trackers import Tracker, tracking
from ..trackers.management import Rules
from ..trackers.reid import Embedder
from ..trackers.reid_head import ReIDHead
from ..trackers.tracktor import Tracktor
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.deepmot import DeepMOTTraining
from ..training.detector import DetectorTraining
from ..training.reid import ReIDTraining
from ..training.rollout import RolloutTraining
from ..training.siamese import SiameseTraining
from ..training.trainer import Training
from . import heads, reid, rules, sequences, tables
from . import matchers as matcher_runs
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh, read_stamp, stamped
from .settings import DHN, TrackerRun
from .source import code, code_digest

# Tables of names, whose many imports a run does not need, and the modules that only call others.
_ALONE = (
    "deepmot_lib.matchers",
    "deepmot_lib.trackers",
    "deepmot_lib.experiments.sequences",
    "deepmot_lib.experiments.heads",
    "deepmot_lib.experiments.reid",
    __name__,
)
_TRACKING = ("deepmot_lib.trackers.tracking", "deepmot_lib.trackers.tracktor", "deepmot_lib.trackers.reid")
_IMAGES_AND_TRUTH = ("gt", "seqinfo", "images")
_VANILLA = TrackerRun("tracktor", "vanilla")


class TrainedTracker(NamedTuple):
    """A trained tracker in evaluation mode, the history of its training (``trainer.train``) and its weight
    file."""

    tracker: Tracker
    history: pd.DataFrame
    weights: Path


class TrackingPipeline(NamedTuple):
    """All networks that track together.

    Attributes:
        tracker: The network that propagates tracks.
        detector: Scores public detections, and finds people where there are none; None where public ones are
            taken as they are.
        embedder: The network of the external ReID, if any.
        rules: Track management by public detector, where it is not the usual one (``sequences.rules``).
    """

    tracker: Tracker
    detector: Tracktor | None
    embedder: Embedder | None = None
    rules: Mapping[str, Rules] = MappingProxyType({})

    def rules_of(self, sequence: ImageSequence) -> Rules:
        """Return the track management of a sequence."""
        return self.rules.get(sequences.detector(sequence)) or sequences.rules(self.tracker.name)

    def detections(self, sequence: ImageSequence, frames: range | None = None) -> pd.DataFrame:
        """Return the detections that tracks are born of; see ``tracking.detections``."""
        assert self.detector is not None
        return tracking.detections(self.detector, sequence, self.rules_of(sequence), frames)

    def track(
        self, sequence: ImageSequence, frames: range | None = None, progress: bool = False
    ) -> pd.DataFrame:
        """Track a sequence, or some consecutive frames of it; see ``tracking.track``."""
        return tracking.track(
            self.tracker,
            sequence,
            self.rules_of(sequence),
            self.detector,
            self.embedder,
            frames,
            progress,
        )


def folder(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the checkpoint, weights and result files of a run lie."""
    place = experiment.paths.trackers.joinpath(run.tracker, run.loss, run.reid, run.matcher, run.training)
    return place / f"seed{run.seed}"


def table_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the measures of a run lie."""
    return experiment.paths.tables / f"tracker_{run.label}.csv"


def train(experiment: Experiment, run: TrackerRun) -> TrainedTracker:
    """Train the tracker of a run, or load it where it is there.

    Tracktor is trained as a detector, GOTURN and SiamRPN on pairs of crops ("vanilla"); every other loss
    starts from there. The tracker of a run with a control head has that one.

    Raises:
        CheckpointError, FloatingPointError: As ``trainer.train``.
    """
    if run.control_head:
        trained, vanilla = train(experiment, run.weights_run), train(experiment, _VANILLA)
        head = _head(experiment, run, vanilla)
        return trained._replace(tracker=_tracktor(trained.tracker).with_head(head))
    run = run.weights_run
    place = folder(experiment, run)
    weights, history = place / "weights.safetensors", place / "history.csv"
    start = None if run.loss == "vanilla" else train(experiment, TrackerRun(run.tracker, "vanilla"))
    wanted = _of_pretraining(experiment, run) if start is None else _of_finetuning(experiment, run, start)
    if history.is_file() and fresh(weight_files.stamp(weights), wanted, f"weights of {run.label}"):
        tracker = trackers.load(weights, experiment.device)
        _keep_features(experiment, tracker)
        return TrainedTracker(tracker, pd.read_csv(history), weights)
    tracker, training = (
        _pretraining(experiment, run) if start is None else _finetuning(experiment, run, start)
    )
    losses = trainer.train(training, CheckpointFile(place / "checkpoint.pt", asdict(wanted)))
    tracker.eval()
    with stamped(history, wanted) as temporary:
        losses.to_csv(temporary, index=False)
    made_from = experiment.provenance(
        data=experiment.tracking.description, seeds=[run.seed], schedule=_schedule(experiment, run)
    )
    trackers.save(
        weights,
        tracker,
        run=run._asdict(),
        validation=float(losses["validation"].max()) if "validation" in losses else None,
        made_from=made_from,
        fingerprint=asdict(wanted),
    )
    _keep_features(experiment, tracker)
    return TrainedTracker(tracker, losses, weights)


def score(experiment: Experiment, run: TrackerRun) -> pd.DataFrame:
    """Track the last quarters by the tracker of a run, count, and write its table.

    The result files stay in the run's folder.

    Returns:
        One row per sequence and ``OVERALL``, as ``evaluation.evaluate``.
    """
    data = experiment.tracking
    trained = train(experiment, run)
    files = track(experiment, run, data.evaluation, "test")
    results = {name: mot.read_boxes(file)[tracking.COLUMNS] for name, file in files.items()}
    wanted = Fingerprint(
        settings={"run": run, "protocol": data.protocol},
        data=data_digests(data.evaluation, parts=("gt", "seqinfo")),
        upstream={name: content(file) for name, file in files.items()},
        code=code("deepmot_lib.evaluation.metrics", alone=_ALONE),
    )
    table = table_file(experiment, run)
    if not fresh(tables.stamp(table), wanted, f"table of {run.label}"):
        measures = sequences.evaluate(results, data.evaluation, "test")
        origin = weight_files.read_about(trained.weights)["made_from"]
        made = experiment.provenance(
            data=data.description,
            split="trained on first halves, reported on last quarters",
            detectors=sequences.detectors(data.evaluation),
            protocol=data.protocol,
            seeds=[run.seed],
            weights=tables.file_hash(trained.weights),
            schedule=origin.get("schedule"),
            trained=tables.trained_where(origin),
        )
        tables.write(table, measures.reset_index().assign(**run._asdict()), made, wanted)
    return tables.read(table)[0].set_index("sequence")[evaluation.COLUMNS]


def track(
    experiment: Experiment, run: TrackerRun, found: Iterable[mot.Sequence], part: str
) -> dict[str, Path]:
    """Track a part of sequences by the tracker of a run, as far as that has not been done.

    Args:
        experiment: The experiment.
        run: The run.
        found: The sequences.
        part: As of ``sequences.frames_of``.

    Returns:
        The result files by sequence name.
    """
    trained = train(experiment, run)
    networks = pipeline(experiment, run, trained.tracker)
    files = {}
    for sequence in found:
        file = results_folder(experiment, run, part) / f"{sequence.name}.txt"
        wanted = _of_tracking(experiment, run, trained, networks, sequence, part)
        if not fresh(read_stamp(file), wanted, f"tracks of {run.label} in {sequence.name}"):
            boxes = networks.track(sequence, sequences.frames_of(sequence, part))
            with stamped(file, wanted) as temporary:
                mot.write_results(temporary, boxes)
        files[sequence.name] = file
    return files


def complete(experiment: Experiment, runs: Iterable[TrackerRun]) -> None:
    """Train and score all runs, as far as they are not."""
    for run in runs:
        score(experiment, run)


def pipeline(experiment: Experiment, run: TrackerRun, tracker: Tracker) -> TrackingPipeline:
    """Return the networks that track in a run, which is trained, and their track management.

    Public detections are scored by Tracktor itself, or for the single-object trackers by the vanilla one
    (Appendix A.2). The limit of re-identification is chosen for each run (``reid.limit``).
    """
    networks = _pipeline(experiment, run, tracker)
    if run.reid == "none":
        return networks
    if networks.embedder is not None:
        embed, files = networks.embedder, [_embedder_weights(experiment)]
    else:
        files = [folder(experiment, run.weights_run) / "weights.safetensors"]
        files += [heads.weights_file(experiment, run)] * (run.control_head is not None)

        def embed(image: Tensor, boxes: Tensor) -> Tensor:
            return tracker.init_memory(tracker.encode(image), boxes)

    limit = reid.limit(reid.score(experiment, run, embed, files))
    found = [*experiment.tracking.evaluation, *experiment.tracking.transfer]
    return networks._replace(
        rules={
            sequences.detector(one): replace(networks.rules_of(one), revival_distance=limit) for one in found
        }
    )


def _pipeline(experiment: Experiment, run: TrackerRun, tracker: Tracker) -> TrackingPipeline:
    """Return the networks that track in a run, trained or not, with the usual limit of re-identification."""
    is_tracktor = isinstance(tracker, Tracktor)
    detector = _tracktor(tracker if is_tracktor else train(experiment, _VANILLA).tracker)
    external = embedder(experiment) if run.reid == "external" else None
    return TrackingPipeline(tracker, detector, external, chosen_rules(experiment, run.tracker))


def vanilla(experiment: Experiment) -> TrackingPipeline:
    """Return the vanilla Tracktor with the rules that are chosen with it."""
    return pipeline(experiment, _VANILLA, train(experiment, _VANILLA).tracker)


def chosen_rules(experiment: Experiment, tracker: str) -> Mapping[str, Rules]:
    """Return the track management around a tracker by public detector: for Tracktor what ``rules.choose``
    finds with the vanilla one; none where the usual one is taken."""
    if tracker != "tracktor":
        return {}
    start = train(experiment, _VANILLA)
    return rules.choose(experiment, _tracktor(start.tracker), start.weights)


def matcher(experiment: Experiment, name: str) -> Matcher:
    """Return the frozen network between D and the loss: as shipped, trained on Eq. 3's distances.

    Sinkhorn gets the smooth end of eps with which notebook 03 found a gradient.
    """
    if name == "sinkhorn":
        return matchers.create(name, eps_end=0.05, rounds=30).to(experiment.device)
    return matchers.load(name, experiment.device, pairs="eq3")


def embedder(experiment: Experiment) -> Embedder:
    """Return the network of the external ReID, trained where it is not there."""
    with torch.random.fork_rng(devices=[]):  # the same network whoever comes first, and no matter when
        torch.manual_seed(0)
        network = Embedder().to(experiment.device)
    schedule, place = experiment.settings.trackers.reid, experiment.paths.trackers / "reid"
    wanted = Fingerprint(
        settings={"schedule": schedule, "options": network.options},
        data=data_digests(experiment.tracking.training, _IMAGES_AND_TRUTH),
        code=code("deepmot_lib.training.reid", alone=_ALONE),
    )
    weights = _embedder_weights(experiment)
    if fresh(weight_files.stamp(weights), wanted, "weights of the external ReID"):
        network.load_state_dict(weight_files.read(weights))
    else:
        training = ReIDTraining(network, experiment.tracking.training, schedule, seed=0)
        trainer.train(training, CheckpointFile(place / "checkpoint.pt", asdict(wanted)))
        made_from = experiment.provenance(
            data=experiment.tracking.description, seeds=[0], schedule=schedule.describe()
        )
        about = {"embedder": network.options, "made_from": made_from, "fingerprint": asdict(wanted)}
        weight_files.write(weights, network.state_dict(), about)
    return network.eval()


def _embedder_weights(experiment: Experiment) -> Path:
    """Return where the weights of the external ReID lie."""
    return experiment.paths.trackers / "reid" / "weights.safetensors"


def results_folder(experiment: Experiment, run: TrackerRun, part: str = "test") -> Path:
    """Return where the result files of a run lie, of a part of the sequences."""
    return folder(experiment, run) / ("results" if part == "test" else f"results_{part}")


def results(experiment: Experiment, run: TrackerRun) -> dict[str, pd.DataFrame]:
    """Read the tracks that ``score`` has left, by sequence name.

    Raises:
        FileNotFoundError: The run has not been scored.
    """
    files = visible(results_folder(experiment, run), "*.txt")
    if not files:
        raise FileNotFoundError(f"{results_folder(experiment, run)}: this run has not been scored")
    return {file.stem: mot.read_boxes(file)[tracking.COLUMNS] for file in files}


def loss_runs(experiment: Experiment) -> list[TrackerRun]:
    """Return the trainings of Tracktor that differ in their loss alone (Table 2).

    They have the paper's matcher, and the ReID head where the loss can train one.
    """
    heads = ("none", "head")
    return [
        run
        for run in experiment.settings.trackers.runs
        if run.tracker == "tracktor" and run.loss != "vanilla"
        if run.reid == heads[run.loss != "smooth_l1"] and run.matcher in ("none", DHN)
        if run.training == "release"
    ]


# --- the trainings ------------------------------------------------------------------------------------------


def _pretraining(experiment: Experiment, run: TrackerRun) -> tuple[Tracker, Training]:
    settings = experiment.settings.trackers
    torch.manual_seed(run.seed)
    tracker = trackers.create(run.tracker, **settings.options[run.tracker]).to(experiment.device)
    if isinstance(tracker, Tracktor):
        return tracker, DetectorTraining(
            tracker.detector, experiment.tracking.training, settings.detector, run.seed
        )
    return tracker, SiameseTraining(tracker, experiment.tracking.training, settings.pairs, run.seed)  # type: ignore[arg-type]


def _finetuning(experiment: Experiment, run: TrackerRun, start: TrainedTracker) -> tuple[Tracker, Training]:
    data, tracker = experiment.tracking, start.tracker
    if run.has_head:
        tracker = _tracktor(tracker).with_head(_head(experiment, run, start))
    networks = _pipeline(experiment, run, tracker)

    def validation() -> float:
        results = {one.name: networks.track(one, mot.split(one)["val"]) for one in data.evaluation}
        return float(sequences.evaluate(results, data.evaluation, "val")["MOTA"].loc[evaluation.OVERALL])

    settings, matrices = experiment.settings.trackers, folder(experiment, run) / "matrices"
    between = None if run.matcher == "none" else matcher(experiment, run.matcher)
    what = (tracker, data.training, run.loss, between)
    if _rolls_out(run):
        return tracker, RolloutTraining(*what, settings.rollout, run.seed, validation, matrices)
    return tracker, DeepMOTTraining(*what, settings.training, run.seed, run.has_head, validation, matrices)


def _rolls_out(run: TrackerRun) -> bool:
    """Whether a run's tracks go on from their own predictions, as the release trains Tracktor."""
    return run.tracker == "tracktor" and run.training == "release"


def _head(experiment: Experiment, run: TrackerRun, vanilla: TrainedTracker) -> ReIDHead:
    """Return the ReID head of a run, as it is trained on features alone."""
    between = None if run.control_head else matcher(experiment, run.matcher)
    return heads.trained(experiment, run, _tracktor(vanilla.tracker), content(vanilla.weights), between)


def _schedule(experiment: Experiment, run: TrackerRun) -> str:
    """The schedule of a run's training in a line."""
    settings = experiment.settings.trackers
    if run.loss != "vanilla":
        described = settings.training.describe(run.has_head)
        if _rolls_out(run):
            described = settings.rollout.describe()
        return f"head: {settings.head.describe()}; then {described}" if run.has_head else described
    return (settings.detector if run.tracker == "tracktor" else settings.pairs).describe()


def _keep_features(experiment: Experiment, tracker: Tracker) -> None:
    if isinstance(tracker, Tracktor) and experiment.settings.trackers.keep_features:
        tracker.keep_features(
            experiment.paths.trackers / "features", code_digest("deepmot_lib.trackers.tracktor", alone=_ALONE)
        )


def _tracktor(tracker: Tracker) -> Tracktor:
    assert isinstance(tracker, Tracktor)
    return tracker


# --- what each depends on -----------------------------------------------------------------------------------


def _of_pretraining(experiment: Experiment, run: TrackerRun) -> Fingerprint:
    settings = experiment.settings.trackers
    is_detector = run.tracker == "tracktor"
    module = "deepmot_lib.training.detector" if is_detector else "deepmot_lib.training.siamese"
    return Fingerprint(
        settings={
            "run": run,
            "options": settings.options[run.tracker],
            "schedule": settings.detector if is_detector else settings.pairs,
        },
        data=data_digests(experiment.tracking.training, _IMAGES_AND_TRUTH),
        code=code(
            module, f"deepmot_lib.trackers.{'backbones' if is_detector else run.tracker}", alone=_ALONE
        ),
    )


def _of_finetuning(experiment: Experiment, run: TrackerRun, start: TrainedTracker) -> Fingerprint:
    """Validation selects the weights: tracking, evaluation and its data count, too."""
    data = experiment.tracking
    upstream = {"weights of vanilla": content(start.weights)}
    settings = experiment.settings.trackers
    training = "rollout" if _rolls_out(run) else "deepmot"
    modules = {f"deepmot_lib.training.{training}", f"deepmot_lib.trackers.{run.tracker}", *_TRACKING}
    modules |= {"deepmot_lib.evaluation.metrics"}
    if run.has_head:
        _head(experiment, run, start)
        upstream["ReID head"] = content(heads.weights_file(experiment, run))
    found: dict[str, str] = {}
    if run.matcher != "none":
        between = matcher(experiment, run.matcher)
        upstream["matcher"] = matcher_runs.digest(between)
        found = matcher_runs.code_of(variant=run.matcher)
    if run.tracker != "tracktor":
        upstream["detector"] = content(train(experiment, _VANILLA).weights)
    return Fingerprint(
        settings={
            "run": run,
            "options": start.tracker.options,
            "schedule": settings.rollout if _rolls_out(run) else settings.training,
            "rules": chosen_rules(experiment, run.tracker) or sequences.rules(run.tracker),
            "protocol": data.protocol,
        },
        data=data_digests(data.training, _IMAGES_AND_TRUTH) | data_digests(data.evaluation),
        upstream=upstream,
        code=code(*modules, alone=_ALONE) | found,
    )


def _of_tracking(
    experiment: Experiment,
    run: TrackerRun,
    trained: TrainedTracker,
    networks: TrackingPipeline,
    sequence: mot.Sequence,
    part: str,
) -> Fingerprint:
    upstream = {"weights": content(trained.weights)}
    if run.tracker != "tracktor":
        upstream["detector"] = content(train(experiment, _VANILLA).weights)
    if run.reid == "external":
        upstream["external ReID"] = content(_embedder_weights(experiment))
    if run.control_head:
        upstream["ReID head"] = content(heads.weights_file(experiment, run))
    return Fingerprint(
        settings={"run": run, "rules": networks.rules_of(sequence), "part": part},
        data=data_digests([sequence], ("det", "seqinfo", "images")),
        upstream=upstream,
        code=code(*_TRACKING, f"deepmot_lib.trackers.{run.tracker}", alone=_ALONE),
    )
