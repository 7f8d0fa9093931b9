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

from ..boxes import from_table
from ..columns import RESULT_COLUMNS
from ..data.film import EndOfFilm
from ..data.image_sequences import ImageSequence
from ..data.image_tensors import to_tensor
from ..data.mot import Sequence
from . import motion
from .batches import in_one_batch, init_memories, propagate_all
from .management import Track, Tracks, stack_boxes
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
    return track_together([SequenceTracker(tracker, sequence, rules, detector, embed)], frames, progress)[0]


def track_together(
    trackers: list[SequenceTracker], frames: range | None = None, progress: bool = True
) -> list[pd.DataFrame]:
    """Track sequences of the same images, or one sequence by several rules, in one pass over the images.

    Args:
        trackers: One or more of the same networks.
        frames: As of :func:`track`.
        progress: As of :func:`track`.

    Returns:
        The table of each, as :func:`track`; equal to what it would be alone up to rounding.

    Raises:
        MotFormatError, FileNotFoundError, ValueError: As :func:`track`.
    """
    found: list[list[Row]] = [[] for _ in trackers]
    for frame, visible in stream_together(trackers, frames, progress):
        for one, tracks in zip(found, visible, strict=True):
            one += rows(frame, tracks)
    return [table(one) for one in found]


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
    trackers = [SequenceTracker(tracker, sequence, rules, detector, embed)]
    for frame, (tracks,) in stream_together(trackers, frames, progress):
        yield frame, tracks


def stream_together(
    trackers: list[SequenceTracker], frames: range | None = None, progress: bool = True
) -> Iterator[tuple[int, list[list[Track]]]]:
    """Track sequences of the same images and yield each frame with the visible tracks of each.

    See :func:`track_together`.
    """
    first, camera_motion = trackers[0], any(one.rules.camera_motion for one in trackers)
    for view in views(first.tracker, first.sequence, frames, camera_motion, progress):
        yield view.frame, _update(trackers, view)


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
    """Tracks one sequence: networks, rules and the tracks so far. Arguments as of :func:`track`."""

    def __init__(
        self,
        tracker: Tracker,
        sequence: ImageSequence,
        rules: Rules,
        detector: Tracker | None = None,
        embed: Embed | None = None,
    ) -> None:
        self.tracker, self.rules, self.detector, self.embed = tracker, rules, detector, embed
        self.sequence, self.tracks = sequence, Tracks(rules, sequence.image_size)
        self._public = _public(sequence)
        if self._public is None and not isinstance(detector, Tracktor):
            raise ValueError(f"{sequence.path}: no det/det.txt, and no Tracktor to find people instead")
        for network in {tracker, detector, embed}:
            if isinstance(network, nn.Module):
                network.eval()

    @property
    def is_given(self) -> bool:
        """Whether the sequence has public detections."""
        return self._public is not None

    @torch.no_grad()
    def regress(self, view: View) -> Propagation:
        """Regress and score the frame's public detections by the detector.

        Without a detector they stay, with a score of 1. Where there are no public ones, return the detector's
        own.
        """
        boxes = self.given(view)[0]
        if self.detector is None:
            return Propagation(boxes, torch.ones_like(boxes[:, 0]))
        theirs = view.encoded if self.detector is self.tracker else self.detector.encode(view.image)
        if not self.is_given:
            assert isinstance(self.detector, Tracktor)
            return self.detector.detect(theirs)
        return propagate_all(self.detector, theirs, [boxes], init_memories(self.detector, theirs, [boxes]))[0]

    @torch.no_grad()
    def propagate(self, view: View) -> Propagation:
        """Propagate the live tracks to a frame."""
        return propagate_all(self.tracker, view.encoded, [self.move(view)], [self.memory(view)])[0]

    def update(self, view: View, propagated: Propagation, regressed: Propagation) -> list[Track]:
        """Update the tracks by a frame; the results of :meth:`propagate` and :meth:`regress` are given.

        Returns:
            The visible tracks.
        """
        return _step([self], view, [propagated], [regressed])[0]

    def move(self, view: View) -> Float[Tensor, "K 4"]:
        """Move the live tracks to a frame by the motion models, and return where they are."""
        self.tracks.move(view.warp if self.rules.camera_motion else None)
        return self.tracks.boxes.to(view.image.device)

    def memory(self, view: View) -> Float[Tensor, "K ..."]:
        """Stack what the tracker's network keeps of the live tracks, of which there may be none."""
        memories = [track.memory for track in self.tracks.live if track.memory is not None]
        if memories:
            return torch.stack(memories)
        return init_memories(self.tracker, view.encoded, [torch.empty(0, 4, device=view.image.device)])[0]

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


@torch.no_grad()
def _update(trackers: list[SequenceTracker], view: View) -> list[list[Track]]:
    """Update trackers of the same networks by a frame, and return the visible tracks of each.

    The boxes of all of them pass each network in one batch: on a CPU a layer takes as long for ten as for
    fifty.
    """
    tracker, detector = trackers[0].tracker, trackers[0].detector
    starts, memories = [one.move(view) for one in trackers], [one.memory(view) for one in trackers]
    of_sequence = {one.sequence.path: one for one in trackers}
    given = {
        path: one.given(view)[0] for path, one in of_sequence.items() if one.is_given and detector is not None
    }
    regressed = {path: one.regress(view) for path, one in of_sequence.items() if path not in given}
    theirs, found = list(given.values()), list[Propagation]()
    if detector is tracker:
        kept = init_memories(tracker, view.encoded, theirs)
        found = propagate_all(tracker, view.encoded, starts + theirs, memories + kept)
        propagated, found = found[: len(trackers)], found[len(trackers) :]
    else:
        propagated = propagate_all(tracker, view.encoded, starts, memories)
        if detector is not None and theirs:
            encoded = detector.encode(view.image)
            found = propagate_all(detector, encoded, theirs, init_memories(detector, encoded, theirs))
    regressed |= zip(given, found, strict=True)
    return _step(trackers, view, propagated, [regressed[one.sequence.path] for one in trackers])


@torch.no_grad()
def _step(
    trackers: list[SequenceTracker], view: View, propagated: list[Propagation], regressed: list[Propagation]
) -> list[list[Track]]:
    """Update trackers by what they have propagated and regressed, and return the visible tracks of each."""
    first = trackers[0]
    tracker, embed = first.tracker, first.embed
    detected = [one.detections(view, each) for one, each in zip(trackers, regressed, strict=True)]
    if embed is not None:
        found = [*propagated, *detected]
        embeddings = in_one_batch(lambda boxes: embed(view.image, boxes), [one.boxes for one in found])
        found = [one._replace(appearance=each) for one, each in zip(found, embeddings, strict=True)]
        propagated, detected = found[: len(trackers)], found[len(trackers) :]
    elif first.detector is not tracker:  # embeddings of two networks are not comparable
        propagated, detected = (
            [one._replace(appearance=None) for one in found] for found in (propagated, detected)
        )
    visible = [one.tracks.step(*found) for one, *found in zip(trackers, propagated, detected, strict=True)]
    boxes = [stack_boxes([track.box for track in tracks]).to(view.image.device) for tracks in visible]
    for tracks, each in zip(visible, init_memories(tracker, view.encoded, boxes), strict=True):
        for track, memory in zip(tracks, each, strict=True):
            track.memory = memory
    return visible


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
    found = found.sort_values("frame", kind="stable")
    frames, counts = np.unique(found["frame"], return_counts=True)
    boxes = from_table(found).split(counts.tolist())
    scores = torch.tensor(found["conf"].to_numpy(), dtype=torch.float32).split(counts.tolist())
    return dict(zip(frames.tolist(), zip(boxes, scores, strict=True), strict=True))
