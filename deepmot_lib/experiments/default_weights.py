"""Default weights: the best that notebook 07 has left here, for commands that name none."""

from __future__ import annotations

from pathlib import Path

import torch

from ..data import weights as weight_files
from ..trackers import load
from ..trackers.tracktor import Tracktor
from .folders import output_folder
from .trackers import TrackingPipeline

_PROFILES = ("paper", "standard", "smoke")  # the best first


def pipeline(
    tracker: str, weights: str | Path | None, device: str | torch.device
) -> tuple[TrackingPipeline, str]:
    """Load a tracker with the given weights, or the best ones here.

    The best are those of the most thorough profile and, among these, of the highest MOTA on the third
    quarters. The single-object trackers take the vanilla Tracktor of the same profile to score public
    detections, where there is one.

    Args:
        tracker: One of ``trackers.NAMES``.
        weights: A weight file; None for the best ones.
        device: Where the networks run.

    Returns:
        The networks, and a line that names their files.

    Raises:
        FileNotFoundError: There are no weights; the message says what to run.
        ValueError: They are damaged or another tracker's.
    """
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
        return TrackingPipeline(network, network), f"{tracker}, weights {file}"
    judge = _vanilla_tracktor(file)
    if judge is None:
        return TrackingPipeline(
            network, None
        ), f"{tracker}, weights {file}; public detections are taken as they are"
    detector = load(judge, device)
    assert isinstance(detector, Tracktor)
    return TrackingPipeline(network, detector), f"{tracker}, weights {file}; detections scored by {judge}"


def find(tracker: str) -> Path | None:
    """Return the file of the best weights of a tracker here, None where there are none."""
    ranked = []
    for rank, profile in enumerate(_PROFILES):
        for file in (output_folder() / "runs").glob(
            f"{profile}/trackers/{tracker}/*/*/*/seed*/weights.safetensors"
        ):
            validation = weight_files.read_about(file).get("validation")
            # Those that were never validated, as detectors are not, come last of their profile.
            ranked.append((rank, float("inf") if validation is None else -validation, str(file)))
    return Path(min(ranked)[2]) if ranked else None


def _vanilla_tracktor(weights: Path) -> Path | None:
    """The detector of the profile that some weights were trained in."""
    profile = (weight_files.read_about(weights).get("made_from") or {}).get("profile")
    file = output_folder() / f"runs/{profile}/trackers/tracktor/vanilla/none/none/seed0/weights.safetensors"
    return file if file.is_file() else None
