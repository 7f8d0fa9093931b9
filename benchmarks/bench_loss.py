"""The DeepMOT loss against a straightforward version that loops over objects in Python: forward and backward.

python -m benchmarks.bench_loss
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import Ratio
from deepmot_lib.loss import DeepMOTLoss

TRACKS = OBJECTS = 100
TARGET = 20.0


class LoopLoss:
    """The equations line by line: a softmax for each track and object, a dictionary of the last matches."""

    def __init__(self, lambda_=5.0, gamma=2.0, delta=0.5, scale=100.0):
        self.lambda_, self.gamma, self.delta, self.scale = lambda_, gamma, delta, scale
        self.matches: dict[int, int] = {}
        self.tracks: set[int] | None = None

    def __call__(self, distance: Tensor, soft: Tensor, track_ids: list, object_ids: list) -> Tensor:
        delta = torch.tensor([self.delta])
        fp = torch.zeros(())
        for n in range(len(track_ids)):
            fp = fp + torch.softmax(self.scale * torch.cat([soft[n], delta]), 0)[-1]

        fn, ids, total, matches = torch.zeros(()), torch.zeros(()), torch.zeros(()), {}
        for m, obj in enumerate(object_ids):
            column = torch.softmax(self.scale * torch.cat([soft[:, m], delta]), 0)
            fn = fn + column[-1]
            winner = int(soft[:, m].argmax())
            matched = bool(soft[winner, m] > self.delta)
            if matched:
                matches[obj] = track_ids[winner]
                total = total + distance[winner, m]
            # The complement of B_-1: 0 at the last match of a known object, and at newcomers' present ones.
            changed = []
            for n, track in enumerate(track_ids):
                newcomer = self.tracks is None or track not in self.tracks or obj not in self.matches
                same = matched and n == winner if newcomer else self.matches[obj] == track
                changed.append(0.0 if same else 1.0)
            ids = ids + (column[:-1] * torch.tensor(changed)).sum()
        self.matches, self.tracks = matches, set(track_ids)

        mota = 1 - (fp + fn + self.gamma * ids) / max(len(object_ids), 1)
        motp = 1 - total / max(len(matches), 1)
        return (1 - mota) + self.lambda_ * (1 - motp)


def frames(count: int = 4) -> list[tuple[Tensor, Tensor, list[int], list[int]]]:
    """Consecutive frames of 100 x 100 with some ambiguity; ids shuffled, some exchanged for newcomers."""
    generator = torch.Generator().manual_seed(0)
    result = []
    for index in range(count):
        tracks = (torch.randperm(TRACKS, generator=generator) + 3 * index).tolist()
        objects = (torch.randperm(OBJECTS, generator=generator) + 2 * index).tolist()
        same = torch.tensor(tracks)[:, None] == torch.tensor(objects)
        soft = 0.7 * same + 0.28 * torch.rand(TRACKS, OBJECTS, generator=generator)
        soft = (soft + 0.4 * (torch.rand(TRACKS, OBJECTS, generator=generator) > 0.99)).clamp(0, 1)
        result.append(
            (1 - soft + 0.1 * torch.rand(TRACKS, OBJECTS, generator=generator), soft, tracks, objects)
        )
    return result


def step(loss: Callable, distance: Tensor, soft: Tensor, tracks: list, objects: list) -> tuple[Tensor, ...]:
    """Forward and backward of one frame: the loss and its gradients."""
    distance, soft = distance.clone().requires_grad_(), soft.clone().requires_grad_()
    total = loss(distance, soft, tracks, objects)
    total = total if isinstance(total, Tensor) else total.total
    return (total, *torch.autograd.grad(total, (distance, soft)))


def seconds(loss: Callable, sequence: list, repeats: int) -> float:
    """The fastest time of a frame: what other processes do on the machine only ever adds to it."""
    times = []
    for _ in range(repeats):
        for frame in sequence:
            start = time.perf_counter()
            step(loss, *frame)
            times.append(time.perf_counter() - start)
    return min(times)


def run() -> list[Ratio]:
    """How many times faster ours is; the two versions must agree first, values and gradients."""
    sequence, ours, loop = frames(), DeepMOTLoss(), LoopLoss()
    for frame in sequence:
        for a, b in zip(step(ours, *frame), step(loop, *frame), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small: more threads only wait for each other
    try:
        ratio = seconds(loop, sequence, 3) / seconds(ours, sequence, 25)
    finally:
        torch.set_num_threads(threads)
    what = f"loss, forward and backward, {TRACKS} x {OBJECTS}: a Python loop's time over ours"
    return [Ratio(what, ratio, TARGET, higher_is_better=True)]


if __name__ == "__main__":
    print(*run(), sep="\n")
