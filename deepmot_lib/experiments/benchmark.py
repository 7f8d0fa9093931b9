"""Table 4 and what stands in for it: our trackers and others on the same public detections.

*test*: the benchmark's own test sets, counted by its server. *local*: the last quarters of the sequences at
hand, counted here. Notebook 09 shows both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from .. import evaluation
from ..data import mot
from ..evaluation import submission
from ..report.plots import COLORS
from ..trackers import load, tracking
from ..trackers.tracktor import Tracktor
from . import peers, tables
from . import sequences as data
from . import trackers as study
from .settings import DEEPMOT, DHN, TrackerRun

#: Our rows: those of Tables 1 and 3 that are named before any last quarter was looked at, first seeds.
OURS = {
    "Tracktor (vanilla)": TrackerRun("tracktor", "vanilla"),
    "DeepMOT-Tracktor": TrackerRun("tracktor", DEEPMOT, "distance", DHN),
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


def local(profile: str, device: str = "cpu") -> tuple[pd.DataFrame, list[str]]:
    """All methods on the last quarters: a table with ``COLUMNS``, and a line on each method that is missing.

    A row a sequence and, for each protocol, one that pools its sequences (``OVERALL``). Trackers that this
    profile has not trained or scored are trained and scored now. Peers are missing where their package is.
    """
    judge = data.for_profile(profile).judge
    parts, missing = [], []
    for method, run in OURS.items():
        results = _tracks(profile, run, judge, device)
        members = fresh(profile, run, device)
        fps = {sequence.name: frames_per_second(members, sequence) for sequence in judge}
        parts.append(measured(method, results, fps, judge))
    for method, name in PEERS.items():
        try:
            results = {one.name: peers.track(name, one, mot.split(one)["test"]) for one in judge}
        except peers.PeersError as error:
            missing.append(f"{method}: {error}")
            continue
        fps = {one: boxes.attrs["fps"] for one, boxes in results.items()}
        parts.append(measured(method, results, fps, judge))
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
            gt, boxes = sequence.gt(), results[sequence.name]
            inside = [table[table["frame"].isin(frames[sequence.name])] for table in (gt, boxes)]
            counts[sequence.name] = evaluation.count(*inside, kind)
        rows = evaluation.summarize(counts).rename(columns={"IDs": "IDS"})
        rows[_PERCENT] *= 100
        for share in ("MT", "ML"):
            rows[share] = 100 * rows[share] / rows["GT"].clip(lower=1)
        seconds = sum(len(part) / fps[name] for name, part in frames.items())
        total = sum(map(len, frames.values())) / seconds
        rows["FPS"] = pd.Series({name: fps[name] for name in frames} | {evaluation.OVERALL: total})
        parts.append(rows.reset_index().assign(protocol=kind, method=method)[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def _tracks(profile: str, run: TrackerRun, judge: list[mot.Sequence], device: str) -> dict[str, pd.DataFrame]:
    """The tracks that notebook 07 has left, made now where it has not been run on these sequences."""
    names = {sequence.name for sequence in judge}
    if not names <= {file.stem for file in study.results_folder(profile, run).glob("*.txt")}:
        study.score(profile, run, study.train(profile, run, device), device)
    return study.results(profile, run)


def fresh(profile: str, run: TrackerRun, device: str = "cpu") -> study.Team:
    """Who tracks in a run, loaded anew: no kept features, which would take most of the work off the clock."""
    tracker = load(study.train(profile, run, device).weights, device)
    if isinstance(tracker, Tracktor):
        detector = tracker
    else:
        detector = load(study.train(profile, TrackerRun("tracktor", "vanilla"), device).weights, device)
    embed = study.embedder(profile, device) if run.reid == "external" else None
    return study.Team(tracker, detector, embed)


def frames_per_second(members: study.Team, sequence: mot.Sequence) -> float:
    """How many frames a second a team tracks, images read from disk and seen by the network, over the first
    40 frames of the last quarter (or all of it); a frame before the clock starts warms up."""
    frames = mot.split(sequence)["test"][:_TIMED_FRAMES]
    rules = data.rules(members.tracker.name)
    arguments = (members.tracker, sequence, rules, members.detector, members.embed)
    tracking.track(*arguments, frames[:1], progress=False)
    start = time.perf_counter()
    tracking.track(*arguments, frames, progress=False)
    return len(frames) / (time.perf_counter() - start)


def picture(table: pd.DataFrame) -> Figure:
    """The pooled rows of ``local`` as bars, ours and others in two colours: a line of panels a protocol, a
    panel a measure; frames per second on a logarithmic axis."""
    pooled = table[table["sequence"] == evaluation.OVERALL]
    kinds = list(pooled["protocol"].unique())
    measures = [name for name in ("MOTA", "HOTA", "IDF1", "FPS") if pooled[name].notna().any()]
    height = 0.3 * pooled["method"].nunique() + 0.9
    figure, axes = plt.subplots(len(kinds), len(measures), figsize=(13, height * len(kinds)), squeeze=False)
    for line, kind in zip(axes, kinds, strict=True):
        rows = pooled[pooled["protocol"] == kind]
        place = np.arange(len(rows))[::-1]
        colors = [COLORS["ours" if method in OURS else "fn"] for method in rows["method"]]
        for ax, measure in zip(line, measures, strict=True):
            bars = ax.barh(place, rows[measure], color=colors, height=0.7)
            ax.bar_label(bars, fmt="%.0f" if measure == "FPS" else "%.1f", padding=3, fontsize=9)
            ax.set_yticks(place, rows["method"] if ax is line[0] else [""] * len(rows))
            ax.set_title(f"{measure} [{'1/s' if measure == 'FPS' else '%'}], {kind}")
            ax.margins(x=0.18)
            if measure == "FPS":
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter(ScalarFormatter())
    for label, color in (("ours", COLORS["ours"]), ("others", COLORS["fn"])):
        axes[0, 0].barh(0, 0, color=color, label=label)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


# --- test ---------------------------------------------------------------------------------------------------


def test_roots(root: Path | None) -> dict[str, Path]:
    """The folders ``MOT16/test`` and ``MOT17/test`` below ``root`` whose sequences all have images and
    detections, by benchmark."""
    if root is None:
        return {}
    folders = {name: root / name / "test" for name in ("MOT16", "MOT17")}
    return {name: folder for name, folder in folders.items() if folder.is_dir() and _trackable(folder)}


test_roots.__test__ = False  # pytest must not take it for a test


def _trackable(folder: Path) -> bool:
    return not mot.scan(folder).having("pictures", "detections").skipped


def archive(profile: str, method: str, test_root: Path, folder: Path, device: str = "cpu") -> Path:
    """Tracks all test sequences by one of ``OURS``, and the training sequences beside them where they have
    images; checks the results and zips them for the server. Returns ``folder/METHOD.zip``.

    Raises submission.SubmissionError where the folders are not the whole of a benchmark.
    """
    members = fresh(profile, OURS[method], device)
    train_root = test_root.parent / "train"
    roots = [test_root, *([train_root] if train_root.is_dir() and _trackable(train_root) else [])]
    results = folder / method
    for sequence in (one for part in roots for one in mot.find_sequences(part)):
        tracks = tracking.track(
            members.tracker,
            sequence,
            data.rules(members.tracker.name),
            members.detector,
            members.embed,
            progress=False,
        )
        mot.write_results(results / f"{sequence.name}.txt", tracks)
    return submission.write(results, test_root, folder / f"{method}.zip", *roots[1:])


def weights(profile: str) -> list[str]:
    """The hashes of the weights behind ``OURS``, for a table's provenance."""
    return [
        tables.file_hash(study.folder(profile, study.learning(run)) / "weights.safetensors")
        for run in OURS.values()
    ]
