"""The pairs of D and A* that an experiment trains and tests its matchers on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import mot, pairs

#: Which distances the pairs hold: the paper's own plain center distances, or Eq. 3, as the trackers use it.
KINDS = ("released", "eq3")


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
    """Make pairs of rendered sequences, with Eq. 3's distances for either kind.

    Raises:
        ValueError: Another kind than ``KINDS``.
    """
    _require(kind)
    return _from_sequences(sequences, "pairs of the embedded sequences, Eq. 3", repeat=2)


def real(kind: str, root: Path) -> MatcherData:
    """Read or make the pairs of a kind from real data.

    - released: ``dhn/train-*.npz`` and ``dhn/test.npz`` (with ``dhn/test-unseen.npy`` where it is known which
      test pairs the whole training set gives away), or the authors' folders ``dhn/train``, ``dhn/test``;
    - eq3: every sequence with ground truth and detections, the first halves for training, the last quarters
      for test.

    Args:
        kind: One of ``KINDS``.
        root: The folder of real data.

    Raises:
        ValueError: Another kind, or the folder has nothing to make pairs of.
    """
    _require(kind)
    if kind == "released":
        if (root / "dhn" / "test.npz").is_file():
            return _from_files(root / "dhn")
        if (root / "dhn" / "test").is_dir():
            train, test = (pairs.read_tree(root / "dhn", part) for part in ("train", "test"))
            return MatcherData(train, test, pairs.unseen(test, train), "the paper's pairs")
    sequences = [found for found in mot.find_sequences(root) if _has_boxes(found)]
    return _from_sequences(sequences, f"pairs of {len(sequences)} MOTChallenge sequences, Eq. 3")


def _require(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"unknown kind of pairs {kind!r}: choose one of {', '.join(KINDS)}")


def _has_boxes(sequence: mot.Sequence) -> bool:
    """Whether there are both files that a pair takes."""
    return all((sequence.path / file).is_file() for file in ("gt/gt.txt", "det/det.txt"))


def _from_sequences(sequences: list[mot.Sequence], description: str, repeat: int = 1) -> MatcherData:
    train = pairs.generate(sequences, part="train", thresholds_per_frame=2 * repeat)
    test = pairs.generate(sequences, part="test", seed=1, thresholds_per_frame=repeat)
    sizes = f"({len(train):,} for training, {len(test):,} for test)"
    return MatcherData(train, test, pairs.unseen(test, train), f"{description} {sizes}")


def _from_files(folder: Path) -> MatcherData:
    files = sorted(folder.glob("train-*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} has test.npz but no train-*.npz")
    train = pairs.concatenate([pairs.read(file) for file in files])
    test = pairs.read(folder / "test.npz")
    marks = folder / "test-unseen.npy"
    unseen = np.load(marks) if marks.is_file() else pairs.unseen(test, train)
    if unseen.shape != (len(test),):
        raise pairs.PairFileError(f"{marks}: marks {unseen.shape} for {len(test)} test pairs")
    return MatcherData(
        train, test, unseen, f"the paper's pairs ({len(train):,} for training, {len(test):,} for test)"
    )
