"""The lines that a run prints: one for each job, with what came of it and when all will end."""

import time

import pytest

from deepmot_lib.experiments.progress import Job, Progress, duration, name_of, result

NOON = time.mktime((2026, 1, 5, 12, 0, 0, 0, 0, -1))


def test_a_line_has_the_place_the_measure_the_time_and_the_end(tmp_path):
    (tmp_path / "tracker_x.csv").write_text("sequence,MOTA\nA,0.1\nOVERALL,0.323\n")
    progress = Progress({"tracker_training": 3, "report": 1}, tmp_path)
    assert progress.finish(7, NOON) is None, "never started"
    progress.start(1, Job("tracker_training", "07 tracktor seed 0", ("a.ipynb", "tracker_x.csv"), NOON))
    line = progress.finish(1, NOON + 60)
    assert line == "[1/4] 07 tracktor seed 0 ... MOTA 32.3, 60 s, all ends about 12:04"
    progress.start(2, Job("report", "10 report", (), NOON + 60))
    assert progress.finish(2, NOON + 70) == "[2/4] 10 report ... 10 s, all ends about 12:03"


def test_jobs_side_by_side_end_sooner_and_the_last_line_has_no_end():
    progress = Progress({"a": 4})
    for number in (1, 2):
        progress.start(number, Job("a", "a", (), 0.0))
    for number in (1, 2):
        progress.finish(number, 100.0)
    assert progress.left(100.0) == pytest.approx(100.0), "two jobs of 100 s, two at a time"
    for number in (3, 4):
        progress.start(number, Job("a", "a", (), 100.0))
    assert progress.left(150.0) == pytest.approx(50.0)
    progress.finish(3, 200.0)
    assert progress.finish(4, 200.0) == "[4/4] a ... 2 min"


@pytest.mark.parametrize(
    ("rule", "outputs", "wildcards", "name"),
    [
        ("data", ["runs/smoke/notebooks/00_data.ipynb"], {}, "00 data"),
        ("story", ["n/05_deepmot_loss.ipynb"], {"name": "05_deepmot_loss"}, "05 deepmot loss"),
        ("notebook_pages", ["runs/smoke/html"], {}, "notebook pages"),
        (
            "tracker_training",
            ["n/07_tracker_training-tracktor-dMOTA+dMOTP-IDS-none-seq_gru-release-seed0.ipynb", "t.csv"],
            {
                "tracker": "tracktor",
                "loss": "dMOTA+dMOTP-IDS",
                "reid": "none",
                "matcher": "seq_gru",
                "seed": "0",
            },
            "07 tracktor dMOTA+dMOTP-IDS seq_gru seed 0",
        ),
    ],
)
def test_a_job_is_named_by_its_notebook_and_parameters(rule, outputs, wildcards, name):
    assert name_of(rule, outputs, wildcards) == name


def test_the_measure_of_a_matcher_and_of_what_has_none(tmp_path):
    (tmp_path / "dhn_a.csv").write_text("discretization,WA\nrow,97.54\n")
    assert result([tmp_path / "a.ipynb", tmp_path / "dhn_a.csv"]) == "WA 97.5"
    assert result([tmp_path / "missing.csv"]) == ""


@pytest.mark.parametrize(("seconds", "text"), [(14.2, "14 s"), (200, "3 min"), (18_000, "5.0 h")])
def test_a_duration_has_the_unit_that_fits(seconds, text):
    assert duration(seconds) == text
