"""What a box file means: separators, classes, visibilities, ids and flags; TrackEval reads them likewise."""

import os
import warnings

import numpy as np
import pandas as pd
import pytest
from trackeval.datasets import MotChallenge2DBox

from deepmot_lib.data import mot

MINUS_ONES = "1,-1,-1,-1"

SEPARATORS = {
    "spaces": lambda text: text.replace(",", " "),
    "aligned spaces": lambda text: text.replace(",", "   "),
    "tabs": lambda text: text.replace(",", "\t"),
    "semicolons": lambda text: text.replace(",", ";"),
    "comma and space": lambda text: text.replace(",", ", "),
    "trailing comma": lambda text: text.replace("\n", ",\n"),
    "trailing semicolon": lambda text: text.replace(",", ";").replace("\n", "; \n"),
    "trailing tab": lambda text: text.replace(",", "\t").replace("\n", "\t\n"),
    "leading space": lambda text: " " + text.replace(",", " ").replace("\n", "\n ").rstrip(" "),
    "trailing comma, Windows": lambda text: text.replace("\n", ",\r\n"),
    "old Macintosh": lambda text: text.replace("\n", "\r"),
}
BY_TRACKEVAL = ["spaces", "tabs", "semicolons", "trailing comma"]  # those that issue reports name


@pytest.mark.parametrize("name", SEPARATORS)
@pytest.mark.parametrize("rows", [1, 5])
def test_separators(tmp_path, name, rows):
    plain, other = tmp_path / "plain.txt", tmp_path / "other.txt"
    text = "".join(f"{frame},{frame + 2},-1.5,2e1,30,40.25,{MINUS_ONES}\n" for frame in range(1, rows + 1))
    plain.write_text(text)
    other.write_bytes(SEPARATORS[name](text).encode())
    for read in (mot.read_boxes, mot.read_detections, mot.read_ground_truth):
        pd.testing.assert_frame_equal(read(other), read(plain))
    if name in BY_TRACKEVAL:
        theirs, _ = MotChallenge2DBox._load_simple_text_file(str(other))
        boxes = [[float(value) for value in theirs[str(frame)][0][:6]] for frame in range(1, rows + 1)]
        ours = mot.read_boxes(other).eval("x2 = x2 - x1\ny2 = y2 - y1")
        assert ours.iloc[:, :6].to_numpy().tolist() == boxes


# What follows the flag in three rows; the classes and visibilities that it stands for; a word of the warning.
NEITHER, CLASSES = [(1, 1.0)] * 3, [(1, 1.0), (3, 0.5), (8, 1.0)]
READINGS = {
    "nothing": (["", "", ""], NEITHER, None),
    "8: class": ([",1", ",3", ",8"], [(1, 1.0), (3, 1.0), (8, 1.0)], None),
    "8: own classes": ([",0", ",80", ",-1"], [(0, 1.0), (80, 1.0), (-1, 1.0)], None),
    "8: unused": ([",-1"] * 3, NEITHER, None),
    "8: visibility alone": ([",.5", ",1", ",0"], NEITHER, None),
    "9: class, visibility": ([",1,1", ",3,.5", ",8,1.0"], CLASSES, None),
    "9: visibility unknown": ([",1,-1", ",3,-1", ",8,-1"], [(1, 1.0), (3, 1.0), (8, 1.0)], None),
    "9: unused": ([",-1,-1"] * 3, NEITHER, None),
    "10: class, visibility, -1": ([",1,1,-1", ",3,.5,-1", ",8,1.0,-1"], CLASSES, "class and visibility"),
    "10: class, -1, -1": ([",1,-1,-1", ",3,-1,-1", ",8,-1,-1"], [(1, 1), (3, 1), (8, 1)], "class and vis"),
    "10: all pedestrians": ([",1,1,-1"] * 3, NEITHER, None),
    "10: class 0": ([",0,1,-1"] * 3, [(0, 1.0)] * 3, "class and visibility"),
    "10: unused": ([",-1,-1,-1"] * 3, NEITHER, None),
    "10: zeros": ([",0,0,0"] * 3, NEITHER, None),
    "10: MOT15's world": ([",4.4852,5.5016,0", ",-1.407,9.0212,0.68", ",1,0,0"], NEITHER, None),
    "10: world in integers": ([",4,5,0", ",3,9,0", ",1,0,0"], NEITHER, "world coordinates"),
    "10: negative world": ([",-4,0,0", ",3,1,0", ",1,0,0"], NEITHER, None),
}


@pytest.mark.parametrize("name", READINGS)
def test_readings_of_ground_truth(tmp_path, name):
    rest, expected, warned = READINGS[name]
    path = tmp_path / "gt.txt"
    path.write_text("".join(f"1,{k + 1},{100 * k},0,40,80,1{end}\n" for k, end in enumerate(rest)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gt = mot.read_ground_truth(path)
    assert list(zip(gt["cls"], gt["visibility"], strict=True)) == expected
    assert [warning.category for warning in caught] == [mot.MotFormatWarning] * bool(warned)
    assert all(f"{path}: " in str(warning.message) and warned in str(warning.message) for warning in caught)
    detections = mot.read_detections(path)
    assert (detections[["cls", "visibility"]] == 1).all(axis=None) and (detections["id"] == -1).all()


@pytest.mark.skipif(not os.environ.get("DEEPMOT_DATA"), reason="DEEPMOT_DATA is not set")
def test_real_ground_truth_is_read_without_doubt():
    """MOT15's with world coordinates or -1, MOT17's with classes."""
    kinds = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sequence in mot.find_sequences(os.environ["DEEPMOT_DATA"]):
            if (sequence.path / "gt" / "gt.txt").is_file():
                kinds[sequence.name] = set(sequence.gt()["cls"])
    assert kinds["MOT17-02-SDP"] == {1, 2, 4, 7, 8, 9}  # cut -d, -f8 | sort -u
    assert all(kinds[name] == {1} for name in ("PETS09-S2L1", "TUD-Stadtmitte", "ETH-Bahnhof", "KITTI-17"))


# --- ids and flags ------------------------------------------------------------------------------------------


def rows(ids, flag="1"):
    """A box per frame and id, far from the others."""
    return "".join(f"{k + 1},{identity},{100 * k},0,40,80,{flag},1,1\n" for k, identity in enumerate(ids))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (rows([-1, -1, -1, -1]), 1),
        (rows([1, 2, -1]), 3),
        (rows([1, -2, 3]), 2),
        (rows([0, 0, 0, 0]), 1),
        (rows([5, 7, 0]), 3),
        ("1,-1,0,0,40,80,1,1,1\n1,-1,300,0,40,80,1,1,1\n", 1),
        ("1,2,0,0,40,80,1,1,1\n\n1,0,300,0,40,80,1,1,1\n1,0,600,0,40,80,1,1,1\n", 3),
    ],
)
def test_ground_truth_without_track_ids_is_refused(tmp_path, text, line):
    path = tmp_path / "gt.txt"
    path.write_text(text)
    with pytest.raises(mot.MotFormatError, match="needs a track id") as caught:
        mot.read_ground_truth(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_ids_that_count_from_zero_are_read_with_a_warning(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text(rows([2, 0, 1, 0]))
    with pytest.warns(mot.MotFormatWarning, match=r"gt\.txt: the ids are read as numbered from 0"):
        assert mot.read_ground_truth(path)["id"].tolist() == [2, 0, 1, 0]


def test_a_flag_is_an_integer(tmp_path):
    """TrackEval cuts 0.9 down to 0 and leaves the row out; nobody means that."""
    path = tmp_path / "gt.txt"
    path.write_text(rows([1, 2]) + rows([3], flag="0.9"))
    with pytest.raises(mot.MotFormatError, match=r"gt\.txt:3: the flag in column 7 must be an integer"):
        mot.read_ground_truth(path)
    with pytest.raises(ValueError, match="row 2 of the boxes to write: the flag"):
        mot.write_ground_truth(tmp_path / "new.txt", mot.read_boxes(path))


@pytest.mark.parametrize("identity", ["0", "-1", "7", "0.5", "1e300"])
def test_ids_of_detections_are_not_read(tmp_path, identity):
    path = tmp_path / "det.txt"
    path.write_text(f"1,{identity},10,20,30,40,67.5\n" * 3)
    detections = mot.read_detections(path)
    assert detections["conf"].tolist() == [67.5] * 3 and (detections["id"] == -1).all()


def test_a_sequence_reads_each_file_by_its_kind(tmp_path):
    for name in ("gt/gt.txt", "det/det.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1,0,10,20,30,40,1,3,1\n" * 2)
    (tmp_path / "gt" / "gt.txt").write_text("1,1,10,20,30,40,1,3,1\n")
    sequence = mot.Sequence.open(tmp_path)
    assert sequence.gt()["cls"].tolist() == [3]
    np.testing.assert_array_equal(sequence.detections()[["id", "cls"]], [[-1, 1]] * 2)
