"""The pairs of D and A* that an experiment trains and tests its matchers on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import mot, pairs
from ..distance import box_distance, center_distance
from .sequences import usable

#: The distances D of each kind of pairs: plain center distances, as the authors' pairs hold them, or Eq. 3,
#: as the trackers use it.
DISTANCES: dict[str, pairs.Distance] = {"released": center_distance, "eq3": box_distance}
KINDS = tuple(DISTANCES)
_NAMES = {"released": "plain center distances", "eq3": "Eq. 3"}


@dataclass(frozen=True)
class MatcherData:
    """What matchers are trained and tested on.

    Attributes:
        train: Training pairs.
        test: Test pairs.
        unseen: (K,) bool, which of the K test pairs no training pair gives away.
        description: A line on the source.
    """

    train: pairs.Pairs
    test: pairs.Pairs
    unseen: NDArray[np.bool_]
    description: str


def rendered(kind: str, sequences: list[mot.Sequence]) -> MatcherData:
    """Make pairs of a kind from rendered sequences.

    Args:
        kind: One of ``KINDS``.
        sequences: The sequences.

    Raises:
        ValueError: Another kind.
    """
    _require(kind)
    return _from_sequences(kind, sequences, "the embedded sequences", repeat=2)


def real(kind: str, root: Path) -> MatcherData:
    """Read or make the pairs of a kind from real data, and never of rendered data in its place.

    - released: ``dhn/train-*.npz`` and ``dhn/test.npz`` (with ``dhn/test-unseen.npy`` where it is known which
      test pairs the whole training set gives away), or the authors' folders ``dhn/train``, ``dhn/test``.
      Where none of these is there, pairs with the same distances are made as Appendix A.1 says;
    - eq3: made as Appendix A.1 says.

    They are made from every sequence with ground truth and detections, the first halves for training, the
    last quarters for test.

    Args:
        kind: One of ``KINDS``.
        root: The folder of real data.

    Raises:
        ValueError: Another kind, or the folder has nothing to make pairs of: names what was left out and why.
        FileNotFoundError: ``dhn/`` has one part of the pairs, but not the other.
    """
    _require(kind)
    folder = root / "dhn"
    if kind == "released" and [*folder.glob("train-*.npz"), *folder.glob("test.npz")]:
        return _from_files(folder)
    if kind == "released" and ((folder / "train").is_dir() or (folder / "test").is_dir()):
        train, test = (pairs.read_tree(folder, part) for part in ("train", "test"))
        return MatcherData(train, test, pairs.unseen(test, train), _told("the paper's pairs", train, test))
    found = usable(root, "ground truth", "detections")
    return _from_sequences(kind, found, f"{len(found)} MOTChallenge sequences as Appendix A.1 says")


def _require(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind of pairs {kind!r}: choose one of {', '.join(KINDS)}")


def _from_sequences(kind: str, sequences: list[mot.Sequence], source: str, repeat: int = 1) -> MatcherData:
    distance = DISTANCES[kind]
    train = pairs.generate(sequences, "train", thresholds_per_frame=2 * repeat, distance=distance)
    test = pairs.generate(sequences, "test", seed=1, thresholds_per_frame=repeat, distance=distance)
    description = _told(f"pairs made of {source}, {_NAMES[kind]}", train, test)
    return MatcherData(train, test, pairs.unseen(test, train), description)


def _from_files(folder: Path) -> MatcherData:
    files = sorted(folder.glob("train-*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} has test.npz but no train-*.npz")
    if not (folder / "test.npz").is_file():
        raise FileNotFoundError(f"{folder} has {files[0].name} but no test.npz")
    train = pairs.concatenate([pairs.read(file) for file in files])
    test = pairs.read(folder / "test.npz")
    marks = folder / "test-unseen.npy"
    unseen = _marks(marks, len(test)) if marks.is_file() else pairs.unseen(test, train)
    return MatcherData(train, test, unseen, _told("the paper's pairs", train, test))


def _marks(file: Path, count: int) -> NDArray[np.bool_]:
    try:
        marks = np.load(file)
    except Exception as error:  # a damaged header raises nearly anything
        raise pairs.PairFileError(f"{file}: truncated or no array ({error})") from None
    if not isinstance(marks, np.ndarray) or marks.dtype != bool or marks.shape != (count,):
        raise pairs.PairFileError(f"{file}: not a mark, true or false, for each of {count} test pairs")
    return marks


def _told(source: str, train: pairs.Pairs, test: pairs.Pairs) -> str:
    return f"{source} ({len(train):,} for training, {len(test):,} for test)"
