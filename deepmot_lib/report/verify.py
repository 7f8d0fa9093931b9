"""Comparison of a finished run with the published one, cell by cell: does it reproduce?

python -m deepmot_lib.report.verify standard
python -m deepmot_lib.report.verify standard 'dhn_*' 'tracker_goturn*'    of a run that has made these alone

A row is known by its text and by the numbers in ``_KEYS``. How far a number may be from the published one
stands in ``RULES``, with the reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data.files import visible
from ..experiments import settings
from ..experiments.folders import output_folder
from ..experiments.tables import read

#: Whole numbers that name a row.
_KEYS = {"block", "seed", "size", "step", "steps"}
#: A mean over seeds may differ by so many of its standard deviations.
SPREAD = 3.0
_SHOWN = 5  # cells of a table that are printed


class Rule(NamedTuple):
    """How far some numbers may be from their reference: by ``absolute`` plus ``relative`` times it.

    Attributes:
        tables, rows, columns: Patterns of the table's name, of the row's text and of the column's name;
            several are separated by ``|``.
        absolute: In the number's unit; None where it is not compared.
        relative: A fraction of the reference.
        smoke: Both times this where the profile's trainings take seconds.
        reason: Why so far.
    """

    tables: str
    rows: str
    columns: str
    absolute: float | None
    relative: float
    smoke: float
    reason: str

    def tolerance(self, reference: float, spread: float, evidence: bool) -> float:
        """Return how far a number may be from its reference, whose deviation over seeds is ``spread``."""
        assert self.absolute is not None
        allowed = self.absolute + self.relative * abs(reference)
        return max(allowed if evidence else self.smoke * allowed, SPREAD * spread)


_UNTRAINED = "*hungarian*|*greedy*|*softmax*|*sinkhorn*|*min_sum_rule*"
_PARTS = "table6_blocks|fig8_matrices|gradients_frames"
#: The first that fits counts. What none names must be equal.
RULES = (
    Rule("*", "*", "* (paper)", 0, 0, 1, "printed in the paper"),
    Rule("*", "*", "seeds|matrices|pictures|GT", 0, 0, 1, "counted before anything is trained"),
    Rule("evaluation_*", "*", "*", 0, 0, 1, "counts of given files: nothing is trained"),
    Rule("costs", "*", "*", None, 0, 1, "times of a machine"),
    Rule("*", "*", "FPS", None, 0, 1, "times of a machine"),
    Rule(
        "rules", "*", "*", None, 0, 1, "a search, whose path may turn on one box; tracks show what it found"
    ),
    Rule("claims", "*", "*", None, 0, 1, "follow from the errors and scores of runs, which are compared"),
    Rule("blocks_*", "*", "*", None, 0, 1, "parts of the errors in tracker_*, which are compared"),
    Rule(_PARTS, "*", "*", None, 0, 1, "parts of table6, fig8 and gradients, which are compared"),
    Rule("reid_*", "*", "limit", None, 0, 1, "a threshold on scores of no unit; tracks show what it does"),
    Rule("*", "*", "* std|std", None, 0, 1, "the spread of few seeds is itself uncertain"),
    Rule("dhn_*|table5|fig8", _UNTRAINED, "*", 0.5, 0, 1, "no training: ties of equal distances alone"),
    Rule(
        "gradients",
        _UNTRAINED,
        "cosine to counted|pull",
        0.02,
        0,
        1,
        "no training: the loss and rounding alone",
    ),
    Rule("gradients", _UNTRAINED, "size|none|exploding", 2, 0.05, 1, "no training; percent or relative"),
    Rule("gradients", "*", "cosine*|pull", 0.15, 0, 3, "gradients of trained networks, in [-1, 1]"),
    Rule("gradients", "*", "*", None, 0, 1, "over twenty orders of magnitude for a trained network"),
    Rule("dhn_*|table5|table6*", "*1d_conv*", "*", 3, 0, 7, "the network whose seeds differ most; percent"),
    Rule("dhn_*|table5|table6*|lengths", "*", "*", 1.5, 0, 4, "trained networks, percent of assignments"),
    Rule("fig8", "*", "mean", 3, 0, 7, "trained networks on ten matrices, percent of assignments"),
    Rule("training_*", "*", "learning_rate", 1e-12, 1e-6, 1, "the schedule"),
    Rule("training_*", "*", "validation", 0.03, 0, 5, "MOTA of a trained tracker, in [0, 1]"),
    Rule("training_*", "*", "loss", 0.05, 0.2, 2, "steps of a training whose rounding differs"),
    Rule("training_*", "*", "*", None, 0, 1, "terms of the loss, which is compared"),
    Rule("reid_*", "*", "*", 0.03, 0, 5, "trained embeddings, in [0, 1]"),
    Rule("comparison", "*", "*", None, 0, 1, "follows from the errors in comparison_*, which are compared"),
    Rule("comparison_*", "*", "rate|boxes|initialization", 0, 0, 1, "settings and ground truth"),
    Rule("comparison_association", "*", "*", 3, 0, 6, "matrices of trained trackers, percent"),
    Rule("comparison_*", "*", "MOTA", 1.5, 0, 6, "trained trackers, percent"),
    Rule("comparison_*", "*", "*", 20, 0.15, 3, "errors of a trained tracker in a scene"),
    Rule("tracker_*", "*", "FP|FN|IDs|FM|MT|PT|ML", 10, 0.1, 3, "errors of a trained tracker"),
    Rule("tracker_*", "OVERALL*", "*", 0.03, 0, 5, "measures of a trained tracker, in [0, 1]"),
    Rule("tracker_*", "*", "*", 0.06, 0, 6, "the same of one sequence, ten frames in smoke"),
    Rule("*", "*", "FP*|FN*|IDS*|IDs*", 10, 0.1, 3, "errors of a trained tracker"),
    Rule("table4_local|transfer", "*OVERALL*", "*", 3, 0, 5, "trained trackers, percent"),
    Rule("table4_local|transfer", "*", "*", 6, 0, 6, "the same of one sequence, ten frames in smoke"),
    Rule("*", "*", "MOT*|IDF1*|HOTA*|MT*|ML*|DetA*|AssA*", 3, 0, 5, "trained trackers, percent"),
    Rule("*", "*", "*", 0, 0, 1, "no reason to differ"),
)


class Difference(NamedTuple):
    """A cell that is not as published."""

    row: str
    column: str
    reference: Any
    found: Any
    tolerance: float
    reason: str

    def __str__(self) -> str:
        allowed = f"may differ by {self.tolerance:.3g}: {self.reason}" if self.reason else "must be there"
        values = f"{_text(self.reference)} published, {_text(self.found)} here"
        return f"{self.row}, {self.column}: {values} ({allowed})"


class Comparison(NamedTuple):
    """What has come of a table: the numbers compared, those passed over, and the cells that disagree."""

    compared: int
    skipped: int
    differences: list[Difference]


def rule_for(table: str, row: str, column: str) -> Rule:
    """Return the first rule that fits a cell."""
    return next(
        rule
        for rule in RULES
        if all(
            any(fnmatchcase(text, pattern) for pattern in patterns.split("|"))
            for text, patterns in ((table, rule.tables), (row, rule.rows), (column, rule.columns))
        )
    )


def compare(name: str, reference: pd.DataFrame, found: pd.DataFrame, evidence: bool) -> Comparison:
    """Compare a table with the published one.

    Args:
        name: Its name, without suffix.
        reference: The published table.
        found: That of the run.
        evidence: Whether the profile's numbers may be quoted; if not, the tolerances are those of ``smoke``.

    Returns:
        What agrees and what does not; a row or column that only one of the two has is a difference.
    """
    keys = [column for column in map(str, reference) if _is_key(reference[column], column)]
    expected, actual = _by_row(reference, keys), _by_row(found, [key for key in keys if key in found])
    compared, skipped, differences = 0, 0, []
    for row in expected.index.union(actual.index, sort=False):
        if rule_for(name, row, "").absolute is None and row not in expected.index.intersection(actual.index):
            skipped += 1
        elif row not in actual.index or row not in expected.index:
            there, here = ("a row" if row in index else None for index in (expected.index, actual.index))
            differences.append(Difference(row, "the row", there, here, 0, ""))
    for column in expected.columns.union(actual.columns, sort=False):
        if column not in actual or column not in expected:
            there, here = ("a column" if column in side else None for side in (expected, actual))
            differences.append(Difference("all rows", column, there, here, 0, ""))
            continue
        for row in expected.index.intersection(actual.index, sort=False):
            rule = rule_for(name, row, column)
            wanted: Any = expected.at[row, column]
            got: Any = actual.at[row, column]
            if rule.absolute is None:
                skipped += 1
                continue
            compared += 1
            spread = _spread(expected.loc[row], column)
            allowed = rule.tolerance(wanted, spread, evidence) if pd.notna(wanted) else 0.0
            if not _agree(wanted, got, allowed):
                differences.append(Difference(row, column, wanted, got, allowed, rule.reason))
    return Comparison(compared, skipped, differences)


def verify(
    run: Path, published: Path, evidence: bool, wanted: Sequence[str] = ()
) -> Iterator[tuple[str, Comparison | str]]:
    """Compare the tables of a run with the published ones.

    Args:
        run: The folder of the run's tables.
        published: That of the published ones.
        evidence: As for :func:`compare`.
        wanted: Patterns of the names of the published tables to compare; without any all are.

    Yields:
        A table's name and its comparison, or the reason why there is none.

    Raises:
        FileNotFoundError: Nothing is published, or not by a name that is wanted.
        ValueError: A table is broken.
    """
    files = visible(published, "*.csv") if published.is_dir() else []
    if not files:
        raise FileNotFoundError(f"{published}: nothing is published there to compare with")
    for pattern in wanted:
        if not any(fnmatchcase(file.stem, pattern) for file in files):
            raise FileNotFoundError(f"{published}: no table {pattern} is published there")
    for file in files:
        if wanted and not any(fnmatchcase(file.stem, pattern) for pattern in wanted):
            continue
        if (run / file.name).is_file():
            yield file.stem, compare(file.stem, read(file)[0], read(run / file.name)[0], evidence)
        else:
            yield file.stem, f"the run has not made it: no {run / file.name}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.report.verify", description=__doc__)
    parser.add_argument("profile")
    parser.add_argument(
        "tables", nargs="*", help="of these alone: names such as table5, or patterns of names"
    )
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    options = parser.parse_args(arguments)
    agreeing = numbers = disagreeing = 0
    try:
        profile = settings.get(options.profile)
        run = output_folder() / "runs" / profile.name / "tables"
        published = options.reports / profile.name / "tables"
        for name, result in verify(run, published, profile.may_be_quoted, options.tables):
            if isinstance(result, str):
                print(f"DIFFERS  {name}: {result}")
                disagreeing += 1
                continue
            numbers += result.compared
            told = f"{result.compared} numbers" + f", {result.skipped} not compared" * bool(result.skipped)
            if result.differences:
                disagreeing += 1
                print(f"DIFFERS  {name}: {len(result.differences)} of {told}")
                for difference in result.differences[:_SHOWN]:
                    print(f"           {difference}")
                if len(result.differences) > _SHOWN:
                    print(f"           and {len(result.differences) - _SHOWN} more")
            elif result.compared:
                agreeing += 1
                print(f"agrees   {name}: {told}")
            else:
                print(f"skipped  {name}: {rule_for(name, '', '').reason}")
    except (ValueError, OSError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 1
    print(f"{agreeing} tables agree, {disagreeing} do not; {numbers} numbers were compared")
    return int(disagreeing > 0)


def _is_key(values: pd.Series[Any], name: str) -> bool:
    if not pd.api.types.is_numeric_dtype(values):
        return True
    return name in _KEYS and pd.api.types.is_integer_dtype(values)


def _by_row(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Index a table by the text of its rows; the second of two alike gets a number."""
    text = pd.Series("row", table.index)
    if keys:
        text = table[keys].astype(object).where(table[keys].notna(), "-").astype(str).agg(" ".join, axis=1)
    times = text.groupby(text).cumcount()
    text = text.where(times == 0, text + " #" + (times + 1).astype(str))
    return table.drop(columns=keys).set_index(pd.Index(text))


def _spread(row: pd.Series[Any], column: str) -> float:
    """Return the deviation over seeds that a row tells of one of its means; 0 where it tells none."""
    measure = column.removesuffix(" (ours)")
    spread = row.get("std" if column == "mean" else f"{measure} std", 0.0)
    return 0.0 if pd.isna(spread) else float(spread)


def _agree(reference: Any, found: Any, tolerance: float) -> bool:
    if pd.isna(reference) or pd.isna(found):
        return bool(pd.isna(reference) and pd.isna(found))
    if isinstance(reference, str) or isinstance(found, str):
        return bool(reference == found)
    return bool(np.isclose(float(found), float(reference), rtol=1e-9, atol=tolerance))


def _text(value: Any) -> str:
    if value is None or pd.isna(value):
        return "nothing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
