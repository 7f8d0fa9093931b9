"""The command ``deepmot``: what it prints, writes and returns."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from deepmot_lib import commands
from deepmot_lib.__main__ import main
from deepmot_lib.data import mot, pairs
from deepmot_lib.evaluation import COUNTS, evaluate


@pytest.fixture
def example(tmp_path):
    """A sequence of 4 frames with one object, found in 3 of them."""
    found = pd.DataFrame({"frame": [1, 2, 3, 4], "id": 1, "x1": 0.0, "y1": 0.0, "x2": 20.0, "y2": 40.0})
    mot.write_ground_truth(tmp_path / "gt" / "A" / "gt" / "gt.txt", found)
    mot.write_results(tmp_path / "results" / "A.txt", found[:3])
    return tmp_path


def arguments(folder, *more):
    return ["evaluate", "--gt", str(folder / "gt"), "--results", str(folder / "results"), *more]


def test_evaluate(example, capsys):
    file = example / "out" / "table.csv"
    assert main(arguments(example, "--protocol", "plain", "--csv", str(file))) == 0
    printed = capsys.readouterr().out
    assert "protocol: plain" in printed
    names, overall = printed.splitlines()[1].split(), printed.splitlines()[-1].split()
    shown = dict(zip(names, overall[1:], strict=True))
    assert overall[0] == "OVERALL" and (shown["MOTA"], shown["Rcll"], shown["FN"]) == ("75.0", "75.0", "1")
    table = pd.read_csv(file, index_col="sequence")
    assert set(table.pop("protocol")) == {"plain"}
    expected = evaluate(example / "gt", example / "results", "plain")
    assert table[COUNTS].equals(expected[COUNTS])
    np.testing.assert_allclose(table, expected, atol=1e-6)
    assert [file.name for file in file.parent.iterdir()] == ["table.csv"]


def test_errors_take_one_line(example, capsys):
    assert main(arguments(example, "--protocol", "mot")) == 1
    assert main(arguments(example, "--sequences", "A", "B")) == 1
    (example / "results" / "A.txt").write_text("1,1,0,0\n")
    assert main(arguments(example)) == 1
    unknown, missing, broken = capsys.readouterr().err.splitlines()
    assert "unknown protocol 'mot'" in unknown and "no ground truth for B" in missing
    assert "A.txt:1: " in broken


@pytest.fixture
def trackers(example):
    """A second tracker, which finds everything in A, and a second sequence, which both find."""
    gt = pd.DataFrame({"frame": [1, 2], "id": 1, "x1": 0.0, "y1": 0.0, "x2": 20.0, "y2": 40.0})
    mot.write_ground_truth(example / "gt" / "B" / "gt" / "gt.txt", gt)
    found = mot.read_ground_truth(example / "gt" / "A" / "gt" / "gt.txt")
    for folder in ("results", "better"):
        mot.write_results(example / folder / "B.txt", gt)
    mot.write_results(example / "better" / "A.txt", found)
    return example


def test_the_columns_of_the_official_kit(example, capsys):
    """Those that the dev kit and motmetrics print, in their order; then HOTA."""
    main(arguments(example))
    _, head, first, last = capsys.readouterr().out.splitlines()
    columns = "IDF1 IDP IDR Rcll Prcn GT MT PT ML FP FN IDs FM MOTA MOTP HOTA DetA AssA"
    assert head.split() == columns.split() and [first.split()[0], last.split()[0]] == ["A", "OVERALL"]
    # One object in 4 frames, found exactly in 3: IDF1 6/7, and DetA 3/4 at each threshold.
    shown = "85.7 100.0 75.0 75.0 100.0 1 0 1 0 0 1 0 0 75.0 100.0 75.0 75.0 75.0"
    assert first.split()[1:] == last.split()[1:] == shown.split()


def test_several_trackers(trackers, capsys):
    file = trackers / "table.csv"
    assert main(arguments(trackers, str(trackers / "better"), "--csv", str(file))) == 0
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    assert [block[0].split(" (")[0] for block in blocks] == [
        "protocol: motchallenge",
        "results",
        "better",
        "OVERALL, best MOTA first",
    ]
    for block in blocks[1:3]:
        assert [line.split()[0] for line in block[2:]] == ["A", "B", "OVERALL"]
    names = blocks[3][1].split()
    rows = {line.split()[0]: dict(zip(names, line.split()[1:], strict=True)) for line in blocks[3][2:]}
    # 5 of 6 boxes, and all: the better tracker first, though it was named last.
    assert [(name, row["MOTA"], row["FN"]) for name, row in rows.items()] == [
        ("better", "100.0", "0"),
        ("results", "83.3", "1"),
    ]
    table = pd.read_csv(file, index_col=["tracker", "sequence"])
    assert set(table.pop("protocol")) == {"motchallenge"}
    for name in ("results", "better"):
        np.testing.assert_allclose(table.loc[name], evaluate(trackers / "gt", trackers / name), atol=1e-6)


def test_two_trackers_of_one_name(trackers, capsys):
    """TrackEval's layout, TRACKER/data: then the paths tell them apart."""
    for name in ("results", "better"):
        (trackers / name).rename(trackers / "data")
        (trackers / f"of-{name}").mkdir()
        (trackers / "data").rename(trackers / f"of-{name}" / "data")
    folders = [str(trackers / f"of-{name}" / "data") for name in ("results", "better")]
    assert main(["evaluate", "--gt", str(trackers / "gt"), "--results", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in folders] == folders
    assert main(["evaluate", "--gt", str(trackers / "gt"), "--results", folders[0], folders[0]]) == 1
    assert "the same folder twice" in capsys.readouterr().err


def swap(folder):
    (folder / "gt").rename(folder / "gt.swapped")
    (folder / "results").rename(folder / "gt")
    (folder / "gt.swapped").rename(folder / "results")


def rename(folder, name):
    (folder / "results" / "A.txt").rename(folder / "results" / name)


def append(folder, line):
    file = folder / "results" / "A.txt"
    file.write_text(f"{file.read_text()}{line}\n")


@pytest.mark.parametrize(
    "spoil, named",
    [
        (lambda f: (f / "results" / "B.txt").unlink(), ["results: no result file for B (expected "]),
        (lambda f: rename(f, "C.txt"), ["no result file for A ", "without ground truth under ", ": C"]),
        (
            lambda f: [rename(f, "MOT16-02.txt"), (f / "results" / "B.txt").unlink()],
            ["no result file for A, B ", ": MOT16-02; ", "the results of another benchmark?"],
        ),
        (lambda f: append(f, "5,1,0,0,9,9,1,-1,-1,-1"), ["A.txt:4: A has only 4 frames"]),
        (lambda f: append(f, "4,-1,0,0,9,9,1,-1,-1,-1"), ["A.txt:4: ", "a track id"]),
        (lambda f: append(f, "3,1,0,0,9,9,1,-1,-1,-1"), ["A.txt:4: ", "twice"]),
        (lambda f: append(f, "4,1,0,0,nan,9,1,-1,-1,-1"), ["A.txt:4: ", "nan"]),
        (swap, ["gt: no MOTChallenge sequence here", "are ground truth and results swapped?"]),
        (
            lambda f: [file.unlink() for file in (f / "results").iterdir()],
            ["no result file for A, B ", "no .txt file at all", "swapped?"],
        ),
        (
            lambda f: (f / "results").rename(f / "elsewhere"),
            ["results: no such folder of results, and no such file"],
        ),
    ],
)
def test_bad_results_are_named_before_any_work(trackers, capsys, monkeypatch, spoil, named):
    """Even where the tracker before them is in order: nothing is counted, printed or written."""
    spoil(trackers)
    monkeypatch.setattr("deepmot_lib.evaluation.count", lambda *_: pytest.fail("counted"))
    results = ["--results", str(trackers / "better"), str(trackers / "results")]
    file = trackers / "table.csv"
    assert main(["evaluate", "--gt", str(trackers / "gt"), *results, "--csv", str(file)]) == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1 and not printed.out and not file.exists()
    assert [text for text in named if text not in printed.err] == []


def test_rows_in_any_order_are_the_same_results(example, capsys):
    main(arguments(example))
    before = capsys.readouterr().out
    file = example / "results" / "A.txt"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([rows[2], rows[0], rows[1]]))
    assert main(arguments(example)) == 0 and capsys.readouterr().out == before


def test_an_empty_file_counts_and_is_named(trackers, capsys):
    """A tracker may find nothing, but who gives the results should know."""
    (trackers / "results" / "A.txt").write_text("")
    assert main(arguments(trackers)) == 0
    printed = capsys.readouterr()
    assert printed.err == f"deepmot: {trackers / 'results'}: no result for A counts\n"
    assert printed.out.splitlines()[2].split()[10:12] == ["0", "4"]  # FP, FN


# --- deepmot data -------------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_synthetic_and_pairs_of_it(tmp_path, capsys):
    made, again = tmp_path / "made", tmp_path / "again"
    size = ["--sequences", "1", "--frames", "8", "--size", "96x128", "--seed", "3"]
    assert main(["data", "synthetic", "--out", str(made), *size]) == 0
    assert capsys.readouterr().out == f"{made} holds 3 sequences, EMB-01-DPM to EMB-01-SDP\n"
    sequences = mot.find_sequences(made)
    assert [sequence.length for sequence in sequences] == [8, 8, 8]
    assert {sequence.image_size for sequence in sequences} == {(96, 128)}
    assert main(["data", "synthetic", "--out", str(again), *size]) == 0
    assert contents(made) == contents(again)

    def write_pairs(name, *more):
        file = tmp_path / "pairs" / name
        status = main(["data", "pairs", "--from", str(made), "--out", str(file), *more])
        return status, file

    status, file = write_pairs("all.npz")
    assert status == 0 and f"{file} holds " in capsys.readouterr().out
    found = pairs.read(file)
    # One pair for each frame with detections and pedestrians in it, of all three detectors.
    expected = sorted(
        (len(detections), len(people))
        for sequence in sequences
        for frame in range(1, 9)
        if len(detections := sequence.detections().query("frame == @frame"))
        and len(people := mot.pedestrians(sequence.gt()).query("frame == @frame"))
    )
    assert sorted(map(tuple, found.shape.tolist())) == expected and len(expected) > 8
    assert (
        "3 sequences"
        in subprocess.run(
            [
                sys.executable,
                "-m",
                "deepmot_lib",
                "data",
                "pairs",
                "--from",
                made,
                "--out",
                tmp_path / "b.npz",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    np.testing.assert_array_equal(pairs.read(tmp_path / "b.npz").distance, found.distance)
    parts = [pairs.read(write_pairs(f"{part}.npz", "--part", part)[1]) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(found) and min(map(len, parts)) > 0
    other = pairs.read(write_pairs("seed.1", "--seed", "1")[1])
    assert len(other) == len(found) and not np.array_equal(other.distance, found.distance)


def test_data_errors(tmp_path, capsys):
    theirs = tmp_path / "own" / "train"
    theirs.mkdir(parents=True)
    assert main(["data", "synthetic", "--out", str(theirs.parent)]) == 1
    assert main(["data", "synthetic", "--out", str(tmp_path / "new"), "--frames", "0"]) == 1
    assert main(["data", "pairs", "--from", str(theirs.parent), "--out", str(tmp_path / "p.npz")]) == 1
    existing, sizes, empty = capsys.readouterr().err.splitlines()
    assert "choose another folder" in existing and "0 frames" in sizes and "own" in empty
    assert list(theirs.iterdir()) == [] and [path.name for path in tmp_path.iterdir()] == ["own"]
    for size in ("96", "96x", "x", "-96x96", "9.5x9"):
        with pytest.raises(SystemExit):
            main(["data", "synthetic", "--out", str(tmp_path), f"--size={size}"])
        assert f"'{size}' is not HEIGHTxWIDTH, such as 480x640" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["data", "pairs", "--from", ".", "--out", "p.npz", "--part", "half"])
    assert "'half'" in capsys.readouterr().err


# --- the command line ---------------------------------------------------------------------------------------


def test_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--gt", "somewhere"])
    assert stop.value.code == 2 and "--results" in capsys.readouterr().err


def test_python_m_and_help_load_nothing_heavy():
    code = (
        "import sys; from deepmot_lib.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'trackeval', 'pandas'} & set(sys.modules), 'slow'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    code = "import sys, deepmot_lib.evaluation; assert 'torch' not in sys.modules, 'evaluation needs none'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-m", "deepmot_lib", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "evaluate" in done.stdout


def examples(page):
    """The lines below ``examples:`` in a page of help, up to the first empty one."""
    return page.partition("examples:\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize("command", [*commands._COMMANDS, *(f"data {name}" for name in commands._DATA)])
def test_examples_of_the_help_begin_in_one_column(command, capsys):
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    lines = examples(capsys.readouterr().out)
    assert lines and all(line.startswith("  deepmot ") for line in lines), lines
