"""Films as sequences: frame by frame what was written, and what is said of films that are not sound."""

import shutil
import tracemalloc
import warnings

import av
import numpy as np
import pytest
from PIL import Image

from deepmot_lib.data import inputs, mot
from deepmot_lib.data.film import EndOfFilm, Film, FilmError, FilmWarning

from . import films


def number_of(image: np.ndarray) -> int:
    """The number that ``films.picture`` has painted."""
    return round((float(image[-10:, 5:-5].mean()) - 20) / 5)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx")]
)
def test_frame_k_is_the_kth_picture(tmp_path, name, codec):
    film = Film(films.plain(tmp_path / name, codec=codec))
    assert (film.name, film.image_size, film.frames) == ("a", films.SIZE, range(1, 13))
    assert film.frame_rate == 20 and film.consecutive() == film.frames
    for frame in (1, 2, 3, 7, 12, 4, 4):  # on, over some, back, again
        image = film.image(frame)
        assert image.dtype == np.uint8 and image.shape == (*films.SIZE, 3) and image.flags.c_contiguous
        assert number_of(image) == frame
    for frame in (0, 13):
        with pytest.raises(ValueError, match=rf"frame {frame} is not in 1\.\.12"):
            film.image(frame)
    with pytest.raises(ValueError, match="no consecutive frames"):
        film.consecutive(range(5, 14))
    assert film.consecutive(range(5, 13)) == range(5, 13)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_that_was_held_sideways_is_upright(tmp_path, degrees):
    file = films.plain(tmp_path / "a.mp4", 3)
    films.turn(file, degrees)
    film = Film(file)
    height, width = films.SIZE
    assert film.image_size == ((height, width) if degrees == 180 else (width, height))
    expected = np.rot90(films.picture(2), -degrees // 90)
    assert np.abs(film.image(2).astype(int) - expected).mean() < 6


def test_a_film_of_varying_rate_has_its_mean(tmp_path):
    times = [0, 1, 2, 10, 11, 12, 20, 30, 40]  # in twentieths of a second: 8 steps in 2 s
    film = Film(films.plain(tmp_path / "a.mp4", 9, times=times))
    assert film.length == 9 and film.frame_rate == pytest.approx(4)
    assert [number_of(film.image(frame)) for frame in film.frames] == list(film.frames)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    small, large = ([films.picture(k, size) for k in (1, 2, 3)] for size in (films.SIZE, (96, 128)))
    parts = [films.write(tmp_path / f"{k}.h264", part).read_bytes() for k, part in enumerate((small, large))]
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    film = Film(tmp_path / "a.h264")
    with pytest.warns(FilmWarning, match=r"a\.h264: from frame 4 on, some are of another size") as caught:
        images = [film.image(frame) for frame in film.frames]
    assert len(caught) == 1 and [image.shape for image in images] == [(*films.SIZE, 3)] * 6
    assert [number_of(image) for image in images] == [1, 2, 3, 1, 2, 3]


def test_a_film_that_was_cut_off_ends_where_it_ends(tmp_path):
    films.plain(tmp_path / "a.mp4", 40)
    films.cut(tmp_path / "a.mp4", 0.7)
    film, seen = Film(tmp_path / "a.mp4"), 0
    with pytest.warns(FilmWarning) as caught, pytest.raises(EndOfFilm):
        for frame in film.frames:
            seen = number_of(film.image(frame))
    assert 10 < seen < 40 and f"a.mp4: ends after frame {seen} of 40" in str(caught[-1].message)
    assert film.frames == range(1, seen + 1), "from now on it is that long"
    with warnings.catch_warnings(action="error"):
        assert number_of(film.image(seen)) == seen


def test_what_is_damaged_in_the_middle_is_passed_over(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (*films.SIZE, 3)).astype(np.uint8) for _ in range(40)]
    content = bytearray(films.write(tmp_path / "a.mp4", pictures, codec="mpeg4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9000] = bytes(9000)
    (tmp_path / "a.mp4").write_bytes(content)
    film, seen = Film(tmp_path / "a.mp4"), 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for frame in film.frames:
                film.image(frame)
                seen = frame
        except EndOfFilm:
            pass
    assert seen > 25 and all(issubclass(one.category, FilmWarning) for one in caught)


def _without_index(path):
    film = films.plain(path.with_suffix(".mov")).rename(path)  # the index is written last
    film.write_bytes(film.read_bytes()[: film.read_bytes().index(b"moov")])


def _sound(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", 8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no film" * 500), "not a film that FFmpeg can read"),
        (lambda path: path.write_bytes(b""), "not a film that FFmpeg can read"),
        (lambda path: _without_index(path), "cut off lacks its index"),
        (_sound, "there is no video in it"),
    ],
    ids=["junk", "empty", "no index", "sound only"],
)
def test_what_is_no_film_is_refused_by_name(tmp_path, make, message):
    make(tmp_path / "a.mp4")
    with pytest.raises(FilmError, match=rf"a\.mp4: .*{message}"):
        Film(tmp_path / "a.mp4")


def test_memory_does_not_grow_with_the_film(tmp_path):
    """The largest arrays of Python are those of a frame or two, however long the film is."""
    film = Film(films.plain(tmp_path / "a.mp4", 100))
    film.image(1)
    tracemalloc.start()
    for frame in film.frames:
        film.image(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * film.image(1).nbytes


# --- what a path names --------------------------------------------------------------------------------------


def test_film_pictures_and_sequence_are_told_apart(tmp_path):
    film = films.plain(tmp_path / "a.mp4", 2)
    (tmp_path / "pictures").mkdir()
    for number in (7, 8, 9):
        Image.fromarray(films.picture(number)).save(tmp_path / "pictures" / f"img_{number:03d}.png")
    shutil.copytree(tmp_path / "pictures", tmp_path / "S" / "img1")
    found = [inputs.open_input(path) for path in (film, tmp_path / "pictures", tmp_path / "S")]
    assert [inputs.kind_of(path) for path in (film, tmp_path / "pictures", tmp_path / "S")] == [
        "film",
        "pictures",
        "sequence",
    ]
    assert [one.name for one in found] == ["a", "pictures", "S"] and type(found[2]) is mot.Sequence
    pictures = found[1]
    assert pictures.length == 3 and pictures.image_size == films.SIZE and pictures.frame_rate is None
    assert [number_of(pictures.image(frame)) for frame in pictures.frames] == [7, 8, 9]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.mp4", "no such folder or film"),
        ("one.png", "a single picture"),
        ("notes", "neither a MOTChallenge sequence nor a folder of pictures"),
        ("gaps", "there is no picture 2"),
        ("names", "have no numbers"),
    ],
)
def test_what_cannot_be_tracked_is_named(tmp_path, name, message):
    for folder in ("notes", "gaps", "names"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing")
    image = Image.fromarray(films.picture(1))
    for file in ("one.png", "gaps/1.png", "gaps/3.png", "names/front.png"):
        image.save(tmp_path / file)
    with pytest.raises((ValueError, OSError), match=rf"{name}: .*{message}"):
        inputs.open_input(tmp_path / name)
