"""Which weights track where none are named: the best that notebook 07 has left here."""

from __future__ import annotations

from pathlib import Path

import torch

from ..trackers import load, notes
from ..trackers.tracktor import Tracktor
from . import settings as profiles
from .trackers import Team

_PROFILES = ("paper", "standard", "smoke")  # the best first


def team(tracker: str, weights: str | Path | None = None) -> tuple[Team, str]:
    """The tracker with these weights, or the best ones here, on a GPU where there is one; and a line that
    names them.

    The best are those of the most thorough profile and, among these, of the highest MOTA on the third
    quarters. The single-object trackers take the vanilla Tracktor of the same profile to judge public
    detections, where there is one. FileNotFoundError where there are no weights, telling what to run;
    ValueError where they are broken or another tracker's.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    file = find(tracker) if weights is None else Path(weights)
    if file is None:
        raise FileNotFoundError(
            f"no weights of {tracker} here yet: run notebooks/07_tracker_training.ipynb with "
            f'tracker = "{tracker}" (or make reproduce), or name a file with --weights'
        )
    network = load(file, device)
    if network.name != tracker:
        raise ValueError(f"{file}: these are weights of {network.name}, not of {tracker}")
    if isinstance(network, Tracktor):
        return Team(network, network), f"{tracker}, weights {file}"
    judge = _vanilla_tracktor(notes(file).get("profile"))
    if judge is None:
        return Team(network, None), f"{tracker}, weights {file}; public detections are taken as they are"
    return Team(network, load(judge, device)), f"{tracker}, weights {file}; detections judged by {judge}"


def find(tracker: str) -> Path | None:
    """The file of the best weights of a tracker here, None where there are none."""
    ranked = []
    for rank, profile in enumerate(_PROFILES):
        for file in _runs().glob(f"{profile}/trackers/{tracker}/*/*/*/seed*/weights.safetensors"):
            validation = notes(file).get("validation")
            # Those that were never validated, as detectors are not, come last of their profile.
            ranked.append((rank, float("inf") if validation is None else -validation, str(file)))
    return Path(min(ranked)[2]) if ranked else None


def _vanilla_tracktor(profile: str | None) -> Path | None:
    file = _runs() / str(profile) / "trackers/tracktor/vanilla/none/none/seed0/weights.safetensors"
    return file if file.is_file() else None


def _runs() -> Path:
    return profiles.Paths.of("smoke").runs.parent
