"""WA, MA and SA of a matcher on pairs (Eq. 10, Appendix B): one row per pair, pooled over any subset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..assignment import Axis, discretize, missing_assignments, several_assignments, weighted_accuracy
from ..data import tensor_files
from ..data.pairs import Pairs, batches
from ..matchers.network import Matcher

#: Entries in a batch, for which the sequential network's hidden states take about half a gigabyte.
_MAX_ENTRIES = 40_000
_SAVE_EVERY_S = 60.0

AXES: tuple[Axis, ...] = ("row", "column")
_COLUMNS = ["N", "M", *(f"{measure}_{axis}" for axis in AXES for measure in ("WA", "MA", "SA"))]


@torch.no_grad()
def score(
    matcher: Matcher,
    pairs: Pairs,
    indices: NDArray[np.int64] | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Score a matcher on pairs.

    Args:
        matcher: The matcher; set to evaluation mode.
        pairs: The pairs.
        indices: Indices of the pairs to score, by default all.
        cache: A file (of ``tensor_files``) to which the scores are saved each minute, and from which they are
            read; one that is damaged or of other pairs is replaced.

    Returns:
        One row per pair, indexed by its number: ``N``, ``M``, and for both discretizations ``WA_row``,
        ``MA_row``, ``SA_row``, ``WA_column``, ... in [0, 1].
    """
    indices = np.arange(len(pairs)) if indices is None else np.asarray(indices)
    cache = Path(cache) if cache is not None else None
    done = None if cache is None else _cached(cache, pairs)
    parts = [] if done is None else [done]
    todo = indices if done is None else np.setdiff1d(indices, done.index)
    part = pairs.subset(todo)
    saved = time.monotonic()
    matcher.eval()
    with tqdm(
        total=int(part.entries.sum()), desc=f"scoring {matcher.name}", unit="entry", unit_scale=True
    ) as bar:
        for batch in batches(part, 256, max_entries=_MAX_ENTRIES):
            distance, target = (tensor.to(matcher.device) for tensor in part.stack(batch))
            soft = matcher(distance)
            columns: dict[str, Any] = {"N": distance.shape[1], "M": distance.shape[2]}
            for axis in AXES:
                hard = discretize(soft, axis=axis)
                columns[f"WA_{axis}"] = weighted_accuracy(hard, target).double().cpu()
                columns[f"MA_{axis}"] = missing_assignments(hard, target, axis).double().cpu()
                columns[f"SA_{axis}"] = several_assignments(hard, axis).double().cpu()
            parts.append(pd.DataFrame(columns, index=pd.Index(todo[batch], name="pair")))
            bar.update(distance.numel())
            if cache is not None and time.monotonic() - saved > _SAVE_EVERY_S:
                parts = [_save(parts, cache)]
                saved = time.monotonic()
    scores = pd.concat(parts) if cache is None or not len(todo) else _save(parts, cache)
    return scores.loc[indices]


def pool(scores: pd.DataFrame) -> dict[str, float]:
    """Pool scores over pairs, as in Table 5.

    WA is the mean over matrices; MA and SA pool the counted lines of all matrices: columns after a row-wise
    maximum, rows after a column-wise one.

    Args:
        scores: One row per pair, as :func:`score` returns it.

    Returns:
        ``WA_row``, ``MA_row``, ... in percent.
    """
    lines = {"row": scores["M"], "column": scores["N"]}
    result: dict[str, float] = {}
    for axis in AXES:
        result[f"WA_{axis}"] = 100 * scores[f"WA_{axis}"].mean()
        for measure in ("MA", "SA"):
            result[f"{measure}_{axis}"] = 100 * np.average(scores[f"{measure}_{axis}"], weights=lines[axis])
    return result


def table(network: str, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Build Table 5's rows of one network.

    Args:
        network: Name of the network.
        parts: Scores by subset of the pairs, such as ``{"all": ..., "unseen": ...}``.

    Returns:
        One row per discretization and subset: discretization, network, pairs, matrices (their number), and
        WA, MA and SA in percent, NaN for an empty subset.
    """
    rows = []
    for axis in AXES:
        for part, scores in parts.items():
            pooled = pool(scores) if len(scores) else {}
            measures = {name: pooled.get(f"{name}_{axis}", np.nan) for name in ("WA", "MA", "SA")}
            rows.append(
                {"discretization": axis, "network": network, "pairs": part, "matrices": len(scores)}
                | measures
            )
    return pd.DataFrame(rows)


def _save(parts: list[pd.DataFrame], path: Path) -> pd.DataFrame:
    """Concatenate scores and write them."""
    scores = pd.concat(parts)
    columns = scores.reset_index()
    tensor_files.write(path, {name: torch.tensor(columns[name].to_numpy()) for name in columns})
    return scores


def _cached(path: Path, pairs: Pairs) -> pd.DataFrame | None:
    """Read the scores of these pairs, None if there are none."""
    try:
        columns = tensor_files.read(path)
    except (FileNotFoundError, tensor_files.TensorFileError):
        return None
    if not isinstance(columns, dict) or list(columns) != ["pair", *_COLUMNS]:
        return None
    scores = pd.DataFrame({name: values.numpy() for name, values in columns.items()}).set_index("pair")
    fits = scores.index.max() < len(pairs) and (pairs.shape[scores.index] == scores[["N", "M"]]).all(
        axis=None
    )
    return scores if fits else None
