"""Weights that ship with the package: those of a training in half precision, with a card beside them.

``python -m deepmot_lib.experiments.shipping WEIGHTS`` makes them of the weight file of a run, such as
``runs/standard/trackers/goturn/.../weights.safetensors``, whose table is beside it, or of one of ``deepmot
train``; ``--measured CSV`` then names what ``deepmot evaluate --csv`` has measured with it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .. import evaluation, trackers
from ..data import weights as weight_files
from ..data.files import atomic
from . import reid, rules, sequences, tables
from .default_weights import SHIPPED
from .settings import TrackerRun

_LICENSE = "CC BY-NC-SA 3.0 (see LICENSE.md): trained on data derived from MOTChallenge"


def ship(weights: str | Path, folder: str | Path | None = None, measured: str | Path | None = None) -> Path:
    """Make shipped weights of trained ones: floats in half precision, without a fingerprint, and a card.

    Those of Tracktor carry the rules of track management that the run's experiment has chosen, or which they
    had.

    Networks load them as float32 again. The card tells data, schedule, license, commit, device and torch
    version, the SHA-256 of the file, and the measures of the run's table, which are those before rounding.

    Args:
        weights: A weight file of a tracker.
        folder: Where they go; by default where the package keeps them.
        measured: A table of ``deepmot evaluate --csv`` for the card; by default the table of their run.

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
    known = about.get("rules")
    about = {key: about.get(key) for key in ("tracker", "options", "run", "validation", "made_from")}
    if tracker.name == "tracktor":
        about["rules"] = _rules(weights, about) or known or {}
    half = {name: _halved(f"{weights}: {name}", value) for name, value in tracker.state_dict().items()}
    target = folder / f"{tracker.name}.safetensors"
    weight_files.write(target, half, about)
    with atomic(target.with_suffix(".json")) as card:
        measures = _measures(weights, about) if measured is None else _measured(Path(measured))
        card.write_text(json.dumps(_card(target, about, measures), indent=1) + "\n")
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
        "started from": made_from.get("weights"),
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
    return {key: made_from[key] for key in ("split", "detectors", "protocol")} | _rounded(pooled)


def _measured(file: Path) -> dict[str, Any]:
    """The pooled row of a table of ``deepmot evaluate``, and what it was measured on."""
    frame = pd.read_csv(file).set_index("sequence")
    pooled = frame.loc[evaluation.OVERALL].to_dict()
    conditions: dict[str, Any] = {"sequences": ", ".join(frame.index.drop(evaluation.OVERALL))}
    conditions |= {key: pooled[key] for key in ("protocol", "part") if key in pooled}
    return conditions | _rounded(pooled)


def _rounded(measures: Mapping[Any, Any]) -> dict[str, float]:
    return {name: round(float(measures[name]), 4) for name in evaluation.COLUMNS}


def _rules(weights: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the track management that the run's experiment has chosen for each public detector.

    For others it is the usual one; both have the run's limit of re-identification. All this as far as there
    are tables of it.
    """
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Ship weights with the package.")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS")
    parser.add_argument("--measured", type=Path, metavar="CSV", help="a table of deepmot evaluate --csv")
    given = parser.parse_args(arguments)
    made = ship(given.weights, measured=given.measured)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB, card beside it")


if __name__ == "__main__":
    main()
