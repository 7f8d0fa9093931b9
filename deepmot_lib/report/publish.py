"""Publication of a finished run: ``runs/<profile>`` to ``reports/<profile>``, the evidence that git keeps.

python -m deepmot_lib.report.publish standard

Executed notebooks stay with the run: they show frames of the data, whose license is not ours. Of a profile
whose numbers are no evidence the tables alone are kept: what ``verify`` compares a run with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from ..data.files import temporary_folder
from ..experiments import workflow
from ..experiments.experiment import Experiment, Paths
from ..experiments.tables import commit
from . import contents

#: What of a run is copied where its numbers are evidence.
_EVIDENCE = ("tables", "figures")
#: The report, which ends a run, and which is written anew where it is published.
_REPORT = ("REPORT.md", "index.html")


class PublishError(RuntimeError):
    """A run that is no evidence: unfinished, or made by another state of the code."""


def publish(experiment: Experiment, reports: Path) -> Path:
    """Publish a finished run in ``reports/<profile>``.

    That is its tables and, where they are evidence, its figures and its report, without links to executed
    notebooks.

    Args:
        experiment: The experiment that was run.
        reports: The folder of published reports.

    Returns:
        The folder that was written; what stood there before is gone.

    Raises:
        PublishError: The run is not finished, or not by the checkout's code; the checkout, or one that a
            table or weights were made at, has uncommitted changes.
    """
    root, settings = experiment.paths.root, experiment.settings
    # The comparison on rendered scenes has no report of its own.
    report = () if settings.comparison.evidence else _REPORT
    if missing := [name for name in (*_EVIDENCE, *report) if not (root / name).exists()]:
        raise PublishError(f"{root} is not a finished run: it has no {', '.join(missing)}")
    here = commit()
    if not _is_clean(here):
        raise PublishError(f"the checkout is at commit {here}: commit all changes, run, and publish then")
    if unclear := [each for each in sorted(commits(experiment.paths.tables)) if not _is_clean(each)]:
        raise PublishError(f"tables of {root} were made at commit {', '.join(unclear)}: run again")
    if not is_up_to_date(settings.name):
        command = f"make reproduce PROFILE={settings.name}"
        raise PublishError(f"{root} is not what the code of {here} makes: {command}")
    kept = _EVIDENCE if settings.may_be_quoted else ("tables",)
    written = report if settings.may_be_quoted else ()
    target = reports / settings.name
    with temporary_folder(target) as folder:
        for name in kept:
            shutil.copytree(root / name, folder / name)
        if written:
            # In a folder beside the target, so that the links hold there.
            contents.write(replace(experiment, paths=Paths(folder)))
        new = folder / "new"
        new.mkdir()
        for name in (*kept, *written):
            (folder / name).rename(new / name)
        if target.exists():
            target.rename(folder / "old")
        new.rename(target)
    return target


def commits(tables: Path) -> set[str]:
    """Return the commits at which the tables of a folder were made, and their weights trained."""
    found = set()
    for file in sorted(tables.glob("*.json")):
        made_from = json.loads(file.read_text())
        # Pooled tables list what they were made from, separated by "; ".
        found |= set(str(made_from["commit"]).split("; "))
        trained = made_from.get("trained") or ""
        found |= {part.split(" ")[1] for part in trained.split("; ") if part.startswith("at ")}
    return found


def is_up_to_date(profile: str) -> bool:
    """Return whether the workflow has nothing to do.

    It compares the code of each notebook, and of all that it imports, with the code that its results were
    made by. So a table of an earlier commit is still what this checkout makes.
    """
    command = [sys.executable, "-m", workflow.__name__, profile, "--dry-run"]
    planned = subprocess.run(command, capture_output=True, text=True, check=True)
    return "Nothing to be done" in planned.stdout + planned.stderr


def _is_clean(commit: str) -> bool:
    return commit != "unknown" and not commit.endswith("+")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.report.publish", description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        print(publish(Experiment.open(options.profile, "cpu"), options.reports))
    except (PublishError, ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
