"""DHN training pairs: a distance matrix D and its optimal assignment A* (Sec. 5.1, Appendix A.1).

Everything is imported from here: ``pair_arrays`` keeps pairs, ``pair_files`` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..assignment import optimal_assignment
from ..boxes import by_frame, from_table
from ..distance import box_distance
from .mot import Sequence, pedestrians, split
from .pair_arrays import Pairs, concatenate, from_matrices
from .pair_checks import GATED
from .pair_files import UINT16_SCALE, PairFileError, read, read_tree, write

__all__ = [
    "GATED",
    "PairFileError",
    "Pairs",
    "batches",
    "concatenate",
    "fingerprints",
    "from_matrices",
    "generate",
    "mixed_batches",
    "read",
    "read_tree",
    "unseen",
    "write",
]

_MAX_ENTRIES = 40_000  # of a mixed batch: more would take gigabytes of hidden states

#: Distances (N, M) of (N, 4) and (M, 4) boxes in an image of (height, width).
Distance: TypeAlias = Callable[[Tensor, Tensor, tuple[float, float]], Tensor]


def generate(
    sequences: Iterable[Sequence],
    part: str | None = None,
    seed: int = 0,
    thresholds_per_frame: int = 1,
    distance: Distance = box_distance,
) -> Pairs:
    """Make pairs of ground truth and detections (Appendix A.1).

    Rows are a frame's detections and columns its ground-truth objects, both in random order. Entries at or
    above a threshold drawn uniformly from [0, 1) are gated out; A* is the optimal assignment of what is left.
    Frames without a detection or without an object give no pair.

    Args:
        sequences: Sequences with both files.
        part: Take the frames of this part of ``mot.split`` only.
        seed: The same seed gives the same pairs.
        thresholds_per_frame: So many pairs come from each frame.
        distance: The distances D of (N, 4) and (M, 4) boxes in an image of a size; Eq. 3 by default.

    Returns:
        The pairs.

    Raises:
        ValueError: No frame has both.
    """
    rng = np.random.default_rng(seed)
    matrices = []
    for sequence in sequences:
        objects = by_frame(pedestrians(sequence.gt()))
        frames = sequence.frames if part is None else split(sequence)[part]
        for frame, detections in by_frame(sequence.detections()).items():
            if frame not in objects or frame not in frames:
                continue
            for _ in range(thresholds_per_frame):
                rows, columns = (_shuffled(boxes, rng) for boxes in (detections, objects[frame]))
                matrix = distance(rows, columns, sequence.image_size)
                threshold = rng.uniform()
                assignment = optimal_assignment(matrix, gate=threshold)
                gated = matrix.masked_fill(matrix >= threshold, GATED)
                matrices.append((gated.numpy(), assignment.numpy()))
    if not matrices:
        raise ValueError("none of the sequences has a frame with both detections and ground truth")
    return from_matrices(matrices)


def _shuffled(boxes: pd.DataFrame, rng: np.random.Generator) -> Float[Tensor, "K 4"]:
    """Return the ``xyxy`` boxes of a frame in random order."""
    return from_table(boxes)[torch.from_numpy(rng.permutation(len(boxes)))]


def batches(
    pairs: Pairs,
    batch: int,
    rng: np.random.Generator | None = None,
    max_entries: int | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Cut pairs into batches of one shape, so that no padding is ever computed.

    Args:
        pairs: K pairs.
        batch: The largest number of pairs in a batch.
        rng: Pairs and batches come in random order; None for sorted by shape.
        max_entries: The largest number of entries in a batch (and so its memory); every batch has at least
            one pair.

    Yields:
        The indices of a batch, until all are through: one epoch.
    """
    kept = np.arange(len(pairs))
    if rng is not None:
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


def mixed_batches(
    pairs: Pairs, batch: int, rng: np.random.Generator, cost_cap: int | None = None
) -> list[NDArray[np.int64]]:
    """Cut pairs into batches of similar size, whatever their shapes, in random order: one epoch.

    Args:
        pairs: K pairs.
        batch: The largest number of pairs in a batch. Large ones are fewer: 40,000 entries, padded.
        rng: Draws which pairs of about one size come together, and the order of the batches.
        cost_cap: A pair of more entries than this is kept with probability ``cost_cap / entries``, so that
            large matrices do not take the whole time; None keeps all.

    Returns:
        The indices of each batch.
    """
    kept = np.arange(len(pairs))
    if cost_cap is not None:
        kept = kept[rng.uniform(size=len(kept)) < cost_cap / pairs.entries]
    kept = rng.permutation(kept)
    kept = kept[np.argsort(pairs.entries[kept], kind="stable")]
    found: list[list[int]] = []
    for index in kept.tolist():  # from small to large: each is as large as its batch gets by padding
        size = len(found[-1]) if found else batch
        if size == batch or (size + 1) * pairs.entries[index] > _MAX_ENTRIES:
            found.append([])
        found[-1].append(index)
    return [np.array(found[index]) for index in rng.permutation(len(found))]


def fingerprints(pairs: Pairs, smallest: int = 8) -> NDArray[np.int64]:
    """Return the smallest ungated distances of each matrix.

    Reordering rows or columns does not change them, and gating only where it reaches this far: two pairs with
    one fingerprint show the same frame.

    Args:
        pairs: K pairs.
        smallest: How many distances.

    Returns:
        (K, smallest), ascending, in units of 1 / 50,000, as the uint16 of a pair file; -1 where fewer.
    """
    result = np.full((len(pairs), smallest), -1, np.int64)
    starts, _ = pairs.starts
    for k, (start, entries) in enumerate(zip(starts, pairs.entries, strict=True)):
        values = pairs.distance[start : start + entries]
        values = values[values < GATED]
        if len(values) > smallest:
            values = np.partition(values, smallest)[:smallest]
        result[k, : len(values)] = np.rint(np.sort(values).astype(np.float64) * UINT16_SCALE)
    return result


def unseen(test: Pairs, train: Pairs) -> NDArray[np.bool_]:
    """Mark the test pairs that show a frame that no training pair shows.

    Args:
        test: K pairs.
        train: The training pairs.

    Returns:
        (K,); a pair with too few ungated entries for a fingerprint cannot be told and is not marked.
    """
    known = {row.tobytes() for row in fingerprints(train)}
    marks = fingerprints(test)
    return np.array([row.tobytes() not in known for row in marks]) & (marks >= 0).all(axis=1)
