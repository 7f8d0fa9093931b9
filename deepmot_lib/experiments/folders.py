"""The folders that the environment names.

They are ``DEEPMOT_DATA``, real data, and ``DEEPMOT_OUT``, below which ``runs`` lies.

This module imports neither torch nor pandas: a workflow reads it at each start.
"""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLES = ("DEEPMOT_DATA", "DEEPMOT_OUT")


def resolve() -> None:
    """Make the two variables absolute, as seen from here: notebooks and Snakemake work in other folders."""
    for name in _VARIABLES:
        if value := os.environ.get(name):
            os.environ[name] = os.path.abspath(os.path.expanduser(value))


def data_folder() -> Path | None:
    """Return the folder of real data that ``DEEPMOT_DATA`` names, or None where the variable is unset.

    Raises:
        FileNotFoundError: It names no folder.
    """
    value = os.environ.get("DEEPMOT_DATA", "")
    if not value:
        return None
    root = Path(value).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"DEEPMOT_DATA={value} is not a folder (seen from {Path.cwd()})")
    return root.resolve()


def output_folder() -> Path:
    """Return the folder below which ``runs`` lies: see ``Experiment.open``."""
    if value := os.environ.get("DEEPMOT_OUT", ""):
        return Path(value).expanduser().resolve()
    here = Path.cwd()
    checkouts = (
        folder for folder in (here, *here.parents) if (folder / "deepmot_lib" / "paper.py").is_file()
    )
    return next(checkouts, here)
