"""``deepmot data pairs``: what Deep Hungarian Nets are trained on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .checks import add_seed, check_output

SUMMARY = "training pairs of a Deep Hungarian Net, from ground truth and detections"
EXAMPLES = """
  deepmot data pairs --from MOT17/train --out pairs.npz
  deepmot data pairs --from MOT17/train --part test --out test.npz
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot data pairs``."""
    parser.add_argument(
        "--from",
        dest="root",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of MOTChallenge sequences with ground truth and detections",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="pair file to write")
    parser.add_argument(
        "--part",
        choices=["train", "val", "test"],
        help="only the first half (train), third quarter (val) or last quarter (test) of each sequence",
    )
    add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the pair file of the sequences that have ground truth and detections."""
    check_output(arguments.out, "--out")
    from tqdm import tqdm

    from ..data import mot, pairs

    found = mot.scan(arguments.root).having("ground truth", "detections")
    if found.skipped:
        print(f"deepmot: skipped: {found.reasons()}", file=sys.stderr)
    made = pairs.generate(tqdm(found.sequences, unit=" sequences"), arguments.part, arguments.seed)
    pairs.write(arguments.out, made)
    print(f"{arguments.out} holds {len(made):,} pairs of {len(found.sequences)} sequences")
