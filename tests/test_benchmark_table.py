"""The tables of notebook 09: which frames and which protocol count, what is pooled, what is timed."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from deepmot_lib.data import mot
from deepmot_lib.evaluation import submission
from deepmot_lib.experiments import benchmark, peers, sequences
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments import trackers as study
from deepmot_lib.experiments.sequences import TrackingData
from deepmot_lib.report import tracker_plots
from deepmot_lib.trackers.tracker import Propagation, Tracker

PERSON, STATIC = 1, 7  # classes


def sequence(root, name, people, length=20):
    """People of 40 x 80 px, 100 px apart, who stand still; ``people`` lists their classes."""
    boxes = pd.DataFrame(
        [
            {"frame": frame, "id": k + 1, "x1": 100.0 * k, "y1": 10.0, "conf": 1.0, "cls": cls}
            for frame in range(1, length + 1)
            for k, cls in enumerate(people)
        ]
    )
    boxes = boxes.assign(x2=boxes["x1"] + 40, y2=90.0, vis=1.0)
    folder = root / name
    mot.write_ground_truth(folder / "gt/gt.txt", boxes)
    mot.write_results(folder / "det/det.txt", boxes.assign(id=-1))
    (folder / "img1").mkdir()
    for frame in range(1, length + 1):
        Image.fromarray(np.zeros((100, 400, 3), np.uint8)).save(folder / f"img1/{frame:06d}.jpg")
    return mot.Sequence.open(folder)


def perfect(sequence):
    return sequence.gt()[["frame", "id", "x1", "y1", "x2", "y2", "conf"]]


@pytest.fixture
def judge(tmp_path):
    """Two of MOT17, one of them with a mannequin."""
    return [
        sequence(tmp_path, "MOT17-09-FRCNN", [PERSON, STATIC]),
        sequence(tmp_path, "MOT17-02-DPM", [PERSON, PERSON, PERSON], length=40),
    ]


@pytest.fixture
def pets(tmp_path):
    return sequence(tmp_path, "PETS09-S2L1", [PERSON, PERSON])


def table(judge, results=None, fps=10.0, part="test"):
    results = results or {one.name: perfect(one) for one in judge}
    fps = fps if isinstance(fps, dict) else {one.name: fps for one in judge}
    return benchmark.measured("A", results, fps, judge, part).set_index("sequence")


def test_a_mannequin_is_no_false_positive_by_the_official_protocol(judge):
    found = table(judge)
    assert found.loc["MOT17-09-FRCNN", "FP"] == 0 and set(found["protocol"]) == {"motchallenge"}
    assert (found[["MOTA", "IDF1", "HOTA", "MT"]].round(6) == 100).all(axis=None)
    assert list(found.reset_index()[benchmark.COLUMNS]) == benchmark.COLUMNS
    assert list(found.index) == ["MOT17-09-FRCNN", "MOT17-02-DPM", "OVERALL"]


def test_only_last_quarters_count(judge):
    results = {one.name: perfect(one) for one in judge}
    early = {name: boxes[boxes["frame"] <= boxes["frame"].max() * 3 // 4] for name, boxes in results.items()}
    missed = table(judge, early)
    assert missed.loc["OVERALL", "FN"] == 1 * 5 + 3 * 10 and (missed["FP"] == 0).all()


def test_of_transfer_the_whole_counts(pets):
    found = table([pets], {pets.name: perfect(pets).iloc[:10]}, part="whole")
    assert found.loc["OVERALL", "FN"] == 2 * 20 - 10 and set(found["protocol"]) == {"plain"}


def test_pooled_speed_is_all_timed_frames_over_their_time(judge):
    both = {"MOT17-09-FRCNN": 5.0, "MOT17-02-DPM": 20.0}  # 5 frames in a second, 10 in half a one
    assert table(judge, fps=both).loc["OVERALL", "FPS"] == pytest.approx(15 / 1.5)
    one = table(judge, fps={"MOT17-02-DPM": 20.0})["FPS"]
    assert one["OVERALL"] == pytest.approx(20.0) and np.isnan(one["MOT17-09-FRCNN"])


def test_aims_compare_the_best_of_ours_with_the_best_of_the_others():
    rows = [
        ("Tracktor (vanilla)", 50, 60),
        ("DeepMOT-GOTURN", 55, 40),
        ("SORT", 52, 50),
        ("ByteTrack", 40, 61),
    ]
    rows += [("ByteTrack, our boxes", 90, 90)]  # theirs by half
    table = pd.DataFrame(rows, columns=["method", "MOTA", "HOTA"]).assign(
        sequence="OVERALL", protocol="plain"
    )
    table = pd.concat([table, table.assign(protocol="motchallenge", MOTA=table["MOTA"] - 9)])
    found = benchmark.aims(table)
    one = found.loc["plain", "OVERALL"]
    assert one.filter(like="MOTA").tolist() == [55, 52, 3] and one.filter(like="HOTA").tolist() == [
        60,
        61,
        -1,
    ]
    assert list(found) == [
        f"{name} {side}" for name in ("MOTA", "HOTA") for side in ("ours", "others", "difference")
    ]
    assert found.loc["motchallenge", "OVERALL"]["MOTA ours"] == 46, "protocols never meet"


def test_what_the_papers_tracker_has_more_stands_in_the_pooled_row(judge):
    right = {one.name: perfect(one) for one in judge}
    missed = {name: boxes[boxes["id"] != 3] for name, boxes in right.items()}  # ten boxes of twenty
    methods = {benchmark.MAIN: right, "SORT": missed}
    fps = dict.fromkeys(right, 10.0)
    table = pd.concat([benchmark.measured(name, boxes, fps, judge) for name, boxes in methods.items()])
    blocks = {name: sequences.count_blocks(boxes, judge, "test") for name, boxes in methods.items()}
    found = benchmark.with_differences(table, blocks).set_index(["method", "sequence"])
    row = found.loc["SORT", "OVERALL"]
    boxes = 1 * 5 + 3 * 10  # people times frames of the last quarters
    assert row["MOTA difference"] == pytest.approx(100 * 10 / boxes) == 100 - row["MOTA"]
    assert row["IDF1 difference"] == pytest.approx(100 - row["IDF1"]) and row["IDs difference"] == 0
    assert row["MOTA low"] <= row["MOTA difference"] <= row["MOTA high"]
    others = found.drop(("SORT", "OVERALL"))
    assert len(found) == 6 and others.filter(regex="difference|low|high").isna().all(axis=None)


class Still(Tracker):
    """Leaves every box where it is and counts the images that it sees."""

    name, options = "tracktor", {}

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.seen = 0

    def encode(self, image):
        self.seen += 1
        return image

    def init_memory(self, seen, boxes):
        return boxes.new_zeros(len(boxes), 0)

    def propagate(self, seen, boxes, memory):
        return Propagation(boxes, torch.ones(len(boxes)))


@pytest.mark.parametrize(("length", "frames"), [(20, 5), (200, 20)])
def test_at_most_twenty_frames_are_timed(tmp_path, length, frames):
    tracker = Still()
    one = sequence(tmp_path, "S", [PERSON], length)
    assert benchmark.frames_per_second(study.TrackingPipeline(tracker, tracker), one) > 0
    assert tracker.seen == frames + 1  # one to warm up


@pytest.fixture
def still(judge, pets, smoke, monkeypatch, tmp_path):
    """Every tracker leaves boxes where they are, every run has tracked perfectly."""
    tracker = Still()
    pipeline = study.TrackingPipeline(tracker, tracker)

    def track(experiment, run, found, part):
        files = {one.name: tmp_path / "results" / f"{one.name}.txt" for one in found}
        for one in found:
            mot.write_results(files[one.name], perfect(one))
        return files

    monkeypatch.setattr(benchmark, "unaided", lambda *_: pipeline)
    monkeypatch.setattr(study, "vanilla", lambda *_: pipeline)
    monkeypatch.setattr(study, "track", track)
    vars(smoke)["tracking"] = TrackingData(judge, judge, "two", (pets,))
    return smoke


@pytest.mark.slow
def test_without_the_package_the_others_are_missing_and_named(still, monkeypatch):
    def absent(*_):
        raise peers.PeersError("pip install trackers")

    monkeypatch.setattr(peers, "track", absent)
    found, missing = benchmark.local(still)
    assert set(found["method"]) == set(benchmark.OURS) and len(found) == 3 * len(benchmark.OURS)
    names = [name for peer in benchmark.PEERS for name in (peer, f"{peer}, our boxes")]
    assert [line.partition(":")[0] for line in missing] == names
    assert all("pip install" in line for line in missing)


@pytest.mark.slow
def test_with_the_package_the_others_stand_beside_ours(still):
    pytest.importorskip("trackers")
    found, missing = benchmark.local(still)
    theirs = {name for peer in benchmark.PEERS for name in (peer, f"{peer}, our boxes")}
    assert missing == [] and set(found["method"]) == {*benchmark.OURS, *theirs}
    assert found["sequence"].unique().tolist() == ["MOT17-09-FRCNN", "MOT17-02-DPM", "OVERALL"]
    figure = tracker_plots.benchmark(found)
    assert len(figure.axes) == 2 * found["protocol"].nunique()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(found["method"].unique())


@pytest.mark.slow
def test_transfer_is_a_table_of_its_own(still):
    found, _ = benchmark.transfer(still)
    assert found["sequence"].unique().tolist() == ["PETS09-S2L1", "OVERALL"]
    assert set(found["protocol"]) == {"plain"} and set(benchmark.OURS) <= set(found["method"])
    vars(still)["tracking"] = still.tracking._replace(transfer=())
    assert benchmark.transfer(still)[0].empty


def test_our_rows_are_runs_of_every_profile():
    for profile in profiles.PROFILES.values():
        assert set(benchmark.OURS.values()) <= set(profile.trackers.runs)


def test_only_test_folders_with_images_and_detections_can_be_tracked(tmp_path):
    assert benchmark.archive_roots(None) == {} == benchmark.archive_roots(tmp_path)
    one = sequence(tmp_path / "MOT17/test", "MOT17-01-DPM", [PERSON], 4)
    assert benchmark.archive_roots(tmp_path) == {"MOT17": tmp_path / "MOT17/test"}
    shutil.rmtree(one.path / "img1")
    assert benchmark.archive_roots(tmp_path) == {}


@pytest.mark.slow
def test_the_archive_holds_every_test_sequence(still, tmp_path):
    root = tmp_path / "MOT16/test"
    for name in submission.sequence_names("MOT16")[1:]:
        sequence(root, name, [PERSON, PERSON], 4)
    with pytest.raises(submission.SubmissionError, match="MOT16-01 missing"):
        benchmark.archive(still, "DeepMOT-GOTURN", root, tmp_path / "out")
    sequence(root, "MOT16-01", [PERSON], 4)
    file = benchmark.archive(still, "DeepMOT-GOTURN", root, tmp_path / "out")
    assert file == tmp_path / "out/DeepMOT-GOTURN.zip" and file.is_file()
    tracked = mot.read_boxes(tmp_path / "out/DeepMOT-GOTURN/MOT16-03.txt")
    assert tracked["id"].nunique() == 2 and tracked["frame"].max() == 4
