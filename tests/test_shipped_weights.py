"""Weights that ship: made of a run's in half precision, described by a card, taken by default."""

import dataclasses
import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import torch

from deepmot_lib import evaluation, trackers
from deepmot_lib.data import mot, weights
from deepmot_lib.data.weight_notes import read_header
from deepmot_lib.experiments import default_weights, rules, sequences, tables
from deepmot_lib.experiments.settings import TrackerRun
from deepmot_lib.experiments.shipping import ship
from deepmot_lib.trackers import backbones
from tests.test_track_command import small

RUN = TrackerRun("goturn", "dMOTA+dMOTP", "none", "seq_gru", seed=2)
MADE_FROM = {
    "profile": "standard",
    "data": "MOT17-02",
    "schedule": "800 clips",
    "seeds": [2],
    "commit": "abc",
    "device": "a CPU, torch 2.14",
}


@pytest.fixture
def of_a_run(tmp_path) -> Path:
    """Weights and table of a run, where an experiment leaves them."""
    root = tmp_path / "runs" / "standard"
    file = root / "trackers" / "goturn" / "x" / "seed2" / "weights.safetensors"
    about = {"run": RUN._asdict(), "validation": 0.5, "made_from": MADE_FROM, "fingerprint": {"a": 1}}
    trackers.save(file, small("goturn"), **about)
    rows = pd.DataFrame(0.25, index=["MOT17-02", "OVERALL"], columns=evaluation.COLUMNS)
    rows.loc["OVERALL", "MOTA"] = 0.61234
    made_from = tables.provenance(split="last quarters", detectors="DPM", protocol="motchallenge")
    table = root / "tables" / f"tracker_{RUN.label}.csv"
    tables.write(table, rows.rename_axis("sequence").reset_index().assign(**RUN._asdict()), made_from)
    return file


def test_they_are_halved_and_come_back_whole(of_a_run, tmp_path):
    shipped = ship(of_a_run, tmp_path / "shipped")
    assert shipped == tmp_path / "shipped" / "goturn.safetensors"
    assert {value.dtype for value in weights.read(shipped).values()} == {torch.float16}
    assert shipped.stat().st_size < 0.6 * of_a_run.stat().st_size
    before, after = (trackers.load(file, "cpu").state_dict() for file in (of_a_run, shipped))
    for name, value in before.items():
        assert after[name].dtype == value.dtype == torch.float32
        torch.testing.assert_close(after[name], value, rtol=2**-11, atol=2**-24)  # half of a last place
    assert read_header(shipped)["made_from"] == MADE_FROM and "fingerprint" not in read_header(shipped)


def test_the_card_tells_where_they_come_from(of_a_run, tmp_path):
    shipped = ship(of_a_run, tmp_path / "shipped")
    card = json.loads(shipped.with_suffix(".json").read_text())
    assert {key: card[key] for key in MADE_FROM} == MADE_FROM
    assert card["license"].startswith("CC BY-NC-SA 3.0") and card["run"] == RUN._asdict()
    assert card["sha256"] == hashlib.sha256(shipped.read_bytes()).hexdigest()
    assert card["parameters"] == sum(value.numel() for value in small("goturn").state_dict().values())
    measures = card["measures"]
    assert (measures["split"], measures["protocol"]) == ("last quarters", "motchallenge")
    assert (measures["MOTA"], measures["HOTA"]) == (0.6123, 0.25)
    moved = shutil.copy(of_a_run, tmp_path / "alone.safetensors")
    ship(moved, tmp_path / "other")
    assert json.loads((tmp_path / "other" / "goturn.json").read_text())["measures"] is None


def test_tracktors_carry_the_rules_that_were_chosen(tmp_path):
    """For each public detector those of the table, for others the usual ones, all with the run's limit."""
    root = tmp_path / "runs" / "standard"
    run = RUN._replace(tracker="tracktor", reid="head")
    trackers.save(
        root / "trackers" / "w.safetensors", small("tracktor"), made_from=MADE_FROM, run=run._asdict()
    )
    limits = pd.DataFrame({"part": ["val", "test"], "limit": [0.125, 0.5]})
    tables.write(root / "tables" / f"reid_{run.label}.csv", limits, tables.provenance())
    tried = pd.DataFrame(
        {
            "detector": ["DPM", "DPM", "SDP"],
            "change": ['{"cover": 0.25}', "{}", "{}"],
            "chosen": [True, False, True],
        }
    )
    tables.write(root / "tables" / "rules.csv", tried, tables.provenance())
    shipped = ship(root / "trackers" / "w.safetensors", tmp_path / "shipped")
    networks = default_weights.pipeline(default_weights.choose("tracktor", shipped), "cpu")
    usual, start = (
        dataclasses.replace(one, revival_distance=0.125) for one in (sequences.rules("tracktor"), rules.START)
    )
    dpm, sdp, given = (with_detections(tmp_path / name) for name in ("MOT17-02-DPM", "MOT17-02-SDP", "given"))
    assert networks.rules_of(dpm) == dataclasses.replace(start, cover=0.25) != start
    assert networks.rules_of(sdp) == start != usual
    assert networks.rules_of(given) == usual
    film = mot.Sequence(tmp_path / "film")
    assert networks.rules_of(film) == sequences.rules_of_own_detections(usual) != usual


def with_detections(folder):
    (folder / "det").mkdir(parents=True)
    (folder / "det" / "det.txt").touch()
    return mot.Sequence(folder)


def test_those_of_an_own_training_keep_their_rules_and_take_given_measures(tmp_path):
    file, measured = tmp_path / "mine.safetensors", tmp_path / "measured.csv"
    made_from = MADE_FROM | {"profile": "own data", "weights": "0123456789ab"}
    chosen = {"DPM": dataclasses.asdict(sequences.rules("tracktor"))}
    trackers.save(file, small("tracktor"), made_from=made_from, rules=chosen)
    row = dict.fromkeys(evaluation.COLUMNS, 0.123456)
    rows = [{"sequence": name, "protocol": "plain", "part": "test", **row} for name in ("A", "B", "OVERALL")]
    pd.DataFrame(rows).to_csv(measured, index=False)
    made = ship(file, tmp_path / "shipped", measured)
    card = json.loads(made.with_suffix(".json").read_text())
    assert card["measures"]["sequences"] == "A, B" and card["measures"]["protocol"] == "plain"
    assert card["measures"]["MOTA"] == 0.1235 and card["started from"] == "0123456789ab"
    assert read_header(made)["rules"] == chosen


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    tracker = small("goturn")
    with torch.no_grad():
        tracker.regressor[0].bias[0] = 1e5
    trackers.save(tmp_path / "a.safetensors", tracker)
    with pytest.raises(ValueError, match=r"regressor\.0\.bias is beyond the range of half precision"):
        ship(tmp_path / "a.safetensors", tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


# --- which are taken ----------------------------------------------------------------------------------------


def test_given_ones_come_first_then_those_that_ship_then_those_of_notebook_07(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    monkeypatch.setattr(default_weights, "SHIPPED", tmp_path / "shipped")
    run = tmp_path / "runs" / "standard" / "trackers" / "goturn" / "a" / "b" / "c" / "seed0"
    trackers.save(run / "weights.safetensors", small("goturn"), made_from={"profile": "standard"})
    assert default_weights.choose("goturn").file == run / "weights.safetensors"
    for name in ("goturn", "tracktor"):
        trackers.save(tmp_path / "shipped" / f"{name}.safetensors", small(name))
    choice = default_weights.choose("goturn")
    assert choice.file == tmp_path / "shipped" / "goturn.safetensors"
    assert choice.detector == tmp_path / "shipped" / "tracktor.safetensors"
    assert choice.description() == (
        "goturn, weights goturn.safetensors (shipped); detections scored by tracktor.safetensors (shipped)"
    )
    mine = tmp_path / "mine.safetensors"
    trackers.save(mine, small("goturn"))
    choice = default_weights.choose("goturn", mine)
    assert (choice.file, choice.detector) == (mine, tmp_path / "shipped" / "tracktor.safetensors")
    assert f"weights {mine};" in choice.description()


def test_weights_of_a_smoke_run_come_with_a_warning(tmp_path):
    for profile, told in (("smoke", True), ("standard", False)):
        trackers.save(tmp_path / "a.safetensors", small("goturn"), made_from={"profile": profile})
        caution = default_weights.choose("goturn", tmp_path / "a.safetensors").caution
        assert bool(caution) == told and ("weights of a smoke run" in caution) == told


def test_no_package_beside_torchvision_is_needed_to_load_them(tmp_path, monkeypatch):
    """ImageNet's weights are what a training starts from; a trained network has its own."""
    tracker = trackers.create("tracktor", backbone="mobilenet_v2", side=96, pretrained=False)
    trackers.save(tmp_path / "a.safetensors", tracker)
    monkeypatch.setattr(backbones, "_packaged", lambda: pytest.fail("looked for ImageNet's weights"))
    assert trackers.load(tmp_path / "a.safetensors", "cpu").options["backbone"] == "mobilenet_v2"


# --- those that ship ----------------------------------------------------------------------------------------

SHIPPED = sorted(default_weights.SHIPPED.glob("*.safetensors"))


def test_together_they_are_small_and_installed_with_the_package():
    sizes = [file.stat().st_size for file in SHIPPED]
    assert sum(sizes) < 30e6 and max(sizes, default=0) < 14e6
    assert (default_weights.SHIPPED / "LICENSE.md").is_file()
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert "trackers/weights/*" in project["tool"]["setuptools"]["package-data"]["deepmot_lib"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_is_what_its_card_says(file):
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card["name"] == file.stem and card["license"].startswith("CC BY-NC-SA 3.0")
    assert all(card[key] for key in ("data", "schedule", "commit", "device", "profile"))
    assert card["profile"] != "smoke"
    tracker = trackers.load(file, "cpu")
    assert tracker.name == file.stem
    assert {value.dtype for value in tracker.parameters()} == {torch.float32}
