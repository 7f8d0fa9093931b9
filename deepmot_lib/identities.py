"""Who is who from frame to frame.

Identities of a matrix's rows and columns, and the matches that a switch is counted against (B_-1^TP of
Eq. 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Int, Real
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

#: Identities as a caller has them.
Ids: TypeAlias = Tensor | Sequence[int] | NDArray[np.integer]


class FrameIds(NamedTuple):
    """The identities of a frame's matrices: N integers for the rows, M for the columns, none twice.

    Example:
        >>> FrameIds(tracks=[7, 4], objects=[1, 2, 3]).tracks
        [7, 4]
    """

    tracks: Ids
    objects: Ids


class MatchState(NamedTuple):
    """What a frame hands to the next.

    Attributes:
        matches: ``(N, M)`` 0/1, its matches B^TP.
        track_ids: ``(N,)`` the ids of their rows.
        object_ids: ``(M,)`` the ids of their columns.
    """

    matches: Tensor
    track_ids: Tensor
    object_ids: Tensor


def align_matches(
    previous: Real[Tensor, "P Q"],
    previous_track_ids: Int[Tensor, "P"],
    previous_object_ids: Int[Tensor, "Q"],
    current: Real[Tensor, "N M"],
    track_ids: Int[Tensor, "N"],
    object_ids: Int[Tensor, "M"],
) -> Real[Tensor, "N M"]:
    """Lay the previous frame's matches over this frame's tracks and objects: B_-1^TP of Eq. 6.

    Entries of tracks and objects that both frames have are the previous frame's. Newcomers get their row or
    column from ``current``, so that none of their matches counts as a switch (Sec. 4.2). A newcomer is

    - a track that the previous frame did not have;
    - an object that had no match there, whether it was not in the picture or was missed. An all-zero column
      instead would make a switch of every recovered miss, and gamma = 2 would charge more for it than the FN
      and FP that it saves.

    An object whose former track is gone keeps its empty column: if another old track takes it over, that is
    a switch.

    Args:
        previous: ``(P, Q)`` 0/1 matches of the previous frame.
        previous_track_ids: ``(P,)`` identities of its rows.
        previous_object_ids: ``(Q,)`` identities of its columns.
        current: ``(N, M)`` 0/1 matches of this frame.
        track_ids: ``(N,)`` identities of its rows.
        object_ids: ``(M,)`` identities of its columns.

    Returns:
        ``(N, M)`` 0/1, of the dtype of ``current``.

    Example:
        Track 1 had object 10; now track 2, which was there, has it, and track 3 is new:

        >>> before = torch.tensor([[1.0], [0]]), torch.tensor([1, 2]), torch.tensor([10])
        >>> current = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
        >>> align_matches(*before, current, torch.tensor([1, 2, 3]), torch.tensor([10, 20]))
        tensor([[1., 0.],
                [0., 0.],
                [0., 1.]])
    """
    rows, columns = _positions(track_ids, previous_track_ids), _positions(object_ids, previous_object_ids)
    # A line of zeros at the end is what those without a position point to.
    padded = pad(previous.to(current.dtype), (0, 1, 0, 1))
    known = padded.index_select(0, rows).index_select(1, columns)
    new_track = rows == len(previous_track_ids)
    had_match = padded.sum(0).index_select(0, columns) > 0
    return torch.where(new_track[:, None] | ~had_match, current, known)


def checked_ids(name: str, ids: Ids, count: int, device: torch.device) -> Int[Tensor, "{count}"]:
    """Convert identities to a tensor on a device, and check them.

    Args:
        name: what a message calls them: the argument's name.
        ids: the identities.
        count: how many there must be.
        device: where the tensor goes.

    Returns:
        ``(count,)`` int64.

    Raises:
        ValueError: another number of them, numbers that are no integers, an identity that occurs twice.

    Example:
        >>> checked_ids("track_ids", [7, 7], 2, torch.device("cpu"))
        Traceback (most recent call last):
        ValueError: track_ids holds the id 7 more than once
    """
    ids = torch.as_tensor(ids, device=device)
    if ids.shape != (count,):
        raise ValueError(f"{name} must hold {count} ids, got shape {tuple(ids.shape)}")
    if count and (ids.is_floating_point() or ids.is_complex()):
        raise ValueError(f"{name} must be integers, got {ids.dtype}")
    ids = ids.long()
    if ids.unique().numel() != count:
        values, counts = ids.unique(return_counts=True)
        raise ValueError(f"{name} holds the id {values[counts > 1][0].item()} more than once")
    return ids


def _positions(ids: Int[Tensor, "K"], among: Int[Tensor, "L"]) -> Int[Tensor, "K"]:
    """Find where each id stands in ``among``; ``len(among)`` for those that are not there."""
    values, order = among.sort()
    place = torch.searchsorted(values, ids)
    # Past the end there is one more place, of which it does not matter what value it holds.
    values, order = (pad(x, (0, 1), value=len(among)) for x in (values, order))
    return torch.where(values[place] == ids, order[place], len(among))
