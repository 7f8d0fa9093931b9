"""Every kind of training, cut off in the middle: it goes on to the same bits; and stops where it diverges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deepmot_lib import matchers
from deepmot_lib.data import mot, synthetic
from deepmot_lib.trackers.goturn import GOTURN
from deepmot_lib.trackers.reid import Embedder
from deepmot_lib.trackers.siamrpn import SiamRPN
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.deepmot import DeepMOTTraining
from deepmot_lib.training.detector import DetectorTraining
from deepmot_lib.training.head import HeadTraining, gather
from deepmot_lib.training.matcher import MatcherTraining
from deepmot_lib.training.prices import PriceTraining
from deepmot_lib.training.reid import ReIDTraining
from deepmot_lib.training.rollout import RolloutTraining
from deepmot_lib.training.schedules import (
    DetectorSchedule,
    DHNSchedule,
    HeadSchedule,
    PairSchedule,
    PriceSchedule,
    ReIDSchedule,
    RolloutSchedule,
    TrackerSchedule,
)
from deepmot_lib.training.siamese import SiameseTraining
from deepmot_lib.training.trainer import Training

from .test_pairs import random_pairs

pytestmark = pytest.mark.slow

SEED, KILLED_AT = 3, 4
PAIRS = random_pairs(
    [(2, 3)] * 10 + [(3, 3)] * 6
)  # an epoch of about four batches: the kill falls into the second
DEEPMOT = TrackerSchedule(6, 6, learning_rate=1e-3, scale=10.0, reid_frames=3, validations=2)


def matcher(sequence: mot.Sequence, folder: Path) -> Training:
    network = matchers.create("seq_gru", hidden_size=8)
    assert network.core.dropout == 0.2
    return MatcherTraining(network, PAIRS, DHNSchedule(7, batch=4, learning_rate=3e-3), SEED)


def prices(sequence: mot.Sequence, folder: Path) -> Training:
    network = matchers.create("min_sum", hidden_size=4, layers=1)
    schedule = PriceSchedule(7, entries=40, unroll_fraction=0.6, uniform=0.5)
    return PriceTraining(network, PAIRS, schedule, SEED)


def detector(sequence: mot.Sequence, folder: Path) -> Training:
    return DetectorTraining(
        Tracktor("tiny", side=96).detector, [sequence], DetectorSchedule(6, images=1), SEED
    )


def goturn(sequence: mot.Sequence, folder: Path) -> Training:
    network = GOTURN(size=32, widths=(8, 8, 8, 8, 8), hidden=16)
    return SiameseTraining(network, [sequence], PairSchedule(6, frames=2, tracks=3), SEED)


def siamrpn(sequence: mot.Sequence, folder: Path) -> Training:
    network = SiamRPN(template=63, search=95, kernels=(5, 3, 3), widths=(8, 8, 16))
    return SiameseTraining(network, [sequence], PairSchedule(6, frames=2, tracks=3), SEED)


def reid(sequence: mot.Sequence, folder: Path) -> Training:
    return ReIDTraining(Embedder(units=16), [sequence], ReIDSchedule(6, people=3, pictures=2), SEED)


def deepmot(sequence: mot.Sequence, folder: Path) -> Training:
    tracktor = Tracktor("tiny", side=96, reid=True)
    return DeepMOTTraining(
        tracktor,
        [sequence],
        "dMOTA+dMOTP",
        matchers.create("sinkhorn", eps_end=0.05, rounds=10),
        DEEPMOT,
        SEED,
        reid=True,
        validation=lambda: -float(tracktor.reid.linear.weight.norm()),
        matrices=folder / "matrices",
    )


def rollout(sequence: mot.Sequence, folder: Path) -> Training:
    """Killed in the middle of a clip: the tracks that it has by then are part of what must be kept."""
    tracktor = Tracktor("tiny", side=96, reid=True)
    schedule = RolloutSchedule(6, frames=6, learning_rate=1e-3, scale=10.0, validations=2)
    return RolloutTraining(
        tracktor,
        [sequence],
        "dMOTA+dMOTP",
        matchers.create("sinkhorn", eps_end=0.05, rounds=10),
        schedule,
        SEED,
        validation=lambda: -float(tracktor.reid.linear.weight.norm()),
        matrices=folder / "matrices",
    )


def head(sequence: mot.Sequence, folder: Path) -> Training:
    tracktor, schedule = Tracktor("tiny", side=96, reid=True), HeadSchedule(6, frames=6, people=4)
    people = gather(tracktor, [sequence], schedule)
    return HeadTraining(tracktor.reid, people, "cross-entropy", None, schedule, SEED)


KINDS = [matcher, prices, detector, goturn, siamrpn, reid, deepmot, rollout, head]
Kind = Callable[[mot.Sequence, Path], Training]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> mot.Sequence:
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 16, (120, 160))[0]


@pytest.fixture
def always_saved(monkeypatch):
    monkeypatch.setattr(trainer, "_SAVE_EVERY_S", -1.0)


def start(kind: Kind, sequence: mot.Sequence, folder: Path) -> tuple[Training, CheckpointFile]:
    """A training whose network starts with the same weights each time, as in another process."""
    torch.manual_seed(0)
    training = kind(sequence, folder)
    torch.manual_seed(99)
    return training, CheckpointFile(folder / "checkpoint.pt", {"kind": kind.__name__})


def kill(training: Training, step: int) -> None:
    """From now on the training dies when it comes to a step."""
    compute = training.loss

    def loss(at: int) -> dict[str, torch.Tensor]:
        if at == step:
            raise KeyboardInterrupt
        return compute(at)

    training.loss = loss


@every_kind
def test_a_training_that_was_killed_goes_on_to_the_same_bits(sequence, kind, tmp_path, always_saved):
    whole, place = start(kind, sequence, tmp_path / "whole")
    expected = trainer.train(whole, place)
    killed, place = start(kind, sequence, tmp_path / "killed")
    kill(killed, KILLED_AT)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(killed, place)
    resumed, _ = start(kind, sequence, tmp_path / "killed")
    kill(resumed, KILLED_AT - 1)
    history = trainer.train(resumed, place)
    first = 0 if whole.validations else 1
    assert history.equals(expected) and history["step"].tolist() == list(range(first, whole.steps + 1))
    ours, theirs, cut = (training.network.state_dict() for training in (resumed, whole, killed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert any(not torch.equal(cut[name], theirs[name]) for name in theirs)
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.npy"))
    assert len(files) == (whole.steps if kind in (deepmot, rollout) else 0)
    for file in files:
        assert np.array_equal(*(np.load(tmp_path / run / file) for run in ("whole", "killed")))


@every_kind
def test_a_finished_training_returns_at_once(sequence, kind, tmp_path):
    first, place = start(kind, sequence, tmp_path)
    history = trainer.train(first, place)
    again, _ = start(kind, sequence, tmp_path)
    kill(again, 0)
    assert trainer.train(again, place).equals(history)
    ours, theirs = again.network.state_dict(), first.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@every_kind
def test_a_gradient_that_is_not_finite_stops_it(sequence, kind, tmp_path, always_saved):
    """Its loss is finite: sqrt has no slope at 0."""
    training, place = start(kind, sequence, tmp_path)
    compute, weights = training.loss, training.optimizer.param_groups[0]["params"][0]

    def loss(step: int) -> dict[str, torch.Tensor]:
        return compute(step) | ({"extra": (weights * 0).sum().sqrt()} if step == 2 else {})

    training.loss = loss
    with pytest.raises(FloatingPointError, match=r"step 3 of \d: the gradient is not finite: 'extra' by "):
        trainer.train(training, place)
    state = torch.load(place.path, weights_only=True)
    ours = training.network.state_dict()
    assert state["step"] == 2 and all(value.isfinite().all() for value in state["network"].values())
    trained = {name for name, _ in training.network.named_parameters()}
    assert all(torch.equal(ours[name], state["network"][name]) for name in trained), "they have not moved"
