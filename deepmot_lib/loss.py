"""The DeepMOT loss: dMOTA, dMOTP and their sum (Sec. 4.2, Eq. 7-9), over the soft counts of Eq. 5-6.

:func:`deepmot_loss` is the loss of a frame as a function of its matrices, its identities and the matches of
the frame before; :class:`DeepMOTLoss` is the same as a module that keeps the latter. Half precision is
converted to float32 first. Everything of the loss is imported from here: ``soft_counts`` has Eq. 5-6,
``identities`` the matches that switches are counted against.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Real, Shaped
from torch import Tensor, nn

from .assignment import discretize
from .columns import LARGEST
from .identities import FrameIds, Ids, MatchState, align_matches, checked_ids
from .numerics import check_range, full_precision
from .soft_counts import (
    LARGEST_SETTING,
    check_softmax,
    column_softmax,
    row_softmax,
    soft_false_negatives,
    soft_false_positives,
    soft_id_switches,
    soft_misses_and_switches,
)

__all__ = [
    "DeepMOTLoss",
    "FrameIds",
    "LossTerms",
    "MatchState",
    "align_matches",
    "column_softmax",
    "deepmot_loss",
    "dmota",
    "dmotp",
    "loss_terms",
    "row_softmax",
    "soft_false_negatives",
    "soft_false_positives",
    "soft_id_switches",
]

#: How far an entry may lie outside of [0, 1]: what rounding and finite differences need.
_SLACK = 1e-3


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
    _check_weight("gamma", gamma)
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
    check_softmax(delta, scale)
    _check_weight("lambda_", lambda_)
    _check_weight("gamma", gamma)
    distance, soft = _checked(distance, soft)
    track_ids = checked_ids("track_ids", ids.tracks, soft.shape[0], soft.device)
    object_ids = checked_ids("object_ids", ids.objects, soft.shape[1], soft.device)

    matches = discretize(soft, "column", delta)
    previous = matches if state is None else align_matches(*state, matches, track_ids, object_ids)
    terms = loss_terms(
        distance, soft, matches, previous, lambda_=lambda_, gamma=gamma, delta=delta, scale=scale
    )
    return terms, MatchState(matches, track_ids, object_ids)


def loss_terms(
    distance: Float[Tensor, "N M"],
    soft: Float[Tensor, "N M"],
    matches: Shaped[Tensor, "N M"],
    previous_matches: Shaped[Tensor, "N M"],
    *,
    lambda_: float = 5.0,
    gamma: float = 2.0,
    delta: float = 0.5,
    scale: float = 100.0,
) -> LossTerms:
    """Compute Eq. 9 of given matches, which may be another matrix's: those of the boxes, for the appearance.

    Args:
        distance: ``(N, M)`` distances D.
        soft: ``(N, M)`` soft assignment in [0, 1].
        matches: ``(N, M)`` 0/1, B^TP, whose distances dMOTP averages.
        previous_matches: ``(N, M)`` 0/1, B_-1^TP over this frame's tracks and objects
            (:func:`align_matches`): all other matches count as switches.
        lambda_: as in :func:`deepmot_loss`.
        gamma: likewise.
        delta: likewise.
        scale: likewise.

    Returns:
        The terms, differentiable in ``distance`` and ``soft``.

    Example:
        The boxes say that two tracks have kept their objects, the appearance that they have swapped them:

        >>> boxes, appearance = torch.eye(2), torch.eye(2).flip(0)
        >>> loss_terms(1 - appearance, appearance, boxes, boxes).ids
        tensor(2.)
    """
    fp = soft_false_positives(soft, delta, scale)
    fn, switches = soft_misses_and_switches(soft, previous_matches, delta, scale)
    accuracy = dmota(fp, fn, switches, soft.shape[1], gamma)
    precision = dmotp(distance, matches)
    total = (1 - accuracy) + lambda_ * (1 - precision)
    return LossTerms(total, accuracy, precision, fp, fn, switches)


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
        check_softmax(delta, scale)
        _check_weight("lambda_", lambda_)
        _check_weight("gamma", gamma)
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


def _check_weight(name: str, value: float) -> None:
    """Refuse a weight with which the loss means nothing, or overflows; NaN fails the comparison."""
    if not 0 <= value <= LARGEST_SETTING:
        raise ValueError(f"{name} must lie in [0, {LARGEST_SETTING:g}], got {value}")
