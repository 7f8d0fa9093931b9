"""README's moving picture: ``python -m deepmot_lib.report.moving_picture SEQUENCE docs/tracks.webp``.

Tracks of the shipped Tracktor on the last quarter of a sequence of MOT17, which it was not trained on. They
are drawn on a plain ground, for MOTChallenge's images are no part of the repository; ``--images`` draws them
on the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ..columns import XYXY
from ..data import mot, video
from ..data.files import atomic
from ..data.video_files import Picture
from ..experiments import default_weights

_GROUND = (24, 29, 35)
_TRAIL = 2.0  # [s]
_PICTURES_A_SECOND = 10


def draw(
    sequence: mot.Sequence, tracks: pd.DataFrame, frames: range, width: int, images: bool
) -> list[Picture]:
    """Draw the tracks of some frames, about ten pictures a second.

    Args:
        sequence: The sequence.
        tracks: Its tracks, a table with ``columns.RESULT_COLUMNS``.
        frames: The frames to show.
        width: Width of the pictures [px].
        images: Whether to draw on the sequence's images rather than on a plain ground.

    Returns:
        The pictures, uint8 (height, width, 3) each.
    """
    rate = sequence.frame_rate or 25.0
    scale = width / sequence.image_size[1]
    size = (round(sequence.image_size[0] * scale), width)
    scaled = tracks.copy()
    scaled[XYXY] *= scale
    pictures = []
    for frame in frames[:: max(1, round(rate / _PICTURES_A_SECOND))]:
        ground = np.full((*size, 3), _GROUND, np.uint8)
        if images:
            ground[:] = cv2.resize(sequence.image(frame), size[::-1], interpolation=cv2.INTER_AREA)
        now = scaled[scaled["frame"] == frame]
        if not images:
            ground = _filled(ground, now)
        past = scaled[scaled["frame"].between(frame - round(_TRAIL * rate), frame - 1)]
        pictures.append(video.draw(ground, now, past))
    return pictures


def _filled(ground: Picture, now: pd.DataFrame) -> Picture:
    """Fill the boxes with their colors, faintly, those in front last."""
    now = now.sort_values("y2")
    for identity, box in zip(now["id"].tolist(), now[XYXY].to_numpy(float), strict=True):
        left, top, right, bottom = box.clip(0).round().astype(int).tolist()
        color = 255 * np.asarray(video.identity_color(identity), float)
        part = ground[top:bottom, left:right]
        part[:] = (0.65 * part + 0.35 * 0.6 * color).astype(np.uint8)
    return ground


def write(path: Path, pictures: list[Picture], quality: int) -> None:
    """Write an endless animated WebP.

    Args:
        path: The file.
        pictures: Its pictures, all of one size.
        quality: 0 to 100; 100 is without loss.
    """
    first, *others = map(Image.fromarray, pictures)
    with atomic(path) as temporary:
        first.save(
            temporary,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=1000 // _PICTURES_A_SECOND,
            loop=0,
            quality=quality,
            method=6,
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.report.moving_picture", description=__doc__)
    parser.add_argument("sequence", type=Path, help="a MOTChallenge sequence with images and detections")
    parser.add_argument("out", type=Path, help="the animated WebP to write")
    parser.add_argument("--seconds", type=float, default=7.0, help="how much to show (default: 7)")
    parser.add_argument("--width", type=int, default=720, help="[px] (default: 720)")
    parser.add_argument("--quality", type=int, default=80, help="0 to 100 (default: 80)")
    parser.add_argument("--images", action="store_true", help="draw on the sequence's images")
    options = parser.parse_args(arguments)
    sequence = mot.Sequence(options.sequence)
    networks = default_weights.pipeline(default_weights.choose("tracktor"), "cpu")
    last = mot.split(sequence)["test"]
    # Two seconds before the picture begins: trails, and tracks that have settled.
    rate = sequence.frame_rate or 25.0
    tracked = last[: round((options.seconds + _TRAIL) * rate)]
    tracks = networks.track(sequence, tracked, progress=True)
    shown = tracked[round(_TRAIL * rate) :]
    write(options.out, draw(sequence, tracks, shown, options.width, options.images), options.quality)
    print(
        f"{options.out}: {tracks['id'].nunique()} tracks, frames {shown[0]} to {shown[-1]} of {sequence.name}"
    )


if __name__ == "__main__":
    main()
