"""Trackers that can be trained for the measure they are judged by: Tracktor, GOTURN, SiamRPN (Sec. 5.2)."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import device as Device

from ..files import atomic
from .follower import Follower
from .goturn import GOTURN
from .siamrpn import SiamRPN
from .tracktor import Tracktor

__all__ = ["NAMES", "Follower", "create", "load", "save"]

_CLASSES = {network.name: network for network in (Tracktor, GOTURN, SiamRPN)}
NAMES = tuple(_CLASSES)


def create(name: str, **options) -> Follower:
    """A new follower of that name; ``options`` go to its class. ValueError names the choices."""
    if name not in _CLASSES:
        raise ValueError(f"unknown tracker {name!r}: choose one of {', '.join(NAMES)}")
    return _CLASSES[name](**options)


def save(path: str | Path, follower: Follower, **notes: object) -> None:
    """Writes a follower's weights (safetensors) with its name, its options and ``notes`` (plain data)."""
    about = {"tracker": follower.name, "options": follower.options, "notes": notes}
    state = {name: value.contiguous() for name, value in follower.state_dict().items()}
    with atomic(path) as temporary:
        save_file(state, temporary, {"deepmot": json.dumps(about)})


def load(path: str | Path, device: str | Device = "cpu") -> Follower:
    """The follower that ``save`` wrote, in evaluation mode.

    FileNotFoundError where there is no such file, ValueError where it is broken or another network's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["deepmot"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        options = about["options"]
        if about["tracker"] == Tracktor.name:
            options = options | {"pretrained": False}
        follower = create(about["tracker"], **options)
        follower.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: broken, or not a tracker's weights ({error})") from None
    return follower.eval().to(device)


def notes(path: str | Path) -> dict:
    """The notes that ``save`` was given."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["deepmot"])["notes"]
