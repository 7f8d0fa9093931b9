"""Checkpoint files of trainings.

They are written at once or not at all, read without executing anything, and told apart by the fingerprint of
what they depend on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import tensor_files

#: What a checkpoint holds, by name, with its type.
_CONTENTS: dict[str, type | tuple[type, ...]] = {
    "fingerprint": dict,
    "step": int,
    "network": dict,
    "optimizer": dict,
    "history": list,
    "recent": list,
    "best": (dict, type(None)),
}


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or does not fit its network; the message names the file."""


@dataclass(frozen=True)
class CheckpointFile:
    """Where a training is saved, and what it depends on.

    Attributes:
        path: The file.
        fingerprint: What tells this training from another (settings, data, code, ...), in plain JSON values;
            they may be nested.
    """

    path: str | Path
    fingerprint: Mapping[str, Any]

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved, on the CPU, or None where there is none of this training.

        Where the file belongs to another training, one line is printed that names what has changed.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = Path(self.path)
        if not path.exists():
            return None
        state = read_checkpoint(path)
        changed = list(_changes(state["fingerprint"], _plain(self.fingerprint)))
        if changed:
            more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
            print(f"{path}: trained anew, changed: {', '.join(changed[:3])}{more}")
            return None
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state of a training beside its fingerprint; a write cut short leaves the old file."""
        write_checkpoint(Path(self.path), {"fingerprint": _plain(self.fingerprint), **state})


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint; a write cut short leaves the file that was there before."""
    tensor_files.write(path, dict(state))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: the file is damaged or no checkpoint.
        FileNotFoundError: there is none.
    """
    try:
        state = tensor_files.read(path)
        missing = [key for key, kind in _CONTENTS.items() if not isinstance(state[key], kind)]
        if missing:
            raise TypeError(f"no {missing[0]}")
    except (tensor_files.TensorFileError, KeyError, TypeError, IndexError) as error:
        reason = error.__cause__ or error
        raise CheckpointError(
            f"{path} is no checkpoint or a damaged one ({reason}); delete it to start anew"
        ) from error
    return state


def _plain(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint as JSON gives it back: tuples become lists, keys strings."""
    return json.loads(json.dumps(fingerprint))


def _changes(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield "name old -> new" of each value that differs, nested ones by a dotted name."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _changes(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} {_short(old)} -> {_short(new)}"


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."
