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

import pandas as pd
import torch

from .files import atomic

#: What every table says of itself; None where it does not apply.
PROVENANCE = (
    "profile",
    "data",
    "split",
    "detector set",
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
    """The checkout's commit, ``+`` behind it where files differ from it; ``unknown`` outside git."""
    root = Path(__file__).parents[1]
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
    """Writes ``path`` (CSV) and its provenance beside it, each at once or not at all."""
    path = Path(path)
    missing = set(PROVENANCE) - made_from.keys()
    if missing:
        raise ValueError(f"{path.name}: a table carries its whole provenance, this lacks {sorted(missing)}")
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(made_from, indent=1) + "\n")
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False)


def read(path: str | Path) -> tuple[pd.DataFrame, dict]:
    """The table and its provenance; FileNotFoundError where either is missing."""
    path = Path(path)
    return pd.read_csv(path), json.loads(path.with_suffix(".json").read_text())


def beside(paper: pd.DataFrame, ours: pd.DataFrame | None, keys: list[str]) -> pd.DataFrame:
    """The paper's table with ours beside it: columns ``keys``, then ``X (paper)``, ``X (ours)`` for each
    measure X.

    Rows that only one of the two has stay, the paper's first; what was not run is an empty cell.
    """
    measures = [column for column in paper.columns if column not in keys]
    if ours is None:
        ours = pd.DataFrame(columns=list(paper.columns))
    extra = [column for column in ours.columns if column not in keys and column not in measures]
    order = pd.concat([paper[keys], ours[keys]]).drop_duplicates()
    both = order.merge(paper, on=keys, how="left").merge(
        ours, on=keys, how="left", suffixes=(" (paper)", " (ours)")
    )
    columns = [f"{measure} ({side})" for measure in measures for side in ("paper", "ours")]
    return both[[*keys, *columns, *extra]]


def to_markdown(frame: pd.DataFrame, decimals: int = 2) -> str:
    """A pipe table: floats with ``decimals``, whole numbers as such, empty cells for what was not run."""

    def cell(value: object) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, float):
            return f"{value:.0f}" if value.is_integer() and abs(value) >= 100 else f"{value:.{decimals}f}"
        return str(value)

    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    lines = [list(map(str, frame.columns)), ["---:" if number else "---" for number in numeric], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
