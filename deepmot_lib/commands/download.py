"""``deepmot data download``: the benchmarks' sequences."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

SUMMARY = "MOT15, MOT16 or MOT17 from motchallenge.net"
EXAMPLES = """
  deepmot data download MOT17 --out ~/mot      goes on where it was cut off; then: export DEEPMOT_DATA=~/mot
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot data download``."""
    parser.add_argument("dataset", choices=["MOT15", "MOT16", "MOT17"])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to unpack into")


def run(arguments: argparse.Namespace) -> None:
    """Download a benchmark and unpack it."""
    from ..data import download

    folder = download.fetch(arguments.dataset, arguments.out)
    data = shlex.quote(str(arguments.out.resolve()))
    print(f"{folder} is complete; for notebooks and tests: export DEEPMOT_DATA={data}")
