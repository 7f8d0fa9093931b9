"""Evaluation of re-identification: how well embeddings tell people apart (rank-1, mAP, AUC).

Pictures are compared across time, within a sequence: two of one frame are never one person, which is no
achievement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ReIDPictures(NamedTuple):
    """Pictures of people in one sequence.

    Attributes:
        distance: ``(K, K)`` distances of their embeddings, in [0, 1].
        identities: ``(K,)`` who is in them.
        frames: ``(K,)`` where they were taken.
    """

    distance: NDArray[np.floating]
    identities: NDArray[np.integer]
    frames: NDArray[np.integer]

    @property
    def comparable(self) -> NDArray[np.bool_]:
        """Which pairs are of two frames, ``(K, K)``."""
        return self.frames[:, None] != self.frames

    @property
    def same(self) -> NDArray[np.bool_]:
        """Which pairs show one person, ``(K, K)``."""
        return self.identities[:, None] == self.identities


class ReIDScores(NamedTuple):
    """Measures of re-identification; up is better.

    Attributes:
        rank1: The share of pictures whose nearest one in another frame shows the same person.
        mean_average_precision: The mean over pictures of the average precision of the others, nearest first.
        auc: The probability that two pictures of one person are nearer than two of different people.
        equal_error_distance: The limit at which as large a share of one person's pairs lies above as of
            different people's lies at or below.
        pictures: The number of pictures that have another one of the same person.
    """

    rank1: float
    mean_average_precision: float
    auc: float
    equal_error_distance: float
    pictures: int


def score(sequences: Iterable[ReIDPictures]) -> ReIDScores:
    """Score embeddings, pooled over the pictures, or the pairs, of all sequences.

    Raises:
        ValueError: no person has two pictures, or there is only one person.
    """
    hits: list[bool] = []
    precisions: list[float] = []
    own, others = [], []
    for one in sequences:
        above = np.triu(one.comparable)
        own.append(one.distance[above & one.same])
        others.append(one.distance[above & ~one.same])
        for distance, same, comparable in zip(one.distance, one.same, one.comparable, strict=True):
            relevant = same[comparable][np.argsort(distance[comparable], kind="stable")]
            if relevant.any():
                hits.append(bool(relevant[0]))
                precisions.append(average_precision(relevant))
    positive, negative = np.concatenate(own), np.concatenate(others)
    if not positive.size or not negative.size:
        raise ValueError("re-identification is measured on two people or more, one of them in two frames")
    return ReIDScores(
        float(np.mean(hits)),
        float(np.mean(precisions)),
        auc(positive, negative),
        equal_error_distance(positive, negative),
        len(hits),
    )


def average_precision(relevant: NDArray[np.bool_]) -> float:
    """Compute the mean of the precisions at each relevant item of a ranking, one or more, best first.

    Example:
        >>> average_precision(np.array([True, False, True]))
        0.8333333333333333
    """
    ranks = np.flatnonzero(relevant) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Compute the probability that a positive distance is smaller than a negative one; ties count half.

    Example:
        Of four pairs three are in order, one is a tie:

        >>> auc(np.array([0.1, 0.3]), np.array([0.3, 0.5]))
        0.875
    """
    ordered = np.sort(negative)
    smaller = len(ordered) - np.searchsorted(ordered, positive, side="right")
    ties = len(ordered) - np.searchsorted(ordered, positive, side="left") - smaller
    return float((smaller + ties / 2).mean() / len(ordered))


def equal_error_distance(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Find the limit at which the false rejections of one person equal the false acceptances of others.

    Of the distances themselves the smallest is taken at which no larger share of the positive ones lies above
    than of the negative ones lies at or below.

    Example:
        >>> equal_error_distance(np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.3, 0.5, 0.7, 0.8]))
        0.3
    """
    limits = np.unique(np.concatenate([positive, negative]))
    rejected = 1 - np.searchsorted(np.sort(positive), limits, side="right") / len(positive)
    accepted = np.searchsorted(np.sort(negative), limits, side="right") / len(negative)
    return float(limits[np.argmax(rejected <= accepted)])
