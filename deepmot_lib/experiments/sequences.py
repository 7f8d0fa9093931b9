"""The sequences that trackers are trained and evaluated on, and the track management around each tracker."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from .. import evaluation
from ..data import mot
from ..trackers.management import MOT_BY_SOT, TRACKTOR, Rules

#: Counted as the paper's own code did, for all of Tables 1 to 3: they pool MOT15 and MOT17.
PROTOCOL = "plain"

# Thresholds that were chosen on the third quarters of the real sequences, with the vanilla Tracktor: a
# detection beside a track is mostly another person, and Bergmann et al.'s cover of 0.3 and NMS at 0.3 and 0.6
# lose 3 points of MOTA.
_TRACKTOR = dataclasses.replace(TRACKTOR, cover=0.5, detection_nms=0.5, track_nms=0.5, patience=30)


class TrackingData(NamedTuple):
    """What trackers are trained and evaluated on.

    Trackers are trained on the first halves (part ``train`` of ``mot.split``); the third quarters (``val``)
    select among the states of a training, and the last quarters (``test``) are reported.

    Attributes:
        training: Training sequences: each set of images once.
        evaluation: Evaluation sequences: all, those that differ in their detections only among them.
        description: A line on the source.
    """

    training: list[mot.Sequence]
    evaluation: list[mot.Sequence]
    description: str


def rendered(sequences: Iterable[mot.Sequence]) -> TrackingData:
    """Return the rendered sequences as data for tracking."""
    found = _by_name(sequences)
    names = ", ".join(sequence.name for sequence in found)
    return TrackingData(_distinct(found), found, f"{len(found)} embedded sequences, {names}")


def real(root: Path) -> TrackingData:
    """Return the sequences below a folder that have pictures, ground truth and detections.

    Raises:
        MotFormatError: There is none: names what was left out and why.
    """
    found = _by_name(usable(root, "pictures", "ground truth", "detections"))
    return TrackingData(_distinct(found), found, ", ".join(sequence.name for sequence in found))


def usable(root: Path, *needs: str) -> list[mot.Sequence]:
    """Return the real sequences that have what is needed; rendered ones never take their place.

    Args:
        root: The folder of real data.
        needs: As of ``mot.Found.having``.

    Warns:
        MotFormatWarning: Names the sequences that cannot be opened, and why.

    Raises:
        MotFormatError: There is none: names what was left out and why.
    """
    opened = mot.scan(root)
    found = opened.having(*needs)
    if not found.sequences:
        message = (
            f"no sequence with {' and '.join(needs)} here, and rendered data is never taken in its place"
        )
        raise mot.MotFormatError(root, None, f"{message}; left out: {found.reasons()}")
    if opened.skipped:
        message = f"{root}: left out, for they cannot be opened: {opened.reasons()}"
        warnings.warn(message, mot.MotFormatWarning, stacklevel=2)
    return found.sequences


def rules(tracker: str) -> Rules:
    """Return the track management around a tracker (Sec. 5.2)."""
    return _TRACKTOR if tracker == "tracktor" else MOT_BY_SOT


def detectors(sequences: Iterable[mot.Sequence]) -> str:
    """Name the public detectors of some sequences, by the last part of MOT17's names."""
    known = {name.rpartition("-")[2] for name in (sequence.name for sequence in sequences)}
    named = sorted(known & {"DPM", "FRCNN", "SDP"})
    return ", ".join(named + ["as given"] * (len(named) < len(known)))


def evaluate(
    results: Mapping[str, pd.DataFrame], sequences: Iterable[mot.Sequence], part: str
) -> pd.DataFrame:
    """Evaluate results in one part of the sequences, by ``PROTOCOL``.

    Args:
        results: Tracks by sequence name.
        sequences: Sequences with ground truth.
        part: "train", "val" or "test".

    Returns:
        One row per sequence and ``OVERALL``, as ``evaluation.evaluate``.
    """
    counts = {}
    for sequence in sequences:
        gt = sequence.gt()
        gt = gt[gt["frame"].isin(mot.split(sequence)[part])]
        counts[sequence.name] = evaluation.count(gt, results[sequence.name], PROTOCOL)
    return evaluation.summarize(counts)


def _by_name(sequences: Iterable[mot.Sequence]) -> list[mot.Sequence]:
    """Sort sequences by name: what is drawn must not depend on where they lie."""
    return sorted(sequences, key=lambda sequence: sequence.name)


def _distinct(sequences: list[mot.Sequence]) -> list[mot.Sequence]:
    """Return one of the sequences that differ in their detections only."""
    found: dict[str, mot.Sequence] = {}
    for sequence in sequences:
        name, _, detector = sequence.name.rpartition("-")
        found.setdefault(name if detector in ("DPM", "FRCNN", "SDP") else sequence.name, sequence)
    return list(found.values())
