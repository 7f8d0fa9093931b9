"""The training of a ReID head on features of people: what is gathered, and that each loss teaches."""

import pytest
import torch
from torch.nn.functional import normalize

from deepmot_lib import matchers
from deepmot_lib.data import mot, synthetic
from deepmot_lib.distance import appearance_distance
from deepmot_lib.trackers.reid_head import ROI, ReIDHead
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.head import FramePeople, HeadTraining, gather
from deepmot_lib.training.objectives import OBJECTIVES
from deepmot_lib.training.schedules import HeadSchedule

CHANNELS, PEOPLE = 1, 5
FEATURES = CHANNELS * ROI[0] * ROI[1]
SCHEDULE = HeadSchedule(steps=100, learning_rate=3e-3)


def album(frames: int = 12, noise: float = 0.6) -> list[FramePeople]:
    """People told apart by a few of their features, under much that changes from frame to frame."""
    generator = torch.Generator().manual_seed(0)
    faces = torch.zeros(PEOPLE, FEATURES)
    faces[:, :6] = 4 * torch.randn(PEOPLE, 6, generator=generator)

    def look() -> torch.Tensor:
        other = 4 * noise * torch.randn(PEOPLE, FEATURES, generator=generator)
        other[:, :6] /= 10
        return (faces + other + 3).half()

    return [FramePeople("A", 5 * k, torch.arange(PEOPLE), look(), look()) for k in range(frames)]


def told_apart(head: ReIDHead, people: list[FramePeople]) -> float:
    """How much nearer people in the last frame are to themselves in the first than to others."""
    with torch.no_grad():
        first, last = (head(frame.objects.float()) for frame in (people[0], people[-1]))
    distance, same = appearance_distance(last, first), torch.eye(PEOPLE, dtype=torch.bool)
    return (distance[~same].mean() - distance[same].mean()).item()


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dMOTA+dMOTP", "dMOTP", "triplet"])
def test_each_loss_teaches_the_head_who_is_who(objective, tmp_path):
    torch.manual_seed(0)
    head, people = ReIDHead(CHANNELS), album()
    matcher = matchers.load("seq_gru", pairs="eq3") if objective in OBJECTIVES else None
    training = HeadTraining(head, people, objective, matcher, SCHEDULE, 0)
    before = told_apart(head, people)
    history = trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    assert told_apart(head, people) > before + 0.1
    assert list(history)[2] == objective and history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_the_cross_entropy_classifies_the_people(tmp_path):
    torch.manual_seed(0)
    head, people = ReIDHead(CHANNELS), album()
    training = HeadTraining(head, people, "cross-entropy", None, SCHEDULE, 0)
    trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    features = torch.cat([frame.objects for frame in people]).float()
    with torch.no_grad():
        cosines = normalize(head(features), dim=1) @ normalize(training.network["classifier"].weight, dim=1).T
    assert torch.equal(cosines.argmax(1), training.identities)


def test_the_standardization_is_that_of_all_people():
    head, people = ReIDHead(CHANNELS), album()
    HeadTraining(head, people, "triplet", None, SCHEDULE, 0)
    features = torch.cat([frame.objects for frame in people]).float()
    standard = head.standardize(features)
    torch.testing.assert_close(standard.mean(0), torch.zeros(FEATURES), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(0), torch.ones(FEATURES), atol=1e-3, rtol=0)
    head.train()
    torch.testing.assert_close(head(features[:1]), head(features)[:1])  # alone or among others


def test_tracks_lie_before_their_objects_and_not_too_long():
    training = HeadTraining(
        ReIDHead(CHANNELS), album(), "dMOTP", matchers.load("min_sum"), HeadSchedule(1, max_frame_gap=20), 0
    )
    for step in range(30):
        now, past = training._draw(training.rng(step))
        assert all(0 < now.frame - frame.frame <= 20 for frame in past) or (now.frame == 0 and past == [now])
        assert len({frame.frame for frame in past}) == len(past) == min(3, max(1, now.frame // 5))


@pytest.mark.parametrize(("objective", "people"), [("iou", 5), ("dMOTP", 5)])
def test_what_it_cannot_be_trained_by_is_named(objective, people):
    with pytest.raises(ValueError, match=f"cannot be trained by '{objective}'"):
        HeadTraining(ReIDHead(CHANNELS), album(), objective, None, SCHEDULE, 0)


def test_one_person_is_nobody_to_tell_apart():
    people = [frame._replace(identities=torch.zeros(PEOPLE, dtype=torch.long)) for frame in album()]
    with pytest.raises(ValueError, match="fewer than two people"):
        HeadTraining(ReIDHead(CHANNELS), people, "triplet", None, SCHEDULE, 0)


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> mot.Sequence:
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 20, (96, 128))[0]


def test_features_are_gathered_from_frames_spread_over_the_part(sequence):
    tracktor = Tracktor("tiny", side=96)
    tracktor.eval()
    people = gather(tracktor, [sequence], HeadSchedule(1, frames=3, people=2))
    train = mot.split(sequence)["train"]
    first, middle, last = (frame.frame for frame in people)
    assert train[0] <= first < middle < last <= train[-1] and abs(first + last - 2 * middle) <= 2
    for frame in people:
        count = len(frame.identities)
        assert count <= 2 and frame.objects.dtype == torch.float16
        assert frame.objects.shape == frame.tracks.shape == (count, 32 * ROI[0] * ROI[1])
    again = gather(tracktor, [sequence], HeadSchedule(1, frames=3, people=2))
    assert all(torch.equal(a.tracks, b.tracks) for a, b in zip(people, again, strict=True))


def test_a_part_without_people_is_named(sequence):
    with pytest.raises(ValueError, match="no sequence has two people in one frame of its part 'train'"):
        gather(Tracktor("tiny", side=96), [sequence], HeadSchedule(1, min_visibility=2.0))
