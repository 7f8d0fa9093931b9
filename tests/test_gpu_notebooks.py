"""The notebooks' cells that use a device, run on a GPU that is not there, a few steps of everything."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from deepmot_lib.experiments import settings
from deepmot_lib.experiments.settings import DEEPMOT, DHN, EmbeddedData, TrackerRun
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

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = ("02_dhn_training", "03_dhn_ablation", "04_matrix_size", "07_tracker_training", "08_tracker_ablation")


def tiny() -> settings.Settings:
    """Return smoke's settings with as few steps, frames and matrices as there can be."""
    smoke = settings.get("smoke")
    trackers = dataclasses.replace(
        smoke.trackers,
        options={
            "tracktor": {"backbone": "tiny", "side": 96},
            "goturn": {"size": 32, "widths": (8, 8, 8, 8, 8), "hidden": 16},
            "siamrpn": {"widths": (4, 8, 8)},
        },
        detector=DetectorSchedule(steps=40, images=1, learning_rate=3e-3),
        pairs=PairSchedule(steps=2, frames=1),
        reid=ReIDSchedule(steps=2, pictures=2, people=3),
        training=TrackerSchedule(steps=2, reid_steps=2, reid_frames=3, min_visibility=0.9, validations=1),
        rollout=RolloutSchedule(steps=2, frames=3, validations=1),
        head=HeadSchedule(steps=2, frames=4),
        runs=(
            TrackerRun("tracktor", "vanilla"),
            TrackerRun("tracktor", "smooth_l1"),
            TrackerRun("tracktor", DEEPMOT, "head", DHN),
            TrackerRun("siamrpn", DEEPMOT, "none", DHN),
        ),
    )
    return dataclasses.replace(
        smoke,
        embedded=EmbeddedData(sequences=1, frames=24, image_size=(96, 128)),
        dhn=dataclasses.replace(smoke.dhn, steps=2, hidden_size=4, test_pairs=6),
        prices=PriceSchedule(steps=2, entries=200),
        trackers=trackers,
        fig8_sizes=(2, 4),
        speed_sizes=(2, 4),
        sweep_pairs=4,
        table6_matrices=6,
        gradient_clips=1,
        training_matrices=4,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(autouse=True)
def gpu(monkeypatch, out) -> Iterator[None]:
    plt.switch_backend("agg")  # show() opens no window
    monkeypatch.setenv("DEEPMOT_OUT", str(out))
    monkeypatch.delenv("DEEPMOT_DATA", raising=False)
    monkeypatch.setitem(settings.PROFILES, "smoke", tiny())
    with fake_cuda():
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_there(name, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    namespace = {"__name__": "__main__", "display": print}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            # Without the cells' assertions: after two steps no network is above chance.
            exec(compile(source, f"{name}, cell {number}", "exec", optimize=1), namespace)
    assert namespace["experiment"].device.type == "cuda"
