"""Box files that nobody would write on purpose: refused by name and in little memory, or read."""

import random
import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmot_lib.data import mot, number_rows

pytestmark = pytest.mark.slow

EXAMPLES = Path(motmetrics.__file__).parent / "data"
READERS = (mot.read_boxes, mot.read_detections, mot.read_ground_truth)
ROW = "1,1,10,20,30,40,1,-1,-1,-1\n"


def refused(path, read=mot.read_boxes):
    """The error and the most memory in use at once until it came [MB]."""
    tracemalloc.start()
    with pytest.raises(mot.MotFormatError) as caught:
        read(path)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return caught.value, peak


@pytest.mark.parametrize("separator", [",", " ", "\t", ";"])
@pytest.mark.parametrize("above", [0, 1, 3])
def test_a_million_columns(tmp_path, separator, above):
    """Once 1.4 GB, and 21 s to fill them."""
    path = tmp_path / "gt.txt"
    path.write_text((ROW * above + "1," * 999_999 + "1\n" + ROW).replace(",", separator))
    error, peak = refused(path)
    assert error.line == above + 1 and "more than 4096 characters" in error.message
    assert peak < 64


def test_a_line_of_many_bytes_is_never_in_memory(tmp_path):
    path = tmp_path / "gt.txt"
    with path.open("w") as file:
        file.write(ROW)
        for _ in range(100):
            file.write("1" * 2**20)
    error, peak = refused(path)
    assert error.line == 2 and peak < 64 and len(str(error)) < 200


def test_what_is_wrong_late_in_a_long_file_is_named(tmp_path, monkeypatch):
    """A file of several blocks: the rows before are not parsed line by line."""
    path = tmp_path / "results.txt"
    rows = 200_000
    path.write_text(
        "".join(f"{k // 100 + 1},{k % 100},10,20,30,40,1,-1,-1,-1\n" for k in range(rows))
        + "\n1,2,3,4,5,6,1,-1,-1,x"
    )
    by_line = Mock(side_effect=number_rows._parse_by_line)
    monkeypatch.setattr(number_rows, "_parse_by_line", by_line)
    with pytest.raises(mot.MotFormatError, match="column 10") as caught:
        mot.read_boxes(path)
    assert caught.value.line == rows + 2
    by_line.assert_called_once()


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(tmp_path, monkeypatch, block):
    path = tmp_path / "boxes.txt"
    path.write_bytes(f"\r\n{ROW}\r\n\n{ROW.replace('1', '2', 1)}\r{ROW.replace('1', '3', 1)}".encode())
    whole = mot.read_boxes(path)
    monkeypatch.setattr(number_rows, "_BLOCK", block)
    assert whole["frame"].tolist() == [1, 2, 3] and mot.read_boxes(path).equals(whole)
    for damage, line in ((b"4,1,0,0\n", 8), (b"\n\n" + ROW.encode(), 10), (b"4,1,1,1,1,1,1\n", 8)):
        other = tmp_path / "damaged.txt"
        other.write_bytes(path.read_bytes() + damage)
        with pytest.raises(mot.MotFormatError) as caught:
            mot.read_boxes(other)
        assert caught.value.line == line


MARKS = st.sampled_from(
    [*"0123456789", "-1", "1e3", "e", ".", "+", ",", ";", "\t", " ", "\n", ",,", ROW, "nan"]
)


@settings(deadline=None, max_examples=500)
@given(st.lists(MARKS, max_size=40).map("".join))
def test_fast_and_slow_parser_agree(text):
    """Pandas takes nothing, and nothing for another number, that the parser of single lines would refuse."""
    if text.strip():
        separator = number_rows._separator(text)
        fast = number_rows._parse_fast(text, separator)
        if fast is not None:
            slow = number_rows._parse_by_line(Path("x"), 1, text, separator, None)
            np.testing.assert_array_equal(fast, slow)


def mangle(content, rng):
    """Some lines of a file with one to four things done to them."""
    lines = content.split(b"\n")
    start = rng.randrange(max(1, len(lines) - 12))
    text = bytearray(b"\n".join(lines[start : start + rng.randint(0, 12)]))
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randint(0, len(text)) for _ in range(2))
        how = rng.randrange(9)
        if how == 0:
            text[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
        elif how == 1:
            del text[at : min(to, at + 30)]
        elif how == 2:
            text[at:at] = text[at:to]
        elif how == 3:
            text[at:at] = rng.choice(
                [b"nan", b"inf", b"1e155", b"-", b"2e19", b"9" * 400, b"1e-400", b"0x1f"]
            )
        elif how == 4:
            text = text.replace(b",", rng.choice([b" ", b"\t", b";", b", ", b",,"]))
        elif how == 5:
            text = text.replace(b"\n", rng.choice([b"\r", b"\r\n", b",\n", b"\n\n", b"\0\n"]))
        elif how == 6:
            text = bytearray(bytes(text).decode("latin1").encode(rng.choice(["utf-16", "utf-8-sig"])))
        elif how == 7:
            text = text.replace(rng.choice([b"1", b"-1", b"0", b"."]), rng.choice([b"", b"9007199254740993"]))
        else:
            text += b"," * rng.choice([1, 5, 5000])
    return bytes(text)


@pytest.mark.filterwarnings("ignore::deepmot_lib.data.mot.MotFormatWarning")
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_mangled_files_are_read_or_refused_by_name(tmp_path, seed):
    rng = random.Random(seed)
    originals = [path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.txt"))]
    originals += [content.replace(b",-1,-1,-1\r\n", b",1,0.5\n") for content in originals]
    path, read_well = tmp_path / "mangled.txt", 0
    for _ in range(1000):
        path.write_bytes(mangle(rng.choice(originals), rng))
        try:
            boxes = rng.choice(READERS)(path)
        except mot.MotFormatError as error:
            assert error.path == path and error.line >= 1
        else:
            read_well += 1
            assert np.isfinite(boxes.to_numpy(float)).all() and list(boxes) == mot.COLUMNS
    assert 100 < read_well < 900  # neither is the mangling harmless nor is everything refused
