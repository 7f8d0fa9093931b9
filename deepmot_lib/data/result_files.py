"""Result files of trackers and the ground truth that they belong to: paired by name, read and checked."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .box_files import PEDESTRIAN, MotFormatWarning, read_boxes, read_ground_truth, refuse
from .number_rows import AnyPath, MotFormatError
from .sequence_folders import sequence_folders
from .sequences import Sequence, split

_SWAPPED = "are ground truth and results swapped?"
_LARGEST_MEMBER = 1 << 29  # bytes that a file in an archive may unpack to
_DEPTH = 4  # TrackEval's MOT17-train/TRACKER/data lies three folders below its root


@dataclass(frozen=True)
class Paired:
    """Sequences with ground truth and the trackers' result files for them, read one sequence at a time.

    Attributes:
        sequences: by name.
        files: by the names of tracker and sequence.
        part: the part of each sequence that is read; None: all of it.
        classes: that results may have.
    """

    sequences: dict[str, Sequence]
    files: dict[str, dict[str, AnyPath]]
    part: str | None
    classes: frozenset[int]

    def read(self, name: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """Read the ground truth of a sequence and what each tracker found in it.

        Args:
            name: of the sequence.

        Returns:
            The ground truth as ``read_ground_truth``; the results as ``read_boxes`` by the tracker's name.

        Raises:
            MotFormatError: names file and line of broken rows, frames outside the sequence, results without
                track ids or of another class.
        """
        sequence = self.sequences[name]
        gt = _within(sequence, sequence.gt(), _ground_truth(sequence))
        results = {tracker: self._results(sequence, files[name]) for tracker, files in self.files.items()}
        if self.part is not None:
            frames = split(sequence)[self.part]
            gt = _between(gt, frames)
            results = {tracker: _between(boxes, frames) for tracker, boxes in results.items()}
        return gt, results

    def _results(self, sequence: Sequence, file: AnyPath) -> pd.DataFrame:
        boxes = read_boxes(file)
        refuse(file, boxes["id"] < 0, "a result needs a track id, and a negative one is none")
        other = (boxes["cls"] > PEDESTRIAN) & ~boxes["cls"].isin(self.classes)
        refuse(file, other, "a result of another class than those evaluated: is this a gt file?")
        return _within(sequence, boxes, file)


def pair(
    gt_root: str | os.PathLike[str],
    results_dirs: Mapping[str, str | os.PathLike[str]],
    sequences: Iterable[str] | None = None,
    part: str | None = None,
    classes: Iterable[int] = (),
) -> Paired:
    """Find the ground truth of sequences and the trackers' result files for them; nothing is read yet.

    A single result file is that of the sequence of its name, else of the only one; then no other is taken.

    Args:
        gt_root: folder of MOTChallenge sequences, or a single ground-truth file.
        results_dirs: for each tracker's name a folder or ``.zip`` of files ``SEQUENCE.txt``, or a single
            result file.
        sequences: the names of those to take (default: all that have ground truth).
        part: take the frames of this part (``train``, ``val``, ``test``) of each sequence alone.
        classes: that results may have, beside pedestrians.

    Returns:
        The files, and how to read them.

    Warns:
        MotFormatWarning: names the files that no sequence is called after, which are passed over.

    Raises:
        ValueError: names sequences without a result file or without ground truth; an unknown part.
        NotADirectoryError: a folder is missing.
        MotFormatError: the ground truth holds no sequence, or an archive is damaged.
    """
    selected = None if sequences is None else set(sequences)
    if part is not None and part not in (parts := split(4)):
        raise ValueError(f"unknown part {part!r}: choose one of {', '.join(parts)}")
    found = _with_ground_truth(Path(gt_root), selected)
    single = {
        tracker: _sequence_of(Path(file), found) for tracker, file in results_dirs.items() if _is_single(file)
    }
    files: dict[str, dict[str, AnyPath]] = {
        tracker: {single[tracker]: Path(folder)} if tracker in single else _result_files(Path(folder))
        for tracker, folder in results_dirs.items()
    }
    selected = set(single.values()) if single and selected is None else selected
    for tracker, listed in files.items():
        _check_names(Path(gt_root), Path(results_dirs[tracker]), listed, set(found), selected)
    chosen = {name: found[name] for name in found if selected is None or name in selected}
    return Paired(chosen, files, part, frozenset(classes))


@dataclass(frozen=True)
class _GroundTruthFile(Sequence):
    """A ground-truth file that lies in no sequence's folder: a sequence that is nothing but these boxes."""

    @property
    def name(self) -> str:
        return self.path.stem

    def gt(self) -> pd.DataFrame:
        boxes = read_ground_truth(self.path)
        if boxes.empty:
            raise MotFormatError(self.path, None, "the ground truth is empty")
        return boxes

    def _box_files(self) -> list[tuple[Path, Callable[[Path], pd.DataFrame]]]:
        return [(self.path, read_ground_truth)]


def _is_single(results: str | os.PathLike[str]) -> bool:
    return Path(results).suffix == ".txt" and Path(results).is_file()


def _sequence_of(file: Path, known: Mapping[str, Sequence]) -> str:
    """The name of the sequence that a single result file belongs to."""
    if file.stem in known:
        return file.stem
    if len(known) == 1:
        return next(iter(known))
    raise ValueError(f"{file}: no sequence is called {file.stem}, but {_listed(known)}: name the file so")


def _result_files(results: Path) -> dict[str, AnyPath]:
    """Every ``.txt`` file of a folder or archive by its name without the ending."""
    if results.is_dir():
        return {file.stem: file for file in sorted(results.glob("*.txt"))}
    if not results.exists():
        raise NotADirectoryError(f"{results}: no such folder of results")
    try:
        archive = zipfile.ZipFile(results)  # stays open while its members are read
    except (OSError, zipfile.BadZipFile) as error:
        raise NotADirectoryError(f"{results}: neither a folder nor a .zip of result files") from error
    files: dict[str, AnyPath] = {}
    for entry in archive.infolist():
        file = entry.filename.rpartition("/")[2]
        if not file.endswith(".txt"):
            continue
        if entry.file_size > _LARGEST_MEMBER:
            raise MotFormatError(results, None, f"{entry.filename} would unpack to {entry.file_size:,} bytes")
        if file.removesuffix(".txt") in files:
            raise ValueError(f"{results}: holds more than one {file}")
        files[file.removesuffix(".txt")] = zipfile.Path(archive, entry.filename)
    return files


def _with_ground_truth(gt_root: Path, selected: set[str] | None) -> dict[str, Sequence]:
    """The sequences with ground truth by name, not opened: only what is evaluated must be sound."""
    sequences: list[Sequence]
    if gt_root.is_file():
        inside = gt_root.name == "gt.txt" and gt_root.absolute().parent.name == "gt"
        sequences = [Sequence(gt_root.absolute().parents[1]) if inside else _GroundTruthFile(gt_root)]
    else:
        sequences = _sequences_below(gt_root)
    names = [sequence.name for sequence in sequences if _ground_truth(sequence).is_file()]
    if not names:
        raise ValueError(f"{gt_root}: no sequence here has a gt/gt.txt to evaluate against")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{gt_root}: more than one sequence is called {_listed(twice)}")
    if unknown := (selected or set()) - set(names):
        raise ValueError(f"{gt_root}: no ground truth for {_listed(unknown)}")
    return {sequence.name: sequence for sequence in sequences if sequence.name in names}


def _sequences_below(gt_root: Path) -> list[Sequence]:
    try:
        return [Sequence(folder) for folder in sequence_folders(gt_root)]
    except MotFormatError as error:
        if not any(gt_root.glob("*.txt")):
            raise
        raise MotFormatError(gt_root, None, f"{error.message}; {_SWAPPED}") from error


def _check_names(
    gt_root: Path, results: Path, files: dict[str, AnyPath], known: set[str], selected: set[str] | None
) -> None:
    """Refuse missing result files; pass over those that no sequence is called after, and say so."""
    missing, others = (known if selected is None else selected) - set(files), set(files) - known
    if missing:
        wrong = [f"no result file for {_listed(missing)} (expected SEQUENCE.txt)"]
        if others:
            wrong.append(f"result files without ground truth under {gt_root}: {_listed(others)}")
        if below := _folders_below(results, missing):
            wrong.append(f"some lie in {_listed(below)}: name that folder")
        elif not files:
            wrong.append(f"it holds no .txt file at all; {_SWAPPED}")
        elif not set(files) & known:
            wrong.append("nothing in common: are these the results of another benchmark?")
        raise ValueError(f"{results}: {'; '.join(wrong)}")
    if others:
        names = _listed(f"{name}.txt" for name in others)
        message = f"{results}: passed over, as no sequence under {gt_root} is called so: {names}"
        warnings.warn(message, MotFormatWarning, stacklevel=4)


def _folders_below(results: Path, names: set[str]) -> set[str]:
    """The folders below that hold result files of these sequences."""
    depth = range(1, _DEPTH) if results.is_dir() else ()
    files = (file for level in depth for file in results.glob("*/" * level + "*.txt"))
    return {str(file.parent) for file in files if file.stem in names}


def _ground_truth(sequence: Sequence) -> Path:
    return sequence.path if isinstance(sequence, _GroundTruthFile) else sequence.path / "gt" / "gt.txt"


def _listed(names: Iterable[str], shown: int = 10) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:shown]) + (f" and {len(ordered) - shown} more" if ordered[shown:] else "")


def _within(sequence: Sequence, boxes: pd.DataFrame, file: AnyPath) -> pd.DataFrame:
    allowed = sequence.allows(boxes["frame"])
    if not allowed.all():
        frames = sequence.allowed_frames
        message = f"{sequence.name} has only {len(frames)} frames, {frames[0]} to {frames[-1]}"
        refuse(file, ~allowed, message)
    return boxes


def _between(boxes: pd.DataFrame, frames: range) -> pd.DataFrame:
    return boxes[boxes["frame"].between(frames.start, frames.stop - 1)]
