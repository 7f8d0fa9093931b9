"""Pairs of a distance matrix D and its optimal assignment A*, many of many shapes, kept flat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """K matrices with their optimal assignments; ``pairs[k]`` is one, ``stack`` several of one shape.

    Attributes:
        shape: (K, 2) int16, rows N and columns M of each.
        distance: float32, the matrices one after the other, row-major; ``GATED`` where gated out.
        match: int16, the column of each row in A*, or -1.
        source: (K,) int8, the data set that each came from, an index into ``source_names``.
        source_names: The names of the data sets.
    """

    shape: NDArray[np.integer[Any]]
    distance: NDArray[np.float32]
    match: NDArray[np.integer[Any]]
    source: NDArray[np.integer[Any]]
    source_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shape)

    @cached_property
    def entries(self) -> NDArray[np.int64]:
        """N * M of each matrix, int64 (K,)."""
        return self.shape.astype(np.int64).prod(axis=1)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell these pairs from others: what checkpoints and caches go by."""
        arrays = (self.shape.astype(np.int16), self.distance.astype(np.float32), self.match.astype(np.int16))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:12]

    @cached_property
    def starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each matrix starts in ``distance``, and in ``match``."""
        rows = self.shape[:, 0].astype(np.int64)
        return np.cumsum(self.entries) - self.entries, np.cumsum(rows) - rows

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]]:
        """Return (D, A*) of one pair."""
        distance, assignment = self.stack([index])
        return distance[0], assignment[0]

    def stack(self, indices: Iterable[int]) -> tuple[Float[Tensor, "B N M"], Float[Tensor, "B N M"]]:
        """Stack pairs of one shape.

        Args:
            indices: Which of them.

        Returns:
            D and A*.

        Raises:
            ValueError: The shapes differ.
        """
        chosen = np.asarray(indices)
        n, m = self.shape[chosen[0]].astype(int)
        if (self.shape[chosen] != (n, m)).any():
            raise ValueError("pairs of different shapes cannot be stacked")
        entry, row = (start[chosen] for start in self.starts)
        distance = self.distance[entry[:, None] + np.arange(n * m)].reshape(-1, n, m)
        match = self.match[row[:, None] + np.arange(n)]
        assignment = match[..., None] == np.arange(m)
        return torch.from_numpy(distance), torch.from_numpy(assignment.astype(np.float32))

    def subset(self, indices: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Pairs:
        """Return the pairs at ``indices`` (integers, or bool (K,)), in that order."""
        chosen = np.arange(len(self))[indices]
        entry, row = self.starts
        rows = self.shape[:, 0].astype(np.int64)
        return Pairs(
            shape=self.shape[chosen],
            distance=_gather(self.distance, entry[chosen], self.entries[chosen]),
            match=_gather(self.match, row[chosen], rows[chosen]),
            source=self.source[chosen],
            source_names=self.source_names,
        )

    def sample(self, count: int | None, seed: int = 0) -> NDArray[np.int64]:
        """Draw indices without replacement.

        Args:
            count: How many; all for None or a larger number than there are.
            seed: The same seed draws the same.

        Returns:
            The indices, sorted.
        """
        if count is None or count >= len(self):
            return np.arange(len(self))
        return np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))


def from_matrices(matrices: Iterable[tuple[NDArray[Any], NDArray[Any]]], source: str = "generated") -> Pairs:
    """Keep matrices flat.

    Args:
        matrices: (D, A*) of shape (N, M) each; A* is 0/1 with at most one 1 a row. Empty ones are left out.
        source: The name of the data set.

    Returns:
        The pairs.

    Raises:
        ValueError: None has an entry.
    """
    kept = [(np.asarray(d, np.float32), np.asarray(a)) for d, a in matrices if np.size(d)]
    if not kept:
        raise ValueError("no matrix with an entry to make pairs of")
    match = [np.where(a.any(axis=1), a.argmax(axis=1), -1) for _, a in kept]
    return Pairs(
        shape=np.array([d.shape for d, _ in kept], np.int16),
        distance=np.concatenate([d.ravel() for d, _ in kept]),
        match=np.concatenate(match).astype(np.int16),
        source=np.zeros(len(kept), np.int8),
        source_names=(source,),
    )


def concatenate(parts: list[Pairs]) -> Pairs:
    """Return the pairs of several files as one."""
    names = tuple(sorted({name for part in parts for name in part.source_names}))
    source = [
        np.array([names.index(name) for name in part.source_names], np.int8)[part.source] for part in parts
    ]
    return Pairs(
        np.concatenate([part.shape for part in parts]),
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.match for part in parts]),
        np.concatenate(source),
        names,
    )


def _gather(flat: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Return the pieces ``flat[start : start + length]``, one after the other."""
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return flat[shift + np.arange(len(shift))]
