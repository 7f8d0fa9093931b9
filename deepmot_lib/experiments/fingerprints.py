"""Fingerprints: what an artifact was made from, stored with it, so that it is reused only where that holds.

An artifact (weights, a checkpoint, a table, a result file) depends on settings, data, the artifacts upstream
of it, and code. All four stand in its ``Fingerprint``; where one differs, the artifact is made anew::

    wanted = Fingerprint(
        settings=schedule,  # a dataclass, or what JSON can hold
        data=data_digests(sequences, parts=("gt", "images")),
        upstream={"weights of tracktor vanilla": content(start)},
        code=code("deepmot_lib.training.deepmot"),  # from .source
    )
    if not fresh(read_stamp(table), wanted, "history of tracktor dMOTA seed 0"):  # says what changed
        with stamped(table, wanted) as temporary:  # writes the file and a JSON beside it
            train().to_csv(temporary)

A checkpoint or a safetensors file holds ``wanted.to_json()`` itself; ``fresh`` takes that text. This module
imports neither torch nor pandas: a workflow reads it at each start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.files import atomic
from .source import short_digest

if TYPE_CHECKING:
    from ..data.mot import Sequence

#: The parts of a sequence that a result may depend on.
PARTS = ("gt", "det", "seqinfo", "images")
_BOX_FILES = {"gt": "gt/gt.txt", "det": "det/det.txt", "seqinfo": "seqinfo.ini"}
_SHOWN_CHANGES = 4
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class Fingerprint:
    """What an artifact depends on.

    Attributes:
        settings: Numbers, strings, lists and dicts, as ``plain`` makes them of whatever is given.
        data: The digest of each file or data set that is read, by name.
        upstream: The digest of each artifact that it builds on, by name.
        code: The digest of each module, as ``source.code`` returns them.
    """

    settings: dict[str, Any]
    data: dict[str, str] = field(default_factory=dict)
    upstream: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = plain(self.settings)
        if not isinstance(settings, dict):
            raise TypeError(f"settings must be a dict or a dataclass, not {self.settings!r}")
        object.__setattr__(self, "settings", settings)
        for name in ("data", "upstream", "code"):
            digests = getattr(self, name)
            if not isinstance(digests, Mapping) or not all(
                isinstance(text, str) for pair in digests.items() for text in pair
            ):
                raise TypeError(f"{name} must be a dict of digests, not {digests!r}")
            object.__setattr__(self, name, dict(digests))

    def to_json(self) -> str:
        """Write the fingerprint as one line of JSON, its keys sorted."""
        return _text(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: The text is no fingerprint.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a fingerprint ({error}): {_short(text)}") from None

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits for the whole, equal if and only if nothing changed."""
        return short_digest(self.to_json())

    def changes(self, old: Fingerprint) -> list[str]:
        """Name each difference from an older fingerprint.

        Returns:
            Phrases such as ``settings: steps 200 -> 100`` or ``code: deepmot_lib.loss``, in the order
            settings, data, upstream, code; empty if there is none.
        """
        changes = []
        for kind in ("settings", "data", "upstream", "code"):
            before, after = _leaves(getattr(old, kind)), _leaves(getattr(self, kind))
            for keys in {**after, **before}:
                if before.get(keys) == after.get(keys):
                    continue
                if keys not in before:
                    words = " added"
                elif keys not in after:
                    words = " removed"
                else:  # digests say nothing to a reader
                    words = f" {_short(before[keys])} -> {_short(after[keys])}" * (kind == "settings")
                changes.append(f"{kind}: {'.'.join(keys)}{words}")
        return changes


def fresh(stored: str | None, wanted: Fingerprint, what: str) -> bool:
    """Decide whether an artifact can be reused, and print one line on stderr about why if it cannot.

    Args:
        stored: The fingerprint stored with the artifact, as JSON; None where there is no artifact, which
            prints nothing.
        wanted: The fingerprint that the artifact would get now.
        what: The artifact in words, such as ``matcher seq_gru seed 0``.

    Returns:
        True if nothing changed.
    """
    if stored is None:
        return False
    try:
        changes = wanted.changes(Fingerprint.from_json(stored))
    except ValueError:
        print(f"{what}: remade, no valid fingerprint stored with it", file=sys.stderr)
        return False
    if changes:
        words = [change.replace(":", "", 1) for change in changes[:_SHOWN_CHANGES]]
        more = f", and {len(changes) - _SHOWN_CHANGES} more" * (len(changes) > _SHOWN_CHANGES)
        print(f"{what}: remade, changed: {', '.join(words)}{more}", file=sys.stderr)
    return not changes


@contextmanager
def stamped(path: str | Path, fingerprint: Fingerprint) -> Iterator[Path]:
    """Write a file atomically and its fingerprint beside it, in ``<name>.fingerprint.json``.

    The fingerprint holds for the file's content alone: a run killed between the two writes, or a file edited
    later, leaves a file that is not reused.

    Args:
        path: The file to write.
        fingerprint: What it is made from.

    Yields:
        The temporary path to write to.
    """
    path = Path(path)
    with atomic(path) as temporary:
        yield temporary
        written = content(temporary)
    sidecar = {"content": written, "fingerprint": dataclasses.asdict(fingerprint)}
    with atomic(_sidecar(path)) as temporary:
        temporary.write_text(json.dumps(sidecar, indent=1, sort_keys=True) + "\n", "utf-8")


def read_stamp(path: str | Path) -> str | None:
    """Read the fingerprint that ``stamped`` wrote beside a file, for ``fresh``.

    Returns:
        None where the file is missing; an empty text where its fingerprint is missing, broken or that of
        another content.
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        sidecar = json.loads(_sidecar(path).read_text("utf-8"))
        return _text(sidecar["fingerprint"]) if sidecar["content"] == content(path) else ""
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""


def content(path: str | Path) -> str:
    """Digest a file's bytes: twelve hexadecimal digits.

    A process reads a file once, as long as its inode, size and modification time stay the same.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = os.path.abspath(path)
    status = os.stat(path)
    key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    if key in _CONTENTS:
        return _CONTENTS[key]
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
    # Clocks of file systems tick slowly: a file written just now may change within the same tick.
    if time.time_ns() - status.st_mtime_ns > 1_000_000_000:
        _CONTENTS[key] = digest
    return digest


_CONTENTS: dict[tuple[str, int, int, int], str] = {}


def folder_state(root: str | Path) -> str:
    """Digest the names, sizes and times of all files below a folder, links followed: what a look tells.

    For the ``params`` of a workflow's rule: a change makes the rule ask for what it reuses.

    Returns:
        Twelve hexadecimal digits.
    """
    files = []
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(os.path.join(folder, name))
                files.append([os.path.relpath(folder, root), name, status.st_size, status.st_mtime_ns])
    return short_digest(_text(sorted(files)))


def data_digests(sequences: Iterable[Sequence], parts: Iterable[str] = PARTS) -> dict[str, str]:
    """Digest the files of MOTChallenge sequences.

    Args:
        sequences: Sequences of different names.
        parts: Which of ``PARTS`` are read; a part that a sequence lacks is left out.

    Returns:
        Twelve hexadecimal digits by name, such as ``MOT17-02-FRCNN/gt``; all images of a sequence have one
        digest, of their file names and contents.

    Raises:
        ValueError: An unknown part, or two sequences of one name.
    """
    parts = tuple(parts)
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ValueError(f"unknown parts {unknown}: choose from {', '.join(PARTS)}")
    found: dict[str, str] = {}
    names: set[str] = set()
    for sequence in sequences:
        if sequence.name in names:
            raise ValueError(f"two sequences are named {sequence.name}")
        names.add(sequence.name)
        for part in parts:
            if part == "images":
                files = sequence.image_files
                digest = short_digest(_text([[file.name, content(file)] for file in files])) if files else ""
            else:
                file = sequence.path / _BOX_FILES[part]
                digest = content(file) if file.is_file() else ""
            if digest:
                found[f"{sequence.name}/{part}"] = digest
    return found


def plain(value: Any, name: str = "settings") -> Any:
    """Turn settings into what JSON gives back: tuples into lists, dataclasses and named tuples into dicts.

    Args:
        value: None, bool, int, float, str or scalars of NumPy; lists, tuples, mappings, dataclasses of such.
        name: What the error message calls the value.

    Returns:
        A copy of None, bool, int, float, str, lists and dicts with text keys.

    Raises:
        TypeError: A value of another kind; the message names it.
        ValueError: A number that is not finite, or two keys with one text.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    elif type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, Mapping):
        result = {_key(key, name): plain(each, f"{name}.{key}") for key, each in value.items()}
        if len(result) < len(value):
            raise ValueError(f"{name}: two keys with one text in {list(value)}")
        return result
    if isinstance(value, list | tuple):
        return [plain(each, f"{name}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}: only finite numbers can be compared")
    if value is None or isinstance(value, bool | int | float | str):
        return json.loads(json.dumps(value))  # the members of an enumeration too
    raise TypeError(f"{name} is {value!r}: a {type(value).__name__} cannot be part of a fingerprint")


def _key(key: object, name: str) -> str:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise TypeError(f"{name}: a key must be text or an integer, not {key!r}")
    return str(key)


def _text(value: object) -> str:
    """The one JSON text of a value: 1, 1.0 and true differ, the order of keys does not count."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """The JSON text of each value in nested dicts, by the keys that lead to it; an empty dict is a value."""
    leaves: dict[tuple[str, ...], str] = {}
    for key, value in tree.items():
        here = (*above, key)
        leaves |= _leaves(value, here) if isinstance(value, dict) and value else {here: _text(value)}
    return leaves


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.fingerprint.json")
