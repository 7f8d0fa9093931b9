"""``deepmot submission``: the archive for MOTChallenge's server."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

from .checks import check_output

SUMMARY = "the archive that MOTChallenge's server takes, checked"
EXAMPLES = """
  deepmot submission --test MOT17/test --train MOT17/train --results results --out submission.zip
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot submission``."""
    parser.add_argument(
        "--test",
        type=Path,
        required=True,
        metavar="DIR",
        help="the benchmark's test sequences, MOT17/test itself",
    )
    parser.add_argument(
        "--train",
        type=Path,
        metavar="DIR",
        help="its training sequences, MOT17/train: the server takes no archive without results for them",
    )
    parser.add_argument(
        "--results", type=Path, required=True, metavar="DIR", help="folder of SEQUENCE.txt files"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="archive to write")


def run(arguments: argparse.Namespace) -> None:
    """Check the results and write the archive."""
    check_output(arguments.out, "--out")
    from ..evaluation import submission

    file = submission.write(arguments.results, arguments.test, arguments.out, arguments.train)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    print(f"{file} holds the checked results of {len(entries)} sequences")
    if empty := [entry.filename for entry in entries if not entry.file_size]:
        print(f"without any result: {', '.join(empty)}")
    if not arguments.train:
        print(f"the server wants training sequences too, {2 * len(entries)} files: add --train DIR")
