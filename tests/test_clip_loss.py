"""The loss of a clip, worked by hand and through a tracker that only knows how to shift boxes."""

import pytest
import torch
from torch import nn

from deepmot_lib import matchers
from deepmot_lib.data import mot
from deepmot_lib.distance import appearance_distance, box_distance
from deepmot_lib.loss import DeepMOTLoss
from deepmot_lib.trackers.tracker import Propagation, Tracker
from deepmot_lib.training.clips import Clips, LabeledFrame
from deepmot_lib.training.deepmot import clip_loss
from deepmot_lib.training.objectives import LOSSES
from deepmot_lib.training.perturbation import perturb

pytestmark = pytest.mark.slow

SIZE = (120, 160)
BOXES = torch.tensor([[10.0, 20, 40, 100], [70, 20, 100, 100], [120, 30, 145, 95]])


class Shifter(Tracker):
    """Moves every box by the same learnt shares of its size; its embedding is the place that it looks at."""

    name = "shifter"

    def __init__(self, looks: bool = False):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))
        self.project = nn.Linear(4, 3) if looks else None
        self.seen = 0

    def encode(self, image):
        self.seen += 1
        return image

    def init_memory(self, seen, boxes):
        return boxes.new_zeros(len(boxes), 0) if self.project is None else self.project(boxes / 100)

    def propagate(self, seen, boxes, memory):
        size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        looks = None if self.project is None else self.project(boxes / 100)
        return Propagation(boxes + self.shift * size, torch.ones(len(boxes)), looks)


def clip(*frames: tuple[torch.Tensor, list[int]]) -> list[LabeledFrame]:
    return [LabeledFrame(torch.zeros(3, *SIZE), boxes, ids) for boxes, ids in frames]


def steady(length: int = 2, move: float = 0.0) -> list[LabeledFrame]:
    """Three people who all walk to the right."""
    step = torch.tensor([move, 0, move, 0])
    return clip(*((BOXES + k * step, [1, 2, 3]) for k in range(length)))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_loss_is_that_of_the_perturbed_boxes():
    frames, tracker = steady(move=6.0), Shifter()
    matcher = matchers.load("min_sum")
    found = clip_loss(tracker, frames, "dMOTA+dMOTP", matcher, 10.0, generator=seeded())
    distance = box_distance(perturb(BOXES, seeded()), frames[1].boxes, SIZE)
    other = DeepMOTLoss(scale=10.0)
    other(1 - torch.eye(3), torch.eye(3), [1, 2, 3], [1, 2, 3])
    expected = other(distance, matcher(distance[None])[0], [1, 2, 3], [1, 2, 3]).total
    torch.testing.assert_close(found.loss, expected)
    torch.testing.assert_close(found.distances, [distance])


def test_the_objectives_are_the_parts_of_eq_9():
    def value(objective: str) -> float:
        matcher = matchers.load("sinkhorn")
        frames = clip(
            (BOXES, [1, 2, 3]), (BOXES[[1, 0, 2]], [1, 2, 4])
        )  # 1 and 2 have changed places, 3 left
        return clip_loss(Shifter(), frames, objective, matcher, 10.0, generator=seeded()).loss.item()

    both, without = value("dMOTA+dMOTP"), value("dMOTA+dMOTP-IDS")
    assert both == pytest.approx(value("dMOTA") + value("dMOTP"), rel=1e-5)
    assert both - without == pytest.approx(2 * 2 / 3, abs=0.3), "two switches of three objects, gamma 2"


@pytest.mark.parametrize(
    ("order", "switches"), [([0, 1, 2], 0), ([1, 0, 2], 2), ([2, 1, 0], 0), ([1, 2, 0], 1)]
)
def test_a_match_that_the_frame_before_did_not_have_is_a_switch(order, switches):
    """Counts, for a 0/1 matcher: 1 and 2 have been there, 9 comes in the second frame, where nobody tracks it
    yet: a miss. In the third the people stay; 1 and 2 swap their places; 1 and 9 do, but neither 9 nor its
    track had a match before; each takes the next one's place, and only 1 that of an old track.
    """
    frames = clip((BOXES[:2], [1, 2]), (BOXES, [1, 2, 9]), (BOXES[order], [1, 2, 9]))
    found = clip_loss(Shifter(), frames, "dMOTA", matchers.load("hungarian"), generator=seeded())
    assert found.loss.item() == pytest.approx((1 / 3 + 2 * switches / 3) / 2, abs=1e-5)


def test_tracks_had_their_own_objects_before_the_clip():
    """Two who swap their places in its first step are two switches, of weight 2 for 2 people."""
    frames = clip((BOXES[:2], [1, 2]), (BOXES[[1, 0]], [1, 2]))
    found = clip_loss(Shifter(), frames, "dMOTA", matchers.load("hungarian"), generator=seeded())
    assert found.loss.item() == pytest.approx(2 * 2 / 2, abs=1e-5)


@pytest.mark.parametrize("objective", LOSSES)
def test_every_objective_teaches_the_way_that_people_walk(objective):
    """Only boxes of the right shift match best, whichever measure asks."""
    torch.manual_seed(0)
    tracker = Shifter()
    matcher = matchers.create("sinkhorn", eps_end=0.05, rounds=30)
    optimizer, generator = torch.optim.Adam(tracker.parameters(), 0.02), torch.Generator().manual_seed(0)
    for _ in range(120):
        optimizer.zero_grad()
        clip_loss(tracker, steady(move=12.0), objective, matcher, 10.0, generator=generator).loss.backward()
        optimizer.step()
    wanted = 12 / 30  # of the width, of both edges
    assert tracker.shift[[0, 2]].mean().item() == pytest.approx(wanted, abs=0.15)
    assert tracker.shift[[1, 3]].abs().max() < 0.2


def test_smooth_l1_asks_where_the_own_object_went_and_not_the_nearest():
    frames = clip((BOXES, [1, 2, 3]), (BOXES[[1, 0]], [1, 2]))
    tracker = Shifter()
    found = clip_loss(tracker, frames, "smooth_l1", None, generator=seeded())
    start = perturb(BOXES, seeded())[:2]
    size = (BOXES[:2, 2:] - BOXES[:2, :2]).repeat(1, 2)
    error = ((start - BOXES[[1, 0]]) / size).abs()
    expected = torch.where(error < 0.1, error**2 / 0.2, error - 0.05).mean()
    torch.testing.assert_close(found.loss, expected)
    assert found.distances == []


def test_embeddings_enter_the_distance():
    torch.manual_seed(1)
    tracker, matcher = Shifter(looks=True), matchers.create("sinkhorn", eps_end=0.1, rounds=20)
    asked = []

    def spy(distance):
        asked.append(distance[0].detach())
        return matcher(distance)

    with torch.no_grad():
        looks = appearance_distance(tracker.project(BOXES / 100), tracker.project(BOXES / 100))
        place = box_distance(perturb(BOXES, seeded()), BOXES, SIZE)
    clip_loss(tracker, steady(), "dMOTA", spy, 10.0, True, seeded()).loss.backward()
    torch.testing.assert_close(asked.pop(), (place + looks) / 2)
    assert tracker.project.weight.grad.abs().sum() > 0, "the head learns through D"


def test_a_tracks_embedding_is_the_mean_of_those_so_far():
    tracker = Shifter(looks=True)
    asked = []
    clip_of_three = steady(3)
    clip_loss(
        tracker,
        clip_of_three,
        "dMOTA",
        lambda distance: asked.append(distance[0].detach()) or matchers.load("sinkhorn")(distance),
        reid=True,
        generator=seeded(),
    )
    generator = seeded()
    first, second = perturb(BOXES, generator), perturb(BOXES, generator)
    with torch.no_grad():
        # At the object itself where a track starts, then where it was followed to.
        mean = (tracker.project(BOXES / 100) + tracker.project(first / 100)) / 2
        looks = appearance_distance(mean, tracker.project(BOXES / 100))
    torch.testing.assert_close(asked[1], (box_distance(second, BOXES, SIZE) + looks) / 2)


def test_a_frame_is_seen_once():
    tracker = Shifter()
    clip_loss(tracker, steady(4), "dMOTP", matchers.load("sinkhorn"))
    assert tracker.seen == 4


@pytest.mark.parametrize(
    ("objective", "matcher", "reid", "message"),
    [
        ("mota", "sinkhorn", False, "unknown objective 'mota'"),
        ("dMOTA", None, False, "dMOTA needs a matcher"),
        ("dMOTA", "sinkhorn", True, "shifter has no embeddings"),
    ],
)
def test_what_does_not_fit_is_named(objective, matcher, reid, message):
    with pytest.raises(ValueError, match=message):
        clip_loss(Shifter(), steady(), objective, matcher and matchers.load(matcher), reid=reid)


@pytest.mark.parametrize("objective", LOSSES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_a_tracker_that_has_diverged_is_named(objective, value):
    tracker = Shifter()
    torch.nn.init.constant_(tracker.shift, value)
    with pytest.raises(FloatingPointError, match="the boxes or embeddings of shifter"):
        clip_loss(tracker, steady(), objective, matchers.load("min_sum"), generator=seeded())


def test_clips_stay_in_their_part_and_follow_the_ground_truth(smoke):
    sequence = smoke.rendered[0]
    clips = Clips([sequence], length=3, min_visibility=0.0)
    assert len(clips) == len(mot.split(sequence)["train"]) - 2
    last = clips[len(clips) - 1]
    gt = mot.pedestrians(sequence.gt())
    frame = mot.split(sequence)["train"][-1]
    assert last[-1].ids == gt[gt.frame == frame]["id"].tolist()
    assert last[-1].image.shape == (3, *sequence.image_size) and last[-1].image_size == sequence.image_size
    with pytest.raises(ValueError, match="no sequence has 50 consecutive frames"):
        Clips([sequence], length=50)


def test_frames_without_people_are_in_no_clip(smoke):
    sequence = smoke.rendered[0]
    gt = sequence.gt()

    class Gap:
        frames, image = sequence.frames, sequence.image

        def gt(self):
            return gt[gt["frame"] != 5]

    clips = Clips([Gap()], length=2, min_visibility=0.0)
    assert len(clips) == sequence.length // 2 - 1 - 2, "neither the one that ends in frame 5 nor the next"


@pytest.mark.parametrize("objective", LOSSES)
def test_boxes_outside_of_the_image_and_people_who_leave_have_a_gradient(objective):
    outside = torch.tensor([[-90.0, -80, -50, -20], [150, 100, 250, 190], [400, 400, 430, 480]])
    frames = clip((outside, [1, 2, 3]), (torch.cat([BOXES[:1], outside[1:2]]), [7, 2]))
    tracker = Shifter()
    clip_loss(tracker, frames, objective, matchers.load("min_sum"), 10.0, generator=seeded()).loss.backward()
    assert tracker.shift.grad.isfinite().all() and tracker.shift.grad.abs().sum() > 0


def test_nobody_who_stays_is_nothing_to_learn_by_smooth_l1():
    tracker = Shifter()
    frames = clip((BOXES, [1, 2, 3]), (BOXES, [4, 5, 6]))
    found = clip_loss(tracker, frames, "smooth_l1", None, generator=seeded()).loss
    found.backward()
    assert found.item() == 0 and tracker.shift.grad.abs().sum() == 0


def test_more_than_three_hundred_people_in_a_frame():
    boxes = torch.tensor([(x, y, x + 7.0, y + 9.0) for x in range(0, 160, 8) for y in range(0, 119, 7)])
    ids = list(range(len(boxes)))
    frames = clip((boxes, ids), (boxes + torch.tensor([1.0, 0, 1, 0]), ids))
    tracker = Shifter()
    found = clip_loss(tracker, frames, "dMOTA+dMOTP", matchers.load("min_sum"), 10.0, generator=seeded()).loss
    found.backward()
    assert len(ids) == 340 and found.isfinite()
    assert tracker.shift.grad.isfinite().all() and tracker.shift.grad.abs().sum() > 0


def test_the_scores_are_kept_true_where_their_layers_are_trained():
    """Their loss is weighted, and is that of where the objects truly are; who has left has no place."""

    class Scorer(Shifter):
        score_weight = 10.0

        def propagate_with_score_loss(self, encoded, boxes, memory, targets):
            self.targets = targets
            return self.propagate(encoded, boxes, memory), self.shift.sum() + 0.5

    tracker, (first, second) = Scorer(), steady(move=6.0)
    frames = [first, second._replace(boxes=second.boxes[[2, 0]], ids=[3, 1])]
    found = clip_loss(tracker, frames, "smooth_l1", None, generator=seeded())
    assert found.score_loss.item() == pytest.approx(5.0)
    torch.testing.assert_close(tracker.targets[[0, 2]], second.boxes[[0, 2]])
    assert tracker.targets[1].isnan().all()
