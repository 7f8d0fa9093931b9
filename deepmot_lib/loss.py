"""The DeepMOT loss: soft counts, dMOTA, dMOTP and their sum (Sec. 4.2, Eq. 5-9).

A soft assignment ``(..., N, M)`` is turned into counts by a softmax over each line to which the threshold
delta has been appended. The published equations show no temperature, but without one a softmax over numbers
in [0, 1] is nearly flat and the counts mean nothing: ``scale`` multiplies its input, and with the released
code's 100 the soft counts are the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .assignment import discretize


def row_softmax(soft: Tensor, delta: float = 0.5, scale: float = 100.0) -> Tensor:
    """C^r of Eq. 5 (Fig. 3a), ``(..., N, M + 1)``: delta appended as a column, softmax over each row."""
    return torch.softmax(scale * nn.functional.pad(soft, (0, 1), value=delta), dim=-1)


def column_softmax(soft: Tensor, delta: float = 0.5, scale: float = 100.0) -> Tensor:
    """C^c of Eq. 5-6 (Fig. 3b), ``(..., N + 1, M)``: delta appended as a row, softmax over each column."""
    return torch.softmax(scale * nn.functional.pad(soft, (0, 0, 0, 1), value=delta), dim=-2)


def soft_false_positives(soft: Tensor, delta: float = 0.5, scale: float = 100.0) -> Tensor:
    """Eq. 5, left: the soft number of predictions without an object, ``(...)`` in [0, N].

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: a prediction counts as matched where an entry of its row exceeds it.
        scale: inverse temperature of the softmax.
    """
    return row_softmax(soft, delta, scale)[..., -1].sum(-1)


def soft_false_negatives(soft: Tensor, delta: float = 0.5, scale: float = 100.0) -> Tensor:
    """Eq. 5, right: the soft number of objects without a prediction, ``(...)`` in [0, M]; arguments as
    above."""
    return _missed(column_softmax(soft, delta, scale))


def soft_id_switches(
    soft: Tensor, previous_matches: Tensor, delta: float = 0.5, scale: float = 100.0
) -> Tensor:
    """Eq. 6: the soft number of matches that the previous frame did not have, ``(...)`` in [0, M].

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1]. previous_matches: ``(..., N, M)`` 0/1, B_-1^TP over
        the tracks and objects of this frame: see :func:`align_matches`. delta, scale: as for
        :func:`soft_false_positives`.
    """
    if soft.shape != previous_matches.shape:
        shapes = f"{tuple(previous_matches.shape)} and {tuple(soft.shape)}"
        raise ValueError(f"previous_matches and soft must have one shape, got {shapes}")
    return _switched(column_softmax(soft, delta, scale), previous_matches)


def _missed(columns: Tensor) -> Tensor:
    """Eq. 5, right, of C^c ``(..., N + 1, M)``."""
    return columns[..., -1, :].sum(-1)


def _switched(columns: Tensor, previous_matches: Tensor) -> Tensor:
    """Eq. 6 of C^c ``(..., N + 1, M)``."""
    return (columns[..., :-1, :] * (1 - previous_matches.to(columns.dtype))).sum((-2, -1))


def dmota(fp: Tensor, fn: Tensor, ids: Tensor, num_objects: int | Tensor, gamma: float = 2.0) -> Tensor:
    """Eq. 7: 1 - (FP + FN + gamma IDS) / M, at most 1, up is better.

    Of a frame without objects, where MOTA is not defined, the errors are divided by 1: a false alarm still
    costs."""
    objects = num_objects.clamp(min=1) if isinstance(num_objects, Tensor) else max(num_objects, 1)
    return 1 - (fp + fn + gamma * ids) / objects


def dmotp(distance: Tensor, matches: Tensor) -> Tensor:
    """Eq. 8: 1 - the mean distance of the matched pairs, ``(...)``, up is better, like overlap.

    Which way MOTP points: Eq. 2's is a mean *distance* (as in motmetrics), the MOTChallenge tables print a
    mean *overlap*. Eq. 9 adds lambda (1 - dMOTP) to what is minimised, so dMOTP has to be of the second
    kind: minimising 1 - (mean distance) would push the boxes off their objects. The loss therefore grows by
    lambda times the mean distance.

    Args:
        distance: ``(..., N, M)``; the gradient goes to the matched entries only.
        matches: ``(..., N, M)`` 0/1, B^TP.

    Without a match there is no distance to be penalised: 1, without gradient.
    """
    matched = matches.to(torch.bool)
    total = distance.masked_fill(~matched, 0.0).sum((-2, -1))
    return 1 - total / matched.sum((-2, -1)).clamp(min=1)


def align_matches(
    previous: Tensor,
    previous_track_ids: Tensor,
    previous_object_ids: Tensor,
    current: Tensor,
    track_ids: Tensor,
    object_ids: Tensor,
) -> Tensor:
    """B_-1^TP of Eq. 6: the previous frame's matches over this frame's tracks and objects, padded for
    newcomers.

    Entries of tracks and objects that both frames know are the previous frame's. Newcomers get their row or
    column from ``current``, so that none of their matches counts as a switch (Sec. 4.2). A newcomer is

    - a track that the previous frame did not have; - an object that had no match there, whether it was not
    in the picture or was missed. An all-zero column instead would
      make a switch of every recovered miss, and gamma = 2 would charge more for it than the FN and FP that
      it saves.

    An object whose former track is gone keeps its empty column: if another old track takes it over, that is
    a switch.

    Args:
        previous: ``(P, Q)`` 0/1 matches of the previous frame, its ids ``(P,)`` and ``(Q,)``.
        current: ``(N, M)`` 0/1 matches of this frame, its ids ``(N,)`` and ``(M,)``.

    Returns:
        ``(N, M)`` 0/1, of the dtype of ``current``.
    """
    rows, columns = _positions(track_ids, previous_track_ids), _positions(object_ids, previous_object_ids)
    # A line of zeros at the end is what those without a position point to.
    padded = nn.functional.pad(previous.to(current.dtype), (0, 1, 0, 1))
    known = padded.index_select(0, rows).index_select(1, columns)
    new_track = rows == len(previous_track_ids)
    had_match = padded.sum(0).index_select(0, columns) > 0
    return torch.where(new_track[:, None] | ~had_match, current, known)


def _positions(ids: Tensor, among: Tensor) -> Tensor:
    """Where each id stands in ``among``; ``len(among)`` for those that are not there."""
    values, order = among.sort()
    place = torch.searchsorted(values, ids)
    # Past the end there is one more place, of which it does not matter what value it holds.
    values, order = (nn.functional.pad(x, (0, 1), value=len(among)) for x in (values, order))
    return torch.where(values[place] == ids, order[place], len(among))


class LossTerms(NamedTuple):
    """What :class:`DeepMOTLoss` returns: scalars. ``total`` is minimised; dmota and dmotp go up as the
    tracker improves."""

    total: Tensor
    dmota: Tensor
    dmotp: Tensor
    fp: Tensor
    fn: Tensor
    ids: Tensor


class DeepMOTLoss(nn.Module):
    """Eq. 9 of one frame after the other: (1 - dMOTA) + lambda (1 - dMOTP).

    B^TP, the matches of a frame, are the winners of the columns of the soft assignment: for each object the
    prediction with the largest entry, where that exceeds delta. They agree with C^c, whose entries Eq. 6
    sums. Each call remembers them for the next, until :meth:`reset`; call that before every new sequence or
    training clip.

    With a 0/1 assignment fp, fn and ids are the counted numbers. A counted switch here is a match of this
    frame that differs from the object's match in the *previous* frame, by a track that was there already
    (:func:`align_matches`). CLEAR-MOT also counts the take-over by a track just born, and a change of track
    across frames in which the object was missed.

    Args:
        lambda_: weight of dMOTP.
        gamma: weight of the identity switches within dMOTA; 0 leaves them out.
        delta: threshold above which an entry counts as a match.
        scale: inverse temperature of the softmaxes.
    """

    def __init__(self, lambda_: float = 5.0, gamma: float = 2.0, delta: float = 0.5, scale: float = 100.0):
        super().__init__()
        self.lambda_, self.gamma, self.delta, self.scale = lambda_, gamma, delta, scale
        self.reset()

    def reset(self) -> None:
        """Forget the previous frame: the next one starts a sequence and has no identity switches."""
        self._previous: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(
        self,
        distance: Tensor,
        soft: Tensor,
        track_ids: Tensor | Sequence[int],
        object_ids: Tensor | Sequence[int],
    ) -> LossTerms:
        """The loss of a frame of N predictions and M objects; N = 0 and M = 0 are fine.

        Args:
            distance: ``(N, M)`` distances D.
            soft: ``(N, M)`` soft assignment in [0, 1].
            track_ids: N integers, the identity of each row.
            object_ids: M integers, the identity of each column.

        Raises:
            ValueError: NaN among distances or assignments, shapes that do not fit, an id that occurs twice.
        """
        if distance.ndim != 2 or distance.shape != soft.shape:
            shapes = f"{tuple(distance.shape)} and {tuple(soft.shape)}"
            raise ValueError(f"distance and soft must both be (N, M), got {shapes}")
        for name, matrix in (("distance", distance), ("soft", soft)):
            if matrix.isnan().any():
                raise ValueError(f"{name} holds NaN: check the boxes (or embeddings) of this frame for NaN")
        track_ids = _ids("track_ids", track_ids, soft.shape[0], soft.device)
        object_ids = _ids("object_ids", object_ids, soft.shape[1], soft.device)

        matches = discretize(soft, "column", self.delta)
        if self._previous is None:
            previous = matches
        else:
            previous = align_matches(*self._previous, matches, track_ids, object_ids)
        self._previous = (matches, track_ids, object_ids)

        fp = soft_false_positives(soft, self.delta, self.scale)
        # soft_false_negatives and soft_id_switches, which share this softmax.
        columns = column_softmax(soft, self.delta, self.scale)
        fn, ids = _missed(columns), _switched(columns, previous)
        accuracy = dmota(fp, fn, ids, soft.shape[1], self.gamma)
        precision = dmotp(distance, matches)
        total = (1 - accuracy) + self.lambda_ * (1 - precision)
        return LossTerms(total, accuracy, precision, fp, fn, ids)


def _ids(name: str, ids: Tensor | Sequence[int], count: int, device: torch.device) -> Tensor:
    """The ids as an integer tensor on the device, checked."""
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
