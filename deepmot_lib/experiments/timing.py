"""What a matcher costs and how it holds up as matrices grow (Fig. 8): uniform matrices, nothing gated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from ..assignment import discretize, optimal_assignment, weighted_accuracy
from ..data.pairs import Pairs
from ..evaluation.matching import pool, score
from ..matchers.network import Matcher

#: Entries in one batch of Fig. 8's matrices.
_MAX_ENTRIES = 90_000
_SLOW_S = 2.0  # what takes longer is timed once

_CPU = torch.device("cpu")


def uniform(count: int, size: int, seed: int = 0) -> torch.Tensor:
    """``count`` square matrices of that size, uniform in [0, 1), float32; the same for every matcher."""
    generator = torch.Generator().manual_seed(1000 * seed + size)
    return torch.rand(count, size, size, generator=generator)


@torch.no_grad()
def accuracy_by_size(matchers: dict[str, Matcher], sizes: Iterable[int], count: int = 10) -> pd.DataFrame:
    """WA in percent on ``count`` uniform matrices of each size (Fig. 8), a row a matrix and discretisation.

    Columns: network, size, matrix, discretization, WA.
    """
    parts = []
    for size in tqdm(list(sizes), desc="Fig. 8", unit="size"):
        distance = uniform(count, size)
        target = optimal_assignment(distance)
        for name, matcher in matchers.items():
            batches = distance.split(max(1, _MAX_ENTRIES // size**2))
            soft = torch.cat([matcher(batch.to(matcher.device)).cpu() for batch in batches])
            for axis in ("row", "column"):
                accuracy = 100 * weighted_accuracy(discretize(soft, axis=axis), target)
                columns = {"network": name, "size": size, "matrix": range(count), "discretization": axis}
                parts.append(pd.DataFrame(columns | {"WA": accuracy.numpy()}))
    return pd.concat(parts, ignore_index=True)


def costs(matchers: dict[str, Matcher], sizes: Iterable[int]) -> pd.DataFrame:
    """Milliseconds of one forward and backward pass on one matrix, beside scipy's Hungarian algorithm.

    A row a matcher and size; columns: network, size, ms, ``times scipy`` (which has no backward pass). The
    median of five where that takes less than two seconds each, else of one.
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
    sweep: dict[str, list[tuple[str, Matcher]]], pairs: Pairs, indices: np.ndarray
) -> pd.DataFrame:
    """WA (row-wise maximum, percent) and milliseconds a matrix (forward) of each method's settings.

    ``sweep``: method -> its settings, each a label and a matcher. Columns: method, setting, WA, ms.
    """
    rows = []
    for method, settings in sweep.items():
        for label, matcher in settings:
            start = time.perf_counter()
            measures = pool(score(matcher, pairs, indices))
            took = 1e3 * (time.perf_counter() - start) / len(indices)
            rows.append({"method": method, "setting": label, "WA": measures["WA_row"], "ms": took})
    return pd.DataFrame(rows)


def pass_over(matcher: Matcher, distance: torch.Tensor) -> Callable[[], None]:
    """One forward and backward pass of (B, N, M) distances, to be timed; the gradient goes to them."""
    distance = distance.clone().requires_grad_()

    def run() -> None:
        distance.grad = None
        matcher(distance).sum().backward()

    return run


def seconds(job: Callable[[], object], device: torch.device = _CPU, repeats: int = 5) -> float:
    """Median time of a job after one that warms up; a slow one is run once and no more."""
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
