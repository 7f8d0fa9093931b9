"""The DeepMOT loss against a straightforward version that loops over objects in Python: forward and backward.

python -m benchmarks.bench_loss
"""

from __future__ import annotations

import time
from typing import TypeAlias

import torch
from torch import Tensor

from benchmarks import Ratio
from deepmot_lib.loss import DeepMOTLoss

TRACKS = OBJECTS = 100
TARGET = 20.0


class LoopLoss:
    """The equations line by line: a softmax for each track and object, a dictionary of the last matches."""

    def __init__(
        self, lambda_: float = 5.0, gamma: float = 2.0, delta: float = 0.5, scale: float = 100.0
    ) -> None:
        self.lambda_, self.gamma, self.delta, self.scale = lambda_, gamma, delta, scale
        self.matches: dict[int, int] = {}
        self.tracks: set[int] | None = None

    def __call__(self, distance: Tensor, soft: Tensor, track_ids: list[int], object_ids: list[int]) -> Tensor:
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


#: Distances, soft assignment, track ids and object ids of a frame.
Frame: TypeAlias = tuple[Tensor, Tensor, list[int], list[int]]
Loss: TypeAlias = LoopLoss | DeepMOTLoss


def frames(count: int = 4) -> list[Frame]:
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


def step(loss: Loss, frame: Frame) -> tuple[Tensor, ...]:
    """Run forward and backward of one frame; return the loss and its gradients."""
    distance, soft = (values.clone().requires_grad_() for values in frame[:2])
    result = loss(distance, soft, *frame[2:])
    total = result if isinstance(result, Tensor) else result.total
    return (total, *torch.autograd.grad(total, (distance, soft)))


def seconds(loss: Loss, sequence: list[Frame], repeats: int) -> float:
    """Return the shortest time of a frame: other processes on the machine only ever add to it."""
    times = []
    for _ in range(repeats):
        for frame in sequence:
            start = time.perf_counter()
            step(loss, frame)
            times.append(time.perf_counter() - start)
    return min(times)


def run() -> list[Ratio]:
    """How many times faster ours is; the two versions must agree first, values and gradients."""
    sequence, ours, loop = frames(), DeepMOTLoss(), LoopLoss()
    for frame in sequence:
        for a, b in zip(step(ours, frame), step(loop, frame), strict=True):
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
