"""Rows of numbers in a text file: parsed fast, or refused with the line that is wrong.

The separator (comma, semicolon, tab or spaces) is that of the first row. A megabyte of the text is in
memory at once, and no line is longer than ``LONGEST``: a file that is one endless line is refused early.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: A file, or a member of a zip archive.
AnyPath: TypeAlias = Path | zipfile.Path

#: The most characters in a line: ten numbers take a few hundred.
LONGEST = 4096

_BLOCK = 1 << 20  # characters read at once
_COLUMNS = range(7, 11)  # how many there may be
_NAMES = {",": "comma-separated", ";": "semicolon-separated", "\t": "tab-separated", " ": "space-separated"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_NUMBERS = re.compile(r"[^0-9eE+\-.,; \t\n]")
# What a damaged or encrypted member of an archive raises while it is read.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class MotFormatError(ValueError):
    """A file or folder that is not what MOTChallenge prescribes: names the path and the line, if any."""

    def __init__(self, path: str | os.PathLike[str] | zipfile.Path, line: int | None, message: str):
        self.path, self.line, self.message = Path(str(path)), line, message
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.line, self.message)


def parse(path: AnyPath) -> NDArray[np.float64]:
    """Read a file of rows with equally many numbers.

    Args:
        path: the file.

    Returns:
        ``(rows, columns)``, 7 to 10 columns; ``(0, 7)`` where there is no row.

    Raises:
        MotFormatError: names the first line with too few, too many or other columns than the first row, with
            text, NaN or infinity, or with more than ``LONGEST`` characters; or the file, where an archive is
            damaged.
    """
    blocks: list[NDArray[np.float64]] = []
    separator = ""
    for first, text in _blocks(path):
        if not text.strip():
            continue
        separator = separator or _separator(text)
        columns = blocks[0].shape[1] if blocks else None
        values = _parse_fast(text, separator)
        if values is None or (columns and values.shape[1] != columns):
            values = _parse_by_line(path, first, text, separator, columns)
        blocks.append(values)
    return np.concatenate(blocks) if blocks else np.empty((0, _COLUMNS[0]))


def line_of(path: AnyPath, row: int) -> int:
    """Find the line (1-based) of a row (0-based): blank lines are none.

    Args:
        path: a file that ``parse`` has read.
        row: index of one of its rows.
    """
    found = next(itertools.islice(numbered_lines(path), row, None), None)
    if found is None:
        raise MotFormatError(path, None, "the file changed while it was read")
    return found[0]


def numbered_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """Go through the lines that are not blank.

    Args:
        path: the file.

    Yields:
        The number of the line (from 1) and its text.

    Raises:
        MotFormatError: a line has more than ``LONGEST`` characters.
    """
    for first, text in _blocks(path):
        for line, content in enumerate(text.split("\n"), start=first):
            if content.strip():
                yield line, content


def quoted(text: str) -> str:
    """Return what a message quotes of a line or field: its first 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _blocks(path: AnyPath) -> Iterator[tuple[int, str]]:
    """Whole lines, a megabyte at once, with the number of the first; lines end in a line feed."""
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="replace") as file:
            first = 1
            while text := file.read(_BLOCK):
                if not text.endswith("\n"):
                    text += file.readline(LONGEST + 1)
                lines = text.split("\n")
                if max(map(len, lines)) > LONGEST:
                    long = next(index for index, line in enumerate(lines) if len(line) > LONGEST)
                    message = f"the line has more than {LONGEST} characters: {quoted(lines[long])}"
                    raise MotFormatError(path, first + long, message)
                yield first, text
                first += len(lines) - 1
    except _DAMAGED as error:
        raise MotFormatError(path, None, f"the archive is damaged or encrypted ({error})") from error


def _separator(text: str) -> str:
    """What separates the first row that is not blank; beside semicolons a comma is a decimal point."""
    row = next(line for line in text.split("\n") if line.strip())
    return next((mark for mark in (";", ",", "\t") if mark in row), " ")


def _parse_fast(text: str, separator: str) -> NDArray[np.float64] | None:
    """The numbers of some lines by pandas; None where it takes a closer look."""
    if _NOT_NUMBERS.search(text):
        return None
    if re.match(rf"[^\n]*{separator} *\n", text.lstrip()):
        text = re.sub(rf"{separator} *$", "", text, flags=re.MULTILINE)  # one at the end of a row is fine
    pattern = r"\s+" if separator == " " else separator
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=pattern, header=None, dtype=np.float64, skipinitialspace=True
        )
    except (ValueError, OverflowError):  # pandas' own errors are ValueErrors
        return None
    values = table.to_numpy()
    return values if np.isfinite(values).all() and values.shape[1] in _COLUMNS else None


def _parse_by_line(
    path: AnyPath, first: int, text: str, separator: str, columns: int | None
) -> NDArray[np.float64]:
    """The numbers of some lines, the first of which has that number; MotFormatError at the first bad one."""
    rows = []
    for line, content in enumerate(text.split("\n"), start=first):
        if not content.strip():
            continue
        fields = [field.strip() for field in content.split(None if separator == " " else separator)]
        if not fields[-1]:
            fields.pop()
        problem = _problem(fields, separator, columns)
        if problem:
            raise MotFormatError(path, line, f"{problem} in {quoted(content)}")
        columns = len(fields)
        rows.append([float(value) for value in fields])
    return np.array(rows)


def _problem(fields: list[str], separator: str, columns: int | None) -> str:
    """What is wrong with the fields of a row; empty where nothing is."""
    if len(fields) not in _COLUMNS:
        return f"{len(fields)} {_NAMES[separator]} columns, expected {_COLUMNS[0]} to {_COLUMNS[-1]},"
    if columns and len(fields) != columns:
        return f"{len(fields)} columns, but {columns} in the rows before,"
    for column, value in enumerate(fields, start=1):
        if not _NUMBER.fullmatch(value):
            return f"column {column} is not a finite number: {quoted(value)}"
        if not np.isfinite(float(value)):
            return f"column {column} is too large: {quoted(value)}"
    return ""
