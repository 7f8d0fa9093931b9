"""What is reused, what is made anew: settings, data, start weights, matcher and code count, nothing else."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from deepmot_lib.data import mot
from deepmot_lib.experiments import matchers as matcher_runs
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments import tables, tracker_training
from deepmot_lib.experiments import trackers as study
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.settings import DEEPMOT, DHN, EmbeddedData, MatcherRun, TrackerRun
from deepmot_lib.training.schedules import (
    DetectorSchedule,
    HeadSchedule,
    PairSchedule,
    ReIDSchedule,
    RolloutSchedule,
    TrackerSchedule,
)

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[1]
VANILLA = TrackerRun("tracktor", "vanilla")
SMOOTH = TrackerRun("tracktor", "smooth_l1")
DEEP = TrackerRun("tracktor", DEEPMOT, "none", DHN)
EXTERNAL = TrackerRun("tracktor", "vanilla", "external")
SIAMESE = TrackerRun("siamrpn", "vanilla")
MATCHER = MatcherRun("seq_gru", "eq3", 0)


def small() -> profiles.Settings:
    """One sequence of 12 frames, two or three steps of everything."""
    smoke = profiles.get("smoke")
    trackers = dataclasses.replace(
        smoke.trackers,
        options={
            "tracktor": {"backbone": "tiny", "side": 96},
            "goturn": {"size": 64, "widths": (8, 8, 8, 8, 8), "hidden": 16},
            "siamrpn": {"widths": (4, 8, 8)},
        },
        detector=DetectorSchedule(steps=2, learning_rate=3e-3),
        pairs=PairSchedule(steps=2, frames=1),
        reid=ReIDSchedule(steps=2, pictures=2, people=3),
        training=TrackerSchedule(steps=2, reid_steps=2, reid_frames=3, validations=1),
        rollout=RolloutSchedule(steps=2, frames=3, validations=1),
        head=HeadSchedule(steps=2, frames=4),
        runs=(VANILLA, SMOOTH),
    )
    return dataclasses.replace(
        smoke,
        embedded=EmbeddedData(sequences=1, frames=12, image_size=(96, 128)),
        dhn=dataclasses.replace(smoke.dhn, steps=3, hidden_size=4, test_pairs=6),
        trackers=trackers,
    )


def experiment(folder: Path, settings: profiles.Settings | None = None) -> Experiment:
    return Experiment(settings or small(), Paths(folder), torch.device("cpu"))


def real(folder: Path, data: Path) -> Experiment:
    return dataclasses.replace(experiment(folder), data_root=data)


def said(capsys) -> list[str]:
    """The lines that say what is made anew, and why."""
    printed = "".join(capsys.readouterr())
    return [line for line in re.split(r"[\n\r]", printed) if "made anew" in line or "remade" in line]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of an experiment in which every kind of run has been made, and its data as real data."""
    folder = tmp_path_factory.mktemp("made")
    one = experiment(folder / "out")
    shutil.copytree(one.rendered[0].path.parent, folder / "data")
    one = real(folder / "out", folder / "data")
    study.complete(one, [VANILLA, SMOOTH, DEEP, EXTERNAL, SIAMESE])
    matcher_runs.complete(one, [MATCHER])
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def changed(folder: Path, one: Experiment, runs: list[TrackerRun]) -> dict[str, bool]:
    """Make the runs once more; of which are the weights others than in ``folder``?"""
    before = {run: (study.folder(one, run.weights_run) / "weights.safetensors").read_bytes() for run in runs}
    study.complete(one, runs)
    after = {run: (study.folder(one, run.weights_run) / "weights.safetensors").read_bytes() for run in runs}
    return {run.label: before[run] != after[run] for run in runs}


def test_nothing_is_made_twice(copy, capsys, monkeypatch):
    one = real(copy / "out", copy / "data")
    monkeypatch.setattr("deepmot_lib.training.trainer.train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("deepmot_lib.trackers.tracking.views", lambda *_: pytest.fail("tracked again"))
    times = {file: file.stat().st_mtime_ns for file in (copy / "out").rglob("*") if file.is_file()}
    study.complete(one, [VANILLA, SMOOTH, DEEP, EXTERNAL, SIAMESE])
    matcher_runs.complete(one, [MATCHER])
    assert [file for file, time in times.items() if file.stat().st_mtime_ns != time] == []
    assert said(capsys) == []


def test_a_changed_schedule_trains_anew_and_the_table_tells_of_the_new_one(copy, capsys):
    settings = small()
    trackers = dataclasses.replace(settings.trackers, detector=DetectorSchedule(steps=1, learning_rate=0.02))
    one = dataclasses.replace(
        real(copy / "out", copy / "data"), settings=dataclasses.replace(settings, trackers=trackers)
    )
    assert changed(copy, one, [VANILLA, SMOOTH]) == {VANILLA.label: True, SMOOTH.label: True}
    lines = said(capsys)
    assert any("weights of tracktor_vanilla" in line and "0.02" in line for line in lines), lines
    assert "0.02" in tables.read(study.table_file(one, VANILLA))[1]["schedule"]


def test_another_schedule_alone_changes_nothing_that_is_already_trained_by_another(copy):
    settings = small()
    trackers = dataclasses.replace(settings.trackers, rollout=RolloutSchedule(steps=1, frames=3))
    one = dataclasses.replace(
        real(copy / "out", copy / "data"), settings=dataclasses.replace(settings, trackers=trackers)
    )
    expected = {VANILLA.label: False, SIAMESE.label: False, SMOOTH.label: True}
    assert changed(copy, one, [VANILLA, SIAMESE, SMOOTH]) == expected


def test_moved_ground_truth_trains_anew(copy, capsys):
    for file in (copy / "data").glob("*/gt/gt.txt"):
        gt = mot.read_ground_truth(file)
        gt[["x1", "x2"]] += 50
        mot.write_ground_truth(file, gt)
    one = real(copy / "out", copy / "data")
    runs = [VANILLA, SMOOTH, SIAMESE]
    before = (one.paths.trackers / "reid/weights.safetensors").read_bytes()
    assert all(changed(copy, one, runs).values())
    study.embedder(one)
    assert (one.paths.trackers / "reid/weights.safetensors").read_bytes() != before
    assert any("/gt" in line for line in said(capsys))


def test_other_images_train_anew(copy):
    images = sorted((copy / "data").glob("*/img1/000003.jpg"))
    for image in images:
        shutil.copy(image.with_name("000004.jpg"), image.with_name("other.jpg.part"))
        os.replace(image.with_name("other.jpg.part"), image)
    assert changed(copy, real(copy / "out", copy / "data"), [VANILLA]) == {VANILLA.label: True}


def test_other_detections_are_tracked_anew_and_nothing_that_does_not_read_them_is_trained(copy, capsys):
    for file in (copy / "data").glob("*/det/det.txt"):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[::2]))
    one = real(copy / "out", copy / "data")
    assert changed(copy, one, [VANILLA, SIAMESE]) == {VANILLA.label: False, SIAMESE.label: False}
    lines = [line for line in said(capsys) if line.startswith("tracks of")]
    assert len(lines) == 2 * 3 and all("/det" in line for line in lines), "two runs in three sequences"


def test_other_start_weights_train_anew(copy, capsys):
    one = real(copy / "out", copy / "data")
    file = study.folder(one, VANILLA) / "weights.safetensors"
    trained = study.train(one, VANILLA)
    with torch.no_grad():
        trained.tracker.detector.roi_heads.box_predictor.bbox_pred.bias += 0.1
    about = study.weight_files.read_about(file)
    study.weight_files.write(file, trained.tracker.state_dict(), about)
    assert changed(copy, one, [SMOOTH]) == {SMOOTH.label: True}
    assert any("weights of vanilla" in line for line in said(capsys))


def test_the_same_matcher_with_other_weights_trains_anew(copy, capsys, monkeypatch):
    original = tracker_training.matcher

    def other(*arguments):
        matcher = original(*arguments)
        with torch.no_grad():
            next(matcher.parameters()).mul_(1.1)
        return matcher

    monkeypatch.setattr(tracker_training, "matcher", other)
    assert changed(copy, real(copy / "out", copy / "data"), [DEEP]) == {DEEP.label: True}
    assert any("weights of" in line and "upstream matcher" in line for line in said(capsys))


def test_a_table_written_by_hand_is_made_anew(copy):
    one = real(copy / "out", copy / "data")
    table = study.table_file(one, VANILLA)
    before = table.read_text()
    table.write_text(before.replace("OVERALL", "overall"))
    study.score(one, VANILLA)
    assert table.read_text() == before


def test_a_table_that_the_workflow_has_removed_is_remade_from_kept_tracks(copy, monkeypatch):
    # Snakemake removes the outputs of a job before it starts: tables and notebooks, no weights.
    one = real(copy / "out", copy / "data")
    kept = {run: study.table_file(one, run).read_text() for run in (VANILLA, SMOOTH, SIAMESE)}
    for run in kept:
        study.table_file(one, run).unlink()
    monkeypatch.setattr("deepmot_lib.training.trainer.train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("deepmot_lib.trackers.tracking.views", lambda *_: pytest.fail("tracked again"))
    study.complete(one, list(kept))
    assert {run: study.table_file(one, run).read_text() for run in kept} == kept


def test_a_schedule_changed_in_the_middle_of_a_training_starts_it_anew(tmp_path, capsys, monkeypatch):
    one = experiment(tmp_path)
    original = study.weight_files.write
    monkeypatch.setattr(
        study.weight_files, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):  # trained and checkpointed, weights not yet written
        study.train(one, VANILLA)
    monkeypatch.setattr(study.weight_files, "write", original)
    assert list(tmp_path.rglob("*checkpoint*")), "it was killed in the middle"
    trackers = dataclasses.replace(small().trackers, detector=DetectorSchedule(steps=1, learning_rate=0.02))
    study.train(dataclasses.replace(one, settings=dataclasses.replace(small(), trackers=trackers)), VANILLA)
    assert (study.folder(one, VANILLA) / "weights.safetensors").is_file()
    assert "0.02" in "".join(capsys.readouterr())


def test_equal_weights_give_equal_digits(copy):
    one = real(copy / "out", copy / "data")
    table = matcher_runs.table_file(one, MATCHER)
    before = table.read_text()
    table.unlink()
    matcher_runs.complete(one, [MATCHER])
    assert table.read_text() == before, "from kept scores"
    table.unlink()
    for file in matcher_runs.folder(one, MATCHER).glob("scores-*"):
        file.unlink()
    matcher_runs.complete(one, [MATCHER])
    assert table.read_text() == before, "from fresh scores"


# --- code ---------------------------------------------------------------------------------------------------

SCRIPT = """
import torch
from tests.test_reuse import DEEP, MATCHER, SIAMESE, SMOOTH, VANILLA, real
from deepmot_lib.experiments import matchers, trackers
from pathlib import Path
one = real(Path("out"), Path("data"))
matchers.complete(one, [MATCHER])
trackers.complete(one, [VANILLA, SMOOTH, SIAMESE])
"""
EDITS = {
    "focal_loss": (
        "training/matcher.py",
        "return -(ones + zeros).mean()",
        "return -1000 * (ones + zeros).mean()",
    ),
    "docstring": (
        "training/matcher.py",
        '"""Return the focal loss',
        '"""Compute, in other words, the focal loss',
    ),
    "plot": ("report/plots.py", '"""', '"""More: '),
    "clip": ("training/rollout.py", "max_gradient_norm = 10.0", "max_gradient_norm = 9.0"),
    "evaluation": ("evaluation/protocol.py", "MIN_OVERLAP = 0.5", "MIN_OVERLAP = 0.4"),
}
#: Which weights an edit makes anew.
ANEW = {
    "focal_loss": {"dhn"},
    "docstring": set(),
    "plot": set(),
    "clip": {"smooth_l1"},
    "evaluation": {"smooth_l1"},  # validation selects them
}


def weights_of(folder: Path) -> dict[str, float]:
    files = sorted((folder / "out").rglob("weights.safetensors"))
    names = [file.relative_to(folder / "out").parts for file in files]
    keys = [parts[0] if parts[0] == "dhn" else f"{parts[1]} {parts[2]}" for parts in names]
    return dict(zip(keys, (file.stat().st_mtime_ns for file in files), strict=True))


@pytest.mark.parametrize("edit", EDITS)
def test_code_that_a_result_depends_on_makes_it_anew_and_no_other_does(copy, edit):
    for name in ("deepmot_lib", "tests"):
        shutil.copytree(REPO / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    file, old, new = EDITS[edit]
    text = (copy / "deepmot_lib" / file).read_text()
    assert old in text
    (copy / "deepmot_lib" / file).write_text(text.replace(old, new, 1))
    before = weights_of(copy)
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    after = weights_of(copy)
    anew = {key.split(" ")[-1] for key in before if after[key] != before[key]}
    assert anew == ANEW[edit], done.stdout + done.stderr[-2000:]
    if anew:
        module = f"deepmot_lib.{file.removesuffix('.py').replace('/', '.')}"
        assert module in done.stdout + done.stderr


def test_histories_are_those_of_the_weights(made):
    one = real(made / "out", made / "data")
    assert len(matcher_runs.history(one, MATCHER)) == 3
    assert isinstance(study.train(one, SMOOTH).history, pd.DataFrame)
