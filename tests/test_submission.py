"""The archive for MOTChallenge's server, on a mock of MOT17's test set, and the numbers that come back."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from trackeval.datasets import MotChallenge2DBox

from deepmot_lib import paper
from deepmot_lib.__main__ import main
from deepmot_lib.data import mot
from deepmot_lib.evaluation import submission
from deepmot_lib.evaluation.submission import SubmissionError, problems, server_numbers, write

pytestmark = pytest.mark.slow

# The test set as motchallenge.net lists it; the training set of MOT17.
LENGTHS = {"01": 450, "03": 1500, "06": 1194, "07": 500, "08": 625, "12": 900, "14": 750}
TRAIN_LENGTHS = {"02": 600, "04": 1050, "05": 837, "09": 525, "10": 654, "11": 900, "13": 750}
DETECTORS = ["DPM", "FRCNN", "SDP"]

# Rows as trackers write them: not sorted, more digits than the server needs, spaces, Windows line ends.
ROWS = (
    "2,7,10.12345,20,30.5,60.25,0.9,-1,-1,-1\r\n"
    "1, 7, 9.5, 20, 30, 60, -1, -1, -1, -1\r\n"
    "\r\n"
    "2,3,-4,0,5,0,1,-1,-1,-1"
)
CANONICAL = (
    "1,7,9.5,20.0,30.0,60.0,-1.0,-1,-1,-1\n"
    "2,3,-4.0,0.0,5.0,0.0,1.0,-1,-1,-1\n"
    "2,7,10.123,20.0,30.5,60.25,0.9,-1,-1,-1\n"
)


def mot17(lengths):
    return {f"MOT17-{video}-{end}": length for video, length in lengths.items() for end in DETECTORS}


def make_sequences(root, lengths):
    """A small blank image each; the lengths are told by seqinfo.ini."""
    for name, length in lengths.items():
        (root / name / "img1").mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(root / name / "img1" / "000001.jpg")
        (root / name / "seqinfo.ini").write_text(
            f"[Sequence]\nname={name}\nimDir=img1\nframeRate=30\nseqLength={length}\n"
            "imWidth=8\nimHeight=6\nimExt=.jpg\n"
        )


def make_results(folder, lengths):
    """ROWS everywhere, and a row in the last frame: which must be told from one past the end."""
    folder.mkdir()
    for name, length in lengths.items():
        (folder / f"{name}.txt").write_bytes(f"{ROWS}\r\n{length},9,1,1,2,2,1,-1,-1,-1\r\n".encode())


@pytest.fixture
def tree(tmp_path):
    """A download of MOT17 (train beside test) and good results for its test sequences."""
    make_sequences(tmp_path / "MOT17" / "test", mot17(LENGTHS))
    make_sequences(tmp_path / "MOT17" / "train", mot17(TRAIN_LENGTHS))
    make_results(tmp_path / "results", mot17(LENGTHS))
    return tmp_path


def written(tree, **more):
    return write(tree / "results", tree / "MOT17" / "test", tree / "out" / "mot17.zip", **more)


def refused(tree, **more):
    """The problems of results that are refused; nothing is left behind."""
    with pytest.raises(SubmissionError) as error:
        written(tree, **more)
    assert not (tree / "out").exists()
    return error.value.problems


# --- good results -------------------------------------------------------------------------------------------


def test_a_good_archive(tree):
    file = written(tree)
    assert file == tree / "out" / "mot17.zip" and [path.name for path in file.parent.iterdir()] == [
        "mot17.zip"
    ]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = [f"{name}.txt" for name in mot17(LENGTHS)]
        assert archive.namelist() == sorted(names) and len(names) == 21
        for name, length in mot17(LENGTHS).items():
            last = f"{length},9,1.0,1.0,2.0,2.0,1.0,-1,-1,-1\n"
            assert archive.read(f"{name}.txt").decode() == CANONICAL + last
            entry = archive.getinfo(f"{name}.txt")
            assert entry.external_attr >> 16 == 0o644 and entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_official_kit_reads_the_archive(tree):
    """TrackEval's own reader of zipped results finds the same rows."""
    read, ignored = MotChallenge2DBox._load_simple_text_file(
        "MOT17-06-SDP.txt", is_zipped=True, zip_file=str(written(tree))
    )
    rows = [np.array(row, dtype=float).tolist() for frame in ("1", "2", "1194") for row in read[frame]]
    assert set(read) == {"1", "2", "1194"} and not ignored
    assert rows == [
        [1, 7, 9.5, 20, 30, 60, -1, -1, -1, -1],
        [2, 3, -4, 0, 5, 0, 1, -1, -1, -1],
        [2, 7, 10.123, 20, 30.5, 60.25, 0.9, -1, -1, -1],
        [1194, 9, 1, 1, 2, 2, 1, -1, -1, -1],
    ]


def test_the_same_results_give_the_same_bytes(tree):
    first = written(tree).read_bytes()
    # Rows in another order, another time of writing: the same results.
    file = tree / "results" / "MOT17-01-DPM.txt"
    file.write_text("\n".join(reversed(file.read_text().splitlines())))
    assert written(tree).read_bytes() == first


def test_mot16_has_seven_files(tmp_path):
    lengths = {f"MOT16-{video}": length for video, length in LENGTHS.items()}
    make_sequences(tmp_path / "test", lengths)
    make_results(tmp_path / "results", lengths)
    file = write(tmp_path / "results", tmp_path / "test", tmp_path / "mot16.zip")
    names = [f"MOT16-{video}.txt" for video in ("01", "03", "06", "07", "08", "12", "14")]
    assert zipfile.ZipFile(file).namelist() == names


def test_with_the_training_sequences(tree):
    make_results(tree / "more", mot17(TRAIN_LENGTHS))
    for file in (tree / "more").iterdir():
        file.rename(tree / "results" / file.name)
    names = zipfile.ZipFile(written(tree, train_root=tree / "MOT17" / "train")).namelist()
    assert names == sorted(f"{name}.txt" for name in mot17(LENGTHS | TRAIN_LENGTHS)) and len(names) == 42


def test_a_tracker_that_found_nothing(tree):
    """TrackEval reads a file of no bytes as no results, and stumbles over blank lines."""
    for name, text in {"MOT17-01-DPM.txt": "", "MOT17-01-SDP.txt": "\n \n"}.items():
        (tree / "results" / name).write_text(text)
        with zipfile.ZipFile(written(tree)) as archive:
            assert archive.read(name) == b""


def test_what_the_library_writes_goes_through_unchanged(tree):
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 900, (50, 2)), rng.uniform(1, 300, (50, 2))
    boxes = pd.DataFrame(np.hstack([corner, corner + size]), columns=["x1", "y1", "x2", "y2"])
    file = tree / "results" / "MOT17-14-SDP.txt"
    mot.write_results(file, boxes.assign(frame=np.arange(50) // 5 + 1, id=np.arange(50), conf=0.5).iloc[1:])
    with zipfile.ZipFile(written(tree)) as archive:
        assert archive.read(file.name) == file.read_bytes()


# --- broken results -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, message",
    [
        ("451,1,0,0,5,5,1,-1,-1,-1", "the frame is not in 1..450"),
        ("0,1,0,0,5,5,1,-1,-1,-1", "the frame is not in 1..450"),
        ("1,7,0,0,5,5,1,-1,-1,-1", "this id comes twice in its frame"),
        ("5,1,nan,0,5,5,1,-1,-1,-1", "not a finite number"),
        ("5,1,0,0,5,inf,1,-1,-1,-1", "not a finite number"),
        ("5,1,0,,5,5,1,-1,-1,-1", "not a finite number"),
        ("5,one,0,0,5,5,1,-1,-1,-1", "not a finite number"),
        ("5,-1,0,0,5,5,1,-1,-1,-1", "ids count from 1"),
        ("5,0,0,0,5,5,1,-1,-1,-1", "ids count from 1"),
        ("5,1,0,0,-5,5,1,-1,-1,-1", "negative width or height"),
        ("5,1,0,0,5,-0.1,1,-1,-1,-1", "negative width or height"),
        ("5.5,1,0,0,5,5,1,-1,-1,-1", "frame and id must be integers"),
        ("5,1.5,0,0,5,5,1,-1,-1,-1", "frame and id must be integers"),
        ("5,1,0,0,5,5,1", "not ten columns"),
        ("5,1,0,0,5,5,1,1,1", "not ten columns"),
        ("5,1,0,0,5,5,1,-1,-1,-1,", "not ten columns"),
        ("5 1 0 0 5 5 1 -1 -1 -1", "not ten columns"),
    ],
)
def test_a_bad_row(tree, line, message):
    file = tree / "results" / "MOT17-01-FRCNN.txt"
    file.write_text(f"1,7,0,0,5,5,1,-1,-1,-1\n\n{line}\n")
    assert refused(tree) == [f"{file}:3: {line!r}: {message}"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("5,9007199254740993,0,0,5,5,1,-1,-1,-1", "frame, id or class is too large: 2**53 or more"),
        ("5,1,1e155,0,5,5,1,-1,-1,-1", "a coordinate is larger than 1e+15 px"),
        ("5," * 1_000_000, f"the line has more than 4096 characters: {'5,' * 28 + '5'!r:.58}...'"),
    ],
)
def test_what_could_not_be_read_is_refused_in_time(tree, line, message):
    file = tree / "results" / "MOT17-01-FRCNN.txt"
    file.write_text(f"1,7,0,0,5,5,1,-1,-1,-1\n\n{line}\n")
    assert refused(tree) == [f"{file}:3: {message}"]


def test_hidden_files_are_none_of_the_results(tree):
    (tree / "results" / "._MOT17-01-DPM.txt").write_bytes(b"\0\5\x16\7")
    with zipfile.ZipFile(written(tree)) as archive:
        assert len(archive.namelist()) == 21


def test_everything_at_once(tree):
    """Each problem with its file and line, in the order of the files; bad lines of one kind together."""
    results = tree / "results"
    (results / "MOT17-03-SDP.txt").rename(results / "MOT17-03-sdp.txt")
    (results / "MOT17-14-DPM.txt").unlink()
    bad = "9,-1,0,0,5,5,1,-1,-1,-1"
    (results / "MOT17-07-DPM.txt").write_text(f"501,2,0,0,-5,5,1,-1,-1,-1\n{bad}\n")
    (results / "MOT17-12-DPM.txt").write_text(f"{bad}\n" * 9)
    assert refused(tree) == [
        f"{results}/MOT17-03-SDP.txt: missing",
        f"{results}/MOT17-14-DPM.txt: missing",
        f"{results}/MOT17-03-sdp.txt: no sequence of this name",
        f"{results}/MOT17-07-DPM.txt:1: '501,2,0,0,-5,5,1,-1,-1,-1': negative width or height",
        f"{results}/MOT17-07-DPM.txt:1: '501,2,0,0,-5,5,1,-1,-1,-1': the frame is not in 1..500",
        f"{results}/MOT17-07-DPM.txt:2: '{bad}': ids count from 1",
        f"{results}/MOT17-12-DPM.txt:1 (also 2, 3, 4, 5 ...; 9 lines): '{bad}': ids count from 1",
        f"{results}/MOT17-12-DPM.txt:2 (also 3, 4, 5, 6 ...; 8 lines): '{bad}': "
        "this id comes twice in its frame",
    ]


def test_lengths_come_from_the_tree(tree):
    """Where seqinfo.ini tells no length, the images do."""
    folder = tree / "MOT17" / "test" / "MOT17-01-DPM"
    (folder / "seqinfo.ini").unlink()
    for frame in range(2, 450):
        shutil.copy(folder / "img1" / "000001.jpg", folder / "img1" / f"{frame:06d}.jpg")
    (found,) = refused(tree)
    assert "MOT17-01-DPM.txt:5: '450,9," in found and found.endswith("the frame is not in 1..449")
    sequence = mot.Sequence.open(folder)
    assert len(problems([sequence], tree / "results")) == 20 + 1  # the other files, and the row


def test_an_archive_that_is_there_stays(tree):
    file = written(tree)
    before = file.read_bytes()
    (tree / "results" / "MOT17-01-DPM.txt").write_text("1,2,3\n")
    with pytest.raises(SubmissionError, match="1 problem, nothing written"):
        written(tree)
    assert file.read_bytes() == before


def test_the_tree_must_be_whole(tree):
    root = tree / "MOT17" / "test"
    for name in ("MOT17-06-DPM", "MOT17-06-SDP"):
        (root / name).rename(tree / name)
        (tree / "results" / f"{name}.txt").unlink()
    assert refused(tree) == [f"{root}: not all test sequences: MOT17-06-DPM, MOT17-06-SDP missing"]


def test_another_folder_than_the_test_sequences(tree):
    # A download holds both parts, and find_sequences takes train.
    with pytest.raises(SubmissionError) as error:
        write(tree / "results", tree / "MOT17", tree / "a.zip")
    assert f"{tree}/MOT17: no test sequences: MOT17-02-DPM, MOT17-02-FRCNN, " in str(error.value)
    make_sequences(tree / "own", {"STREET-01": 10})
    with pytest.raises(SubmissionError, match="sequences of STREET, not of MOT16 or MOT17 alone"):
        write(tree / "results", tree / "own", tree / "a.zip")
    make_sequences(tree / "MOT16", {f"MOT16-{video}": 9 for video in TRAIN_LENGTHS})
    wrong = refused(tree, train_root=tree / "MOT16")
    assert "sequences of MOT16, MOT17, not of MOT16 or MOT17 alone" in wrong[0]
    with pytest.raises(NotADirectoryError, match="nowhere"):
        write(tree / "nowhere", tree / "MOT17" / "test", tree / "a.zip")
    assert not list(tree.glob("*.zip"))


def test_names_of_the_benchmarks():
    assert set(submission.sequence_names("MOT17")) == set(mot17(LENGTHS))
    assert set(submission.sequence_names("MOT17", "train")) == set(mot17(TRAIN_LENGTHS))


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(SubmissionError(["one", "other"])))
    assert error.problems == ["one", "other"] and str(error) == "2 problems, nothing written:\n  one\n  other"


# --- the command --------------------------------------------------------------------------------------------


def test_command(tree, capsys):
    arguments = ["submission", "--test", str(tree / "MOT17" / "test"), "--results", str(tree / "results")]
    file = tree / "a.zip"
    (tree / "results" / "MOT17-08-SDP.txt").write_text("")
    assert main([*arguments, "--out", str(file)]) == 0
    said, empty, hint = capsys.readouterr().out.splitlines()
    assert said == f"{file} holds the checked results of 21 sequences"
    assert empty == "without any result: MOT17-08-SDP.txt" and "42 files: add --train DIR" in hint
    assert len(zipfile.ZipFile(file).namelist()) == 21

    (tree / "results" / "MOT17-01-DPM.txt").unlink()
    (tree / "results" / "notes.txt").write_text("hello\n")
    assert main([*arguments, "--out", str(tree / "b.zip")]) == 1
    head, *lines = capsys.readouterr().err.splitlines()
    assert head == "deepmot: 2 problems, nothing written:" and not (tree / "b.zip").exists()
    assert [line.split("/")[-1] for line in lines] == [
        "MOT17-01-DPM.txt: missing",
        "notes.txt: no sequence of this name",
    ]


# --- the server's numbers -----------------------------------------------------------------------------------


def numbers(tmp_path, text):
    file = tmp_path / "server.csv"
    file.write_text(text)
    return file


HEAD = "benchmark,method,MOTA,MOTP,IDF1,MT,ML,FP,FN,IDS\n"
TRACKTOR = "MOT17,ours,53.5,78.0,52.3,19.5,36.6,12201,248047,2072\n"


def test_the_papers_own_rows_are_believed(tmp_path):
    """All 22 rows of Table 4 pass, the consistency of MOTA and counts included."""
    table = server_numbers(numbers(tmp_path, paper.table(4).to_csv(index=False)))
    pd.testing.assert_frame_equal(table, paper.table(4))


def test_columns_in_any_order(tmp_path):
    row = pd.read_csv(io.StringIO(HEAD + TRACKTOR))[["IDS", *HEAD.strip().split(",")[:-1]]]
    table = server_numbers(numbers(tmp_path, row.to_csv(index=False)))
    assert table.to_dict("records") == [
        {"benchmark": "MOT17", "method": "ours", "MOTA": 53.5, "MOTP": 78.0, "IDF1": 52.3, "MT": 19.5}
        | {"ML": 36.6, "FP": 12201, "FN": 248047, "IDS": 2072}
    ]
    assert list(table.columns) == HEAD.strip().split(",")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("MOT17", "MOT20", r"MOT20 ours: the benchmark must be MOT16 or MOT17$"),
        ("53.5", "x", r"MOT17 ours: MOTA is not a percentage: 'x'$"),
        ("53.5", "", r"MOT17 ours: MOTA is not a percentage: ''$"),
        ("78.0", "178", r"MOT17 ours: MOTP is not a percentage: '178'$"),
        ("36.6", "-1", r"MOT17 ours: ML is not a percentage: '-1'$"),
        ("52.3", "nan", r"MOT17 ours: IDF1 is not a percentage: 'nan'$"),
        ("2072", "2072.5", r"MOT17 ours: IDS is not a count: '2072.5'$"),
        ("12201", "-3", r"MOT17 ours: FP is not a count: '-3'$"),
        ("ours", "", r"the method has no name$"),
        # A ratio, a digit lost, the other benchmark: (12201 + 248047 + 2072) / 564228 = 46.49 %.
        ("53.5", "0.535", r"MOTA is 0.535, but FP, FN and IDS give 53.5$"),
        ("53.5", "53.6", r"MOTA is 53.6, but FP, FN and IDS give 53.5$"),
        ("248047", "24804", r"MOTA is 53.5, but FP, FN and IDS give 93.1$"),
        ("MOT17", "MOT16", r"MOTA is 53.5, but FP, FN and IDS give -43.9$"),
    ],
)
def test_wrong_numbers(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        server_numbers(numbers(tmp_path, HEAD + TRACKTOR.replace(old, new)))


def test_all_that_is_wrong_with_the_numbers(tmp_path):
    other = TRACKTOR.replace("ours", "other").replace("78.0", "?").replace("2072", "?")
    with pytest.raises(ValueError) as error:
        server_numbers(numbers(tmp_path, HEAD + TRACKTOR + other + TRACKTOR))
    assert [line.split(".csv: ")[1] for line in str(error.value).splitlines()] == [
        "MOT17 other: MOTP is not a percentage: '?'",
        "MOT17 other: IDS is not a count: '?'",
        "MOT17 ours: comes twice",
    ]


def test_not_a_table_of_the_server(tmp_path):
    with pytest.raises(ValueError, match=r"differs in IDS, IDs$"):
        server_numbers(numbers(tmp_path, (HEAD + TRACKTOR).replace("IDS", "IDs")))
    with pytest.raises(ValueError, match="not a CSV table"):
        server_numbers(numbers(tmp_path, ""))
    with pytest.raises(FileNotFoundError):
        server_numbers(tmp_path / "nowhere.csv")
