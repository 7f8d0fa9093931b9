"""A rehearsal: every kind of job has a forecast, made of a few steps, and what is missing is said."""

import dataclasses

import pytest
import torch

from deepmot_lib.data import mot, synthetic
from deepmot_lib.experiments import rehearsal, settings, tracker_training
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.settings import EmbeddedData, TrackerRun
from deepmot_lib.trackers.backbones import WeightsError
from deepmot_lib.training import trainer

RUNS = (
    TrackerRun("tracktor", "vanilla"),
    TrackerRun("tracktor", "vanilla", "external"),
    TrackerRun("tracktor", "dMOTA+dMOTP", "head", "sinkhorn"),
    TrackerRun("tracktor", "dMOTA+dMOTP", "head", "sinkhorn", seed=1),
    TrackerRun("goturn", "smooth_l1"),
)


@pytest.fixture
def experiment(tmp_path):
    smoke = settings.get("smoke")
    validated = dataclasses.replace(smoke.trackers.training, validations=2)
    trackers = dataclasses.replace(smoke.trackers, runs=RUNS, training=validated)
    embedded = EmbeddedData(sequences=1, frames=16, image_size=(96, 128))
    chosen = dataclasses.replace(smoke, embedded=embedded, trackers=trackers, dhn_runs=smoke.dhn_runs[:2])
    return Experiment(chosen, Paths(tmp_path / "out"), torch.device("cpu"))


@pytest.mark.slow
def test_each_kind_of_job_has_a_forecast_and_nothing_is_kept(experiment, monkeypatch, capsys):
    steps, train = [], trainer.train
    monkeypatch.setattr(trainer, "train", lambda one, file: steps.append(one.steps) or train(one, file))
    rehearsal.rehearse(experiment)
    told = capsys.readouterr().out
    jobs = {line[:50].strip(): line[50:].split() for line in told.splitlines() if line[:3] in ("02 ", "07 ")}
    assert {name: row[0] for name, row in jobs.items()} == {
        "02 seq_gru on eq3": "2",
        "02 seq_gru on eq3, 25 steps": "1",
        "07 external ReID": "1",
        "07 features of frames": "1",
        "07 tracktor vanilla": "1",
        "07 tracktor vanilla external": "1",
        "07 tracktor dMOTA+dMOTP head sinkhorn": "2",
        "07 goturn smooth_l1": "1",
        "07 head by dMOTA+dMOTP, sinkhorn": "2",
    }
    assert set(steps) == {9, 40} and "all: " in told and "missing: " not in told
    assert "timed untrained, which finds few people and is faster: tracktor, goturn" in told
    assert not experiment.paths.trackers.exists() and not experiment.paths.tables.exists()


def test_the_time_is_that_of_all_steps_and_frames(experiment, tmp_path, monkeypatch):
    made = rehearsal.Rehearsal(experiment, tmp_path)
    monkeypatch.setattr(made, "_seconds_a_step", lambda training, steps: (2.0, 100))
    monkeypatch.setattr(made, "_seconds_a_frame", lambda networks, street: 10.0)
    vanilla, external = (made._of_tracker(run, 1) for run in RUNS[:2])
    test, val = (len(mot.split(16)[part]) for part in ("test", "val"))  # of three detectors together
    chosen = experiment.settings.trackers
    assert vanilla.seconds == 2 * chosen.detector.steps + 10 * test and vanilla.disk > 100
    assert external.seconds == 10 * test and external.disk == 0, "it is tracked with, not trained"
    tuned = made._of_tracker(RUNS[-1], 3)
    validations = chosen.training.validations + 1
    assert tuned.seconds == 2 * chosen.training.steps + 10 * (test + validations * val) and tuned.jobs == 3
    rolled = made._of_tracker(RUNS[2], 1)
    assert rolled.seconds == 2 * chosen.rollout.steps + 10 * test, "the last weights count: no validation"


def test_what_is_missing_is_named(experiment, tmp_path, monkeypatch):
    assert rehearsal.missing_data(experiment) == []
    real = dataclasses.replace(experiment, settings=dataclasses.replace(experiment.settings, real_data=True))
    assert "DEEPMOT_DATA" in rehearsal.missing_data(real)[0]
    rendered = synthetic.write_sequences(tmp_path / "rendered", 1, 8, (96, 128))
    (tmp_path / "MOT17" / "train").mkdir(parents=True)
    rendered[0].path.rename(tmp_path / "MOT17" / "train" / "MOT17-04-FRCNN")
    found = rehearsal.missing_data(dataclasses.replace(real, data_root=tmp_path / "MOT17"))
    assert found[0].startswith("20 of 21 training sequences: MOT17-02-DPM") and "04-FRCNN" not in found[0]
    assert [line[:10] for line in found[1:]] == ["MOT16/test", "MOT17/test", "dhn/, the "]


def test_weights_that_cannot_be_had_are_named_and_it_goes_on(experiment, tmp_path, monkeypatch):
    usual = tracker_training.trackers.create

    def create(name, pretrained=True, **options):
        if pretrained:
            raise WeightsError("the backbone starts from weights that are not here")
        return usual(name, **options)

    monkeypatch.setattr(tracker_training.trackers, "create", create)
    made = rehearsal.Rehearsal(experiment, tmp_path)
    assert made._tracker("tracktor").name == made._tracker("tracktor").name == "tracktor"
    assert made.missing == ["the backbone starts from weights that are not here"]
