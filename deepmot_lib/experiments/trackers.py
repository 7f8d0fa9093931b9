"""One tracker of one run, trained and scored: Tables 1 to 3, and what reads their networks and tracks.

Measures stand in the experiment's tables, tracks beside the weights. What is there and was made from the same
settings, data, weights and code is reused; all else is made now. Everything of a run is imported from here:
``tracker_training`` trains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from .. import evaluation
from ..data import mot
from ..data import weights as weight_files
from ..data.files import visible
from ..trackers import Tracker, tracking
from . import heads, reid, sequences, tables
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh, read_stamp, stamped
from .settings import TrackerRun
from .source import code
from .tracker_training import (
    ALONE,
    TRACKING_CODE,
    VANILLA,
    TrackingPipeline,
    TrainedTracker,
    chosen_rules,
    embedder,
    embedder_weights,
    folder,
    matcher,
    train,
    usual_pipeline,
)

__all__ = [
    "TrackingPipeline",
    "TrainedTracker",
    "blocks_file",
    "chosen_rules",
    "complete",
    "embedder",
    "folder",
    "history_file",
    "matcher",
    "pipeline",
    "results",
    "results_folder",
    "score",
    "table_file",
    "track",
    "train",
    "vanilla",
]

_ALONE = (*ALONE, __name__)


def table_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the measures of a run lie."""
    return experiment.paths.tables / f"tracker_{run.label}.csv"


def blocks_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the errors of a run lie, by blocks of frames."""
    return experiment.paths.tables / f"blocks_{run.label}.csv"


def history_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the history of a run's training lies as a table."""
    return experiment.paths.tables / f"training_{run.label}.csv"


def score(experiment: Experiment, run: TrackerRun) -> pd.DataFrame:
    """Track the last quarters by the tracker of a run, count, and write its tables.

    One table is of measures, another one of the same errors by blocks of frames, which intervals are made of,
    a third one of the losses of its training.
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
        code=code("deepmot_lib.evaluation.intervals", alone=_ALONE),
    )
    origin = weight_files.read_about(trained.weights)["made_from"]
    if run == run.weights_run:
        _write_history(experiment, run, trained, origin)
    table, blocks = table_file(experiment, run), blocks_file(experiment, run)
    stamps = [tables.stamp(file) for file in (table, blocks)]
    if not all(fresh(stamp, wanted, f"table of {run.label}") for stamp in stamps):
        measures = sequences.evaluate(results, data.evaluation, "test")
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
        by_block = sequences.count_blocks(results, data.evaluation, "test")
        tables.write(blocks, by_block.assign(**run._asdict()), made, wanted)
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
    wanted, files, missing = {}, {}, []
    for sequence in found:
        files[sequence.name] = results_folder(experiment, run, part) / f"{sequence.name}.txt"
        wanted[sequence.name] = _of_tracking(experiment, run, trained, networks, sequence, part)
        stamp, what = read_stamp(files[sequence.name]), f"tracks of {run.label} in {sequence.name}"
        if not fresh(stamp, wanted[sequence.name], what):
            missing.append(sequence)
    for group in sequences.by_images(missing):
        for name, boxes in networks.track_all(group, part).items():
            with stamped(files[name], wanted[name]) as temporary:
                mot.write_results(temporary, boxes)
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
    networks = usual_pipeline(experiment, run, tracker)
    if run.reid == "none":
        return networks
    if networks.embedder is not None:
        files = [embedder_weights(experiment)]
    else:
        files = [folder(experiment, run.weights_run) / "weights.safetensors"]
        files += [heads.weights_file(experiment, run)] * (run.control_head is not None)

    def own(image: Tensor, boxes: Tensor) -> Tensor:
        return tracker.init_memory(tracker.encode(image), boxes)

    embed = own if networks.embedder is None else networks.embedder
    limit = reid.limit(reid.score(experiment, run, embed, files))
    found = [*experiment.tracking.evaluation, *experiment.tracking.transfer]
    return networks._replace(
        rules={
            sequences.detector(one): replace(networks.rules_of(one), revival_distance=limit) for one in found
        }
    )


def vanilla(experiment: Experiment) -> TrackingPipeline:
    """Return the vanilla Tracktor with the rules that are chosen with it."""
    return pipeline(experiment, VANILLA, train(experiment, VANILLA).tracker)


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


def _write_history(
    experiment: Experiment, run: TrackerRun, trained: TrainedTracker, origin: dict[str, Any]
) -> None:
    """Write the history of a training as a table: the losses are evidence, whatever weights were kept."""
    table, wanted = (
        history_file(experiment, run),
        Fingerprint(settings={"run": run}, upstream={"weights": content(trained.weights)}),
    )
    if fresh(tables.stamp(table), wanted, f"table of the training of {run.label}"):
        return
    made = experiment.provenance(
        data=experiment.tracking.description,
        split="trained on first halves, chosen on third quarters",
        protocol=experiment.tracking.protocol,
        seeds=[run.seed],
        weights=tables.file_hash(trained.weights),
        schedule=origin.get("schedule"),
        trained=tables.trained_where(origin),
    )
    tables.write(table, trained.history, made, wanted)


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
        upstream["detector"] = content(train(experiment, VANILLA).weights)
    if run.reid == "external":
        upstream["external ReID"] = content(embedder_weights(experiment))
    if run.control_head:
        upstream["ReID head"] = content(heads.weights_file(experiment, run))
    return Fingerprint(
        settings={"run": run, "rules": networks.rules_of(sequence), "part": part},
        data=data_digests([sequence], ("det", "seqinfo", "images")),
        upstream=upstream,
        code=code(*TRACKING_CODE, f"deepmot_lib.trackers.{run.tracker}", alone=_ALONE),
    )
