"""Evaluation of what users bring as results: folders, archives, stray files, parts of sequences."""

import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.__main__ import main
from deepmot_lib.data import mot
from deepmot_lib.evaluation import EvaluationWarning, compare, evaluate, evaluate_sequence, write_csv

from .test_evaluation_input import BOXES, write_results, write_sequence

# --- which files --------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path):
    """Ground truth of seq1 and seq2 and good results in TrackEval's layout, ours/data."""
    row = f"1,1,{BOXES[0]},1,-1,-1,-1\n2,1,{BOXES[0]},1,-1,-1,-1\n"
    for name in ("seq1", "seq2"):
        write_sequence(tmp_path / "gt", name, row)
        (tmp_path / "ours").mkdir(exist_ok=True)
        write_results(tmp_path / "ours" / "data", name, row)
    return tmp_path


def test_a_folder_above_the_results(layout):
    message = r"ours: no result file for seq1, seq2 .*; some lie in .*ours/data: name that folder"
    with pytest.raises(ValueError, match=message):
        evaluate(layout / "gt", layout / "ours")
    (layout / "ours" / "pedestrian_summary.txt").write_text("HOTA DetA\n1 1\n")
    with pytest.raises(ValueError, match=r"no result file for seq1, seq2 .*pedestrian_summary.*ours/data"):
        evaluate(layout / "gt", layout / "ours")
    with pytest.raises(ValueError, match=r"no result file for seq1, seq2 .*ours/data: name that folder"):
        evaluate(layout / "gt", layout)


@pytest.mark.parametrize("folder", ["", "data/", "ours/data/"])
def test_an_archive_of_results(layout, folder):
    archive = layout / "ours.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for file in (layout / "ours" / "data").iterdir():
            files.write(file, f"{folder}{file.name}")
        files.writestr("__MACOSX/._seq1.txt", b"\0\5\x16\7")
        files.writestr("pedestrian_summary.txt", "HOTA\n1\n")
    with pytest.warns(mot.MotFormatWarning, match=r"passed over.*: \._seq1\.txt, pedestrian_summary\.txt$"):
        table = evaluate(layout / "gt", archive)
    pd.testing.assert_frame_equal(table, evaluate(layout / "gt", layout / "ours" / "data"))


def rezip(archive, change):
    """The archive with its bytes changed."""
    content = bytearray(archive.read_bytes())
    change(content)
    archive.write_bytes(content)


def flip(content):
    start = content.index(b"seq1.txt") + 12
    content[start : start + 20] = bytes(byte ^ 0xFF for byte in content[start : start + 20])


def encrypt(content):
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.index(mark)
        content[start + offset] |= 1


@pytest.mark.parametrize(
    "change, message",
    [
        (flip, r"ours\.zip/seq1\.txt: the archive is damaged or encrypted"),
        (encrypt, r"ours\.zip/seq1\.txt: the archive is damaged or encrypted"),
        (lambda content: content.clear(), r"ours\.zip: neither a folder nor a \.zip"),
        (lambda content: content.__delitem__(slice(len(content) // 2, None)), "neither a folder nor"),
    ],
)
def test_a_damaged_archive_is_named(layout, change, message):
    archive = layout / "ours.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for name in ("seq1", "seq2"):
            files.writestr(f"{name}.txt", (layout / "ours" / "data" / f"{name}.txt").read_text() * 1)
    rezip(archive, change)
    with pytest.raises((mot.MotFormatError, NotADirectoryError), match=message):
        evaluate(layout / "gt", archive)


def test_broken_rows_in_an_archive_are_named(layout):
    archive = layout / "ours.zip"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("seq1.txt", f"1,1,{BOXES[0]},1\n\n1,1,{BOXES[0]},1\n")
        files.writestr("seq2.txt", "")
    with pytest.raises(mot.MotFormatError, match=r"ours\.zip/seq1\.txt:3: this id comes twice"):
        evaluate(layout / "gt", archive)
    with zipfile.ZipFile(archive, "a") as files:
        files.writestr("other/seq1.txt", "")
    with pytest.raises(ValueError, match=r"ours\.zip: holds more than one seq1\.txt"):
        evaluate(layout / "gt", archive)


def test_an_archive_that_unpacks_to_more_than_memory_is_refused(layout, monkeypatch):
    monkeypatch.setattr("deepmot_lib.data.result_files._LARGEST_MEMBER", 1000)
    archive = layout / "ours.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("seq1.txt", "\n" * 1001)
        files.writestr("seq2.txt", "")
    with pytest.raises(mot.MotFormatError, match=r"ours\.zip: seq1\.txt would unpack to 1,001 bytes"):
        evaluate(layout / "gt", archive)


def test_hidden_and_summary_files_are_passed_over_in_one_line(layout, capsys):
    results = layout / "ours" / "data"
    expected = evaluate(layout / "gt", results)
    for name in ("._seq1.txt", ".seq1.4711.txt", "pedestrian_summary.txt"):
        (results / name).write_bytes(b"\0\1 not a result file")
    with pytest.warns(mot.MotFormatWarning) as caught:
        pd.testing.assert_frame_equal(evaluate(layout / "gt", results), expected)
    assert len(caught) == 1
    assert main(["evaluate", "--gt", str(layout / "gt"), "--results", str(results)]) == 0
    names = "._seq1.txt, .seq1.4711.txt, pedestrian_summary.txt"
    assert capsys.readouterr().err == (
        f"deepmot: {results}: passed over, as no sequence under {layout / 'gt'} is called so: {names}\n"
    )


def test_results_that_are_neither(layout):
    (layout / "ours" / "notes.md").write_text("no results")
    with pytest.raises(NotADirectoryError, match=r"notes\.md: neither a folder nor a \.zip"):
        evaluate(layout / "gt", layout / "ours" / "notes.md")


def test_a_single_result_file_is_that_of_its_sequence(layout):
    """Of the sequence that it is called after, in a folder of several; of the only one, whatever its name."""
    expected = evaluate(layout / "gt", layout / "ours" / "data")
    file = layout / "ours" / "data" / "seq1.txt"
    pd.testing.assert_series_equal(evaluate(layout / "gt", file).loc["seq1"], expected.loc["seq1"])
    other = file.rename(layout / "mine.txt")
    with pytest.raises(ValueError, match=r"mine\.txt: no sequence is called mine, but seq1, seq2"):
        evaluate(layout / "gt", other)
    gt = layout / "gt" / "seq1" / "gt" / "gt.txt"
    found = evaluate(gt, other)
    assert list(found.index) == ["seq1", "OVERALL"]
    pd.testing.assert_series_equal(found.loc["seq1"], expected.loc["seq1"])


def test_a_single_ground_truth_file_is_a_sequence(layout):
    """It lies in no sequence's folder: nothing but its boxes tells the frames."""
    expected = evaluate(layout / "gt", layout / "ours" / "data").loc["seq1"]
    gt = (layout / "gt" / "seq1" / "gt" / "gt.txt").rename(layout / "truth.txt")
    found = evaluate(gt, layout / "ours" / "data" / "seq1.txt")
    assert list(found.index) == ["truth", "OVERALL"]
    np.testing.assert_allclose(found.loc["truth"], expected)
    gt.write_text("")
    with pytest.raises(mot.MotFormatError, match=r"truth\.txt: the ground truth is empty"):
        evaluate(gt, layout / "ours" / "data" / "seq1.txt")


def test_separators_of_results(layout):
    results = layout / "ours" / "data"
    expected = evaluate(layout / "gt", results)
    for end, mark in ((" \n", " "), ("\n", "\t"), ("\n", ";"), (",\n", ",")):
        for name in ("seq1", "seq2"):
            text = f"1,1,{BOXES[0]},1,-1,-1,-1\n2,1,{BOXES[0]},1,-1,-1,-1\n"
            write_results(results, name, text.replace("\n", end).replace(",", mark))
        pd.testing.assert_frame_equal(evaluate(layout / "gt", results), expected)


# --- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 301])
def test_a_part_is_evaluated_alone(tmp_path, first):
    """Eight frames: the first half (train) is found by one track, of the third quarter (val) nothing, in the
    last (test) one of two boxes."""
    frames = range(first, first + 8)
    (tmp_path / "gt" / "A" / "gt").mkdir(parents=True)
    file = tmp_path / "gt" / "A" / "gt" / "gt.txt"
    file.write_text("".join(f"{frame},1,{BOXES[0]},1,1,1\n" for frame in frames))
    found = "".join(f"{frame},5,{BOXES[0]},1,-1,-1,-1\n" for frame in [*frames[:4], frames[7]])
    write_results(tmp_path / "results", "A", found)
    parts = {
        part: evaluate(tmp_path / "gt", tmp_path / "results", part=part) for part in ("train", "val", "test")
    }
    assert {part: (table.loc["A", "FN"], table.loc["A", "MOTA"]) for part, table in parts.items()} == {
        "train": (0, 1.0),
        "val": (2, 0.0),
        "test": (1, 0.5),
    }
    gt, results = mot.read_ground_truth(file), mot.read_boxes(tmp_path / "results" / "A.txt")
    last = [table[table["frame"] > frames[5]] for table in (gt, results)]
    assert parts["test"].loc["A"].to_dict() == pytest.approx(evaluate_sequence(*last))
    assert evaluate(tmp_path / "gt", tmp_path / "results").loc["A", "FN"] == 3
    with pytest.raises(ValueError, match=r"'half'.*train, val, test"):
        evaluate(tmp_path / "gt", tmp_path / "results", part="half")


def test_a_part_of_ever_so_many_frames(tmp_path):
    """Frames are compared, not listed: without seqinfo.ini and pictures the boxes tell them."""
    (tmp_path / "gt" / "A" / "gt").mkdir(parents=True)
    row = f"1,{BOXES[0]},1,1,1\n"
    (tmp_path / "gt" / "A" / "gt" / "gt.txt").write_text(f"1,{row}{2**53 - 1},{row}")
    write_results(tmp_path / "results", "A", f"1,1,{BOXES[0]},1\n")
    assert evaluate(tmp_path / "gt", tmp_path / "results", part="train").loc["A", "MOTA"] == 1


def test_a_part_stands_in_the_csv(layout):
    results = layout / "ours" / "data"
    write_csv(layout / "whole.csv", evaluate(layout / "gt", results))
    write_csv(layout / "part.csv", evaluate(layout / "gt", results, part="train"))
    assert "part" not in pd.read_csv(layout / "whole.csv")
    assert set(pd.read_csv(layout / "part.csv")["part"]) == {"train"}


def test_a_part_without_ground_truth_is_told(tmp_path):
    for name, last in (("A", 1), ("B", 8)):
        write_sequence(tmp_path / "gt", name, f"1,1,{BOXES[0]},1,1,1\n{last},2,{BOXES[0]},1,1,1\n", 8)
        write_results(tmp_path / "results", name, "")
    with pytest.warns(EvaluationWarning, match="A: there is no ground truth in the frames to evaluate"):
        assert evaluate(tmp_path / "gt", tmp_path / "results", part="test")["GT"].tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="A: there is no ground truth"):
        evaluate(tmp_path / "gt", tmp_path / "results", sequences=["A"], part="test")


def test_only_what_is_asked_for_must_be_sound(layout):
    results = layout / "ours" / "data"
    (layout / "gt" / "seq2" / "gt" / "gt.txt").write_text("broken")
    (layout / "gt" / "seq2" / "seqinfo.ini").write_text("broken")
    (results / "seq2.txt").write_text("broken")
    assert list(evaluate(layout / "gt", results, sequences=["seq1"]).index) == ["seq1", "OVERALL"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = compare(layout / "gt", {"a": results, "b": results}, sequences=iter(["seq1"]))
    assert table["MOTA"].tolist() == [1.0] * 4
