"""Weight files: the tensors of a network, and beside them what the network is and what it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .files import atomic

_KEY = "deepmot"  # of the metadata: safetensors holds texts only


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
    with atomic(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(about)})


def read(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a network onto the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged.
    """
    _require(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: truncated or not a safetensors file ({error})") from None


def read_about(path: str | Path) -> dict[str, Any]:
    """Read what ``write`` was told about the network.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: It is damaged, or ``write`` has not written it.
    """
    _require(path)
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
        if not isinstance(about, dict):
            raise TypeError("its description is not a JSON object")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: damaged, or not weights of this package ({error})") from None
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


def _require(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
