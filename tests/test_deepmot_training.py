"""A tracker's training by clips of a rendered sequence, its checkpoint and what it leaves behind."""

import dataclasses

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from deepmot_lib import matchers
from deepmot_lib.data import mot, synthetic
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import matrices, trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.deepmot import DeepMOTTraining
from deepmot_lib.training.matrices import collected
from deepmot_lib.training.schedules import TrackerSchedule

from .test_clip_loss import Shifter

pytestmark = pytest.mark.slow

SCHEDULE = TrackerSchedule(steps=60, reid_steps=6, learning_rate=0.02, scale=10.0, reid_frames=3)


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> mot.Sequence:
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 16, (96, 128))[0]


def shifter(**options) -> Shifter:
    """One that is wrong at first: it looks a third of a person to the right."""
    torch.manual_seed(0)
    tracker = Shifter(**options)
    tracker.options = {}
    with torch.no_grad():
        tracker.shift += torch.tensor([0.35, 0.0, 0.35, 0.0])
    return tracker


def sinkhorn() -> matchers.Matcher:
    return matchers.create("sinkhorn", eps_end=0.05, rounds=30)


def train(tracker, sequence, folder, objective="dMOTA+dMOTP", matcher="sinkhorn", **options):
    """The history; the checkpoint and the matrices are left in ``folder``."""
    matcher = sinkhorn() if matcher == "sinkhorn" else matcher
    schedule = options.pop("schedule", SCHEDULE)
    training = DeepMOTTraining(
        tracker, [sequence], objective, matcher, schedule, 0, matrices=folder / "matrices", **options
    )
    return trainer.train(training, CheckpointFile(folder / "a.pt", {}))


@torch.no_grad()
def overlap(tracker, sequence) -> float:
    """Mean overlap of where people are followed to with where they went, in the first half."""
    gt = mot.pedestrians(sequence.gt())
    found = []
    for frame in mot.split(sequence)["train"][:-1]:
        both = gt[gt.frame == frame].merge(gt[gt.frame == frame + 1], on="id", suffixes=("", "_next"))
        before, now = (
            torch.tensor(both[[f"{side}{end}" for side in ("x1", "y1", "x2", "y2")]].to_numpy(np.float32))
            for end in ("", "_next")
        )
        found.append(box_iou(tracker.propagate(None, before, None).boxes, now).diagonal())
    return torch.cat(found).mean().item()


@pytest.mark.parametrize("objective", ["dMOTA+dMOTP", "smooth_l1"])
def test_it_learns_from_clips_of_a_sequence(sequence, tmp_path, objective):
    tracker = shifter()
    before = overlap(tracker, sequence)
    matcher = None if objective == "smooth_l1" else sinkhorn()
    history = train(tracker, sequence, tmp_path, objective, matcher)
    assert overlap(tracker, sequence) > before + 0.15 and not tracker.training
    assert history["step"].iloc[-1] == 60 and history["loss"].equals(history[objective])
    assert (history["scores"] == 0).all(), "it has none"
    assert history["loss"].tail(15).mean() < 0.9 * history["loss"].head(15).mean()


def test_the_matrices_that_the_matcher_was_asked_are_left_beside_the_checkpoint(sequence, tmp_path):
    asked, rule = [], sinkhorn()

    def spy(distance):
        asked.append(distance[0].detach().numpy())
        return rule(distance)

    train(shifter(), sequence, tmp_path / "run", matcher=spy)
    assert len(list((tmp_path / "run" / "matrices").iterdir())) == 60
    found = collected(tmp_path)
    assert len(found) == 60 and all(np.array_equal(a, b) for a, b in zip(found, asked, strict=True))
    np.save(tmp_path / "run" / "matrices" / "0000060.npy", np.zeros((0, 3), np.float32))
    assert len(collected(tmp_path)) == 60, "one of no rows is no matrix to learn from"


def test_of_a_long_training_about_a_hundred_matrices_are_kept(sequence, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "_MATRICES", 4)
    train(shifter(), sequence, tmp_path, schedule=dataclasses.replace(SCHEDULE, steps=9))
    names = [file.name for file in sorted((tmp_path / "matrices").iterdir())]
    assert names == ["0000000.npy", "0000002.npy", "0000004.npy", "0000006.npy", "0000008.npy"]


def test_smooth_l1_asks_no_matcher_and_leaves_no_matrices(sequence, tmp_path):
    def never(distance):
        pytest.fail("asked")

    train(shifter(), sequence, tmp_path, "smooth_l1", never)
    assert collected(tmp_path) == []


def test_with_a_head_clips_are_longer_and_it_learns_too(sequence, tmp_path):
    tracker = shifter(looks=True)
    before = tracker.project.weight.clone()
    history = train(tracker, sequence, tmp_path, reid=True)
    assert history["step"].iloc[-1] == SCHEDULE.reid_steps
    assert tracker.seen == SCHEDULE.reid_steps * SCHEDULE.reid_frames
    assert not torch.equal(before, tracker.project.weight)


def test_only_tracktors_heads_are_trained(sequence, tmp_path):
    torch.manual_seed(0)
    tracker = Tracktor("tiny", side=96, reid=True)
    before = {name: value.clone() for name, value in tracker.state_dict().items()}
    schedule = dataclasses.replace(SCHEDULE, reid_steps=3, learning_rate=1e-3)
    train(tracker, sequence, tmp_path, reid=True, schedule=schedule)
    changed = {name for name, value in tracker.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"detector", "reid"}
    assert all(name.startswith(("detector.roi_heads.", "reid.")) for name in changed)
    mine = {id(parameter) for parameter in tracker.trained("paper")}
    assert changed == {name for name, parameter in tracker.named_parameters() if id(parameter) in mine}


def test_the_state_that_validates_best_is_kept(sequence, tmp_path):
    tracker, seen, scores = shifter(), [], [0.5, 0.2, 0.9, 0.9, 0.1]

    def validate():
        assert not tracker.training and not torch.is_grad_enabled()
        seen.append(tracker.shift.detach().clone())
        return scores[len(seen) - 1]

    schedule = dataclasses.replace(SCHEDULE, steps=8, validations=4)
    history = train(tracker, sequence, tmp_path, validation=validate, schedule=schedule)
    validated = history[history["validation"].notna()]
    assert validated["step"].tolist() == [0, 2, 4, 6, 8]
    assert validated["validation"].tolist() == scores
    assert torch.equal(tracker.shift, seen[2]) and not torch.equal(seen[2], seen[4])


def test_a_training_without_validation_ends_with_its_last_weights(sequence, tmp_path):
    history = train(shifter(), sequence, tmp_path, schedule=dataclasses.replace(SCHEDULE, steps=3))
    assert "validation" not in history


def test_a_training_anew_leaves_no_matrices_of_the_one_before(sequence, tmp_path):
    """A shorter one does not overwrite them all."""
    train(shifter(), sequence, tmp_path, schedule=dataclasses.replace(SCHEDULE, steps=6))
    train(shifter(), sequence, tmp_path, schedule=dataclasses.replace(SCHEDULE, steps=4))
    assert sorted(file.stem for file in tmp_path.rglob("*.npy")) == [f"{step:07d}" for step in range(4)]


def test_a_damaged_matrix_is_named(tmp_path):
    (tmp_path / "matrices").mkdir()
    np.save(tmp_path / "matrices" / "0000000.npy", np.zeros((2, 3), np.float32))
    (tmp_path / "matrices" / "0000001.npy").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"0000001\.npy: damaged, delete it"):
        collected(tmp_path)


def test_a_loss_that_is_not_finite_stops_it(sequence, tmp_path):
    tracker = shifter()
    torch.nn.init.constant_(tracker.shift, torch.inf)
    with pytest.raises(FloatingPointError, match="shifter, smooth_l1, step 1 of 60: the boxes or embeddings"):
        train(tracker, sequence, tmp_path, "smooth_l1", None)
    assert not (tmp_path / "a.pt").exists()


def test_sequences_without_a_clip_are_refused(sequence, tmp_path):
    with pytest.raises(ValueError, match="no sequence has 2 consecutive frames with people"):
        train(shifter(), sequence, tmp_path, schedule=dataclasses.replace(SCHEDULE, min_visibility=1.1))
    assert list(tmp_path.iterdir()) == []
