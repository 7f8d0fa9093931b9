"""The command ``deepmot``: what it prints, writes and returns."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from deepmot_lib import mot
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
