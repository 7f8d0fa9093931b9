"""``seqinfo.ini``, MOTChallenge's description of a sequence, read key by key.

A key that nobody asks for stops nobody: evaluation needs neither the frame rate nor the size of the pictures.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from .number_rows import MotFormatError, quoted

_MOST = 1 << 16  # bytes of a file: a seqinfo has two hundred
_BETWEEN = re.compile("[=:]")
_LARGEST = 10**9  # frames or pixels: beyond, a number is a slip


class _Entry(NamedTuple):
    line: int
    value: str


class SeqInfo:
    """The section ``[Sequence]`` of a seqinfo file; nothing is given where there is no such file.

    Args:
        file: path of the ``seqinfo.ini``.

    Raises:
        MotFormatError: the file is there but has no such section.
    """

    def __init__(self, file: Path):
        self.file = file
        self._entries: dict[str, list[_Entry]] = {}
        if file.is_file():
            with open(file, "rb") as raw:
                text = raw.read(_MOST).decode("utf-8-sig", errors="replace")
            self._parse(text)

    @property
    def length(self) -> int | None:
        """Number of frames, ``seqLength``; None where not given, MotFormatError on no positive integer."""
        return self._integer("seqLength")

    @property
    def width(self) -> int | None:
        """Width of the pictures [px], ``imWidth``; else as ``length``."""
        return self._integer("imWidth")

    @property
    def height(self) -> int | None:
        """Height of the pictures [px], ``imHeight``; else as ``length``."""
        return self._integer("imHeight")

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, ``frameRate``; None where the file gives no positive number, or several."""
        values = {entry.value for entry in self._entries.get("framerate", [])}
        if len(values) != 1:
            return None
        above, _, below = values.pop().partition("/")  # 30000/1001 is how video tools write 29.97
        try:
            rate = float(above) / float(below or 1)
        except (ValueError, ZeroDivisionError):
            return None
        return rate if 0 < rate < math.inf else None

    @property
    def image_folder(self) -> Path:
        """The folder of the pictures, ``imDir``, relative to the file's; ``img1`` where it is not given."""
        return Path((self._value("imDir") or "img1").replace("\\", "/"))

    def _parse(self, text: str) -> None:
        section, found = None, False
        for line, content in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
            content = content.strip()
            if not content or content[0] in "#;":
                continue
            if content[0] == "[" and content[-1] == "]":
                section = content[1:-1].strip().lower()
                found = found or section == "sequence"
                continue
            if section is None:
                raise MotFormatError(self.file, line, f"no readable [Sequence] before {quoted(content)}")
            key, *values = _BETWEEN.split(content, maxsplit=1)
            if section == "sequence":
                entry = _Entry(line, "".join(values).strip())
                self._entries.setdefault(key.strip().lower(), []).append(entry)
        if not found:
            raise MotFormatError(self.file, None, "not a seqinfo file: no readable [Sequence] section")

    def _value(self, key: str) -> str:
        """The one value of a key; empty where it is missing."""
        entries = [entry for entry in self._entries.get(key.lower(), []) if entry.value]
        for line, value in entries[1:]:
            if value != entries[0].value:
                before = f"{quoted(entries[0].value)} in line {entries[0].line}"
                raise MotFormatError(self.file, line, f"{key.lower()} is {quoted(value)}, but {before}")
        return entries[0].value if entries else ""

    def _integer(self, key: str) -> int | None:
        text = self._value(key)
        if not text:
            return None
        line = next(entry.line for entry in self._entries[key.lower()] if entry.value)
        try:
            value = float(text)
        except ValueError:
            raise MotFormatError(self.file, line, f"{key.lower()} is not a number: {quoted(text)}") from None
        if not 0 < value <= _LARGEST:
            raise MotFormatError(self.file, line, f"{key.lower()} must be positive: {quoted(text)}")
        if value % 1:
            raise MotFormatError(self.file, line, f"{key.lower()} must be an integer: {quoted(text)}")
        return int(value)
