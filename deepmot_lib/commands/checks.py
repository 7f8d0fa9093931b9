"""What is checked before hours of work: files to be written, and arguments."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path


def check_output(path: Path, option: str, *inputs: Path) -> None:
    """Check that a file can be written; its folder is made later where there is none.

    Args:
        path: The file.
        option: The option that named it, for the message.
        inputs: Files that must not be overwritten.

    Raises:
        OSError: It is a folder, or lies in one that cannot be written to.
        ValueError: It is one of ``inputs``.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path}: is a folder, not the name of a file")
    if any(path.exists() and path.samefile(one) for one in inputs):
        raise ValueError(f"{option} {path}: would overwrite what is read")
    if path.exists() and not path.is_file():  # a pipe or a device
        place = path
    else:
        place = next(one for one in Path(os.path.realpath(path)).parents if one.exists())
        if not place.is_dir():
            raise NotADirectoryError(f"{option} {path}: {place} is no folder")
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{option} {path}: {place} cannot be written to")


def frame_rate(text: str) -> float:
    """Read frames per second from the command line."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames per second")
    return rate


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--seed``."""
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed gives the same files (default: 0)"
    )
