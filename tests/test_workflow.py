"""The whole workflow from nothing, as `make reproduce` runs it, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from deepmot_lib import paper
from deepmot_lib.experiments import notebooks, tables
from deepmot_lib.report import publish

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[1]


def reproduce(folder: Path, profile: str = "smoke") -> subprocess.CompletedProcess:
    """What `make reproduce` runs, with its files below ``folder``."""
    command = [sys.executable, "-m", "deepmot_lib.experiments.workflow", profile, "--cores", "2"]
    environment = {**os.environ, "DEEPMOT_OUT": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPO)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the smoke workflow has run, without touching anything that git keeps.

    `make test` names it in DEEPMOT_TEST_RUN, and lets the notebooks find there what has been trained.
    """
    folder = Path(os.environ.get("DEEPMOT_TEST_RUN") or tmp_path_factory.mktemp("workflow"))
    before = git_status()
    done = reproduce(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert git_status() == before
    return folder


def git_status() -> str:
    command = ["git", "--no-optional-locks", "status", "--short"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True).stdout


def test_the_report_is_there_and_says_what_it_is(finished):
    report = (finished / "runs" / "smoke" / "REPORT.md").read_text()
    assert "no evidence" in report
    for number in range(1, 7):
        assert f"## Table {number}" in report
    for figure in (finished / "runs" / "smoke" / "figures").glob("*.png"):
        assert figure.name in report


def test_the_page_leads_to_every_notebook_as_it_ran(finished):
    page = (finished / "runs" / "smoke" / "index.html").read_text()
    ran = {file.stem for file in (finished / "runs" / "smoke" / "notebooks").glob("*.ipynb")}
    pages = {file.stem for file in (finished / "runs" / "smoke" / "html").glob("*.html")}
    assert pages == ran - {"10_report"}, "all but the one that writes the page"
    assert all(f"html/{name}.html" in page for name in pages)


def test_table_5_holds_the_papers_numbers_beside_ours(finished):
    frame, made_from = tables.read(finished / "runs" / "smoke" / "tables" / "table5.csv")
    assert made_from["profile"] == "smoke"
    assert made_from["weights"]
    theirs = paper.table(5)
    assert frame["WA (paper)"].dropna().tolist() == theirs["WA"].tolist()
    ours = frame.set_index(["network", "discretization"])["WA (ours)"]
    assert 50 < ours["seq_gru", "row"] <= 100, "the smoke network learns more than chance"
    assert ours["sinkhorn"].min() > ours["softmax"].max(), "the controls stand beside the networks"
    assert frame.groupby("network")["seeds"].max()["min_sum"] == 2


def test_table_6_and_fig_8_are_there(finished):
    reports = finished / "runs" / "smoke"
    frame, _ = tables.read(reports / "tables" / "table6.csv")
    assert frame["WA (paper)"].dropna().tolist() == paper.table(6)["WA"].tolist()
    assert frame.set_index("network").loc["hungarian", "WA (ours)"].tolist() == [100, 100]
    assert (reports / "figures" / "fig8.png").stat().st_size > 10_000


def test_every_notebook_ran_with_the_profile(finished):
    ran = sorted((finished / "runs" / "smoke" / "notebooks").glob("*.ipynb"))
    stories = {file.stem for file in (REPO / "notebooks").glob("*.ipynb")}
    assert {file.stem.split("-")[0] for file in ran} == stories
    for file in ran:
        cells = nbformat.read(file, as_version=4).cells
        assert not [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]


@pytest.mark.parametrize("name", ["08_tracker_ablation", "11_beyond_the_paper"])
def test_what_smoke_hides_for_want_of_numbers_can_be_drawn(finished, name, tmp_path, monkeypatch):
    content = nbformat.read(REPO / "notebooks" / f"{name}.ipynb", as_version=4)
    show_all = "from deepmot_lib.report import exhibits\nexhibits.enough = lambda found, least, what: True"
    assert any("enough(" in cell.source for cell in content.cells), "else there is nothing to show"
    content.cells.insert(0, nbformat.v4.new_code_cell(show_all))
    nbformat.write(content, tmp_path / f"{name}.ipynb")
    monkeypatch.setenv("DEEPMOT_OUT", str(finished))
    notebooks.run(tmp_path / f"{name}.ipynb", tmp_path / "ran.ipynb", {})


def test_a_second_run_does_nothing(finished):
    again = reproduce(finished)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr + again.stdout


def test_only_a_finished_run_is_up_to_date(finished, tmp_path, monkeypatch):
    for folder, expected in ((finished, True), (tmp_path, False)):
        monkeypatch.setenv("DEEPMOT_OUT", str(folder))
        assert publish.is_up_to_date("smoke") is expected


def test_an_unknown_profile_is_named(tmp_path):
    refused = reproduce(tmp_path, "quick")
    assert refused.returncode != 0
    assert "unknown profile 'quick': choose one of smoke, standard, paper" in refused.stderr + refused.stdout
