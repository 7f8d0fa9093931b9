"""What a weight file says about its network, read from its header: without torch, at once.

``weights`` reads the tensors, and compares the checksum.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

#: The one key of the metadata, which holds texts only: safetensors writes several in random order, and equal
#: networks must make equal files.
KEY = "deepmot"


class WeightsError(ValueError):
    """A weight file that is damaged or of another kind; the message names the file."""


def read_note(path: str | Path) -> dict[str, Any] | None:
    """Read the note in the header: ``about`` the network, and a ``checksum``.

    Returns:
        The note; None in a file of another program, which has none.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged or no weight file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        with safe_open(path, "np") as file:  # compares the file's length with what the header tells
            metadata = file.metadata() or {}
        if KEY not in metadata:
            return None
        note = json.loads(metadata[KEY])
        return {"about": dict(note["about"]), "checksum": note["checksum"]}
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise WeightsError(f"{path}: damaged, or not weights of this package ({error})") from None


def read_header(path: str | Path) -> dict[str, Any]:
    """Read what is said about the network; the tensors are not looked at.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged, or not of this package.
    """
    note = read_note(path)
    if note is None:
        raise WeightsError(f"{path}: damaged, or not weights of this package: it does not say what they are")
    return dict(note["about"])
