"""Identity switches, against what TrackEval counts and against examples worked by hand."""

import os
import tarfile
from pathlib import Path

import motmetrics
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepmot_lib.data import mot
from deepmot_lib.evaluation import evaluate_sequence
from deepmot_lib.evaluation.switches import COLUMNS, identity_switches

EXAMPLES = Path(motmetrics.__file__).parent / "data"
DATA = os.environ.get("DEEPMOT_DATA")
LIF_T = DATA and Path(DATA) / "results-Lif_T-MOT17-train.tgz"


def squares(*rows):
    """A table from (frame, id, left): squares of 20 px; s px apart they overlap by (20 - s) / (20 + s)."""
    table = pd.DataFrame(np.array(rows, dtype=np.int64).reshape(-1, 3), columns=["frame", "id", "x1"])
    return table.assign(y1=0, x2=table["x1"] + 20, y2=20)


def counted(gt, results):
    return evaluate_sequence(gt, results, "motchallenge")["IDs"]


def rows(gt, results):
    switches = identity_switches(gt, results)
    assert list(switches) == COLUMNS and (switches.dtypes == np.int64).all()
    return [tuple(row) for row in switches.to_numpy().tolist()]


# --- by hand ------------------------------------------------------------------------------------------------


def test_leaving_and_coming_back_are_two():
    gt = squares(*[(frame, 1, 0) for frame in range(1, 8)])
    results = squares((1, 7, 0), (2, 7, 0), (3, 8, 0), (6, 8, 0), (7, 7, 0))  # nothing in 4 and 5
    assert rows(gt, results) == [(3, 1, 7, 8), (7, 1, 8, 7)]


def test_the_last_match_may_be_long_ago_and_another_objects_is_none():
    gt = squares((1, 1, 0), (9, 1, 0), (9, 2, 100), (10, 2, 100))
    assert rows(gt, squares((1, 5, 0), (9, 6, 0), (9, 5, 100), (10, 5, 100))) == [(9, 1, 5, 6)]


def test_a_match_goes_on_though_another_fits_better():
    gt = squares((1, 1, 0), (2, 1, 0), (3, 1, 0))
    better = squares((1, 7, 0), (2, 7, 6), (2, 8, 0), (3, 7, 12), (3, 8, 0))  # 7 overlaps by 1, 0.54, 0.25
    assert rows(gt, better) == [(3, 1, 7, 8)]


def test_two_that_swap_tracks():
    gt = squares(*[(frame, identity, 100 * identity) for frame in (1, 2) for identity in (1, 2)])
    assert rows(gt, squares((1, 5, 100), (1, 6, 200), (2, 6, 100), (2, 5, 200))) == [
        (2, 1, 5, 6),
        (2, 2, 6, 5),
    ]


def test_what_does_not_count_does_not_switch():
    gt = squares((1, 1, 0), (2, 1, 0)).assign(conf=0)
    assert rows(gt, squares((1, 7, 0), (2, 8, 0))) == []
    assert rows(squares((1, 1, 0)), squares()) == [] == rows(squares(), squares((1, 7, 0)))
    with pytest.raises(ValueError, match="results hold id 7 twice in frame 1"):
        identity_switches(gt, squares((1, 7, 0), (1, 7, 50)))


# --- against TrackEval --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte"])
def test_tud_up_to_every_frame(name):
    """As many switches up to each frame as TrackEval counts there: so they are in the right frames."""
    folder = EXAMPLES / name
    gt, results = mot.read_ground_truth(folder / "gt.txt"), mot.read_boxes(folder / "test.txt")
    switches = identity_switches(gt, results)
    assert len(switches) == {"TUD-Campus": 7, "TUD-Stadtmitte": 7}[name]
    for end in range(1, gt["frame"].max() + 1, 5):
        part = (table[table["frame"] <= end] for table in (gt, results))
        assert (switches["frame"] <= end).sum() == counted(*part)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_walks_that_cross(seed):
    """Three people on a line of 80 px, results with other ids now and then, some missing, some false."""
    random = np.random.default_rng(seed)
    ways = random.integers(0, 80, 3) + np.cumsum(random.integers(-6, 7, (12, 3)), axis=0)
    gt = [(t, k, x) for t, way in enumerate(ways, 1) for k, x in enumerate(way) if random.random() < 0.9]
    found = []
    for t, way in enumerate(ways, 1):
        names = random.permutation(6)[:4] if random.random() < 0.4 else np.arange(4)
        spots = [*(way + random.integers(-4, 5, 3)), random.integers(0, 80)]
        found += [(t, k, x) for k, x in zip(names, spots, strict=True) if random.random() < 0.8]
    gt, results = squares(*gt), squares(*found)
    switches = identity_switches(gt, results)
    assert len(switches) == counted(gt, results)
    assert (switches["before"] != switches["after"]).all()


@pytest.mark.skipif(not (LIF_T and LIF_T.is_file()), reason="needs DEEPMOT_DATA with Lif_T's result files")
@pytest.mark.parametrize("name", ["MOT17-05-DPM", "MOT17-09-FRCNN", "MOT17-10-SDP"])
def test_a_published_tracker(tmp_path, name):
    with tarfile.open(LIF_T) as archive:
        archive.extract(f"MOT17-train/{name}.txt", tmp_path, filter="data")
    gt = mot.read_ground_truth(Path(DATA) / "MOT17-labels" / "train" / name / "gt" / "gt.txt")
    results = mot.read_boxes(tmp_path / "MOT17-train" / f"{name}.txt")
    switches = identity_switches(gt, results)
    assert 0 < len(switches) == counted(gt, results)
    both = switches.merge(gt, left_on=["frame", "object"], right_on=["frame", "id"])
    both = both.merge(results, left_on=["frame", "after"], right_on=["frame", "id"], suffixes=("", "_r"))
    assert len(both) == len(switches)  # object and result are there in that frame, and near each other
    assert (np.minimum(both["x2"], both["x2_r"]) > np.maximum(both["x1"], both["x1_r"])).all()
