"""Tracking of a sequence, frame by frame, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..boxes import by_frame, from_table
from ..columns import RESULT_COLUMNS
from ..data.film import EndOfFilm
from ..data.image_sequences import ImageSequence
from ..data.image_tensors import to_tensor
from ..data.mot import Sequence
from . import motion
from .management import Track, Tracks
from .rules import Rules
from .tracker import Propagation, Tracker
from .tracktor import Tracktor

#: The columns of results; ``mot.write_results`` takes them.
COLUMNS = RESULT_COLUMNS

#: An external ReID model: maps an image and boxes (K, 4) to embeddings (K, C).
Embed: TypeAlias = Callable[[Tensor, Tensor], Tensor]
#: A row of results, in the order of ``COLUMNS``.
Row: TypeAlias = tuple[float, ...]


def track(
    tracker: Tracker,
    sequence: ImageSequence,
    rules: Rules,
    detector: Tracker | None = None,
    embed: Embed | None = None,
    frames: range | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Track a sequence from its public detections, or from those of Tracktor's detector where it has none.

    A film that ends early is tracked until there.

    Args:
        tracker: The network; set to evaluation mode.
        sequence: The sequence, with images.
        rules: Thresholds of track management.
        detector: Scores public detections, and refines them if the rules ask for it; for Tracktor the tracker
            itself. Without one all detections have a score of 1.
        embed: External ReID model, instead of the tracker's own embeddings.
        frames: Consecutive frames, such as a part of ``mot.split``; by default all.
        progress: Whether to show a progress bar.

    Returns:
        A table with ``COLUMNS``, sorted by frame and id.

    Raises:
        MotFormatError: An image is broken or of another size; names the file.
        FileNotFoundError: An image is missing.
        ValueError: Frames are not in the sequence, or it has no public detections and there is no Tracktor.
    """
    tracked = stream(tracker, sequence, rules, detector, embed, frames, progress)
    return table(row for frame, tracks in tracked for row in rows(frame, tracks))


def rows(frame: int, tracks: Iterable[Track]) -> list[Row]:
    """Return the rows of a frame for :func:`table`."""
    return [(frame, track.id, *track.box.tolist(), track.score) for track in tracks]


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return a table with ``COLUMNS``, sorted by frame and id, of such rows."""
    values = np.array(list(rows), dtype=np.float64).reshape(-1, len(COLUMNS))
    found = pd.DataFrame(values, columns=COLUMNS).astype({"frame": np.int64, "id": np.int64})
    return found.sort_values(["frame", "id"], ignore_index=True)


def stream(
    tracker: Tracker,
    sequence: ImageSequence,
    rules: Rules,
    detector: Tracker | None = None,
    embed: Embed | None = None,
    frames: range | None = None,
    progress: bool = True,
) -> Iterator[tuple[int, list[Track]]]:
    """Track a sequence and yield each frame with its visible tracks; see :func:`track`."""
    one = SequenceTracker(tracker, sequence, rules, detector, embed)
    for view in views(tracker, sequence, frames, rules.camera_motion, progress):
        yield view.frame, one.update(view, one.propagate(view), one.regress(view))


class View(NamedTuple):
    """A frame as a tracker's network has encoded it.

    Attributes:
        frame: Its number.
        image: ``(3, height, width)`` RGB in [0, 1].
        encoded: What the network makes of it.
        warp: ``(2, 3)`` the camera's motion since the frame before; None for a static camera or the first
            frame.
    """

    frame: int
    image: Float[Tensor, "3 height width"]
    encoded: Any
    warp: NDArray[np.float64] | None


@torch.no_grad()
def views(
    tracker: Tracker,
    sequence: ImageSequence,
    frames: range | None = None,
    camera_motion: bool = True,
    progress: bool = True,
) -> Iterator[View]:
    """Encode consecutive frames of a sequence (by default all), one at a time.

    Raises:
        MotFormatError, FileNotFoundError, ValueError: As :func:`track`.
    """
    frames = sequence.consecutive(frames)
    tracker.eval()
    device = next(tracker.parameters()).device
    before = None
    for frame in tqdm(frames, desc=f"{tracker.name}, {sequence.name}", unit="frame", disable=not progress):
        try:
            picture = sequence.image(frame)
        except EndOfFilm:
            return
        warp = None
        if camera_motion:
            thumbnail = motion.thumbnail(picture)
            if before is not None:
                warp = motion.camera_motion(before, thumbnail, sequence.image_size)
            before = thumbnail
        image = to_tensor(picture).to(device)
        yield View(frame, image, tracker.encode(image), warp)


def detections(
    detector: Tracker, sequence: ImageSequence, rules: Rules, frames: range | None = None
) -> pd.DataFrame:
    """Return the detections of a sequence with the boxes and scores that the rules ask for.

    Args:
        detector: Regresses and scores the public detections, or finds people where there are none.
        sequence: The sequence, with images.
        rules: Where boxes and scores come from.
        frames: Consecutive frames; by default all.

    Returns:
        A table with ``COLUMNS``, the id -1.
    """
    one, found = SequenceTracker(detector, sequence, rules, detector), []
    for view in views(detector, sequence, frames, camera_motion=False, progress=False):
        boxes, scores, _ = one.detections(view, one.regress(view))
        found += [
            (view.frame, -1, *box, score) for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
    return table(found)


class SequenceTracker:
    """Tracks one sequence: networks, rules and the tracks so far.

    Several may share the views of the same images, as when rules are compared. Arguments as of
    :func:`track`. Each frame is propagated to, then updated by.
    """

    def __init__(
        self,
        tracker: Tracker,
        sequence: ImageSequence,
        rules: Rules,
        detector: Tracker | None = None,
        embed: Embed | None = None,
    ) -> None:
        self.tracker, self.rules, self.detector, self.embed = tracker, rules, detector, embed
        self.tracks = Tracks(rules, sequence.image_size)
        self._public = _public(sequence)
        if self._public is None and not isinstance(detector, Tracktor):
            raise ValueError(f"{sequence.path}: no det/det.txt, and no Tracktor to find people instead")
        for network in {tracker, detector, embed}:
            if isinstance(network, nn.Module):
                network.eval()

    @torch.no_grad()
    def regress(self, view: View) -> Propagation:
        """Regress and score the frame's public detections by the detector; without one they stay, with a
        score of 1. Where there are no public ones, return the detector's own."""
        boxes = self.given(view)[0]
        if self.detector is None:
            return Propagation(boxes, torch.ones_like(boxes[:, 0]))
        theirs = view.encoded if self.detector is self.tracker else self.detector.encode(view.image)
        if self._public is None:
            assert isinstance(self.detector, Tracktor)
            return self.detector.detect(theirs)
        return self.detector.propagate(theirs, boxes, self.detector.init_memory(theirs, boxes))

    @torch.no_grad()
    def propagate(self, view: View) -> Propagation:
        """Propagate the live tracks to a frame."""
        boxes = self.move(view)
        return self.tracker.propagate(view.encoded, boxes, self._memory(view.encoded))

    def move(self, view: View) -> Float[Tensor, "K 4"]:
        """Move the live tracks to a frame by the motion models, and return where they are."""
        self.tracks.move(view.warp if self.rules.camera_motion else None)
        return self.tracks.boxes.to(view.image.device)

    @torch.no_grad()
    def update(self, view: View, propagated: Propagation, regressed: Propagation) -> list[Track]:
        """Update the tracks by a frame; the results of :meth:`propagate` and :meth:`regress` are given.

        Returns:
            The visible tracks.
        """
        detected = self.detections(view, regressed)
        if self.embed is not None:
            propagated, detected = (
                found._replace(appearance=self.embed(view.image, found.boxes))
                for found in (propagated, detected)
            )
        elif self.detector is not self.tracker:  # embeddings of two networks are not comparable
            propagated, detected = propagated._replace(appearance=None), detected._replace(appearance=None)
        visible = self.tracks.step(propagated, detected)
        boxes = torch.stack([track.box for track in visible]) if visible else torch.empty(0, 4)
        memories = self.tracker.init_memory(view.encoded, boxes.to(view.image.device))
        for track, memory in zip(visible, memories, strict=True):
            track.memory = memory
        return visible

    def given(self, view: View) -> tuple[Float[Tensor, "M 4"], Float[Tensor, " M"]]:
        """Return the public boxes and scores of a frame, if any."""
        boxes, scores = (self._public or {}).get(view.frame, (torch.empty(0, 4), torch.empty(0)))
        return boxes.to(view.image.device), scores.to(view.image.device)

    def detections(self, view: View, regressed: Propagation) -> Propagation:
        """Return the detections with the boxes and scores that the rules ask for."""
        if self._public is None:
            return regressed
        boxes, scores = self.given(view)
        scores = torch.where(scores.isnan(), regressed.scores, scores)
        return regressed._replace(
            boxes=_chosen(self.rules.detection_box, public=boxes, regressed=regressed.boxes),
            scores=_chosen(self.rules.detection_score, public=scores, network=regressed.scores),
        )

    def _memory(self, encoded: object) -> Float[Tensor, "K ..."]:
        """Stack what the tracker's network keeps of the live tracks, of which there may be none."""
        memories = [track.memory for track in self.tracks.live if track.memory is not None]
        if memories:
            return torch.stack(memories)
        device = next(self.tracker.parameters()).device
        return self.tracker.init_memory(encoded, torch.empty(0, 4, device=device))


def _chosen(choice: str, **sources: Tensor) -> Tensor:
    """Return one of two sources, or their mean."""
    first, second = sources.values()
    return (first + second) / 2 if choice == "mean" else sources[choice]


def has_public_detections(sequence: ImageSequence) -> bool:
    """Return whether detections come with a sequence; where none do, the detector finds people itself."""
    return isinstance(sequence, Sequence) and (sequence.path / "det" / "det.txt").is_file()


def _public(sequence: ImageSequence) -> dict[int, tuple[Tensor, Tensor]] | None:
    """Return the public detections by frame, best first: boxes and scores; None where there is no file.

    The scores are NaN where they have no known scale: if one in the file is not in [0, 1], such as the -1 of
    unknown ones. Their order is used all the same.
    """
    if not isinstance(sequence, Sequence) or not has_public_detections(sequence):
        return None
    found = sequence.detections().sort_values("conf", ascending=False, kind="stable")
    if not found["conf"].between(0, 1).all():
        found["conf"] = np.nan
    return {
        frame: (from_table(rows), torch.tensor(rows["conf"].to_numpy(), dtype=torch.float32))
        for frame, rows in by_frame(found).items()
    }
