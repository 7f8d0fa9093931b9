"""Weight files: the tensors of a network, what it is and what it was trained on, and a checksum of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .files import atomic
from .weight_notes import KEY, WeightsError, read_note

__all__ = ["WeightsError", "read", "read_about", "stamp", "write"]


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
        save_file(tensors, temporary, {KEY: json.dumps(note)})


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
    note = read_note(path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: damaged, or not weights of this package ({error})") from None
    if note is None:
        return tensors, None
    if note["checksum"] != _checksum(tensors, note["about"]):
        raise WeightsError(f"{path}: damaged: its checksum is wrong")
    return tensors, note["about"]


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
