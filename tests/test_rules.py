"""Rules of track management are chosen by measures on the third quarters, once."""

import dataclasses

import pandas as pd
import pytest
import torch

from deepmot_lib import evaluation
from deepmot_lib.data import mot
from deepmot_lib.experiments import rules, sequences, tables
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.settings import EmbeddedData
from deepmot_lib.trackers import save, tracking
from deepmot_lib.trackers.rules import Rules
from deepmot_lib.trackers.tracktor import Tracktor


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One embedded sequence of 16 frames with its three detectors."""
    settings = dataclasses.replace(
        profiles.get("smoke"), embedded=EmbeddedData(sequences=1, frames=16, image_size=(96, 128))
    )
    return Experiment(settings, Paths(tmp_path_factory.mktemp("out")), torch.device("cpu"))


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory):
    torch.manual_seed(0)
    tracktor = Tracktor("tiny", side=96).eval()
    weights = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save(weights, tracktor)
    return tracktor, weights


LOOSE = dataclasses.replace(rules.START, birth_score=0.1, death_score=0.1)
KEEPING = dataclasses.replace(LOOSE, detection_box="public", matched_box="detected", revival_overlap=0.3)


@pytest.mark.slow
def test_rules_that_are_compared_track_as_each_does_alone(tiny, vanilla):
    tracktor, _ = vanilla
    found = tiny.tracking.evaluation
    options = {"DPM": [LOOSE, KEEPING], "FRCNN": [KEEPING], "SDP": [LOOSE]}
    counts = rules.compare(tracktor, found, options)
    assert len(counts) == 4
    for one in found:
        for rule in options[sequences.detector(one)]:
            frames = mot.split(one)["val"]
            alone = tracking.track(tracktor, one, rule, tracktor, frames=frames, progress=False)
            assert len(alone)
            gt = one.gt()[one.gt()["frame"].isin(frames)]
            expected = evaluation.summarize({"": evaluation.count(gt, alone, "plain")})
            measured = evaluation.summarize({"": counts[one.name, rule]})
            pd.testing.assert_frame_equal(measured, expected, atol=1e-3)


def test_the_best_of_each_step_is_kept_by_detector_and_read_again(tiny, vanilla, monkeypatch):
    """Measures are made up: DPM likes its first change of step A, SDP none; all like step B's second."""
    steps = {"A": ({}, {"cover": 0.4}), "B": ({}, {"patience": 5}, {"patience": 7})}
    monkeypatch.setattr(rules, "STEPS", steps)
    asked = []

    def compare(tracktor, found, options):
        asked.append(options)
        return {
            (one.name, rule): (one.name, rule) for one in found for rule in options[sequences.detector(one)]
        }

    def summarize(counts):
        ((name, rule),) = counts.values()
        mota = 0.1 * (rule.cover == 0.4 and name.endswith("DPM")) + 0.1 * (rule.patience == 7)
        row = {"MOTA": mota, "HOTA": 0.5, "IDF1": 0.5, "IDs": 3}
        return pd.DataFrame([row], index=[evaluation.OVERALL])

    monkeypatch.setattr(rules, "compare", compare)
    monkeypatch.setattr(rules.evaluation, "summarize", summarize)
    expected = {
        "DPM": dataclasses.replace(rules.START, cover=0.4, patience=7),
        "FRCNN": dataclasses.replace(rules.START, patience=7),
        "SDP": dataclasses.replace(rules.START, patience=7),
    }
    assert rules.choose(tiny, *vanilla) == expected
    better = dataclasses.replace(rules.START, cover=0.4)
    assert [options["DPM"] for options in asked] == [
        [rules.START, better],
        [dataclasses.replace(better, patience=5), dataclasses.replace(better, patience=7)],
    ]
    monkeypatch.setattr(rules, "compare", lambda *_: pytest.fail("chosen again"))
    assert rules.choose(tiny, *vanilla) == expected
    table, made_from = tables.read(tiny.paths.tables / "rules.csv")
    assert len(table) == 3 * (2 + 3) and table["chosen"].sum() == 3 * 2
    assert made_from["split"].startswith("the first 100 frames of third quarters")
    assert made_from["protocol"] == "plain"


def test_an_interrupted_selection_goes_on(tiny, vanilla, monkeypatch):
    steps = {"A": ({}, {"cover": 0.4}), "B": ({}, {"patience": 5})}
    monkeypatch.setattr(rules, "STEPS", steps)
    genuine, calls = rules.compare, []

    def compare(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return genuine(*arguments)

    monkeypatch.setattr(rules, "compare", compare)
    with pytest.raises(KeyboardInterrupt):
        rules.choose(tiny, *vanilla)
    rules.choose(tiny, *vanilla)
    assert len(calls) == 3  # step A once
    table, _ = tables.read(tiny.paths.tables / "rules.csv")
    assert table["step"].tolist() == ["A"] * 6 + ["B"] * 6


def test_other_weights_choose_anew(tiny, vanilla, monkeypatch, tmp_path):
    monkeypatch.setattr(rules, "STEPS", {"A": ({}, {"cover": 0.4})})
    rules.choose(tiny, *vanilla)
    torch.manual_seed(1)
    other = Tracktor("tiny", side=96).eval()
    save(tmp_path / "weights.safetensors", other)
    monkeypatch.setattr(rules, "compare", lambda *_: (_ for _ in ()).throw(RuntimeError("chosen anew")))
    with pytest.raises(RuntimeError, match="chosen anew"):
        rules.choose(tiny, other, tmp_path / "weights.safetensors")


def test_every_change_of_the_grid_is_one_of_the_rules_and_each_step_may_change_nothing():
    for options in rules.STEPS.values():
        assert options[0] == {} and len(options) > 1
        for change in options:
            assert isinstance(dataclasses.replace(rules.START, **change), Rules)
