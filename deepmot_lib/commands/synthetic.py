"""``deepmot data synthetic``: rendered sequences."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..experiments.settings import get
from .checks import add_seed

SUMMARY = "rendered pedestrian sequences in MOTChallenge layout"
EXAMPLES = """
  deepmot data synthetic --out rendered                                      three, as large as TUD-Stadtmitte
  deepmot data synthetic --out small --sequences 1 --frames 40 --size 240x320
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``deepmot data synthetic``."""
    usual = get("standard").embedded
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write train/ into")
    parser.add_argument(
        "--sequences",
        type=int,
        default=usual.sequences,
        metavar="N",
        help="how many, each with the detections of three detectors (default: %(default)s)",
    )
    parser.add_argument(
        "--frames", type=int, default=usual.frames, metavar="F", help="of each (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=usual.image_size,
        metavar="HxW",
        help="height and width of the images in pixels (default: {}x{})".format(*usual.image_size),
    )
    add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Render the sequences."""
    from ..data import synthetic

    found = synthetic.write_sequences(
        arguments.out, arguments.sequences, arguments.frames, arguments.size, arguments.seed
    )
    print(f"{arguments.out} holds {len(found)} sequences, {found[0].name} to {found[-1].name}")


def _size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` in pixels."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 480x640")
    return int(height), int(width)
