"""DHN training pairs: a distance matrix D and its optimal assignment A* (Sec. 5.1, Appendix A.1).

Many small matrices of many shapes are kept flat, one behind the other, in the layout of the pair file (an
``.npz``):

================ =========================== =======================================================
array            dtype, shape                meaning
================ =========================== =======================================================
``shape``        int16 (K, 2)                rows N and columns M of each of the K matrices
``distance``     float32 or uint16, flat     the matrices, row-major; gated out: 1000 (uint16: 65535,
                                             other values times 50,000)
``match``        int16, flat                 each row's column in A*, or -1
``source``       int8 (K,)                   the data set that a pair came from, an index into
``source_names`` str                         the names of the data sets
================ =========================== =======================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..assignment import optimal_assignment
from ..distance import box_distance
from .files import atomic
from .mot import Sequence, pedestrians, split
from .pair_checks import GATED, problem_of_pairs, problem_of_target

_UINT16_SCALE, _UINT16_GATED = 50_000, 65_535


class PairFileError(ValueError):
    """A pair file (or the authors' tree) that cannot be read; the message names the file and what is
    wrong."""


@dataclass(frozen=True)
class Pairs:
    """K matrices with their optimal assignments, flat; ``pairs[k]`` is one, ``stack`` several of one
    shape."""

    shape: np.ndarray
    distance: np.ndarray
    match: np.ndarray
    source: np.ndarray
    source_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shape)

    @cached_property
    def entries(self) -> np.ndarray:
        """N * M of each matrix, int64 (K,)."""
        return self.shape.astype(np.int64).prod(axis=1)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell these pairs from others: what checkpoints and caches go by."""
        arrays = (self.shape.astype(np.int16), self.distance.astype(np.float32), self.match.astype(np.int16))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:12]

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        rows = self.shape[:, 0].astype(np.int64)
        return np.cumsum(self.entries) - self.entries, np.cumsum(rows) - rows

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(D, A*) of one pair, float32 (N, M) each."""
        distance, assignment = self.stack([index])
        return distance[0], assignment[0]

    def stack(self, indices: Iterable[int]) -> tuple[Tensor, Tensor]:
        """(D, A*) of pairs of one shape, float32 (B, N, M) each; ValueError where the shapes differ."""
        indices = np.asarray(indices)
        n, m = self.shape[indices[0]].astype(int)
        if (self.shape[indices] != (n, m)).any():
            raise ValueError("pairs of different shapes cannot be stacked")
        entry, row = (start[indices] for start in self._starts)
        distance = self.distance[entry[:, None] + np.arange(n * m)].reshape(-1, n, m)
        match = self.match[row[:, None] + np.arange(n)]
        assignment = match[..., None] == np.arange(m)
        return torch.from_numpy(distance), torch.from_numpy(assignment.astype(np.float32))

    def subset(self, indices: np.ndarray) -> Pairs:
        """The pairs at ``indices`` (integers, or bool (K,)), in that order."""
        indices = np.arange(len(self))[indices]
        entry, row = self._starts
        rows = self.shape[:, 0].astype(int)
        return Pairs(
            shape=self.shape[indices],
            distance=_gather(self.distance, entry[indices], self.entries[indices]),
            match=_gather(self.match, row[indices], rows[indices]),
            source=self.source[indices],
            source_names=self.source_names,
        )

    def sample(self, count: int | None, seed: int = 0) -> np.ndarray:
        """Indices of ``count`` pairs drawn without replacement, sorted; all of them for None or a larger
        count."""
        if count is None or count >= len(self):
            return np.arange(len(self))
        return np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))


def _gather(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The pieces ``flat[start : start + length]``, one behind the other."""
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return flat[shift + np.arange(len(shift))]


def from_matrices(matrices: list[tuple[np.ndarray, np.ndarray]], source: str = "generated") -> Pairs:
    """Pairs from (D, A*) arrays of shape (N, M) each; A* is 0/1 with at most one 1 a row."""
    kept = [(np.asarray(d, np.float32), np.asarray(a)) for d, a in matrices if np.size(d)]
    if not kept:
        raise ValueError("no matrix with an entry to make pairs of")
    return Pairs(
        shape=np.array([d.shape for d, _ in kept], np.int16),
        distance=np.concatenate([d.ravel() for d, _ in kept]),
        match=np.concatenate([np.where(a.any(axis=1), a.argmax(axis=1), -1) for _, a in kept]).astype(
            np.int16
        ),
        source=np.zeros(len(kept), np.int8),
        source_names=(source,),
    )


def concatenate(parts: list[Pairs]) -> Pairs:
    """The pairs of several files as one."""
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


def generate(
    sequences: Iterable[Sequence], part: str | None = None, seed: int = 0, thresholds_per_frame: int = 1
) -> Pairs:
    """Pairs from ground truth and detections (Appendix A.1).

    D is Eq. 3 between a frame's detections (rows) and its ground-truth objects (columns), both in random
    order; entries at or above a threshold drawn uniformly from [0, 1) are gated out; A* is the optimal
    assignment of what is left. Frames without a detection or without an object give no pair. ``part`` takes
    the frames of one part of ``mot.split`` only; ``thresholds_per_frame`` pairs come from each frame.
    """
    rng = np.random.default_rng(seed)
    matrices = []
    for sequence in sequences:
        objects = dict(iter(pedestrians(sequence.gt()).groupby("frame")))
        frames = sequence.frames if part is None else split(sequence)[part]
        for frame, detections in sequence.detections().groupby("frame"):
            if frame not in objects or frame not in frames:
                continue
            for _ in range(thresholds_per_frame):
                boxes = (_shuffled(rows, rng) for rows in (detections, objects[frame]))
                distance = box_distance(*boxes, sequence.image_size)
                threshold = rng.uniform()
                assignment = optimal_assignment(distance, gate=threshold)
                gated = distance.masked_fill(distance >= threshold, GATED)
                matrices.append((gated.numpy(), assignment.numpy()))
    if not matrices:
        raise ValueError("none of the sequences has a frame with both detections and ground truth")
    return from_matrices(matrices)


def _shuffled(boxes: pd.DataFrame, rng: np.random.Generator) -> Tensor:
    """The ``xyxy`` boxes of a frame, float32 (K, 4), in random order."""
    values = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float32)
    return torch.from_numpy(values[rng.permutation(len(values))])


def write(path: str | Path, pairs: Pairs) -> None:
    """Write a pair file with float32 distances; a write cut short leaves what was there before.

    Args:
        path: the file.
        pairs: what to write.

    Raises:
        PairFileError: on what ``read`` would refuse.
    """
    arrays = (pairs.shape, pairs.distance, pairs.match, pairs.source, pairs.source_names)
    if problem := problem_of_pairs(*arrays):
        raise PairFileError(f"{path}: not written: {problem}")
    # To a file, not a name: numpy appends .npz to names that end otherwise.
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            shape=pairs.shape.astype(np.int16),
            distance=pairs.distance.astype(np.float32),
            match=pairs.match.astype(np.int16),
            source=pairs.source.astype(np.int8),
            source_names=np.array(pairs.source_names),
        )


def read(path: str | Path) -> Pairs:
    """Read a pair file.

    Args:
        path: the file.

    Returns:
        The pairs; distances are float32, ``GATED`` where an entry is gated out.

    Raises:
        FileNotFoundError: there is no such file.
        PairFileError: it is truncated, lacks an array, its arrays do not fit each other, a distance is not
            finite, a column is matched twice or a match is gated out.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    names = ("shape", "distance", "match", "source", "source_names")
    try:
        with np.load(path) as file:
            missing = [name for name in names if name not in file.files]
            arrays = {name: file[name] for name in names if name not in missing}
    except Exception as error:  # a damaged archive raises nearly anything
        raise PairFileError(f"{path}: truncated or not a pair file ({error})") from None
    if missing:
        raise PairFileError(f"{path}: no array {missing[0]!r}: not a pair file")
    shape, distance, match, source, source_names = arrays.values()
    if distance.dtype == np.uint16:
        distance = np.where(distance == _UINT16_GATED, GATED, distance / np.float32(_UINT16_SCALE))
    if problem := problem_of_pairs(shape, distance, match, source, source_names):
        raise PairFileError(f"{path}: {problem}")
    return Pairs(shape, distance.astype(np.float32), match, source, tuple(map(str, source_names)))


def read_tree(root: str | Path, split: str) -> Pairs:
    """Read the authors' layout, ``{root}/{split}/{N}_{M}/{dataset}_{N}_{M}_{k}_{m,t}.npy``.

    Each file holds float32 [n, N, M]: ``m`` the distances (1000 = gated out), ``t`` the 0/1 assignment.

    Args:
        root: the folder that holds ``train`` and ``test``.
        split: the one to read.

    Returns:
        All pairs.

    Raises:
        PairFileError: names the file that is truncated, does not fit its name or holds no valid pairs.
    """
    folder = Path(root) / split
    files = sorted(file for file in folder.glob("*_*/*_m.npy") if not file.name.startswith("."))
    if not files:
        raise PairFileError(f"{folder}: no file like N_M/dataset_N_M_k_m.npy in it")
    shapes, distances, matches, sources = [], [], [], []
    for file in files:
        name = re.fullmatch(r"(.+)_(\d+)_(\d+)_(\d+)_m\.npy", file.name, re.ASCII)
        target_file = file.with_name(file.name[: -len("m.npy")] + "t.npy")
        if name is None or not target_file.is_file():
            raise PairFileError(f"{file}: its name is not dataset_N_M_k_m.npy, or its _t.npy is missing")
        distance, target = _array(file), _array(target_file)
        size = (int(name[2]), int(name[3]))
        if distance.ndim != 3 or distance.shape[1:] != size or target.shape != distance.shape:
            raise PairFileError(f"{file}: {distance.shape} and {target.shape} do not fit its name")
        if problem := problem_of_target(distance, target):
            raise PairFileError(f"{file} and its _t.npy: {problem}")
        shapes.append(np.full((len(distance), 2), size, np.int64))
        distances.append(distance.astype(np.float32).ravel())
        matches.append(np.where(target.any(axis=2), target.argmax(axis=2), -1).astype(np.int16).ravel())
        sources.extend([name[1]] * len(distance))
    names, source = np.unique(sources, return_inverse=True)
    flat = (np.concatenate(shapes), np.concatenate(distances), np.concatenate(matches), source)
    if problem := problem_of_pairs(*flat, names):
        raise PairFileError(f"{folder}: {problem}")
    shape, distance, match, source = flat
    return Pairs(shape.astype(np.int16), distance, match, source.astype(np.int8), tuple(map(str, names)))


def _array(file: Path) -> np.ndarray:
    try:
        array = np.load(file)
    except Exception as error:  # a damaged header raises nearly anything
        raise PairFileError(f"{file}: truncated or no array ({error})") from None
    if not isinstance(array, np.ndarray):
        raise PairFileError(f"{file}: an archive, not an array")
    return array


def batches(
    pairs: Pairs,
    batch: int,
    rng: np.random.Generator | None = None,
    cost_cap: int | None = None,
    max_entries: int | None = None,
) -> Iterator[np.ndarray]:
    """One epoch of index arrays, each of at most ``batch`` pairs of one shape: no padding is ever computed.

    With ``rng`` pairs and batches come in random order, else sorted by shape. ``cost_cap`` keeps a pair of
    more entries than this with probability ``cost_cap / entries``, so that large matrices do not eat the
    whole time. ``max_entries`` bounds the entries of a batch (and so its memory), except that every batch has
    at least one pair.
    """
    kept = np.arange(len(pairs))
    if rng is not None:
        if cost_cap is not None:
            kept = kept[rng.uniform(size=len(kept)) < cost_cap / pairs.entries]
        kept = rng.permutation(kept)
    shape = pairs.shape[kept].astype(np.int64)
    order = np.lexsort((shape[:, 1], shape[:, 0]))
    borders = np.flatnonzero(np.diff(shape[order], axis=0).any(axis=1)) + 1
    chunks = []
    for group in np.split(kept[order], borders):
        if len(group) == 0:
            continue
        size = batch if max_entries is None else min(batch, max(1, max_entries // pairs.entries[group[0]]))
        chunks += [group[i : i + size] for i in range(0, len(group), size)]
    for i in range(len(chunks)) if rng is None else rng.permutation(len(chunks)):
        yield chunks[i]


def fingerprints(pairs: Pairs, smallest: int = 8) -> np.ndarray:
    """The ``smallest`` smallest ungated distances of each matrix, int64 (K, smallest); -1 where fewer.

    Reordering rows or columns does not change them, and gating only where it reaches this far: two pairs with
    one fingerprint show the same frame. Distances count in units of 1 / 50,000, as the uint16 of a pair file.
    """
    result = np.full((len(pairs), smallest), -1, np.int64)
    starts, _ = pairs._starts
    for k, (start, entries) in enumerate(zip(starts, pairs.entries, strict=True)):
        values = pairs.distance[start : start + entries]
        values = values[values < GATED]
        if len(values) > smallest:
            values = np.partition(values, smallest)[:smallest]
        result[k, : len(values)] = np.rint(np.sort(values).astype(np.float64) * _UINT16_SCALE)
    return result


def unseen(test: Pairs, train: Pairs) -> np.ndarray:
    """Which test pairs show a frame that no training pair shows, bool (K,).

    A pair with too few ungated entries for a fingerprint cannot be told and is not marked.
    """
    known = {row.tobytes() for row in fingerprints(train)}
    marks = fingerprints(test)
    return np.array([row.tobytes() not in known for row in marks]) & (marks >= 0).all(axis=1)
