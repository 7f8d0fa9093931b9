"""A folder of results and the ground truth that it belongs to: paired, read, checked before any counting."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from .mot import PEDESTRIAN, MotFormatError, Sequence, read_boxes, sequence_folders

_SWAPPED = "are ground truth and results swapped?"


def read(
    gt_root: str | os.PathLike, results_dir: str | os.PathLike, sequences: Iterable[str] | None = None
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """(ground truth, results) of each sequence by its name, as ``mot.read_boxes`` returns them; of those that
    ``sequences`` names, by default of all that have ground truth.

    Raises ValueError on sequences without a result file and result files without a sequence (naming all);
    NotADirectoryError where a folder is missing; MotFormatError, with file and line, on broken files, frames
    past the end of the sequence and results without track ids or of another class.
    """
    boxes = {}
    for sequence, file in _pair_up(Path(gt_root), Path(results_dir), sequences):
        gt = _within(sequence, sequence.gt(), _ground_truth(sequence))
        boxes[sequence.name] = gt, _within(sequence, _results(file), file)
    return boxes


def _pair_up(gt_root: Path, results_dir: Path, wanted: Iterable[str] | None) -> list[tuple[Sequence, Path]]:
    """Each sequence to evaluate and its result file."""
    if not results_dir.is_dir():
        raise NotADirectoryError(f"{results_dir}: no such folder of results")
    try:
        sequences = map(Sequence, sequence_folders(gt_root))  # not opened: neither rate nor size matter
        found = [sequence for sequence in sequences if _ground_truth(sequence).is_file()]
    except MotFormatError as error:
        if not any(gt_root.glob("*.txt")):
            raise
        raise MotFormatError(gt_root, None, f"{error.message}; {_SWAPPED}") from error
    known = {sequence.name: sequence for sequence in found}
    if not known:
        raise ValueError(f"{gt_root}: no sequence here has a gt/gt.txt to evaluate against")
    if len(known) < len(found):
        names = [sequence.name for sequence in found]
        twice = {name for name in names if names.count(name) > 1}
        raise ValueError(f"{gt_root}: more than one sequence is called {_listed(twice)}")
    files = {file.stem: file for file in results_dir.glob("*.txt")}
    selected = set(known if wanted is None else wanted)
    if unknown := selected - set(known):
        raise ValueError(f"{gt_root}: no ground truth for {_listed(unknown)}")
    wrong = []
    if missing := selected - set(files):
        wrong.append(f"no result file for {_listed(missing)} (expected SEQUENCE.txt)")
    if extra := set(files) - set(known):
        wrong.append(f"result files without ground truth under {gt_root}: {_listed(extra)}")
    if not files:
        wrong.append(f"it holds no .txt file at all; {_SWAPPED}")
    elif not set(files) & set(known):
        wrong.append("nothing in common: are these the results of another benchmark?")
    if wrong:
        raise ValueError(f"{results_dir}: {'; '.join(wrong)}")
    return [(sequence, files[sequence.name]) for sequence in found if sequence.name in selected]


def _ground_truth(sequence: Sequence) -> Path:
    return sequence.path / "gt" / "gt.txt"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _results(file: Path) -> pd.DataFrame:
    boxes = read_boxes(file)
    _refuse(file, boxes["id"] == -1, "a result needs a track id, and -1 is none")
    _refuse(file, boxes["cls"] > PEDESTRIAN, "a result of another class than pedestrian: is this a gt file?")
    return boxes


def _within(sequence: Sequence, boxes: pd.DataFrame, file: Path) -> pd.DataFrame:
    allowed = sequence.allows(boxes["frame"])
    if not allowed.all():
        frames = sequence.allowed_frames
        message = f"{sequence.name} has only {len(frames)} frames, {frames[0]} to {frames[-1]}"
        _refuse(file, ~allowed, message)
    return boxes


def _refuse(file: Path, rows: pd.Series, message: str) -> None:
    if rows.any():
        raise MotFormatError(file, _line(file, int(rows.argmax())), message)


def _line(file: Path, row: int) -> int:
    """The line (1-based) of a row: blank lines are none."""
    lines = file.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    return [number for number, text in enumerate(lines, start=1) if text.strip()][row]
