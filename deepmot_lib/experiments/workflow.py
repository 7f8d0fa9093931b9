"""The whole workflow of a profile, one run at a time; what ``make reproduce`` calls.

    python -m deepmot_lib.experiments.workflow smoke --cores 2
    python -m deepmot_lib.experiments.workflow paper --executor slurm --jobs 20

A line is printed for each finished job. Other options go to Snakemake, which tells more on another machine
(``--executor``), with ``--dry-run`` and with ``--verbose``. Its own lock outlives a killed run and must then
be removed by hand; the lock that is taken here in its place is released by the system, whatever ends the run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import folders, progress, settings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: With one of these it is Snakemake that prints.
_TOLD_BY_SNAKEMAKE = ("--executor", "-e", "--dry-run", "--dryrun", "-n", "--verbose", "--quiet", "-q")
SNAKEFILE = Path(__file__).parents[2] / "Snakefile"


class WorkflowError(RuntimeError):
    """The workflow cannot be started."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of results for the block.

    Args:
        folder: ``runs/<profile>``; it is made where it is not there.

    Raises:
        WorkflowError: Another process holds the lock; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise WorkflowError(
                    f"another run of this profile is going on in {folder} (process {lock.read().strip()}): "
                    "wait until it has ended, or end it"
                ) from None
            except OSError as error:  # not every network file system has locks
                print(f"{folder}: no lock ({error}); start no second run beside this one", file=sys.stderr)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def run(profile: str, *options: str) -> int:
    """Run the workflow, or go on with one that was interrupted.

    Args:
        profile: "smoke", "standard", "paper" or "rendered".
        options: Options of Snakemake.

    Returns:
        Snakemake's exit status.

    Raises:
        ValueError: There is no such profile.
        FileNotFoundError: ``DEEPMOT_DATA`` names no folder, or there is no checkout.
        WorkflowError: Another run of the profile is going on.
    """
    chosen = settings.get(profile)
    if chosen.real_data:
        folders.data_folder()
    if not SNAKEFILE.is_file():
        raise FileNotFoundError(f"{SNAKEFILE}: the workflow runs from a checkout, not from an installed copy")
    # Snakemake works in the folder of its results: from there a relative path would lead elsewhere.
    folders.resolve()
    root = folders.output_folder()
    with only_run(root / "runs" / chosen.name):
        from snakemake.cli import main as snakemake

        if not set(options) & set(_TOLD_BY_SNAKEMAKE):
            progress.register(root, root / "runs" / chosen.name / "logs")
            options = ("--logger", progress.PLUGIN, *options)
        try:
            snakemake(
                [
                    *("--snakefile", str(SNAKEFILE), "--directory", str(root), "--nolock"),
                    "--rerun-incomplete",
                    *("--config", f"profile={chosen.name}"),
                    *options,
                ]
            )
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.experiments.workflow", description=__doc__)
    parser.add_argument("profile")
    options, others = parser.parse_known_args(arguments)
    try:
        return run(options.profile, *others)
    except (ValueError, FileNotFoundError, WorkflowError) as error:
        print(f"workflow: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
