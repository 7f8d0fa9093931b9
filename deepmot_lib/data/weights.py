"""Weight files: the tensors of a network, what it is and what it was trained on, and a checksum of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .files import atomic

# The one key of the metadata, which holds texts only: safetensors writes several in random order, and equal
# networks must make equal files.
_KEY = "deepmot"


class WeightsError(ValueError):
    """A weight file that is damaged or of another kind; the message names the file."""


def write(path: str | Path, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write the tensors of a network.

    Args:
        path: A ``.safetensors`` file.
        state: The network's ``state_dict``.
        about: What the network is and how it was trained, in plain JSON values.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    note = {"about": about, "checksum": _checksum(tensors, about)}  # safetensors itself has none
    with atomic(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(note)})


def read(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a network onto the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged.
    """
    return _contents(path)[0]


def read_about(path: str | Path) -> dict[str, Any]:
    """Read what ``write`` was told about the network.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged, or ``write`` has not written it.
    """
    about = _contents(path)[1]
    if about is None:
        raise WeightsError(f"{path}: damaged, or not weights of this package: it does not say what they are")
    return about


def stamp(path: str | Path) -> str | None:
    """Return the ``fingerprint`` that the network was trained under, as JSON.

    None where there is no such file, an empty text where it holds none.
    """
    try:
        return json.dumps(read_about(path)["fingerprint"])
    except FileNotFoundError:
        return None
    except (WeightsError, KeyError):
        return ""


def _contents(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return the tensors and what they are; files of other programs neither say that nor have a checksum."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
        if _KEY not in metadata:
            return tensors, None
        note = json.loads(metadata[_KEY])
        about, checksum = dict(note["about"]), note["checksum"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: damaged, or not weights of this package ({error})") from None
    if checksum != _checksum(tensors, about):
        raise WeightsError(f"{path}: damaged: its checksum is wrong")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
