"""A finished run becomes evidence only where clean commits made it, and this one would make the same."""

import dataclasses
import os
from pathlib import Path

import pandas as pd
import pytest

from deepmot_lib.experiments import tables
from deepmot_lib.report import contents, publish

HERE = "0123456789"
REPO = Path(__file__).parents[1]


@pytest.fixture
def run(smoke, monkeypatch):
    """A finished run of a clean checkout."""
    monkeypatch.setattr(publish, "commit", lambda: HERE)
    monkeypatch.setattr(publish, "is_up_to_date", lambda profile: profile == "smoke")
    for name in ("figures", "html"):
        (smoke.paths.root / name).mkdir(parents=True)
        (smoke.paths.root / name / "a.txt").write_text(name)
    for name in ("REPORT.md", "index.html"):
        (smoke.paths.root / name).write_text(name)
    write(smoke, "a")
    return smoke


def write(experiment, name, commit=HERE, trained=HERE):
    made_from = tables.provenance(profile="smoke") | {"commit": commit, "trained": f"at {trained} on a CPU"}
    tables.write(experiment.paths.tables / f"{name}.csv", pd.DataFrame({"x": [1]}), made_from)


def test_of_a_run_that_is_no_evidence_the_tables_are_kept(run, tmp_path):
    folder = publish.publish(run, tmp_path / "reports")
    assert {file.name for file in folder.rglob("*") if file.is_file()} == {"a.csv", "a.json"}


def test_a_finished_run_is_copied_without_its_notebooks_and_replaces_the_one_before(run, tmp_path):
    run = dataclasses.replace(run, settings=dataclasses.replace(run.settings, evidence=True))
    reports = tmp_path / "reports"
    (reports / "smoke").mkdir(parents=True)
    (reports / "smoke" / "old.csv").write_text("old")
    (run.paths.root / "trackers").mkdir()
    page = run.paths.pages / "00_data.html"
    page.write_text("a frame of the data")
    contents.write(run)
    assert page.name in (run.paths.root / "index.html").read_text()
    folder = publish.publish(run, reports)
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    expected = {"REPORT.md", "index.html", "figures/a.txt", "tables/a.csv", "tables/a.json"}
    assert folder == reports / "smoke" and found == expected
    for name in ("REPORT.md", "index.html"):
        text = (folder / name).read_text()
        assert page.name not in text, "executed notebooks show frames, which are not ours"
        notebook = os.path.relpath(REPO / "notebooks" / "00_data.ipynb", folder)
        assert notebook in text, "links hold where the report is published"
    assert [path.name for path in reports.iterdir()] == ["smoke"], "nothing is left beside it"
    assert tables.read(folder / "tables" / "a.csv")[1]["commit"] == HERE


@pytest.mark.parametrize("state", [HERE + "+", "unknown"])
def test_a_dirty_checkout_is_refused(run, tmp_path, monkeypatch, state):
    monkeypatch.setattr(publish, "commit", lambda: state)
    with pytest.raises(publish.PublishError, match="commit all changes"):
        publish.publish(run, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("commits", [{"commit": HERE + "+"}, {"trained": "unknown"}])
def test_tables_of_an_unclear_commit_are_refused(run, tmp_path, commits):
    write(run, "b", **commits)
    with pytest.raises(publish.PublishError, match=next(iter(commits.values())).replace("+", r"\+")):
        publish.publish(run, tmp_path / "reports")


def test_an_earlier_commit_counts_where_this_one_would_make_the_same(run, tmp_path, monkeypatch):
    write(run, "b", commit="9876543210")
    assert (publish.publish(run, tmp_path / "reports") / "tables" / "b.csv").is_file()
    monkeypatch.setattr(publish, "is_up_to_date", lambda profile: False)
    with pytest.raises(publish.PublishError, match="make reproduce PROFILE=smoke"):
        publish.publish(run, tmp_path / "reports")


def test_pooled_tables_name_all_their_commits(run):
    write(run, "pooled", commit=f"{HERE}; 9876543210")
    assert publish.commits(run.paths.tables) == {HERE, "9876543210"}


def test_an_unfinished_run_is_refused(run, tmp_path, capsys):
    (run.paths.root / "index.html").unlink()
    with pytest.raises(publish.PublishError, match=r"it has no index\.html"):
        publish.publish(run, tmp_path / "reports")
    assert publish.main(["quick"]) == 1
    assert "unknown profile 'quick'" in capsys.readouterr().err
