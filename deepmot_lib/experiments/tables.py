"""Tables of results: written with what they were made from, read back, set beside the paper's.

A table is a CSV with a JSON of the same name beside it: its provenance. Compute notebooks write them, table
notebooks and the report only read.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data.files import atomic
from ..report.markdown import escape

#: What every table says of itself; None where it does not apply.
PROVENANCE = (
    "profile",
    "data",
    "split",
    "detectors",
    "protocol",
    "seeds",
    "weights",
    "schedule",
    "commit",
    "device",
)


def provenance(**known: object) -> dict:
    """A full provenance: ``commit`` and ``device`` are found out here, what is not given is None.

    ValueError for a key that is not one of ``PROVENANCE``.
    """
    unknown = known.keys() - set(PROVENANCE)
    if unknown:
        raise ValueError(f"unknown provenance {sorted(unknown)}: choose from {', '.join(PROVENANCE)}")
    found = {"commit": commit(), "device": device_name()}
    return {key: known.get(key, found.get(key)) for key in PROVENANCE}


def commit() -> str:
    """The checkout's commit, ``+`` behind it where the library or the workflow differ from it; ``unknown``
    outside git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # an installed copy may lie in a checkout of something else
        return "unknown"
    git = ["git", "-C", str(root)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        )
        # Reports are what a run writes: they do not make the code another.
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "deepmot_lib", "Snakefile"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + "+" * bool(changed.stdout.strip())


def device_name(device: str | torch.device | None = None) -> str:
    """The device's name in words: the GPU where there is one (or is asked for), else the processor and its
    cores."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores"


def file_hash(path: str | Path) -> str:
    """The first twelve hexadecimal digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def write(path: str | Path, frame: pd.DataFrame, made_from: dict) -> None:
    """Writes ``path`` (a ``.csv``) and its provenance beside it; a write that fails changes neither.

    ``made_from`` is what ``provenance`` returns; ValueError where it lacks a part or has another.
    """
    path = _csv(path)
    if wrong := sorted(made_from.keys() ^ set(PROVENANCE)):
        raise ValueError(
            f"{path.name}: a table carries its whole provenance and no more, wrong here: {wrong}"
        )
    with atomic(path.with_suffix(".json")) as notes, atomic(path) as table:
        notes.write_text(json.dumps(made_from, indent=1) + "\n")
        frame.to_csv(table, index=False, lineterminator="\n")


def read(path: str | Path) -> tuple[pd.DataFrame, dict]:
    """The table and its provenance, numbers as they were written.

    FileNotFoundError where one of the two files is missing, ValueError where one is broken.
    """
    path = _csv(path)
    notes = path.with_suffix(".json")
    try:
        # Only an empty cell is empty: "None" may be the name of a variant.
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: no table ({error})") from None
    try:
        made_from = json.loads(notes.read_text())
    except ValueError as error:
        raise ValueError(f"{notes}: no provenance ({error})") from None
    if not isinstance(made_from, dict) or made_from.keys() != set(PROVENANCE):
        raise ValueError(f"{notes}: no provenance: its keys must be {', '.join(PROVENANCE)}")
    return frame, made_from


def _csv(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: a table's file ends in .csv")
    return path


def beside(paper: pd.DataFrame, ours: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame:
    """The paper's table with ours beside it: columns ``keys``, then ``X (paper)``, ``X (ours)`` for each
    measure X of the paper's, then what only ours has.

    Rows that only one of the two has stay, the paper's first; what was not run is an empty cell, counts stay
    integers. ValueError where ``keys`` are not columns of both, or a row's keys occur twice in one.
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


def texts(values: pd.Series, decimals: int = 2) -> list[str]:
    """A column's cells as text: fractions with ``decimals``, whole numbers as such, empty for what was not
    run.

    A column of whole numbers is one of counts, though empty cells have made floats of them.
    """
    whole = pd.api.types.is_numeric_dtype(values) and bool((values.dropna() % 1 == 0).all())
    return ["" if pd.isna(value) else _text(value, 0 if whole else decimals) for value in values]


def in_words(value: object) -> str:
    """A part of a provenance as text; of a list, its members."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def to_markdown(frame: pd.DataFrame, decimals: int = 2) -> str:
    """A pipe table of ``texts``, numbers to the right."""
    rules = ["---:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame]
    rows = zip(*(texts(frame[name], decimals) for name in frame), strict=True)
    header, *cells = ([escape(str(cell)) for cell in row] for row in (list(frame), *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rules, *cells))


def _text(value: object, decimals: int) -> str:
    """A number that would print as zero and is none is given as 3e-22."""
    if not isinstance(value, float | np.floating):
        return str(value)
    text = f"{value:.{decimals}f}"
    return f"{value:.0e}" if value and not float(text) else text
