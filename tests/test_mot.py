"""MOTChallenge files and sequences: real files, round trips, and every way in which a file can be broken."""

import os
import pickle
from pathlib import Path

import motmetrics
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deepmot_lib.data import mot
from deepmot_lib.experiments import settings as profiles

TUD = Path(motmetrics.__file__).parent / "data"
real_data = pytest.mark.skipif(not os.environ.get("DEEPMOT_DATA"), reason="DEEPMOT_DATA is not set")
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ROW = "1,1,10,20,30,40,1,-1,-1,-1\n"


@pytest.fixture
def sequence(tmp_path):
    """A made-up sequence: 8 frames of 24 x 32 pixels, two people, no seqinfo.ini."""
    folder = tmp_path / "OWN-01"
    boxes = pd.DataFrame(
        [(f, i, i * 10.0, 2.0, i * 10.0 + 5, 12.5) for f in range(1, 8) for i in (1, 2)],
        columns=mot.COLUMNS[:6],
    )
    mot.write_ground_truth(folder / "gt" / "gt.txt", boxes)
    mot.write_results(folder / "det" / "det.txt", boxes.assign(id=-1))
    (folder / "img1").mkdir()
    for frame in range(1, 9):
        Image.new("RGB", (32, 24), (frame, 0, 200)).save(folder / "img1" / f"{frame:06d}.png")
    return folder


# --- what is in the files ----------------------------------------------------------------------------------


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


@real_data
def test_mot17_has_its_112297_pedestrian_boxes():
    sequences = [
        s for s in mot.find_sequences(profiles.data_root() / "MOT17-labels") if s.name.endswith("-SDP")
    ]
    boxes = [mot.pedestrians(sequence.gt()) for sequence in sequences]
    assert len(sequences) == 7
    assert sum(sequence.length for sequence in sequences) == 5316
    assert sum(map(len, boxes)) == 112_297


@real_data
def test_pets_has_its_19_people_and_pictures():
    sequence = mot.Sequence.open(profiles.data_root() / "MOT15" / "train" / "PETS09-S2L1")
    people = mot.pedestrians(sequence.gt())
    assert (len(people), people["id"].nunique(), sequence.length) == (4476, 19, 795)
    assert sequence.image(795).shape == (576, 768, 3) == (*sequence.image_size, 3)


@real_data
def test_every_file_of_the_real_data_reads():
    for sequence in mot.find_sequences(profiles.data_root()):
        detections = sequence.detections()
        assert len(detections) and (detections["x2"] >= detections["x1"]).all()


def test_kinds_are_told_by_the_number_of_columns(tmp_path):
    path = tmp_path / "boxes.txt"
    path.write_text("1,5,10,20,30,40,0,7,0.25\n")
    assert mot.read_boxes(path).iloc[0].tolist() == [1, 5, 10, 20, 40, 60, 0, 7, 0.25]
    for rest in ("-1", "-1,4", "-1,4.1,5.2,-1"):
        path.write_text(f"1,5,10,20,30,40,{rest}\n")
        assert mot.read_boxes(path).iloc[0].tolist() == [1, 5, 10, 20, 40, 60, -1, 1, 1]


def test_types_of_the_columns(sequence):
    boxes = mot.Sequence.open(sequence).gt()
    assert list(boxes) == mot.COLUMNS
    assert [boxes[name].dtype.kind for name in mot.COLUMNS] == list("iiffff" + "fif")


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
        ("1 1 10 20 30 40 1\n", 1, "1 comma-separated columns"),
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


# --- sequences ---------------------------------------------------------------------------------------------


def test_seqinfo_wins_then_images_then_boxes(sequence):
    seen = mot.Sequence.open(sequence)
    assert (seen.name, seen.length, seen.image_size, seen.frame_rate) == ("OWN-01", 8, (24, 32), None)
    for image in (sequence / "img1").iterdir():
        image.unlink()
    boxes_only = mot.Sequence.open(sequence)
    assert (boxes_only.length, boxes_only.image_size) == (7, (13, 25))
    (sequence / "seqinfo.ini").write_text(
        "[Sequence]\nseqLength=99\nimWidth=64\nimHeight=48\nframeRate=7.5\n"
    )
    told = mot.Sequence.open(sequence)
    assert (told.length, told.image_size, told.frame_rate) == (99, (48, 64), 7.5)


def test_images_of_any_number_of_digits(sequence):
    for image in sorted((sequence / "img1").iterdir()):
        image.rename(image.with_stem(f"{int(image.stem):08d}"))
    picture = mot.Sequence.open(sequence).image(3)
    assert picture.shape == (24, 32, 3) and picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [3, 0, 200]  # RGB


def test_missing_and_broken_images_are_named(sequence):
    opened = mot.Sequence.open(sequence)
    (sequence / "img1" / "000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002\.png"):
        opened.image(2)
    broken = sequence / "img1" / "000003.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(mot.MotFormatError, match=r"000003\.png: not a readable image"):
        opened.image(3)
    with pytest.raises(ValueError, match=r"frame 9 is not in 1\.\.8"):
        opened.image(9)


def test_empty_detections_are_legal_and_an_empty_gt_is_not(sequence):
    for file in ("gt/gt.txt", "det/det.txt"):
        (sequence / file).write_text("\n")
    opened = mot.Sequence.open(sequence)
    assert opened.detections().empty and list(opened.detections()) == mot.COLUMNS
    with pytest.raises(mot.MotFormatError, match=r"gt\.txt: the ground truth is empty"):
        opened.gt()
    (sequence / "gt" / "gt.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"gt\.txt"):
        opened.gt()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Sequence]\nseqLength=many\n", "seqlength is not a number: 'many'"),
        ("[Sequence]\nimWidth=-4\n", "imwidth must be positive"),
        ("seqLength=4\n", "seqinfo.ini:1: "),
        ("[Other]\nseqLength=4\n", "no readable"),
    ],
)
def test_a_broken_seqinfo_is_named(sequence, text, message):
    (sequence / "seqinfo.ini").write_text(text)
    with pytest.raises(mot.MotFormatError, match=message):
        mot.Sequence.open(sequence)


@pytest.mark.parametrize("above", ["", "train", "MOT17/train", "gt/mot_challenge/MOT17-train"])
def test_sequences_are_found_in_every_usual_layout(sequence, tmp_path, above):
    root = tmp_path / "root"
    (root / above).mkdir(parents=True)
    sequence.rename(root / above / "OWN-01")
    assert [(s.name, s.path) for s in mot.find_sequences(root)] == [("OWN-01", root / above / "OWN-01")]
    assert mot.find_sequences(root / above / "OWN-01") == mot.find_sequences(root)


def test_test_sequences_beside_train_are_left_out(sequence, tmp_path):
    for part, name in (("train", "OWN-02"), ("test", "OWN-03")):
        mot.write_results(
            tmp_path / "MOT" / part / name / "det" / "det.txt", table({(1, 1): (0, 0, 5, 5, 1)})
        )
    assert [s.name for s in mot.find_sequences(tmp_path)] == ["OWN-02", "OWN-01"]
    assert [s.name for s in mot.find_sequences(tmp_path / "MOT" / "test")] == ["OWN-03"]


def test_a_folder_without_sequences_is_named(tmp_path):
    (tmp_path / "results" / "run").mkdir(parents=True)
    with pytest.raises(mot.MotFormatError, match="no MOTChallenge sequence") as caught:
        mot.find_sequences(tmp_path)
    assert caught.value.path == tmp_path and caught.value.line is None
    with pytest.raises(mot.MotFormatError, match="no MOTChallenge sequence"):
        mot.Sequence.open(tmp_path / "results")
    with pytest.raises(NotADirectoryError, match="nowhere"):
        mot.find_sequences(tmp_path / "nowhere")


@given(st.integers(1, 5000))
def test_split_parts_are_half_and_two_quarters(length):
    parts = mot.split(length)
    assert [*parts["train"], *parts["val"], *parts["test"]] == list(range(1, length + 1))
    assert abs(len(parts["train"]) - length / 2) < 1
    assert abs(len(parts["val"]) - length / 4) < 1 and abs(len(parts["test"]) - length / 4) < 1


def test_split_of_mot17_has_the_papers_number_of_frames():
    """Appendix A.2 counts 2,664 training and 1,328 reported frames: ours but for one frame a sequence."""
    lengths = [600, 1050, 837, 525, 654, 900, 750]
    assert abs(sum(len(mot.split(length)["train"]) for length in lengths) - 2664) <= 7
    assert abs(sum(len(mot.split(length)["test"]) for length in lengths) - 1328) <= 7
    with pytest.raises(ValueError, match="0 frames"):
        mot.split(0)
