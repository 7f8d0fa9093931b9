"""Table 4 and what stands in for it: our trackers and others on the same public detections.

*test*: the benchmark's own test sets, counted by its server. *local*: the last quarters of the sequences at
hand, counted here. Notebook 09 shows both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from .. import evaluation
from ..data import mot
from ..evaluation import submission
from . import peers, tables, trackers
from .experiment import Experiment
from .settings import DEEPMOT, DHN, TrackerRun

#: Our rows: those of Tables 1 and 3 that are named before any last quarter was looked at, first seeds.
OURS = {
    "Tracktor (vanilla)": TrackerRun("tracktor", "vanilla"),
    "DeepMOT-Tracktor": TrackerRun("tracktor", DEEPMOT, "head", DHN),
    "DeepMOT-Tracktor +ReIDext": TrackerRun("tracktor", DEEPMOT, "external", DHN),
    "GOTURN (pre-trained)": TrackerRun("goturn", "vanilla"),
    "DeepMOT-GOTURN": TrackerRun("goturn", DEEPMOT, "none", DHN),
    "SiamRPN (pre-trained)": TrackerRun("siamrpn", "vanilla"),
    "DeepMOT-SiamRPN": TrackerRun("siamrpn", DEEPMOT, "none", DHN),
}
#: The others' rows, and what ``peers`` calls them.
PEERS = {"SORT": "sort", "ByteTrack": "bytetrack", "OC-SORT": "ocsort"}

_PERCENT = ["MOTA", "MOTP", "IDF1", "HOTA"]
#: Of a local table; percent but for the counts FP, FN, IDS and for FPS [1/s].
COLUMNS = ["protocol", "sequence", "method", *_PERCENT, "MT", "ML", "FP", "FN", "IDS", "FPS"]
_TIMED_FRAMES = 40  # of each sequence, at most


def protocol(sequence: mot.Sequence) -> str:
    """The official protocol for the sequences of MOT16 and MOT17, ``plain`` for all others."""
    return "motchallenge" if sequence.name.startswith(("MOT16-", "MOT17-")) else "plain"


# --- local --------------------------------------------------------------------------------------------------


def local(experiment: Experiment) -> tuple[pd.DataFrame, list[str]]:
    """Evaluate all methods on the last quarters.

    Trackers that have not been trained or scored are trained and scored now.

    Returns:
        A table with ``COLUMNS``, one row per sequence and, for each protocol, one that pools its sequences
        (``OVERALL``); and a line on each method that is missing, as peers are where their package is.
    """
    found = experiment.tracking.evaluation
    parts, missing = [], []
    for method, run in OURS.items():
        trackers.score(experiment, run)
        results = trackers.results(experiment, run)
        networks = unaided(experiment, run)
        fps = {sequence.name: frames_per_second(networks, sequence) for sequence in found}
        parts.append(measured(method, results, fps, found))
    for method, name in PEERS.items():
        try:
            results = {one.name: peers.track(name, one, mot.split(one)["test"]) for one in found}
        except peers.PeersError as error:
            missing.append(f"{method}: {error}")
            continue
        fps = {one: boxes.attrs["fps"] for one, boxes in results.items()}
        parts.append(measured(method, results, fps, found))
    return pd.concat(parts).sort_values("protocol", kind="stable", ignore_index=True), missing


def measured(
    method: str, results: Mapping[str, pd.DataFrame], fps: Mapping[str, float], judge: list[mot.Sequence]
) -> pd.DataFrame:
    """A method's rows (``COLUMNS``) from its tracks and its frames per second, both by sequence name.

    Only last quarters count. Counts of two protocols are never pooled; the pooled frames per second are all
    frames over the time that all take.
    """
    parts = []
    for kind in sorted({protocol(sequence) for sequence in judge}):
        group = [sequence for sequence in judge if protocol(sequence) == kind]
        frames = {sequence.name: mot.split(sequence)["test"] for sequence in group}
        counts = {}
        for sequence in group:
            gt, boxes = (
                table[table["frame"].isin(frames[sequence.name])]
                for table in (sequence.gt(), results[sequence.name])
            )
            counts[sequence.name] = evaluation.count(gt, boxes, kind)
        rows = evaluation.summarize(counts).rename(columns={"IDs": "IDS"})
        rows[_PERCENT] *= 100
        for share in ("MT", "ML"):
            rows[share] = 100 * rows[share] / rows["GT"].clip(lower=1)
        seconds = sum(len(part) / fps[name] for name, part in frames.items())
        total = sum(map(len, frames.values())) / seconds
        rows["FPS"] = pd.Series({name: fps[name] for name in frames} | {evaluation.OVERALL: total})
        parts.append(rows.reset_index().assign(protocol=kind, method=method)[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def unaided(experiment: Experiment, run: TrackerRun) -> trackers.TrackingPipeline:
    """Return the networks that track in a run without kept features, which would take most of the work off
    the clock."""
    networks = trackers.pipeline(experiment, run, trackers.train(experiment, run).tracker)
    if networks.detector is not None:
        networks.detector.store = None
    return networks


def frames_per_second(networks: trackers.TrackingPipeline, sequence: mot.Sequence) -> float:
    """Return how many frames per second are tracked, images read from disk and encoded by the network.

    Over the first 40 frames of the last quarter (or all of it); one frame before the clock starts warms up.
    """
    frames = mot.split(sequence)["test"][:_TIMED_FRAMES]
    networks.track(sequence, frames[:1])
    start = time.perf_counter()
    networks.track(sequence, frames)
    return len(frames) / (time.perf_counter() - start)


# --- test ---------------------------------------------------------------------------------------------------


def archive_roots(root: Path | None) -> dict[str, Path]:
    """The folders ``MOT16/test`` and ``MOT17/test`` below ``root`` whose sequences all have images and
    detections, by benchmark."""
    if root is None:
        return {}
    folders = {name: root / name / "test" for name in ("MOT16", "MOT17")}
    return {name: folder for name, folder in folders.items() if folder.is_dir() and _trackable(folder)}


def _trackable(folder: Path) -> bool:
    return not mot.scan(folder).having("pictures", "detections").skipped


def archive(experiment: Experiment, method: str, test_root: Path, folder: Path) -> Path:
    """Track all test sequences by one of ``OURS`` and zip the checked results for the server.

    The training sequences beside them are tracked, too, where they have images.

    Returns:
        ``folder/METHOD.zip``.

    Raises:
        submission.SubmissionError: The folders are not the whole of a benchmark.
    """
    networks = unaided(experiment, OURS[method])
    train_root = test_root.parent / "train"
    roots = [test_root, *([train_root] if train_root.is_dir() and _trackable(train_root) else [])]
    results = folder / method
    for sequence in (one for part in roots for one in mot.find_sequences(part)):
        mot.write_results(results / f"{sequence.name}.txt", networks.track(sequence))
    return submission.write(results, test_root, folder / f"{method}.zip", *roots[1:])


def weights(experiment: Experiment) -> list[str]:
    """Return the hashes of the weights behind ``OURS``, for a table's provenance."""
    runs = (run.weights_run for run in OURS.values())
    return [tables.file_hash(trackers.folder(experiment, run) / "weights.safetensors") for run in runs]
