"""Direction and size of the loss's gradient through each matcher (beyond the paper).

MOTA and MOTP are piecewise constant in the boxes, but their mean over perturbed boxes has a gradient, which
central differences along random directions estimate (Nesterov and Spokoiny, Found. Comput. Math. 17, 2017).
It is the reference for the gradient of the loss.

A box has four parameters: its center in widths and heights, and the logarithms of both. A step then has the
same effect on a near person as on a far one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..boxes import centers, from_centers, sizes
from ..distance import box_distance, jaccard_distance
from ..loss import DeepMOTLoss
from .gradients import Frame, SoftMatcher

_MATCHED = 0.5  # CLEAR-MOT's smallest overlap of a match
#: A gradient smaller than this multiple of the counted one counts as none.
NONE = 1e-6
_EXPLODING = 1e3  # a gradient larger than this multiple counts as exploding


def move(
    boxes: Float[Tensor, "*#batch K 4"], theta: Float[Tensor, "*#batch K 4"]
) -> Float[Tensor, "*#batch K 4"]:
    """Move and resize boxes.

    Args:
        boxes: ``(..., K, 4)`` xyxy [px].
        theta: ``(..., K, 4)`` shift of the center in widths and heights, logarithms of the factors of both.

    Returns:
        ``(..., K, 4)`` xyxy [px].
    """
    size = sizes(boxes)
    return from_centers(centers(boxes) + theta[..., :2] * size, size * theta[..., 2:].exp())


def counted(
    frame: Frame, previous: Mapping[int, int], boxes: Float[Tensor, "S K 4"], loss: DeepMOTLoss
) -> Float[Tensor, " S"]:
    """Count what Eq. 9 estimates: (1 - MOTA) + lambda (1 - MOTP) of a frame.

    Matches are those of the Hungarian algorithm among overlaps of at least 0.5; MOTP is their mean overlap. A
    track that is matched with another object than before is a switch.

    Args:
        frame: The frame; its predictions are not used.
        previous: Object id by track id of the matches before.
        boxes: ``(S, K, 4)`` S variants of the predictions, xyxy [px].
        loss: The loss whose weights are used.

    Returns:
        ``(S,)``: the value of each variant, float64.
    """
    overlap = 1 - jaccard_distance(boxes, frame.objects.expand(len(boxes), -1, -1))
    overlaps = overlap.double().cpu().numpy()
    columns_of = {object_id: column for column, object_id in enumerate(frame.object_ids)}
    former = np.array([columns_of.get(previous.get(track, -1), -1) for track in frame.track_ids])
    had_track = np.isin(frame.object_ids, list(previous.values()))
    was_matched = np.isin(frame.track_ids, list(previous))
    values = np.empty(len(boxes))
    for k, matrix in enumerate(overlaps):
        allowed = matrix >= _MATCHED
        rows, columns = linear_sum_assignment(np.where(allowed, -matrix, 1e3))
        kept = allowed[rows, columns]
        rows, columns = rows[kept], columns[kept]
        switches = (was_matched[rows] & had_track[columns] & (former[rows] != columns)).sum()
        errors = matrix.shape[0] + matrix.shape[1] - 2 * len(rows) + loss.gamma * switches
        distance = 1 - matrix[rows, columns].mean() if len(rows) else 0.0
        values[k] = errors / max(matrix.shape[1], 1) + loss.lambda_ * distance
    return torch.from_numpy(values).to(boxes.device)


def counted_gradient(
    clip: Sequence[Frame], loss: DeepMOTLoss, spread: float = 0.1, samples: int = 1000, seed: int = 0
) -> Tensor:
    """Estimate the gradient of the mean of :func:`counted` over normally perturbed boxes.

    Args:
        clip: Consecutive frames; before the last, each track is matched with the object of its own identity.
        loss: The loss whose weights are used.
        spread: Standard deviation of the perturbation ``theta`` of :func:`move`.
        samples: Number of pairs of opposite perturbations.
        seed: Seed of the perturbations.

    Returns:
        ``(K, 4)``: the gradient by ``theta`` in the last frame.
    """
    frame = clip[-1]
    previous = {track: track for track in clip[0].track_ids}
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randn(samples, *frame.predictions.shape, generator=generator).to(frame.predictions)
    up, down = (
        counted(frame, previous, move(frame.predictions, sign * spread * moves), loss) for sign in (1, -1)
    )
    return ((up - down) / (2 * spread))[:, None, None].float().mul(moves).mean(0)


def loss_gradient(
    clip: Sequence[Frame], matcher: SoftMatcher, image_size: tuple[float, float], loss: DeepMOTLoss
) -> Tensor:
    """Compute the gradient of the DeepMOT loss through a matcher.

    Args:
        clip: Consecutive frames.
        matcher: Maps distances ``(1, N, M)`` to a soft assignment of that shape.
        image_size: (height, width) [px].
        loss: The loss; reset first.

    Returns:
        ``(K, 4)``: the gradient by ``theta`` of :func:`move` in the last frame.
    """
    loss.reset()
    for frame in clip:
        theta = torch.zeros_like(frame.predictions, requires_grad=True)
        distance = box_distance(move(frame.predictions, theta), frame.objects, image_size)
        terms = loss(distance, matcher(distance[None])[0], frame.track_ids, frame.object_ids)
    return torch.autograd.grad(terms.total, theta)[0]


def ways(frame: Frame) -> Float[Tensor, "K 4"]:
    """Return the ``theta`` of :func:`move` that takes each track to the object of its identity.

    Args:
        frame: The frame.

    Returns:
        ``(K, 4)``, NaN for a track without an object.
    """
    way = torch.full_like(frame.predictions, torch.nan)
    columns = {object_id: column for column, object_id in enumerate(frame.object_ids)}
    for row, track_id in enumerate(frame.track_ids):
        if track_id in columns:
            track, target = frame.predictions[row], frame.objects[columns[track_id]]
            way[row, :2] = (centers(target) - centers(track)) / sizes(track)
            way[row, 2:] = (sizes(target) / sizes(track)).log()
    return way


def by_clip(
    matchers: Mapping[str, SoftMatcher],
    clips: Sequence[tuple[Sequence[Frame], tuple[int, int]]],
    reference: str,
    loss: DeepMOTLoss,
) -> pd.DataFrame:
    """Measure the gradients of the loss through several matchers, clip by clip.

    Args:
        matchers: Matchers by name.
        clips: Clips with their image sizes (height, width) [px].
        reference: Name of the matcher with which the others are compared.
        loss: The loss; reset for each clip.

    Returns:
        One row per matcher and clip: ``matcher``, ``clip`` (its number), the cosines of the gradient with
        that of the counted measure (``cosine to counted``) and with that of the reference (``cosine to
        <reference>``), that of the negative gradient with the way from each track to its own object
        (``pull``), and its norm as a multiple of the counted one's (``size``). A cosine is 0 where there is
        no gradient.
    """
    measured = [counted_gradient(clip, loss) for clip, _ in clips]
    found = {
        name: [loss_gradient(clip, matcher, size, loss) for clip, size in clips]
        for name, matcher in matchers.items()
    }
    rows = []
    for name, gradients in found.items():
        for number, (gradient, counts) in enumerate(zip(gradients, measured, strict=True)):
            way = ways(clips[number][0][-1])
            own = ~way.isnan()
            rows.append(
                {
                    "matcher": name,
                    "clip": number,
                    "cosine to counted": _cosine(gradient, counts),
                    f"cosine to {reference}": _cosine(gradient, found[reference][number]),
                    "pull": _cosine(-gradient[own], way[own]),
                    "size": float(gradient.norm() / counts.norm().clamp(min=1e-12)),
                }
            )
    return pd.DataFrame(rows)


def pool(measured: pd.DataFrame) -> pd.DataFrame:
    """Pool what :func:`by_clip` returns.

    Returns:
        One row per matcher: the mean cosines; ``size``, the median; ``none`` and ``exploding``, the clips in
        which the size is below 1e-6 and above 1,000, in percent.
    """
    groups = measured.groupby("matcher", sort=False)
    pooled = groups[[name for name in measured if name not in ("matcher", "clip", "size")]].mean()
    pooled["size"] = groups["size"].median()
    pooled["none"] = 100 * groups["size"].agg(lambda sizes: (sizes < NONE).mean())
    pooled["exploding"] = 100 * groups["size"].agg(lambda sizes: (sizes > _EXPLODING).mean())
    return pooled.reset_index()


def compare(
    matchers: Mapping[str, SoftMatcher],
    clips: Sequence[tuple[Sequence[Frame], tuple[int, int]]],
    reference: str,
    loss: DeepMOTLoss,
) -> pd.DataFrame:
    """Compare the gradients of the loss through several matchers: :func:`by_clip`, pooled."""
    return pool(by_clip(matchers, clips, reference, loss))


def _cosine(gradient: Tensor, other: Tensor) -> float:
    one, two = gradient.flatten().double(), other.flatten().double()
    return cosine_similarity(one, two, dim=0, eps=1e-30).item()
