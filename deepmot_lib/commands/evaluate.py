"""``deepmot evaluate``: the measures of result files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .checks import check_output

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "CLEAR-MOT, identity and HOTA measures of result files"
EXAMPLES = """
  deepmot evaluate --gt MOT17/train --results mine                    a folder of SEQUENCE.txt files
  deepmot evaluate --gt MOT17/train --results mine theirs.zip --csv table.csv
  deepmot evaluate --gt gt.txt --results film.txt --protocol plain    one file, one sequence
"""
_COMPARED = ["MOTA", "HOTA", "IDF1", "MOTP", "MT", "ML", "FP", "FN", "IDs", "FM"]


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot evaluate``."""
    parser.add_argument(
        "--gt",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="folder of MOTChallenge sequences, or a single gt.txt",
    )
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR|FILE",
        help="folder or .zip of SEQUENCE.txt files, or a single result file: one per tracker",
    )
    parser.add_argument(
        "--protocol",
        default="motchallenge",
        help="motchallenge (default; the official preprocessing and counting) or plain (no preprocessing, "
        "counted as the paper's own code did: for MOT15 and own data); never compare numbers of the two",
    )
    parser.add_argument(
        "--benchmark",
        help="MOT15, MOT16, MOT17 or MOT20, whose distractors differ (default: by each sequence's name, "
        "else MOT17)",
    )
    parser.add_argument(
        "--classes",
        type=int,
        nargs="+",
        metavar="CLASS",
        help="evaluate the ground truth of these classes (default: pedestrians, 1; plain: all)",
    )
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="evaluate these only (default: all)")
    parser.add_argument(
        "--part",
        choices=["train", "val", "test"],
        help="evaluate the first half (train), third quarter (val) or last quarter (test) of each sequence",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table to this file")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the results and print the measures; write them to a table where one is named."""
    for path, what in [(arguments.gt, "ground truth"), *((one, "results") for one in arguments.results)]:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such folder of {what}, and no such file")
    if arguments.csv:
        check_output(arguments.csv, "--csv", *filter(Path.is_file, [arguments.gt, *arguments.results]))
    from .. import evaluation

    folders = _by_name(arguments.results)
    table = evaluation.compare(
        arguments.gt,
        folders,
        arguments.protocol,
        arguments.sequences,
        arguments.part,
        arguments.benchmark,
        arguments.classes,
    )
    several = len(folders) > 1
    print(f"protocol: {arguments.protocol} ({_conditions(table, arguments.benchmark)})")
    for tracker in folders:
        print(
            f"\n{tracker}\n" if several else "",
            _percent(table.loc[[tracker]].droplevel("tracker")),
            sep="",
        )
    if several:
        overall = table.query("sequence == @evaluation.OVERALL").droplevel("sequence")
        overall = overall.sort_values("MOTA", ascending=False)
        print(f"\n{evaluation.OVERALL}, best MOTA first\n{_percent(overall[_COMPARED])}")
    for tracker, name in table.query("FP + Rcll == 0").index:
        if name != evaluation.OVERALL:
            print(f"deepmot: {folders[tracker]}: no result for {name} counts", file=sys.stderr)
    if arguments.csv:
        evaluation.write_csv(arguments.csv, table if several else table.droplevel("tracker"))


def _by_name(folders: list[Path]) -> dict[str, Path]:
    """Each tracker's folder by its name, or by its whole path where two have one name (``A/data B/data``)."""
    names = [folder.absolute().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(map(str, folders))
    if len(set(names)) < len(names):
        raise ValueError(f"--results: the same folder twice in {', '.join(names)}")
    return dict(zip(names, folders, strict=True))


def _conditions(table: pd.DataFrame, asked: str | None) -> str:
    """Under what a table's numbers were counted, and how to read them."""
    from ..evaluation.protocol import benchmark_of

    told = []
    if table.attrs["protocol"] == "motchallenge":
        for name, benchmark in table.attrs["benchmark"].items():
            why = "as asked" if asked else "by name" if benchmark_of(name) else "by default"
            told.append(f"benchmark {benchmark} {why}")
        told = sorted(set(told))
    if table.attrs["classes"]:
        told.append(f"classes {', '.join(map(str, table.attrs['classes']))}")
    if table.attrs["part"]:
        told.append(f"part {table.attrs['part']}")
    return "; ".join([*told, "ratios in %, MOTP: mean overlap, up is better"])


def _percent(table: pd.DataFrame) -> str:
    """A table of ``evaluation`` to print: ratios in percent, counts as they are."""
    from ..evaluation import COUNTS

    shown = table.astype(object)
    for name in table.columns.difference(COUNTS):
        shown[name] = (100 * table[name]).map("{:.1f}".format)
    return shown.rename_axis(None).to_string()
