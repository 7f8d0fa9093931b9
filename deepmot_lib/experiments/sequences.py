"""The sequences that a profile trains its trackers on and judges them by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from .. import evaluation
from ..data import mot, synthetic
from ..trackers.management import MOT_BY_SOT, TRACKTOR, Rules
from . import settings as profiles

#: Counted as the paper's own code did, for all of Tables 1 to 3: they pool MOT15 and MOT17.
PROTOCOL = "plain"

# Thresholds that were chosen on the third quarters of the real sequences, with the vanilla Tracktor: a
# detection beside a track is mostly another person, and Bergmann et al.'s cover of 0.3 and NMS at 0.3 and 0.6
# lose 3 points of MOTA.
_TRACKTOR = dataclasses.replace(TRACKTOR, cover=0.5, detection_nms=0.5, track_nms=0.5, patience=30)


class TrackerData(NamedTuple):
    """``learn``: each picture once; ``judge``: every set of detections; and a line on the source."""

    learn: list[mot.Sequence]
    judge: list[mot.Sequence]
    description: str


def for_profile(profile: str) -> TrackerData:
    """The sequences with pictures, ground truth and detections under ``DEEPMOT_DATA``, where the profile uses
    real data; else the embedded ones.

    Trackers learn from the first halves (``mot.split``), the third quarters choose among the states of a
    training, and the last quarters are reported: no choice was made on them.
    """
    root = profiles.data_root() if profiles.get(profile).real_data else None
    real = [found for found in mot.find_sequences(root) if _is_complete(found)] if root is not None else []
    judge = real or mot.find_sequences(synthetic.for_profile(profile))
    judge.sort(key=lambda sequence: sequence.name)  # what is drawn must not depend on where they lie
    names = ", ".join(sequence.name for sequence in judge)
    return TrackerData(
        _distinct(judge), judge, names if real else f"{len(judge)} embedded sequences, {names}"
    )


def rules(tracker: str) -> Rules:
    """The track management around a tracker (Sec. 5.2)."""
    return _TRACKTOR if tracker == "tracktor" else MOT_BY_SOT


def detectors(sequences: Iterable[mot.Sequence]) -> str:
    """Whose public detections the sequences come with: the last part of MOT17's names."""
    known = {name.rpartition("-")[2] for name in (sequence.name for sequence in sequences)}
    named = sorted(known & {"DPM", "FRCNN", "SDP"})
    return ", ".join(named + ["as given"] * (len(named) < len(known)))


def judged(
    results: dict[str, pd.DataFrame], sequences: Iterable[mot.Sequence], part: str
) -> dict[str, evaluation.Counts]:
    """The counts of results, by sequence name, in that part of the sequences (``mot.split``)."""
    counts = {}
    for sequence in sequences:
        gt = sequence.gt()
        gt = gt[gt["frame"].isin(mot.split(sequence)[part])]
        counts[sequence.name] = evaluation.count(gt, results[sequence.name], PROTOCOL)
    return counts


def _is_complete(sequence: mot.Sequence) -> bool:
    files = (sequence.path / "gt" / "gt.txt", sequence.path / "det" / "det.txt")
    return sequence.has_images and all(file.is_file() for file in files)


def _distinct(sequences: list[mot.Sequence]) -> list[mot.Sequence]:
    """One of the sequences that differ in their detections only."""
    found: dict[str, mot.Sequence] = {}
    for sequence in sequences:
        name, _, detector = sequence.name.rpartition("-")
        found.setdefault(name if detector in ("DPM", "FRCNN", "SDP") else sequence.name, sequence)
    return list(found.values())
