"""Table 4 and what stands in for it: our trackers and others on the same public detections.

*test*: the benchmark's own test sets, counted by its server. *local*: the last quarters of the sequences at
hand, counted here. Notebook 09 shows both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .. import evaluation
from ..columns import RESULT_COLUMNS
from ..data import mot
from ..evaluation import submission
from ..evaluation.intervals import BLOCK_MEASURES
from . import peers, sequences, tables, trackers
from .experiment import Experiment
from .settings import OURS, TrackerRun

#: The others' rows, and what ``peers`` calls them.
PEERS = {"SORT": "sort", "ByteTrack": "bytetrack", "OC-SORT": "ocsort"}

_PERCENT = ["MOTA", "MOTP", "IDF1", "HOTA"]
#: Of a local table; percent but for the counts FP, FN, IDS and for FPS [1/s].
COLUMNS = ["protocol", "sequence", "method", *_PERCENT, "MT", "ML", "FP", "FN", "IDS", "FPS"]
#: The one of ours that others are compared with: the paper's proposal.
MAIN = "DeepMOT-Tracktor"
_TIMED_FRAMES = 20  # of one sequence of each set of images, at most


# --- local --------------------------------------------------------------------------------------------------


def local(experiment: Experiment) -> tuple[pd.DataFrame, list[str]]:
    """Evaluate all methods on the last quarters.

    Trackers that have not been trained are trained now.

    Returns:
        A table with ``COLUMNS``, one row per method and sequence and one that pools the sequences
        (``OVERALL``), which also has what ``MAIN`` has more than the method (:func:`with_differences`); and a
        line on each method that is missing, as peers are where their package is.
    """
    return _compare(experiment, experiment.tracking.evaluation, "test")


def transfer(experiment: Experiment) -> tuple[pd.DataFrame, list[str]]:
    """Evaluate all methods on whole sequences of other data sets, of which nothing was seen.

    Returns:
        As :func:`local`; an empty table where there are no such sequences.
    """
    return _compare(experiment, experiment.tracking.transfer, "whole")


def aims(table: pd.DataFrame) -> pd.DataFrame:
    """Compare the best of ours with the best of the others on the same detections.

    Args:
        table: As :func:`local` returns it.

    Returns:
        One row per protocol and sequence or ``OVERALL``: MOTA and HOTA [%] of ours and of the others, the
        highest of each, and the difference; columns ``MOTA ours``, ``MOTA others``, ``MOTA difference``, ...
    """
    best = {
        name: table[table["method"].isin(list(methods))]
        .groupby(["protocol", "sequence"], sort=False)[["MOTA", "HOTA"]]
        .max()
        for name, methods in (("ours", OURS), ("others", PEERS))
    }
    best["difference"] = best["ours"] - best["others"]
    columns = {f"{name} {side}": best[side][name] for name in ("MOTA", "HOTA") for side in best}
    return pd.DataFrame(columns)


def _compare(
    experiment: Experiment, found: Sequence[mot.Sequence], part: str
) -> tuple[pd.DataFrame, list[str]]:
    """Evaluate all methods on a part of sequences."""
    parts, blocks, missing = list[pd.DataFrame](), dict[str, pd.DataFrame](), list[str]()
    if not found:
        return pd.DataFrame(columns=COLUMNS), missing
    timed = [group[0] for group in sequences.by_images(found)]
    for method, run in OURS.items():
        files = trackers.track(experiment, run, found, part)
        networks = unaided(experiment, run)
        fps = {one.name: frames_per_second(networks, one, part) for one in timed}
        results = {name: mot.read_boxes(file)[RESULT_COLUMNS] for name, file in files.items()}
        parts.append(measured(method, results, fps, found, part))
        blocks[method] = sequences.count_blocks(results, found, part)
    vanilla = trackers.vanilla(experiment)
    refined = {one.name: vanilla.detections(one, sequences.frames_of(one, part)) for one in found}
    for method, name in PEERS.items():
        for label, given in ((method, {}), (f"{method}, our boxes", refined)):
            try:
                results = {
                    one.name: peers.track(name, one, sequences.frames_of(one, part), given.get(one.name))
                    for one in found
                }
            except peers.PeersError as error:
                missing.append(f"{label}: {error}")
                continue
            fps = {one: boxes.attrs["fps"] for one, boxes in results.items()}
            parts.append(measured(label, results, fps, found, part))
            blocks[label] = sequences.count_blocks(results, found, part)
    return with_differences(pd.concat(parts, ignore_index=True), blocks), missing


def with_differences(table: pd.DataFrame, blocks: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Add what ``MAIN`` has more than each other method, over all sequences.

    Args:
        table: As :func:`measured` returns it, of all methods.
        blocks: The errors of each method by blocks of frames, as ``sequences.count_blocks`` returns them.

    Returns:
        The table with the columns ``MOTA difference``, ``MOTA low``, ``MOTA high`` (points, the ends of its
        95 % interval over blocks of frames), the same of IDF1, and of ``IDs`` by 1,000 ground-truth boxes.
    """
    of_one_seed = {method: part.assign(seed=0) for method, part in blocks.items()}
    rows = []
    for method in of_one_seed.keys() - {MAIN}:
        row: dict[str, Any] = {"sequence": evaluation.OVERALL, "method": method}
        for measure in BLOCK_MEASURES:
            found = evaluation.difference(of_one_seed[method], of_one_seed[MAIN], measure)
            values = {"difference": found.effect, "low": found.low, "high": found.high}
            row |= {f"{measure} {name}": value for name, value in values.items()}
        rows.append(row)
    return table.merge(pd.DataFrame(rows), on=["sequence", "method"], how="left")


def measured(
    method: str,
    results: Mapping[str, pd.DataFrame],
    fps: Mapping[str, float],
    found: Sequence[mot.Sequence],
    part: str = "test",
) -> pd.DataFrame:
    """Evaluate a method on a part of sequences of one protocol.

    Args:
        method: Its name.
        results: Its tracks by sequence name.
        fps: Its frames per second by sequence name, of those that were timed.
        found: The sequences.
        part: As of ``sequences.frames_of``.

    Returns:
        A table with ``COLUMNS``, a row per sequence and ``OVERALL``, whose frames per second are all timed
        frames over the time that they take.
    """
    rows = sequences.evaluate(results, found, part).rename(columns={"IDs": "IDS"})
    rows[_PERCENT] *= 100
    for share in ("MT", "ML"):
        rows[share] = 100 * rows[share] / rows["GT"].clip(lower=1)
    frames = {one.name: len(sequences.frames_of(one, part)) for one in found if one.name in fps}
    total = sum(frames.values()) / sum(count / fps[name] for name, count in frames.items())
    rows["FPS"] = pd.Series({**fps, evaluation.OVERALL: total})
    protocol = sequences.protocol(found[0])
    return rows.reset_index().assign(protocol=protocol, method=method)[COLUMNS]


def unaided(experiment: Experiment, run: TrackerRun) -> trackers.TrackingPipeline:
    """Return the networks that track in a run, without kept features.

    Kept features would take most of the work off the clock.
    """
    networks = trackers.pipeline(experiment, run, trackers.train(experiment, run).tracker)
    if networks.detector is not None:
        networks.detector.store = None
    return networks


def frames_per_second(
    networks: trackers.TrackingPipeline, sequence: mot.Sequence, part: str = "test"
) -> float:
    """Return how many frames per second are tracked, images read from disk and encoded by the network.

    Over the first 20 frames of a part (or all of it); one frame before the clock starts warms up.
    """
    frames = sequences.frames_of(sequence, part)[:_TIMED_FRAMES]
    networks.track(sequence, frames[:1])
    start = time.perf_counter()
    networks.track(sequence, frames)
    return len(frames) / (time.perf_counter() - start)


# --- test ---------------------------------------------------------------------------------------------------


def archive_roots(root: Path | None) -> dict[str, Path]:
    """Return the folders ``MOT16/test`` and ``MOT17/test`` below ``root``, by benchmark.

    Only a folder whose sequences all have images and detections is one of them.
    """
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
