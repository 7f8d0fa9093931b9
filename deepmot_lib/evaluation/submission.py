"""What goes to MOTChallenge's server for MOT16 and MOT17, and what it gives back.

The server takes one ``.zip``, at its root a file ``SEQUENCE.txt`` for each sequence, in each row ten columns
``frame, id, left, top, width, height, conf, -1, -1, -1`` (motchallenge.net/instructions). A method may try
four times, 72 hours apart: so everything is checked before it is zipped. docs/evaluation.md says more.
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
    """What is missing or wrong, all of it: ``problems`` is a list of lines."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{number}, nothing written:", *(f"  {line}" for line in problems)]))

    def __reduce__(self):
        return type(self), (self.problems,)


def sequence_names(benchmark: str, part: str = "test") -> list[str]:
    """The sequences of a part (``test`` or ``train``) of ``MOT16`` (7) or ``MOT17`` (21: three detectors)."""
    return [f"{benchmark}-{video:02d}{end}" for video in _VIDEOS[part] for end in _DETECTORS[benchmark]]


def write(
    results_dir: str | os.PathLike,
    test_root: str | os.PathLike,
    archive: str | os.PathLike,
    train_root: str | os.PathLike | None = None,
) -> Path:
    """Zips the result files ``results_dir/SEQUENCE.txt`` of every sequence and returns the archive's path.

    ``test_root`` is the folder of the benchmark's test sequences (``MOT17/test`` itself), ``train_root`` that
    of its training sequences, whose results the server wants too. Which benchmark it is, and the sequences'
    lengths, are read there. The archive holds what ``mot.write_results`` writes: sorted rows, three decimals.
    The same results give the same bytes.

    Raises SubmissionError with all that is missing or wrong, in the folders and in the files, and then leaves
    the archive as it was; NotADirectoryError or MotFormatError where a folder holds no readable sequences.
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
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # not the time of the day
            entry.external_attr = 0o644 << 16  # readable where it is unpacked
            zipped.writestr(entry, canonical.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive


def problems(sequences: Iterable[mot.Sequence], results_dir: str | os.PathLike) -> list[str]:
    """What the server would refuse, or count wrongly, in the result files of these sequences; [] if nothing.

    A line each: sequences without a file, ``.txt`` files without a sequence, and for every file each kind of
    bad row with its line numbers: not ten columns, not finite numbers, a fraction as frame or id, a frame
    outside the sequence, an id below 1, a negative size, an id twice in a frame. Rows in any order and an
    empty file (a tracker that found nothing) are fine, as they are to TrackEval, the official kit.
    Raises NotADirectoryError where there is no such folder.
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


def server_numbers(path: str | os.PathLike) -> pd.DataFrame:
    """The server's numbers for methods of one's own, from a CSV with the columns of the paper's Table 4:
    ``benchmark, method, MOTA, MOTP, IDF1, MT, ML, FP, FN, IDS``, as the server prints them.

    ``benchmark`` is MOT16 or MOT17; MOTA to ML are percent (float64; MOTP an overlap, up is better), FP to
    IDS counts (int64). Returns the rows in the file's order, the columns in the paper's. Raises ValueError,
    with all that is wrong, on other columns or benchmarks, a method twice, percentages and counts that cannot
    be, and a MOTA that its counts do not give (the number of boxes in the test sets is known);
    FileNotFoundError where there is no such file.
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
    """Where the folders are not the whole of one benchmark's parts."""
    benchmarks = {sequence.name.split("-")[0] for part in found.values() for sequence in part}
    where = ", ".join(map(str, roots.values()))
    if len(benchmarks) > 1 or not benchmarks <= set(_DETECTORS):
        return [f"{where}: sequences of {', '.join(sorted(benchmarks))}, not of MOT16 or MOT17 alone"]
    wrong = []
    for part, sequences in found.items():
        names = {sequence.name for sequence in sequences}
        expected = set(sequence_names(*benchmarks, part))
        if missing := expected - names:
            wrong.append(f"{roots[part]}: not all {part} sequences: {', '.join(sorted(missing))} missing")
        if other := names - expected:
            wrong.append(f"{roots[part]}: no {part} sequences: {', '.join(sorted(other))}")
    return wrong


def _file_problems(file: Path, length: int) -> list[str]:
    """A line for each kind of bad row in a result file of a sequence with so many frames."""
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
    """``3 (also 4, 5): '1,-1,...'``: a file can be wrong in every line."""
    first, *others = numbers
    also = ", ".join(map(str, others[: shown - 1])) + (" ..." if len(numbers) > shown else "")
    also = f" (also {also}; {len(numbers)} lines)" if others else ""
    return f"{first}{also}: {lines[first].strip()!r:.60}"


def _row_problems(row: pd.Series) -> list[str]:
    """What is wrong with a row of the server's numbers, all fields text."""
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
