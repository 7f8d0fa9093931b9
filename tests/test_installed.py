"""The package installed, not editable: nothing is written but what was asked for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepmot_lib import trackers
from deepmot_lib.data import synthetic
from tests.test_track_command import small

ROOT = Path(__file__).parents[1]


def listing(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A read-only folder of packages that holds this one alone, as a wheel would bring it."""
    site = tmp_path_factory.mktemp("site-packages")
    shutil.copytree(ROOT / "deepmot_lib", site / "deepmot_lib", ignore=shutil.ignore_patterns("__pycache__"))
    folders = [site, *(path for path in site.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield site
    for folder in folders:
        folder.chmod(0o755)


def run(site: Path, here: Path, *words: object) -> subprocess.CompletedProcess:
    # Python itself caches bytecode beside the source where it may; root may everywhere.
    environment = {
        key: value for key, value in os.environ.items() if key not in ("DEEPMOT_OUT", "DEEPMOT_DATA")
    }
    environment |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_track_and_evaluate_write_what_was_asked_for_alone(site, tmp_path):
    sequence = synthetic.write_sequences(tmp_path / "gt", 1, 6, (96, 128))[2]
    weights = tmp_path / "weights.safetensors"
    trackers.save(weights, small("tracktor"))
    here = tmp_path / "here"
    here.mkdir()
    before = listing(site)

    where = run(site, here, "-c", "import deepmot_lib; print(deepmot_lib.__file__)").stdout
    assert where.startswith(str(site)), "the copy is the one that runs"
    results = here / "results" / f"{sequence.name}.txt"
    run(
        site,
        here,
        *("-m", "deepmot_lib", "track", sequence.path),
        *("--tracker", "tracktor", "--weights", weights, "--out", results),
    )
    assert sorted(listing(here)) == ["results", f"results/{sequence.name}.txt"]
    gt = sequence.path.parent
    done = run(
        site,
        here,
        *("-m", "deepmot_lib", "evaluate", "--gt", gt, "--results", "results", "--sequences", sequence.name),
        *("--protocol", "plain", "--csv", "table.csv"),
    )
    assert "OVERALL" in done.stdout
    assert sorted(listing(here)) == ["results", f"results/{sequence.name}.txt", "table.csv"]
    assert listing(site) == before


@pytest.mark.slow
def test_a_report_goes_below_the_working_directory(site, tmp_path):
    before = listing(site)
    script = (
        "from deepmot_lib.experiments.experiment import Experiment\n"
        "from deepmot_lib.report import contents\n"
        "from deepmot_lib.experiments import tables\n"
        "print(contents.write(Experiment.open('smoke', 'cpu')), tables.commit())"
    )
    done = run(site, tmp_path, "-c", script)
    report = tmp_path / "runs" / "smoke" / "REPORT.md"
    assert done.stdout.split() == [str(report), "unknown"] and report.is_file()
    assert (report.parent / "index.html").read_text().startswith("<!")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert listing(site) == before
