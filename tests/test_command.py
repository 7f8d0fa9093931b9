"""The command ``deepmot``: what it prints, writes and returns."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from deepmot_lib import mot, pairs
from deepmot_lib.__main__ import main
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


# --- deepmot data -------------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    parts = [pairs.read(write_pairs(f"{part}.npz", "--part", part)[1]) for part in ("train", "test", "val")]
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
    done = subprocess.run([sys.executable, "-m", "deepmot_lib", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "evaluate" in done.stdout
