"""Experiments on a GPU that is not there: runs from training to table, and the command that tracks."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from deepmot_lib.__main__ import main
from deepmot_lib.data import mot
from deepmot_lib.experiments import matchers, settings, tables, trackers
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.settings import DEEPMOT, DHN, EmbeddedData, MatcherRun, TrackerRun
from deepmot_lib.training.schedules import (
    DetectorSchedule,
    HeadSchedule,
    PairSchedule,
    PriceSchedule,
    ReIDSchedule,
    RolloutSchedule,
    TrackerSchedule,
)

from .fake_cuda import fake_cuda

pytestmark = pytest.mark.slow

MATCHER_RUNS = [MatcherRun(name, "eq3", 0) for name in ("seq_gru", "min_sum", "greedy")]
TRACKER_RUNS = [
    TrackerRun("tracktor", "vanilla"),
    TrackerRun("tracktor", DEEPMOT, "head", DHN),
    TrackerRun("tracktor", "smooth_l1", "external"),
    TrackerRun("goturn", "smooth_l1"),
    TrackerRun("siamrpn", DEEPMOT, "none", "min_sum"),
]


@pytest.fixture(autouse=True)
def gpu() -> Iterator[torch.device]:
    with fake_cuda() as device:
        yield device


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture
def tiny(gpu, root) -> Experiment:
    """An experiment on the GPU, a few steps of everything; its files are those of the other tests here."""
    smoke = settings.get("smoke")
    quick = dataclasses.replace(
        smoke.trackers,
        options={
            "tracktor": {"backbone": "tiny", "side": 96},
            "goturn": {"size": 32, "widths": (8, 8, 8, 8, 8), "hidden": 16},
            "siamrpn": {"widths": (4, 8, 8)},
        },
        detector=DetectorSchedule(steps=4, images=1),
        pairs=PairSchedule(steps=3, frames=2),
        reid=ReIDSchedule(steps=2, pictures=2, people=3),
        training=TrackerSchedule(steps=3, reid_steps=2, reid_frames=3, min_visibility=0.9, validations=1),
        rollout=RolloutSchedule(steps=2, frames=3, validations=1),
        head=HeadSchedule(steps=2, frames=4),
    )
    chosen = dataclasses.replace(
        smoke,
        embedded=EmbeddedData(sequences=1, frames=16, image_size=(96, 128)),
        dhn=dataclasses.replace(smoke.dhn, steps=4, hidden_size=4, test_pairs=6),
        prices=PriceSchedule(steps=4, entries=200),
        trackers=quick,
    )
    return Experiment(chosen, Paths(root / "runs" / "smoke"), gpu)


@pytest.mark.parametrize("run", MATCHER_RUNS, ids=lambda run: run.variant)
def test_a_matcher_from_training_to_table(tiny, run):
    matchers.complete(tiny, [run])
    frame, made_from = tables.read(matchers.table_file(tiny, run))
    assert frame["WA"].between(0, 100).all() and made_from["device"].startswith("fake GPU")
    trained = matchers.train(tiny, run).matcher
    assert all(value.is_cuda for value in trained.state_dict().values())


@pytest.mark.parametrize("run", TRACKER_RUNS, ids=lambda run: "_".join(run[:4]))
def test_a_tracker_from_training_to_table(tiny, run):
    trackers.complete(tiny, [run])
    frame, made_from = tables.read(trackers.table_file(tiny, run))
    assert len(frame) == 4 and made_from["device"].startswith("fake GPU")
    tracker = trackers.train(tiny, run).tracker
    assert all(value.is_cuda for value in tracker.state_dict().values())
    # A machine without a GPU goes on from the same files.
    here = dataclasses.replace(tiny, device=torch.device("cpu"))
    assert next(trackers.train(here, run).tracker.parameters()).device.type == "cpu"


def test_a_gpu_is_taken_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    assert Experiment.open("smoke").device == torch.device("cuda:0")


def test_the_command_tracks_there(tiny, tmp_path, capsys):
    run = TRACKER_RUNS[0]
    weights = trackers.train(tiny, run).weights
    sequence = tiny.tracking.evaluation[0]
    arguments = ["track", str(sequence.path), "--tracker", "tracktor", "--out", str(tmp_path / "r.txt")]
    main([*arguments, "--weights", str(weights)])
    assert set(mot.read_boxes(tmp_path / "r.txt")) >= {"frame", "id"}
