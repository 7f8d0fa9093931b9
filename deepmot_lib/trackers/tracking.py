"""Tracking of a sequence, frame by frame, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from ..boxes import by_frame, from_table
from ..columns import RESULT_COLUMNS
from ..data.image_files import to_tensor
from ..data.mot import MotFormatError, Sequence
from . import motion
from .management import Rules, Track, Tracks
from .tracker import Propagation, Tracker

#: The columns of results; ``mot.write_results`` takes them.
COLUMNS = RESULT_COLUMNS

#: An external ReID model: maps an image and boxes (K, 4) to embeddings (K, C).
Embed: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def track(
    tracker: Tracker,
    sequence: Sequence,
    rules: Rules,
    detector: Tracker | None = None,
    embed: Embed | None = None,
    frames: range | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Track a sequence from its public detections.

    Args:
        tracker: The network; set to evaluation mode.
        sequence: The sequence, with images and detections.
        rules: Thresholds of track management.
        detector: Scores the detections, and refines them if the rules ask for it; for Tracktor the tracker
            itself. Without one all detections have a score of 1.
        embed: External ReID model, instead of the tracker's own embeddings.
        frames: Consecutive frames, such as a part of ``mot.split``; by default all.
        progress: Whether to show a progress bar.

    Returns:
        A table with ``COLUMNS``, sorted by frame and id.

    Raises:
        MotFormatError: There are no detections, or an image is broken or of another size; names the file.
        FileNotFoundError: An image is missing.
        ValueError: Frames are not in the sequence.
    """
    rows = [
        (frame, track.id, *track.box.tolist(), track.score)
        for frame, tracks in stream(tracker, sequence, rules, detector, embed, frames, progress)
        for track in tracks
    ]
    table = pd.DataFrame(np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS)), columns=COLUMNS)
    return table.astype({"frame": np.int64, "id": np.int64}).sort_values(["frame", "id"], ignore_index=True)


@torch.no_grad()
def stream(
    tracker: Tracker,
    sequence: Sequence,
    rules: Rules,
    detector: Tracker | None = None,
    embed: Embed | None = None,
    frames: range | None = None,
    progress: bool = True,
) -> Iterator[tuple[int, list[Track]]]:
    """Track a sequence and yield each frame with its visible tracks; see :func:`track`."""
    frames = sequence.consecutive(frames)
    public = _public(sequence)
    for network in {tracker, detector, embed}:
        if isinstance(network, nn.Module):
            network.eval()
    device = next(tracker.parameters()).device
    tracks = Tracks(rules, sequence.image_size)
    before = None
    for frame in tqdm(frames, desc=f"{tracker.name}, {sequence.name}", unit="frame", disable=not progress):
        picture = sequence.image(frame)
        warp = None
        if rules.camera_motion:
            thumbnail = motion.thumbnail(picture)
            if before is not None:
                warp = motion.camera_motion(before, thumbnail, sequence.image_size)
            before = thumbnail
        image = to_tensor(picture).to(device)
        encoded = tracker.encode(image)
        tracks.move(warp)
        boxes = tracks.boxes.to(device)
        propagated = tracker.propagate(encoded, boxes, _memory(tracker, encoded, tracks.live))
        detected = Propagation(*(part.to(device) for part in public.get(frame, _nothing())))
        if detector is not None:
            theirs = encoded if detector is tracker else detector.encode(image)
            scored = detector.propagate(theirs, detected.boxes, detector.init_memory(theirs, detected.boxes))
            detected = scored if rules.regress_detections else scored._replace(boxes=detected.boxes)
        if embed is not None:
            propagated, detected = (
                found._replace(appearance=embed(image, found.boxes)) for found in (propagated, detected)
            )
        elif detector is not tracker:  # embeddings of two networks are not comparable
            propagated, detected = propagated._replace(appearance=None), detected._replace(appearance=None)
        visible = tracks.step(propagated, detected)
        boxes = torch.stack([track.box for track in visible]).to(device) if visible else boxes[:0]
        for track, memory in zip(visible, tracker.init_memory(encoded, boxes), strict=True):
            track.memory = memory
        yield frame, visible


def _nothing() -> tuple[Float[Tensor, "0 4"], Float[Tensor, "0"]]:
    """Return the boxes and scores of a frame without detections."""
    return torch.empty(0, 4), torch.empty(0)


def _public(sequence: Sequence) -> dict[int, tuple[Tensor, Tensor]]:
    """Return the public detections by frame, best first: boxes and scores, all 1.

    The scores in the files have a different scale for each detector, or are -1; only their order is used.
    """
    file = sequence.path / "det" / "det.txt"
    if not file.is_file():
        raise MotFormatError(file, None, "no such file, and tracks are born of public detections only")
    found = sequence.detections().sort_values("conf", ascending=False, kind="stable")
    return {frame: (from_table(rows), torch.ones(len(rows))) for frame, rows in by_frame(found).items()}


def _memory(tracker: Tracker, encoded: object, tracks: Iterable[Track]) -> Float[Tensor, "K ..."]:
    """Stack what the tracker's network keeps of the tracks, of which there may be none."""
    memories = [track.memory for track in tracks if track.memory is not None]
    if memories:
        return torch.stack(memories)
    return tracker.init_memory(encoded, torch.empty(0, 4, device=next(tracker.parameters()).device))
