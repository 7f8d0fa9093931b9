"""The trackers of runs, trained; and the networks and the track management that track with them.

Everything lies below ``runs/<profile>/trackers``. What is there and was made from the same settings, data,
weights and code is reused; all else is made now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd
import torch

from .. import evaluation, matchers, trackers
from ..data import mot
from ..data import weights as weight_files
from ..data.image_sequences import ImageSequence
from ..matchers.network import Matcher
from ..trackers import Tracker, tracking
from ..trackers.reid import Embedder
from ..trackers.reid_head import ReIDHead
from ..trackers.rules import Rules
from ..trackers.tracktor import Tracktor
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.deepmot import DeepMOTTraining
from ..training.detector import ContinuedTraining, DetectorTraining
from ..training.reid import ReIDTraining
from ..training.rollout import RolloutTraining
from ..training.siamese import SiameseTraining
from ..training.trainer import Training
from . import heads, rules, sequences
from . import matchers as matcher_runs
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh, stamped
from .settings import TrackerRun
from .source import code, code_digest

# Tables of names, whose many imports a run does not need, and the modules that only call others.
ALONE = (
    "deepmot_lib.matchers",
    "deepmot_lib.trackers",
    "deepmot_lib.experiments.sequences",
    "deepmot_lib.experiments.heads",
    "deepmot_lib.experiments.reid",
    __name__,
)
TRACKING_CODE = tuple(f"deepmot_lib.trackers.{name}" for name in ("tracking", "tracktor", "reid"))
_IMAGES_AND_TRUTH = ("gt", "seqinfo", "images")
VANILLA = TrackerRun("tracktor", "vanilla")


class TrainedTracker(NamedTuple):
    """A trained tracker.

    Attributes:
        tracker: It, in evaluation mode.
        history: The history of its training, as of ``trainer.train``.
        weights: Its weight file.
    """

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
        rules = self.rules.get(sequences.detector(sequence)) or sequences.rules(self.tracker.name)
        if tracking.has_public_detections(sequence):
            return rules
        return sequences.rules_of_own_detections(rules)

    def detections(self, sequence: ImageSequence, frames: range | None = None) -> pd.DataFrame:
        """Return the detections that tracks are born of; see ``tracking.detections``."""
        assert self.detector is not None
        return tracking.detections(self.detector, sequence, self.rules_of(sequence), frames)

    def track(
        self, sequence: ImageSequence, frames: range | None = None, progress: bool = False
    ) -> pd.DataFrame:
        """Track a sequence, or some consecutive frames of it; see ``tracking.track``."""
        return tracking.track_together([self._of(sequence)], frames, progress)[0]

    def track_all(self, found: Iterable[mot.Sequence], part: str | range) -> dict[str, pd.DataFrame]:
        """Track a part of sequences, those of the same images in one pass.

        Args:
            found: The sequences.
            part: As of ``sequences.frames_of``.

        Returns:
            The tracks by sequence name; see ``tracking.track``.
        """
        tracks: dict[str, pd.DataFrame] = {}
        for group in sequences.by_images(found):
            frames, names = sequences.frames_of(group[0], part), [one.name for one in group]
            tables = tracking.track_together([self._of(one) for one in group], frames, progress=False)
            tracks |= zip(names, tables, strict=True)
        return tracks

    def _of(self, sequence: ImageSequence) -> tracking.SequenceTracker:
        """Return a new tracker of a sequence."""
        rules = self.rules_of(sequence)
        return tracking.SequenceTracker(self.tracker, sequence, rules, self.detector, self.embedder)


def folder(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the checkpoint, weights and result files of a run lie."""
    place = experiment.paths.trackers.joinpath(run.tracker, run.loss, run.reid, run.matcher, run.training)
    return place / f"seed{run.seed}"


def train(experiment: Experiment, run: TrackerRun) -> TrainedTracker:
    """Train the tracker of a run, or load it where it is there.

    Tracktor is trained as a detector, GOTURN and SiamRPN on pairs of crops ("vanilla"); every other loss
    starts from there. The tracker of a run with a control head has that one.

    Raises:
        CheckpointError, FloatingPointError: As ``trainer.train``.
    """
    if run.control_head:
        trained, vanilla = train(experiment, run.weights_run), train(experiment, VANILLA)
        head = trained_head(experiment, run, vanilla)
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
    tracker, training = _pretrained(experiment, run) if start is None else _finetuned(experiment, run, start)
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


def usual_pipeline(experiment: Experiment, run: TrackerRun, tracker: Tracker) -> TrackingPipeline:
    """Return the networks that track in a run, trained or not, with the usual limit of re-identification."""
    is_tracktor = isinstance(tracker, Tracktor)
    detector = _tracktor(tracker if is_tracktor else train(experiment, VANILLA).tracker)
    external = embedder(experiment) if run.reid == "external" else None
    return TrackingPipeline(tracker, detector, external, chosen_rules(experiment, run.tracker))


def chosen_rules(experiment: Experiment, tracker: str) -> Mapping[str, Rules]:
    """Return the track management around a tracker, by public detector.

    For Tracktor it is what ``rules.choose`` finds with the vanilla one; none where the usual one is taken.
    """
    if tracker != "tracktor":
        return {}
    start = train(experiment, VANILLA)
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
        code=code("deepmot_lib.training.reid", alone=ALONE),
    )
    weights = embedder_weights(experiment)
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


def embedder_weights(experiment: Experiment) -> Path:
    """Return where the weights of the external ReID lie."""
    return experiment.paths.trackers / "reid" / "weights.safetensors"


# --- the trainings ------------------------------------------------------------------------------------------


def new_tracker(experiment: Experiment, run: TrackerRun, **options: Any) -> Tracker:
    """Return the untrained tracker of a run; raises as ``trackers.create``."""
    torch.manual_seed(run.seed)
    chosen = experiment.settings.trackers.options[run.tracker] | options
    return trackers.create(run.tracker, **chosen).to(experiment.device)


def pretraining(experiment: Experiment, run: TrackerRun, tracker: Tracker) -> Training:
    """Return the training of a new tracker: as a detector, or on pairs of crops."""
    settings, data = experiment.settings.trackers, experiment.tracking.training
    if isinstance(tracker, Tracktor):
        return DetectorTraining(tracker.detector, data, settings.detector, run.seed)
    return SiameseTraining(tracker, data, settings.pairs, run.seed)  # type: ignore[arg-type]


def finetuning(
    experiment: Experiment,
    run: TrackerRun,
    tracker: Tracker,
    validation: Callable[[], float] | None = None,
    matrices: Path | None = None,
) -> Training:
    """Return the training of a pretrained tracker by the loss of a run.

    Args:
        experiment: The experiment.
        run: The run.
        tracker: What is trained, with a head where the run has one.
        validation: Scores its state.
        matrices: The folder for matrices of the training.
    """
    settings, data = experiment.settings.trackers, experiment.tracking.training
    if run.loss == "detector":
        assert validation is not None
        schedules = (settings.detector, settings.rollout)
        return ContinuedTraining(_tracktor(tracker), data, *schedules, run.seed, validation)
    between = None if run.matcher == "none" else matcher(experiment, run.matcher)
    tracked = (tracker, data, run.loss, between)
    if _rolls_out(run):
        return RolloutTraining(*tracked, settings.rollout, run.seed, validation, matrices)
    return DeepMOTTraining(*tracked, settings.training, run.seed, run.has_head, validation, matrices)


def _pretrained(experiment: Experiment, run: TrackerRun) -> tuple[Tracker, Training]:
    tracker = new_tracker(experiment, run)
    return tracker, pretraining(experiment, run, tracker)


def _finetuned(experiment: Experiment, run: TrackerRun, start: TrainedTracker) -> tuple[Tracker, Training]:
    data, tracker = experiment.tracking, start.tracker
    if run.has_head:
        tracker = _tracktor(tracker).with_head(trained_head(experiment, run, start))
    networks = usual_pipeline(experiment, run, tracker)

    def validation() -> float:
        results = networks.track_all(data.evaluation, "val")
        return float(sequences.evaluate(results, data.evaluation, "val")["MOTA"].loc[evaluation.OVERALL])

    matrices = folder(experiment, run) / "matrices"
    return tracker, finetuning(experiment, run, tracker, validation, matrices)


def _rolls_out(run: TrackerRun) -> bool:
    """Whether a run's tracks go on from their own predictions, as the release trains Tracktor."""
    return run.tracker == "tracktor" and run.training == "release"


def trained_head(experiment: Experiment, run: TrackerRun, vanilla: TrainedTracker) -> ReIDHead:
    """Return the ReID head of a run, as it is trained on features alone."""
    between = None if run.control_head else matcher(experiment, run.matcher)
    return heads.trained(experiment, run, _tracktor(vanilla.tracker), content(vanilla.weights), between)


def _schedule(experiment: Experiment, run: TrackerRun) -> str:
    """The schedule of a run's training in a line."""
    settings = experiment.settings.trackers
    if run.loss == "detector":
        return (
            f"{settings.rollout.steps:,} frames by the detector's own loss, as it was trained before; Adam "
            f"{settings.rollout.learning_rate:g}"
        )
    if run.loss != "vanilla":
        described = settings.training.describe(run.has_head)
        # Not said by the schedule itself: its module is part of what the matchers that ship were made from.
        if not settings.training.validations:
            described = f"{described.rpartition(', ')[0]}, last weights"
        if _rolls_out(run):
            described = settings.rollout.describe()
        return f"head: {settings.head.describe()}; then {described}" if run.has_head else described
    return (settings.detector if run.tracker == "tracktor" else settings.pairs).describe()


def _keep_features(experiment: Experiment, tracker: Tracker) -> None:
    if isinstance(tracker, Tracktor) and experiment.settings.trackers.keep_features:
        tracker.keep_features(
            experiment.paths.trackers / "features", code_digest("deepmot_lib.trackers.tracktor", alone=ALONE)
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
        code=code(module, f"deepmot_lib.trackers.{'backbones' if is_detector else run.tracker}", alone=ALONE),
    )


def _of_finetuning(experiment: Experiment, run: TrackerRun, start: TrainedTracker) -> Fingerprint:
    """Validation selects the weights: tracking, evaluation and its data count, too."""
    data = experiment.tracking
    upstream = {"weights of vanilla": content(start.weights)}
    settings = experiment.settings.trackers
    training = "rollout" if _rolls_out(run) else "deepmot"
    schedule: Any = settings.rollout if _rolls_out(run) else settings.training
    if run.loss == "detector":
        training, schedule = "detector", (settings.detector, settings.rollout)
    modules = {f"deepmot_lib.training.{training}", f"deepmot_lib.trackers.{run.tracker}", *TRACKING_CODE}
    modules |= {"deepmot_lib.evaluation.metrics"}
    if run.has_head:
        trained_head(experiment, run, start)
        upstream["ReID head"] = content(heads.weights_file(experiment, run))
    found: dict[str, str] = {}
    if run.matcher != "none":
        between = matcher(experiment, run.matcher)
        upstream["matcher"] = matcher_runs.digest(between)
        found = matcher_runs.code_of(variant=run.matcher)
    if run.tracker != "tracktor":
        upstream["detector"] = content(train(experiment, VANILLA).weights)
    return Fingerprint(
        settings={
            "run": run,
            "options": start.tracker.options,
            "schedule": schedule,
            "rules": chosen_rules(experiment, run.tracker) or sequences.rules(run.tracker),
            "protocol": data.protocol,
        },
        data=data_digests(data.training, _IMAGES_AND_TRUTH) | data_digests(data.evaluation),
        upstream=upstream,
        code=code(*modules, alone=ALONE) | found,
    )
