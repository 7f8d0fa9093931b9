"""A rehearsal of a profile: what its run will take in time, memory and disk, and what is missing for it.

python -m deepmot_lib.experiments.rehearsal paper

Each kind of training takes some steps on the data at hand, each tracker some frames of every street, by the
code of the run itself; the schedule tells how many there will be. Nothing is kept. On a CPU the time is that
of one core, which a job of the workflow takes, whatever else the machine does meanwhile.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from .. import trackers
from ..data import mot
from ..data.image_tensors import to_tensor
from ..trackers import Tracker
from ..trackers.backbones import WeightsError
from ..trackers.features import MAX_BYTES
from ..trackers.reid import Embedder
from ..trackers.reid_head import ReIDHead
from ..trackers.tracktor import Tracktor
from ..training import head as head_training
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.reid import ReIDTraining
from ..training.trainer import Training
from . import benchmark, heads, lengths, sequences, tables
from . import matchers as matcher_runs
from .default_weights import shipped
from .experiment import Experiment
from .progress import duration
from .settings import MatcherRun, TrackerRun
from .tracker_training import TrackingPipeline, finetuning, matcher, new_tracker, pretraining

# A roll-out's clip is nine steps, the first of which also starts it; of matchers each step has matrices of
# another size.
_STEPS, _MATCHER_STEPS = 9, 40
_WARM_UP, _FRAMES = 4, 12  # the first frames have no tracks yet
_MOT17 = ("02", "04", "05", "09", "10", "11", "13")
_DETECTORS = ("DPM", "FRCNN", "SDP")
_GB = 1e9


class Forecast(NamedTuple):
    """What the jobs of a kind take.

    Attributes:
        job: Their name, as the notebook and the parameters that differ.
        jobs: Their number: the seeds.
        seconds: The time of one.
        memory: Bytes that were in use at most: of the GPU, on a CPU of the process.
        disk: Bytes that one leaves on disk.
    """

    job: str
    jobs: int
    seconds: float
    memory: int
    disk: int


class Rehearsal:
    """The rehearsal of an experiment.

    Args:
        experiment: The experiment; nothing is written to its folders but the rendered sequences.
        folder: An empty folder for checkpoints.
    """

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment, self.folder = experiment, folder
        self.clock = time.perf_counter if experiment.device.type == "cuda" else time.process_time
        self.missing, self.untrained = missing_data(experiment), list[str]()
        self.streets = sequences.by_images(experiment.tracking.evaluation)
        self._passes: dict[tuple[str, str], dict[str, float]] = {}

    def forecasts(self) -> Iterator[Forecast]:
        """Yield the forecast of each kind of job, in the order of a run."""
        settings = self.experiment.settings
        for matcher_run, count in Counter(one._replace(seed=0) for one in settings.dhn_runs).items():
            yield self._of_matcher(self.experiment, matcher_run, count)
        first = lengths.run(settings)
        for steps in settings.dhn_lengths:
            yield self._of_matcher(lengths.of_length(self.experiment, steps), first, 1, f", {steps:,} steps")
        yield self._of_reid()
        if settings.trackers.keep_features:
            yield self._of_features()
        for run, count in Counter(one._replace(seed=0) for one in settings.trackers.runs).items():
            yield self._of_tracker(run, count)
        every = [one for one in settings.trackers.runs if one.has_head]
        files = {heads.weights_file(self.experiment, one): one for one in every}  # some runs share a head
        for run, count in Counter(one._replace(seed=0, training="release") for one in files.values()).items():
            yield self._of_head(run, count)

    # --- the kinds of jobs ---

    def _of_matcher(self, experiment: Experiment, run: MatcherRun, count: int, note: str = "") -> Forecast:
        _reset_memory(experiment.device)
        training = matcher_runs.training(experiment, run)
        return self._forecast(f"02 {run.variant} on {run.pairs}{note}", count, training, steps=_MATCHER_STEPS)

    def _of_reid(self) -> Forecast:
        _reset_memory(self.experiment.device)
        schedule = self.experiment.settings.trackers.reid
        network = Embedder().to(self.experiment.device)
        training = ReIDTraining(network, self.experiment.tracking.training[:1], schedule, seed=0)
        return self._forecast("07 external ReID", 1, training)

    def _of_features(self) -> Forecast:
        """What the frozen backbone sees of each frame is computed once and kept: ``trackers.features``."""
        _reset_memory(self.experiment.device)
        tracker, found = self._tracker("tracktor"), self.experiment.tracking.training
        for frame in found[0].frames[:_WARM_UP]:
            start = self.clock()
            tracker.encode(to_tensor(found[0].image(frame)).to(self.experiment.device))
            seconds = self.clock() - start
        a_frame = max(file.stat().st_size for file in (self.folder / "features").iterdir())
        frames = sum(one.length for one in found)
        disk = min(MAX_BYTES, a_frame * frames)
        return Forecast("07 features of frames", 1, seconds * frames, _memory(self.experiment.device), disk)

    def _of_head(self, run: TrackerRun, count: int) -> Forecast:
        """The head of a run is trained on features before the run."""
        _reset_memory(self.experiment.device)
        tracker, schedule = self._tracker("tracktor"), self.experiment.settings.trackers.head
        assert isinstance(tracker, Tracktor)
        few = replace(schedule, frames=_WARM_UP)
        people = head_training.gather(tracker, self.experiment.tracking.training[:1], few)
        head = self._head(tracker)
        head.standardize_by(torch.cat([frame.objects for frame in people]))
        between = matcher(self.experiment, run.matcher)
        kind = heads.objective(run)
        training = head_training.HeadTraining(head, people, kind, between, schedule, run.seed)
        return self._forecast(f"07 head by {kind}, {run.matcher}", count, training)

    def _of_tracker(self, run: TrackerRun, count: int) -> Forecast:
        _reset_memory(self.experiment.device)
        tracker = self._tracker(run.tracker)
        if run.has_head and isinstance(tracker, Tracktor):
            tracker = tracker.with_head(self._head(tracker))
        training, validated = None, 0
        if run.loss == "vanilla":
            training = pretraining(self.experiment, run, tracker) if run.weights_run == run else None
        elif run.weights_run == run:
            training = finetuning(self.experiment, run, tracker, validation=lambda: 0.0)
            # One more at the start, where there are any.
            validated = training.validations + (training.validations > 0)
        passes = self._seconds_of_passes(run, tracker)
        name = " ".join(part for part in run[:5] if part not in ("none", "release"))
        return self._forecast(f"07 {name}", count, training, passes["test"] + validated * passes["val"])

    def _forecast(
        self, job: str, count: int, training: Training | None, more: float = 0.0, steps: int = _STEPS
    ) -> Forecast:
        seconds, disk = more, 0
        if training is not None:
            total = training.steps
            a_step, checkpoint = self._seconds_a_step(training, steps)
            weights = sum(tensor.nbytes for tensor in training.network.state_dict().values())
            seconds, disk = seconds + total * a_step, weights + checkpoint
        return Forecast(job, count, seconds, _memory(self.experiment.device), disk)

    # --- what is timed ---

    def _seconds_a_step(self, training: Training, steps: int) -> tuple[float, int]:
        """Return the time of a step and the size of the checkpoint [bytes].

        The same steps are taken before: the first ones are slower, and features are kept from then on.
        """
        training.validations, training.steps, seconds, size = 0, steps, 0.0, 0
        for _ in range(2):
            file, start = self.folder / "checkpoint.pt", self.clock()
            trainer.train(training, CheckpointFile(file, {}))
            seconds, size = self.clock() - start, file.stat().st_size
            file.unlink()
        return seconds / steps, size

    def _seconds_of_passes(self, run: TrackerRun, tracker: Tracker) -> dict[str, float]:
        """Return the time of tracking and counting the third and the last quarters, by part.

        It is the same for all trackers of one kind.
        """
        kind = (run.tracker, "none" if run.reid == "none" else run.reid.partition("-")[0])
        if kind not in self._passes:
            tracker.eval()
            detector = tracker if isinstance(tracker, Tracktor) else self._tracker("tracktor")
            assert isinstance(detector, Tracktor)
            embedder = Embedder().to(self.experiment.device).eval() if run.reid == "external" else None
            networks, total = TrackingPipeline(tracker, detector, embedder), {"val": 0.0, "test": 0.0}
            for street in self.streets:
                a_frame = self._seconds_a_frame(networks, street)
                for part in total:
                    total[part] += a_frame * len(mot.split(street[0])[part])
            self._passes[kind] = total
        return self._passes[kind]

    def _seconds_a_frame(self, networks: TrackingPipeline, street: list[mot.Sequence]) -> float:
        """Return the time of tracking a frame of a street, and of counting what was found.

        The frame is tracked by the detections of each detector, once features are kept and there are tracks.
        """
        frames = street[0].frames[: _WARM_UP + _FRAMES]
        networks.track_all(street, frames)
        seconds = []
        for part in (frames[:_WARM_UP], frames):
            start = self.clock()
            tracks = networks.track_all(street, part)
            for one in street:
                sequences.count(tracks[one.name], one, part)
            seconds.append(self.clock() - start)
        return (seconds[1] - seconds[0]) / max(1, len(frames) - _WARM_UP)

    def _tracker(self, name: str) -> Tracker:
        """Return a tracker that keeps its features where the profile does; see :meth:`_network`."""
        tracker = self._network(name)
        if isinstance(tracker, Tracktor) and self.experiment.settings.trackers.keep_features:
            tracker.keep_features(self.folder / "features")
        return tracker

    def _network(self, name: str) -> Tracker:
        """Return the shipped tracker where its form is that of the profile, else a new one.

        New networks find few people, which is faster.
        """
        file, options = shipped(name), self.experiment.settings.trackers.options[name]
        if file is not None:
            tracker = trackers.load(file, self.experiment.device)
            if tracker.options | options == tracker.options:
                return tracker
        if name not in self.untrained:
            self.untrained.append(name)
        run = TrackerRun(name, "vanilla")
        try:
            return new_tracker(self.experiment, run)
        except WeightsError as error:
            if str(error) not in self.missing:
                self.missing.append(str(error))
            return new_tracker(self.experiment, run, pretrained=False)

    def _head(self, tracker: Tracktor) -> ReIDHead:
        return ReIDHead(tracker.detector.backbone.out_channels).to(self.experiment.device)


def missing_data(experiment: Experiment) -> list[str]:
    """Name the data that a profile uses and that is not there."""
    if not experiment.settings.real_data:
        return []
    root = experiment.data_root
    if root is None:
        return ["DEEPMOT_DATA: rendered sequences are taken in place of real ones"]
    found = {one.name for one in experiment.tracking.evaluation}
    wanted = [f"MOT17-{number}-{detector}" for number in _MOT17 for detector in _DETECTORS]
    missing = [name for name in wanted if name not in found]
    lacking = [f"{len(missing)} of {len(wanted)} training sequences: {', '.join(missing)}"] if missing else []
    tests = benchmark.archive_roots(root)
    lacking += [f"{name}/test, for the server" for name in ("MOT16", "MOT17") if name not in tests]
    if not (root / "dhn").is_dir():
        lacking.append("dhn/, the authors' pairs: they are made of the sequences")
    return lacking


def rehearse(experiment: Experiment) -> None:
    """Rehearse an experiment, and print a line for each kind of job as soon as it is known, and their sum.

    Raises:
        ValueError: The profile is the comparison on rendered scenes, whose jobs are none of these.
    """
    if experiment.settings.comparison.evidence:
        name = experiment.settings.name
        raise ValueError(f"{name} has no rehearsal: docs/protocol.md says what its jobs took")
    with TemporaryDirectory() as folder:
        rehearsal = Rehearsal(experiment, Path(folder))
        print(f"profile {experiment.settings.name} on {tables.device_name(experiment.device)}")
        print(f"data: {experiment.tracking.description}\n")
        print(f"{'job':<50} {'jobs':>4} {'one':>8} {'all':>8} {'memory':>8} {'disk':>8}")
        found = []
        for one in rehearsal.forecasts():
            found.append(one)
            times = f"{duration(one.seconds):>8} {duration(one.jobs * one.seconds):>8}"
            sizes = f"{one.memory / _GB:>5.2f} GB {one.jobs * one.disk / _GB:>5.2f} GB"
            print(f"{one.job:<50} {one.jobs:>4} {times} {sizes}", flush=True)
    seconds = sum(one.jobs * one.seconds for one in found)
    disk = sum(one.jobs * one.disk for one in found) / _GB
    memory = max(one.memory for one in found) / _GB
    print(
        f"\nall: {duration(seconds)} one job after another, {memory:.1f} GB of memory, {disk:.1f} GB of disk;"
    )
    print("the choice of rules and all tables come on top")
    if rehearsal.untrained:
        print(f"timed untrained, which finds few people and is faster: {', '.join(rehearsal.untrained)}")
    for what in rehearsal.missing:
        print(f"missing: {what}")


def _reset_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # Linux alone can forget a peak
        Path("/proc/self/clear_refs").write_text("5")


def _memory(device: torch.device) -> int:
    """Return the bytes that were in use at most since the reset or, without one, the start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.experiments.rehearsal", description=__doc__)
    parser.add_argument("profile")
    options = parser.parse_args(arguments)
    try:
        torch.set_num_threads(1)
        rehearse(Experiment.open(options.profile))
    except (ValueError, OSError) as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
