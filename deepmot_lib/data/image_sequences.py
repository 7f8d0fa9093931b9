"""What can be tracked and drawn: MOTChallenge's sequences, folders with nothing but pictures, and films."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from .film import Film
from .image_files import ImageFiles, list_images
from .number_rows import MotFormatError
from .sequences import Sequence

#: Frames that are numbered, of one size, read one at a time: all that tracking and drawing need.
ImageSequence: TypeAlias = Sequence | Film


@dataclass(frozen=True)
class PictureFolder(Sequence):
    """A folder whose pictures lie directly in it; it has neither detections nor ground truth.

    Attributes:
        path: the folder.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> PictureFolder:
        """Open a folder whose pictures are numbered.

        Raises:
            MotFormatError: it has none, or it is not clear which picture shows which frame.
        """
        folder = cls(Path(path))
        images = folder._images
        if images.problem or not images.names:
            raise MotFormatError(folder.path, None, images.problem or "no numbered picture here")
        _ = folder.image_size
        return folder

    @cached_property
    def _images(self) -> ImageFiles:
        return list_images(self.path)
