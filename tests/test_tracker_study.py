"""Runs of trackers from start to table, in a profile that trains in a moment."""

import dataclasses
from pathlib import Path

import pytest
import torch

from deepmot_lib import evaluation
from deepmot_lib.data import mot, synthetic
from deepmot_lib.experiments import sequences as data
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments import tables
from deepmot_lib.experiments import trackers as study
from deepmot_lib.experiments.settings import DEEPMOT, DHN, EmbeddedData, TrackerRun
from deepmot_lib.trackers import management
from deepmot_lib.training import trainer
from deepmot_lib.training.schedules import DetectorSchedule, PairSchedule, ReIDSchedule, TrackerSchedule

VANILLA = TrackerRun("tracktor", "vanilla")
HEAD = TrackerRun("tracktor", DEEPMOT, "distance", DHN)
SMOOTH = TrackerRun("tracktor", "smooth_l1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One embedded sequence of 16 frames with its three detectors, a few steps of everything."""
    smoke = profiles.get("smoke")
    settings = dataclasses.replace(
        smoke.trackers,
        options={
            "tracktor": {"backbone": "tiny", "side": 96},
            "goturn": {"size": 64, "widths": (8, 8, 8, 8, 8), "hidden": 16},
            "siamrpn": {"widths": (4, 8, 8)},
        },
        detector=DetectorSchedule(steps=120, learning_rate=3e-3),
        pairs=PairSchedule(steps=3, frames=2),
        reid=ReIDSchedule(steps=2, pictures=2, people=3),
        training=TrackerSchedule(steps=4, reid_steps=3, reid_frames=3, validations=1),
    )
    embedded = EmbeddedData(sequences=1, frames=16, image_size=(96, 128))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPMOT_OUT", str(tmp_path_factory.mktemp("out")))
        patch.delenv("DEEPMOT_DATA", raising=False)
        profile = dataclasses.replace(smoke, embedded=embedded, trackers=settings)
        patch.setitem(profiles.PROFILES, "smoke", profile)
        yield profile


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(trainer, "train", lambda *_, **__: pytest.fail("trained again"))


RUNS = [
    VANILLA,
    SMOOTH,
    HEAD,
    TrackerRun("tracktor", DEEPMOT, "external", DHN),
    TrackerRun("goturn", "vanilla"),
    TrackerRun("siamrpn", DEEPMOT, "none", DHN),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: "_".join(run[:4]))
def test_a_run_from_training_to_table(tiny, run, monkeypatch):
    study.complete("smoke", [run])
    file = study.table_file("smoke", run)
    frame, made_from = tables.read(file)
    assert made_from["protocol"] == "plain" and made_from["seeds"] == [0]
    assert made_from["detectors"] == "DPM, FRCNN, SDP" and "EMB-01-DPM" in made_from["data"]
    weights = study.folder("smoke", study.learning(run)) / "weights.safetensors"
    assert made_from["weights"] == tables.file_hash(weights)
    steps = {"tracktor": "120 steps", "goturn": "3 steps"}[run.tracker] if run.loss == "vanilla" else "clips"
    assert steps in made_from["schedule"]
    for name, value in run._asdict().items():
        assert set(frame[name]) == {value}
    # What the table says is what anyone counts in the result files against the last quarters.
    judge = data.for_profile("smoke").judge
    expected = {}
    for sequence in judge:
        boxes = mot.read_boxes(study.results_folder("smoke", run) / f"{sequence.name}.txt")
        assert boxes["frame"].between(13, 16).all()
        gt = sequence.gt()
        expected[sequence.name] = evaluation.count(gt[gt["frame"] > 12], boxes, "plain")
    expected = evaluation.summarize(expected)
    found = frame.set_index("sequence")[evaluation.COLUMNS]
    assert found.index.tolist() == [*(sequence.name for sequence in judge), evaluation.OVERALL]
    # Files hold boxes to a thousandth of a pixel.
    assert found[evaluation.COUNTS].equals(expected[evaluation.COUNTS])
    assert (found - expected[evaluation.COLUMNS]).abs().max().max() < 1e-3
    assert set(study.results("smoke", run)) == {sequence.name for sequence in judge}


def test_the_detector_tracks_somebody(tiny):
    study.complete("smoke", [VANILLA])
    assert sum(map(len, study.results("smoke", VANILLA).values())) > 10


def test_what_is_there_is_not_made_again(tiny, request):
    study.complete("smoke", [VANILLA, HEAD])
    first = study.train("smoke", HEAD)
    request.getfixturevalue("no_training")
    study.complete("smoke", [VANILLA, HEAD])
    again = study.train("smoke", HEAD)
    assert again.weights == first.weights and len(again.history) == 3
    assert again.history["validation"].notna().sum() == 1
    a, b = first.tracker.state_dict(), again.tracker.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_only_heads_differ_from_where_a_run_started(tiny):
    before, after = (study.train("smoke", run).tracker for run in (VANILLA, HEAD))
    assert before.reid is None and after.reid is not None
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all(name.startswith("detector.roi_heads.") for name in changed)


def test_an_external_reid_takes_the_weights_of_the_run_without(tiny, request):
    none = TrackerRun("tracktor", DEEPMOT, "none", DHN)
    external = none._replace(reid="external")
    trained = study.train("smoke", none)
    request.getfixturevalue("no_training")
    assert study.train("smoke", external).weights == trained.weights
    assert study.learning(HEAD) == HEAD and study.learning(external) == none
    assert study.table_file("smoke", external) != study.table_file("smoke", none)


@pytest.mark.parametrize("tracker", ["goturn", "siamrpn"])
def test_single_object_trackers_take_the_vanilla_detectors_judgement(tiny, tracker):
    run = TrackerRun(tracker, "vanilla")
    team = study.team("smoke", run, study.train("smoke", run).tracker)
    judge = study.train("smoke", VANILLA).tracker
    assert team.tracker.name == tracker and team.detector.name == "tracktor" and team.embed is None
    theirs, ours = team.detector.state_dict(), judge.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    alone = study.team("smoke", VANILLA, judge)
    assert alone.detector is alone.tracker


def test_validation_is_of_the_third_quarters(tiny, tmp_path, monkeypatch):
    parts = []
    follow = study.follow

    def spy(members, sequences, part):
        parts.append(part)
        return follow(members, sequences, part)

    monkeypatch.setattr(study, "follow", spy)
    run = TrackerRun("tracktor", "smooth_l1", seed=7)
    trained = study.train("smoke", run)
    assert parts == ["val"]
    study.score("smoke", run, trained)
    assert parts == ["val", "test"]


def test_results_of_a_run_that_was_not_scored_are_missed(tiny):
    with pytest.raises(FileNotFoundError, match="this run has not been scored"):
        study.results("smoke", TrackerRun("tracktor", "dMOTP", "distance", DHN))


# --- its data -----------------------------------------------------------------------------------------------


def test_pictures_are_learnt_from_once_and_judged_with_every_detector(tiny):
    found = data.for_profile("smoke")
    assert [sequence.name for sequence in found.judge] == ["EMB-01-DPM", "EMB-01-FRCNN", "EMB-01-SDP"]
    assert [sequence.name for sequence in found.learn] == ["EMB-01-DPM"]
    assert all(sequence.image(16).shape == (96, 128, 3) for sequence in found.judge)
    assert found.description.startswith("3 embedded sequences, ")


def test_real_sequences_are_taken_where_a_profile_says_so_if_they_are_complete(tiny, tmp_path, monkeypatch):
    real = synthetic.write_sequences(tmp_path / "real", 2, 4, (64, 64))
    (real[1].path / "img1" / "000001.jpg").unlink()
    (real[3].path / "gt" / "gt.txt").unlink()
    (real[4].path / "det" / "det.txt").unlink()
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path / "real"))
    assert "embedded" in data.for_profile("smoke").description, "smoke takes no real data"
    monkeypatch.setitem(profiles.PROFILES, "smoke", dataclasses.replace(tiny, real_data=True))
    found = data.for_profile("smoke")
    assert [sequence.name for sequence in found.judge] == ["EMB-01-DPM", "EMB-01-SDP", "EMB-02-SDP"]
    assert [sequence.name for sequence in found.learn] == ["EMB-01-DPM", "EMB-02-SDP"]
    assert found.description == "EMB-01-DPM, EMB-01-SDP, EMB-02-SDP"


def test_detectors_are_named_or_given():
    def named(*names):
        return data.detectors(mot.Sequence(Path(name)) for name in names)

    assert named("MOT17-02-SDP", "MOT17-02-DPM", "MOT17-04-DPM") == "DPM, SDP"
    assert named("PETS09-S2L1") == "as given"
    assert named("PETS09-S2L1", "MOT17-02-FRCNN") == "FRCNN, as given"


def test_tracktor_and_the_others_are_managed_by_their_own_rules():
    ours, theirs = data.rules("tracktor"), management.TRACKTOR
    assert ours.birth_frames == theirs.birth_frames == 1 and ours.death_score == theirs.death_score
    assert ours.cover > theirs.cover, "chosen on the third quarters"
    assert data.rules("goturn") is data.rules("siamrpn") is management.MOT_BY_SOT


@pytest.mark.parametrize(
    "part, frames", [("train", range(1, 9)), ("val", range(9, 13)), ("test", range(13, 17))]
)
def test_only_the_part_is_counted(tiny, part, frames):
    sequence = data.for_profile("smoke").judge[0]
    gt = mot.pedestrians(sequence.gt())
    inside = gt[gt["frame"].isin(frames)]
    counts = data.judged({sequence.name: inside}, [sequence], part)
    row = evaluation.summarize(counts).loc[sequence.name]
    assert (row["FN"], row["FP"], row["MOTA"]) == (0, 0, 1)
    nothing = data.judged({sequence.name: inside[:0]}, [sequence], part)
    assert evaluation.summarize(nothing).loc[sequence.name, "FN"] == len(inside)


def test_the_reid_network_starts_the_same_whoever_comes_first(tiny, monkeypatch):
    monkeypatch.setattr(trainer, "train", lambda *_, **__: None)
    starts = []
    for before in (1, 2):
        torch.manual_seed(before)
        state = torch.get_rng_state()
        starts.append(study.embedder("smoke").state_dict())
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
