"""Trackers that can be trained for the measure they are judged by: Tracktor, GOTURN, SiamRPN (Sec. 5.2)."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import device as Device

from ..data.files import atomic
from .goturn import GOTURN
from .siamrpn import SiamRPN
from .tracker import Tracker
from .tracktor import Tracktor

__all__ = ["NAMES", "Tracker", "create", "load", "save"]

_CLASSES = {network.name: network for network in (Tracktor, GOTURN, SiamRPN)}
NAMES = tuple(_CLASSES)


def create(name: str, **options) -> Tracker:
    """A new tracker of that name; ``options`` go to its class. ValueError names the choices."""
    if name not in _CLASSES:
        raise ValueError(f"unknown tracker {name!r}: choose one of {', '.join(NAMES)}")
    return _CLASSES[name](**options)


def save(path: str | Path, tracker: Tracker, **notes: object) -> None:
    """Writes a tracker's weights (safetensors) with its name, its options and ``notes`` (plain data)."""
    about = {"tracker": tracker.name, "options": tracker.options, "notes": notes}
    state = {name: value.contiguous() for name, value in tracker.state_dict().items()}
    with atomic(path) as temporary:
        save_file(state, temporary, {"deepmot": json.dumps(about)})


def load(path: str | Path, device: str | Device = "cpu") -> Tracker:
    """The tracker that ``save`` wrote, in evaluation mode.

    FileNotFoundError where there is no such file, ValueError where it is broken or another network's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    about = _about(path)
    try:
        options = about["options"]
        if about["tracker"] == Tracktor.name:
            options = options | {"pretrained": False}
        tracker = create(about["tracker"], **options)
        tracker.load_state_dict(load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: broken, or not a tracker's weights ({error})") from None
    return tracker.eval().to(device)


def notes(path: str | Path) -> dict:
    """The notes that ``save`` was given; ValueError where the file is broken or another network's."""
    return _about(path)["notes"]


def _about(path: str | Path) -> dict:
    try:
        with safe_open(path, "pt") as file:
            return {"notes": {}, **json.loads((file.metadata() or {})["deepmot"])}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: broken, or not a tracker's weights ({error})") from None
