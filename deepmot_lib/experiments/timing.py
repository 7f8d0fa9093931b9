"""Accuracy and time of matchers as matrices grow (Fig. 8), on uniform matrices without gated entries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tqdm import tqdm

from ..assignment import discretize, optimal_assignment, weighted_accuracy
from ..data.pairs import Pairs
from ..evaluation.matching import AXES, pool, score
from ..matchers.network import Matcher

#: Entries in one batch of Fig. 8's matrices.
_MAX_ENTRIES = 90_000
_SLOW_S = 2.0  # a slower job is timed once

_CPU = torch.device("cpu")


def uniform(count: int, size: int, seed: int = 0) -> Float[Tensor, "{count} {size} {size}"]:
    """Sample square matrices with entries uniform in [0, 1), the same for every matcher.

    Args:
        count: Number of matrices.
        size: Their size.
        seed: Seed of the random numbers.

    Returns:
        ``(count, size, size)``.
    """
    generator = torch.Generator().manual_seed(1000 * seed + size)
    return torch.rand(count, size, size, generator=generator)


@torch.no_grad()
def accuracy_by_size(matchers: Mapping[str, Matcher], sizes: Iterable[int], count: int = 10) -> pd.DataFrame:
    """Measure the accuracy of matchers on uniform matrices of several sizes (Fig. 8).

    Args:
        matchers: Matchers by name.
        sizes: Sizes of the matrices.
        count: Number of matrices of each size.

    Returns:
        One row per matcher, matrix and discretization: network, size, matrix, discretization, WA [%].
    """
    parts = []
    for size in tqdm(list(sizes), desc="Fig. 8", unit="size"):
        distance = uniform(count, size)
        target = optimal_assignment(distance)
        for name, matcher in matchers.items():
            batches = distance.split(max(1, _MAX_ENTRIES // size**2))
            soft = torch.cat([matcher(batch.to(matcher.device)).cpu() for batch in batches])
            for axis in AXES:
                accuracy = 100 * weighted_accuracy(discretize(soft, axis=axis), target)
                columns = {"network": name, "size": size, "matrix": range(count), "discretization": axis}
                parts.append(pd.DataFrame(columns | {"WA": accuracy.numpy()}))
    return pd.concat(parts, ignore_index=True)


def fig8(scores: pd.DataFrame) -> pd.DataFrame:
    """Pool the matrices of a size in what :func:`accuracy_by_size` returns.

    Returns:
        One row per network, discretization and size: those, and mean and std of WA [%].
    """
    groups = scores.groupby(["network", "discretization", "size"], sort=False)
    return groups["WA"].agg(["mean", "std"]).reset_index()


def costs(matchers: Mapping[str, Matcher], sizes: Iterable[int]) -> pd.DataFrame:
    """Time one forward and backward pass over one matrix, and SciPy's Hungarian algorithm.

    Args:
        matchers: Matchers by name.
        sizes: Sizes of the matrix.

    Returns:
        One row per matcher and size: network, size, ms (the median, see :func:`seconds`) and ``times scipy``,
        which has no backward pass.
    """
    rows = []
    for size in tqdm(list(sizes), desc="timing", unit="size"):
        matrix = uniform(1, size)
        scipy_s = seconds(partial(linear_sum_assignment, matrix[0].numpy()))
        rows.append({"network": "scipy", "size": size, "ms": 1e3 * scipy_s, "times scipy": 1.0})
        for name, matcher in matchers.items():
            took = seconds(pass_over(matcher, matrix.to(matcher.device)), matcher.device)
            rows.append({"network": name, "size": size, "ms": 1e3 * took, "times scipy": took / scipy_s})
    return pd.DataFrame(rows)


def price_of_accuracy(
    sweep: Mapping[str, Sequence[tuple[str, Matcher]]], pairs: Pairs, indices: NDArray[np.int64]
) -> pd.DataFrame:
    """Measure accuracy and time of several settings of each method.

    Args:
        sweep: By method, its settings: a label and a matcher each.
        pairs: Pairs to score them on.
        indices: Indices of the pairs to use.

    Returns:
        One row per setting: method, setting, WA (row-wise maximum, percent), ms (per matrix, forward pass).
    """
    rows = []
    for method, settings in sweep.items():
        for label, matcher in settings:
            start = time.perf_counter()
            measures = pool(score(matcher, pairs, indices))
            took = 1e3 * (time.perf_counter() - start) / len(indices)
            rows.append({"method": method, "setting": label, "WA": measures["WA_row"], "ms": took})
    return pd.DataFrame(rows)


def pass_over(matcher: Matcher, distance: Float[Tensor, "B N M"]) -> Callable[[], None]:
    """Return a function that runs one forward and backward pass, for :func:`seconds`.

    Args:
        matcher: The matcher.
        distance: ``(B, N, M)``, to which the gradient is computed.

    Returns:
        The function.
    """
    distance = distance.clone().requires_grad_()

    def run() -> None:
        distance.grad = None
        matcher(distance).sum().backward()

    return run


def seconds(job: Callable[[], object], device: torch.device = _CPU, repeats: int = 5) -> float:
    """Time a job.

    Args:
        job: The function to time.
        device: The device that it computes on.
        repeats: Number of timed calls, after one that is not counted.

    Returns:
        The median [s]; of a job that takes more than two seconds, the first time.
    """
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if times[-1] > _SLOW_S:
            return times[-1]
    return float(np.median(times[1:]))
