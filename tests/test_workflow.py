"""The whole workflow from nothing, as `make reproduce` runs it, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from deepmot_lib import paper
from deepmot_lib.experiments import tables

REPO = Path(__file__).parents[1]


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Runs the workflow below ``folder`` without network access to any data."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(REPO / "Snakefile"),
        "--directory",
        str(folder),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "DEEPMOT_OUT"}
    return subprocess.run(
        [*command, "--cores", "2", *options], capture_output=True, text=True, env=environment, timeout=1500
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the smoke workflow has run, without touching the reports of the checkout."""
    folder = tmp_path_factory.mktemp("workflow")
    before = reports_of_the_checkout()
    done = snakemake(folder, "--config", "profile=smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    assert reports_of_the_checkout() == before
    return folder


def reports_of_the_checkout() -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (REPO / "reports").rglob("*") if file.is_file()}


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


def test_a_second_run_does_nothing(finished):
    again = snakemake(finished, "--config", "profile=smoke")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr + again.stdout


def test_an_unknown_profile_is_named(tmp_path):
    refused = snakemake(tmp_path, "--dry-run", "--config", "profile=quick")
    assert refused.returncode != 0
    assert "unknown profile 'quick': choose one of smoke, standard, paper" in refused.stderr + refused.stdout
