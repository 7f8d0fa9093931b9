"""The matchers: training of ours, batches, one matrix forward and backward, memory. One thread throughout.

The training needs DEEPMOT_DATA with ``dhn/``; networks have the standard profile's size.

    python -m benchmarks.bench_dhn
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks import Ratio
from deepmot_lib import matchers
from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.evaluation import matching as scoring
from deepmot_lib.experiments import pairs as data
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments import timing
from deepmot_lib.experiments.folders import data_folder
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.matcher import focal_loss
from deepmot_lib.training.prices import PriceTraining

STANDARD = profiles.get("standard")
RECURRENT = ("seq_gru", "seq_lstm", "paral_gru", "paral_lstm")
OTHERS = ("1d_conv", "min_sum", "min_sum_rule", "sinkhorn", "softmax", "greedy", "hungarian")
_TRAINING_S = 30 * 60
_AIM = 99.0  # WA in percent, both discretisations
_GIB = 4.0


def run() -> list[Ratio]:
    """All rows; those of the training only where the data is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_training(), _batching(), _gru(), *_matching(), *_memory()]
    finally:
        torch.set_num_threads(threads)


def network(name: str) -> matchers.Matcher:
    torch.manual_seed(0)
    return matchers.create(name, **STANDARD.dhn.options(name))


def _training() -> list[Ratio]:
    """Ours, trained in full: its time over half an hour, if it reaches its aim on 1,000 test pairs."""
    root = data_folder()
    if root is None or not (root / "dhn" / "test.npz").is_file():
        print("bench_dhn: training skipped, DEEPMOT_DATA with dhn/ is needed", file=sys.stderr)
        return []
    pairs, matcher = data.real("released", root), network("min_sum")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        training = PriceTraining(matcher, pairs.train, STANDARD.prices, seed=0)
        trainer.train(training, CheckpointFile(Path(folder) / "checkpoint.pt", {}))
    took = time.perf_counter() - start
    measures = scoring.pool(scoring.score(matcher, pairs.test, pairs.test.sample(1000)))
    accuracy = min(measures["WA_row"], measures["WA_column"])
    what = f"min_sum: time of training over half an hour, at WA {accuracy:.1f} % (aim {_AIM:g} %)"
    return [Ratio(what, took / _TRAINING_S if accuracy >= _AIM else float("nan"), 1.0, False)]


def _step(matcher: matchers.Matcher, distance: torch.Tensor, target: torch.Tensor) -> float:
    def step() -> None:
        matcher.zero_grad()
        focal_loss(matcher.logits(distance), target).backward()

    return timing.seconds(step)


def _batching() -> Ratio:
    matcher, distance = network("seq_gru").train(), timing.uniform(10, 20)
    target = optimal_assignment(distance)
    alone = sum(_step(matcher, d[None], a[None]) for d, a in zip(distance, target, strict=True))
    what = "seq_gru, a training step on ten 20 x 20 matrices one by one over all in one batch"
    return Ratio(what, alone / _step(matcher, distance, target), 1.5, True)


def _gru() -> Ratio:
    """The CPU's GRU against torch's, in the same network with the same weights."""
    ours, theirs = network("seq_gru").train(), network("seq_gru").train()
    for name in ("row_rnn", "column_rnn"):
        rnn = getattr(theirs.core, name)
        plain = nn.GRU(rnn.input_size, rnn.hidden_size, 2, bidirectional=True, dropout=rnn.dropout)
        plain.load_state_dict(rnn.state_dict())
        setattr(theirs.core, name, plain)
    distance = timing.uniform(4, 20)
    target = optimal_assignment(distance)
    what = "seq_gru, a training step on four 20 x 20 matrices: torch's GRU over ours"
    return Ratio(what, _step(theirs, distance, target) / _step(ours, distance, target), 2.0, True)


def _matching() -> list[Ratio]:
    names = ("min_sum", "min_sum_rule")
    shipped = {name: matchers.load(name) for name in names}
    networks = {"seq_gru": matchers.freeze(network("seq_gru"))} | shipped
    table = timing.costs(networks, [100]).set_index("network")
    rows = [
        Ratio(
            "one 100 x 100 matrix, forward and backward: seq_gru over min_sum",
            table.ms["seq_gru"] / table.ms["min_sum"],
            50.0,
            True,
        )
    ]
    for name in names:
        what = f"one 100 x 100 matrix: {name} forward and backward over scipy's Hungarian"
        rows.append(Ratio(what, table["times scipy"][name], 20.0, False))
    return rows


def _memory() -> list[Ratio]:
    """Peak memory of forward and backward at 300 x 300, over 4 GiB: a process each.

    The recurrent networks go through a batch one matrix of that size at a time, so two show what ten take.
    """
    rows = []
    for name in (*RECURRENT, *OTHERS):
        count = 2 if name in RECURRENT else 10
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_dhn", name, str(count)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        what = f"{name}, {count} matrices of 300 x 300, forward and backward: memory over {_GIB:g} GiB"
        rows.append(Ratio(what, float(done.stdout.split()[-1]) / _GIB, 1.0, False))
    return rows


def _peak_gib(name: str, count: int) -> float:
    """GiB that a forward and a backward pass add to this process at their peak."""
    import resource  # not on every system: only here

    torch.set_num_threads(1)
    matcher, distance = matchers.freeze(network(name)), timing.uniform(count, 300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timing.pass_over(matcher, distance)()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(_peak_gib(sys.argv[1], int(sys.argv[2])))
    else:
        print(*run(), sep="\n")
