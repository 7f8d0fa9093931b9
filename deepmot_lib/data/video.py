"""Videos of tracking results: boxes with the color and number of their identity, and trails.

``draw`` annotates one frame, ``write`` a whole sequence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeAlias

import cv2
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import hsv_to_rgb
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageDraw, ImageFont
from tqdm import tqdm

from ..boxes import feet
from ..columns import XYXY
from .files import atomic
from .mot import Sequence

#: A uint8 image (height, width, 3), RGB.
Picture: TypeAlias = NDArray[np.uint8]
_Color: TypeAlias = tuple[int, int, int]

_TRAIL = 2.0  # [s] length of a trail
_MARK = 0.6  # [s] for which a video marks a switch
_FRAME_RATE = 25.0  # [Hz] of a sequence without a frame rate
_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")
_ALARM = (255, 32, 48)
_SHIFT = 4  # positions are in 1/16 px, so that boxes move smoothly


def identity_color(identity: int) -> tuple[float, float, float]:
    """Return the color of an identity, RGB in [0, 1]: bright, and distant for consecutive identities."""
    hue, value = (0.1 + identity * 0.618034) % 1, (1.0, 0.9)[identity % 2]
    red, green, blue = hsv_to_rgb((hue, 0.85, value)).tolist()
    return red, green, blue


# --- one frame ----------------------------------------------------------------------------------------------


def draw(picture: Picture, now: pd.DataFrame, past: pd.DataFrame, marks: Collection[int] = ()) -> Picture:
    """Draw the boxes of a frame with the color and number of their identity, and fading trails of their feet.

    Args:
        picture: The image, (height, width, 3); not changed.
        now: The frame's boxes: columns frame, id, x1, y1, x2, y2 [px].
        past: The boxes of the seconds before it, likewise.
        marks: Ids that have just switched (``after`` of ``switches.identity_switches``): they get a red ring
            and an exclamation mark.

    Returns:
        A new image of the same shape.
    """
    unit = max(1.0, picture.shape[0] / 540)  # [px] half a line width
    text = max(12, round(picture.shape[0] / 36))  # [px]
    now = now.sort_values("y2", kind="stable")  # the nearest person last, on top of those behind
    layer = _Layer((picture.shape[0], picture.shape[1]))
    for identity in sorted(set(past["id"]) & set(now["id"])):
        trail, here = past[past["id"] == identity], now[now["id"] == identity]
        walked = pd.concat([trail.sort_values("frame"), here])
        layer.trail(feet(walked[XYXY].to_numpy(float)), _rgb(identity), unit)
    boxes = list(zip(now["id"].tolist(), now[XYXY].to_numpy(float), strict=True))
    boxes.sort(key=lambda box: box[0] in marks)
    for identity, box in boxes:
        if identity in marks:
            layer.ring(box, unit)
        layer.box(box, _rgb(identity), unit)
    drawn = layer.over(picture)
    for identity, (x1, y1, _, _) in boxes:
        tag = _tag(f"{identity}", _rgb(identity), text, identity in marks)
        _paste(drawn, tag, x1 - unit, y1 + unit - tag.shape[0])
    return drawn


def _rgb(identity: int) -> _Color:
    """Return the color of an identity, RGB in 0..255."""
    red, green, blue = (round(255 * part) for part in identity_color(identity))
    return red, green, blue


class _Layer:
    """Translucent shapes over an image: RGBA with premultiplied alpha, for OpenCV's anti-aliasing."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Create a transparent layer of (height, width)."""
        self._rgba = np.zeros((*size, 4), np.uint8)

    def trail(self, points: NDArray[np.floating], color: _Color, unit: float) -> None:
        """Draw a line along points (K, 2), oldest first, old ones thin and faint."""
        places = _fixed(points)
        ages = np.linspace(0.15, 1, max(1, len(places) - 1)).tolist()
        for start, end, age in zip(places[:-1], places[1:], ages, strict=False):
            width = max(1, round(unit * (1 + 2 * age)))
            cv2.line(self._rgba, start, end, _ink(color, age), width, cv2.LINE_AA, _SHIFT)
        radius = round(unit * 3 * 2**_SHIFT)
        cv2.circle(self._rgba, places[-1], radius, _ink(color, 1), cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def box(self, box: NDArray[np.float64], color: _Color, unit: float) -> None:
        """Draw an outline with a dark margin, which contrasts with a bright background."""
        self._outline(box, _ink((0, 0, 0), 0.4), unit * 3.4)
        self._outline(box, _ink(color, 1), unit * 2)

    def ring(self, box: NDArray[np.float64], unit: float) -> None:
        """Draw a red ring with a white margin around a box."""
        grown = box + np.array([-4, -4, 4, 4]) * unit
        self._outline(grown, _ink((255, 255, 255), 1), unit * 7)
        self._outline(grown, _ink(_ALARM, 1), unit * 4)

    def _outline(self, box: NDArray[np.float64], ink: tuple[int, ...], width: float) -> None:
        """Draw a rectangle."""
        start, end = _fixed(box.reshape(2, 2))
        cv2.rectangle(self._rgba, start, end, ink, max(1, round(width)), cv2.LINE_AA, _SHIFT)

    def over(self, picture: Picture) -> Picture:
        """Return an image with the layer over it."""
        opacity = self._rgba[..., 3:].astype(np.uint16)
        return (self._rgba[..., :3] + (picture * (255 - opacity) + 127) // 255).clip(0, 255).astype(np.uint8)


def _ink(color: _Color, opacity: float) -> tuple[int, ...]:
    """Return RGBA with premultiplied alpha."""
    return tuple(round(part * opacity) for part in (*color, 255))


def _fixed(points: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Convert points (K, 2) to OpenCV's fixed-point coordinates."""
    return [(x, y) for x, y in np.rint(points * 2**_SHIFT).astype(int).tolist()]


@lru_cache(maxsize=4096)
def _tag(text: str, color: _Color, size: int, alarm: bool) -> NDArray[np.uint8]:
    """Draw a rounded label (height, width, 4), RGBA, with text ``size`` pixels high."""
    scale = 4  # supersampling
    text = f"{text} !" if alarm else text
    color = _ALARM if alarm else color
    font = ImageFont.truetype(_FONT, size * scale)
    left, top, right, bottom = map(round, font.getbbox(text))
    pad = size * scale // 4
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    image = Image.new("RGBA", (width, height), (*color, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, width - 1, height - 1), radius=pad, fill=color)
    dark = np.dot(color, (0.299, 0.587, 0.114)) > 128
    pen.text((pad - left, pad - top), text, font=font, fill=(0, 0, 0) if dark else (255, 255, 255))
    return np.asarray(image.resize((width // scale, height // scale), Image.Resampling.BOX))


def _paste(picture: Picture, tag: NDArray[np.uint8], left: float, top: float) -> None:
    """Paste a tag onto an image in place, shifted to lie inside of it."""
    tag = tag[: picture.shape[0], : picture.shape[1]]
    (height, width), (tall, wide) = picture.shape[:2], tag.shape[:2]
    y, x = (int(np.clip(round(v), 0, end)) for v, end in ((top, height - tall), (left, width - wide)))
    under, opacity = picture[y : y + tall, x : x + wide], tag[..., 3:] / 255
    under[:] = np.rint(under * (1 - opacity) + tag[..., :3] * opacity)


# --- a sequence ---------------------------------------------------------------------------------------------


def check(path: str | os.PathLike[str]) -> None:
    """Check the suffix of a video before it takes hours to make.

    Args:
        path: The video.

    Raises:
        ValueError: It ends in neither .mp4 nor .gif.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: a film ends in {' or '.join(_FORMATS)}")


def write(
    path: str | os.PathLike[str],
    sequence: Sequence,
    boxes: pd.DataFrame,
    frames: range | None = None,
    switches: pd.DataFrame | None = None,
) -> None:
    """Write a video of tracking results at the sequence's frame rate, as :func:`draw` shows each frame.

    A .mp4 is VP9, which browsers play, at most 960 px wide; a .gif is at most 480 px wide and has about ten
    frames per second. One frame is in memory at a time, and the file is written atomically.

    Args:
        path: The video, ending in .mp4 or .gif.
        sequence: The sequence, with its images.
        boxes: Tracks, a table with ``columns.RESULT_COLUMNS``.
        frames: Frames to show, by default all.
        switches: Identity switches to mark, as ``switches.identity_switches`` returns them.

    Raises:
        ValueError: Another suffix, or no frames.
        OSError: The disk is full, or OpenCV has no such encoder; an existing video is kept.
        MotFormatError: An image is broken or of another size.
        FileNotFoundError: An image is missing.
    """
    path = Path(path)
    check(path)
    frames = sequence.frames if frames is None else frames
    if not frames:
        raise ValueError(f"{path}: a film of no frames")
    rate = sequence.frame_rate or _FRAME_RATE
    opened, widest, most = _FORMATS[path.suffix.lower()]
    step = max(1, round(rate / most))
    scale = min(1.0, widest / sequence.width)
    size = round(sequence.width * scale), round(sequence.height * scale)
    shown = frames[::step]
    with atomic(path) as temporary:
        with opened(temporary, size, rate / step) as put:
            for frame in tqdm(shown, desc=path.name, unit="frame"):
                now, past = _around(boxes, frame, round(_TRAIL * rate), scale)
                marks = _marks(switches, frame, round(_MARK * rate))
                image = cv2.resize(sequence.image(frame), size, interpolation=cv2.INTER_AREA)
                put(draw(image.astype(np.uint8, copy=False), now, past, marks))
        # OpenCV raises nothing if a write fails.
        if (written := _number_of_frames(temporary)) != len(shown):
            raise OSError(f"{path}: the film has {written} of {len(shown)} frames; nothing was replaced")


def _number_of_frames(path: Path) -> int:
    """Count the frames that can be read from a video, 0 if it cannot be opened."""
    film, number = cv2.VideoCapture(str(path)), 0
    while film.grab():
        number += 1
    film.release()
    return number


def _around(boxes: pd.DataFrame, frame: int, before: int, scale: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the boxes of a frame and of ``before`` frames before it, in pixels of the scaled image."""
    near = boxes[boxes["frame"].between(frame - before, frame)].copy()
    near[XYXY] *= scale
    return near[near["frame"] == frame], near[near["frame"] < frame]


def _marks(switches: pd.DataFrame | None, frame: int, held: int) -> set[int]:
    """Return the ids that have switched in the last ``held`` frames."""
    if switches is None:
        return set()
    return set(switches.loc[switches["frame"].between(frame - held, frame), "after"])


#: An open video: a context manager that yields a function which appends an image.
_Opened: TypeAlias = AbstractContextManager[Callable[[Picture], None]]


@contextmanager
def _mp4(path: Path, size: tuple[int, int], rate: float) -> Iterator[Callable[[Picture], None]]:
    """Open a VP9 video of images of (width, height) at so many frames per second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"vp09"), rate, size)

    def put(picture: Picture) -> None:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        if not writer.isOpened():
            raise OSError(
                f"{path.name}: OpenCV writes no VP9 video here; a name that ends in .gif needs no encoder"
            )
        yield put
    finally:
        writer.release()


@contextmanager
def _gif(path: Path, size: tuple[int, int], rate: float) -> Iterator[Callable[[Picture], None]]:
    """Open a GIF at so many frames per second."""
    with path.open("wb") as file:
        gif = _Gif(file, rate)
        yield gif.put
        file.write(b";")


class _Gif:
    """A GIF written frame by frame; Pillow's ``save`` keeps all frames in memory.

    All frames share the colors of the first one and of the identities; pixels that change by less than an
    image's noise are not updated.
    """

    _NOISE = 12  # of 255
    _UNCHANGED = 255  # the transparent color

    def __init__(self, file: BinaryIO, rate: float) -> None:
        """Start a GIF at so many frames per second."""
        self._file, self._duration = file, round(1000 / rate)
        self._palette: Image.Image | None = None
        self._shown: Picture | None = None

    def put(self, picture: Picture) -> None:
        """Append an image."""
        image = Image.fromarray(picture)
        if self._palette is None:
            self._palette = self._colors(image)
        indexed = image.quantize(palette=self._palette, dither=Image.Dither.NONE)
        if self._shown is None:
            header, _ = GifImagePlugin.getheader(indexed.copy(), info={"loop": 0, "optimize": False})
            self._file.writelines(header)
            self._shown = picture.copy()
        else:
            changed = (np.abs(picture.astype(np.int16) - self._shown) > self._NOISE).any(axis=2)
            self._shown[changed] = picture[changed]
            indexed.paste(self._UNCHANGED, mask=Image.fromarray(~changed))
        self._file.writelines(
            GifImagePlugin.getdata(
                indexed, duration=self._duration, transparency=self._UNCHANGED, disposal=1, optimize=False
            )
        )

    @staticmethod
    def _colors(image: Image.Image) -> Image.Image:
        """Return a palette of 255 colors: of the marks, of 62 identities, and of the image."""
        drawn = [(255, 255, 255), _ALARM, *map(_rgb, range(62))]
        scene = (image.quantize(255 - len(drawn)).getpalette() or [])[: 3 * (255 - len(drawn))]
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for color in drawn for part in color] + scene)
        return palette


#: By suffix: the writer, the largest width [px], the largest frame rate [Hz].
_FORMATS: dict[str, tuple[Callable[[Path, tuple[int, int], float], _Opened], int, float]] = {
    ".mp4": (_mp4, 960, 60.0),
    ".gif": (_gif, 480, 10.0),
}
