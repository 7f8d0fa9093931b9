"""MOTChallenge sequences: folders with boxes and images, found, opened and split (motchallenge.net).

What stands in the box files is read and written by ``box_files``, whose functions are here as well.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .box_files import (
    COLUMNS,
    PEDESTRIAN,
    MotFormatWarning,
    pedestrians,
    read_boxes,
    read_detections,
    read_ground_truth,
    write_ground_truth,
    write_results,
)
from .number_rows import MotFormatError, quoted

__all__ = [
    "COLUMNS",
    "PEDESTRIAN",
    "MotFormatError",
    "MotFormatWarning",
    "Sequence",
    "find_sequences",
    "pedestrians",
    "read_boxes",
    "read_detections",
    "read_ground_truth",
    "split",
    "write_ground_truth",
    "write_results",
]

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_BOX_FILES = {"gt/gt.txt": read_ground_truth, "det/det.txt": read_detections}
_SIGNS = "gt/gt.txt, det/det.txt, img1/ or seqinfo.ini"  # what makes a folder a sequence
_DEPTH = 5  # TrackEval's own layout, gt/mot_challenge/MOT17-train/SEQUENCE, lies four folders deep


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
            found = [read(path / file) for file, read in _BOX_FILES.items() if (path / file).is_file()]
            boxes = pd.concat([pd.DataFrame(columns=COLUMNS), *found])
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
        boxes = read_ground_truth(file)
        if boxes.empty:
            raise MotFormatError(file, None, "the ground truth is empty")
        return boxes

    def detections(self) -> pd.DataFrame:
        """The detections that come with the sequence."""
        return read_detections(self.path / "det" / "det.txt")

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


# --- folders ------------------------------------------------------------------------------------------------


def _is_sequence(path: Path) -> bool:
    return (
        any((path / file).is_file() for file in _BOX_FILES)
        or (path / "img1").is_dir()
        or (path / "seqinfo.ini").is_file()
    )


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
                raise MotFormatError(file, None, f"{key} is not a number: {quoted(section[key])}") from None
            if not 0 < info[key] < 2**53:
                raise MotFormatError(file, None, f"{key} must be positive: {quoted(section[key])}")
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
