"""Runs of trackers from start to table, in a profile that trains in a moment."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch

from deepmot_lib import evaluation
from deepmot_lib.data import mot, synthetic
from deepmot_lib.experiments import reid, rules, tables
from deepmot_lib.experiments import sequences as data
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments import trackers as study
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.settings import DEEPMOT, DHN, EmbeddedData, TrackerRun
from deepmot_lib.trackers import create
from deepmot_lib.trackers.rules import MOT_BY_SOT
from deepmot_lib.training import trainer
from deepmot_lib.training.schedules import (
    DetectorSchedule,
    HeadSchedule,
    PairSchedule,
    ReIDSchedule,
    RolloutSchedule,
    TrackerSchedule,
)

pytestmark = pytest.mark.slow

VANILLA = TrackerRun("tracktor", "vanilla")
HEAD = TrackerRun("tracktor", DEEPMOT, "head", DHN)
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
        rollout=RolloutSchedule(steps=3, frames=3, validations=1),
        head=HeadSchedule(steps=2, frames=4),
    )
    embedded = EmbeddedData(sequences=1, frames=16, image_size=(96, 128))
    settings = dataclasses.replace(smoke, embedded=embedded, trackers=settings)
    return Experiment(settings, Paths(tmp_path_factory.mktemp("out")), torch.device("cpu"))


@pytest.fixture
def last(tiny, tmp_path):
    """The same, but a training ends with its last weights, whether these are better than its first or not."""
    chosen = tiny.settings.trackers
    chosen = dataclasses.replace(
        chosen,
        training=dataclasses.replace(chosen.training, validations=0),
        rollout=dataclasses.replace(chosen.rollout, validations=0),
    )
    settings = dataclasses.replace(tiny.settings, trackers=chosen)
    return dataclasses.replace(tiny, settings=settings, paths=Paths(tmp_path))


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
    study.complete(tiny, [run])
    file = study.table_file(tiny, run)
    assert study.history_file(tiny, run).is_file() == (run.reid != "external"), "one a training"
    frame, made_from = tables.read(file)
    assert made_from["protocol"] == "plain" and made_from["seeds"] == [0]
    assert made_from["detectors"] == "DPM, FRCNN, SDP" and "EMB-01-DPM" in made_from["data"]
    weights = study.folder(tiny, run.weights_run) / "weights.safetensors"
    assert made_from["weights"] == tables.file_hash(weights)
    steps = {"tracktor": "120 steps", "goturn": "3 steps"}[run.tracker] if run.loss == "vanilla" else "clips"
    assert steps in made_from["schedule"]
    for name, value in run._asdict().items():
        assert set(frame[name]) == {value}
    # What the table says is what anyone counts in the result files against the last quarters.
    judge = tiny.tracking.evaluation
    expected = {}
    for sequence in judge:
        boxes = mot.read_boxes(study.results_folder(tiny, run) / f"{sequence.name}.txt")
        assert boxes["frame"].between(13, 16).all()
        gt = sequence.gt()
        expected[sequence.name] = evaluation.count(gt[gt["frame"] > 12], boxes, "plain")
    expected = evaluation.summarize(expected)
    found = frame.set_index("sequence")[evaluation.COLUMNS]
    assert found.index.tolist() == [*(sequence.name for sequence in judge), evaluation.OVERALL]
    # Files hold boxes to a thousandth of a pixel.
    assert found[evaluation.COUNTS].equals(expected[evaluation.COUNTS])
    assert (found - expected[evaluation.COLUMNS]).abs().max().max() < 1e-3
    assert set(study.results(tiny, run)) == {sequence.name for sequence in judge}
    # The blocks hold the same errors, each where it is.
    blocks, _ = tables.read(study.blocks_file(tiny, run))
    errors = blocks.groupby("sequence")[["FP", "FN", "IDs"]].sum()
    pd.testing.assert_frame_equal(errors, found.loc[errors.index, errors.columns], check_names=False)
    assert set(blocks["images"]) == {sequence.name.rpartition("-")[0] for sequence in judge}


def test_the_detector_tracks_somebody(tiny):
    study.complete(tiny, [VANILLA])
    assert sum(map(len, study.results(tiny, VANILLA).values())) > 10


def test_what_is_there_is_not_made_again(tiny, request):
    study.complete(tiny, [VANILLA, HEAD])
    first = study.train(tiny, HEAD)
    request.getfixturevalue("no_training")
    study.complete(tiny, [VANILLA, HEAD])
    again = study.train(tiny, HEAD)
    assert again.weights == first.weights and again.history["step"].tolist() == [0, 1, 2, 3]
    assert again.history["validation"].notna().sum() == 2
    a, b = first.tracker.state_dict(), again.tracker.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_only_heads_differ_from_where_a_run_started(last):
    before, after = (study.train(last, run).tracker for run in (VANILLA, HEAD))
    assert before.reid is None and after.reid is not None
    old, new = before.state_dict(), after.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all(name.startswith("detector.roi_heads.") for name in changed)


def test_an_external_reid_takes_the_weights_of_the_run_without(tiny, request):
    none = TrackerRun("tracktor", DEEPMOT, "none", DHN)
    external = none._replace(reid="external")
    trained = study.train(tiny, none)
    request.getfixturevalue("no_training")
    assert study.train(tiny, external).weights == trained.weights
    assert HEAD.weights_run == HEAD and external.weights_run == none
    assert study.table_file(tiny, external) != study.table_file(tiny, none)


def test_as_released_the_box_layer_is_trained_as_in_the_text_the_whole_box_head(last):
    before = study.train(last, VANILLA).tracker.state_dict()
    for training, layers in {
        "release": {"box_predictor.bbox_pred"},
        "paper": {"box_predictor.bbox_pred", "box_predictor.cls_score", "box_head.fc6", "box_head.fc7"},
    }.items():
        after = study.train(last, HEAD._replace(training=training)).tracker.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        parts = {name.removeprefix("detector.roi_heads.").rsplit(".", 1)[0] for name in changed}
        assert parts == layers, training


@pytest.mark.parametrize("head", profiles.CONTROL_HEADS)
def test_a_control_head_changes_nothing_but_who_is_recognized(tiny, head):
    none = TrackerRun("tracktor", DEEPMOT, "none", DHN)
    run = none._replace(reid=head)
    plain, control = study.train(tiny, none), study.train(tiny, run)
    assert control.weights == plain.weights and plain.tracker.reid is None
    ours, theirs = control.tracker.state_dict(), plain.tracker.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    boxes = torch.tensor([[10.0, 10, 30, 60], [50, 20, 80, 90]])
    encoded = control.tracker.encode(torch.rand(3, 96, 128))
    found = control.tracker.init_memory(encoded, boxes)
    assert torch.equal(found[0], found[1]) == (head == "head-constant")


def test_a_control_head_is_trained_once(tiny, request):
    run = TrackerRun("tracktor", DEEPMOT, "head-triplet", DHN)
    first = study.train(tiny, run).tracker.reid.state_dict()
    request.getfixturevalue("no_training")
    again = study.train(tiny, run).tracker.reid.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_who_reidentifies_is_measured_and_limited_by_one_rule(tiny):
    runs = [HEAD, HEAD._replace(reid="head-constant"), HEAD._replace(reid="external")]
    for run in runs:
        networks = study.pipeline(tiny, run, study.train(tiny, run).tracker)
        rows, made_from = tables.read(reid.table_file(tiny, run))
        assert rows["part"].tolist() == ["val", "test"] and made_from["weights"]
        limits = {rule.revival_distance for rule in networks.rules.values()}
        assert limits == {reid.limit(rows)} and 0 <= reid.limit(rows) - rows["limit"][0] <= 1e-3
    table = reid.table(tiny.paths.tables).set_index("reid")
    assert {"head", "head-constant", "external"} <= set(table.index)
    assert table.loc["head-constant", "AUC"] == pytest.approx(0.5)
    assert study.pipeline(tiny, SMOOTH, study.train(tiny, SMOOTH).tracker).rules == study.chosen_rules(
        tiny, "tracktor"
    )


def test_a_folder_without_measures_of_reid_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no re-identification has been scored yet: run notebook 07"):
        reid.table(tmp_path)


@pytest.mark.parametrize("tracker", ["goturn", "siamrpn"])
def test_single_object_trackers_take_the_vanilla_detectors_judgement(tiny, tracker):
    run = TrackerRun(tracker, "vanilla")
    networks = study.pipeline(tiny, run, study.train(tiny, run).tracker)
    judge = study.train(tiny, VANILLA).tracker
    assert (
        networks.tracker.name == tracker
        and networks.detector.name == "tracktor"
        and networks.embedder is None
    )
    theirs, ours = networks.detector.state_dict(), judge.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    alone = study.pipeline(tiny, VANILLA, judge)
    assert alone.detector is alone.tracker


def test_validation_is_of_the_third_quarters(tiny, tmp_path, monkeypatch):
    evaluated = []
    evaluate = data.evaluate

    def spy(results, sequences, part):
        evaluated.append(part)
        frames = mot.split(16)[part]
        assert all(boxes["frame"].isin(frames).all() for boxes in results.values())
        return evaluate(results, sequences, part)

    monkeypatch.setattr(data, "evaluate", spy)
    run = TrackerRun("tracktor", "smooth_l1", seed=7)
    study.train(tiny, run)
    assert evaluated == ["val", "val"], "where it starts and where it ends"
    study.score(tiny, run)
    assert evaluated == ["val", "val", "test"]


def test_results_of_a_run_that_was_not_scored_are_missed(tiny):
    with pytest.raises(FileNotFoundError, match="this run has not been scored"):
        study.results(tiny, TrackerRun("tracktor", "dMOTP", "head", DHN))


# --- its data -----------------------------------------------------------------------------------------------


def test_pictures_are_learnt_from_once_and_judged_with_every_detector(tiny):
    found = tiny.tracking
    assert [sequence.name for sequence in found.evaluation] == ["EMB-01-DPM", "EMB-01-FRCNN", "EMB-01-SDP"]
    assert [sequence.name for sequence in found.training] == ["EMB-01-DPM"]
    assert all(sequence.image(16).shape == (96, 128, 3) for sequence in found.evaluation)
    assert found.description.startswith("3 embedded sequences, ")


def test_real_sequences_are_taken_where_there_are_some_if_they_are_complete(tiny, tmp_path):
    real = synthetic.write_sequences(tmp_path / "real", 2, 4, (64, 64))
    (real[1].path / "img1" / "000001.jpg").unlink()
    (real[3].path / "gt" / "gt.txt").unlink()
    (real[4].path / "det" / "det.txt").unlink()
    assert "embedded" in tiny.tracking.description, "no folder of real data"
    with pytest.warns(mot.MotFormatWarning, match=r"EMB-01-FRCNN.*do not show the 4 frames"):
        found = dataclasses.replace(tiny, data_root=tmp_path / "real").tracking
    assert [sequence.name for sequence in found.evaluation] == ["EMB-01-DPM", "EMB-01-SDP", "EMB-02-SDP"]
    assert [sequence.name for sequence in found.training] == ["EMB-01-DPM", "EMB-02-SDP"]
    assert found.description == "EMB-01-DPM, EMB-01-SDP, EMB-02-SDP"


def test_detectors_are_named_or_given():
    def named(*names):
        return data.detectors(mot.Sequence(Path(name)) for name in names)

    assert named("MOT17-02-SDP", "MOT17-02-DPM", "MOT17-04-DPM") == "DPM, SDP"
    assert named("PETS09-S2L1") == "as given"
    assert named("PETS09-S2L1", "MOT17-02-FRCNN") == "FRCNN, as given"


def test_tracktor_and_the_others_are_managed_by_their_own_rules(tiny, tmp_path):
    assert data.rules("goturn") is data.rules("siamrpn") is MOT_BY_SOT
    networks = study.vanilla(tiny)
    chosen = rules.choose(tiny, networks.tracker, study.train(tiny, VANILLA).weights)
    for sequence in tiny.tracking.evaluation:
        assert networks.rules_of(sequence) == chosen[data.detector(sequence)]
    unknown = mot.Sequence(tmp_path / "PETS09-S2L1")
    (unknown.path / "det").mkdir(parents=True)
    (unknown.path / "det" / "det.txt").touch()
    assert networks.rules_of(unknown) == data.rules("tracktor")


@pytest.mark.parametrize("tracker", ["tracktor", "goturn"])
def test_who_finds_people_itself_has_to_be_surer_of_them(tracker):
    options = {"backbone": "tiny"} if tracker == "tracktor" else {}
    networks = study.TrackingPipeline(create(tracker, **options), None)
    found = networks.rules_of(mot.Sequence(Path("no-detections-here")))
    usual = data.rules(tracker)
    assert found == dataclasses.replace(usual, birth_score=0.9, second_score=0.5) != usual


@pytest.mark.parametrize(
    "part, frames", [("train", range(1, 9)), ("val", range(9, 13)), ("test", range(13, 17))]
)
def test_only_the_part_is_counted(tiny, part, frames):
    sequence = tiny.tracking.evaluation[0]
    gt = mot.pedestrians(sequence.gt())
    inside = gt[gt["frame"].isin(frames)]
    row = data.evaluate({sequence.name: inside}, [sequence], part).loc[sequence.name]
    assert (row["FN"], row["FP"], row["MOTA"]) == (0, 0, 1)
    nothing = data.evaluate({sequence.name: inside[:0]}, [sequence], part)
    assert nothing.loc[sequence.name, "FN"] == len(inside)


def test_the_reid_network_starts_the_same_whoever_comes_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "train", lambda *_, **__: None)
    starts = []
    for before in (1, 2):
        torch.manual_seed(before)
        state = torch.get_rng_state()
        starts.append(
            study.embedder(dataclasses.replace(tiny, paths=Paths(tmp_path / str(before)))).state_dict()
        )
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
