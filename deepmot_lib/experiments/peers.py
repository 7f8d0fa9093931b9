"""SORT, ByteTrack and OC-SORT on the same public detections: what association alone, without a look at the
images, reaches.

Not written anew: they are those of the package ``trackers`` (Roboflow, Apache 2.0; the extra ``peers``), at
its default settings. SORT: Bewley et al., 2016; ByteTrack: Zhang et al., 2022; OC-SORT: Cao et al., 2023.
"""

from __future__ import annotations

import time
import warnings
from types import ModuleType

import numpy as np
import pandas as pd

from ..boxes import RESULT_COLUMNS, XYXY
from ..data.mot import Sequence

#: Name -> the package's class.
_CLASSES = {"sort": "SORTTracker", "bytetrack": "ByteTrackTracker", "ocsort": "OCSORTTracker"}
NAMES = tuple(_CLASSES)


class PeersError(RuntimeError):
    """Peers that cannot be had; the message says what to do."""


def track(name: str, sequence: Sequence, frames: range | None = None) -> pd.DataFrame:
    """The tracks of one of ``NAMES``: a table with ``boxes.RESULT_COLUMNS``, sorted by frame and id.

    A peer gets each frame's public detections with their scores as ``det.txt`` has them, but 1 for -1, which
    says that none is known; its boxes are detections, and ``conf`` is their score. Its thresholds are meant
    for scores in [0, 1]: others are passed on with a UserWarning. ``frames`` (default: all) is a range of
    consecutive frames, such as a part of ``mot.split``.

    ``attrs["fps"]`` of the table is frames per second of tracking alone, detections read and package imported
    before; no image is read. A tracker of ours reads and sees the images as well: say so where both stand.

    Raises ValueError for an unknown name and for frames that are not in the sequence, PeersError where the
    package is not installed, FileNotFoundError or MotFormatError where detections are missing or broken.
    """
    if name not in NAMES:
        raise ValueError(f"unknown peer {name!r}: choose one of {', '.join(NAMES)}")
    frames = sequence.consecutive(frames)
    trackers, supervision = _packages()
    tracker = getattr(trackers, _CLASSES[name])()
    found = sequence.detections()
    found["conf"] = found["conf"].where(found["conf"] != -1, 1.0)
    if not found["conf"].between(0, 1).all():
        span = f"{found['conf'].min():g} to {found['conf'].max():g}"
        warnings.warn(f"{sequence.name}: scores of {span}, where {name} expects 0 to 1", stacklevel=2)
    public = {frame: rows[[*XYXY, "conf"]].to_numpy() for frame, rows in found.groupby("frame")}
    public = [public.get(frame, np.empty((0, 5))) for frame in frames]
    start = time.perf_counter()
    tracked = [
        tracker.update(supervision.Detections(xyxy=boxes[:, :4], confidence=boxes[:, 4])) for boxes in public
    ]
    seconds = time.perf_counter() - start
    rows = [np.empty((0, len(RESULT_COLUMNS)))]
    for frame, result in zip(frames, tracked, strict=True):
        sure = result[result.tracker_id != -1]  # -1: of no track, or of one that has yet to be confirmed
        if len(sure):
            rows.append(np.column_stack([[frame] * len(sure), sure.tracker_id, sure.xyxy, sure.confidence]))
    table = pd.DataFrame(np.concatenate(rows), columns=RESULT_COLUMNS).astype(
        {"frame": np.int64, "id": np.int64}
    )
    table["id"] += 1  # the package counts from 0
    table = table.sort_values(["frame", "id"], ignore_index=True)
    table.attrs["fps"] = len(frames) / seconds if frames else float("nan")
    return table


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        import supervision
        import trackers
    except ImportError as error:
        raise PeersError(
            f"the peers come from the package trackers, which cannot be imported here ({error}): "
            f"pip install trackers (the extra 'peers')"
        ) from error
    return trackers, supervision
