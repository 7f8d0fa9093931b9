"""Which kernel runs a notebook, what it sees of the caller's folders, and when its job ends."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from deepmot_lib.experiments import folders, kernels, notebooks
from deepmot_lib.experiments.engine import ENGINE, process_name
from tests.test_notebooks import printed, write

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "import os, sys",
    "print(os.environ['DEEPMOT_DATA'], os.environ['DEEPMOT_OUT'], sys.executable, sep='\\n')",
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "deepmot_lib.experiments.notebooks", *map(str, arguments)]


def seen_from(folder: Path) -> dict[str, str]:
    """An environment for processes whose working directory is not this one."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}


@pytest.fixture
def relative(tmp_path, monkeypatch):
    """Folders named relative to the caller and to home, and a notebook that prints them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEEPMOT_DATA", "../data")
    monkeypatch.setenv("DEEPMOT_OUT", "~/out")
    return write(tmp_path / "notebooks" / "a.ipynb", *FOLDERS)


# --- folders ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_folders_are_those_of_the_caller_in_run_and_refresh(relative, tmp_path):
    expected = f"{tmp_path.parent / 'data'}\n{tmp_path / 'home' / 'out'}\n{sys.executable}\n"
    notebooks.main(["run", "notebooks/a.ipynb", "out.ipynb"])
    assert printed(tmp_path / "out.ipynb") == expected
    notebooks.main(["refresh", "notebooks/a.ipynb"])
    assert printed(relative) == expected
    assert not (tmp_path / "~").exists() and not (tmp_path / "notebooks" / "~").exists()


def test_a_variable_that_is_not_set_stays_so(monkeypatch):
    monkeypatch.setenv("DEEPMOT_DATA", "")
    monkeypatch.delenv("DEEPMOT_OUT", raising=False)
    folders.resolve()
    assert os.environ["DEEPMOT_DATA"] == "" and "DEEPMOT_OUT" not in os.environ


def test_jupyterlab_starts_with_the_callers_folders(relative, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(os, "execve", lambda *arguments: called.append(arguments) or sys.exit())
    with pytest.raises(SystemExit):
        notebooks.main(["lab", "notebooks"])
    ((_, words, environment),) = called
    assert words[:4] == [sys.executable, "-m", "jupyter", "lab"]
    # It opens at the index, and links out of the folder, to the library's source, work.
    assert words[4:] == [str(Path.cwd()), "--LabApp.default_url=/lab/tree/notebooks/index.ipynb"]
    assert environment["DEEPMOT_DATA"] == str(tmp_path.parent / "data")
    assert environment["DEEPMOT_OUT"] == str(tmp_path / "home" / "out")
    assert environment["JUPYTER_PREFER_ENV_PATH"] == "1"


# --- kernels ------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A user's own kernel spec of the name python3, which comes first and starts nothing."""
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "theirs", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


@pytest.mark.slow
def test_a_users_own_kernel_spec_is_not_taken(foreign, tmp_path, capfd):
    source = write(tmp_path / "a.ipynb", "import sys", "print(sys.executable)")
    notebooks.main(["run", str(source), str(tmp_path / "out.ipynb")])
    assert printed(tmp_path / "out.ipynb") == f"{sys.executable}\n"
    assert f"kernel: {sys.executable} -m ipykernel_launcher" in capfd.readouterr().out
    notebooks.main(["refresh", str(source)])
    assert printed(source) == f"{sys.executable}\n"


@pytest.mark.slow
def test_nbval_takes_this_environments_kernel_and_the_callers_folders(foreign, tmp_path):
    source = write(tmp_path / "notebooks" / "a.ipynb", "import os", "print(os.environ['DEEPMOT_DATA'])")
    environment = {**seen_from(tmp_path), "DEEPMOT_DATA": str(tmp_path / "data")}
    subprocess.run(command("refresh", source), env=environment, cwd=tmp_path, check=True, capture_output=True)
    shutil.copy(ROOT / "conftest.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "--rootdir", ".", "notebooks"],
        env={**environment, "DEEPMOT_DATA": "data"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at its start", "in a cell"])
def test_a_kernel_that_died_is_named(tmp_path, monkeypatch, when):
    source = write(tmp_path / "a.ipynb", "import os", "os._exit(3)")
    if when == "at its start":
        monkeypatch.setattr(kernels, "get_kernel_dict", lambda: {"argv": ["false"], "language": "python"})
    named = re.escape(f"(kernel: {sys.executable} -m ipykernel_launcher)")
    with pytest.raises(RuntimeError, match=f"a.ipynb: Kernel died.*{named}"):
        notebooks.run(source, tmp_path / "out.ipynb", {})


# --- jobs end with the workflow -----------------------------------------------------------------------------

WRITES = (
    "import time, pathlib\nfor i in range(600):\n    pathlib.Path('n').write_text(str(i)); time.sleep(0.1)"
)


def until(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.slow
def test_a_job_ends_with_the_engine_and_writes_no_more(tmp_path):
    source = write(tmp_path / "a.ipynb", "n = 1", WRITES)
    engine = subprocess.Popen(["sleep", "600"])
    environment = {**seen_from(tmp_path), ENGINE: process_name(engine.pid)}
    job = subprocess.Popen(
        command("run", source, tmp_path / "out" / "a.ipynb"),
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert until((tmp_path / "n").exists)
        time.sleep(2)
        assert job.poll() is None, "it runs as long as the engine does"
        engine.kill()
        _, said = job.communicate(timeout=300)
        last = (tmp_path / "n").read_text()
        time.sleep(1.5)
        assert (tmp_path / "n").read_text() == last, "the kernel has ended too"
        assert job.returncode == 1 and "the workflow that started this job is gone" in said
        assert not (tmp_path / "out" / "a.ipynb").exists()
    finally:
        engine.kill()
        engine.wait()
        job.kill()


@pytest.mark.slow
def test_another_process_of_the_same_id_is_not_the_engine(tmp_path):
    source = write(tmp_path / "a.ipynb", "n = 1")
    pid, started = process_name(os.getpid()).split(" ")
    environment = {**seen_from(tmp_path), ENGINE: f"{pid} {float(started) - 100}"}
    done = subprocess.run(
        command("run", source, tmp_path / "out.ipynb"), env=environment, cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 1 and b"gone" in done.stderr
    assert nbformat.read(source, 4).cells[0].source == "n = 1"
