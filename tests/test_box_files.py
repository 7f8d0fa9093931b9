"""MOTChallenge box files: real files, round trips, and every way in which a file can be broken."""

import os
import pickle
from pathlib import Path

import motmetrics
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepmot_lib.data import mot

TUD = Path(motmetrics.__file__).parent / "data"
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ROW = "1,1,10,20,30,40,1,-1,-1,-1\n"


@pytest.mark.parametrize(
    ("name", "file", "rows", "frames", "ids"),
    [
        ("TUD-Campus", "gt", 359, 71, 8),
        ("TUD-Campus", "test", 222, 71, 13),
        ("TUD-Stadtmitte", "gt", 1156, 179, 10),
        ("TUD-Stadtmitte", "test", 749, 179, 12),
    ],
)
def test_real_files_hold_what_grep_counts(name, file, rows, frames, ids):
    path = TUD / name / f"{file}.txt"
    boxes = mot.read_boxes(path)
    lines = [line.split(",") for line in path.read_text().split()]
    assert len(boxes) == len(lines) == rows
    assert boxes["frame"].max() == frames
    assert boxes["id"].nunique() == len({fields[1] for fields in lines}) == ids
    expected = [
        [float(f[2]), float(f[3]), float(f[2]) + float(f[4]), float(f[3]) + float(f[5])] for f in lines
    ]
    np.testing.assert_array_equal(boxes[["x1", "y1", "x2", "y2"]], expected)
    assert (boxes["cls"] == 1).all() and (boxes["visibility"] == 1).all()


def test_windows_line_ends_blank_lines_spaces_and_a_byte_order_mark_are_fine(tmp_path):
    plain, odd = tmp_path / "plain.txt", tmp_path / "odd.txt"
    plain.write_text(ROW + ROW.replace("1", "2", 1))
    odd.write_bytes(
        b"\xef\xbb\xbf\r\n" + ROW.replace(",", ", ").strip().encode() + b" \r\n  \r\n\r\n2,1,10,20,"
    )
    with odd.open("ab") as file:
        file.write(b"3e1,40.,1,-1,-1,-1")
    pd.testing.assert_frame_equal(mot.read_boxes(plain), mot.read_boxes(odd))


def test_pedestrians_are_flagged_of_class_one_and_visible_enough(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,1,0,0,1,1,1,1,.5\n1,2,0,0,1,1,0,1,1\n1,3,0,0,1,1,1,7,1\n1,4,0,0,1,1,1,1,.1\n")
    assert mot.pedestrians(mot.read_boxes(path))["id"].tolist() == [1, 4]
    assert mot.pedestrians(mot.read_boxes(path), min_visibility=0.3)["id"].tolist() == [1]


# --- broken files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("1,1,10,20,30,40\n", 1, "6 comma-separated columns"),
        ("1 1 10 20 30 40\n", 1, "6 space-separated columns"),
        ("1;1;10,5;20;30;40;1\n", 1, "column 3 is not a finite number: '10,5'"),
        ("1\t1\t\t10\t20\t30\t40\n", 1, "column 3 is not a finite number: ''"),
        (ROW + "2 1 10 20 30 40 1 -1 -1 -1\n", 2, "1 comma-separated columns"),
        (ROW + "2,1,10,20,30,40,1,-1,-1,-1,,\n", 2, "11 comma-separated columns"),
        (ROW[:-1] + ",1\n", 1, "11 comma-separated columns"),
        (ROW + "2,1,10,20,30,40,1\n", 2, "7 columns, but 10"),
        ("\r\n" + ROW.replace("\n", "\r\n") + "\r\n2,1,10,20,,40,1,-1,-1,-1\r\n", 4, "column 5"),
        (ROW + "2,1,10,twenty,30,40,1,-1,-1,-1\n", 2, "column 4 is not a finite number: 'twenty'"),
        (ROW + "2,1,10,20,30,nan,1,-1,-1,-1\n", 2, "column 6"),
        (ROW + "2,1,10,20,30,inf,1,-1,-1,-1\n", 2, "column 6"),
        (ROW + "2,1,10,20,30,1e999,1,-1,-1,-1\n", 2, "too large"),
        ("True," * 9 + "True\n", 1, "column 1"),
        (ROW + "2,1,10,20,-30,40,1,-1,-1,-1\n", 2, "negative"),
        (ROW + "\n\n2,1,1e20,20,-1e-9,40,1,-1,-1,-1\n", 4, "negative"),
        (ROW + "0,1,10,20,30,40,1,-1,-1,-1\n", 2, "count from 1"),
        (ROW + "2.5,1,10,20,30,40,1,-1,-1,-1\n", 2, "integers"),
        (ROW + "2,1e300,10,20,30,40,1,-1,-1,-1\n", 2, "too large"),
        (ROW + "2,9007199254740993,10,20,30,40,1,-1,-1,-1\n", 2, r"too large: 2\*\*53"),
        (ROW + "2,-9007199254740992,10,20,30,40,1,-1,-1,-1\n", 2, r"too large: 2\*\*53"),
        (ROW + "9007199254740992,1,10,20,30,40,1,-1,-1,-1\n", 2, r"too large: 2\*\*53"),
        (ROW + "2,1,1e155,20,30,40,1,-1,-1,-1\n", 2, r"larger than 1e\+15 px"),
        (ROW + "2,1,10,20,30,2e19,1,-1,-1,-1\n", 2, r"larger than 1e\+15 px"),
        (ROW + "2,1,-2e15,20,1e15,40,1,-1,-1,-1\n", 2, r"larger than 1e\+15 px"),
        (ROW + "2,1,10," + "2" * 5000 + ",30,40,1,-1,-1,-1\n", 2, "more than 4096 characters"),
        ("1,1,10,20,30,40,1,1.5,1\n", 1, "integers"),
        (ROW + "2,1,10,20,30,40,1,-1,-1,-1\n" + ROW, 3, "twice"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, line, message):
    path = tmp_path / "broken.txt"
    path.write_bytes(text.encode())
    with pytest.raises(mot.MotFormatError, match=message) as caught:
        mot.read_boxes(path)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_detections_share_the_id_minus_one(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text("1,-1,10,20,30,40,67.5\n" * 3)
    assert mot.read_boxes(path)["conf"].tolist() == [67.5] * 3


def test_the_largest_numbers_are_read_exactly(tmp_path):
    path = tmp_path / "boxes.txt"
    path.write_text(f"{2**53 - 1},{2**53 - 1},-1e15,0,2e15,1e15,1\n")
    expected = [2**53 - 1, 2**53 - 1, -1e15, 0, 1e15, 1e15]
    assert mot.read_boxes(path).iloc[0, :6].tolist() == expected


def test_the_error_survives_a_process_pool(tmp_path):
    error = pickle.loads(pickle.dumps(mot.MotFormatError(tmp_path / "gt.txt", 3, "text")))
    assert (error.path, error.line, str(error)) == (tmp_path / "gt.txt", 3, f"{tmp_path / 'gt.txt'}:3: text")


@given(st.binary(max_size=300))
@same_folder
def test_bytes_are_read_or_refused_but_nothing_else(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.txt"
    path.write_bytes(content)
    try:
        boxes = mot.read_boxes(path)
    except mot.MotFormatError as error:
        assert 1 <= error.line <= 1 + content.count(b"\n") + content.count(b"\r")
    else:
        assert np.isfinite(boxes.to_numpy(float)).all()


numbers = st.floats(-1e5, 1e5, allow_nan=False).map(lambda value: round(value, 3))
sizes = st.floats(0, 1e4).map(lambda value: round(value, 3))
results = st.dictionaries(
    st.tuples(st.integers(1, 40), st.integers(0, 50)),
    st.tuples(numbers, numbers, sizes, sizes, st.floats(-10, 10).map(lambda value: round(value, 6))),
    max_size=25,
)


def table(rows):
    values = [(*key, x, y, x + w, y + h, conf) for key, (x, y, w, h, conf) in rows.items()]
    return pd.DataFrame(values, columns=mot.COLUMNS[:7], dtype=float).astype({"frame": int, "id": int})


@pytest.mark.slow
@given(results)
@same_folder
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "results.txt"
    mot.write_results(path, table(rows))
    boxes = mot.read_boxes(path)
    expected = table(dict(sorted(rows.items())))
    assert boxes[["frame", "id"]].to_numpy().tolist() == expected[["frame", "id"]].to_numpy().tolist()
    np.testing.assert_allclose(boxes[mot.COLUMNS[2:7]], expected[mot.COLUMNS[2:7]], rtol=0, atol=2e-3)
    assert all(line.endswith(",-1,-1,-1") for line in path.read_text().splitlines())


MANGLE = {
    "drop columns": lambda f: f[:6],
    "a column too many": lambda f: [*f, "1"],
    "text": lambda f: [*f[:3], "box", *f[4:]],
    "empty": lambda f: [*f[:4], "", *f[5:]],
    "nan": lambda f: [*f[:5], "NaN", *f[6:]],
    "negative width": lambda f: [*f[:4], "-0.001", *f[5:]],
    "negative height": lambda f: [*f[:5], "-7", *f[6:]],
    "frame zero": lambda f: ["0", *f[1:]],
    "half a frame": lambda f: ["1.5", *f[1:]],
    "half an id": lambda f: [f[0], "0.5", *f[2:]],
}


@pytest.mark.slow
@given(
    results.filter(bool), st.data(), st.sampled_from(sorted(MANGLE)), st.sampled_from(["\n", "\r\n", "\n\n"])
)
@same_folder
def test_one_mangled_line_is_found(tmp_path_factory, rows, data, how, end):
    path = tmp_path_factory.getbasetemp() / "mangled.txt"
    mot.write_results(path, table(rows))
    lines = path.read_text().splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    if how == "a column too many" or (how == "drop columns" and index == 0):
        index = len(lines) - 1  # were it the first, the others would differ from it
    lines[index] = ",".join(MANGLE[how](lines[index].split(",")))
    path.write_bytes(end.join(lines).encode())
    with pytest.raises(mot.MotFormatError) as caught:
        mot.read_boxes(path)
    assert caught.value.line == index * end.count("\n") + 1


@pytest.mark.slow
@given(results.filter(bool), st.data())
@same_folder
def test_a_repeated_id_is_found_at_its_second_line(tmp_path_factory, rows, data):
    path = tmp_path_factory.getbasetemp() / "twice.txt"
    mot.write_results(path, table(rows))
    lines = path.read_text().splitlines()
    lines.append(lines[data.draw(st.integers(0, len(lines) - 1))])
    path.write_text("\n".join(lines))
    with pytest.raises(mot.MotFormatError, match="twice") as caught:
        mot.read_boxes(path)
    assert caught.value.line == len(lines)


# --- writing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("x1", np.nan, "finite"),
        ("x2", -1e6, "negative"),
        ("frame", 0, "count from 1"),
        ("id", 2, "twice"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, column, value, message):
    path = tmp_path / "results.txt"
    boxes = table({(1, 1): (0, 0, 5, 5, 1), (1, 2): (5, 5, 5, 5, 1)})
    mot.write_results(path, boxes)
    before = path.read_text()
    boxes.loc[0, column] = value
    with pytest.raises(ValueError, match=message):
        mot.write_results(path, boxes)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.txt"]


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ValueError, match="x2, y2"):
        mot.write_results(tmp_path / "results.txt", pd.DataFrame(columns=mot.COLUMNS[:4]))


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.txt"
    mot.write_results(path, table({(1, 1): (0, 0, 5, 5, 1)}))
    before = path.read_text()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        mot.write_results(path, table({(1, 7): (0, 0, 5, 5, 1)}))
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.txt"]
