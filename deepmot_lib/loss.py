"""The DeepMOT loss: soft counts, dMOTA, dMOTP and their sum (Sec. 4.2, Eq. 5-9).

A soft assignment ``(..., N, M)`` of N tracks (rows) to M objects (columns) is turned into counts by a softmax
over each line to which the threshold delta has been appended. The published equations show no temperature,
but without one a softmax over numbers in [0, 1] is nearly flat and the counts mean nothing: ``scale``
multiplies its input, and with the released code's 100 the soft counts are the counts.

:func:`deepmot_loss` is the loss of a frame as a function of its matrices, its identities and the matches of
the frame before; :class:`DeepMOTLoss` is the same as a module that keeps the latter. Half precision is
converted to float32 first: at a scale of 100 the step of bfloat16 near 1 moves the softmax's input by 0.4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Real, Shaped
from torch import Tensor, nn

from .assignment import discretize
from .identities import FrameIds, Ids, MatchState, align_matches, checked_ids
from .numerics import LARGEST, check_range, full_precision

#: The largest weight and the largest scale: a steeper softmax is a step to float32.
_LARGEST_SETTING = 1e6
#: How far an entry may lie outside of [0, 1]: what rounding and finite differences need.
_SLACK = 1e-3


def row_softmax(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch N M+1"]:
    """Compute C^r of Eq. 5 (Fig. 3a): delta appended as a column, softmax over each row.

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1): a prediction counts as matched where an entry of its row exceeds it.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(..., N, M + 1)``: rows that sum to 1, whose last entry says how far a track matches nothing.

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> row_softmax(torch.tensor([[0.9, 0.1], [0.2, 0.1]])).round(decimals=2)
        tensor([[1., 0., 0.],
                [0., 0., 1.]])
    """
    _check_settings(delta=delta, scale=scale)
    return torch.softmax(scale * nn.functional.pad(full_precision(soft), (0, 1), value=delta), dim=-1)


def column_softmax(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch N+1 M"]:
    """Compute C^c of Eq. 5-6 (Fig. 3b): delta appended as a row, softmax over each column.

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1): an object counts as matched where an entry of its column exceeds it.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(..., N + 1, M)``: columns that sum to 1, whose last entry says how far an object is missed.

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> column_softmax(torch.tensor([[0.9, 0.1], [0.2, 0.1]])).round(decimals=2)
        tensor([[1., 0.],
                [0., 0.],
                [0., 1.]])
    """
    _check_settings(delta=delta, scale=scale)
    return torch.softmax(scale * nn.functional.pad(full_precision(soft), (0, 0, 0, 1), value=delta), dim=-2)


def soft_false_positives(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch"]:
    """Count predictions without an object, softly (Eq. 5, left).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, N].

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> soft_false_positives(torch.tensor([[1.0, 0], [0, 0], [0, 0]]))
        tensor(2.)
    """
    return row_softmax(soft, delta, scale)[..., -1].sum(-1)


def soft_false_negatives(
    soft: Real[Tensor, "*batch N M"], delta: float = 0.5, scale: float = 100.0
) -> Float[Tensor, "*batch"]:
    """Count objects without a prediction, softly (Eq. 5, right).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, M].

    Raises:
        ValueError: delta or scale out of range.

    Example:
        >>> soft_false_negatives(torch.tensor([[1.0, 0], [0, 0], [0, 0]]))
        tensor(1.)
    """
    return _missed(column_softmax(soft, delta, scale))


def soft_id_switches(
    soft: Real[Tensor, "*batch N M"],
    previous_matches: Shaped[Tensor, "*batch N M"],
    delta: float = 0.5,
    scale: float = 100.0,
) -> Float[Tensor, "*batch"]:
    """Count matches that the previous frame did not have, softly (Eq. 6).

    Args:
        soft: ``(..., N, M)`` soft assignment in [0, 1].
        previous_matches: ``(..., N, M)`` 0/1, B_-1^TP over the tracks and objects of this frame: see
            :func:`align_matches`.
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmax, above 0.

    Returns:
        ``(...)`` in [0, M].

    Raises:
        ValueError: matrices of two shapes; delta or scale out of range.

    Example:
        Two tracks that have swapped their objects:

        >>> soft_id_switches(torch.tensor([[0.0, 1], [1, 0]]), torch.eye(2))
        tensor(2.)
    """
    if soft.shape != previous_matches.shape:
        shapes = f"{tuple(previous_matches.shape)} and {tuple(soft.shape)}"
        raise ValueError(f"previous_matches and soft must have one shape, got {shapes}")
    return _switched(column_softmax(soft, delta, scale), previous_matches)


def dmota(
    fp: Float[Tensor, "*#batch"],
    fn: Float[Tensor, "*#batch"],
    ids: Float[Tensor, "*#batch"],
    num_objects: int | Int[Tensor, "*#batch"],
    gamma: float = 2.0,
) -> Float[Tensor, "*#batch"]:
    """Compute dMOTA of Eq. 7: 1 - (FP + FN + gamma IDS) / M.

    Args:
        fp: ``(...)`` soft false positives.
        fn: ``(...)`` soft false negatives.
        ids: ``(...)`` soft identity switches.
        num_objects: M. Of a frame without objects, where MOTA is not defined, the errors are divided by 1: a
            false alarm still costs.
        gamma: weight of the switches, at least 0.

    Returns:
        ``(...)``, at most 1; up is better.

    Raises:
        ValueError: gamma out of range.

    Example:
        >>> dmota(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(1.0), 10)
        tensor(0.5000)
    """
    _check_settings(gamma=gamma)
    objects = num_objects.clamp(min=1) if isinstance(num_objects, Tensor) else max(num_objects, 1)
    return 1 - (fp + fn + gamma * ids) / objects


def dmotp(
    distance: Real[Tensor, "*batch N M"], matches: Shaped[Tensor, "*batch N M"]
) -> Float[Tensor, "*batch"]:
    """Compute dMOTP of Eq. 8: 1 - the mean distance of the matched pairs.

    Which way MOTP points: Eq. 2's is a mean *distance* (as in motmetrics), the MOTChallenge tables print a
    mean *overlap*. Eq. 9 adds lambda (1 - dMOTP) to what is minimized, so dMOTP has to be of the second
    kind: minimizing 1 - (mean distance) would push the boxes off their objects. The loss therefore grows by
    lambda times the mean distance.

    Args:
        distance: ``(..., N, M)``; the gradient goes to the matched entries only.
        matches: ``(..., N, M)`` 0/1, B^TP.

    Returns:
        ``(...)``, up is better, like overlap. Without a match there is no distance to be penalized: 1,
        without gradient.

    Example:
        >>> dmotp(torch.tensor([[0.1, 0.9], [0.8, 0.3]]), torch.eye(2))
        tensor(0.8000)
    """
    matched = matches.to(torch.bool)
    total = full_precision(distance).masked_fill(~matched, 0.0).sum((-2, -1))
    return 1 - total / matched.sum((-2, -1)).clamp(min=1)


class LossTerms(NamedTuple):
    """The loss of a frame and its terms, scalars.

    ``total`` is minimized; ``dmota`` and ``dmotp`` go up as the tracker improves; ``fp``, ``fn`` and ``ids``
    are the soft counts.
    """

    total: Float[Tensor, ""]
    dmota: Float[Tensor, ""]
    dmotp: Float[Tensor, ""]
    fp: Float[Tensor, ""]
    fn: Float[Tensor, ""]
    ids: Float[Tensor, ""]


def deepmot_loss(
    distance: Real[Tensor, "N M"],
    soft: Real[Tensor, "N M"],
    ids: FrameIds,
    state: MatchState | None = None,
    *,
    lambda_: float = 5.0,
    gamma: float = 2.0,
    delta: float = 0.5,
    scale: float = 100.0,
) -> tuple[LossTerms, MatchState]:
    """Compute Eq. 9 of a frame: (1 - dMOTA) + lambda (1 - dMOTP).

    B^TP, the matches of a frame, are the winners of the columns of the soft assignment: for each object the
    prediction with the largest entry, where that exceeds delta. They agree with C^c, whose entries Eq. 6
    sums.

    With a 0/1 assignment fp, fn and ids are the counted numbers. A counted switch here is a match of this
    frame that differs from the object's match in the *previous* frame, by a track that was there already
    (:func:`align_matches`). CLEAR-MOT also counts the take-over by a track just born, and a change of track
    across frames in which the object was missed.

    Args:
        distance: ``(N, M)`` distances D of N tracks and M objects; N = 0 and M = 0 are fine.
        soft: ``(N, M)`` soft assignment in [0, 1].
        ids: identities of the N rows and the M columns.
        state: what the call for the previous frame returned; None for the first frame of a sequence, which
            has no switches.
        lambda_: weight of dMOTP, at least 0.
        gamma: weight of the identity switches within dMOTA, at least 0; 0 leaves them out.
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmaxes, above 0.

    Returns:
        The terms, differentiable in ``distance`` and ``soft``, and the state for the next frame, without
        gradient.

    Raises:
        ValueError: names the argument: an entry of distance that is NaN, infinite or of absurd size, one of
            soft outside of [0, 1], shapes that do not fit, an id that occurs twice, a setting out of range.

    Example:
        Two frames, in which two tracks swap their objects: 2 switches of weight 2 for 2 objects.

        >>> soft, ids = torch.eye(2), FrameIds(tracks=[1, 2], objects=[10, 20])
        >>> terms, state = deepmot_loss(1 - soft, soft, ids)
        >>> terms, state = deepmot_loss(1 - soft.flip(0), soft.flip(0), ids, state)
        >>> terms.ids, terms.dmota, terms.dmotp, terms.total
        (tensor(2.), tensor(-1.), tensor(1.), tensor(2.))
    """
    _check_settings(lambda_=lambda_, gamma=gamma, delta=delta, scale=scale)
    distance, soft = _checked(distance, soft)
    track_ids = checked_ids("track_ids", ids.tracks, soft.shape[0], soft.device)
    object_ids = checked_ids("object_ids", ids.objects, soft.shape[1], soft.device)

    matches = discretize(soft, "column", delta)
    previous = matches if state is None else align_matches(*state, matches, track_ids, object_ids)

    fp = soft_false_positives(soft, delta, scale)
    # soft_false_negatives and soft_id_switches, which share this softmax.
    columns = column_softmax(soft, delta, scale)
    fn, switches = _missed(columns), _switched(columns, previous)
    accuracy = dmota(fp, fn, switches, soft.shape[1], gamma)
    precision = dmotp(distance, matches)
    total = (1 - accuracy) + lambda_ * (1 - precision)
    terms = LossTerms(total, accuracy, precision, fp, fn, switches)
    return terms, MatchState(matches, track_ids, object_ids)


class DeepMOTLoss(nn.Module):
    """Eq. 9 of one frame after the other: :func:`deepmot_loss` that keeps the matches for the next frame.

    Call :meth:`reset` before every new sequence or training clip.

    Args:
        lambda_: weight of dMOTP, at least 0.
        gamma: weight of the identity switches within dMOTA, at least 0; 0 leaves them out.
        delta: threshold in (0, 1) above which an entry counts as a match.
        scale: inverse temperature of the softmaxes, above 0.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> loss, soft = DeepMOTLoss(), torch.tensor([[0.9, 0.1], [0.2, 0.1]])
        >>> terms = loss(1 - soft, soft, track_ids=[1, 2], object_ids=[10, 20])
        >>> terms.fp, terms.fn
        (tensor(1.), tensor(1.))
    """

    def __init__(
        self, lambda_: float = 5.0, gamma: float = 2.0, delta: float = 0.5, scale: float = 100.0
    ) -> None:
        super().__init__()
        _check_settings(lambda_=lambda_, gamma=gamma, delta=delta, scale=scale)
        self.lambda_, self.gamma, self.delta, self.scale = lambda_, gamma, delta, scale
        self.reset()

    def reset(self) -> None:
        """Drop the previous frame's matches: the next frame starts a sequence and has no switches."""
        self.state: MatchState | None = None

    def forward(
        self, distance: Real[Tensor, "N M"], soft: Real[Tensor, "N M"], track_ids: Ids, object_ids: Ids
    ) -> LossTerms:
        """Compute the loss of the next frame, of N tracks and M objects.

        Args:
            distance: ``(N, M)`` distances D.
            soft: ``(N, M)`` soft assignment in [0, 1].
            track_ids: N integers, the identity of each row.
            object_ids: M integers, the identity of each column.

        Returns:
            The terms, differentiable in ``distance`` and ``soft``.

        Raises:
            ValueError: as :func:`deepmot_loss`; the refused frame leaves no trace.
        """
        terms, self.state = deepmot_loss(
            distance,
            soft,
            FrameIds(track_ids, object_ids),
            self.state,
            lambda_=self.lambda_,
            gamma=self.gamma,
            delta=self.delta,
            scale=self.scale,
        )
        return terms


def _missed(columns: Float[Tensor, "*batch rows M"]) -> Float[Tensor, "*batch"]:
    """Compute Eq. 5, right, of C^c ``(..., N + 1, M)``."""
    return columns[..., -1, :].sum(-1)


def _switched(
    columns: Float[Tensor, "*batch rows M"], previous_matches: Shaped[Tensor, "*batch N M"]
) -> Float[Tensor, "*batch"]:
    """Compute Eq. 6 of C^c ``(..., N + 1, M)``."""
    return (columns[..., :-1, :] * (1 - previous_matches.to(columns.dtype))).sum((-2, -1))


def _checked(distance: Tensor, soft: Tensor) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]]:
    """Refuse matrices from which no number can follow; convert the others to float32 at least."""
    if distance.ndim != 2 or distance.shape != soft.shape:
        shapes = f"{tuple(distance.shape)} and {tuple(soft.shape)}"
        raise ValueError(f"distance and soft must both be (N, M), got {shapes}")
    distance, soft = full_precision(distance), full_precision(soft)
    rule = f"distances must be finite and at most {LARGEST:g} (a gated pair is written as 1000)"
    check_range("distance", distance, -LARGEST, LARGEST, rule)
    check_range("soft", soft, -_SLACK, 1 + _SLACK, "a soft assignment lies in [0, 1]")
    return distance, soft


def _check_settings(
    *, lambda_: float = 0.0, gamma: float = 0.0, delta: float = 0.5, scale: float = 1.0
) -> None:
    """Refuse settings with which the loss means nothing, or overflows; NaN fails every comparison."""
    for name, value in (("lambda_", lambda_), ("gamma", gamma)):
        if not 0 <= value <= _LARGEST_SETTING:
            raise ValueError(f"{name} must lie in [0, {_LARGEST_SETTING:g}], got {value}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, got {delta}")
    if not 0 < scale <= _LARGEST_SETTING:
        raise ValueError(f"scale must be above 0 and at most {_LARGEST_SETTING:g}, got {scale}")
