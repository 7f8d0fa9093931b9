"""The pictures of a sequence: which file shows which frame, and how it is opened.

MOTChallenge numbers its pictures 000001.jpg, 000002.jpg, ...; exporters also write 1.jpg, frame_000000.PNG or
img_0001.png. A picture's number is the last one in its name, and all pictures of a sequence are named alike
but for that number.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .number_rows import MotFormatError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)
_NAMED = 5  # so many missing numbers stand in a message


class ImageFiles(NamedTuple):
    """The pictures of a folder, by number.

    ``names`` are in the order of their numbers, which run from ``first`` on without a gap, unless there is a
    ``problem``: a sentence on why the numbers do not tell which picture shows which frame.
    """

    folder: Path
    names: tuple[str, ...] = ()
    first: int = 0
    problem: str = ""


def list_images(folder: Path) -> ImageFiles:
    """List the numbered pictures of a folder, hidden files aside.

    Args:
        folder: where they are; none are found where there is no such folder.

    Returns:
        Their names in the order of their numbers, or the first problem with these.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if _is_image(entry))
    except (FileNotFoundError, NotADirectoryError):
        return ImageFiles(folder)
    except (OSError, ValueError) as error:
        return ImageFiles(folder, problem=f"cannot be listed ({error})")
    numbers: dict[int, str] = {}
    like: tuple[str, str] | None = None
    for name in names:
        match = _NUMBERED.fullmatch(os.path.splitext(name)[0])
        if match is None:
            continue
        number, pattern = int(match[2]), (match[1], match[3])
        if like is not None and pattern != like:
            other = next(iter(numbers.values()))
            return ImageFiles(folder, problem=f"its pictures are not named alike: {other} and {name}")
        if number in numbers:
            return ImageFiles(folder, problem=f"two pictures of one number: {numbers[number]} and {name}")
        numbers[number], like = name, pattern
    if not numbers:
        return ImageFiles(folder, problem=f"its pictures have no numbers: {names[0]}" if names else "")
    first, last = min(numbers), max(numbers)
    if last - first >= len(numbers):
        return ImageFiles(
            folder, problem=f"between {numbers[first]} and {numbers[last]} {_missing(sorted(numbers))}"
        )
    return ImageFiles(folder, tuple(numbers[number] for number in range(first, last + 1)), first)


def image_size(file: Path) -> tuple[int, int]:
    """Read the size of a picture from its header.

    Args:
        file: the picture.

    Returns:
        (height, width) [px].

    Raises:
        MotFormatError: the file is no picture, or one too large to be decoded.
    """
    with _open(file) as image:
        return image.height, image.width


def read_image(file: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a picture of a known size.

    Args:
        file: the picture.
        size: (height, width) [px] that it must have. The header tells before anything is decoded.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        MotFormatError: the file is no picture, a broken one, or of another size.
    """
    with _open(file) as image:
        if (image.height, image.width) != tuple(size):
            have, expected = f"{image.height} x {image.width}", f"{size[0]} x {size[1]}"
            raise MotFormatError(file, None, f"is {have} pixels high and wide, the sequence {expected}")
        try:
            return np.asarray(image.convert("RGB"))
        except Exception as error:
            raise _unreadable(file, error) from error


def _is_image(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    return suffix in _SUFFIXES and not entry.name.startswith(".") and entry.is_file()


def _open(file: Path) -> Image.Image:
    try:
        return Image.open(file)
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> MotFormatError:
    return MotFormatError(file, None, f"not a readable image ({error})")


def _missing(numbers: list[int]) -> str:
    """A clause on the gaps of ascending numbers, such as "there is no picture 3, 7 to 9"."""
    gaps = [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]
    named = [f"{a}" if a == b else f"{a} to {b}" for a, b in gaps[:_NAMED]]
    more = f" and {len(gaps) - _NAMED} gaps more" if len(gaps) > _NAMED else ""
    return f"there is no picture {', '.join(named)}{more}"
