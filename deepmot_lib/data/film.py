"""Films: video files as sequences of frames, decoded one at a time by FFmpeg (the package PyAV)."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

_INDEX_AT_END = (".mp4", ".mov", ".m4v")
_RATE_TOLERANCE = 0.02  # times may be rounded


class FilmError(ValueError):
    """A file that is no film, or one that cannot be decoded; the message names it."""


class FilmWarning(UserWarning):
    """A film that is damaged or changes its size; the message names it and the frame."""


class EndOfFilm(EOFError):
    """A frame was asked for that lies behind the last one that can be decoded."""


class Film:
    """A video file, its frames upright and numbered from 1.

    Frames are decoded in their order, one at a time; going back starts anew. Those of another size than the
    first are scaled to it. What cannot be decoded is passed over. That a film was cut off is noticed
    where the header counts its frames: in MP4, MOV and AVI.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        FilmError: FFmpeg cannot read it, or it has no video or no frame.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self._length, self._announced, self._rate = self._count()
        self._passed_over = 0  # packets that could not be decoded
        self._warned: set[str] = set()
        first = next(self._decode(), None)
        if first is None:
            raise FilmError(f"{path}: a film without a frame that can be decoded")
        height, width = first.height, first.width
        self.image_size = (width, height) if first.rotation % 180 else (height, width)
        self._decoder: Iterator[av.VideoFrame] = iter(())
        self._last = math.inf  # the number of the frame that the decoder gave last

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def frames(self) -> range:
        """The numbers of the frames, from 1; fewer once the end has turned out to come earlier."""
        return range(1, self._length + 1)

    @property
    def length(self) -> int:
        """The number of frames."""
        return self._length

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, the mean where it varies; None where it is unknown."""
        return self._rate

    def consecutive(self, frames: range | None = None) -> range:
        """Check that frames are consecutive ones of the film; by default all.

        Raises:
            ValueError: They are not.
        """
        if frames is None:
            return self.frames
        if frames.step != 1 or (frames and not (frames[0] in self.frames and frames[-1] in self.frames)):
            raise ValueError(f"{self.name}: {frames} are no consecutive frames of 1..{self._length}")
        return frames

    def image(self, frame: int) -> NDArray[np.uint8]:
        """Decode a frame.

        Args:
            frame: One of ``frames``.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            ValueError: The film has no such frame.
            EndOfFilm: It should have, but ends earlier; from now on ``frames`` end there.

        Warns:
            FilmWarning: The film ends earlier than it should, or a part of it is damaged or of another size.
        """
        if frame not in self.frames:
            raise ValueError(f"{self.name}: frame {frame} is not in 1..{self._length}")
        if frame <= self._last:
            self._decoder, self._last, self._passed_over = self._decode(), 0, 0
        decoded = None
        while self._last < frame:
            decoded = next(self._decoder, None)
            if decoded is None:
                raise self._end(int(self._last))
            self._last += 1
        assert decoded is not None
        return self._upright(decoded, frame)

    def _end(self, last: int) -> EndOfFilm:
        """Shorten the film to what could be decoded."""
        self._length, self._last = last, math.inf
        message = f"ends after frame {last} of {self._announced}"
        if last + self._passed_over < self._announced:
            self._warn("end", message)
        return EndOfFilm(f"{self.path}: {message}")

    def _warn(self, kind: str, message: str) -> None:
        """Warn of each kind of defect once, at the first frame that has it."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{self.path}: {message}", FilmWarning, stacklevel=4)

    def _upright(self, decoded: av.VideoFrame, number: int) -> NDArray[np.uint8]:
        """Convert to RGB, turn as the film's metadata says, and scale to the size of the first frame."""
        height, width = self.image_size[::-1] if decoded.rotation % 180 else self.image_size
        if (decoded.height, decoded.width) != (height, width):
            self._warn("size", f"from frame {number} on, some are of another size, and scaled to the first")
        picture = decoded.reformat(width, height, "rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, decoded.rotation // 90)).astype(np.uint8, copy=False)

    def _count(self) -> tuple[int, int, float | None]:
        """Count the frames without decoding them: those to show, all that are announced, how many a second.

        The packets tell, for headers may be wrong: Matroska's announce none, those of a file that was cut off
        too many, and where the rate varies theirs is not the mean.
        """
        try:
            with av.open(str(self.path)) as container:
                stream = _video(container, self.path)
                packets, times = 0, []
                try:
                    for packet in container.demux(stream):
                        packets += packet.size > 0
                        if packet.size > 0 and not packet.is_discard:
                            times.append(packet.pts)
                except av.FFmpegError:
                    pass  # cut off: what came before counts
                # An edit list may hide frames that the header counts; 0 where it counts none.
                announced = len(times) + stream.frames - packets if stream.frames else 0
                return len(times), announced, _rate(stream, times)
        except av.FFmpegError as error:
            message = f"{self.path}: not a film that FFmpeg can read ({error.strerror})"
            if self.path.suffix.lower() in _INDEX_AT_END:
                message += "; a recording that was cut off lacks its index"
            raise FilmError(message) from error

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that can be decoded, in the order of their display."""
        number = 0
        with av.open(str(self.path)) as container:
            stream = _video(container, self.path)
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            while True:
                try:
                    number += 1
                    decoded = next(packets).decode()
                except StopIteration:
                    return
                except av.InvalidDataError:
                    self._warn("damage", f"damaged near frame {number}; what cannot be decoded is left out")
                    self._passed_over += 1
                    continue
                yield from decoded


def _video(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first stream of moving pictures: music files carry their cover as a video."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise FilmError(f"{path}: there is no video in it")


def _rate(stream: av.VideoStream, times: list[int | None]) -> float | None:
    """Return the mean number of frames per second: the declared one, unless the times tell otherwise."""
    declared = stream.average_rate or stream.guessed_rate
    known = [time for time in times if time is not None]
    if len(known) > 1 and stream.time_base and max(known) > min(known):
        measured = float((len(known) - 1) / ((max(known) - min(known)) * stream.time_base))
        if not declared or abs(measured / declared - 1) > _RATE_TOLERANCE:
            return measured
    return float(declared) if declared else None
