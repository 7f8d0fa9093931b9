"""Weights that ship with the package: those of a run in half precision, with a card beside them.

``python -m deepmot_lib.experiments.shipping WEIGHTS ...`` makes them of the weight files of runs, such as
``runs/standard/trackers/goturn/.../weights.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from .. import evaluation, trackers
from ..data import weights as weight_files
from ..data.files import atomic
from . import reid, rules, sequences, tables
from .default_weights import SHIPPED
from .settings import TrackerRun

_LICENSE = "CC BY-NC-SA 3.0 (see LICENSE.md): trained on data derived from MOTChallenge"


def ship(weights: str | Path, folder: str | Path | None = None) -> Path:
    """Make shipped weights of those of a run: floats in half precision, without its fingerprint, and a card.

    Those of Tracktor carry the rules of track management that the run's experiment has chosen.

    Networks load them as float32 again. The card tells data, schedule, license, commit, device and torch
    version, the SHA-256 of the file, and the measures of the run's table, which are those before rounding.

    Args:
        weights: A weight file of a tracker.
        folder: Where they go; by default where the package keeps them.

    Returns:
        The file, named after the tracker; its card ends in ``.json``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or no tracker's, or a weight is beyond the range of half precision.
    """
    weights = Path(weights)
    folder = SHIPPED if folder is None else Path(folder)
    tracker = trackers.load(weights, "cpu")
    about = weight_files.read_about(weights)
    about = {key: about.get(key) for key in ("tracker", "options", "run", "validation", "made_from")}
    if tracker.name == "tracktor":
        about["rules"] = _rules(weights, about)
    half = {name: _halved(f"{weights}: {name}", value) for name, value in tracker.state_dict().items()}
    target = folder / f"{tracker.name}.safetensors"
    weight_files.write(target, half, about)
    with atomic(target.with_suffix(".json")) as card:
        card.write_text(json.dumps(_card(target, about, _measures(weights, about)), indent=1) + "\n")
    return target


def _halved(what: str, value: torch.Tensor) -> torch.Tensor:
    half = value.half() if value.is_floating_point() else value
    if not torch.isfinite(half).all():
        raise ValueError(f"{what} is beyond the range of half precision")
    return half


def _card(file: Path, about: dict[str, Any], measures: dict[str, Any] | None) -> dict[str, Any]:
    made_from = about["made_from"] or {}
    known = ("profile", "data", "schedule", "seeds", "commit", "device")
    return {
        "name": about["tracker"],
        "options": about["options"],
        "run": about["run"],
        "license": _LICENSE,
        **{key: made_from.get(key) for key in known},
        "parameters": sum(tensor.numel() for tensor in weight_files.read(file).values()),
        "validation": about["validation"],
        "measures": measures,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _measures(weights: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """The pooled row of the run's table, and what it was measured on; None for weights beside no table."""
    if about["run"] is None:
        return None
    table = _tables(weights) / f"tracker_{TrackerRun(**about['run']).label}.csv"
    if not table.is_file():
        return None
    frame, made_from = tables.read(table)
    pooled = frame[frame["sequence"] == evaluation.OVERALL].iloc[0].to_dict()
    conditions = {key: made_from[key] for key in ("split", "detectors", "protocol")}
    return conditions | {name: round(float(pooled[name]), 4) for name in evaluation.COLUMNS}


def _rules(weights: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The track management that the run's experiment has chosen for each public detector, and the usual one
    for others, both with the run's limit of re-identification; as far as there are tables of that."""
    found, folder = {}, _tables(weights)
    if (table := folder / "rules.csv").is_file():
        tried = tables.read(table)[0]
        found = {name: rules.chosen(tried, name) for name in sorted(set(tried["detector"]))}
    if about["run"] is not None:
        table = folder / f"reid_{TrackerRun(**about['run']).label}.csv"
        if table.is_file():
            found = {sequences.UNKNOWN_DETECTOR: sequences.rules("tracktor")} | found
            limit = reid.limit(tables.read(table)[0])
            found = {name: replace(rule, revival_distance=limit) for name, rule in found.items()}
    return {name: asdict(rule) for name, rule in found.items()}


def _tables(weights: Path) -> Path:
    """The folder of the tables of the experiment that weights belong to, be it there or not."""
    inside = [folder for folder in weights.absolute().parents if folder.name == "trackers"]
    return inside[-1].with_name("tables") if inside else weights.absolute().with_name("tables")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        made = ship(argument)
        print(f"{made}: {made.stat().st_size / 1e6:.1f} MB, card beside it")
