"""Default weights of a tracker, for commands that name none: those that ship, else the best that are here.

Finding them takes no torch; :func:`pipeline` then loads the networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..data.weight_notes import read_header
from .folders import output_folder

if TYPE_CHECKING:
    import torch

    from .trackers import TrackingPipeline

#: Where the shipped weights lie, each with a card of its data, schedule and measures beside it.
SHIPPED = Path(__file__).parents[1] / "trackers" / "weights"
_PROFILES = ("paper", "standard", "smoke")  # the best first


class WeightsChoice(NamedTuple):
    """Which weights are taken.

    Attributes:
        tracker: The tracker's name.
        file: Its weights.
        detector: Weights of the Tracktor that scores detections and finds people where there are none; the
            same file for Tracktor itself, None where there are none.
        made_from: What the tracker's weights were trained on, as ``tables.provenance``.
        rules: Track management by public detector, as plain data, where it is not the usual one.
    """

    tracker: str
    file: Path
    detector: Path | None
    made_from: dict[str, Any]
    rules: dict[str, dict[str, Any]]

    def description(self, public: bool = True) -> str:
        """Return a line on whose weights they are, and whose detections.

        Args:
            public: Whether there are public detections.
        """
        told = f"{self.tracker}, weights {_named(self.file)}"
        if self.tracker == "tracktor":
            return told if public else f"{told}; people found by its own detector"
        if self.detector is None:
            return f"{told}; public detections are taken as they are"
        return f"{told}; {'detections scored' if public else 'people found'} by {_named(self.detector)}"

    @property
    def caution(self) -> str:
        """Why results by these weights are worth nothing, empty if they are worth something."""
        if self.made_from.get("profile") != "smoke":
            return ""
        return (
            f"{self.file}: weights of a smoke run, trained for seconds to show that everything runs: "
            "their tracks are no evidence of anything"
        )


def choose(tracker: str, weights: str | Path | None = None) -> WeightsChoice:
    """Choose the weights of a tracker, and of the Tracktor beside a single-object tracker.

    Args:
        tracker: One of ``trackers.NAMES``.
        weights: A weight file. None for the shipped ones or, if there are none, the best that notebook 07 has
            left here: those of the most thorough profile and, among these, of the highest MOTA on the third
            quarters.

    Returns:
        The files. Beside given or shipped weights the detector is the shipped Tracktor, beside those of a
        notebook the vanilla one of the same profile, if there is one.

    Raises:
        FileNotFoundError: There are no weights; the message says what to run.
        WeightsError: They are damaged.
        ValueError: They are another tracker's.
    """
    file = Path(weights) if weights is not None else shipped(tracker) or find(tracker)
    if file is None:
        raise FileNotFoundError(
            f"no weights of {tracker} here yet: run notebooks/07_tracker_training.ipynb with "
            f'tracker = "{tracker}" (or make reproduce), or name a file with --weights'
        )
    about = read_header(file)
    if about.get("tracker") is None:
        raise ValueError(f"{file}: not a tracker's weights")
    if about["tracker"] != tracker:
        raise ValueError(f"{file}: these are weights of {about['tracker']}, not of {tracker}")
    made_from = about.get("made_from") or {}
    detector = file if tracker == "tracktor" else _vanilla_tracktor(file, made_from) or shipped("tracktor")
    return WeightsChoice(tracker, file, detector, made_from, about.get("rules") or {})


def pipeline(choice: WeightsChoice, device: str | torch.device) -> TrackingPipeline:
    """Load the networks of a choice.

    Args:
        choice: What :func:`choose` has chosen.
        device: Where the networks run.

    Raises:
        ValueError: A file is damaged.
    """
    from ..trackers import load
    from ..trackers.rules import Rules
    from ..trackers.tracktor import Tracktor
    from .trackers import TrackingPipeline

    network = load(choice.file, device)
    if isinstance(network, Tracktor):
        rules = {detector: Rules(**values) for detector, values in choice.rules.items()}
        return TrackingPipeline(network, network, rules=rules)
    detector = None if choice.detector is None else load(choice.detector, device)
    assert detector is None or isinstance(detector, Tracktor)
    return TrackingPipeline(network, detector)


def shipped(tracker: str) -> Path | None:
    """Return the file of a tracker's shipped weights, None where none ship."""
    file = SHIPPED / f"{tracker}.safetensors"
    return file if file.is_file() else None


def find(tracker: str) -> Path | None:
    """Return the file of the best weights of a tracker here, None where there are none."""
    ranked = []
    for rank, profile in enumerate(_PROFILES):
        folder = output_folder() / "runs" / profile / "trackers" / tracker
        for file in folder.glob("**/seed*/weights.safetensors"):
            validation = read_header(file).get("validation")
            # Those that were never validated, as detectors are not, come last of their profile.
            ranked.append((rank, float("inf") if validation is None else -validation, str(file)))
    return Path(min(ranked)[2]) if ranked else None


def _vanilla_tracktor(weights: Path, made_from: dict[str, Any]) -> Path | None:
    """The detector of the run that some weights come from."""
    runs = output_folder() / "runs" / str(made_from.get("profile")) / "trackers"
    if runs not in weights.resolve().parents:
        return None
    return next((runs / "tracktor" / "vanilla").glob("**/seed0/weights.safetensors"), None)


def _named(file: Path) -> str:
    return f"{file.name} (shipped)" if file == shipped(file.stem) else str(file)
