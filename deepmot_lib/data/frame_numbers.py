"""Which frames a sequence has, by their numbers, told by its pictures, boxes and seqinfo.ini together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .image_files import ImageFiles


class Numbering(NamedTuple):
    """The frames of a sequence, the frames that box files may name, and what is wrong with the pictures.

    A clip that has kept the ``seqinfo.ini`` of the whole has fewer frames than its files may name.
    """

    frames: range
    allowed: range
    problem: str = ""


def number_frames(images: ImageFiles, seq_length: int | None, box_frames: Callable[[], range]) -> Numbering:
    """Number the frames of a sequence.

    MOTChallenge's pictures carry the numbers of their frames. Where these start at 0, or the boxes are
    numbered from 1 and the pictures are not, frame k is the k-th picture.

    Args:
        images: the pictures.
        seq_length: what ``seqinfo.ini`` says, if anything.
        box_frames: from the first frame with a box to the last; called only where the pictures and
            ``seq_length`` do not settle it.

    Returns:
        The frames, empty where nothing tells them.
    """
    declared = range(1, (seq_length or 0) + 1)
    if declared and images.first == 1 and len(images.names) >= len(declared):
        return Numbering(declared, declared)
    boxes = box_frames()
    shown, problem = _shown(images, len(declared), boxes)
    frames = shown or _labeled(declared, boxes)
    if declared and (not boxes or boxes[-1] in declared):
        allowed = declared
    elif declared or shown or not boxes or boxes[0] > boxes[-1] // 2:
        allowed = frames
    else:  # a tracker may find somebody before the first box
        allowed = range(1, boxes.stop)
    return Numbering(frames, allowed, problem)


def _shown(images: ImageFiles, seq_length: int, boxes: range) -> tuple[range, str]:
    """The frames that the pictures show, or none and why."""
    count, first = len(images.names), images.first
    if not count:
        return range(0), images.problem
    numbers, order = range(first, first + count), range(1, count + 1)
    if first > 1 and boxes and boxes[0] in numbers and boxes[-1] in numbers:
        return numbers, ""
    told = f"the {count} pictures {images.names[0]} to {images.names[-1]} do not show"
    if seq_length and ((first != 1 and seq_length < count) or (first > 1 and seq_length > count)):
        return range(0), f"{told} the {seq_length} frames of seqinfo.ini"
    if boxes and boxes[-1] not in order:
        return range(0), f"{told} the frames {boxes[0]} to {boxes[-1]} of the boxes"
    return order, ""


def _labeled(declared: range, boxes: range) -> range:
    """The frames of a sequence without pictures."""
    if not (declared and boxes):
        return declared or boxes
    if boxes[-1] not in declared:  # a clip that was not renumbered, if it is short enough
        return range(boxes[0], boxes[0] + len(declared)) if len(boxes) <= len(declared) else declared
    # Nothing in the first half: a clip that has kept the seqinfo.ini of the whole.
    return boxes if boxes[0] > len(declared) // 2 else declared
