"""MOTChallenge box files, from text to table and back (motchallenge.net; Milan et al., 2016, Table 5).

A file is rows of 7 to 10 numbers ``frame, id, left, top, width, height, ...``, separated by commas,
semicolons, tabs or spaces. The reader tells which kind of file it is, and so what follows:

===============================  ====================================================================
results, ``read_boxes``          conf; class and visibility, or nothing that is read
detections, ``read_detections``  conf, the rest is not read; neither is the id
gt, ``read_ground_truth``        flag (0 = not to be evaluated); class and visibility, or MOT15's
                                 world coordinates, which are not read
===============================  ====================================================================

Everything here speaks pandas: a table of boxes has the columns ``COLUMNS``, one row per box, in the order of
the file.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import COLUMNS, LARGEST, TRACK_COLUMNS
from .files import atomic
from .number_rows import AnyPath, MotFormatError, line_of, parse

PEDESTRIAN = 1  # the only class that MOTChallenge evaluates

Kind = Literal["results", "detections", "gt"]

_INTEGER = {"frame": np.int64, "id": np.int64, "cls": np.int64}
_LIMIT = 2.0**53  # from here on a float may stand for more than one integer


class MotFormatWarning(UserWarning):
    """A file that can be read in two ways, or is passed over: names it and says what was done."""


def read_boxes(path: str | os.PathLike[str] | zipfile.Path) -> pd.DataFrame:
    """Read a file of tracking results.

    Spaces beside the separators, a separator at the end of a row, blank lines, any line ends and a byte order
    mark are fine; an empty file is an empty table (a tracker may find nothing).

    Args:
        path: the file, which may be a member of a zip archive.

    Returns:
        One row per box with the columns ``COLUMNS``, in the order of the file. ``frame`` (1-based), ``id``
        and ``cls`` are int64, the others float64. ``x1, y1, x2, y2`` are pixels, x2 = left + width; ``conf``
        is the score. Without classes ``cls`` is 1 (pedestrian), without visibilities ``visibility`` is 1.

    Raises:
        FileNotFoundError: there is no such file.
        MotFormatError: names the line of the first row with fewer than 7 or more than 10 columns, another
            number of columns than the first row, text, NaN or infinity, a fraction where an integer belongs,
            an integer of 2**53 or more, a frame below 1, a negative size, a coordinate larger than
            ``LARGEST``, or an id other than -1 that comes twice in its frame.
    """
    return _read(path, "results")


def read_detections(path: str | os.PathLike[str] | zipfile.Path) -> pd.DataFrame:
    """Read a file of detections: as ``read_boxes``, but ids and what follows ``conf`` are not read.

    Args:
        path: the file.

    Returns:
        As ``read_boxes``; each ``id`` is -1, each ``cls`` and ``visibility`` 1.

    Raises:
        FileNotFoundError: there is no such file.
        MotFormatError: as ``read_boxes``.
    """
    return _read(path, "detections")


def read_ground_truth(path: str | os.PathLike[str] | zipfile.Path) -> pd.DataFrame:
    """Read a file of ground truth.

    Nine columns hold class and visibility. Eight or ten hold them where column 8 is integers from -1 and
    column 9, if any, is in [0, 1] or -1 (unknown); else they are MOT15's, whose last are world coordinates.
    Nothing but -1 after the flag, or three zeros, means neither.

    Args:
        path: the file.

    Returns:
        As ``read_boxes``; ``conf`` is the flag, 0 where a row is not to be evaluated.

    Warns:
        MotFormatWarning: says which reading was taken where both are possible, and where ids start at 0.

    Raises:
        FileNotFoundError: there is no such file.
        MotFormatError: as ``read_boxes``, and where a flag is no integer, an id is negative, or an id is 0
            unless the ids are 0, 1, ... without a gap (a 0 beside others stands for no identity).
    """
    return _read(path, "gt")


def refuse(
    path: str | os.PathLike[str] | zipfile.Path, rows: NDArray[np.bool_] | pd.Series, message: str
) -> None:
    """Raise an error that names the line of the first row that is marked, if any.

    Args:
        path: the file that the rows were read from.
        rows: bool, one per row of the table that its reader returned.
        message: what is wrong with those that are marked.

    Raises:
        MotFormatError: a row is marked.
    """
    marked = np.asarray(rows)
    if marked.any():
        path = _as_path(path)
        raise MotFormatError(path, line_of(path, int(marked.argmax())), message)


def pedestrians(gt: pd.DataFrame, min_visibility: float = 0.0) -> pd.DataFrame:
    """Select the rows of a ground truth that count.

    Args:
        gt: as ``read_ground_truth`` returns it.
        min_visibility: the least visible share of a box, in [0, 1].

    Returns:
        The rows with flag 1, class pedestrian and at least that visibility.
    """
    return gt[(gt["conf"] != 0) & (gt["cls"] == PEDESTRIAN) & (gt["visibility"] >= min_visibility)]


def write_results(path: str | os.PathLike[str], boxes: pd.DataFrame) -> None:
    """Write ``frame, id, left, top, width, height, conf, -1, -1, -1``, sorted by frame and id.

    Pixels keep three decimals, scores six. The file is replaced as a whole or stays as it was.

    Args:
        path: the file.
        boxes: the columns frame, id, x1, y1, x2, y2 [px] and, if any, conf (else 1).

    Raises:
        ValueError: on what ``read_boxes`` would not read back.
    """
    _write(path, boxes, "results", {"conf": 1.0}, extra=(-1, -1, -1))


def write_ground_truth(path: str | os.PathLike[str], boxes: pd.DataFrame) -> None:
    """Write MOT17's columns ``frame, id, left, ..., flag, class, visibility``; else as ``write_results``.

    Args:
        path: the file.
        boxes: as for ``write_results``; ``conf`` is the flag. Without flag, class or visibility it is 1.

    Raises:
        ValueError: on what ``read_ground_truth`` would not read back.
    """
    _write(path, boxes, "gt", {"conf": 1.0, "cls": PEDESTRIAN, "visibility": 1.0})


# --- reading ------------------------------------------------------------------------------------------------


def _as_path(path: str | os.PathLike[str] | zipfile.Path) -> AnyPath:
    return path if isinstance(path, zipfile.Path) else Path(path)


def _read(path: str | os.PathLike[str] | zipfile.Path, kind: Kind) -> pd.DataFrame:
    path = _as_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    values = parse(path)
    if kind == "detections":
        values[:, 1] = -1
    boxes = _as_boxes(values, kind)
    # left + width rounds: whether a size is negative must be asked of the size itself.
    row, message = _first_problem(boxes, kind, negative=values[:, 4:6].min(axis=1) < 0)
    if message:
        raise MotFormatError(path, line_of(path, row), message)
    if kind == "gt":
        for reading in _doubtful_readings(values):
            warnings.warn(f"{path}: {reading}", MotFormatWarning, stacklevel=3)
    return boxes.astype(_INTEGER)


def _as_boxes(values: NDArray[np.float64], kind: Kind) -> pd.DataFrame:
    """Rows of a file (rows, 7 to 10) as a table with ``COLUMNS``, all float64 still."""
    frame, identity, left, top, width, height, conf = values[:, :7].T
    cls, visibility = np.ones((2, len(values)))
    if kind != "detections" and _holds_classes(values):
        cls = values[:, 7]
        if values.shape[1] > 8:
            visibility = np.where(values[:, 8] == -1, 1.0, values[:, 8])
    boxes = [frame, identity, left, top, left + width, top + height, conf, cls, visibility]
    return pd.DataFrame(dict(zip(COLUMNS, boxes, strict=True)))


def _holds_classes(values: NDArray[np.float64]) -> bool:
    """Whether column 8 is the class and column 9, if any, the visibility: see ``read_ground_truth``."""
    rest = values[:, 7:]
    if not rest.size or (rest[:, :2] == -1).all() or (rest.shape[1] == 3 and not rest.any()):
        return False
    visible = ((rest[:, 1:2] >= 0) & (rest[:, 1:2] <= 1)) | (rest[:, 1:2] == -1)
    return rest.shape[1] == 2 or (_integers(rest[:, 0]) and bool(visible.all()))


def _integers(column: NDArray[np.float64]) -> bool:
    """Whether these may be classes: integers from -1, and not -1 alone."""
    return bool(((column % 1 == 0) & (column >= -1)).all() and (column != -1).any())


def _doubtful_readings(values: NDArray[np.float64]) -> list[str]:
    """Which of two possible readings of a ground truth was taken, a line each."""
    found = []
    if values.shape[1] == 10 and _holds_classes(values):
        if (values[:, 7:9] != 1).any():  # else both readings are the same
            found.append(
                "columns 8 and 9 are read as class and visibility; if they are MOT15's world coordinates, "
                "--benchmark MOT15 looks at no class"
            )
    elif values.shape[1] == 10 and values[:, 7:].any() and _integers(values[:, 7]):
        found.append(
            "columns 8 to 10 are read as world coordinates, as column 9 is no visibility in [0, 1]; if "
            "column 8 is a class, leave out the columns after it"
        )
    if (values[:, 1] == 0).any():
        found.append("the ids are read as numbered from 0: in MOTChallenge's own files they count from 1")
    return found


def _first_problem(boxes: pd.DataFrame, kind: Kind, negative: NDArray[np.bool_]) -> tuple[int, str]:
    """(row, message) of the first row that no such file may hold; (0, "") where there is none."""
    numbers, integers = (boxes[names].to_numpy(np.float64) for names in (COLUMNS, list(_INTEGER)))
    checks = {
        "a number is not finite": ~np.isfinite(numbers).all(axis=1),
        "frame, id and class must be integers": (integers % 1 != 0).any(axis=1),
        "frame, id or class is too large: 2**53 or more": (np.abs(integers) >= _LIMIT).any(axis=1),
        "frames count from 1": boxes["frame"] < 1,
        "width and height cannot be negative": negative,
        f"a coordinate is larger than {LARGEST:g} px": (np.abs(numbers[:, 2:6]) > LARGEST).any(axis=1),
        "this id comes twice in its frame": boxes.duplicated(["frame", "id"]) & (boxes["id"] != -1),
    }
    if kind == "gt":
        start = 0 if _count_from_zero(boxes["id"].to_numpy()) else 1
        checks["ground truth needs a track id, which counts from 1"] = boxes["id"] < start
        checks["the flag in column 7 must be an integer: 0 = not to be evaluated"] = boxes["conf"] % 1 != 0
    wrong = np.stack([np.asarray(rows, dtype=bool) for rows in checks.values()])
    row = int(wrong.any(axis=0).argmax()) if wrong.any() else 0
    return row, list(checks)[int(wrong[:, row].argmax())] if wrong.any() else ""


def _count_from_zero(ids: NDArray[Any]) -> bool:
    """Whether ids are 0, 1, ... without a gap: then 0 is one of them, else it stands for none."""
    present = np.unique(ids)
    return len(present) > 1 and np.array_equal(present, np.arange(len(present)))


# --- writing ------------------------------------------------------------------------------------------------


def _write(
    path: str | os.PathLike[str],
    boxes: pd.DataFrame,
    kind: Kind,
    defaults: dict[str, float],
    extra: tuple[int, ...] = (),
) -> None:
    path = Path(path)
    missing = [name for name in TRACK_COLUMNS if name not in boxes]
    if missing:
        raise ValueError(f"{path}: the boxes to write lack the columns {', '.join(missing)}")
    table = boxes.assign(**{name: value for name, value in defaults.items() if name not in boxes})
    negative = ((table["x2"] < table["x1"]) | (table["y2"] < table["y1"])).to_numpy()
    filled = table.assign(**{name: 1 for name in COLUMNS if name not in table})[COLUMNS]
    row, message = _first_problem(filled, kind, negative)
    if message:
        raise ValueError(f"{path}: row {row} of the boxes to write: {message}")
    table = table.sort_values(["frame", "id"], kind="stable")
    rows = table[["frame", "id"]].astype(np.int64)
    rows[["left", "top"]] = table[["x1", "y1"]].round(3)
    rows["width"] = (table["x2"] - table["x1"]).round(3)
    rows["height"] = (table["y2"] - table["y1"]).round(3)
    for name in defaults:
        rows[name] = table[name].astype(np.int64) if name == "cls" else table[name].round(6)
    for index, value in enumerate(extra):
        rows[f"extra{index}"] = value
    with atomic(path) as temporary:
        rows.to_csv(temporary, header=False, index=False, lineterminator="\n")
