"""Several sets of boxes in one frame, such as tracks by several detectors, pass a network in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .tracker import Propagation, Tracker


def propagate_all(
    network: Tracker, encoded: Any, starts: list[Tensor], memories: list[Tensor]
) -> list[Propagation]:
    """Propagate several sets of boxes to a frame in one batch."""
    if not starts:
        return []
    found, sizes = network.propagate(encoded, torch.cat(starts), torch.cat(memories)), list(map(len, starts))
    appearance = [None] * len(starts) if found.appearance is None else found.appearance.split(sizes)
    return list(map(Propagation, found.boxes.split(sizes), found.scores.split(sizes), appearance))


def init_memories(network: Tracker, encoded: Any, boxes: list[Tensor]) -> list[Tensor]:
    """Return what a network keeps of several sets of boxes; (K, 0) where it needs nothing."""
    if not network.has_memory:
        return [one.new_empty(len(one), 0) for one in boxes]
    return in_one_batch(lambda all_boxes: network.init_memory(encoded, all_boxes), boxes)


def in_one_batch(function: Callable[[Tensor], Tensor], boxes: list[Tensor]) -> list[Tensor]:
    """Return what a function makes of several sets of boxes, row by row, in one batch."""
    return list(function(torch.cat(boxes)).split(list(map(len, boxes)))) if boxes else []
