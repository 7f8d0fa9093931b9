"""Where a matcher's gradient points, how large it is, and how often there is none (beyond the paper).

The measure that trackers are judged by is a count: it has no gradient, but its mean over perturbed boxes has
one, which central differences along random directions estimate (Nesterov and Spokoiny, Found. Comput. Math.
17, 2017). That is what the loss's gradient should point along.

A box moves by four numbers: its centre by shares of its width and height, and the logarithms of both. So a
step means the same for a near person and for a far one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..distance import box_distance, jaccard_distance
from ..loss import DeepMOTLoss
from .gradients import Frame, Matcher

_MATCHED = 0.5  # CLEAR-MOT's smallest overlap of a match
_NONE = 1e-6  # a gradient below this share of a clip's counted one is none: it would move nothing
_STEEP = 1e3  # ... and one above so many times it explodes


def move(boxes: Tensor, theta: Tensor) -> Tensor:
    """(..., K, 4) boxes moved by ``theta`` (..., K, 4): shares of width and height, logarithms of the
    factors of both."""
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + theta[..., :2] * size
    half = size * theta[..., 2:].exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def counted(frame: Frame, previous: dict[int, int], boxes: Tensor, loss: DeepMOTLoss) -> Tensor:
    """What Eq. 9 estimates, counted: (1 - MOTA) + lambda (1 - MOTP) of a frame, for each of (S, K, 4) boxes.

    Matches are the Hungarian algorithm's among overlaps of at least 0.5; a match with another object than
    the one in ``previous`` (track id to object id) is a switch; MOTP is the mean overlap of the matches.
    """
    overlap = 1 - jaccard_distance(boxes, frame.objects.expand(len(boxes), -1, -1))
    overlap = overlap.double().numpy()
    objects = {object_id: m for m, object_id in enumerate(frame.object_ids)}
    former = np.array([objects.get(previous.get(track), -1) for track in frame.track_ids])
    had_track = np.isin(frame.object_ids, list(previous.values()))
    known = np.isin(frame.track_ids, list(previous))
    values = np.empty(len(boxes))
    for k, matrix in enumerate(overlap):
        allowed = matrix >= _MATCHED
        rows, columns = linear_sum_assignment(np.where(allowed, -matrix, 1e3))
        kept = allowed[rows, columns]
        rows, columns = rows[kept], columns[kept]
        switches = (known[rows] & had_track[columns] & (former[rows] != columns)).sum()
        errors = matrix.shape[0] + matrix.shape[1] - 2 * len(rows) + loss.gamma * switches
        distance = 1 - matrix[rows, columns].mean() if len(rows) else 0.0
        values[k] = errors / max(matrix.shape[1], 1) + loss.lambda_ * distance
    return torch.from_numpy(values)


def counted_gradient(
    clip: Sequence[Frame], loss: DeepMOTLoss, spread: float = 0.1, samples: int = 1000, seed: int = 0
) -> Tensor:
    """The gradient (K, 4) of the mean of ``counted`` over boxes moved by normal ``theta`` of this spread.

    In the last frame of ``clip``, by ``samples`` pairs of opposite moves; the tracks had the objects of
    their own identity in the frame before.
    """
    frame = clip[-1]
    previous = {track: track for track in clip[0].track_ids}
    generator = torch.Generator().manual_seed(seed)
    moves = torch.randn(samples, *frame.predictions.shape, generator=generator)
    up, down = (
        counted(frame, previous, move(frame.predictions, sign * spread * moves), loss) for sign in (1, -1)
    )
    return ((up - down) / (2 * spread))[:, None, None].float().mul(moves).mean(0)


def loss_gradient(
    clip: Sequence[Frame], matcher: Matcher, image_size: tuple[float, float], loss: DeepMOTLoss
) -> Tensor:
    """The gradient (K, 4) of the DeepMOT loss by ``theta`` in the last frame of ``clip``, through a
    matcher."""
    loss.reset()
    for frame in clip:
        theta = torch.zeros_like(frame.predictions, requires_grad=True)
        distance = box_distance(move(frame.predictions, theta), frame.objects, image_size)
        terms = loss(distance, matcher(distance[None])[0], frame.track_ids, frame.object_ids)
    return torch.autograd.grad(terms.total, theta)[0]


def compare(
    matchers: dict[str, Matcher],
    clips: Sequence[tuple[Sequence[Frame], tuple[int, int]]],
    reference: str,
    loss: DeepMOTLoss,
) -> pd.DataFrame:
    """A row a matcher: size and direction of its gradient over clips (frames, image size).

    ``cosine to counted``: mean over clips with the counted measure's gradient; ``cosine to <reference>``:
    with that of the matcher of this name; ``size``: median norm as a multiple of the counted one's; ``none``
    and ``exploding``: shares of the clips in percent, where that multiple is below 1e-6, or above 1,000. A
    clip without a gradient counts with cosine 0.
    """
    measured = [counted_gradient(clip, loss).flatten() for clip, _ in clips]
    found = {
        name: [loss_gradient(clip, matcher, size, loss).flatten() for clip, size in clips]
        for name, matcher in matchers.items()
    }
    rows = []
    for name, gradients in found.items():
        pairs = zip(gradients, measured, strict=True)
        ratio = np.array([float(g.norm() / c.norm().clamp(min=1e-12)) for g, c in pairs])
        rows.append(
            {
                "matcher": name,
                "cosine to counted": _cosine(gradients, measured),
                f"cosine to {reference}": _cosine(gradients, found[reference]),
                "size": float(np.median(ratio)),
                "none": 100 * float((ratio < _NONE).mean()),
                "exploding": 100 * float((ratio > _STEEP).mean()),
            }
        )
    return pd.DataFrame(rows)


def _cosine(gradients: list[Tensor], others: list[Tensor]) -> float:
    pairs = zip(gradients, others, strict=True)
    return float(np.mean([cosine_similarity(a.double(), b.double(), dim=0, eps=1e-30) for a, b in pairs]))
