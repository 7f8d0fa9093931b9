"""A tracking result as moving pictures in which identity can be read: color, number and trail.

``draw`` annotates one frame, for a strip of pictures; ``write`` does so for a whole sequence, into a film.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import cv2
import matplotlib
import numpy as np
import pandas as pd
from PIL import GifImagePlugin, Image, ImageDraw, ImageFont
from tqdm import tqdm

from ..boxes import XYXY, feet
from ..report.sequence_plots import identity_color
from .files import atomic
from .mot import Sequence

_TRAIL = 2.0  # [s] how long a trail is
_MARK = 0.6  # [s] how long a film marks a switch: one frame alone would be missed
_FRAME_RATE = 25.0  # [Hz] of a sequence that does not tell its own
_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")
_ALARM = (255, 32, 48)
_SHIFT = 4  # OpenCV takes positions in 1/16 px: boxes that move slowly do not jump


# --- one frame ----------------------------------------------------------------------------------------------


def draw(
    picture: np.ndarray, now: pd.DataFrame, past: pd.DataFrame, marks: Collection[int] = ()
) -> np.ndarray:
    """The picture with each box of ``now`` in its identity's color (``plots.identity_color``), its number on
    a tag, and a fading trail of its foot points, the centres of the bottom edges, from ``past``.

    ``picture`` is uint8 RGB (height, width, 3) and stays as it is; a new one of that shape returns. ``now``,
    the boxes of one frame, and ``past``, those of the two seconds before it, need the columns frame, id, x1,
    y1, x2, y2 in the picture's pixels. ``marks`` are the ids that have just switched (the column ``after`` of
    ``switches.identity_switches``): these get a red ring and an exclamation mark.
    """
    unit = max(1.0, picture.shape[0] / 540)  # [px] half a line width
    text = max(12, round(picture.shape[0] / 36))  # [px]
    now = now.sort_values("y2", kind="stable")  # the nearest person last, on top of those behind
    layer = _Layer(picture.shape[:2])
    for identity, trail in past[past["id"].isin(now["id"])].groupby("id"):
        here = now[now["id"] == identity]
        walked = pd.concat([trail.sort_values("frame"), here])
        layer.trail(feet(walked[XYXY].to_numpy(float)), _rgb(int(str(identity))), unit)
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


def _rgb(identity: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in identity_color(identity))
    return red, green, blue


class _Layer:
    """Translucent shapes to lay over a picture: RGBA, the colors multiplied by the opacity already, so that
    OpenCV's anti-aliasing mixes the edges of both alike."""

    def __init__(self, size: tuple[int, int]):
        self._rgba = np.zeros((*size, 4), np.uint8)

    def trail(self, points: np.ndarray, color: tuple[int, int, int], unit: float) -> None:
        """A line along (K, 2) points, oldest first: old ones thin and faint."""
        places = _fixed(points)
        ages = np.linspace(0.15, 1, max(1, len(places) - 1))
        for start, end, age in zip(places[:-1], places[1:], ages, strict=False):
            width = max(1, round(unit * (1 + 2 * age)))
            cv2.line(self._rgba, start, end, _ink(color, age), width, cv2.LINE_AA, _SHIFT)
        radius = round(unit * 3 * 2**_SHIFT)
        cv2.circle(self._rgba, places[-1], radius, _ink(color, 1), cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def box(self, box: np.ndarray, color: tuple[int, int, int], unit: float) -> None:
        """An outline of the color on a dark one, which sets it off from a bright background."""
        self._outline(box, _ink((0, 0, 0), 0.4), unit * 3.4)
        self._outline(box, _ink(color, 1), unit * 2)

    def ring(self, box: np.ndarray, unit: float) -> None:
        """A red ring around a box, on white."""
        grown = box + np.array([-4, -4, 4, 4]) * unit
        self._outline(grown, _ink((255, 255, 255), 1), unit * 7)
        self._outline(grown, _ink(_ALARM, 1), unit * 4)

    def _outline(self, box: np.ndarray, ink: tuple[int, ...], width: float) -> None:
        first, second = _fixed(box.reshape(2, 2))
        cv2.rectangle(self._rgba, first, second, ink, max(1, round(width)), cv2.LINE_AA, _SHIFT)

    def over(self, picture: np.ndarray) -> np.ndarray:
        """A new picture, with the layer on it."""
        opacity = self._rgba[..., 3:].astype(np.uint16)
        return (self._rgba[..., :3] + (picture * (255 - opacity) + 127) // 255).clip(0, 255).astype(np.uint8)


def _ink(color: tuple[int, int, int], opacity: float) -> tuple[int, ...]:
    return tuple(round(part * opacity) for part in (*color, 255))


def _fixed(points: np.ndarray) -> list[tuple[int, int]]:
    return [(x, y) for x, y in np.rint(points * 2**_SHIFT).astype(int).tolist()]


@lru_cache(maxsize=4096)
def _tag(text: str, color: tuple[int, int, int], size: int, alarm: bool) -> np.ndarray:
    """A rounded label, uint8 RGBA, the text ``size`` px high; drawn four times as large, for smooth edges."""
    scale = 4
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


def _paste(picture: np.ndarray, tag: np.ndarray, left: float, top: float) -> None:
    """Lays a tag onto a picture, in place, moved inside where it would stick out."""
    tag = tag[: picture.shape[0], : picture.shape[1]]
    (height, width), (tall, wide) = picture.shape[:2], tag.shape[:2]
    y, x = (int(np.clip(round(v), 0, end)) for v, end in ((top, height - tall), (left, width - wide)))
    under, opacity = picture[y : y + tall, x : x + wide], tag[..., 3:] / 255
    under[:] = np.rint(under * (1 - opacity) + tag[..., :3] * opacity)


# --- a sequence ---------------------------------------------------------------------------------------------


def check(path: str | os.PathLike) -> None:
    """ValueError where a film cannot have such a name, before hours have gone into it."""
    if Path(path).suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: a film ends in {' or '.join(_FORMATS)}")


def write(
    path: str | os.PathLike,
    sequence: Sequence,
    boxes: pd.DataFrame,
    frames: range | None = None,
    switches: pd.DataFrame | None = None,
) -> None:
    """Writes a result as a film, as ``draw`` shows it, to a path that ends in .mp4 or .gif.

    ``boxes`` is a table of ``trackers.tracking.COLUMNS``; ``frames`` (default: all) are shown at the
    sequence's frame rate. ``switches``, a table of ``switches.identity_switches``, are marked for half a
    second. A video is at most 960 px wide, in VP9, which browsers play; a GIF is at most 480 px wide and has
    about ten frames a second. Whatever the length, one frame is in memory at a time, and the file appears
    when it is complete.

    Raises ValueError for another suffix and for no frames; OSError where the disk is full or this machine's
    OpenCV writes no such video, and a film that was there stays; what ``Sequence.image`` raises for an image
    that is missing or broken.
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
    size = tuple(round(side * scale) for side in (sequence.width, sequence.height))
    shown = frames[::step]
    with atomic(path) as temporary:
        with opened(temporary, size, rate / step) as put:
            for frame in tqdm(shown, desc=path.name, unit="frame"):
                now, past = _around(boxes, frame, round(_TRAIL * rate), scale)
                marks = _marks(switches, frame, round(_MARK * rate))
                image = cv2.resize(sequence.image(frame), size, interpolation=cv2.INTER_AREA)
                put(draw(image, now, past, marks))
        # OpenCV raises nothing where a write fails.
        if (written := _number_of_frames(temporary)) != len(shown):
            raise OSError(f"{path}: the film has {written} of {len(shown)} frames; nothing was replaced")


def _number_of_frames(path: Path) -> int:
    """The number of frames that can be read from a film, 0 where it cannot be opened."""
    film, number = cv2.VideoCapture(str(path)), 0
    while film.grab():
        number += 1
    film.release()
    return number


def _around(boxes: pd.DataFrame, frame: int, before: int, scale: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The boxes of a frame, and those of so many frames before it, in pixels of the scaled picture."""
    near = boxes[boxes["frame"].between(frame - before, frame)].copy()
    near[XYXY] *= scale
    return near[near["frame"] == frame], near[near["frame"] < frame]


def _marks(switches: pd.DataFrame | None, frame: int, held: int) -> set[int]:
    if switches is None:
        return set()
    return set(switches.loc[switches["frame"].between(frame - held, frame), "after"])


#: Opens a file to write pictures of (width, height) at so many a second; yields what takes one RGB picture.
_Opened = AbstractContextManager[Callable[[np.ndarray], None]]


@contextmanager
def _mp4(path: Path, size: tuple[int, int], rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"vp09"), rate, size)
    try:
        if not writer.isOpened():
            raise OSError(
                f"{path.name}: OpenCV writes no VP9 video here; a name that ends in .gif needs no encoder"
            )

        def put(picture: np.ndarray) -> None:
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

        yield put
    finally:
        writer.release()


@contextmanager
def _gif(path: Path, size: tuple[int, int], rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    with path.open("wb") as file:
        gif = _Gif(file, rate)
        yield gif.put
        file.write(b";")


class _Gif:
    """Writes frame by frame, which Pillow's ``save`` does not: it keeps all of them until the end.

    All frames share the first one's colors and those of the identities; only what changed by more than an
    image's noise is written again.
    """

    _NOISE = 12  # of 255
    _UNCHANGED = 255  # the transparent color

    def __init__(self, file: BinaryIO, rate: float) -> None:
        self._file, self._duration = file, round(1000 / rate)
        self._palette: Image.Image | None = None
        self._shown: np.ndarray | None = None

    def put(self, picture: np.ndarray) -> None:
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
        """255 colors: of the marks, of 62 identities, between which the others' lie, and of the picture."""
        drawn = [(255, 255, 255), _ALARM, *map(_rgb, range(62))]
        colors = 255 - len(drawn)
        scene = (image.quantize(colors).getpalette() or [])[: 3 * colors]
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for color in drawn for part in color] + scene)
        return palette


_FORMATS: dict[
    str, tuple[Callable[..., _Opened], int, float]
] = {  # writer, widest [px], most frames a second
    ".mp4": (_mp4, 960, 60.0),
    ".gif": (_gif, 480, 10.0),
}
