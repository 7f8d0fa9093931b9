"""SORT, ByteTrack and OC-SORT: what goes in, what comes out, and figures measured before."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.data import mot
from deepmot_lib.evaluation import PROTOCOLS, evaluate_sequence
from deepmot_lib.experiments import peers
from deepmot_lib.trackers.tracking import COLUMNS

DATA = os.environ.get("DEEPMOT_DATA")
BOX = ["x1", "y1", "x2", "y2"]


@pytest.fixture
def package():
    return pytest.importorskip("trackers")


@pytest.fixture
def sequence(tmp_path):
    """Two people, 40 x 80 px, who walk for 20 frames with detections; in frame 9 there are none."""
    frames = np.array([frame for frame in range(1, 21) if frame != 9])
    boxes = [
        pd.DataFrame({"frame": frames, "id": -1, "x1": x + step * frames, "y1": 50.0, "conf": score})
        for x, step, score in ((10, 2, 0.9), (300, -1, 0.8))
    ]
    boxes = pd.concat(boxes)
    mot.write_results(tmp_path / "S/det/det.txt", boxes.assign(x2=boxes["x1"] + 40, y2=130.0))
    (tmp_path / "S/seqinfo.ini").write_text("[Sequence]\nseqLength=20\nimWidth=400\nimHeight=200\n")
    return mot.Sequence.open(tmp_path / "S")


def rescore(sequence, score):
    mot.write_results(sequence.path / "det/det.txt", sequence.detections().assign(conf=score))


@pytest.mark.parametrize("name", peers.NAMES)
def test_two_people_are_two_tracks_of_their_detections(package, sequence, name):
    tracks = peers.track(name, sequence)
    assert list(tracks) == COLUMNS and tracks["id"].min() == 1 and tracks["id"].nunique() == 2
    assert tracks.equals(tracks.sort_values(["frame", "id"], ignore_index=True))
    given = sequence.detections().merge(tracks, on=["frame", *BOX, "conf"])
    assert len(given) == len(tracks) > 28  # a track has to be confirmed first
    assert (tracks.groupby("id")["conf"].nunique() == 1).all()  # nobody takes over the other's boxes
    assert tracks.attrs["fps"] > 0


@pytest.mark.parametrize("name", peers.NAMES)
def test_a_part_is_tracked_from_nothing(package, sequence, name):
    whole, part = peers.track(name, sequence), peers.track(name, sequence, range(14, 19))
    assert 14 in set(whole["frame"]) and 14 not in set(part["frame"])  # not confirmed yet
    assert set(part["frame"]) >= {16, 17, 18} and part["frame"].max() == 18
    assert peers.track(name, sequence, range(5, 5)).empty


@pytest.mark.parametrize("name", peers.NAMES)
def test_scores_count_and_a_missing_score_is_one(package, sequence, name):
    rescore(sequence, 0.01)
    assert peers.track(name, sequence).empty  # the package's thresholds lie above
    rescore(sequence, -1)
    unknown = peers.track(name, sequence)
    assert unknown["id"].nunique() == 2 and (unknown["conf"] == 1).all()
    rescore(sequence, 1)
    assert unknown.equals(peers.track(name, sequence))


@pytest.mark.parametrize("name", peers.NAMES)
def test_other_boxes_than_the_public_ones(package, sequence, name):
    moved = sequence.detections().assign(y1=60.0, y2=140.0)
    tracks = peers.track(name, sequence, detections=moved)
    public = peers.track(name, sequence)
    assert (tracks["y1"] == 60).all() and tracks.drop(columns=["y1", "y2"]).equals(
        public.drop(columns=["y1", "y2"])
    )


def test_scores_on_another_scale_are_said(package, sequence):
    rescore(sequence, 45)
    with pytest.warns(UserWarning, match="S: scores of 45 to 45, where sort expects 0 to 1"):
        assert (peers.track("sort", sequence)["conf"] == 45).all()


def test_what_cannot_be_tracked(sequence, package):
    with pytest.raises(ValueError, match="unknown peer 'deepsort': choose one of sort, bytetrack, ocsort"):
        peers.track("deepsort", sequence)
    for frames in (range(1, 22), range(0, 5), range(1, 9, 2)):
        with pytest.raises(ValueError, match=r"no consecutive frames of 1\.\.20"):
            peers.track("sort", sequence, frames)
    (sequence.path / "det/det.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"det\.txt"):
        peers.track("sort", sequence)


def test_without_the_package_the_extra_is_named(sequence, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)  # as if it were not installed
    with pytest.raises(peers.PeersError, match=r"package trackers.*the extra 'peers'"):
        peers.track("sort", sequence)


# --- real data ----------------------------------------------------------------------------------------------

# MOTA, IDF1, HOTA, IDs on the last quarters, measured with the package's own default settings and TrackEval.
MEASURED = {
    "MOT17-half/train/MOT17-09-FRCNN": {
        "sort": (0.565, 0.572, 0.508, 7),
        "bytetrack": (0.577, 0.597, 0.520, 7),
        "ocsort": (0.548, 0.560, 0.512, 3),
    },
    "MOT15/train/PETS09-S2L1": {
        "sort": (0.600, 0.493, 0.383, 27),
        "bytetrack": (0.620, 0.545, 0.396, 21),
        "ocsort": (0.602, 0.631, 0.439, 12),
    },
}


@pytest.mark.skipif(not DATA, reason="DEEPMOT_DATA is not set")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("path", MEASURED)
def test_last_quarters(package, path, protocol):
    if not Path(DATA, path).is_dir():
        pytest.skip(f"DEEPMOT_DATA has no {path}")
    sequence = mot.Sequence.open(Path(DATA, path))
    frames = mot.split(sequence)["test"]
    gt = sequence.gt()
    gt = gt[gt["frame"].isin(frames)]
    for name, expected in MEASURED[path].items():
        measured = evaluate_sequence(gt, peers.track(name, sequence, frames), protocol)
        assert tuple(round(measured[key], 3) for key in ("MOTA", "IDF1", "HOTA", "IDs")) == expected, name
