"""Trackers that can be trained for the measure of their evaluation: Tracktor, GOTURN, SiamRPN (Sec. 5.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..data import weights
from .goturn import GOTURN
from .siamrpn import SiamRPN
from .tracker import Tracker
from .tracktor import Tracktor

__all__ = ["NAMES", "Tracker", "create", "load", "save"]

_CLASSES: dict[str, type[Tracker]] = {network.name: network for network in (Tracktor, GOTURN, SiamRPN)}
NAMES = tuple(_CLASSES)


def create(name: str, **options: Any) -> Tracker:
    """Create a tracker with new weights.

    Args:
        name: One of ``NAMES``.
        options: Arguments of its class.

    Raises:
        ValueError: An unknown name; the message lists the choices.
    """
    if name not in _CLASSES:
        raise ValueError(f"unknown tracker {name!r}: choose one of {', '.join(NAMES)}")
    return _CLASSES[name](**options)


def save(path: str | Path, tracker: Tracker, **notes: Any) -> None:
    """Write a tracker's weights with its name, its options and ``notes`` (plain JSON values)."""
    about = {"tracker": tracker.name, "options": tracker.options, **notes}
    weights.write(path, tracker.state_dict(), about)


def load(path: str | Path, device: str | torch.device) -> Tracker:
    """Load the tracker that ``save`` wrote, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or another network's.
    """
    about = weights.read_about(path)
    try:
        # JSON has lists where the options are tuples.
        options = {
            key: tuple(value) if isinstance(value, list) else value for key, value in about["options"].items()
        }
        if about["tracker"] == Tracktor.name:
            options = options | {"pretrained": False}
        tracker = create(about["tracker"], **options)
        tracker.load_state_dict(weights.read(path))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise weights.WeightsError(f"{path}: damaged, or not a tracker's weights ({error})") from None
    return tracker.eval().to(device)
