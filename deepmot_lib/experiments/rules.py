"""Track management around Tracktor, chosen for each public detector on the third quarters.

Where public boxes are good, regressing them loses; where they are loose, keeping them does. One grid in fixed
steps decides (``STEPS``), by the mean of MOTA and HOTA of the vanilla Tracktor. What it chooses holds for all
runs of Tracktor alike.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from .. import evaluation
from ..data import mot
from ..trackers import tracking
from ..trackers.rules import TRACKTOR, Rules
from ..trackers.tracktor import Tracktor
from . import sequences, tables
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh
from .source import code

#: Where the selection starts: Tracktor's rules, but that a detection beside a track is mostly another person.
START = dataclasses.replace(TRACKTOR, cover=0.5, detection_nms=0.5, track_nms=0.5, patience=30)
_REVIVED = {"revival_overlap": 0.3}
#: Changes of the rules, tried in this order: of each step the best is kept, and the next one starts from it.
STEPS: dict[str, tuple[dict[str, Any], ...]] = {
    "boxes": (
        {},
        {"matched_box": "detected"},
        {"detection_box": "mean", "matched_box": "mean"},
        {"detection_box": "public", "matched_box": "mean"},
        {"detection_box": "public", "matched_box": "detected"},
    ),
    "association": (
        {},
        _REVIVED,
        _REVIVED | {"velocity_frames": 5},
        _REVIVED | {"velocity_frames": 5, "detections_first": True},
        _REVIVED | {"velocity_frames": 10, "detections_first": True},
    ),
    "scores": (
        {},
        {"second_score": 0.1},
        {"detection_score": "public"},
        {"detection_score": "public", "second_score": 0.1},
        {"detection_score": "mean", "second_score": 0.1},
    ),
    "death": (
        {},
        {"death_score": 0.3},
        {"death_score": 0.7},
        {"unverified_death": 5},
        {"unverified_death": 1},
    ),
    "birth": ({}, {"birth_score": 0.3}, {"birth_score": 0.7}),
    "suppression": ({}, {"track_nms": 0.3}, {"track_nms": 0.7}),
}
# As in .trackers: modules whose own text counts, but not what they import.
_ALONE = ("deepmot_lib.trackers", "deepmot_lib.experiments.sequences", __name__)
_FRAMES = 100  # of each third quarter: 21 rules and three detectors take their time
_MEASURES = ["MOTA", "HOTA", "IDF1", "IDs"]


def choose(experiment: Experiment, vanilla: Tracktor, weights: Path) -> dict[str, Rules]:
    """Choose the rules for each public detector, or read what was chosen before.

    All that was tried stands in the table ``rules.csv``, one row per detector, step and change, with the
    measures on the first 100 frames of each third quarter; a selection that was interrupted goes on from
    there.

    Args:
        experiment: The experiment.
        vanilla: The Tracktor to choose with.
        weights: Its weight file.

    Returns:
        The rules by detector (``sequences.detector``).
    """
    data, file = experiment.tracking, experiment.paths.tables / "rules.csv"
    wanted = Fingerprint(
        settings={
            "steps": STEPS,
            "start": START,
            "frames of third quarters": _FRAMES,
            "protocol": data.protocol,
        },
        data=data_digests(data.evaluation),
        upstream={"weights": content(weights)},
        code=code("deepmot_lib.trackers.tracking", "deepmot_lib.evaluation.metrics", alone=_ALONE),
    )
    groups: dict[str, list[mot.Sequence]] = {}
    for one in data.evaluation:
        groups.setdefault(sequences.detector(one), []).append(one)
    tried = pd.DataFrame()
    if fresh(tables.stamp(file), wanted, "rules of track management"):
        tried = tables.read(file)[0]
    steps = [step for step in STEPS if tried.empty or step not in set(tried["step"])]
    made = experiment.provenance(
        data=data.description,
        split=f"the first {_FRAMES} frames of third quarters, of which nothing was trained on",
        detectors=sequences.detectors(data.evaluation),
        protocol=data.protocol,
        seeds=[0],
        weights=tables.file_hash(weights),
    )
    counts: dict[tuple[str, Rules], evaluation.Counts] = {}
    for step in tqdm(steps, desc="rules of track management", unit="step", disable=not steps):
        options = {
            name: [dataclasses.replace(chosen(tried, name), **change) for change in STEPS[step]]
            for name in groups
        }
        new = {
            name: [rule for rule in options[name] if (found[0].name, rule) not in counts]
            for name, found in groups.items()
        }
        counts |= compare(vanilla, data.evaluation, new)
        parts = [_measure(step, name, options[name], found, counts) for name, found in groups.items()]
        tried = pd.concat([tried, *parts], ignore_index=True)
        tables.write(file, tried, made, wanted)
    return {name: chosen(tried, name) for name in groups}


def _measure(
    step: str,
    detector: str,
    options: list[Rules],
    found: list[mot.Sequence],
    counts: Mapping[tuple[str, Rules], evaluation.Counts],
) -> pd.DataFrame:
    """Return the rows of a step and a detector, one per change."""
    pooled = [
        evaluation.summarize({one.name: counts[one.name, rule] for one in found}).loc[evaluation.OVERALL]
        for rule in options
    ]
    measures = pd.DataFrame(pooled, index=range(len(options)))[_MEASURES].astype({"IDs": int})
    best = (measures["MOTA"] + measures["HOTA"]).idxmax()  # the first of equals
    changes = [json.dumps(change) for change in STEPS[step]]
    keys = pd.DataFrame({"detector": detector, "step": step, "change": changes})
    return keys.join(measures).assign(chosen=measures.index == best)


def chosen(tried: pd.DataFrame, detector: str) -> Rules:
    """Return the rules that the steps of a table of ``choose`` have come to.

    Args:
        tried: The table; empty for ``START``.
        detector: The public detector.
    """
    rules = START
    if not tried.empty:
        for change in tried.loc[tried["chosen"] & (tried["detector"] == detector), "change"]:
            rules = dataclasses.replace(rules, **json.loads(change))
    return rules


def compare(
    tracktor: Tracktor, found: Iterable[mot.Sequence], rules: Mapping[str, Iterable[Rules]]
) -> dict[tuple[str, Rules], evaluation.Counts]:
    """Track the first frames of third quarters by several rules at once.

    Each image is read and encoded once, and the tracks of all go through the box head in one batch.

    Args:
        tracktor: The network.
        found: The sequences.
        rules: Those to compare, by public detector.

    Returns:
        What is counted, by sequence name and rules.
    """
    counts = {}
    for group in sequences.by_images(found):
        keys = [(one, rule) for one in group for rule in rules[sequences.detector(one)]]
        runs = [tracking.SequenceTracker(tracktor, one, rule, tracktor) for one, rule in keys]
        frames = sequences.frames_of(group[0], "val")[:_FRAMES]
        tables = tracking.track_together(runs, frames, progress=False) if runs else []
        for (one, rule), tracked in zip(keys, tables, strict=True):
            counts[one.name, rule] = sequences.count(tracked, one, frames)
    return counts
