"""Finding MOTChallenge sequences in any of the usual layouts of folders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .box_files import MotFormatWarning
from .number_rows import MotFormatError
from .sequences import SIGNS, Sequence, is_sequence

_DEPTH = 5  # TrackEval's own layout, gt/mot_challenge/MOT17-train/SEQUENCE, lies four folders deep


class Found(NamedTuple):
    """Sequences, sorted by path, and the folders that were left out with the reason why."""

    sequences: list[Sequence]
    skipped: list[tuple[Path, str]]

    def having(self, *needs: str) -> Found:
        """Leave out the sequences that lack something.

        Args:
            needs: any of "pictures", "ground truth" and "detections".

        Returns:
            Those that have it all, and the others among the skipped.
        """
        lacking = [(one, [need for need in needs if not _has(one, need)]) for one in self.sequences]
        skipped = [
            (one.path, f"{one.path}: no {' and no '.join(missing)}") for one, missing in lacking if missing
        ]
        return Found([one for one, missing in lacking if not missing], self.skipped + skipped)

    def reasons(self) -> str:
        """Say in one line what was left out and why; empty where nothing was."""
        return "; ".join(reason for _, reason in self.skipped)


def find_sequences(root: str | os.PathLike[str], names: Iterable[str] | None = None) -> list[Sequence]:
    """Find and open the sequences under a folder.

    They may be the folder itself, or lie in it, in ``root/train``, in ``root/MOT17/train``, ... Hidden
    folders and ``__MACOSX`` are passed over; where a folder holds both ``train`` and ``test`` (MOTChallenge's
    download), so is ``test``, which has no ground truth.

    Args:
        root: the folder.
        names: open the sequences of these names only (default: all).

    Returns:
        The sequences, sorted by path.

    Warns:
        MotFormatWarning: names the sequences that could not be opened, and why, in one line.

    Raises:
        NotADirectoryError: there is no such folder.
        MotFormatError: it holds no sequence that can be opened, or one of ``names`` cannot be.
        ValueError: it holds no sequence of one of ``names``.
    """
    found = scan(root, names)
    if not found.sequences:
        raise MotFormatError(root, None, f"no MOTChallenge sequence that can be opened: {found.reasons()}")
    if found.skipped:
        warnings.warn(
            f"{root}: skipped what cannot be opened: {found.reasons()}", MotFormatWarning, stacklevel=2
        )
    return found.sequences


def scan(root: str | os.PathLike[str], names: Iterable[str] | None = None) -> Found:
    """Find sequences as ``find_sequences``, but return what was skipped, be it everything.

    Args:
        root: the folder.
        names: open the sequences of these names only (default: all), and raise where one cannot be.

    Returns:
        The sequences, and the folders that could not be opened.

    Raises:
        NotADirectoryError, MotFormatError, ValueError: as ``find_sequences``, but not where all is skipped.
    """
    found = Found([], [])
    folders = sequence_folders(root, names)
    for folder in folders:
        try:
            found.sequences.append(Sequence.open(folder))
        except (MotFormatError, OSError) as error:
            if names is not None or folders == [Path(root)]:
                raise
            found.skipped.append((folder, str(error)))
    return found


def sequence_folders(root: str | os.PathLike[str], names: Iterable[str] | None = None) -> list[Path]:
    """List the folders that ``find_sequences`` opens.

    Args:
        root: the folder to look in.
        names: those of these names only (default: all).

    Returns:
        The folders, sorted.

    Raises:
        NotADirectoryError: there is no such folder.
        MotFormatError: there is no sequence in it.
        ValueError: none is called like one of ``names``.
    """
    root = Path(root)
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: no such folder")
    folders = _below(root, _DEPTH)
    if not folders:
        raise MotFormatError(root, None, f"no MOTChallenge sequence here: no folder with {SIGNS}")
    if names is None:
        return folders
    known, wanted = {Sequence(folder).name for folder in folders}, set(names)
    if unknown := sorted(wanted - known):
        raise ValueError(f"{root}: no sequence is called {', '.join(unknown)}")
    return [folder for folder in folders if Sequence(folder).name in wanted]


def _has(sequence: Sequence, need: str) -> bool:
    if need == "pictures":
        return sequence.has_images
    return (sequence.path / {"ground truth": "gt/gt.txt", "detections": "det/det.txt"}[need]).is_file()


def _below(root: Path, depth: int) -> list[Path]:
    try:
        if is_sequence(root):
            return [root]
        if depth == 0:
            return []
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path))
    except PermissionError:
        return [root]  # to be named when it cannot be opened
    if any(folder.name == "train" for folder in folders):
        folders = [folder for folder in folders if folder.name != "test"]
    return [found for folder in folders for found in _below(folder, depth - 1)]


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"
