"""Films of results: what is drawn where, and files read back by other means."""

import errno
import os
import weakref

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepmot_lib.data import mot, video, video_files
from deepmot_lib.data.video import identity_color
from deepmot_lib.trackers.tracking import COLUMNS

from .disks import largest_file, small_disk

pytestmark = pytest.mark.slow

GRAY = np.full((240, 320, 3), 120, np.uint8)
ALARM = (255, 32, 48)


def table(*rows):
    """A result from (frame, id, left, top): boxes 40 px wide and 80 px high."""
    frame, identity, left, top = np.array(rows, dtype=float).reshape(-1, 4).T
    columns = [frame.astype(int), identity.astype(int), left, top, left + 40, top + 80, np.ones(len(frame))]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def near(picture, color, tolerance=8):
    """Which pixels (bool) are of a color."""
    return (np.abs(picture.astype(int) - np.array(color)) <= tolerance).all(axis=-1)


def rgb(identity):
    return [255 * part for part in identity_color(identity)]


@pytest.fixture
def sequence(tmp_path):
    """12 frames of 320 x 240 at 20 Hz, a slope from black to white."""
    (tmp_path / "S" / "img1").mkdir(parents=True)
    slope = np.repeat(np.linspace(0, 255, 320).astype(np.uint8)[None, :, None], 240, 0).repeat(3, 2)
    for frame in range(1, 13):
        Image.fromarray(slope).save(tmp_path / "S" / "img1" / f"{frame:06d}.png")
    (tmp_path / "S" / "seqinfo.ini").write_text("[Sequence]\nframeRate=20\nimExt=.png\n")
    return mot.Sequence.open(tmp_path / "S")


# --- one frame ----------------------------------------------------------------------------------------------


def test_a_box_is_outlined_in_its_identitys_color():
    before = GRAY.copy()
    drawn = video.draw(GRAY, table((1, 7, 100, 90)), table())
    assert drawn.shape == GRAY.shape and drawn.dtype == np.uint8 and np.array_equal(GRAY, before)
    colored = near(drawn, rgb(7))
    for y, x in [(130, 100), (130, 140), (170, 120), (90, 135)]:  # left, right, bottom, top
        assert colored[y - 1 : y + 2, x - 1 : x + 2].any(), (y, x)
    assert np.array_equal(drawn[95:165, 105:135], GRAY[95:165, 105:135])  # the person is not covered
    rows, columns = (drawn != GRAY).any(axis=2).nonzero()
    assert rows.min() > 60 and rows.max() < 180 and columns.min() > 90 and columns.max() < 150


def test_a_number_is_written_above():
    drawn = [video.draw(GRAY, table((1, 7, 100, 90)).assign(id=k), table())[70:89] for k in (1, 8, 17)]
    inked = [near(tag, (0, 0, 0), 60) | near(tag, (255, 255, 255), 60) for tag in drawn]
    one, eight, seventeen = (int(ink.any(axis=0).sum()) for ink in inked)
    assert 3 <= one < eight < seventeen  # columns that the digits take


def test_a_trail_follows_the_feet():
    past = table(*[(frame, 7, 10 * frame, 90) for frame in range(1, 11)], (5, 8, 250, 20))
    drawn = video.draw(GRAY, table((11, 7, 110, 90)), past)
    changed = (drawn != GRAY).any(axis=2)
    assert changed[170, 40:129].all()  # from the oldest foot point, x = 30, to the box
    assert not changed[:165, :100].any() and not changed[:, :25].any()
    strength = np.abs(drawn[170].astype(int) - 120).sum(axis=1)
    assert strength[35] < strength[70] < strength[100]  # old ones are faint
    assert not changed[:, 240:].any()  # nobody is there any more


def test_switched_identities_are_marked():
    now = table((1, 7, 60, 90), (1, 8, 200, 90))
    plain, marked = (video.draw(GRAY, now, table(), marks) for marks in ((), {8}))
    assert not near(plain, ALARM).any()
    ring = near(marked, ALARM)
    assert ring[:, 180:].sum() > 300 and not ring[:, :150].any()
    assert np.array_equal(plain[:, :150], marked[:, :150])


def test_the_nearest_person_is_drawn_last():
    now = table((1, 1, 100, 100), (1, 2, 100, 60))
    for rows in (now, now[::-1]):
        assert near(video.draw(GRAY, rows, table())[120, 99:102], rgb(1)).any()


def test_numbers_of_people_who_overlap_are_all_to_be_seen(monkeypatch):
    """Where three boxes begin at one corner, and at the picture's edge."""
    monkeypatch.setattr(video._Layer, "box", lambda *_: None)  # what is left are the numbers
    picture = np.zeros((240, 320, 3), np.uint8)
    for left, top in ((100, 80), (0, 0), (300, 2)):
        people = table(*((1, k, left + k, top + k) for k in (3, 4, 5)))
        drawn = video.draw(picture, people, people[:0])
        for k, identity in enumerate((3, 4, 5)):
            alone = video.draw(picture, people[k : k + 1], people[:0])
            inked = [near(one, rgb(identity)).sum() for one in (alone, drawn)]
            assert inked[0] > 50 and inked[1] > 0.7 * inked[0], f"the number of {identity} is hidden"


def test_tags_do_not_overlap_and_the_front_one_stays():
    corners, sizes = [(50.0, 40.0), (52.0, 41.0), (51.0, 40.0), (50.0, 44.0)], [(12, 15)] * 4
    places = video._places(corners, sizes, (240, 320))
    assert places[-1] == (50, 44)
    rectangles = [(*place, *size) for place, size in zip(places, sizes, strict=True)]
    for k, one in enumerate(rectangles):
        assert not any(video._overlap(one, other) for other in rectangles[:k])
    assert video._places([], [], (240, 320)) == []
    assert video._places([(5.0, 5.0)], [(300, 400)], (240, 320)) == [(0, 0)]


def test_nothing_and_boxes_at_the_edge():
    assert np.array_equal(video.draw(GRAY, table(), table()), GRAY)
    edge = table((1, 7, -20, -30), (1, 8, 310, 200), (1, 9, 500, 500))
    assert (video.draw(GRAY, edge, table())[:20, :20] != 120).any()  # its tag is moved inside
    assert video.draw(GRAY[:4, :5], edge, edge).shape == (4, 5, 3)


def test_large_pictures_have_large_numbers():
    size = []
    for scale in (2, 6):
        now = table((1, 8, 100, 90))
        now[["x1", "y1", "x2", "y2"]] *= scale
        picture = GRAY.repeat(scale, 0).repeat(scale, 1)
        above = video.draw(picture, now, table())[: 88 * scale]
        size.append((above != 120).any(axis=(1, 2)).sum())
    assert size[1] > 2 * size[0]


# --- films --------------------------------------------------------------------------------------------------


def read(path):
    """The frames, RGB, and how many there are a second, by another reader than the writer."""
    film = cv2.VideoCapture(str(path))
    rate = film.get(cv2.CAP_PROP_FPS)
    if path.suffix == ".gif":
        rate = 1000 / Image.open(path).info["duration"]
    frames = []
    while (picture := film.read())[0]:
        frames.append(cv2.cvtColor(picture[1], cv2.COLOR_BGR2RGB))
    return frames, rate


WALK = table(*[(frame, 7, 10 * frame, 90) for frame in range(1, 13)])


@pytest.mark.parametrize(("name", "rate", "step", "error"), [("a.mp4", 20, 1, 4), ("a.gif", 10, 2, 4)])
def test_a_film_shows_what_draw_does(sequence, tmp_path, name, rate, step, error):
    video.write(tmp_path / "new" / name, sequence, WALK, range(3, 11))
    frames, measured = read(tmp_path / "new" / name)
    assert measured == pytest.approx(rate) and len(frames) == 8 / step
    for number, picture in zip(range(3, 11, step), frames, strict=True):
        past = WALK[WALK["frame"] < number]
        expected = video.draw(sequence.image(number), WALK[WALK["frame"] == number], past)
        other = video.draw(sequence.image(number), WALK[WALK["frame"] == number - 2], past[:0])
        off = np.abs(picture.astype(int) - expected).mean()
        assert off < error and off < np.abs(picture.astype(int) - other).mean()
    assert [file.name for file in (tmp_path / "new").iterdir()] == [name]


def test_a_gif_is_narrow_and_a_long_one_small(tmp_path):
    """60 frames at 25 Hz, of which every second is shown; only one box moves."""
    (tmp_path / "W" / "img1").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8)
    for frame in range(1, 61):
        Image.fromarray(noise).resize((960, 720)).convert("RGB").save(
            tmp_path / "W" / "img1" / f"{frame:06d}.jpg"
        )
    (tmp_path / "W" / "seqinfo.ini").write_text("[Sequence]\nframeRate=25\n")
    sequence = mot.Sequence.open(tmp_path / "W")
    walk = table(*[(frame, 3, 4 * frame, 300) for frame in range(1, 61)])
    for end in (2, 60):
        video.write(tmp_path / f"{end}.gif", sequence, walk, range(1, end + 1))
    frames, rate = read(tmp_path / "60.gif")
    assert len(frames) == 30 and rate == 12.5 and frames[0].shape == (360, 480, 3)
    one, all_ = ((tmp_path / f"{end}.gif").stat().st_size for end in (2, 60))
    assert all_ < 4 * one
    boxed = near(frames[-1], rgb(3), 12).nonzero()
    assert abs(boxed[1].max() - (59 * 4 + 40) / 2) <= 4  # halved like the picture


def test_switches_stay_marked_for_half_a_second(sequence, tmp_path):
    switches = pd.DataFrame({"frame": [3], "object": [1], "before": [4], "after": [7]})
    video.write(tmp_path / "a.gif", sequence, WALK[WALK["frame"] < 12], switches=switches)
    red = [near(picture, ALARM).sum() > 100 for picture in read(tmp_path / "a.gif")[0]]
    assert red == [False, True, True, True, True, True]  # frames 1, 3, ... 11; 12 frames are 0.6 s


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_one_frame_is_in_memory_at_a_time(sequence, tmp_path, monkeypatch, suffix):
    draw, drawn, alive = video.draw, [], []

    def watched(*arguments):
        alive.append(sum(picture() is not None for picture in drawn))
        picture = draw(*arguments)
        drawn.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(video, "draw", watched)
    video.write(tmp_path / f"a{suffix}", sequence, WALK)
    assert len(alive) == {".mp4": 12, ".gif": 6}[suffix] and max(alive) <= 1


def probe(path):
    """What a player is told about a film, before it decodes anything."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, stream.codec_context.pix_fmt, (stream.width, stream.height)


def test_an_mp4_is_what_phones_and_slides_play(sequence, tmp_path):
    """H.264 with colors at half the size, which takes even sides, and the index before the pictures."""
    file = tmp_path / "a.mp4"
    video.write(file, sequence, WALK)
    assert probe(file) == ("h264", "yuv420p", (320, 240))
    content = file.read_bytes()
    assert -1 < content.find(b"moov") < content.find(b"mdat")


def test_odd_sides_become_even_and_wide_pictures_narrower(tmp_path):
    for name, size in (("odd", (321, 241)), ("wide", (1500, 501))):
        (tmp_path / name / "img1").mkdir(parents=True)
        Image.new("RGB", size).save(tmp_path / name / "img1" / "000001.png")
        with pytest.warns(video.FrameRateWarning, match="25 frames per second are assumed"):
            video.write(tmp_path / f"{name}.mp4", mot.Sequence.open(tmp_path / name), table())
    assert probe(tmp_path / "odd.mp4")[2] == (320, 240) and probe(tmp_path / "wide.mp4")[2] == (1280, 428)


def test_a_given_frame_rate_goes_before_the_sequences(sequence, tmp_path):
    video.write(tmp_path / "a.mp4", sequence, WALK, frame_rate=10)
    frames, rate = read(tmp_path / "a.mp4")
    assert (len(frames), rate) == (12, 10)


# --- errors -------------------------------------------------------------------------------------------------


def test_other_formats_and_no_frames_are_refused(sequence, tmp_path):
    with pytest.raises(ValueError, match=r"a\.avi: a film ends in \.mp4 or \.gif"):
        video.write(tmp_path / "a.avi", sequence, WALK)
    with pytest.raises(ValueError, match="no frames"):
        video.write(tmp_path / "a.gif", sequence, WALK, range(3, 3))


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_film_is_complete_or_not_there(sequence, tmp_path, suffix):
    (sequence.path / "img1" / "000009.png").unlink()
    (tmp_path / "films").mkdir()
    with pytest.raises(FileNotFoundError, match="frame 9 is missing"):
        video.write(tmp_path / "films" / f"a{suffix}", sequence, WALK)
    assert not list((tmp_path / "films").iterdir())


def test_a_pyav_without_the_encoder(sequence, tmp_path, monkeypatch):
    monkeypatch.setattr(video_files, "_ENCODER", "libx999")
    with pytest.raises(OSError, match=r"^a\.mp4: this PyAV has no encoder libx999; a name"):
        video.write(tmp_path / "films" / "a.mp4", sequence, WALK)
    assert not list((tmp_path / "films").iterdir())


@pytest.fixture
def noise(tmp_path):
    """12 frames of 320 x 240 that no encoder makes small."""
    (tmp_path / "N" / "img1").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(1, 13):
        Image.fromarray(rng.integers(0, 255, (240, 320, 3)).astype(np.uint8)).save(
            tmp_path / "N" / "img1" / f"{frame:06d}.png"
        )
    (tmp_path / "N" / "seqinfo.ini").write_text("[Sequence]\nframeRate=10\nimExt=.png\n")
    return mot.Sequence.open(tmp_path / "N")


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("free", [20_000, 0])
def test_a_full_disk_leaves_the_film_that_was_there(sequence, noise, tmp_path, suffix, free):
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        file = disk / f"a{suffix}"
        video.write(file, sequence, WALK)
        good = file.read_bytes()
        left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        (disk / "other").write_bytes(bytes(left - free // 4096 * 4096))
        with pytest.raises(OSError) as caught:
            video.write(file, noise, WALK)
        assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: '{file}'"
        assert file.read_bytes() == good and len(read(file)[0]) == {".mp4": 12, ".gif": 6}[suffix]
        assert sorted(path.name for path in disk.iterdir()) == [file.name, "other"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_film_that_may_not_grow_leaves_the_one_that_was_there(sequence, noise, tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    video.write(file, sequence, WALK)
    good = file.read_bytes()
    with largest_file(1 << 14), pytest.raises(OSError) as caught:
        video.write(file, noise, WALK)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(file))
    assert file.read_bytes() == good
