"""MOTChallenge files and sequences: read, write, find, split (motchallenge.net; Milan et al., 2016, Table 5).

A file is rows of comma-separated numbers ``frame, id, left, top, width, height, ...``; what follows depends
on its kind, which the number of columns tells:

===================================  =======  ===================================================
kind                                 columns  after the six common ones
===================================  =======  ===================================================
detections, results, gt of MOT15     7 to 10  conf, then world coordinates that nobody reads (not 9)
ground truth of MOT16, MOT17, MOT20  9        flag (0 = not to be evaluated), class, visibility
===================================  =======  ===================================================

Everything here speaks pandas: a table of boxes has the columns ``COLUMNS``, one row a box, in the order of
the file.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .files import atomic

COLUMNS = ["frame", "id", "x1", "y1", "x2", "y2", "conf", "cls", "visibility"]
PEDESTRIAN = 1  # the only class that MOTChallenge evaluates

_INTEGER = {"frame": np.int64, "id": np.int64, "cls": np.int64}
_LIMIT = 2.0**53  # beyond it a float is no exact integer
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_NUMBERS = re.compile(r"[^0-9eE+\-., \t\r\n]")
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_SIGNS = "gt/gt.txt, det/det.txt, img1/ or seqinfo.ini"  # what makes a folder a sequence
_DEPTH = 5  # TrackEval's own layout, gt/mot_challenge/MOT17-train/SEQUENCE, lies four folders deep


class MotFormatError(ValueError):
    """A file or folder that is not what MOTChallenge prescribes: names the path and the line, if any."""

    def __init__(self, path: str | os.PathLike, line: int | None, message: str):
        self.path, self.line, self.message = Path(path), line, message
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")

    def __reduce__(self):
        return type(self), (self.path, self.line, self.message)


def read_boxes(path: str | os.PathLike) -> pd.DataFrame:
    """The boxes of a gt, det or result file, as a table with the columns ``COLUMNS``.

    ``frame`` (1-based), ``id`` (-1 in detections) and ``cls`` are int64, the others float64. ``x1, y1, x2,
    y2`` are pixels, x2 = left + width. ``conf`` is the detector's score, or the 0/1 flag of a 9-column gt.
    Without a class column ``cls`` is 1 (pedestrian) and ``visibility`` 1. Windows line ends, blank lines
    and spaces beside the commas are fine; an empty file is an empty table (a tracker may find nothing).

    Raises MotFormatError, with the line, on fewer than 7 or more than 10 columns, another number of columns
    than the first row's, text, NaN or infinity, a fraction where an integer belongs, a frame below 1, a
    negative size, and an id other than -1 that comes twice in a frame. Raises FileNotFoundError where there
    is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    values = _parse(path, text)
    boxes = _as_boxes(values)
    # left + width rounds: whether a size is negative must be asked of the size itself.
    row, message = _first_problem(boxes, negative=(values[:, 4:6] < 0).any(axis=1))
    if message:
        raise MotFormatError(path, _rows(text)[row][0], message)
    return boxes.astype(_INTEGER)


def write_results(path: str | os.PathLike, boxes: pd.DataFrame) -> None:
    """Writes ``frame, id, left, top, width, height, conf, -1, -1, -1``, sorted by frame and id.

    ``boxes`` needs the columns frame, id, x1, y1, x2, y2; without ``conf`` it is 1. Pixels keep three
    decimals, scores six. Raises ValueError on what ``read_boxes`` would not read back; the file that was
    there before then stays as it was.
    """
    _write(path, boxes, {"conf": 1.0}, extra=[-1, -1, -1])


def write_ground_truth(path: str | os.PathLike, boxes: pd.DataFrame) -> None:
    """Writes MOT17's columns ``frame, id, left, ..., flag, class, visibility``; else as ``write_results``."""
    _write(path, boxes, {"conf": 1.0, "cls": PEDESTRIAN, "visibility": 1.0})


def pedestrians(gt: pd.DataFrame, min_visibility: float = 0.0) -> pd.DataFrame:
    """The rows of a ground truth that count: flag 1, class pedestrian, at least so visible (in [0, 1])."""
    return gt[(gt["conf"] != 0) & (gt["cls"] == PEDESTRIAN) & (gt["visibility"] >= min_visibility)]


@dataclass(frozen=True)
class Sequence:
    """A folder with ``gt/gt.txt``, ``det/det.txt`` and ``img1/``, any of which may be missing.

    ``name`` is the folder's; ``length`` in frames, ``height`` and ``width`` in pixels, ``frame_rate`` in Hz
    (None if unknown).
    """

    name: str
    path: Path
    length: int
    height: int
    width: int
    frame_rate: float | None = None
    image_pattern: str = field(default="img1/{:06d}.jpg", repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Sequence:
        """Length and size come from ``seqinfo.ini``, else from the images, else from the boxes: their last
        frame and their extent (a lower bound of the true size). Raises MotFormatError on a folder that is
        no sequence."""
        path = Path(path)
        if not path.is_dir():
            raise NotADirectoryError(f"{path}: no such folder")
        if not _is_sequence(path):
            raise MotFormatError(path, None, f"no MOTChallenge sequence: no {_SIGNS} here")
        info = _seqinfo(path / "seqinfo.ini")
        folder = path / info.get("imdir", "img1")
        images = _images(folder)
        first = images[0] if images else None
        pattern = f"{folder.name}/{{:0{len(first.stem) if first else 6}d}}{first.suffix if first else '.jpg'}"
        length, width, height = (info.get(key) for key in ("seqlength", "imwidth", "imheight"))
        if images:
            length = length or int(images[-1].stem)
            if not (width and height):
                width, height = _open_image(first).size
        if not (length and width and height):
            boxes = pd.concat([_as_boxes(np.empty((0, 7))), *map(read_boxes, _box_files(path))])
            if boxes.empty:
                raise MotFormatError(path, None, "cannot tell length and size: no seqinfo.ini, image or box")
            length = length or boxes["frame"].max()
            width, height = width or np.ceil(boxes["x2"].max()), height or np.ceil(boxes["y2"].max())
        name = Path(os.path.abspath(path)).name
        return cls(name, path, int(length), int(height), int(width), info.get("framerate"), pattern)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    def gt(self) -> pd.DataFrame:
        """All rows of the ground truth (``pedestrians`` picks those that count); MotFormatError if empty."""
        file = self.path / "gt" / "gt.txt"
        boxes = read_boxes(file)
        if boxes.empty:
            raise MotFormatError(file, None, "the ground truth is empty")
        return boxes

    def detections(self) -> pd.DataFrame:
        """The detections that come with the sequence."""
        return read_boxes(self.path / "det" / "det.txt")

    def image(self, frame: int) -> np.ndarray:
        """The picture of a frame (1-based): uint8 (height, width, 3), RGB."""
        if not 1 <= frame <= self.length:
            raise ValueError(f"{self.name}: frame {frame} is not in 1..{self.length}")
        file = self.path / self.image_pattern.format(frame)
        if not file.is_file():
            raise FileNotFoundError(f"{file}: the image of frame {frame} is missing")
        return np.asarray(_open_image(file))


def find_sequences(root: str | os.PathLike) -> list[Sequence]:
    """The sequences under ``root``, sorted by path: ``root`` itself, its folders, ``root/train``,
    ``root/MOT17/train``, ...

    Where a folder holds both ``train`` and ``test`` (MOTChallenge's download), ``test``, which has no
    ground truth, is left out. Raises NotADirectoryError where there is no such folder, MotFormatError where
    it holds no sequence.
    """
    root = Path(root)
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: no such folder")
    found = [Sequence.open(path) for path in _sequence_folders(root, _DEPTH)]
    if not found:
        raise MotFormatError(root, None, f"no MOTChallenge sequence here: no folder with {_SIGNS}")
    return found


def split(sequence: Sequence | int) -> dict[str, range]:
    """The frames (1-based) of each part of a sequence, or of a length: 50, 25 and 25 % (Appendix A.2).

    ``train`` is trained on, ``val`` selects (states of a training, thresholds), ``test`` is reported. The
    paper reports the same last quarter, which it calls validation, and leaves the one before it unused.
    """
    length = getattr(sequence, "length", sequence)
    if length < 1:
        raise ValueError(f"a sequence of {length} frames cannot be split")
    half, quarter = length // 2, length * 3 // 4
    train, val, test = range(1, half + 1), range(half + 1, quarter + 1), range(quarter + 1, length + 1)
    return {"train": train, "val": val, "test": test}


# --- reading ------------------------------------------------------------------------------------------------


def _parse(path: Path, text: str) -> np.ndarray:
    """The numbers of a file, float64 (rows, columns): by pandas, or line by line to name a culprit."""
    if not text.strip():
        return np.empty((0, 7))
    if not _NOT_NUMBERS.search(text):
        options = {"header": None, "dtype": np.float64, "skipinitialspace": True}
        with contextlib.suppress(ValueError, OverflowError):  # pandas' own errors are ValueErrors
            values = pd.read_csv(io.StringIO(text), **options).to_numpy()
            if np.isfinite(values).all() and 7 <= values.shape[1] <= 10:
                return values
    return _parse_by_line(path, text)


def _parse_by_line(path: Path, text: str) -> np.ndarray:
    rows: list[list[float]] = []
    for line, content in _rows(text):
        fields = [field.strip() for field in content.split(",")]
        if not 7 <= len(fields) <= 10:
            message = f"{len(fields)} comma-separated columns, expected 7 to 10: {_quote(content)}"
            raise MotFormatError(path, line, message)
        if rows and len(fields) != len(rows[0]):
            message = f"{len(fields)} columns, but {len(rows[0])} in the rows before: {_quote(content)}"
            raise MotFormatError(path, line, message)
        for column, value in enumerate(fields, start=1):
            if not _NUMBER.fullmatch(value):
                raise MotFormatError(path, line, f"column {column} is not a finite number: {_quote(value)}")
        row = [float(value) for value in fields]
        if not np.isfinite(row).all():
            raise MotFormatError(path, line, f"a number is too large: {_quote(content)}")
        rows.append(row)
    return np.array(rows)


def _rows(text: str) -> list[tuple[int, str]]:
    """(line number, content) of the lines that are not blank."""
    lines = re.split(r"\r\n|\n|\r", text)
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _as_boxes(values: np.ndarray) -> pd.DataFrame:
    """File rows, float64 (rows, 7 to 10), as a table with ``COLUMNS``, all float64 still."""
    frame, identity, left, top, width, height, conf = values[:, :7].T
    cls, visibility = values[:, 7:9].T if values.shape[1] == 9 else np.ones((2, len(values)))
    boxes = [frame, identity, left, top, left + width, top + height, conf, cls, visibility]
    return pd.DataFrame(dict(zip(COLUMNS, boxes, strict=True)))


def _first_problem(boxes: pd.DataFrame, negative: np.ndarray) -> tuple[int, str]:
    """(row, message) of the first row that no box file may hold; the message is empty where there is none."""
    checks = {
        "a number is not finite": ~np.isfinite(boxes.to_numpy(np.float64)).all(axis=1),
        "frame, id and class must be integers": (boxes[list(_INTEGER)] % 1 != 0).any(axis=1),
        "frame, id or class is too large": (boxes[list(_INTEGER)].abs() > _LIMIT).any(axis=1),
        "frames count from 1": boxes["frame"] < 1,
        "width and height cannot be negative": negative,
        "this id comes twice in its frame": boxes.duplicated(["frame", "id"]) & (boxes["id"] != -1),
    }
    wrong = np.stack([np.asarray(rows, dtype=bool) for rows in checks.values()])
    row = int(wrong.any(axis=0).argmax()) if wrong.any() else 0
    return row, list(checks)[int(wrong[:, row].argmax())] if wrong.any() else ""


# --- writing ------------------------------------------------------------------------------------------------


def _write(path: str | os.PathLike, boxes: pd.DataFrame, defaults: dict[str, float], extra=()) -> None:
    path = Path(path)
    missing = [name for name in COLUMNS[:6] if name not in boxes]
    if missing:
        raise ValueError(f"{path}: the boxes to write lack the columns {', '.join(missing)}")
    table = boxes.assign(**{name: value for name, value in defaults.items() if name not in boxes})
    negative = ((table["x2"] < table["x1"]) | (table["y2"] < table["y1"])).to_numpy()
    filled = table.assign(**{name: 1 for name in COLUMNS if name not in table})[COLUMNS]
    row, message = _first_problem(filled, negative)
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


# --- folders ------------------------------------------------------------------------------------------------


def _box_files(path: Path) -> list[Path]:
    return [file for file in (path / "gt" / "gt.txt", path / "det" / "det.txt") if file.is_file()]


def _is_sequence(path: Path) -> bool:
    return bool(_box_files(path)) or (path / "img1").is_dir() or (path / "seqinfo.ini").is_file()


def _sequence_folders(root: Path, depth: int) -> list[Path]:
    if _is_sequence(root):
        return [root]
    if depth == 0:
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if any(folder.name == "train" for folder in folders):
        folders = [folder for folder in folders if folder.name != "test"]
    return [found for folder in folders for found in _sequence_folders(folder, depth - 1)]


def _seqinfo(file: Path) -> dict:
    """The settings of ``seqinfo.ini`` that matter, by lower-case name; empty where the file is missing."""
    if not file.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_bytes().decode("utf-8-sig", errors="replace"), source=str(file))
        section = dict(parser["Sequence"])
    except (configparser.Error, KeyError) as error:
        line = getattr(error, "lineno", None)
        raise MotFormatError(file, line, "not a seqinfo file: no readable [Sequence] section") from error
    info: dict = {key: section[key] for key in ("imdir",) if section.get(key)}
    for key, kind in {"seqlength": int, "imwidth": int, "imheight": int, "framerate": float}.items():
        if key in section:
            try:
                info[key] = kind(section[key])
            except ValueError:
                raise MotFormatError(file, None, f"{key} is not a number: {_quote(section[key])}") from None
            if not 0 < info[key] < _LIMIT:
                raise MotFormatError(file, None, f"{key} must be positive: {_quote(section[key])}")
    return info


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    images = (file for file in folder.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    return sorted(file for file in images if file.stem.isdecimal())


def _open_image(file: Path) -> Image.Image:
    """The whole picture, RGB."""
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise MotFormatError(file, None, f"not a readable image ({error})") from error
