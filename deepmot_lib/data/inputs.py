"""What there is to track: a MOTChallenge sequence, a film, or a folder of pictures."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from .film import Film

if TYPE_CHECKING:
    from .image_sequences import ImageSequence

Kind: TypeAlias = Literal["sequence", "film", "pictures"]
_SIGNS = ("gt/gt.txt", "det/det.txt", "seqinfo.ini", "img1")  # of a sequence


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """Tell what a path names.

    Args:
        path: A folder or a file.

    Returns:
        "sequence" for a folder in MOTChallenge's layout, "pictures" for another one with pictures in it,
        "film" for a file.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is a single picture, or a folder with neither.
    """
    path = Path(path)
    if path.is_dir():
        if any((path / sign).exists() for sign in _SIGNS):
            return "sequence"
        if any(map(_is_picture, path.iterdir())):
            return "pictures"
        raise ValueError(f"{path}: neither a MOTChallenge sequence nor a folder of pictures")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or film")
    if _is_picture(path):
        raise ValueError(f"{path}: a single picture: name the folder of pictures, or a film")
    return "film"


def open_input(path: str | os.PathLike[str]) -> ImageSequence:
    """Open whatever can be tracked.

    Args:
        path: A folder or a file.

    Returns:
        A ``mot.Sequence``, for a folder of pictures without detections, or a :class:`Film`.

    Raises:
        FileNotFoundError, ValueError: As :func:`kind_of`.
        FilmError: It cannot be read as a film.
        MotFormatError: It is a broken sequence, or it is not clear which picture shows which frame.
    """
    kind = kind_of(path)
    if kind == "film":
        return Film(path)
    from .image_sequences import PictureFolder  # takes torch, which a film to be refused need not wait for
    from .sequences import Sequence

    return Sequence.open(path) if kind == "sequence" else PictureFolder.open(path)


def _is_picture(path: Path) -> bool:
    kind, _ = mimetypes.guess_type(path.name, strict=False)
    return kind is not None and kind.startswith("image/") and kind != "image/gif"
