"""The pairs that a profile trains and tests its networks on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import mot, pairs, synthetic
from . import settings as profiles

#: Which distances the pairs hold: the paper's own plain center distances, or Eq. 3, as the trackers use it.
KINDS = ("released", "eq3")


@dataclass(frozen=True)
class DHNData:
    """Training and test pairs, which test pairs no training pair gives away (bool, one each), and a line on
    the source."""

    train: pairs.Pairs
    test: pairs.Pairs
    unseen: np.ndarray
    description: str


def for_profile(profile: str, kind: str = "released") -> DHNData:
    """Training and test pairs of a kind: "released", the paper's own, or "eq3", made as Appendix A.1 says.

    The released pairs hold plain normalised center distances; the trackers use Eq. 3, which "eq3" holds.
    Where the profile uses real data, ``DEEPMOT_DATA`` is searched:

    - released: ``dhn/train-*.npz`` and ``dhn/test.npz`` (with ``dhn/test-unseen.npy`` where it is known which
      test pairs the whole training set gives away), or the authors' folders ``dhn/train``, ``dhn/test``;
    - eq3: every sequence with ground truth and detections, the first halves for training, the last quarters
      for test.

    What is not there is made from the embedded sequences, with Eq. 3; the description says so. ValueError for
    another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of pairs {kind!r}: choose one of {', '.join(KINDS)}")
    root = profiles.data_root() if profiles.get(profile).real_data else None
    if root is not None and kind == "released":
        if (root / "dhn" / "test.npz").is_file():
            return _from_files(root / "dhn")
        if (root / "dhn" / "test").is_dir():
            train, test = (pairs.read_tree(root / "dhn", part) for part in ("train", "test"))
            return DHNData(train, test, pairs.unseen(test, train), "the paper's pairs")
    if root is not None and kind == "eq3":
        sequences = [found for found in mot.find_sequences(root) if _has_boxes(found)]
        if sequences:
            return _from_sequences(sequences, f"pairs of {len(sequences)} MOTChallenge sequences, Eq. 3")
    sequences = mot.find_sequences(synthetic.for_profile(profile))
    return _from_sequences(sequences, "pairs of the embedded sequences, Eq. 3", repeat=2)


def _has_boxes(sequence: mot.Sequence) -> bool:
    """Whether there are both files that a pair needs, and people in the one."""
    files = ("gt/gt.txt", "det/det.txt")
    return all((sequence.path / file).is_file() for file in files)


def _from_sequences(sequences: list[mot.Sequence], description: str, repeat: int = 1) -> DHNData:
    train = pairs.generate(sequences, part="train", thresholds_per_frame=2 * repeat)
    test = pairs.generate(sequences, part="test", seed=1, thresholds_per_frame=repeat)
    sizes = f"({len(train):,} for training, {len(test):,} for test)"
    return DHNData(train, test, pairs.unseen(test, train), f"{description} {sizes}")


def _from_files(folder: Path) -> DHNData:
    files = sorted(folder.glob("train-*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} has test.npz but no train-*.npz")
    train = pairs.concatenate([pairs.read(file) for file in files])
    test = pairs.read(folder / "test.npz")
    marks = folder / "test-unseen.npy"
    unseen = np.load(marks) if marks.is_file() else pairs.unseen(test, train)
    if unseen.shape != (len(test),):
        raise pairs.PairFileError(f"{marks}: marks {unseen.shape} for {len(test)} test pairs")
    return DHNData(
        train, test, unseen, f"the paper's pairs ({len(train):,} for training, {len(test):,} for test)"
    )
