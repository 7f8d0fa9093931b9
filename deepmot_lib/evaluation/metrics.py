"""CLEAR-MOT, identity and HOTA measures of result files, under a named protocol (see docs/evaluation.md).

``protocol`` says which boxes count. The measures of ``motchallenge`` are TrackEval's, which agrees with the
official kit to the unit; CLEAR and identity of ``plain`` are py-motmetrics', as in the paper's own code, and
HOTA is TrackEval's.

The two count switches, fragments and mostly tracked objects by slightly different rules: never put numbers of
both in one table. A table carries its protocol in ``attrs["protocol"]``, and in a column once it is a file.

Sources: Bernardin and Stiefelhagen, 2008 (CLEAR-MOT); Li et al., 2009 (MT, PT, ML, FM); Ristani et al., 2016
(identity); Luiten et al., 2021 (HOTA).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np
import pandas as pd
from trackeval.metrics import CLEAR, HOTA, Identity

from ..data import result_files
from ..data.box_files import MotFormatWarning
from ..data.files import atomic
from .protocol import (
    DEFAULT_BENCHMARK,
    MIN_OVERLAP,
    EvaluationWarning,
    Rules,
    benchmark_of,
    frames,
    prepare,
)

COUNTS = ["GT", "MT", "PT", "ML", "FP", "FN", "IDs", "FM"]
COLUMNS = ["IDF1", "IDP", "IDR", "Rcll", "Prcn", *COUNTS, "MOTA", "MOTP", "HOTA", "DetA", "AssA"]
OVERALL = "OVERALL"
_CLEAR = CLEAR({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
_IDENTITY = Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
_HOTA = HOTA()


@dataclass(frozen=True)
class Counts:
    """What was counted in one sequence, under TrackEval's names: all that ``summarize`` needs to pool."""

    protocol: str
    clear: dict[str, Any]
    identity: dict[str, Any]
    hota: dict[str, Any]


def evaluate(
    gt_root: str | os.PathLike[str],
    results_dir: str | os.PathLike[str],
    protocol: str = "motchallenge",
    sequences: Iterable[str] | None = None,
    part: str | None = None,
    benchmark: str | None = None,
    classes: Iterable[int] | None = None,
) -> pd.DataFrame:
    """Evaluate a tracker's result files ``SEQUENCE.txt``.

    All is read and checked before anything is counted.

    Args:
        gt_root: folder of MOTChallenge sequences with ground truth, or a single ground-truth file.
        results_dir: folder or ``.zip`` of result files, or a single one.
        protocol: one of ``PROTOCOLS``.
        sequences: the names of those to evaluate (default: all that have ground truth).
        part: evaluate the frames of this part (``train``, ``val``, ``test``) of each sequence alone.
        benchmark: one of ``DISTRACTORS`` (default: by each sequence's name, else MOT17).
        classes: those to evaluate (default: the protocol's).

    Returns:
        One row per sequence and a last row ``OVERALL``, which pools all counts (no mean of ratios), with the
        columns ``COLUMNS``: GT to FM are int64 (GT: the number of ground-truth tracks), the others ratios in
        [0, 1] (MOTA may be negative); MOTP is the mean overlap of the matches (up is better). Its ``attrs``
        tell ``protocol``, ``part``, ``classes`` and the ``benchmark`` of each sequence.

    Warns:
        EvaluationWarning: no ground truth of a sequence is evaluated.
        MotFormatWarning: a ground truth can be read in two ways; files that no sequence is named after.

    Raises:
        ValueError: unknown protocol, part or benchmark; sequences without a result file; none of the ground
            truth of any sequence is evaluated.
        NotADirectoryError: a folder is missing.
        MotFormatError: names file and line of broken rows, frames outside the sequence, results or ground
            truth without track ids.
    """
    table = compare(gt_root, {"": results_dir}, protocol, sequences, part, benchmark, classes)
    return table.droplevel("tracker")


def compare(
    gt_root: str | os.PathLike[str],
    results_dirs: Mapping[str, str | os.PathLike[str]],
    protocol: str = "motchallenge",
    sequences: Iterable[str] | None = None,
    part: str | None = None,
    benchmark: str | None = None,
    classes: Iterable[int] | None = None,
) -> pd.DataFrame:
    """Evaluate several trackers: the tables of ``evaluate`` in one.

    The results of all are read and checked before anything is counted.

    Args:
        gt_root: folder of MOTChallenge sequences with ground truth, or a single ground-truth file.
        results_dirs: a folder, ``.zip`` or single file for each tracker's name.
        protocol: one of ``PROTOCOLS``.
        sequences: the names of those to evaluate (default: all that have ground truth).
        part: evaluate the frames of this part (``train``, ``val``, ``test``) of each sequence alone.
        benchmark: one of ``DISTRACTORS`` (default: by each sequence's name, else MOT17).
        classes: those to evaluate (default: the protocol's).

    Returns:
        The rows of ``evaluate`` under the index (tracker, sequence).

    Warns, Raises: as ``evaluate``.
    """
    classes = None if classes is None else tuple(classes)
    Rules.of(protocol, benchmark or DEFAULT_BENCHMARK, classes)  # what is unknown is refused at once
    files = result_files.pair(gt_root, results_dirs, sequences, part, classes or ())
    benchmarks = {name: benchmark or benchmark_of(name) or DEFAULT_BENCHMARK for name in files.sequences}
    rules = {name: Rules.of(protocol, benchmarks[name], classes) for name in files.sequences}
    _warn_where_nothing_counts({name: rules[name].why_nothing(files.read(name)[0]) for name in rules})
    counts: dict[str, dict[str, Counts]] = {tracker: {} for tracker in results_dirs}
    for name in rules:
        with warnings.catch_warnings(action="ignore", category=MotFormatWarning):  # told at the first reading
            gt, found = files.read(name)  # once more: memory does not grow with the number of files
        for tracker, boxes in found.items():
            counts[tracker][name] = _count(gt, boxes, rules[name])
    tables = {tracker: summarize(counted) for tracker, counted in counts.items()}
    table = pd.concat(tables, names=["tracker"])
    table.attrs = {"protocol": protocol, "part": part, "classes": classes, "benchmark": benchmarks}
    return table


def evaluate_sequence(
    gt: pd.DataFrame,
    results: pd.DataFrame,
    protocol: str = "motchallenge",
    benchmark: str = DEFAULT_BENCHMARK,
    classes: Iterable[int] | None = None,
) -> dict[str, float]:
    """Evaluate one sequence in memory.

    Args:
        gt: the columns frame, id, x1, y1, x2, y2 [px] and, if any, conf (0: not to be evaluated) and cls, as
            ``mot.read_ground_truth`` returns them. For a part of a sequence, the rows of its frames.
        results: the columns frame, id, x1, y1, x2, y2, as ``mot.read_boxes`` returns them.
        protocol: one of ``PROTOCOLS``.
        benchmark: one of ``DISTRACTORS``.
        classes: those to evaluate (default: the protocol's).

    Returns:
        ``COLUMNS`` and their values.

    Warns, Raises: as ``count``.
    """
    return _row(count(gt, results, protocol, benchmark, classes))


def count(
    gt: pd.DataFrame,
    results: pd.DataFrame,
    protocol: str = "motchallenge",
    benchmark: str = DEFAULT_BENCHMARK,
    classes: Iterable[int] | None = None,
) -> Counts:
    """Count what happens in one sequence, for ``summarize`` to pool.

    Without results every object is missed, without ground truth every result is a false positive. The order
    of the rows does not matter.

    Args:
        gt: the ground truth, with the columns that ``evaluate_sequence`` takes.
        results: the results, likewise.
        protocol: one of ``PROTOCOLS``.
        benchmark: one of ``DISTRACTORS``.
        classes: those to evaluate (default: the protocol's).

    Warns:
        EvaluationWarning: there is ground truth, but none of it is evaluated.

    Raises:
        ValueError: an unknown protocol or benchmark, a missing column, a coordinate that is not finite or too
            large, an id that comes twice in a frame.
    """
    rules = Rules.of(protocol, benchmark, classes)
    if len(gt) and (reason := rules.why_nothing(gt)):
        warnings.warn(reason, EvaluationWarning, stacklevel=2)
    return _count(gt, results, rules)


def summarize(counts: Mapping[str, Counts]) -> pd.DataFrame:
    """The table of ``evaluate`` from the counts of each sequence, by name.

    Raises ValueError where there are none, or where they were not all made under one protocol.
    """
    protocols = {counted.protocol for counted in counts.values()}
    if len(protocols) != 1:
        raise ValueError(
            f"a table needs counts of one protocol, not of {', '.join(sorted(protocols)) or 'none'}"
        )
    rows = {name: _row(counted) for name, counted in counts.items()}
    rows[OVERALL] = _row(*counts.values())
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    table.index.name = "sequence"
    table.attrs["protocol"] = protocols.pop()
    return table


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table of ``evaluate`` or ``compare`` as CSV: no number goes without its protocol.

    Args:
        path: the file.
        table: before its columns goes ``protocol`` and, where the table is of one, ``part``.
    """
    table = table.copy()
    if table.attrs.get("part"):
        table.insert(0, "part", table.attrs["part"])
    table.insert(0, "protocol", table.attrs["protocol"])
    with atomic(Path(path)) as part:
        table.to_csv(part, float_format="%.6f", lineterminator="\n")


# --- one sequence -------------------------------------------------------------------------------------------


def _warn_where_nothing_counts(reasons: dict[str, str]) -> None:
    """``reasons``: why nothing of a sequence is evaluated, by its name; empty where something is."""
    nothing = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if len(nothing) == len(reasons):
        raise ValueError("; ".join(nothing[:3]) + (f" (and {len(nothing) - 3} more)" if nothing[3:] else ""))
    for line in nothing:
        warnings.warn(line, EvaluationWarning, stacklevel=4)


def _count(gt: pd.DataFrame, results: pd.DataFrame, rules: Rules) -> Counts:
    gt, results = prepare(gt, results, rules)
    data = trackeval_data(gt, results)
    hota = _HOTA.eval_sequence(data)
    if _by_motmetrics(data, rules.protocol):
        return Counts(rules.protocol, *_motmetrics_counts(data), hota)
    return Counts(rules.protocol, _CLEAR.eval_sequence(data), _IDENTITY.eval_sequence(data), hota)


def clear_counts(data: dict[str, Any], protocol: str) -> dict[str, Any]:
    """Count CLEAR's errors by what counts under a protocol, under TrackEval's names.

    Args:
        data: As of :func:`trackeval_data`.
        protocol: One of ``PROTOCOLS``.
    """
    return _motmetrics_counts(data)[0] if _by_motmetrics(data, protocol) else _CLEAR.eval_sequence(data)


def trackeval_data(gt: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any]:
    """Return what TrackEval's measures read: a list entry a frame, ids counted from 0.

    Frames without any box change no measure and are left out.

    Args:
        gt: Of ``protocol.prepare``.
        results: Of ``protocol.prepare``.
    """
    gt_names, gt_ids = np.unique(gt["id"].to_numpy(), return_inverse=True)
    names, ids = np.unique(results["id"].to_numpy(), return_inverse=True)
    listed = list(frames(gt, results))
    return {
        "gt_ids": [gt_ids[objects] for objects, _, _ in listed],
        "tracker_ids": [ids[found] for _, found, _ in listed],
        "similarity_scores": [overlap for _, _, overlap in listed],
        "num_timesteps": len(listed),
        "num_gt_ids": len(gt_names),
        "num_tracker_ids": len(names),
        "num_gt_dets": len(gt),
        "num_tracker_dets": len(results),
    }


def _by_motmetrics(data: dict[str, Any], protocol: str) -> bool:
    return protocol == "plain" and data["num_gt_dets"] > 0 and data["num_tracker_dets"] > 0


# motmetrics' names beside TrackEval's.
_CLEAR_NAMES = {
    "num_detections": "CLR_TP",
    "num_misses": "CLR_FN",
    "num_false_positives": "CLR_FP",
    "num_switches": "IDSW",
    "num_fragmentations": "Frag",
    "mostly_tracked": "MT",
    "partially_tracked": "PT",
    "mostly_lost": "ML",
}
_IDENTITY_NAMES = {"idtp": "IDTP", "idfn": "IDFN", "idfp": "IDFP"}


def _motmetrics_counts(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """CLEAR and identity counts by py-motmetrics, under TrackEval's names."""
    accumulator = motmetrics.MOTAccumulator()
    measures = [*_CLEAR_NAMES, *_IDENTITY_NAMES, "motp"]
    # Which solver motmetrics takes otherwise depends on what else is installed.
    with motmetrics.lap.set_default_solver("scipy"):
        listed = zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True)
        for number, (gt_ids, ids, overlap) in enumerate(listed):
            distance = np.where(overlap < MIN_OVERLAP, np.nan, 1.0 - overlap)
            accumulator.update(gt_ids, ids, distance, frameid=number)
        counted = motmetrics.metrics.create().compute(accumulator, metrics=measures, return_dataframe=False)
    clear: dict[str, float] = {name: int(counted[key]) for key, name in _CLEAR_NAMES.items()}
    matched = clear["CLR_TP"]
    clear["MOTP_sum"] = matched * (1.0 - counted["motp"]) if matched else 0.0  # motmetrics' is a distance
    clear["CLR_Frames"] = data["num_timesteps"]
    return clear, {name: int(counted[key]) for key, name in _IDENTITY_NAMES.items()}


def _row(*counts: Counts) -> dict[str, float]:
    """``COLUMNS`` of the pooled counts. A ratio of nothing is 0."""
    clear = _CLEAR.combine_sequences({k: counted.clear for k, counted in enumerate(counts)})
    identity = _IDENTITY.combine_sequences({k: counted.identity for k, counted in enumerate(counts)})
    hota = _HOTA.combine_sequences({k: counted.hota for k, counted in enumerate(counts)})
    tracks = clear["MT"] + clear["PT"] + clear["ML"]
    row = {
        "IDF1": identity["IDF1"],
        "IDP": identity["IDP"],
        "IDR": identity["IDR"],
        "Rcll": clear["CLR_Re"],
        "Prcn": clear["CLR_Pr"],
        "GT": tracks,
        "MT": clear["MT"],
        "PT": clear["PT"],
        "ML": clear["ML"],
        "FP": clear["CLR_FP"],
        "FN": clear["CLR_FN"],
        "IDs": clear["IDSW"],
        "FM": clear["Frag"],
        "MOTA": clear["MOTA"] if tracks else 0.0,  # TrackEval's own would be minus the false positives
        "MOTP": clear["MOTP"],
        "HOTA": hota["HOTA"].mean(),
        "DetA": hota["DetA"].mean(),
        "AssA": hota["AssA"].mean(),
    }
    return {name: int(value) if name in COUNTS else float(value) for name, value in row.items()}
