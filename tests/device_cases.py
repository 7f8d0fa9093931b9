"""Every training, small: what the tests of the fake GPU and of a real one run on both devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from unittest import mock

import pandas as pd
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from deepmot_lib import matchers
from deepmot_lib.data import mot
from deepmot_lib.trackers.goturn import GOTURN
from deepmot_lib.trackers.reid import Embedder
from deepmot_lib.trackers.siamrpn import SiamRPN
from deepmot_lib.trackers.tracker import Tracker
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.deepmot import DeepMOTTraining
from deepmot_lib.training.detector import DetectorTraining
from deepmot_lib.training.head import HeadTraining, gather
from deepmot_lib.training.matcher import MatcherTraining
from deepmot_lib.training.objectives import LOSSES
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

STEPS, SEED = 4, 1
_ALL = 10**6  # samples: so many are never there, and none are drawn

#: A training on a sequence, of a new network on a device.
Case = Callable[[mot.Sequence, str], Training]


def new_tracker(name: str, head: bool = False) -> Tracker:
    """Return an untrained, tiny tracker; the same weights each time."""
    torch.manual_seed(0)
    if name == "tracktor":
        tracktor = Tracktor("tiny", side=96, reid=head)
        # Torchvision draws anchors and proposals on the device, whose random numbers are its own.
        for sampler in (tracktor.detector.rpn, tracktor.detector.roi_heads):
            sampler.fg_bg_sampler.batch_size_per_image = _ALL
        return tracktor
    if name == "goturn":
        return GOTURN(size=32, widths=(8, 8, 8, 8, 8), hidden=16)
    return SiamRPN(template=63, search=95, kernels=(5, 3, 3), widths=(8, 8, 16))


def new_matcher(name: str, **options: float) -> matchers.Matcher:
    """Return an untrained, small matcher; the same weights each time."""
    torch.manual_seed(0)
    if name.endswith(("gru", "lstm")):
        options = {"hidden_size": 4, **options}
    return matchers.create(name, **options)


def _matcher(name: str, **options: float) -> Case:
    def training(sequence: mot.Sequence, device: str) -> Training:
        matcher, pairs = new_matcher(name, **options).to(device), random_pairs([(3, 4)] * 12 + [(2, 2)] * 8)
        if name == "min_sum":
            schedule = PriceSchedule(STEPS, entries=60, unroll_fraction=0.5, uniform=0.5)
            return PriceTraining(matcher, pairs, schedule, SEED)
        return MatcherTraining(matcher, pairs, DHNSchedule(STEPS, batch=4), SEED)

    return training


def _detector(sequence: mot.Sequence, device: str) -> Training:
    tracktor = new_tracker("tracktor").to(device)
    return DetectorTraining(tracktor.detector, [sequence], DetectorSchedule(STEPS, images=1), SEED)


def _siamese(name: str) -> Case:
    def training(sequence: mot.Sequence, device: str) -> Training:
        schedule = PairSchedule(STEPS, frames=2, tracks=3)
        return SiameseTraining(new_tracker(name).to(device), [sequence], schedule, SEED)

    return training


def _reid(sequence: mot.Sequence, device: str) -> Training:
    torch.manual_seed(0)
    embedder = Embedder(units=16).to(device)
    # Larger steps of triplets make a rounding error a thousandth of the loss in four steps.
    schedule = ReIDSchedule(STEPS, people=3, pictures=2, learning_rate=1e-5)
    return ReIDTraining(embedder, [sequence], schedule, SEED)


def _deepmot(name: str, objective: str, reid: bool = False, matcher: str = "min_sum") -> Case:
    def training(sequence: mot.Sequence, device: str) -> Training:
        tracker = new_tracker(name, reid).to(device)
        frozen = None if objective == "smooth_l1" else matchers.freeze(new_matcher(matcher)).to(device)
        schedule = TrackerSchedule(
            STEPS, STEPS, learning_rate=1e-3, reid_frames=3, min_visibility=0.9, validations=2
        )

        start = [parameter.detach().clone() for parameter in tracker.parameters()]

        def learned() -> float:  # 0 at the start, so that a trained state is kept
            pairs = zip(tracker.parameters(), start, strict=True)
            return float(sum((now - before).square().sum() for now, before in pairs))

        return DeepMOTTraining(tracker, [sequence], objective, frozen, schedule, SEED, reid, learned)

    return training


def _rollout(objective: str, reid: bool = False) -> Case:
    def training(sequence: mot.Sequence, device: str) -> Training:
        tracker, frozen = new_tracker("tracktor", reid).to(device), matchers.freeze(new_matcher("min_sum"))
        schedule = RolloutSchedule(STEPS, frames=3, learning_rate=1e-3, min_visibility=0.9)
        return RolloutTraining(tracker, [sequence], objective, frozen.to(device), schedule, SEED)

    return training


def _head(objective: str) -> Case:
    def training(sequence: mot.Sequence, device: str) -> Training:
        tracktor = new_tracker("tracktor", head=True).to(device)
        frozen = matchers.freeze(new_matcher("min_sum"))
        schedule = HeadSchedule(STEPS, frames=6, people=4, learning_rate=1e-4)
        people = gather(tracktor, [sequence], schedule)
        return HeadTraining(tracktor.reid, people, objective, frozen.to(device), schedule, SEED)

    return training


#: One of each kind.
TRAININGS: dict[str, Case] = {
    "seq_gru": _matcher("seq_gru", dropout=0.0),
    "paral_lstm": _matcher("paral_lstm", dropout=0.0),
    "1d_conv": _matcher("1d_conv"),
    "min_sum": _matcher("min_sum", hidden_size=4, layers=1),
    "detector": _detector,
    "goturn, pairs": _siamese("goturn"),
    "siamrpn, pairs": _siamese("siamrpn"),
    "reid": _reid,
    "tracktor": _deepmot("tracktor", "dMOTA+dMOTP", matcher="seq_gru"),
    "tracktor, head": _deepmot("tracktor", "dMOTA+dMOTP", reid=True),
    "tracktor, roll-out": _rollout("dMOTA+dMOTP", reid=True),
    "head": _head("dMOTA+dMOTP"),
    "goturn": _deepmot("goturn", "dMOTA+dMOTP"),
    "siamrpn": _deepmot("siamrpn", "dMOTA+dMOTP"),
}
#: What draws on the device, whose random numbers are its own.
RANDOM_TRAININGS: dict[str, Case] = {"seq_gru, dropout": _matcher("seq_gru", dropout=0.2)}
#: The other objectives of each tracker, of a roll-out and of a ReID head.
OBJECTIVES: dict[str, Case] = {
    f"{name}, {objective}": _deepmot(name, objective)
    for name in ("tracktor", "goturn", "siamrpn")
    for objective in LOSSES
    if objective != "dMOTA+dMOTP"
}
OBJECTIVES |= {
    f"tracktor, roll-out, {objective}": _rollout(objective, reid=True)
    for objective in LOSSES
    if objective != "dMOTA+dMOTP"
}
OBJECTIVES |= {f"head, {objective}": _head(objective) for objective in ("dMOTP", "cross-entropy", "triplet")}


def train(training: Training, checkpoint: Path) -> pd.DataFrame:
    """Run a training, from its checkpoint on where there is one; return its history."""
    return trainer.train(training, CheckpointFile(checkpoint, {}))


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Save after each step, and raise KeyboardInterrupt in the one after so many."""
    done = count(1)

    def kill(*_: object) -> None:
        if next(done) > steps:
            raise KeyboardInterrupt

    handle = register_optimizer_step_post_hook(kill)
    try:
        with mock.patch.object(trainer, "_SAVE_EVERY_S", -1.0):
            yield
    finally:
        handle.remove()
