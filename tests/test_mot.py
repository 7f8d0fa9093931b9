"""MOTChallenge sequences: real ones, every usual layout, and what a broken folder is refused for."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepmot_lib.data import mot
from deepmot_lib.experiments.folders import data_folder

real_data = pytest.mark.skipif(not os.environ.get("DEEPMOT_DATA"), reason="DEEPMOT_DATA is not set")


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


@real_data
def test_mot17_has_its_112297_pedestrian_boxes():
    sequences = [s for s in mot.find_sequences(data_folder() / "MOT17-labels") if s.name.endswith("-SDP")]
    boxes = [mot.pedestrians(sequence.gt()) for sequence in sequences]
    assert len(sequences) == 7
    assert sum(sequence.length for sequence in sequences) == 5316
    assert sum(map(len, boxes)) == 112_297


@real_data
def test_pets_has_its_19_people_and_pictures():
    sequence = mot.Sequence.open(data_folder() / "MOT15" / "train" / "PETS09-S2L1")
    people = mot.pedestrians(sequence.gt())
    assert (len(people), people["id"].nunique(), sequence.length) == (4476, 19, 795)
    assert sequence.image(795).shape == (576, 768, 3) == (*sequence.image_size, 3)


@real_data
def test_every_file_of_the_real_data_reads():
    for sequence in mot.find_sequences(data_folder()):
        detections = sequence.detections()
        assert len(detections) and (detections["x2"] >= detections["x1"]).all()


def test_types_of_the_columns(sequence):
    boxes = mot.Sequence.open(sequence).gt()
    assert list(boxes) == mot.COLUMNS
    assert [boxes[name].dtype.kind for name in mot.COLUMNS] == list("iiffff" + "fif")


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
        boxes = pd.DataFrame([[1, 1, 0, 0, 5, 5]], columns=mot.COLUMNS[:6])
        mot.write_results(tmp_path / "MOT" / part / name / "det" / "det.txt", boxes)
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
