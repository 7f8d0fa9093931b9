"""The pairs that a profile trains and tests its networks on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import mot, pairs, profiles, synthetic


@dataclass(frozen=True)
class DHNData:
    """Training and test pairs, which test pairs no training pair gives away (bool, one each), and a line on
    the source."""

    train: pairs.Pairs
    test: pairs.Pairs
    unseen: np.ndarray
    description: str


def for_profile(profile: str) -> DHNData:
    """The paper's own pairs where the profile uses real data and ``DEEPMOT_DATA`` has them, else pairs of the
    embedded data.

    Looked for below ``DEEPMOT_DATA/dhn``: pair files ``train-*.npz`` and ``test.npz`` (with
    ``test-unseen.npy`` where it is known which test pairs the whole training set gives away), or the authors'
    folders ``train/`` and ``test/``.
    """
    root = profiles.data_root() if profiles.get(profile).real_data else None
    if root is not None and (root / "dhn" / "test.npz").is_file():
        return _from_files(root / "dhn")
    if root is not None and (root / "dhn" / "test").is_dir():
        train, test = (pairs.read_tree(root / "dhn", part) for part in ("train", "test"))
        return DHNData(train, test, pairs.unseen(test, train), "the paper's pairs")
    sequences = mot.find_sequences(synthetic.for_profile(profile))
    train = pairs.generate(sequences, part="train", thresholds_per_frame=4)
    test = pairs.generate(sequences, part="val", seed=1, thresholds_per_frame=2)
    return DHNData(train, test, pairs.unseen(test, train), "pairs of the embedded sequences, Eq. 3")


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
