"""Films that PyAV writes for the tests, and ways to spoil them."""

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (48, 64)  # height, width
#: The display matrix of a picture that is to be turned by so many degrees clockwise, in 16.16 fixed point.
_MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A gray picture that tells its number from 1 by the brightness below a white stripe."""
    image = np.full((*size, 3), 20 + 5 * number % 200, np.uint8)
    image[: size[0] // 4] = 255
    return image


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    rate: int = 20,
    codec: str = "libx264",
    times: list[int] | None = None,
) -> Path:
    """Write a film; ``times`` are those of its frames, in units of 1 / rate."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as film:
        stream = film.add_stream(codec, rate, options={"crf": "10"} if codec == "libx264" else {})
        for number, image in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = (times or range(10**6))[number], Fraction(1, rate)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def plain(path: Path, frames: int = 12, **more) -> Path:
    return write(path, [picture(number) for number in range(1, frames + 1)], **more)


def turn(path: Path, degrees: int) -> None:
    """Let an MP4's metadata say that its pictures are to be turned clockwise, as phones do."""
    content = bytearray(path.read_bytes())
    a, b, c, d = _MATRICES[degrees]
    at = content.index(b"tkhd") + 44  # after version, times, id, duration, layer and volume
    content[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    """Keep the first part of the pictures of an MP4, whose index comes before them."""
    content = path.read_bytes()
    start = content.index(b"mdat")
    path.write_bytes(content[: start + int(share * (len(content) - start))])
