"""The embedded data: street scenes rendered from a seed, in MOTChallenge layout, free of any license.

People walk alone and in pairs, stop, stand and talk, occlude each other and pass behind kiosks and trees.
Boxes are amodal (the whole person, visible or not). Visibility is measured: a person's visible pixels over
those of the unoccluded silhouette, so that occluders and the image's border both lower it, as in MOT17. Every
third sequence has a moving camera.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from ...columns import XYXY
from .. import mot
from ..files import temporary_folder
from .crowd import FRAME_RATE
from .detectors import DETECTORS, detect, match_detections
from .stage import Stage

__all__ = ["DETECTORS", "match_detections", "write_sequences"]

_MANIFEST = "embedded.json"


def write_sequences(
    root: str | os.PathLike[str],
    sequences: int,
    frames: int,
    image_size: tuple[int, int],
    seed: int = 0,
    density: float = 1.0,
    all_move: bool = False,
) -> list[mot.Sequence]:
    """Render sequences to ``<root>/train/EMB-01-DPM``, ``-FRCNN``, ``-SDP``, ``EMB-02-...``.

    The folder is written atomically; if it exists, it is reused for equal arguments and replaced otherwise.

    Args:
        root: The folder to write to.
        sequences: Number of different sequences, each written with the detections of all ``DETECTORS``.
        frames: Number of frames of each sequence, at 10 Hz.
        image_size: (height, width) in pixels, at least 64 each.
        seed: Seed of all random numbers; the same arguments give the same files.
        density: Number of people in view, relative to the usual one of 9 to 15.
        all_move: Whether every camera moves, not every third one alone.

    Returns:
        All sequences, sorted by name.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: ``<root>/train`` holds data that this function has not written.
    """
    height, width = image_size
    if sequences < 1 or frames < 1 or height < 64 or width < 64:
        raise ValueError(
            f"cannot render {sequences} sequences of {frames} frames of {height} x {width} pixels: "
            "at least one of each, and 64 pixels a side"
        )
    arguments = {"sequences": sequences, "frames": frames, "image_size": [height, width], "seed": seed}
    arguments |= {"density": density, "all_move": all_move, "renderer": _fingerprint()}
    train = Path(root) / "train"
    if train.exists() and not (train / _MANIFEST).is_file():
        raise FileExistsError(f"{train} exists and holds no embedded data: choose another folder")
    if not _is_complete(train, arguments):
        with temporary_folder(train) as temporary:
            part = temporary / "train"
            for number in range(1, sequences + 1):
                stage = Stage.build(number, frames, (height, width), seed, density, all_move)
                _write_sequence(part, number, stage, frames, seed)
            (part / _MANIFEST).write_text(json.dumps(arguments, indent=1) + "\n")
            _swap(part, train, temporary / "old", arguments)
    return mot.find_sequences(train)


def _fingerprint() -> str:
    """Hash the code that renders."""
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(source).hexdigest()[:16]


def _is_complete(train: Path, arguments: dict[str, Any]) -> bool:
    """Return whether the folder holds all that these arguments render."""
    try:
        same = json.loads((train / _MANIFEST).read_text()) == arguments
    except (OSError, ValueError):
        return False
    folders = [path for path in train.iterdir() if path.is_dir()]
    return (
        same
        and len(folders) == arguments["sequences"] * len(DETECTORS)
        and all(len(list((path / "img1").glob("*.jpg"))) == arguments["frames"] for path in folders)
    )


def _swap(part: Path, train: Path, old: Path, arguments: dict[str, Any]) -> None:
    """Replace the old folder by the new one; keep an equal one that another process has written first."""
    with contextlib.suppress(FileNotFoundError):
        if not _is_complete(train, arguments):
            os.replace(train, old)
    try:
        os.replace(part, train)
    except OSError:
        if not _is_complete(train, arguments):
            raise


def _write_sequence(train: Path, number: int, stage: Stage, frames: int, seed: int) -> None:
    """Render one sequence to the folders of all detectors; images are hard links where the disk has them."""
    folders = [train / f"EMB-{number:02d}-{detector.name}" for detector in DETECTORS]
    for folder in folders:
        (folder / "img1").mkdir(parents=True)
    people: list[tuple[float, ...]] = []
    for frame in range(1, frames + 1):
        picture, rows = stage.render(frame)
        people += rows
        image = folders[0] / "img1" / f"{frame:06d}.jpg"
        # OpenCV would not tell why it could not write a file.
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        image.write_bytes(encoded.tobytes())
        for folder in folders[1:]:
            try:
                os.link(image, folder / "img1" / image.name)
            except OSError:
                shutil.copy2(image, folder / "img1" / image.name)
    columns = ["frame", "id", *XYXY, "visibility", "v1", "w1", "v2", "w2"]
    table = pd.DataFrame(people, columns=columns)
    # Identities count from 1 in the order of appearance.
    table["id"] = pd.factorize(table["id"])[0] + 1
    for folder, detector in zip(folders, DETECTORS, strict=True):
        rng = np.random.default_rng([seed, number, 3, DETECTORS.index(detector)])
        found = detect(table, detector, frames, stage.size, stage.ghost_box, rng)
        mot.write_ground_truth(folder / "gt" / "gt.txt", table)
        mot.write_results(folder / "det" / "det.txt", found)
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate={FRAME_RATE}\nseqLength={frames}\n"
            f"imWidth={stage.size[1]}\nimHeight={stage.size[0]}\nimExt=.jpg\n"
        )
