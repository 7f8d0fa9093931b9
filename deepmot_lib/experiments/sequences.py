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
from ..data.image_sequences import ImageSequence
from ..trackers.rules import MOT_BY_SOT, TRACKTOR, Rules

_BENCHMARKS = ("MOT17", "MOT16")  # whose trackers the paper's Tables 1 to 3 are about (A.2), and its twin
_DETECTORS = ("DPM", "FRCNN", "SDP")  # MOT17's
UNKNOWN_DETECTOR = "as given"
# For detectors of which nothing is known, such as those of a film: the best of some rules tried on the first
# hundred frames of MOT17-09-DPM's third quarter, for of MOT17's detectors DPM's boxes are the loosest.
_TRACKTOR = dataclasses.replace(
    TRACKTOR,
    detection_box="mean",
    second_score=0.1,
    detection_nms=0.5,
    cover=0.5,
    matched_box="mean",
    track_nms=0.5,
    patience=30,
    revival_overlap=0.3,
)
# Where Tracktor's detector finds people itself, as in films: of births from 0.5 to 0.95 the best mean of MOTA
# and HOTA on the first 60 frames of the third quarters of MOT17-02, 04, 09 and 11 without their detections.
_OWN_BIRTH_SCORE, _OWN_SECOND_SCORE = 0.9, 0.5


class TrackingData(NamedTuple):
    """What trackers are trained and evaluated on.

    Trackers are trained on the first halves (part ``train`` of ``mot.split``); the third quarters (``val``)
    select among the states of a training, and the last quarters (``test``) are reported. Nothing of the
    sequences of ``transfer`` is trained on or selected by: they are reported as a whole.

    Attributes:
        training: Training sequences: each set of images once.
        evaluation: Evaluation sequences: all, those that differ in their detections only among them.
        description: A line on the source.
        transfer: Sequences beside those of the benchmark, such as MOT15's beside MOT17's.
    """

    training: list[mot.Sequence]
    evaluation: list[mot.Sequence]
    description: str
    transfer: tuple[mot.Sequence, ...] = ()

    @property
    def protocol(self) -> str:
        """The protocol of the evaluation sequences, which all have the same."""
        return protocol(self.evaluation[0])


def rendered(sequences: Iterable[mot.Sequence]) -> TrackingData:
    """Return the rendered sequences as data for tracking."""
    found = _by_name(sequences)
    return TrackingData(_distinct(found), found, f"{len(found)} embedded sequences, {names(found)}")


def real(root: Path) -> TrackingData:
    """Return the sequences below a folder that have pictures, ground truth and detections.

    Where some are MOT17's, trackers are trained and evaluated on these alone, as in the paper (A.2), or on
    MOT16's where there are no others of its images; the rest is for transfer. Without either all are taken.

    Raises:
        MotFormatError: There is none: names what was left out and why.
    """
    found = _by_name(usable(root, "pictures", "ground truth", "detections"))
    for benchmark in _BENCHMARKS:
        if own := [sequence for sequence in found if sequence.name.startswith(f"{benchmark}-")]:
            others = [sequence for sequence in found if protocol(sequence) == "plain"]
            return TrackingData(_distinct(own), own, names(own), tuple(others))
    return TrackingData(_distinct(found), found, names(found))


def names(sequences: Iterable[mot.Sequence]) -> str:
    """Name sequences in a line."""
    return ", ".join(sequence.name for sequence in sequences)


def protocol(sequence: mot.Sequence) -> str:
    """Return the protocol that a sequence is evaluated by.

    Returns:
        ``motchallenge``, the official one, for MOT16's and MOT17's, whose ground truth has the classes that
        it needs; ``plain`` for all others.
    """
    official = sequence.name.startswith(tuple(f"{benchmark}-" for benchmark in _BENCHMARKS))
    return "motchallenge" if official else "plain"


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
    """Return the usual track management around a tracker (Sec. 5.2), where none is chosen for a detector."""
    return _TRACKTOR if tracker == "tracktor" else MOT_BY_SOT


def rules_of_own_detections(rules: Rules) -> Rules:
    """Return track management for people that Tracktor's detector has found itself.

    The detector is less sure of them than of public detections that it only scores.
    """
    return dataclasses.replace(rules, birth_score=_OWN_BIRTH_SCORE, second_score=_OWN_SECOND_SCORE)


def detectors(sequences: Iterable[mot.Sequence]) -> str:
    """Name the public detectors of some sequences."""
    return ", ".join(sorted({detector(sequence) for sequence in sequences}))


def detector(sequence: ImageSequence) -> str:
    """Name the public detector of a sequence: the last part of MOT17's names, or "as given"."""
    name = sequence.name.rpartition("-")[2]
    return name if name in _DETECTORS else UNKNOWN_DETECTOR


def by_images(sequences: Iterable[mot.Sequence]) -> list[list[mot.Sequence]]:
    """Group the sequences that differ in their detections only."""
    groups: dict[str, list[mot.Sequence]] = {}
    for sequence in sequences:
        groups.setdefault(images(sequence), []).append(sequence)
    return list(groups.values())


def images(sequence: mot.Sequence) -> str:
    """Name the images of a sequence: its name without that of its public detector."""
    return sequence.name.removesuffix(f"-{detector(sequence)}")


def evaluate(
    results: Mapping[str, pd.DataFrame], sequences: Iterable[mot.Sequence], part: str
) -> pd.DataFrame:
    """Evaluate results in one part of the sequences, by their :func:`protocol`.

    Args:
        results: Tracks by sequence name.
        sequences: Sequences with ground truth, of one protocol.
        part: "train", "val", "test" or "whole".

    Returns:
        One row per sequence and ``OVERALL``, as ``evaluation.evaluate``.
    """
    return evaluation.summarize(
        {sequence.name: count(results[sequence.name], sequence, part) for sequence in sequences}
    )


def count(boxes: pd.DataFrame, sequence: mot.Sequence, part: str | range) -> evaluation.Counts:
    """Count what happens in one part of a sequence, by its :func:`protocol`.

    Args:
        boxes: Tracks; those of other frames do not count.
        sequence: The sequence, with ground truth.
        part: As of :func:`frames_of`.
    """
    frames = frames_of(sequence, part)
    gt, boxes = (table[table["frame"].isin(frames)] for table in (sequence.gt(), boxes))
    return evaluation.count(gt, boxes, protocol(sequence))


def count_blocks(
    results: Mapping[str, pd.DataFrame], sequences: Iterable[mot.Sequence], part: str
) -> pd.DataFrame:
    """Count errors by blocks of frames in one part of the sequences, for ``evaluation.difference``.

    Args:
        results: As for :func:`evaluate`.
        sequences: As for :func:`evaluate`.
        part: As for :func:`evaluate`.

    Returns:
        One row per sequence and block: ``sequence``, ``images``, ``block`` and ``intervals.BLOCK_COUNTS``.
    """
    counted = []
    for sequence in sequences:
        frames, boxes = frames_of(sequence, part), results[sequence.name]
        gt, boxes = (table[table["frame"].isin(frames)] for table in (sequence.gt(), boxes))
        blocks = evaluation.count_blocks(gt, boxes, frames, protocol(sequence)).reset_index()
        blocks.insert(0, "images", images(sequence))
        blocks.insert(0, "sequence", sequence.name)
        counted.append(blocks)
    return pd.concat(counted, ignore_index=True)


def frames_of(sequence: mot.Sequence, part: str | range) -> range:
    """Return the frames of a part of ``mot.split``, all frames for "whole", or those that are given."""
    if isinstance(part, range):
        return part
    return sequence.frames if part == "whole" else mot.split(sequence)[part]


def _by_name(sequences: Iterable[mot.Sequence]) -> list[mot.Sequence]:
    """Sort sequences by name: what is drawn must not depend on where they lie."""
    return sorted(sequences, key=lambda sequence: sequence.name)


def _distinct(sequences: list[mot.Sequence]) -> list[mot.Sequence]:
    """Return one of the sequences that differ in their detections only."""
    return [group[0] for group in by_images(sequences)]
