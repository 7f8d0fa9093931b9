"""Submissions to MOTChallenge's server for MOT16 and MOT17, and its results.

The server accepts one ``.zip`` with a file ``SEQUENCE.txt`` for each sequence at its root, and ten columns
``frame, id, left, top, width, height, conf, -1, -1, -1`` in each row (motchallenge.net/instructions). A
method may be submitted four times, 72 hours apart, so everything is checked first. See docs/evaluation.md.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paper
from ..data import mot
from ..data.files import atomic
from ..data.number_rows import numbered_lines

_VIDEOS = {"test": (1, 3, 6, 7, 8, 12, 14), "train": (2, 4, 5, 9, 10, 11, 13)}
_DETECTORS = {"MOT16": ("",), "MOT17": ("-DPM", "-FRCNN", "-SDP")}
_BOXES = {"MOT16": 182_326, "MOT17": 564_228}  # of the test sets' ground truth, as the server counts them
_FIELDS = ["frame", "id", "left", "top", "width", "height", "conf", "x", "y", "z"]
_PERCENT = ["MOTA", "MOTP", "IDF1", "MT", "ML"]
_COUNTS = ["FP", "FN", "IDS"]


class SubmissionError(ValueError):
    """Results that cannot be submitted; ``problems`` lists everything that is missing or wrong."""

    def __init__(self, problems: list[str]) -> None:
        """Create an error from a list of lines."""
        self.problems = problems
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{number}, nothing written:", *(f"  {line}" for line in problems)]))

    def __reduce__(self) -> tuple[type[SubmissionError], tuple[list[str]]]:
        """Support pickling, for worker processes."""
        return type(self), (self.problems,)


def sequence_names(benchmark: str, part: str = "test") -> list[str]:
    """Return the names of a benchmark's sequences.

    Args:
        benchmark: "MOT16" or "MOT17".
        part: "test" or "train".

    Returns:
        7 names, or 21 for the three detectors of MOT17.
    """
    return [f"{benchmark}-{video:02d}{end}" for video in _VIDEOS[part] for end in _DETECTORS[benchmark]]


def write(
    results_dir: str | os.PathLike[str],
    test_root: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    train_root: str | os.PathLike[str] | None = None,
) -> Path:
    """Check the result files of a benchmark and zip them for the server.

    The archive has sorted rows with three decimals; the same results give the same bytes.

    Args:
        results_dir: Folder with a file ``SEQUENCE.txt`` for each sequence.
        test_root: Folder of the benchmark's test sequences (``MOT17/test`` itself), which determine the
            benchmark.
        archive: The ``.zip`` to write; not touched if anything is wrong.
        train_root: Folder of the training sequences, whose results the server requires too.

    Returns:
        The path of the archive.

    Raises:
        SubmissionError: Sequences, files or rows are missing or wrong.
        NotADirectoryError: A folder does not exist.
        MotFormatError: A folder holds no readable sequences.
    """
    results_dir, archive = Path(results_dir), Path(archive)
    roots = {"test": Path(test_root)} | ({"train": Path(train_root)} if train_root else {})
    found = {part: list(map(mot.Sequence, mot.sequence_folders(root))) for part, root in roots.items()}
    sequences = [sequence for part in found.values() for sequence in part]
    if wrong := _incomplete(found, roots) + problems(sequences, results_dir):
        raise SubmissionError(wrong)
    with (
        atomic(archive) as unfinished,
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(unfinished, "w") as zipped,
    ):
        for name in sorted(f"{sequence.name}.txt" for sequence in sequences):
            canonical = Path(folder) / name
            mot.write_results(canonical, mot.read_boxes(results_dir / name))
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the same bytes at any time
            entry.external_attr = 0o644 << 16  # readable by all when unpacked
            zipped.writestr(entry, canonical.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive


def problems(sequences: Iterable[mot.Sequence], results_dir: str | os.PathLike[str]) -> list[str]:
    """List what the server would refuse or evaluate wrongly.

    That is: sequences without a file, ``.txt`` files without a sequence, rows without ten columns, numbers
    that are not finite, fractional frames or ids, frames outside the sequence, ids below 1, negative sizes,
    an id twice in a frame. Rows in any order and empty files are valid, as in TrackEval, the official kit.

    Args:
        sequences: The sequences of the submission.
        results_dir: Folder with a file ``SEQUENCE.txt`` for each sequence.

    Returns:
        One line per problem, with file and line numbers; empty if there is none.

    Raises:
        NotADirectoryError: The folder does not exist.
    """
    results_dir = Path(results_dir)
    if not results_dir.is_dir():
        raise NotADirectoryError(f"{results_dir}: no such folder of results")
    lengths = {f"{sequence.name}.txt": sequence.allowed_frames[-1] for sequence in sequences}
    there = {file.name for file in results_dir.glob("[!.]*.txt")}  # hidden ones are none of the tracker's
    found = [f"{results_dir / name}: missing" for name in sorted(set(lengths) - there)]
    found += [f"{results_dir / name}: no sequence of this name" for name in sorted(there - set(lengths))]
    for name in sorted(there & set(lengths)):
        found += _file_problems(results_dir / name, lengths[name])
    return found


def server_numbers(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the server's results for methods of one's own.

    Args:
        path: CSV with the columns of the paper's Table 4, ``benchmark, method, MOTA, MOTP, IDF1, MT, ML, FP,
            FN, IDS``, as the server prints them: MOTA to ML in percent (MOTP an overlap), FP to IDS as
            counts. The benchmark is MOT16 or MOT17.

    Returns:
        The rows in the file's order, percentages as float64 and counts as int64.

    Raises:
        ValueError: Columns or benchmarks differ, a method comes twice, a percentage or count is impossible,
            or a MOTA does not follow from its counts and the known number of boxes; lists everything.
        FileNotFoundError: The file does not exist.
    """
    path, columns = Path(path), list(paper.table(4).columns)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a CSV table ({error})") from error
    if differing := set(table.columns) ^ set(columns):
        names = f"{', '.join(columns)}, which differs in {', '.join(sorted(differing))}"
        raise ValueError(f"{path}: the columns must be {names}")
    table = table[columns].apply(lambda column: column.str.strip())
    wrong = [f"{path}: {line}" for _, row in table.iterrows() for line in _row_problems(row)]
    keys = table[["benchmark", "method"]].agg(" ".join, axis=1)
    wrong += [f"{path}: {name}: comes twice" for name in keys[keys.duplicated()]]
    if wrong:
        raise ValueError("\n".join(wrong))
    return table.astype(dict.fromkeys(_PERCENT, np.float64) | dict.fromkeys(_COUNTS, np.int64))


# --- the folders and the files ------------------------------------------------------------------------------


def _incomplete(found: dict[str, list[mot.Sequence]], roots: dict[str, Path]) -> list[str]:
    """List how the folders differ from the parts of one benchmark."""
    benchmarks = {sequence.name.split("-")[0] for part in found.values() for sequence in part}
    where = ", ".join(map(str, roots.values()))
    if len(benchmarks) > 1 or not benchmarks <= set(_DETECTORS):
        return [f"{where}: sequences of {', '.join(sorted(benchmarks))}, not of MOT16 or MOT17 alone"]
    (benchmark,) = benchmarks
    wrong = []
    for part, sequences in found.items():
        names = {sequence.name for sequence in sequences}
        expected = set(sequence_names(benchmark, part))
        if missing := expected - names:
            wrong.append(f"{roots[part]}: not all {part} sequences: {', '.join(sorted(missing))} missing")
        if other := names - expected:
            wrong.append(f"{roots[part]}: no {part} sequences: {', '.join(sorted(other))}")
    return wrong


def _file_problems(file: Path, length: int) -> list[str]:
    """Describe each kind of bad row in the result file of a sequence of this length."""
    try:
        lines = dict(numbered_lines(file))
    except mot.MotFormatError as error:
        return [str(error)]
    rows = {number: text.split(",") for number, text in lines.items()}
    bad = {"not ten columns": [number for number, fields in rows.items() if len(fields) != len(_FIELDS)]}
    ten = {number: fields for number, fields in rows.items() if len(fields) == len(_FIELDS)}
    table = pd.DataFrame.from_dict(ten, orient="index", columns=_FIELDS)
    table = table.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    finite = np.isfinite(table).all(axis=1)
    bad["not a finite number"] = table.index[~finite]
    table = table[finite]
    frame, identity = table["frame"], table["id"]
    checks = {
        "frame and id must be integers": (frame % 1 != 0) | (identity % 1 != 0),
        f"the frame is not in 1..{length}": ~frame.between(1, length),
        "ids count from 1": identity < 1,
        "negative width or height": (table["width"] < 0) | (table["height"] < 0),
        "this id comes twice in its frame": table.duplicated(["frame", "id"]),
    }
    bad |= {message: table.index[rows_of] for message, rows_of in checks.items()}
    named = sorted((list(numbers), message) for message, numbers in bad.items() if len(numbers))
    if not named:
        try:
            mot.read_boxes(file)  # as it will be written
        except mot.MotFormatError as error:
            return [str(error)]
    return [f"{file}:{_numbered(lines, numbers)}: {message}" for numbers, message in named]


def _numbered(lines: dict[int, str], numbers: list[int], shown: int = 5) -> str:
    """Format the first line with the numbers of a few others: ``3 (also 4, 5): '1,-1,...'``."""
    first, *others = numbers
    also = ", ".join(map(str, others[: shown - 1])) + (" ..." if len(numbers) > shown else "")
    also = f" (also {also}; {len(numbers)} lines)" if others else ""
    return f"{first}{also}: {lines[first].strip()!r:.60}"


def _row_problems(row: pd.Series[str]) -> list[str]:
    """List what is wrong with a row of the server's numbers, all fields text."""
    name = f"{row['benchmark']} {row['method']}"
    wrong = []
    if row["benchmark"] not in _BOXES:
        wrong.append(f"{name}: the benchmark must be {' or '.join(_BOXES)}")
    if not row["method"]:
        wrong.append(f"{name}: the method has no name")
    number = pd.to_numeric(row[_PERCENT + _COUNTS], errors="coerce")
    for key in _PERCENT:
        # MOTA alone may be negative.
        if not (number[key] <= 100 and (number[key] >= 0 or key == "MOTA") and np.isfinite(number[key])):
            wrong.append(f"{name}: {key} is not a percentage: {row[key]!r}")
    for key in _COUNTS:
        if not row[key].isdecimal():
            wrong.append(f"{name}: {key} is not a count: {row[key]!r}")
    if not wrong:
        mota = 100 * (1 - number[_COUNTS].sum() / _BOXES[row["benchmark"]])
        if abs(mota - number["MOTA"]) > 0.051:  # the server prints one decimal
            wrong.append(f"{name}: MOTA is {row['MOTA']}, but FP, FN and IDS give {mota:.1f}")
    return wrong
