"""Evaluating a published tracker's 21 result files (Lif_T on MOT17 train) against TrackEval's own runner.

Needs DEEPMOT_DATA with ``MOT17-labels/train`` and ``results-Lif_T-MOT17-train.tgz``.

    python -m benchmarks.bench_evaluation
"""

from __future__ import annotations

import contextlib
import io
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trackeval

from benchmarks import Ratio
from deepmot_lib.evaluation import evaluate
from deepmot_lib.experiments.folders import data_folder

TARGET = 1.0
ROUNDS = 2  # the best of so many, taken in turns: the machine may be busy with something else


def run() -> list[Ratio]:
    """Our time over TrackEval's, at most 1; nothing without the data."""
    root = data_folder()
    name = "results-Lif_T-MOT17-train.tgz"
    if root is None or not (root / name).is_file():
        print("bench_evaluation: skipped, DEEPMOT_DATA with Lif_T's result files is needed", file=sys.stderr)
        return []
    gt = root / "MOT17-labels" / "train"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "trackers" / "Lif_T" / "data"
        with tarfile.open(root / name) as files:
            files.extractall(folder, filter="data")
        data.parent.mkdir(parents=True)
        (Path(folder) / "MOT17-train").rename(data)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(_seconds(lambda: evaluate(gt, data)))
            theirs.append(_seconds(lambda: _runner(gt, Path(folder) / "trackers")))
    what = "evaluate Lif_T's 21 files: our time over TrackEval's own runner's"
    return [Ratio(what, min(ours) / min(theirs), TARGET, higher_is_better=False)]


def _runner(gt: Path, trackers: Path) -> None:
    """TrackEval as its users run it: one process, the same three families of measures."""
    options = {"USE_PARALLEL": False, "PRINT_CONFIG": False, "PLOT_CURVES": False, "OUTPUT_DETAILED": False}
    dataset = {
        "GT_FOLDER": str(gt),
        "TRACKERS_FOLDER": str(trackers),
        "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": dict.fromkeys(folder.name for folder in sorted(gt.iterdir())),
        "BENCHMARK": "MOT17",
        "PRINT_CONFIG": False,
    }
    quiet = {"PRINT_CONFIG": False}
    measures = trackeval.metrics
    with contextlib.redirect_stdout(io.StringIO()):
        trackeval.Evaluator(options | {"PRINT_RESULTS": False, "OUTPUT_SUMMARY": False}).evaluate(
            [trackeval.datasets.MotChallenge2DBox(dataset)],
            [measures.HOTA(), measures.CLEAR(quiet), measures.Identity(quiet)],
        )


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(*run(), sep="\n")
