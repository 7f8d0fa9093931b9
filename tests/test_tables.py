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
from deepmot_lib.experiments.fingerprints import Fingerprint

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
    with pytest.raises(ValueError, match=r"wrong here: \['color'\]"):
        tables.write(tmp_path / "a.csv", FRAME, NOTES | {"color": "red"})
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


def test_a_device_line_tells_machines_apart_whose_numbers_differ(monkeypatch):
    name = tables.device_name("cpu")
    assert f"{os.cpu_count()} cores" in name and f"torch {torch.__version__}" in name
    assert torch.backends.cpu.get_cpu_capability() in name
    info = "model name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: {}\nstepping\t: 1\n"
    lines = []
    for model in (1, 17):  # two generations under one marketing name
        monkeypatch.setattr("pathlib.Path.read_text", lambda *_, model=model: info.format(model))
        lines.append(tables.device_name())
    assert lines[0].startswith("AMD EPYC (25/1/1), ") and lines[1].startswith("AMD EPYC (25/17/1), ")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    assert tables.device_name("cuda:1").startswith(f"GPU cuda:1, torch {torch.__version__}")


# --- reuse --------------------------------------------------------------------------------------------------


def test_a_table_is_reused_by_its_own_fingerprint_only(tmp_path):
    file, wanted = tmp_path / "a.csv", Fingerprint({"steps": 3}, code={"pkg.a": "12"})
    assert tables.stamp(file) is None
    tables.write(file, FRAME, NOTES)
    assert tables.stamp(file) == "", "a table without a fingerprint is never reused"
    tables.write(file, FRAME, NOTES, wanted)
    assert Fingerprint.from_json(tables.stamp(file)) == wanted
    assert tables.read(file)[1] == NOTES
    file.write_text("network,WA,IDS\na,99,3\n")  # by hand, or by a run that was killed before its JSON
    assert tables.stamp(file) == ""
    with pytest.raises(ValueError, match=r"a\.csv is not the table that a\.json tells of"):
        tables.read(file)


def test_tables_published_before_there_were_fingerprints_can_be_read(tmp_path):
    tables.write(tmp_path / "a.csv", FRAME, NOTES)
    old = {key: NOTES[key] for key in tables.PROVENANCE if key != "trained"}
    (tmp_path / "a.json").write_text(json.dumps(old))
    assert tables.read(tmp_path / "a.csv")[1] == NOTES


def test_file_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert tables.file_hash(tmp_path / "a") == "ba7816bf8f01"  # FIPS 180-2's example
