"""Tables for the eye: the paper's with ours beside them, and their cells as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from .markdown import escape

#: Measures that are counts of boxes or switches.
COUNTS = frozenset(["FP", "FN", "IDS", "IDs", "FM"])
# What has intervals over blocks of frames (``evaluation.intervals``), and how it is written.
_MEASURES = {"MOTA": "MOTA", "IDF1": "IDF1", "IDs": "IDs/1,000"}


def beside(paper: pd.DataFrame, ours: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame:
    """Return the paper's table with ours beside it.

    Columns: ``keys``, then ``X (paper)``, ``X (ours)`` for each measure X of the paper's, then what only ours
    has. Rows that only one of the two has stay, the paper's first; what was not run is an empty cell, counts
    stay integers. ValueError where ``keys`` are not columns of both, or a row's keys occur twice in one.
    """
    ours = paper.iloc[:0] if ours is None else ours
    for name, frame in (("the paper's", paper), ("our", ours)):
        if missing := [key for key in keys if key not in frame]:
            raise ValueError(f"{name} table has no column {', '.join(missing)}")
        if (repeated := frame[keys].duplicated()).any():
            raise ValueError(f"{name} table has several rows {tuple(frame.loc[repeated, keys].iloc[0])}")
    measures = [column for column in paper if column not in keys]
    extra = [column for column in ours if column not in paper]
    both = pd.concat([paper[keys], ours[keys]]).drop_duplicates()
    for side, frame in (("paper", paper), ("ours", ours.reindex(columns=[*keys, *measures, *extra]))):
        counts = [column for column in frame.select_dtypes("integer") if column not in keys]
        named = frame.astype(dict.fromkeys(counts, "Int64"))
        named = named.rename(columns={measure: f"{measure} ({side})" for measure in measures})
        both = both.merge(named, on=keys, how="left")
    return both[
        [*keys, *(f"{measure} ({side})" for measure in measures for side in ("paper", "ours")), *extra]
    ]


def side(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the columns of a table by ``beside`` that are the paper's ("paper") or ours ("ours")."""
    return table[[column for column in table if str(column).endswith(f"({name})")]]


def keys(frame: pd.DataFrame) -> list[str]:
    """Return the columns that identify a row: the leading text columns, or the first if all are text."""
    numbers = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    leading = numbers.index(True) if True in numbers else 1
    return list(map(str, frame))[: max(leading, 1)]


def narrow(table: pd.DataFrame, keys: Sequence[str], measures: Mapping[str, int]) -> pd.DataFrame:
    """Return the main columns of a table by ``beside`` as text, ours with the deviation over seeds.

    Args:
        table: The table; its columns ``X std``, if any, are the deviations.
        keys: Columns that name a row.
        measures: Those to take, with their decimals; what only ours has stands alone.

    Returns:
        Columns ``keys``, then ``X, paper`` and ``X, ours`` of each measure; empty cells were not run.
    """
    shown = table[list(keys)].copy()
    for measure, decimals in measures.items():
        sides = {f"{measure}, {name}": f"{measure} ({name})" for name in ("paper", "ours")}
        label = f"{measure}, ours"
        if f"{measure} (ours)" not in table:
            label, sides = measure, {measure: measure}
        for name, column in sides.items():
            shown[name] = _rounded(table[column], decimals)
        if f"{measure} std" in table:
            shown[label] += _rounded(table[f"{measure} std"], decimals, " ± ")
    return shown


def contrasts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of ``experiments.contrasts`` as text, ours with their intervals.

    Returns:
        Columns ``difference`` (row less row), ``X, paper`` and ``X, ours`` of each measure, and ``seeds``.
    """
    shown = pd.DataFrame({"difference": table["row"] + " less " + table["against"]})
    for measure, label in _MEASURES.items():
        shown[f"{label}, paper"] = [difference(value, 2) for value in table[f"{measure} (paper)"]]
        columns = (table[f"{measure} {part}"] for part in ("(ours)", "low", "high"))
        shown[f"{label}, ours"] = with_intervals(*columns)
    return shown.assign(seeds=table["seeds"])


def leads(table: pd.DataFrame) -> pd.DataFrame:
    """Return as text what DeepMOT-Tracktor has more than each method of ``experiments.benchmark.local``.

    Returns:
        The pooled rows: ``method``, then MOTA and IDF1 in points and switches by 1,000 boxes.
    """
    pooled = table[table["sequence"] == "OVERALL"].reset_index(drop=True)
    shown = pooled[["method"]].copy()
    for measure, label in _MEASURES.items():
        columns = (pooled[f"{measure} {part}"] for part in ("difference", "low", "high"))
        shown[f"DeepMOT-Tracktor less it, {label}"] = with_intervals(*columns)
    return shown


def with_intervals(effects: Iterable[float], lows: Iterable[float], highs: Iterable[float]) -> list[str]:
    """Write differences with the ends of their intervals, nothing where there is none.

    Example:
        >>> with_intervals([0.333, float("nan")], [-0.1, float("nan")], [0.8, float("nan")])
        ['+0.33 (-0.10 to +0.80)', '']
    """
    return [
        "" if pd.isna(found) else f"{found:+.2f} ({low:+.2f} to {high:+.2f})"
        for found, low, high in zip(effects, lows, highs, strict=True)
    ]


def _rounded(values: pd.Series, decimals: int, before: str = "") -> list[str]:
    return ["" if pd.isna(value) else f"{before}{value:.{decimals}f}" for value in values]


def texts(values: pd.Series, decimals: int = 2, signed: bool = False) -> list[str]:
    """Return a column's cells as text: fractions with ``decimals``, whole numbers as such.

    What was not run is empty; ``signed`` numbers are differences. A column of whole numbers is one of
    counts, though empty cells have made floats of them.
    """
    numbers = pd.api.types.is_numeric_dtype(values)
    if signed and numbers:
        return [difference(value, decimals) for value in values]
    whole = numbers and bool((values.dropna() % 1 == 0).all())
    return ["" if pd.isna(value) else _text(value, 0 if whole else decimals) for value in values]


def decimals_of(name: object, decimals: int) -> int:
    """Return the decimals of a column: none for counts, which are whole but for their mean over seeds."""
    return 0 if str(name).split(" ")[0] in COUNTS else decimals


def difference(change: float, decimals: int) -> str:
    """Format a difference with its sign, ``=`` for none that is seen, empty for NaN."""
    if pd.isna(change):
        return ""
    text = f"{change:+.{decimals}f}".replace("-", "−")
    return text if float(text[1:]) else "="


def in_words(value: object) -> str:
    """A part of a provenance as text; of a list, its members."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def to_markdown(frame: pd.DataFrame, decimals: int = 2, signed: bool = False) -> str:
    """Write a pipe table of ``texts``, numbers to the right; ``signed`` ones, but deviations, have a sign."""
    rules = ["---:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame]
    columns = []
    for name in frame:
        places = decimals_of(name, decimals) if signed else decimals
        columns.append(texts(frame[name], places, signed and not str(name).endswith(" std")))
    header, *cells = (
        [escape(str(cell)) for cell in row] for row in (list(frame), *zip(*columns, strict=True))
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rules, *cells))


def _text(value: object, decimals: int) -> str:
    """A number that would print as zero and is none is given as 3e-22."""
    if not isinstance(value, float | np.floating):
        return str(value)
    text = f"{value:.{decimals}f}"
    return f"{value:.0e}" if value and not float(text) else text
