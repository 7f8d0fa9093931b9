"""A differentiable HOTA, beyond the paper: soft detection and association counts over a clip.

HOTA (Luiten et al., 2021) counts, at each of 19 overlap thresholds, the true positives of a whole sequence
and, for each of them, how consistently the same track follows the same object. Here a pair of a track and an
object is a true positive to the degree of its soft assignment times a sigmoid of how far its overlap exceeds
the threshold. All later formulas are HOTA's own: with 0/1 assignments, and a step in place of the sigmoid,
the result is HOTA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .assignment import optimal_assignment
from .identities import FrameIds
from .numerics import check_range, full_precision

#: The thresholds of HOTA: 0.05, 0.10, ..., 0.95.
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))

# What exceeds a threshold by less than this still reaches it, as in TrackEval; of float64 overlaps.
_ROUNDING = 2.220446049250313e-16
_TINY = 1e-12  # below this the gradient of a square root is as good as infinite


class HOTAFrame(NamedTuple):
    """What HOTA takes from a frame of N tracks and M objects.

    Attributes:
        overlap: ``(N, M)`` IoU in [0, 1].
        soft: ``(N, M)`` soft assignment in [0, 1].
        ids: Identities of the rows and columns.
    """

    overlap: Float[Tensor, "N M"]
    soft: Float[Tensor, "N M"]
    ids: FrameIds


class HOTATerms(NamedTuple):
    """HOTA of a clip and its parts, each a mean over the thresholds; up is better.

    They lie in [0, 1] where no row and no column of an assignment sums to more than 1. A DHN's may: then a
    track is a true positive several times, and HOTA may exceed 1.

    ``tp``, ``fn`` and ``fp`` are the soft counts ``(19,)`` at the thresholds.
    """

    hota: Float[Tensor, ""]
    deta: Float[Tensor, ""]
    assa: Float[Tensor, ""]
    tp: Float[Tensor, "19"]
    fn: Float[Tensor, "19"]
    fp: Float[Tensor, "19"]


class _Pairs(NamedTuple):
    """All pairs (track, object) of a clip that stand in one frame, and how often each identity appears."""

    overlap: Float[Tensor, " P"]
    soft: Float[Tensor, " P"]
    track: Tensor  # (P,) index of the identity
    object: Tensor  # (P,)
    track_frames: Float[Tensor, " tracks"]
    object_frames: Float[Tensor, " objects"]


def soft_hota(frames: Sequence[HOTAFrame], scale: float = 20.0) -> HOTATerms:
    """Compute the soft HOTA of a clip.

    With m_t(i, j) = A_t(i, j) sigmoid(scale (IoU_t(i, j) - alpha)) the soft true positive of track i and
    object j in frame t, TP is its sum over all frames, FN and FP what objects and tracks have left over,
    C(i, j) its sum over the frames of a pair. With g and p the numbers of frames in which i and j appear,
    DetA = TP / (TP + FN + FP), AssA = sum C^2 / (g + p - C) / TP, HOTA = sqrt(DetA AssA).

    Args:
        frames: The frames in any order; those without tracks or objects count too.
        scale: Steepness of the sigmoid, above 0; ``math.inf`` for the step of HOTA itself.

    Returns:
        The terms, differentiable in overlaps and assignments where the scale is finite; in the assignments
        alone where it is not. Without any track or object HOTA is 0.

    Raises:
        ValueError: No frames, matrices that do not fit each other or their ids, entries outside of [0, 1], a
            scale that is not above 0.

    Example:
        One object, tracked in both frames, by two tracks: each is right in half of the object's frames.

        >>> one = torch.ones(1, 1)
        >>> clip = [HOTAFrame(one, one, FrameIds([track], [10])) for track in (1, 2)]
        >>> terms = soft_hota(clip, scale=math.inf)
        >>> terms.deta, terms.assa
        (tensor(1.), tensor(0.5000))
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    pairs = _gather(frames)
    thresholds = pairs.overlap.new_tensor(THRESHOLDS).unsqueeze(1)
    if math.isinf(scale):
        reached = (pairs.overlap >= thresholds - _ROUNDING).to(pairs.soft)
    else:
        reached = torch.sigmoid(scale * (pairs.overlap - thresholds))
    matched = pairs.soft * reached  # (19, P)

    tp = matched.sum(1)
    fn, fp = pairs.object_frames.sum() - tp, pairs.track_frames.sum() - tp
    detection = tp / (tp + fn + fp).clamp(min=1)

    tracks, objects = len(pairs.track_frames), len(pairs.object_frames)
    counts = matched.new_zeros(len(THRESHOLDS), tracks * objects)
    counts = counts.index_add(1, pairs.track * objects + pairs.object, matched)
    counts = counts.unflatten(1, (tracks, objects))
    either = pairs.track_frames.unsqueeze(1) + pairs.object_frames - counts
    association = (counts**2 / either.clamp(min=1)).sum((1, 2)) / tp.clamp(min=1)
    return HOTATerms(_root(detection * association).mean(), detection.mean(), association.mean(), tp, fn, fp)


def hota_assignments(frames: Sequence[HOTAFrame]) -> list[Float[Tensor, "N M"]]:
    """Match each frame as HOTA does: the largest total of overlap times alignment of the identities.

    The alignment of a track and an object is the IoU of their frames, where a frame counts to the degree that
    the two overlap each other and nobody else (TrackEval's ``global_alignment_score``).

    Args:
        frames: The frames of a sequence; their soft assignments are not used.

    Returns:
        A 0/1 matrix ``(N, M)`` per frame, without gradient.

    Raises:
        ValueError: As :func:`soft_hota`.
    """
    pairs = _gather(frames)
    shared = []
    for overlap, _, _ in frames:
        total = overlap.sum(0, keepdim=True) + overlap.sum(1, keepdim=True) - overlap
        shared.append(torch.where(total > 0, overlap / total.clamp(min=_TINY), 0.0).detach().flatten())
    tracks, objects = len(pairs.track_frames), len(pairs.object_frames)
    index = pairs.track * objects + pairs.object
    potential = pairs.overlap.new_zeros(tracks * objects)
    potential = potential.index_add(0, index, torch.cat(shared)).view(tracks, objects)
    alignment = potential / (pairs.track_frames.unsqueeze(1) + pairs.object_frames - potential)
    scores = (alignment.flatten()[index] * pairs.overlap).split([frame.overlap.numel() for frame in frames])
    return [
        optimal_assignment(-score.view_as(frame.overlap)) for score, frame in zip(scores, frames, strict=True)
    ]


def _gather(frames: Sequence[HOTAFrame]) -> _Pairs:
    """Check the frames and lay their matrices out as pairs of identities of the whole clip."""
    if not frames:
        raise ValueError("a HOTA of no frames")
    for number, (overlap, soft, ids) in enumerate(frames):
        expected = (len(ids.tracks), len(ids.objects))
        if overlap.shape != expected or soft.shape != expected:
            shapes = f"overlap {tuple(overlap.shape)} and soft {tuple(soft.shape)}"
            raise ValueError(f"frame {number}: {expected} identities, but {shapes}")
        check_range("overlap", overlap, -1e-6, 1 + 1e-6, "an IoU lies in [0, 1]")
        check_range("soft", soft, -1e-3, 1 + 1e-3, "a soft assignment lies in [0, 1]")
    device = frames[0].overlap.device
    tracks, track_frames = _identities([frame.ids.tracks for frame in frames], device)
    objects, object_frames = _identities([frame.ids.objects for frame in frames], device)
    overlap = torch.cat([full_precision(frame.overlap).flatten() for frame in frames])
    soft = torch.cat([full_precision(frame.soft).flatten() for frame in frames]).to(overlap)
    track = [mine.repeat_interleave(len(theirs)) for mine, theirs in zip(tracks, objects, strict=True)]
    object_ = [theirs.repeat(len(mine)) for mine, theirs in zip(tracks, objects, strict=True)]
    return _Pairs(
        overlap,
        soft,
        torch.cat(track),
        torch.cat(object_),
        track_frames.to(overlap),
        object_frames.to(overlap),
    )


def _identities(ids: Sequence[object], device: torch.device) -> tuple[list[Tensor], Tensor]:
    """Number the identities of a clip from 0; return them by frame, and in how many frames each appears."""
    of_frame = [torch.as_tensor(each, device=device, dtype=torch.long) for each in ids]
    for number, each in enumerate(of_frame):
        if len(each.unique()) < len(each):
            raise ValueError(f"frame {number}: an identity occurs twice in {each.tolist()}")
    _, index, frames = torch.cat(of_frame).unique(return_inverse=True, return_counts=True)
    return list(index.split([len(each) for each in of_frame])), frames


def _root(values: Tensor) -> Tensor:
    """Return square roots whose gradient at 0 is 0 instead of infinite."""
    return torch.where(values > _TINY, values.clamp(min=_TINY).sqrt(), values * 0)
