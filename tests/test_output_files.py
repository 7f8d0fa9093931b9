"""What the command writes to: a file, a link, a pipe, standard output, and a disk that is full."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from deepmot_lib.__main__ import main

from .disks import small_disk

REPO = Path(__file__).parents[1]
EXAMPLE = Path(str(files("motmetrics"))) / "data" / "TUD-Campus"


@pytest.fixture
def folders(tmp_path):
    """The arguments of ``deepmot`` that evaluate motmetrics' TUD-Campus."""
    (tmp_path / "gt" / "TUD-Campus" / "gt").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    shutil.copy(EXAMPLE / "gt.txt", tmp_path / "gt" / "TUD-Campus" / "gt" / "gt.txt")
    shutil.copy(EXAMPLE / "test.txt", tmp_path / "results" / "TUD-Campus.txt")
    gt, results = str(tmp_path / "gt"), str(tmp_path / "results")
    return ["evaluate", "--gt", gt, "--results", results, "--protocol", "plain"]


def evaluate(folders, csv):
    return main([*folders, "--csv", str(csv)])


def is_the_table(text):
    """The row of TUD-Campus, as motmetrics documents it."""
    return "protocol" in text and "plain,0.557" in text.replace("TUD-Campus,", "")


def test_a_link_stays_a_link(tmp_path, folders):
    (tmp_path / "link.csv").symlink_to("shared.csv")
    (tmp_path / "shared.csv").write_text("old")
    assert evaluate(folders, tmp_path / "link.csv") == 0
    assert (tmp_path / "link.csv").is_symlink() and is_the_table((tmp_path / "shared.csv").read_text())


def test_a_pipe_stays_a_pipe(tmp_path, folders):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    assert evaluate(folders, tmp_path / "pipe") == 0
    reader.join(timeout=10)
    assert is_the_table(read[0]) and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.slow
def test_standard_output_as_a_pipe_and_as_a_file(tmp_path, folders):
    run = [sys.executable, "-m", "deepmot_lib", *folders, "--csv", "/dev/stdout"]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    printed = subprocess.run(run, env=environment, text=True, stdout=subprocess.PIPE, check=True).stdout
    before, _, csv = printed.partition("sequence,protocol")
    assert "MOTA" in before and is_the_table("sequence,protocol" + csv)
    with open(tmp_path / "shown.txt", "w") as shown:
        subprocess.run(run, env=environment, stdout=shown, check=True)
    assert (tmp_path / "shown.txt").read_text() == printed and Path("/dev/stdout").is_symlink()


def test_a_full_disk_is_one_line_with_the_file(tmp_path, folders, capsys):
    with small_disk(tmp_path / "disk", 1 << 14) as disk:
        (disk / "table.csv").write_text("old")
        with pytest.raises(OSError), open(disk / "other", "wb") as other:
            other.write(bytes(1 << 15))
        assert evaluate(folders, disk / "table.csv") == 1
        error = f"deepmot: [Errno 28] No space left on device: '{disk / 'table.csv'}'\n"
        assert capsys.readouterr().err.endswith(error)
        assert (disk / "table.csv").read_text() == "old"


def test_what_was_written_can_be_read(tmp_path, folders):
    assert evaluate(folders, tmp_path / "new" / "table.csv") == 0
    table = pd.read_csv(tmp_path / "new" / "table.csv").set_index("sequence")
    assert table.loc["TUD-Campus", "MOTA"] == pytest.approx(0.5265, abs=5e-5)
    assert table.loc["TUD-Campus", "IDF1"] == pytest.approx(0.5577, abs=5e-5)
