"""CLEAR-MOT, identity and HOTA measures of result files, under a named protocol (see docs/evaluation.md).

``motchallenge``
    The official protocol of MOTChallenge: results that overlap a distractor are dropped, ground truth that is
    not to be evaluated is removed; all measures by TrackEval, which agrees with the official kit to the unit.
``plain``
    No preprocessing, except that ground truth with flag 0 is removed, as MOT15 does; CLEAR and identity by
    py-motmetrics, as the paper's own code did, HOTA by TrackEval. For MOT15 and own data.

The two count switches, fragments and mostly tracked objects by slightly different rules: never put numbers of
both in one table. A table carries its protocol in ``attrs["protocol"]``, and in a column once it is a file.

Sources: Bernardin and Stiefelhagen, 2008 (CLEAR-MOT); Li et al., 2009 (MT, PT, ML, FM); Ristani et al., 2016
(identity); Luiten et al., 2021 (HOTA).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import motmetrics
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from trackeval.datasets import MotChallenge2DBox
from trackeval.metrics import CLEAR, HOTA, Identity

from ..data import result_files
from ..data.files import atomic
from ..data.mot import PEDESTRIAN

PROTOCOLS = ("motchallenge", "plain")
COUNTS = ["GT", "MT", "PT", "ML", "FP", "FN", "IDs", "FM"]
COLUMNS = ["IDF1", "IDP", "IDR", "Rcll", "Prcn", *COUNTS, "MOTA", "MOTP", "HOTA", "DetA", "AssA"]
OVERALL = "OVERALL"
DISTRACTORS = (2, 7, 8, 12)  # person on vehicle, static person, distractor, reflection
MIN_OVERLAP = 0.5 - np.finfo(float).eps  # of a match, with TrackEval's tolerance

_BOX = ["x1", "y1", "x2", "y2"]
_NEEDED = ["frame", "id", *_BOX]
_CLEAR = CLEAR({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
_IDENTITY = Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False})
_HOTA = HOTA()


@dataclass(frozen=True)
class Counts:
    """What was counted in one sequence, under TrackEval's names: all that ``summarize`` needs to pool."""

    protocol: str
    clear: dict
    identity: dict
    hota: dict


def evaluate(
    gt_root: str | os.PathLike,
    results_dir: str | os.PathLike,
    protocol: str = "motchallenge",
    sequences: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Evaluates the result files ``results_dir/SEQUENCE.txt`` against the ground truth under ``gt_root``.

    Returns a row a sequence and a last row ``OVERALL``, which pools all counts (no mean of ratios).
    The columns are ``COLUMNS``: GT to FM are int64 (GT: the number of ground-truth tracks), the others ratios
    in [0, 1] (MOTA may be negative); MOTP is the mean overlap of the matches (up is better). ``sequences``
    names those to evaluate, by default all that have ground truth.

    All is read and checked before anything is counted. Raises ValueError on an unknown protocol, on sequences
    without a result file and result files without a sequence (naming them); NotADirectoryError where a folder
    is missing; MotFormatError, with file and line, on broken files, frames past the end of the sequence and
    results without track ids.
    """
    _check_protocol(protocol)
    boxes = result_files.read(gt_root, results_dir, sequences)
    return summarize({name: count(*pair, protocol) for name, pair in boxes.items()})


def compare(
    gt_root: str | os.PathLike,
    results_dirs: Mapping[str, str | os.PathLike],
    protocol: str = "motchallenge",
    sequences: Iterable[str] | None = None,
) -> pd.DataFrame:
    """The tables of ``evaluate`` for several trackers, by name, in one with the index (tracker, sequence).

    The results of all are read and checked before anything is counted. Raises as ``evaluate``.
    """
    _check_protocol(protocol)
    sequences = None if sequences is None else list(sequences)
    read = {name: result_files.read(gt_root, folder, sequences) for name, folder in results_dirs.items()}
    tables = {}
    for tracker, boxes in read.items():
        tables[tracker] = summarize({name: count(*pair, protocol) for name, pair in boxes.items()})
    table = pd.concat(tables, names=["tracker"])
    table.attrs["protocol"] = protocol
    return table


def evaluate_sequence(
    gt: pd.DataFrame, results: pd.DataFrame, protocol: str = "motchallenge"
) -> dict[str, float]:
    """The measures (``COLUMNS``) of one sequence in memory; both tables as ``mot.read_boxes`` returns them.

    ``gt`` needs the columns frame, id, x1, y1, x2, y2 and may have conf (0: not to be evaluated) and cls;
    ``results`` the first six. For a part of a sequence, pass the rows of its frames. Raises as ``count``.
    """
    return _row(count(gt, results, protocol))


def count(gt: pd.DataFrame, results: pd.DataFrame, protocol: str = "motchallenge") -> Counts:
    """The counts of one sequence in memory (arguments of ``evaluate_sequence``), for ``summarize`` to pool.

    Without results every object is missed, without ground truth every result is a false positive. The order
    of the rows does not matter. Raises ValueError on an unknown protocol, a missing column, a coordinate that
    is not finite, and an id that comes twice in a frame.
    """
    gt, results = prepare(gt, results, protocol)
    data = _trackeval_data(gt, results)
    hota = _HOTA.eval_sequence(data)
    if protocol == "plain" and len(gt) and len(results):
        return Counts(protocol, *_motmetrics_counts(data), hota)
    return Counts(protocol, _CLEAR.eval_sequence(data), _IDENTITY.eval_sequence(data), hota)


def prepare(gt: pd.DataFrame, results: pd.DataFrame, protocol: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ground truth and the results that count under a protocol, sorted by frame and id.

    Arguments and errors are those of ``count``.
    """
    _check_protocol(protocol)
    gt, results = _checked(gt, "ground truth"), _checked(results, "results")
    if protocol == "motchallenge":
        return _drop_distractors(gt, results)
    return (gt[gt["conf"] != 0] if "conf" in gt else gt), results


def frames(gt: pd.DataFrame, results: pd.DataFrame) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Each frame with any box: its rows in the two sorted tables, and their overlaps (objects, results)."""
    columns = [table["frame"].to_numpy() for table in (gt, results)]
    numbers = np.union1d(*columns)
    starts, ends = (
        [np.searchsorted(column, numbers, side) for column in columns] for side in ("left", "right")
    )
    gt_boxes, result_boxes = (table[_BOX].to_numpy(float) for table in (gt, results))
    for a, b, c, d in zip(starts[0], ends[0], starts[1], ends[1], strict=True):
        overlap = MotChallenge2DBox._calculate_box_ious(
            gt_boxes[a:b], result_boxes[c:d], box_format="x0y0x1y1"
        )
        yield slice(a, b), slice(c, d), overlap


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


def write_csv(path: str | os.PathLike, table: pd.DataFrame) -> None:
    """Writes a table of ``evaluate`` or ``compare``, its protocol in a column: no number goes without it."""
    table = table.copy()
    table.insert(0, "protocol", table.attrs["protocol"])
    with atomic(path) as part:
        table.to_csv(part, float_format="%.6f", lineterminator="\n")


# --- one sequence -------------------------------------------------------------------------------------------


def _check_protocol(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")


def _checked(boxes: pd.DataFrame, what: str) -> pd.DataFrame:
    """The boxes sorted by frame and id: the measures must not depend on the order of the rows."""
    if missing := [name for name in _NEEDED if name not in boxes]:
        raise ValueError(f"the {what} lack the columns {', '.join(missing)}")
    if not np.isfinite(boxes[_NEEDED].to_numpy(float)).all():
        raise ValueError(f"the {what} hold a number that is not finite")
    boxes = boxes.sort_values(["frame", "id"])
    twice = boxes.duplicated(["frame", "id"])
    if twice.any():
        frame, identity = boxes.loc[twice, ["frame", "id"]].iloc[0]
        raise ValueError(f"the {what} hold id {identity} twice in frame {frame}")
    return boxes


def _drop_distractors(gt: pd.DataFrame, results: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The official preprocessing. In each frame results are assigned to the ground truth of every class and
    flag (greatest overlap, at least 0.5); those assigned to a distractor go. Then goes all ground truth other
    than pedestrians with flag 1."""
    cls = gt["cls"].to_numpy() if "cls" in gt else np.full(len(gt), PEDESTRIAN)
    flag = gt["conf"].to_numpy() if "conf" in gt else np.ones(len(gt))
    distractor = np.isin(cls, DISTRACTORS)
    drop = np.zeros(len(results), dtype=bool)
    for objects, found, overlap in frames(gt, results):
        if not overlap.size or not distractor[objects].any():
            continue
        overlap = np.where(overlap < MIN_OVERLAP, 0.0, overlap)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        drop[found.start + columns[(overlap[rows, columns] > 0) & distractor[objects][rows]]] = True
    return gt[(flag != 0) & (cls == PEDESTRIAN)], results[~drop]


def _trackeval_data(gt: pd.DataFrame, results: pd.DataFrame) -> dict:
    """What TrackEval's measures read: a list entry a frame, ids counted from 0. Frames without any box change
    no measure and are left out."""
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


def _motmetrics_counts(data: dict) -> tuple[dict, dict]:
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
    clear = {name: int(counted[key]) for key, name in _CLEAR_NAMES.items()}
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
