"""Folders as users bring them: any numbering of the pictures, clips cut from a whole, and odd neighbors."""

import shutil
import struct
import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepmot_lib.__main__ import main
from deepmot_lib.data import mot, pairs
from deepmot_lib.evaluation import evaluate

SIZE = (24, 32)


def boxes(frames) -> pd.DataFrame:
    """Two people in each of these frames."""
    rows = [(frame, i, 10.0 * i, 2.0, 10.0 * i + 5, 12.5) for frame in frames for i in (1, 2)]
    return pd.DataFrame(rows, columns=mot.COLUMNS[:6])


def make(folder, names=(), gt=None, seqinfo="", det=None):
    """A sequence whose k-th name is a picture with a red of k; any file it is asked for."""
    (folder / "img1").mkdir(parents=True)
    for k, name in enumerate(names, start=1):
        Image.new("RGB", SIZE[::-1], (k, 0, 200)).save(folder / "img1" / name, format="PNG")
    if gt is not None:
        mot.write_ground_truth(folder / "gt" / "gt.txt", boxes(gt))
        mot.write_results(folder / "det" / "det.txt", boxes(gt if det is None else det))
    if seqinfo:
        (folder / "seqinfo.ini").write_text(f"[Sequence]\n{seqinfo}\n")
    return folder


def reds(sequence) -> list[int]:
    """Which picture each frame shows."""
    return [int(sequence.image(frame)[0, 0, 0]) for frame in sequence.frames]


# --- which picture shows which frame ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern, first",
    [
        ("{}.jpg", 1),
        ("{:06d}.jpg", 1),
        ("{}.png", 0),
        ("frame_{:06d}.PNG", 0),
        ("img_{:04d}.png", 1),
        ("MOT17-02_{:03d}_left.JPEG", 1),
        ("{:05d}.bmp", 95),
        ("video 2 ({}).webp", 1),
    ],
)
@pytest.mark.parametrize("gt", [None, range(1, 13), range(3, 9)])
def test_frame_k_shows_the_kth_picture_however_they_are_numbered(tmp_path, pattern, first, gt):
    make(tmp_path / "S", [pattern.format(first + k) for k in range(12)], gt)
    sequence = mot.Sequence.open(tmp_path / "S")
    assert (sequence.length, sequence.frames) == (12, range(1, 13))
    assert reds(sequence) == list(range(1, 13))


@given(st.integers(0, 2000), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=15)
def test_numbers_sort_as_numbers_whatever_their_digits(tmp_path_factory, first, count, digits):
    folder = tmp_path_factory.mktemp("S") / "S"
    make(folder, [f"{first + k:0{digits}d}.png" for k in range(count)], range(1, count + 1))
    assert reds(mot.Sequence.open(folder)) == list(range(1, count + 1))


def test_what_is_no_numbered_picture_does_not_count(tmp_path):
    folder = make(tmp_path / "S", [f"{k}.jpg" for k in range(1, 13)])
    for name in ("._000001.jpg", ".hidden.png", "Thumbs.db", "notes.txt", "cover.png"):
        (folder / "img1" / name).write_text("no picture")
    (folder / "img1" / "13.jpg").mkdir()
    assert reds(mot.Sequence.open(folder)) == list(range(1, 13))


@pytest.mark.parametrize(
    "names, message",
    [
        (["1.jpg", "01.jpg", "2.jpg"], "two pictures of one number: 01.jpg and 1.jpg"),
        (["000001.jpg", "000001.png"], "two pictures of one number: 000001.jpg and 000001.png"),
        (["frame_1.png", "img_2.png"], "not named alike: frame_1.png and img_2.png"),
        (["1.jpg", "2.jpg", "2 (copy).jpg"], "not named alike"),
        (["1.jpg", "2.jpg", "4.jpg", "8.jpg"], "between 1.jpg and 8.jpg there is no picture 3, 5 to 7"),
        (["000005.jpg", "000010.jpg"], "there is no picture 6 to 9"),
        (["a.jpg", "b.jpg"], "its pictures have no numbers: a.jpg"),
    ],
)
def test_an_unclear_numbering_is_refused_when_the_sequence_is_opened(tmp_path, names, message):
    make(tmp_path / "S", names, range(1, 5))
    with pytest.raises(mot.MotFormatError) as error:
        mot.Sequence.open(tmp_path / "S")
    assert message in str(error.value) and error.value.path == tmp_path / "S" / "img1"


@pytest.mark.parametrize(
    "first, count, gt, seqinfo",
    [
        (1, 4, range(1, 7), ""),  # the last two are missing
        (2, 5, range(1, 7), ""),  # the first is missing
        (2, 5, range(1, 5), "seqLength=6"),  # likewise, and nobody is in the last frames
        (0, 7, range(1, 7), "seqLength=6"),  # one too many: the first or the last?
        (301, 6, range(1, 9), ""),  # neither numbering
    ],
)
def test_pictures_that_do_not_fit_the_boxes_are_refused(tmp_path, first, count, gt, seqinfo):
    folder = make(tmp_path / "S", [f"{first + k:06d}.jpg" for k in range(count)], gt, seqinfo)
    with pytest.raises(mot.MotFormatError, match=rf"img1: the {count} pictures .* do not show"):
        mot.Sequence.open(folder)
    results = tmp_path / "results"
    mot.write_results(results / "S.txt", boxes(gt))
    assert evaluate(tmp_path, results, protocol="plain").loc["S", "MOTA"] == 1, "evaluation needs no pictures"


def test_a_picture_that_vanished_is_named(tmp_path):
    folder = make(tmp_path / "S", ["1.jpg", "2.jpg"])
    sequence = mot.Sequence.open(folder)
    (folder / "img1" / "2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.jpg: the image of frame 2 is missing"):
        sequence.image(2)
    shutil.rmtree(folder / "img1")
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=2\nimWidth=32\nimHeight=24\n")
    with pytest.raises(FileNotFoundError, match=r"img1: no picture of frame 2"):
        mot.Sequence.open(folder).image(2)


def png_of(width: int, height: int) -> bytes:
    """The header of a PNG that claims this size, with nothing behind it that could be decoded."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize(
    "width, height, message",
    [
        (9_000, 9_000, "is 9000 x 9000 pixels high and wide, the sequence 24 x 32"),
        (24, 32, "is 32 x 24 pixels high and wide, the sequence 24 x 32"),
        (32, 24, "not a readable image"),
        (30_000, 30_000, "not a readable image .*900000000 pixels"),  # Pillow's own limit comes first
    ],
)
def test_the_header_is_compared_with_seqinfo_before_anything_is_decoded(tmp_path, width, height, message):
    folder = make(tmp_path / "S", ["1.png", "2.png"], seqinfo="imWidth=32\nimHeight=24")
    (folder / "img1" / "2.png").write_bytes(png_of(width, height))
    sequence = mot.Sequence.open(folder)
    assert sequence.image(1).shape == (24, 32, 3)
    with pytest.raises(mot.MotFormatError, match=rf"2\.png: {message}"):
        sequence.image(2)


def test_a_first_picture_too_large_to_decode_is_refused_when_the_sequence_is_opened(tmp_path):
    folder = make(tmp_path / "S", ["1.png"])
    (folder / "img1" / "1.png").write_bytes(png_of(30_000, 30_000))
    with pytest.raises(mot.MotFormatError, match=r"1\.png: .*900000000 pixels"):
        mot.Sequence.open(folder)
    (folder / "seqinfo.ini").write_text("[Sequence]\nimWidth=30000\nimHeight=30000\n")
    with pytest.raises(mot.MotFormatError, match=r"1\.png: .*900000000 pixels"):
        mot.Sequence.open(folder).image(1)


# --- clips --------------------------------------------------------------------------------------------------

CLIP = range(301, 313)
PARTS = {"train": range(301, 307), "val": range(307, 310), "test": range(310, 313)}


@pytest.mark.parametrize("seqinfo", ["", "seqLength=12", "seqLength=312", "seqLength=600"])
@pytest.mark.parametrize("pictures", [True, False])
def test_the_frames_of_a_clip_are_those_that_are_there(tmp_path, seqinfo, pictures):
    names = [f"{frame:06d}.jpg" for frame in CLIP] if pictures else []
    folder = make(tmp_path / "CLIP", names, CLIP, seqinfo)
    sequence = mot.Sequence.open(folder)
    assert sequence.frames == CLIP and sequence.length == 12
    assert mot.split(sequence) == PARTS
    gt = sequence.gt()
    assert {part: gt["frame"].isin(frames).sum() for part, frames in PARTS.items()} == {
        "train": 12,
        "val": 6,
        "test": 6,
    }
    if pictures:
        assert reds(sequence) == list(range(1, 13))
    with pytest.raises(ValueError, match=r"frame 1 is not in 301\.\.312"):
        sequence.image(1)
    with pytest.raises(ValueError, match=r"no consecutive frames of 301\.\.312"):
        sequence.consecutive(range(300, 305))
    assert [len(pairs.generate([sequence], part=part)) for part in PARTS] == [6, 3, 3]
    mot.write_results(tmp_path / "results" / "CLIP.txt", boxes(CLIP))
    assert evaluate(tmp_path, tmp_path / "results", protocol="plain").loc["CLIP", "MOTA"] == 1


def test_results_numbered_from_one_do_not_pass_for_those_of_a_clip(tmp_path):
    folder = make(tmp_path / "CLIP", [f"{frame:06d}.jpg" for frame in CLIP], CLIP)
    mot.write_results(tmp_path / "results" / "CLIP.txt", boxes(range(1, 13)))
    for pictures in (True, False):
        if not pictures:
            shutil.rmtree(folder / "img1")
        with pytest.raises(mot.MotFormatError, match=r"CLIP\.txt:1: CLIP has only 12 frames, 301 to 312"):
            evaluate(tmp_path, tmp_path / "results", protocol="plain")


def test_a_tracker_may_find_somebody_before_the_first_box_and_after_the_last(tmp_path):
    """Labels alone: what seqinfo.ini declares can be named, be there a box or not."""
    make(tmp_path / "S", gt=[7], seqinfo="seqLength=9")
    mot.write_results(tmp_path / "results" / "S.txt", boxes([1, 7, 9]))
    row = evaluate(tmp_path, tmp_path / "results", protocol="plain").loc["S"]
    assert (row["FP"], row["FN"]) == (4, 0)
    make(tmp_path / "T", gt=range(2, 9))
    mot.write_results(tmp_path / "results" / "T.txt", boxes(range(1, 9)))
    assert evaluate(tmp_path, tmp_path / "results", protocol="plain").loc["T", "FP"] == 2


def test_pictures_decide_where_seqinfo_declares_more(tmp_path):
    """The first 40 frames of a clip that has kept its seqinfo.ini."""
    folder = make(tmp_path / "S", [f"{k:06d}.jpg" for k in range(1, 41)], range(1, 41), "seqLength=600")
    assert mot.split(mot.Sequence.open(folder))["test"] == range(31, 41)
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=30\n")
    assert mot.Sequence.open(folder).frames == range(1, 31), "and seqinfo.ini where it declares fewer"


# --- seqinfo.ini --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seqinfo, expected",
    [
        ("seqLength=2.0\nimWidth=64.0\nimHeight=48.00\nframeRate=30", (2, (48, 64), 30)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=29.97", (2, (48, 64), 29.97)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=30000/1001", (2, (48, 64), 30000 / 1001)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=", (2, (48, 64), None)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=0", (2, (48, 64), None)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=1/0", (2, (48, 64), None)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=nan", (2, (48, 64), None)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nframeRate=1e999999999", (2, (48, 64), None)),
        ("seqLength=2\nimWidth=64\nimHeight=48\nseqLength=2\nframeRate=25", (2, (48, 64), 25)),
        (
            "SEQLENGTH : 2\n  imwidth = 64\n; a note\n# another\n\nimHeight=48\n[Other]\nseqLength=9",
            (2, (48, 64), None),
        ),
    ],
)
def test_seqinfo_is_read_as_people_write_it(tmp_path, seqinfo, expected):
    sequence = mot.Sequence.open(make(tmp_path / "S", seqinfo=seqinfo))
    assert (sequence.length, sequence.image_size) == expected[:2]
    assert sequence.frame_rate == pytest.approx(expected[2])


@pytest.mark.parametrize(
    "seqinfo, message",
    [
        ("seqLength=2.5", r"seqinfo\.ini:2: seqlength must be an integer: '2\.5'"),
        ("seqLength=0", r"seqinfo\.ini:2: seqlength must be positive"),
        ("seqLength=inf", r"seqinfo\.ini:2: seqlength must be positive"),
        ("name=S\nimWidth=-64", r"seqinfo\.ini:3: imwidth must be positive"),
        ("imWidth=64\nseqLength=2\nimWidth=32", r"seqinfo\.ini:4: imwidth is '32', but '64' in line 2"),
    ],
)
def test_a_seqinfo_that_cannot_be_meant_is_refused_with_its_line(tmp_path, seqinfo, message):
    folder = make(tmp_path / "S", ["1.png"], [1], seqinfo)
    with pytest.raises(mot.MotFormatError, match=message):
        mot.Sequence.open(folder)


@pytest.mark.parametrize("value", ["images/left", "images\\left", "../shared_img", "./images/left/"])
def test_the_pictures_may_lie_in_any_folder(tmp_path, value):
    folder = make(tmp_path / "S", ["1.png", "2.png"], seqinfo=f"imDir={value}")
    target = folder / value.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / "img1").rename(target)
    sequence = mot.Sequence.open(folder)
    assert reds(sequence) == [1, 2] and sequence.image_file(2).resolve() == (target / "2.png").resolve()


@pytest.mark.parametrize("value", ["{x}", "{0.__class__}", "%(x)s", "{", "img1/{:d}"])
def test_a_folder_name_is_no_format(tmp_path, value):
    folder = make(tmp_path / "S", ["1.png"], [1], f"imDir={value}\nseqLength=1")
    with pytest.raises(FileNotFoundError, match="no picture of frame 1"):
        mot.Sequence.open(folder).image(1)
    (folder / value).parent.mkdir(exist_ok=True)
    (folder / "img1").rename(folder / "moved")
    shutil.copytree(folder / "moved", folder / value)
    assert reds(mot.Sequence.open(folder)) == [1]


@pytest.mark.parametrize("seqinfo", ["imWidth=?", "imWidth=1\nimWidth=2", "imHeight=-1", "frameRate=fast"])
def test_evaluation_needs_neither_rate_nor_size(tmp_path, seqinfo):
    make(tmp_path / "gt" / "S", gt=range(1, 5), seqinfo=f"{seqinfo}\nseqLength=4")
    mot.write_results(tmp_path / "results" / "S.txt", boxes(range(1, 5)))
    assert evaluate(tmp_path / "gt", tmp_path / "results", protocol="plain").loc["S", "MOTA"] == 1


@given(st.binary(max_size=300) | st.text("[]Sequnciamgthfr=:0123456789./ \n", max_size=300).map(str.encode))
@settings(max_examples=60)
def test_a_mangled_seqinfo_is_refused_by_name_or_read(tmp_path_factory, content):
    folder = make(tmp_path_factory.mktemp("S") / "S", ["1.png"], [1])
    (folder / "seqinfo.ini").write_bytes(content)
    try:
        assert mot.Sequence.open(folder).length >= 1
    except mot.MotFormatError as error:
        assert "seqinfo.ini" in str(error) or "pictures" in str(error)


@given(st.integers(0, 200), st.binary(max_size=40), st.booleans())
def test_a_mangled_picture_is_refused_by_name_or_read(tmp_path_factory, place, change, cut):
    folder = make(tmp_path_factory.mktemp("S") / "S", ["1.png"])
    file = folder / "img1" / "1.png"
    content = file.read_bytes()
    content = content[:place] + change + content[len(content) if cut else place + len(change) :]
    file.write_bytes(content)
    try:
        sequence = mot.Sequence.open(folder)
        assert sequence.image(1).shape == (*sequence.image_size, 3)
    except mot.MotFormatError as error:
        assert "1.png" in str(error)


# --- folders beside the sequences ---------------------------------------------------------------------------


@pytest.fixture
def crowded(tmp_path):
    """Two good sequences among what a disk collects."""
    root = tmp_path / "train"
    for name in ("A", "B"):
        make(root / name, ["1.jpg", "2.jpg"], range(1, 3))
    (make(tmp_path / "__MACOSX" / "train" / "A") / "img1" / "._000001.jpg").write_text("a fork")
    (make(root / ".trash") / "seqinfo.ini").write_text("broken")
    (root / "A" / "img1" / "._000001.jpg").write_text("a fork")
    make(root / "EMPTY")
    (make(root / "NOINFO") / "seqinfo.ini").write_text("broken")
    make(root / "GAP", ["1.jpg", "3.jpg"])
    for name in ("A", "B"):
        mot.write_results(tmp_path / "results" / f"{name}.txt", boxes(range(1, 3)))
    return tmp_path


def test_what_cannot_be_opened_is_skipped_and_named(crowded):
    with pytest.warns(mot.MotFormatWarning) as told:
        found = mot.find_sequences(crowded)
    assert [sequence.name for sequence in found] == ["A", "B"]
    (message,) = [str(warning.message) for warning in told]
    assert "\n" not in message and "MACOSX" not in message and "trash" not in message
    for reason in (
        "EMPTY: cannot tell the frames",
        "seqinfo.ini:1: no readable",
        "there is no picture 2",
    ):
        assert reason in message
    skipped = mot.scan(crowded).skipped
    assert [path.name for path, _ in skipped] == ["EMPTY", "GAP", "NOINFO"]


def test_only_what_is_asked_for_is_opened(crowded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [sequence.name for sequence in mot.find_sequences(crowded, names=["B"])] == ["B"]
        results = evaluate(crowded, crowded / "results", protocol="plain", sequences=["B"])
        assert results.loc["B", "MOTA"] == 1
    with pytest.raises(mot.MotFormatError, match="GAP"):
        mot.find_sequences(crowded, names=["B", "GAP"])
    with pytest.raises(ValueError, match="no sequence is called C, D"):
        mot.find_sequences(crowded, names=["B", "D", "C"])


def test_evaluation_passes_over_what_has_no_ground_truth(crowded, capsys):
    arguments = ["--gt", str(crowded), "--results", str(crowded / "results"), "--protocol", "plain"]
    assert main(["evaluate", *arguments]) == 0
    assert main(["evaluate", *arguments, "--sequences", "A"]) == 0
    assert capsys.readouterr().out.count("OVERALL") == 2


def test_folders_that_hold_nothing_that_can_be_opened_say_why(crowded):
    for name in ("A", "B"):
        shutil.rmtree(crowded / "train" / name)
    with pytest.raises(mot.MotFormatError, match=r"can be opened: .*EMPTY.*GAP.*NOINFO"):
        mot.find_sequences(crowded)
    with pytest.raises(mot.MotFormatError, match="there is no picture 2"):
        mot.find_sequences(crowded / "train" / "GAP")


def test_sequences_can_be_told_by_what_they_have(crowded):
    shutil.rmtree(crowded / "train" / "B" / "det")
    found = mot.scan(crowded).having("pictures", "detections")
    assert [sequence.name for sequence in found.sequences] == ["A"]
    assert [path.name for path, _ in found.skipped] == ["EMPTY", "GAP", "NOINFO", "B"]
    assert found.reasons().endswith("B: no detections")


def test_pairs_are_made_of_what_has_both(crowded, capsys):
    shutil.rmtree(crowded / "train" / "B" / "det")
    assert main(["data", "pairs", "--from", str(crowded), "--out", str(crowded / "pairs.npz")]) == 0
    printed = capsys.readouterr()
    assert "2 pairs of 1 sequences" in printed.out
    (skipped,) = [line for line in printed.err.splitlines() if line.startswith("deepmot: skipped: ")]
    assert "B: no detections" in skipped and "GAP" in skipped
    assert np.array_equal(pairs.read(crowded / "pairs.npz").shape, [[2, 2]] * 2)
