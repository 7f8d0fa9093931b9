"""experiments.fingerprints: what changed is named, and nothing is reused that does not fit."""

import dataclasses
import enum
import hashlib
import json
import math
import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepmot_lib.data import mot
from deepmot_lib.experiments.fingerprints import (
    Fingerprint,
    content,
    data_digests,
    fresh,
    plain,
    read_stamp,
    stamped,
)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
SETTINGS = st.dictionaries(st.text(), JSON, max_size=4)
DIGESTS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)
FINGERPRINTS = st.builds(Fingerprint, SETTINGS, DIGESTS, DIGESTS, DIGESTS)

BASE = Fingerprint(
    {"steps": 200, "optimizer": {"lr": 1e-3, "betas": (0.9, 0.99)}},
    data={"MOT17-02-FRCNN/gt": "a", "MOT17-04-FRCNN/gt": "b"},
    upstream={"weights of tracktor vanilla": "c"},
    code={"deepmot_lib.training.matcher": "d"},
)


def replace(**parts):
    return dataclasses.replace(BASE, **parts)


# --- settings -----------------------------------------------------------------------------------------------


@given(SETTINGS)
def test_settings_are_what_json_gives_back(settings):
    assert json.dumps(plain(settings)) == json.dumps(json.loads(json.dumps(settings)))


@dataclasses.dataclass
class Schedule:
    rates: tuple[float, ...]
    inner: object = None


class Side(enum.StrEnum):
    LEFT = "left"


Run = namedtuple("Run", "tracker seed")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Schedule((0.1, 0.2), Schedule(())), {"rates": [0.1, 0.2], "inner": {"rates": [], "inner": None}}),
        ({"run": Run("tracktor", 0)}, {"run": {"tracker": "tracktor", "seed": 0}}),
        ({1: Side.LEFT}, {"1": "left"}),
        ({"n": np.int64(3), "x": np.float64(0.1), "b": np.bool_(True)}, {"n": 3, "x": 0.1, "b": True}),
    ],
)
def test_settings_from_classes(value, expected):
    settings = Fingerprint(value).settings
    assert settings == expected
    assert json.loads(json.dumps(settings)) == expected


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": {"b": [1, Path("x")]}}, TypeError, r"settings\.a\.b\[1\] is .*Path"),
        ({"a": np.zeros(2)}, TypeError, r"settings\.a is array"),
        ({"a": {1, 2}}, TypeError, r"settings\.a is {1, 2}: a set"),
        ({"a": math.nan}, ValueError, r"settings\.a is nan"),
        ({"a": -math.inf}, ValueError, r"settings\.a is -inf"),
        ({1: 0, "1": 0}, ValueError, "two keys with one text"),
        ({None: 0}, TypeError, "a key must be text"),
        ([1], TypeError, "settings must be a dict"),
    ],
)
def test_settings_that_cannot_be_compared_are_refused(value, error, message):
    with pytest.raises(error, match=message):
        Fingerprint(value)


def test_digests_must_be_text():
    with pytest.raises(TypeError, match="data must be a dict of digests"):
        replace(data={"gt": 3})
    with pytest.raises(TypeError, match="code must be a dict of digests"):
        replace(code="deepmot_lib.loss")


# --- fingerprints -------------------------------------------------------------------------------------------


@given(FINGERPRINTS)
def test_json_round_trip(fingerprint):
    back = Fingerprint.from_json(fingerprint.to_json())
    assert back.to_json() == fingerprint.to_json()
    assert back.changes(fingerprint) == []
    assert back.digest == fingerprint.digest


@given(FINGERPRINTS, FINGERPRINTS)
def test_two_fingerprints_have_one_digest_where_nothing_changed(one, two):
    assert (one.changes(two) == []) == (one.digest == two.digest)
    assert len(one.changes(two)) == len(two.changes(one))


def test_the_order_of_keys_does_not_count():
    turned = Fingerprint.from_json(json.dumps(dict(reversed(json.loads(BASE.to_json()).items()))))
    assert turned.digest == BASE.digest


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"settings": 3}', '{"settings": {}, "x": 1}', '{"settings": {"a": NaN}}'],
)
def test_a_broken_text_is_no_fingerprint(text):
    with pytest.raises(ValueError, match="not a fingerprint"):
        Fingerprint.from_json(text)


def test_changes_are_named():
    new = Fingerprint(
        {"steps": 100, "optimizer": {"lr": 0.01, "decay": 0}, "seeds": list(range(40))},
        data={"MOT17-02-FRCNN/gt": "A", "MOT17-09-FRCNN/gt": "b"},
        upstream={"weights of tracktor vanilla": "C"},
        code={"deepmot_lib.training.matcher": "D", "deepmot_lib.loss": "e"},
    )
    assert new.changes(BASE) == [
        "settings: steps 200 -> 100",
        "settings: optimizer.lr 0.001 -> 0.01",
        "settings: optimizer.decay added",
        "settings: seeds added",
        "settings: optimizer.betas removed",
        "data: MOT17-02-FRCNN/gt",
        "data: MOT17-09-FRCNN/gt added",
        "data: MOT17-04-FRCNN/gt removed",
        "upstream: weights of tracktor vanilla",
        "code: deepmot_lib.training.matcher",
        "code: deepmot_lib.loss added",
    ]


def test_long_values_are_cut():
    one, two = Fingerprint({"seeds": list(range(40))}), Fingerprint({"seeds": list(range(41))})
    (change,) = two.changes(one)
    assert change.startswith("settings: seeds [0, 1, ") and len(change) < 110


@pytest.mark.parametrize(("one", "two"), [(1, 1.0), (1, True), (0, None), ([], {}), ("1", 1), (0, False)])
def test_equal_to_python_is_not_equal(one, two):
    assert Fingerprint({"x": one}).changes(Fingerprint({"x": two}))


# --- reuse --------------------------------------------------------------------------------------------------


def test_fresh_is_silent_unless_something_changed(capsys):
    assert fresh(BASE.to_json(), BASE, "matcher")
    assert not fresh(None, BASE, "matcher")
    assert capsys.readouterr() == ("", "")


def test_fresh_says_what_is_remade_and_why(capsys):
    one = replace(code={"deepmot_lib.training.matcher": "x"})
    assert not fresh(BASE.to_json(), one, "matcher seq_gru seed 0")
    assert not fresh("", BASE, "history of tracktor")
    many = replace(settings={}, code={f"m{k}": "x" for k in range(10)})
    assert not fresh(BASE.to_json(), many, "table5")
    assert capsys.readouterr().err.splitlines() == [
        "matcher seq_gru seed 0: remade, changed: code deepmot_lib.training.matcher",
        "history of tracktor: remade, no valid fingerprint stored with it",
        "table5: remade, changed: settings optimizer.betas removed, settings optimizer.lr removed, "
        "settings steps removed, code m0 added, and 10 more",
    ]


def test_a_stamped_file_can_be_reused(tmp_path):
    path = tmp_path / "results" / "SEQ.txt"
    assert read_stamp(path) is None
    with stamped(path, BASE) as temporary:
        temporary.write_text("1,2,3\n")
    assert path.read_text() == "1,2,3\n"
    assert read_stamp(path) == BASE.to_json()
    # No pattern for results or tables matches the second file, and no temporary is left.
    assert [file.name for file in sorted(path.parent.iterdir())] == ["SEQ.txt", "SEQ.txt.fingerprint.json"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    with stamped(path, BASE) as temporary:
        temporary.write_text("a,b\n1,2\n")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, sidecar: sidecar.unlink(),
        lambda path, sidecar: sidecar.write_text(sidecar.read_text()[:-20]),
        lambda path, sidecar: sidecar.write_bytes(b"\xff\xfe\x00"),
        lambda path, sidecar: sidecar.write_text("[1]"),
        lambda path, sidecar: sidecar.write_text("{}"),
        lambda path, sidecar: (sidecar.unlink(), sidecar.mkdir()),
        lambda path, sidecar: path.write_text("a,b\n1,3\n"),
        lambda path, sidecar: path.write_text(""),
    ],
    ids=["missing", "cut", "binary", "a list", "empty", "a folder", "edited table", "emptied table"],
)
def test_a_broken_stamp_or_another_content_is_not_reused(table, damage, capsys):
    damage(table, table.with_name("table.csv.fingerprint.json"))
    assert not fresh(read_stamp(table), BASE, "table")
    assert "table: remade, no valid fingerprint" in capsys.readouterr().err


def test_a_run_killed_before_the_stamp_leaves_nothing_to_reuse(table, monkeypatch):
    new = replace(settings={"steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr("deepmot_lib.experiments.fingerprints.json.dumps", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError), stamped(table, new) as temporary:
            temporary.write_text("a,b\n5,6\n")
    assert table.read_text() == "a,b\n5,6\n"
    assert not fresh(read_stamp(table), BASE, "table")  # though the old stamp still lies there
    assert not fresh(read_stamp(table), new, "table")


def test_a_failed_write_leaves_the_old_file_and_its_stamp(table):
    with pytest.raises(RuntimeError), stamped(table, replace(settings={"steps": 1})) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert fresh(read_stamp(table), BASE, "table")


# --- data ---------------------------------------------------------------------------------------------------


def test_content_is_blake2b_of_the_bytes(tmp_path):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"deep" * 100_000)
    assert content(file) == hashlib.blake2b(b"deep" * 100_000, digest_size=6).hexdigest()
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        content(tmp_path / "nothing.bin")


def test_content_sees_a_change_of_one_byte_at_once(tmp_path):
    file = tmp_path / "gt.txt"
    digests = set()
    for byte in b"abcdefgh":  # one size, and a clock that may not have ticked between two writes
        file.write_bytes(bytes([byte]))
        digests.add(content(file))
    assert len(digests) == 8


def test_content_reads_an_old_file_once(tmp_path, monkeypatch):
    file = tmp_path / "image.jpg"
    file.write_bytes(b"1")
    os.utime(file, (1, 1))
    first = content(file)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert content(file) == first


@pytest.fixture
def sequence(tmp_path):
    path = tmp_path / "SEQ"
    files = {"gt/gt.txt": "1,1,0,0,5,5,1,1,1\n", "det/det.txt": "1,-1,0,0,5,5,0.5\n"}
    files |= {"seqinfo.ini": "[Sequence]\n", "img1/000001.jpg": "one", "img1/000002.jpg": "two"}
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return mot.Sequence(path)


def test_data_digests_names_the_part_that_changed(sequence):
    before = data_digests([sequence])
    assert set(before) == {"SEQ/gt", "SEQ/det", "SEQ/seqinfo", "SEQ/images"}
    assert data_digests([sequence], parts=["gt"]) == {"SEQ/gt": content(sequence.path / "gt/gt.txt")}
    for name, part in {"gt/gt.txt": "gt", "det/det.txt": "det", "seqinfo.ini": "seqinfo"}.items():
        text = (sequence.path / name).read_text()
        (sequence.path / name).write_text(text + " ")
        after = data_digests([sequence])
        assert {key for key in before if before[key] != after[key]} == {f"SEQ/{part}"}
        (sequence.path / name).write_text(text)
    assert data_digests([sequence]) == before


def test_data_digests_sees_pictures_by_name_and_content(sequence):
    images = sequence.path / "img1"

    def digest():
        return data_digests([mot.Sequence(sequence.path)])["SEQ/images"]

    seen = [digest()]
    (images / "._000001.jpg").write_text("hidden")
    (images / "notes.txt").write_text("no picture")
    assert digest() == seen[0]
    (images / "000002.jpg").write_text("another")
    seen.append(digest())
    (images / "000002.jpg").rename(images / "000002.png")
    seen.append(digest())
    (images / "000002.png").unlink()
    seen.append(digest())
    assert len(set(seen)) == 4


def test_data_digests_leaves_out_what_is_missing(sequence):
    (sequence.path / "det/det.txt").unlink()
    for file in (sequence.path / "img1").iterdir():
        file.unlink()
    assert set(data_digests([sequence])) == {"SEQ/gt", "SEQ/seqinfo"}


def test_data_digests_refuses_what_it_cannot_name(sequence):
    with pytest.raises(ValueError, match="two sequences are named SEQ"):
        data_digests([sequence, sequence])
    with pytest.raises(ValueError, match="unknown parts"):
        data_digests([sequence], parts=["labels"])
