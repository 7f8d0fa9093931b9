"""MOTChallenge sequences: folders with boxes and pictures, opened and split (motchallenge.net)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .box_files import read_detections, read_ground_truth
from .frame_numbers import Numbering, number_frames
from .image_files import ImageFiles, image_size, list_images, read_image
from .number_rows import MotFormatError
from .seqinfo import SeqInfo

SIGNS = "gt/gt.txt, det/det.txt, img1/ or seqinfo.ini"  # what makes a folder a sequence


@dataclass(frozen=True)
class Sequence:
    """A folder with ``gt/gt.txt``, ``det/det.txt`` and ``img1/``, any of which may be missing.

    Everything is read on first use and kept; ``open`` reads what all but evaluation need.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Sequence:
        """Open a sequence whose frames, pictures and size can be told.

        The pictures tell the frames, else ``seqinfo.ini`` and the boxes do. ``seqinfo.ini`` tells the size,
        else the first picture's header, else the extent of the boxes, a lower bound.

        Args:
            path: the folder.

        Returns:
            The sequence.

        Raises:
            NotADirectoryError: there is no such folder.
            MotFormatError: it is no sequence, it is not clear which picture shows which frame, or a file that
                tells any of this is broken.
        """
        sequence = cls(Path(path))
        if not sequence.path.is_dir():
            raise NotADirectoryError(f"{path}: no such folder")
        if not is_sequence(sequence.path):
            raise MotFormatError(sequence.path, None, f"no MOTChallenge sequence: no {SIGNS} here")
        images = sequence._images
        # Without pictures a given length is enough, and no box is read.
        if (images.names or images.problem or not sequence._info.length) and sequence._numbering.problem:
            raise MotFormatError(images.folder, None, sequence._numbering.problem)
        _ = sequence.image_size
        return sequence

    @property
    def name(self) -> str:
        """The folder's name."""
        return Path(os.path.abspath(self.path)).name

    @property
    def frames(self) -> range:
        """The frames that are there, by their numbers (from 1): those of a clip may start at 301."""
        return self._numbering.frames

    @property
    def length(self) -> int:
        """The number of frames."""
        return len(self.frames)

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self._info.height, self._info.width
        if not (height and width) and self.has_images:
            return image_size(self.image_file(self.frames[0]))
        if not (height and width):
            boxes = pd.concat(
                [pd.DataFrame(columns=["x2", "y2"]), *(read(file) for file, read in self._box_files())]
            )
            if boxes.empty:
                raise MotFormatError(self.path, None, "cannot tell the size: no seqinfo.ini, picture or box")
            height, width = (height or np.ceil(boxes["y2"].max())), (width or np.ceil(boxes["x2"].max()))
        return int(height), int(width)

    @property
    def height(self) -> int:
        """The height of the pictures [px]."""
        return self.image_size[0]

    @property
    def width(self) -> int:
        """The width of the pictures [px]."""
        return self.image_size[1]

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, None where it is unknown."""
        return self._info.frame_rate

    @property
    def image_files(self) -> tuple[Path, ...]:
        """The file of each frame's picture; empty where there are none."""
        if self._numbering.problem:
            return ()
        return tuple(self._images.folder / name for name in self._images.names[: self.length])

    @property
    def has_images(self) -> bool:
        """Whether there is a picture of each frame."""
        return bool(self._images.names) and not self._numbering.problem

    def gt(self) -> pd.DataFrame:
        """Read the ground truth.

        Returns:
            All rows of ``gt/gt.txt`` (``pedestrians`` selects those that count), as ``read_ground_truth``.

        Raises:
            FileNotFoundError: there is no such file.
            MotFormatError: it is broken or empty.
        """
        file = self.path / "gt" / "gt.txt"
        boxes = read_ground_truth(file)
        if boxes.empty:
            raise MotFormatError(file, None, "the ground truth is empty")
        return boxes

    def detections(self) -> pd.DataFrame:
        """Read the detections that come with the sequence, ``det/det.txt``, as ``read_detections``."""
        return read_detections(self.path / "det" / "det.txt")

    def image_file(self, frame: int) -> Path:
        """Name the file of a picture.

        Args:
            frame: one of ``frames``.

        Returns:
            Its path.

        Raises:
            ValueError: the sequence has no such frame.
            FileNotFoundError: it has no pictures.
        """
        if frame not in self.frames:
            raise ValueError(f"{self.name}: frame {frame} is not in {self.frames[0]}..{self.frames[-1]}")
        if not self.has_images:
            raise FileNotFoundError(f"{self._images.folder}: no picture of frame {frame}")
        return self._images.folder / self._images.names[frame - self.frames[0]]

    def image(self, frame: int) -> NDArray[np.uint8]:
        """Read a picture.

        Args:
            frame: one of ``frames``.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            ValueError: the sequence has no such frame.
            FileNotFoundError: the picture is missing.
            MotFormatError: it is broken, or not of the sequence's size.
        """
        file = self.image_file(frame)
        if not file.is_file():
            raise FileNotFoundError(f"{file}: the image of frame {frame} is missing")
        return read_image(file, self.image_size)

    def consecutive(self, frames: range | None = None) -> range:
        """Check that frames are consecutive ones of the sequence.

        Args:
            frames: their numbers (default: all).

        Returns:
            Their numbers.

        Raises:
            ValueError: they are not.
        """
        if frames is None:
            return self.frames
        if frames.step != 1 or (frames and not (frames[0] in self.frames and frames[-1] in self.frames)):
            raise ValueError(
                f"{self.name}: {frames} are no consecutive frames of {self.frames[0]}..{self.frames[-1]}"
            )
        return frames

    @property
    def allowed_frames(self) -> range:
        """The frame numbers that gt and result files may use: those of ``seqinfo.ini``, else ``frames``."""
        return self._numbering.allowed

    def allows(self, frames: pd.Series) -> pd.Series:
        """Tell which of these frame numbers are in ``allowed_frames``, and read only what that takes.

        Args:
            frames: the numbers.

        Returns:
            bool, one each.
        """
        inside = frames.between(1, self._info.length or 0)
        if inside.all():
            return inside
        return frames.between(self.allowed_frames.start, self.allowed_frames.stop - 1)

    @cached_property
    def _info(self) -> SeqInfo:
        return SeqInfo(self.path / "seqinfo.ini")

    @cached_property
    def _images(self) -> ImageFiles:
        return list_images(self.path / self._info.image_folder)

    @cached_property
    def _numbering(self) -> Numbering:
        numbering = number_frames(self._images, self._info.length, self._box_frames)
        if numbering.frames:
            return numbering
        if numbering.problem:
            raise MotFormatError(self._images.folder, None, numbering.problem)
        raise MotFormatError(self.path, None, "cannot tell the frames: no seqinfo.ini, picture or box")

    def _box_files(self) -> list[tuple[Path, Callable[[Path], pd.DataFrame]]]:
        files = [
            (self.path / "gt" / "gt.txt", read_ground_truth),
            (self.path / "det" / "det.txt", read_detections),
        ]
        return [(file, read) for file, read in files if file.is_file()]

    def _box_frames(self) -> range:
        """From the first frame with a box to the last."""
        frames = [read(file)["frame"] for file, read in self._box_files()]
        frames = [numbers for numbers in frames if len(numbers)]
        if not frames:
            return range(0)
        return range(int(min(map(min, frames))), int(max(map(max, frames))) + 1)


def split(sequence: Sequence | int) -> dict[str, range]:
    """Split the frames of a sequence into parts of 50, 25 and 25 % (Appendix A.2).

    ``train`` is trained on, ``val`` selects (states of a training, thresholds), ``test`` is reported. The
    paper reports the same last quarter, which it calls validation, and leaves the one before it unused.

    Args:
        sequence: a sequence, or a number of frames that count from 1.

    Returns:
        The frame numbers of each part.

    Raises:
        ValueError: there are no frames.
    """
    frames = range(1, sequence + 1) if isinstance(sequence, int) else sequence.frames
    if not frames:
        raise ValueError(f"a sequence of {sequence} frames cannot be split")
    half, quarter = len(frames) // 2, len(frames) * 3 // 4
    return {"train": frames[:half], "val": frames[half:quarter], "test": frames[quarter:]}


def is_sequence(path: Path) -> bool:
    """Return whether a folder is a sequence: whether it has any of ``SIGNS``."""
    files = ("gt/gt.txt", "det/det.txt", "seqinfo.ini")
    return any((path / file).is_file() for file in files) or (path / "img1").is_dir()
