"""The workflow in a small checkout: odd paths, two runs at once, and going on after a kill."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deepmot_lib.experiments import workflow
from deepmot_lib.experiments.workflow import WorkflowError, only_run
from tests.test_notebook_runs import until
from tests.test_notebooks import listing, printed, write

ROOT = Path(__file__).parents[1]
ODD = """it's a "café" {x}: 1 {profile}"""
PYTHON = Path(".venv") / Path(sys.executable).relative_to(sys.prefix)
TARGET = "runs/smoke/notebooks/05_deepmot_loss.ipynb"

HOLD = """
import sys, time
from pathlib import Path
from deepmot_lib.experiments.workflow import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def checkout(folder: Path, *cells: str) -> Path:
    """A checkout whose notebook 05 consists of the given cells."""
    folder.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "weights", ".ipynb_checkpoints")
    for name in ("deepmot_lib", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    for name in ("Snakefile", "Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    write(folder / "notebooks" / "05_deepmot_loss.ipynb", "profile = 'smoke'", *cells)
    return folder


def start(folder: Path, *options: str, **variables: str) -> subprocess.Popen:
    # The checkout's own package is imported, from the working directory: PYTHONPATH has no colons in a path.
    clean = {key: value for key, value in os.environ.items() if key not in ("DEEPMOT_OUT", "DEEPMOT_DATA")}
    return subprocess.Popen(
        [str(folder / PYTHON), "-m", "deepmot_lib.experiments.workflow", "smoke", "--cores", "1", *options],
        cwd=folder,
        env={**clean, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# --- the lock -----------------------------------------------------------------------------------------------


def test_one_run_at_a_time_and_no_lock_outlives_its_owner(tmp_path):
    folder = tmp_path / "runs" / "smoke"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "held\n"
    with (
        pytest.raises(WorkflowError, match=rf"another run .*smoke \(process {owner.pid}\)"),
        only_run(folder),
    ):
        pytest.fail("two at once")
    with only_run(tmp_path / "runs" / "standard"):
        pass
    owner.kill()
    owner.wait()
    with only_run(folder):
        assert (folder / ".lock").read_text() == f"{os.getpid()}\n"
    owner.stdout.close()


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path / "none"))
    assert workflow.main(["quick"]) == 1
    assert "unknown profile 'quick'" in capsys.readouterr().err
    assert workflow.main(["standard"]) == 1
    assert "none is not a folder" in capsys.readouterr().err
    monkeypatch.setattr(workflow, "SNAKEFILE", tmp_path / "Snakefile")
    assert workflow.main(["smoke"]) == 1
    assert "runs from a checkout" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- paths --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_checkout_of_any_name(tmp_path):
    folder = checkout(
        tmp_path / ODD, "import os, sys\nprint(os.getcwd(), os.environ['DEEPMOT_OUT'], sys.executable)"
    )
    before = listing(folder)
    planned = start(folder, "--dry-run")
    told, _ = planned.communicate(timeout=300)
    assert planned.returncode == 0, told
    done = start(folder, TARGET)
    told, _ = done.communicate(timeout=300)
    assert done.returncode == 0, told
    lines = [line for line in told.splitlines() if "WARNING" not in line]
    assert lines[0] == f"1 jobs; each has its log in {folder / 'runs' / 'smoke' / 'logs'}"
    assert re.fullmatch(r"\[1/1\] 05 deepmot loss \.\.\. \d+ s", lines[-1]) and len(lines) == 2, told
    assert printed(folder / TARGET) == f"{folder / 'notebooks'} {folder} {folder / PYTHON}\n"
    assert set(listing(folder)) - set(before) == {".snakemake", "runs"}
    again = start(folder, TARGET)
    told, _ = again.communicate(timeout=300)
    assert again.returncode == 0 and "Nothing to be done" in told
    # make's own lines: a run of one notebook is not there to be published.
    made = subprocess.run(
        ["make", "--old-file", ".venv/.installed", "publish", "PROFILE=smoke"],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
    )
    assert f"publish: {folder}/runs/smoke is not a finished run" in made.stderr


@pytest.mark.slow
def test_results_go_where_the_caller_says(tmp_path):
    folder = checkout(tmp_path / "checkout", "import os\nprint(os.environ['DEEPMOT_DATA'])")
    done = start(folder, TARGET, DEEPMOT_OUT="../out", DEEPMOT_DATA="../data")
    told, _ = done.communicate(timeout=300)
    assert done.returncode == 0, told
    assert printed(tmp_path / "out" / TARGET) == f"{tmp_path / 'data'}\n"
    assert not (folder / "runs").exists()


# --- interruptions ------------------------------------------------------------------------------------------

WAITS = """import os, time
from pathlib import Path
path = Path(os.environ["DEEPMOT_OUT"]) / "count"
for i in range(600):
    path.write_text(str(i))
    if not (path.parent / "wait").exists():
        break
    time.sleep(0.1)"""


@pytest.mark.slow
def test_two_at_once_and_going_on_after_the_engine_alone_was_killed(tmp_path):
    folder = checkout(tmp_path / "checkout", WAITS)
    (folder / "wait").touch()
    first = start(folder, TARGET)
    assert until((folder / "count").exists, 120)
    below = psutil.Process(first.pid).children(recursive=True)
    assert below

    second = start(folder, TARGET)
    told, _ = second.communicate(timeout=300)
    assert second.returncode == 1
    assert (
        f"another run of this profile is going on in {folder / 'runs' / 'smoke'} (process {first.pid})"
        in told
    )

    first.kill()
    first.wait()
    _, alive = psutil.wait_procs(below, timeout=300)
    assert alive == [], "jobs end with the engine"
    assert not (folder / TARGET).exists()

    (folder / "wait").unlink()
    third = start(folder, TARGET)
    told, _ = third.communicate(timeout=300)
    assert third.returncode == 0, told
    assert (folder / TARGET).exists() and (folder / "count").read_text() == "0"
