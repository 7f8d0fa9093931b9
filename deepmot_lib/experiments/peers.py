"""SORT, ByteTrack and OC-SORT on the same detections: association without appearance.

They are those of the package ``trackers`` (Roboflow, Apache 2.0; the extra ``peers``) with its default
settings. SORT: Bewley et al., 2016; ByteTrack: Zhang et al., 2022; OC-SORT: Cao et al., 2023.
"""

from __future__ import annotations

import time
import warnings
from types import ModuleType

import numpy as np
import pandas as pd

from ..boxes import by_frame
from ..columns import RESULT_COLUMNS, XYXY
from ..data.mot import Sequence

#: The package's class by name.
_CLASSES = {"sort": "SORTTracker", "bytetrack": "ByteTrackTracker", "ocsort": "OCSORTTracker"}
NAMES = tuple(_CLASSES)


class PeersError(RuntimeError):
    """The package of the peers is not installed; the message says how to install it."""


def track(
    name: str, sequence: Sequence, frames: range | None = None, detections: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Track the detections of a sequence by a peer.

    A peer's tracks consist of detections, and ``conf`` is their score. A score of -1 in ``det.txt``, unknown,
    is passed as 1. The peers' thresholds are for scores in [0, 1]; others are passed with a UserWarning.

    Args:
        name: One of ``NAMES``.
        sequence: The sequence; its images are not read.
        frames: Consecutive frames, such as a part of ``mot.split``; by default all.
        detections: The columns frame, x1, y1, x2, y2 [px] and conf; by default the public detections.

    Returns:
        A table with ``columns.RESULT_COLUMNS``, sorted by frame and id. Its ``attrs["fps"]`` are frames per
        second
        of the tracking alone, unlike those of our trackers, which include reading and encoding the images.

    Raises:
        ValueError: The name is unknown, or frames are not in the sequence.
        PeersError: The package is not installed.
        FileNotFoundError: The sequence has no detections.
        MotFormatError: The detections cannot be read.
    """
    if name not in NAMES:
        raise ValueError(f"unknown peer {name!r}: choose one of {', '.join(NAMES)}")
    frames = sequence.consecutive(frames)
    trackers, supervision = _packages()
    tracker = getattr(trackers, _CLASSES[name])()
    found = sequence.detections() if detections is None else detections.copy()
    found["conf"] = found["conf"].where(found["conf"] != -1, 1.0)
    if not found["conf"].between(0, 1).all():
        span = f"{found['conf'].min():g} to {found['conf'].max():g}"
        warnings.warn(f"{sequence.name}: scores of {span}, where {name} expects 0 to 1", stacklevel=2)
    boxes_of = {frame: rows[[*XYXY, "conf"]].to_numpy() for frame, rows in by_frame(found).items()}
    given = [boxes_of.get(frame, np.empty((0, 5))) for frame in frames]
    start = time.perf_counter()
    tracked = [
        tracker.update(supervision.Detections(xyxy=boxes[:, :4], confidence=boxes[:, 4])) for boxes in given
    ]
    seconds = time.perf_counter() - start
    rows = [np.empty((0, len(RESULT_COLUMNS)))]
    for frame, result in zip(frames, tracked, strict=True):
        kept = result[result.tracker_id != -1]  # -1: of no track, or of one that is not confirmed yet
        if len(kept):
            rows.append(np.column_stack([[frame] * len(kept), kept.tracker_id, kept.xyxy, kept.confidence]))
    table = pd.DataFrame(np.concatenate(rows), columns=RESULT_COLUMNS).astype(
        {"frame": np.int64, "id": np.int64}
    )
    table["id"] += 1  # the package counts from 0
    table = table.sort_values(["frame", "id"], ignore_index=True)
    table.attrs["fps"] = len(frames) / seconds if frames else float("nan")
    return table


def _packages() -> tuple[ModuleType, ModuleType]:
    """Import the packages ``trackers`` and ``supervision``."""
    try:
        import supervision
        import trackers
    except ImportError as error:
        raise PeersError(
            f"the peers come from the package trackers, which cannot be imported here ({error}): "
            f"pip install trackers (the extra 'peers')"
        ) from error
    return trackers, supervision
