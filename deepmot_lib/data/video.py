"""Videos of tracking results: boxes with the color and number of their identity, and trails.

``draw`` annotates one frame, ``write`` a whole sequence.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import hsv_to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from ..boxes import feet
from ..columns import XYXY
from .files import atomic
from .image_sequences import ImageSequence
from .video_files import Color, Picture, format_of

_TRAIL = 2.0  # [s] length of a trail
_MARK = 0.6  # [s] for which a video marks a switch
_FRAME_RATE = 25.0  # [Hz] that is assumed of a sequence without a frame rate
_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")
_ALARM = (255, 32, 48)
_IDENTITIES = 62  # whose colors a GIF keeps
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
    tags = [_tag(f"{identity}", _rgb(identity), text, identity in marks) for identity, _ in boxes]
    corners = [(box[0] - unit, box[1] + unit - len(tag)) for tag, (_, box) in zip(tags, boxes, strict=True)]
    for tag, place in zip(
        tags, _places(corners, [tag.shape[:2] for tag in tags], drawn.shape[:2]), strict=True
    ):
        _paste(drawn, tag, *place)
    return drawn


def _rgb(identity: int) -> Color:
    """Return the color of an identity, RGB in 0..255."""
    red, green, blue = (round(255 * part) for part in identity_color(identity))
    return red, green, blue


class _Layer:
    """Translucent shapes over an image: RGBA with premultiplied alpha, for OpenCV's anti-aliasing."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Create a transparent layer of (height, width)."""
        self._rgba = np.zeros((*size, 4), np.uint8)

    def trail(self, points: NDArray[np.floating], color: Color, unit: float) -> None:
        """Draw a line along points (K, 2), oldest first, old ones thin and faint."""
        places = _fixed(points)
        ages = np.linspace(0.15, 1, max(1, len(places) - 1)).tolist()
        for start, end, age in zip(places[:-1], places[1:], ages, strict=False):
            width = max(1, round(unit * (1 + 2 * age)))
            cv2.line(self._rgba, start, end, _ink(color, age), width, cv2.LINE_AA, _SHIFT)
        radius = round(unit * 3 * 2**_SHIFT)
        cv2.circle(self._rgba, places[-1], radius, _ink(color, 1), cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def box(self, box: NDArray[np.float64], color: Color, unit: float) -> None:
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


def _ink(color: Color, opacity: float) -> tuple[int, ...]:
    """Return RGBA with premultiplied alpha."""
    return tuple(round(part * opacity) for part in (*color, 255))


def _fixed(points: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Convert points (K, 2) to OpenCV's fixed-point coordinates."""
    return [(x, y) for x, y in np.rint(points * 2**_SHIFT).astype(int).tolist()]


@lru_cache(maxsize=4096)
def _tag(text: str, color: Color, size: int, alarm: bool) -> NDArray[np.uint8]:
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


def _places(
    corners: Sequence[tuple[float, float]], sizes: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Place tags so that none hides another, as far as there is room: those in front stay where they are.

    Args:
        corners: (left, top) [px] where each should be, the one in front last.
        sizes: (height, width) [px] of each.
        size: (height, width) [px] of the picture.

    Returns:
        (left, top) of each, in the picture.
    """
    taken: list[tuple[int, int, int, int]] = []
    for (left, top), (tall, wide) in zip(reversed(corners), reversed(sizes), strict=True):
        x, y = (
            int(np.clip(round(v), 0, max(0, end)))
            for v, end in ((left, size[1] - wide), (top, size[0] - tall))
        )
        steps = [(0, -1), (0, -2), (1, 0), (-1, 0), (0, 1), (0, -3), (1, -1), (-1, -1)]
        tried = [(x, y), *((x + right * wide, y + down * tall) for right, down in steps)]
        inside = [
            (a, b) for a, b in tried if 0 <= a <= max(0, size[1] - wide) and 0 <= b <= max(0, size[0] - tall)
        ]
        x, y = min(inside, key=lambda at: sum(_overlap((*at, tall, wide), other) for other in taken))
        taken.append((x, y, tall, wide))
    return [(x, y) for x, y, _, _ in reversed(taken)]


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> int:
    """Return the area [px] that two tags (left, top, height, width) share."""
    across = min(one[0] + one[3], other[0] + other[3]) - max(one[0], other[0])
    down = min(one[1] + one[2], other[1] + other[2]) - max(one[1], other[1])
    return max(0, across) * max(0, down)


def _paste(picture: Picture, tag: NDArray[np.uint8], left: float, top: float) -> None:
    """Paste a tag onto an image in place, shifted to lie inside of it."""
    tag = tag[: picture.shape[0], : picture.shape[1]]
    (height, width), (tall, wide) = picture.shape[:2], tag.shape[:2]
    y, x = (int(np.clip(round(v), 0, end)) for v, end in ((top, height - tall), (left, width - wide)))
    under, opacity = picture[y : y + tall, x : x + wide], tag[..., 3:] / 255
    under[:] = np.rint(under * (1 - opacity) + tag[..., :3] * opacity)


# --- a sequence ---------------------------------------------------------------------------------------------


class FrameRateWarning(UserWarning):
    """A frame rate is not known, and one is assumed."""


def write(
    path: str | os.PathLike[str],
    sequence: ImageSequence,
    boxes: pd.DataFrame,
    frames: range | None = None,
    switches: pd.DataFrame | None = None,
    frame_rate: float | None = None,
) -> None:
    """Write a video of tracking results, as :func:`draw` shows each frame.

    A .mp4 is H.264, at most 1280 px wide; a .gif is at most 480 px wide and has about ten frames per second.
    One frame is in memory at a time, and the file is written atomically.

    Args:
        path: The video, ending in .mp4 or .gif.
        sequence: The sequence, with its images.
        boxes: Tracks, a table with ``columns.RESULT_COLUMNS``.
        frames: Frames to show, by default all.
        switches: Identity switches to mark, as ``switches.identity_switches`` returns them.
        frame_rate: Frames per second, by default the sequence's.

    Warns:
        FrameRateWarning: The sequence does not tell its frame rate, and none is given.

    Raises:
        ValueError: Another suffix, or no frames.
        OSError: The disk is full, or there is no such encoder; an existing video is kept.
        MotFormatError: An image is broken or of another size.
        FileNotFoundError: An image is missing.
    """
    path = Path(path)
    format_ = format_of(path)
    frames = sequence.frames if frames is None else frames
    if not frames:
        raise ValueError(f"{path}: a film of no frames")
    rate = frame_rate or sequence.frame_rate or _assumed_rate(sequence)
    step = max(1, round(rate / format_.fastest))
    height, width = sequence.image_size
    scale = min(1.0, format_.widest / width)
    size = _even(width * scale), _even(height * scale)
    colors = [(255, 255, 255), _ALARM, *map(_rgb, range(_IDENTITIES))]
    with atomic(path) as temporary, format_.open(temporary, size, rate / step, colors) as put:
        for frame in tqdm(frames[::step], desc=path.name, unit="frame"):
            now, past = _around(boxes, frame, round(_TRAIL * rate), scale)
            marks = _marks(switches, frame, round(_MARK * rate))
            image = cv2.resize(sequence.image(frame), size, interpolation=cv2.INTER_AREA)
            put(draw(image.astype(np.uint8, copy=False), now, past, marks))


def _assumed_rate(sequence: ImageSequence) -> float:
    message = f"{sequence.name}: its frame rate is not known: {_FRAME_RATE:g} frames per second are assumed"
    warnings.warn(message, FrameRateWarning, stacklevel=3)
    return _FRAME_RATE


def _even(length: float) -> int:
    """Round a side [px] to an even number, as H.264 stores colors at half the size."""
    return max(2, 2 * round(length / 2))


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
