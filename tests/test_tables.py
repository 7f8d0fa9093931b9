"""Tables of results: what is written comes back, with what it was made from."""

import json
import os
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepmot_lib.experiments import tables

NOTES = dict.fromkeys(tables.PROVENANCE) | {"profile": "smoke", "seeds": [0, 1]}
FRAME = pd.DataFrame({"network": ["a", "None"], "WA": [92.88, np.nan], "IDS": [3, 4]})


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


# --- files --------------------------------------------------------------------------------------------------


def test_write_and_read(tmp_path):
    file = tmp_path / "tables" / "dhn.csv"
    tables.write(file, FRAME, NOTES)
    assert listing(file.parent) == ["dhn.csv", "dhn.json"]
    assert file.read_bytes() == b"network,WA,IDS\na,92.88,3\nNone,,4\n"
    frame, notes = tables.read(str(file))
    pd.testing.assert_frame_equal(frame, FRAME)
    assert notes == NOTES


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_numbers_come_back_to_the_bit(tmp_path, values):
    tables.write(tmp_path / "a.csv", pd.DataFrame({"x": values}, dtype=float), NOTES)
    assert tables.read(tmp_path / "a.csv")[0].x.astype(float).tolist() == values


@pytest.mark.parametrize("broken", ["frame", "provenance"])
def test_a_write_that_fails_changes_nothing(tmp_path, broken, monkeypatch):
    file = tmp_path / "a.csv"
    tables.write(file, FRAME, NOTES)
    before = file.read_bytes(), (tmp_path / "a.json").read_bytes()
    notes = NOTES | {"profile": "paper"}
    if broken == "frame":

        def stops_half_way(self, path, **options):
            path.write_text("network,W")
            raise OSError("the disk is full")

        monkeypatch.setattr(pd.DataFrame, "to_csv", stops_half_way)
    else:
        notes["weights"] = object()
    with pytest.raises((OSError, TypeError)):
        tables.write(file, FRAME * 2, notes)
    assert (file.read_bytes(), (tmp_path / "a.json").read_bytes()) == before
    assert listing(tmp_path) == ["a.csv", "a.json"]


def test_no_table_without_its_whole_provenance(tmp_path):
    partial = {key: value for key, value in NOTES.items() if key not in ("commit", "device")}
    with pytest.raises(ValueError, match=r"wrong here: \['commit', 'device'\]"):
        tables.write(tmp_path / "a.csv", FRAME, partial)
    with pytest.raises(ValueError, match=r"wrong here: \['colour'\]"):
        tables.write(tmp_path / "a.csv", FRAME, NOTES | {"colour": "red"})
    with pytest.raises(ValueError, match=r"a.json: a table's file ends in .csv"):
        tables.write(tmp_path / "a.json", FRAME, NOTES)
    assert listing(tmp_path) == []


def test_what_is_missing_or_broken_is_named(tmp_path):
    file, notes = tmp_path / "a.csv", tmp_path / "a.json"
    with pytest.raises(FileNotFoundError, match=r"a\.csv"):
        tables.read(file)
    tables.write(file, FRAME, NOTES)
    for text in ("{", "[]", json.dumps({"profile": "smoke"})):
        notes.write_text(text)
        with pytest.raises(ValueError, match=r"a\.json: no provenance"):
            tables.read(file)
    notes.unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json"):
        tables.read(file)
    for content in (b"", b"a,b\n1,2,3\n4,5,6,7\n", b"\xff\xfe\xff"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.csv: no table"):
            tables.read(file)


# --- provenance ---------------------------------------------------------------------------------------------


def test_provenance_is_whole():
    notes = tables.provenance(profile="smoke", seeds=[0])
    assert tuple(notes) == tables.PROVENANCE
    assert (notes["profile"], notes["seeds"], notes["weights"]) == ("smoke", [0], None)
    assert notes["commit"] == tables.commit() and notes["device"] == tables.device_name()
    assert tables.provenance(device="another")["device"] == "another"
    with pytest.raises(ValueError, match=r"unknown provenance \['seed'\]: choose from profile, data"):
        tables.provenance(seed=0)


def test_commit(tmp_path, monkeypatch):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    source = tmp_path / "deepmot_lib" / "experiments" / "tables.py"
    source.parent.mkdir(parents=True)
    source.write_text("1\n")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "a.csv").write_text("x\n")
    monkeypatch.setattr(tables, "__file__", str(source))
    assert tables.commit() == "unknown"
    git("init")
    assert tables.commit() == "unknown"  # no commit yet
    git("add", ".")
    git("commit", "--message", "first")
    head = git("rev-parse", "HEAD")
    assert tables.commit() == head[:10]
    # What a run writes does not make the code another, what somebody edits does.
    (tmp_path / "reports" / "a.csv").write_text("y\n")
    assert tables.commit() == head[:10]
    source.write_text("2\n")
    assert tables.commit() == head[:10] + "+"
    with monkeypatch.context() as nothing:
        nothing.setenv("PATH", "")
        assert tables.commit() == "unknown"
    # A copy installed below a checkout of something else does not pass for it.
    copy = tmp_path / "venv" / "deepmot_lib" / "experiments" / "tables.py"
    copy.parent.mkdir(parents=True)
    monkeypatch.setattr(tables, "__file__", str(copy))
    assert tables.commit() == "unknown"


def test_device(monkeypatch):
    assert tables.device_name("cpu").endswith(f", {os.cpu_count()} cores")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert tables.device_name() == "GPU cuda" and tables.device_name("cuda:1") == "GPU cuda:1"
    assert tables.device_name("cpu").endswith("cores")


def test_file_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert tables.file_hash(tmp_path / "a") == "ba7816bf8f01"  # FIPS 180-2's example


# --- beside and Markdown ------------------------------------------------------------------------------------

PAPER = pd.DataFrame(
    {"axis": ["row", "row"], "network": ["seq", "1d"], "WA": [92.88, 56.43], "IDS": [326, 9]}
)
KEYS = ["axis", "network"]


def test_beside():
    ours = pd.DataFrame(
        {"network": ["ours", "seq"], "axis": "row", "IDS": [2, 1], "WA": [99.0, 90.0], "note": ["n", "s"]}
    )
    both = tables.beside(PAPER, ours, KEYS)
    assert list(both) == [*KEYS, "WA (paper)", "WA (ours)", "IDS (paper)", "IDS (ours)", "note"]
    assert both.network.tolist() == ["seq", "1d", "ours"]
    assert both["WA (ours)"].tolist() == pytest.approx([90, np.nan, 99], nan_ok=True)
    assert both["IDS (paper)"].tolist() == [326, 9, pd.NA] and both["IDS (ours)"].tolist() == [1, pd.NA, 2]
    assert tables.to_markdown(both) == (
        "| axis | network | WA (paper) | WA (ours) | IDS (paper) | IDS (ours) | note |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"
        "| row | seq | 92.88 | 90 | 326 | 1 | s |\n"
        "| row | 1d | 56.43 |  | 9 |  |  |\n"
        "| row | ours |  | 99 |  | 2 | n |\n"
    )


def test_beside_nothing_and_beside_less():
    both = tables.beside(PAPER, None, KEYS)
    assert both[["WA (ours)", "IDS (ours)"]].isna().all(axis=None)
    assert both["WA (paper)"].tolist() == [92.88, 56.43]
    partial = tables.beside(PAPER, PAPER[[*KEYS, "WA"]], KEYS)
    assert partial["WA (ours)"].equals(partial["WA (paper)"].rename("WA (ours)"))
    assert partial["IDS (ours)"].isna().all()
    assert PAPER.columns.tolist() == [*KEYS, "WA", "IDS"]


def test_beside_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="our table has no column network"):
        tables.beside(PAPER, PAPER.drop(columns="network"), KEYS)
    with pytest.raises(ValueError, match="the paper's table has no column seed"):
        tables.beside(PAPER, PAPER.assign(seed=0), [*KEYS, "seed"])
    # Two seeds of one row would multiply the rows.
    with pytest.raises(ValueError, match=r"our table has several rows \('row', '1d'\)"):
        tables.beside(PAPER, pd.concat([PAPER, PAPER[1:]]), KEYS)


def test_markdown():
    frame = pd.DataFrame(
        {
            "a|b": ["x|y", None],
            "count": [12.0, np.nan],
            "share": [100.0, 0.125],
            "single": np.array([0.1, 2], np.float32),
            "text": ["1.50 ± 0.1", "two\nlines"],
        }
    )
    assert tables.to_markdown(frame, decimals=1) == (
        "| a\\|b | count | share | single | text |\n"
        "| --- | ---: | ---: | ---: | --- |\n"
        "| x\\|y | 12 | 100.0 | 0.1 | 1.50 ± 0.1 |\n"
        "|  |  | 0.1 | 2.0 | two lines |\n"
    )
    assert tables.to_markdown(frame[:0]).count("\n") == 2


def test_a_number_that_is_not_zero_does_not_print_as_zero():
    values = pd.Series([0.0, 2.8e-22, -0.004, 0.006, np.nan, 1.5])
    assert tables.texts(values) == ["0.00", "3e-22", "-4e-03", "0.01", "", "1.50"]
