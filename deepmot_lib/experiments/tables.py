"""Tables of results: a CSV, and a JSON of the same name beside it that says what it was made from.

Compute notebooks write them; table notebooks and the report only read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data.files import atomic
from .fingerprints import Fingerprint, content

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
    "trained",
    "commit",
    "device",
)
#: Beside the provenance: the digest of the CSV, and the fingerprint of a table that is reused.
_STAMP = ("content", "fingerprint")
_LATER = {"trained", *_STAMP}  # parts that the first published tables do not have


def provenance(device: str | None = None, **known: Any) -> dict[str, Any]:
    """Complete a provenance: the commit is found out here, what is not given is None.

    Args:
        device: The device in words; ``device_name()`` where it is not given.
        known: Parts of ``PROVENANCE``. ``trained`` says at which commit and on which device the weights
            were trained, as it was stored with them.

    Raises:
        ValueError: A part that is not one of ``PROVENANCE``.
    """
    unknown = known.keys() - set(PROVENANCE)
    if unknown:
        raise ValueError(f"unknown provenance {sorted(unknown)}: choose from {', '.join(PROVENANCE)}")
    found = {"commit": commit(), "device": device or device_name()}
    return {key: known.get(key, found.get(key)) for key in PROVENANCE}


def trained_where(made_from: Mapping[str, Any]) -> str | None:
    """Say at which commit and on which device weights were trained, from the provenance stored with them."""
    return f"at {made_from['commit']} on {made_from['device']}" if made_from else None


def commit() -> str:
    """Return the checkout's commit, "unknown" outside git.

    A ``+`` behind it says that the package, the notebooks or the workflow differ from it.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # an installed copy may lie in a checkout of something else
        return "unknown"
    git = ["git", "--no-optional-locks", "-C", str(root)]
    code = ["deepmot_lib", "notebooks", "Snakefile"]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + "+" * bool(changed.stdout.strip())


def device_name(device: str | torch.device = "cpu") -> str:
    """Name a device so that two machines whose numbers may differ have different names.

    A GPU is named by its model, a CPU by its model, cores, instruction set and libraries.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    isa = torch.backends.cpu.get_cpu_capability()
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    return f"{_processor()}, {os.cpu_count()} cores, {isa}, torch {torch.__version__} with {blas}"


def _processor() -> str:
    """Name the processor; family, model and stepping tell apart those that share a marketing name."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.machine()
    numbers = [fields[key] for key in ("cpu family", "model", "stepping") if key in fields]
    return name + f" ({'/'.join(numbers)})" * bool(numbers)


def file_hash(path: str | Path) -> str:
    """Return the first twelve hexadecimal digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def write(
    path: str | Path,
    frame: pd.DataFrame,
    made_from: Mapping[str, Any],
    fingerprint: Fingerprint | None = None,
) -> None:
    """Write a table and what it was made from; a write that fails changes neither.

    Args:
        path: A ``.csv`` file; the JSON goes beside it.
        frame: The table.
        made_from: What ``provenance`` returns.
        fingerprint: Of a table that is reused, for ``stamp``.

    Raises:
        ValueError: ``made_from`` lacks a part or has another, or the file is no ``.csv``.
    """
    path = _csv(path)
    if wrong := sorted(made_from.keys() ^ set(PROVENANCE)):
        raise ValueError(
            f"{path.name}: a table carries its whole provenance and no more, wrong here: {wrong}"
        )
    with atomic(path.with_suffix(".json")) as notes, atomic(path) as table:
        frame.to_csv(table, index=False, lineterminator="\n")
        stamp = {"content": content(table), "fingerprint": fingerprint and asdict(fingerprint)}
        notes.write_text(json.dumps({**made_from, **stamp}, indent=1) + "\n")


def read(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table and its provenance, numbers as they were written.

    Raises:
        FileNotFoundError: One of the two files is missing.
        ValueError: One of them is broken, or they do not belong together.
    """
    path = _csv(path)
    try:
        # Only an empty cell is empty: "None" may be the name of a variant.
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: no table ({error})") from None
    notes = _notes(path)
    if notes.get("content") not in (None, content(path)):
        raise ValueError(f"{path} is not the table that {path.with_suffix('.json').name} tells of")
    return frame, {key: notes.get(key) for key in PROVENANCE}


def stamp(path: str | Path) -> str | None:
    """Return the fingerprint of a table, for ``fingerprints.fresh``.

    None where there is no table, an empty text where its fingerprint is missing or that of another content.
    """
    path = _csv(path)
    if not path.is_file():
        return None
    try:
        notes = _notes(path)
    except (ValueError, OSError):
        return ""
    if notes.get("content") != content(path) or notes.get("fingerprint") is None:
        return ""
    return json.dumps(notes["fingerprint"])


def _notes(path: Path) -> dict[str, Any]:
    """Read the JSON beside a table."""
    file = path.with_suffix(".json")
    try:
        notes = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: no provenance ({error})") from None
    known = {*PROVENANCE, *_STAMP}
    if not isinstance(notes, dict) or not known - _LATER <= notes.keys() <= known:
        raise ValueError(f"{file}: no provenance: its keys must be {', '.join(PROVENANCE)}")
    return notes


def _csv(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: a table's file ends in .csv")
    return path
