"""Pair files, ours and the authors': read, checked and written.

An ``.npz`` holds the arrays of ``Pairs``, one matrix after the other:

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

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import atomic
from .pair_arrays import Pairs
from .pair_checks import GATED, problem_of_pairs, problem_of_target

#: A distance of 1 in a file of uint16.
UINT16_SCALE = 50_000
_UINT16_GATED = 65_535


class PairFileError(ValueError):
    """A pair file (or the authors' tree) that cannot be read.

    The message names the file and what is wrong.
    """


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
        distance = np.where(distance == _UINT16_GATED, GATED, distance / np.float32(UINT16_SCALE))
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


def _array(file: Path) -> NDArray[Any]:
    try:
        array = np.load(file)
    except Exception as error:  # a damaged header raises nearly anything
        raise PairFileError(f"{file}: truncated or no array ({error})") from None
    if not isinstance(array, np.ndarray):
        raise PairFileError(f"{file}: an archive, not an array")
    return array
