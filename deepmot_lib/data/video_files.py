"""Video files, written frame by frame: MP4 with H.264, which browsers, slides and phones play, and GIF.

One frame is in memory at a time. This module imports no torch: a name can be checked at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

#: A uint8 image (height, width, 3), RGB.
Picture: TypeAlias = NDArray[np.uint8]
#: A color, RGB in 0..255.
Color: TypeAlias = tuple[int, int, int]
#: An open video: a context manager that yields a function which appends an image.
Opened: TypeAlias = AbstractContextManager[Callable[[Picture], None]]

_ENCODER: Final = "libx264"
_QUALITY = {"crf": "21", "preset": "veryfast"}  # hardly to be told from the original; about 1 MB per 10 s


class Format(NamedTuple):
    """How a kind of video is written.

    Attributes:
        open: Opens a file for images of (width, height), both even, at so many frames per second; the third
            argument are the colors that matter, which a format with few colors must keep.
        widest: The largest width [px].
        fastest: The largest frame rate [Hz].
    """

    open: Callable[[Path, tuple[int, int], float, list[Color]], Opened]
    widest: int
    fastest: float


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return how a video is written, by the suffix of its name.

    Raises:
        ValueError: It ends in neither .mp4 nor .gif.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"{path}: a film ends in {' or '.join(_FORMATS)}")
    return _FORMATS[suffix]


@contextmanager
def _mp4(
    path: Path, size: tuple[int, int], rate: float, colors: list[Color]
) -> Iterator[Callable[[Picture], None]]:
    """Open an H.264 video whose index is at its front, so that it plays while it is loaded."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        try:
            stream = container.add_stream(_ENCODER, Fraction(rate).limit_denominator(1001), options=_QUALITY)
        except av.codec.codec.UnknownCodecError as error:
            message = f"this PyAV has no encoder {_ENCODER}; a name that ends in .gif needs none"
            raise OSError(f"{path.name}: {message}") from error
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"  # what all players know

        def put(picture: Picture) -> None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))

        yield put
        container.mux(stream.encode())


@contextmanager
def _gif(
    path: Path, size: tuple[int, int], rate: float, colors: list[Color]
) -> Iterator[Callable[[Picture], None]]:
    """Open a GIF at so many frames per second."""
    with path.open("wb") as file:
        gif = _Gif(file, rate, colors)
        yield gif.put
        file.write(b";")


class _Gif:
    """A GIF written frame by frame; Pillow's ``save`` keeps all frames in memory.

    All frames share ``colors`` and those of the first one; pixels that change by less than an
    image's noise are not updated.
    """

    _NOISE = 12  # of 255
    _UNCHANGED = 255  # the transparent color

    def __init__(self, file: BinaryIO, rate: float, colors: list[Color]) -> None:
        """Start a GIF at so many frames per second."""
        self._kept = colors
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

    def _colors(self, image: Image.Image) -> Image.Image:
        """Return a palette of 255 colors: those to be kept, and the image's."""
        scene = (image.quantize(255 - len(self._kept)).getpalette() or [])[: 3 * (255 - len(self._kept))]
        palette = Image.new("P", (1, 1))
        palette.putpalette([part for color in self._kept for part in color] + scene)
        return palette


_FORMATS = {".mp4": Format(_mp4, 1280, 60.0), ".gif": Format(_gif, 480, 10.0)}
