"""Tensors on disk, in torch's format: checksums compared, no code executed, written at once."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from .files import atomic


class TensorFileError(ValueError):
    """A file that is damaged, or of another kind; the message names it."""


def write(path: str | Path, value: object) -> None:
    """Write tensors in containers, numbers and strings; a write cut short leaves the file that was there."""
    with atomic(path) as temporary:
        torch.save(value, temporary)


def read(path: str | Path, device: str | torch.device = "cpu") -> Any:
    """Return what ``write`` has written.

    Args:
        path: The file.
        device: Where the tensors go.

    Raises:
        TensorFileError: The file is damaged, or asks for code to be executed.
        FileNotFoundError: There is none.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:  # torch itself does not compare checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            file.seek(0)
            return torch.load(file, map_location=device, weights_only=True)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # damage makes zipfile and torch raise almost anything
            raise TensorFileError(
                f"{path}: damaged, or no tensors ({type(error).__name__}: {error})"
            ) from error
