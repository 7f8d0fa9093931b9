"""A roll-out worked by hand: tracks that go on from their own boxes, end, and are born along the clip."""

import pytest
import torch

from deepmot_lib import matchers
from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.data import mot, synthetic
from deepmot_lib.distance import appearance_distance, box_distance, jaccard_distance
from deepmot_lib.identities import FrameIds, MatchState
from deepmot_lib.loss import deepmot_loss, loss_terms
from deepmot_lib.soft_hota import HOTAFrame, soft_hota
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import rollout as module
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.objectives import LOSSES, ONE_OBJECT, unitrack
from deepmot_lib.training.rollout import Rollout, RolloutTraining, appearance_loss
from deepmot_lib.training.schedules import RolloutSchedule

from .test_clip_loss import BOXES, SIZE, Shifter, clip

SHIFT = 0.1  # what the tracker moves a box by, in widths


@pytest.fixture(autouse=True)
def exact_starts(monkeypatch):
    """Tracks start where their objects are: what they do next can be worked out by hand."""
    monkeypatch.setattr(module, "perturb", lambda boxes, generator: boxes)


def mover(looks: bool = False) -> Shifter:
    tracker = Shifter(looks)
    with torch.no_grad():
        tracker.shift += torch.tensor([SHIFT, 0, SHIFT, 0])
    return tracker


def moved(boxes: torch.Tensor, times: int) -> torch.Tensor:
    width = boxes[:, 2:3] - boxes[:, :1]
    return boxes + times * SHIFT * width * torch.tensor([1.0, 0, 1, 0])


def gated(distance: torch.Tensor) -> torch.Tensor:
    """Assign exactly, but nobody across half of the image: a 0/1 matcher, whose soft counts are counts."""
    return optimal_assignment(distance, gate=0.5)


def step(rollout: Rollout, frame, objective="dMOTA"):
    return rollout.step(frame, objective, gated, 100.0)


def test_tracks_go_on_from_their_own_boxes():
    """Nobody moves, but the tracker shifts by a tenth each frame: it drifts, and is not set back."""
    still = (BOXES, [1, 2, 3])
    frames, rollout = clip(still, still, still), Rollout(mover())
    rollout.start(frames[0])
    torch.testing.assert_close(rollout.boxes, BOXES)
    for times in (1, 2):
        _, distance = step(rollout, frames[times])
        torch.testing.assert_close(rollout.boxes, moved(BOXES, times))
        torch.testing.assert_close(distance, box_distance(moved(BOXES, times), BOXES, SIZE))
    assert rollout.track_ids.tolist() == [0, 1, 2] and not rollout.boxes.requires_grad


def test_tracks_without_an_object_end_and_new_objects_start_one():
    """2 leaves in the second frame, where 7 comes; 7 has a track from the third on."""
    frames = clip((BOXES[:2], [1, 2]), (BOXES[[0, 2]], [1, 7]), (BOXES[[0, 2]], [1, 7]), (BOXES[[2]], [7]))
    rollout = Rollout(mover())
    rollout.start(frames[0])
    terms, _ = step(rollout, frames[1])
    assert terms["boxes"].item() == pytest.approx((1 + 1) / 2, abs=1e-4), "a track too many, and a miss"
    assert rollout.track_ids.tolist() == [0, 2] and rollout.object_ids.tolist() == [1, 7]
    torch.testing.assert_close(rollout.boxes, torch.cat([moved(BOXES[:1], 1), BOXES[2:]]))
    terms, _ = step(rollout, frames[2])
    assert terms["boxes"].item() == pytest.approx(0, abs=1e-4)
    assert rollout.matches.tolist() == [[1, 0], [0, 1]] and rollout.ages.tolist() == [3, 2]
    step(rollout, frames[3])
    assert rollout.track_ids.tolist() == [2] and rollout.matches.tolist() == [[1]]


def test_a_track_that_loses_its_object_ends_and_the_object_gets_another():
    far = BOXES + 60
    rollout = Rollout(mover())
    frames = clip((BOXES[:1], [1]), (far[:1], [1]))
    rollout.start(frames[0])
    step(rollout, frames[1])
    torch.testing.assert_close(rollout.boxes, far[:1])
    assert rollout.ages.tolist() == [1], "it is another one"


def test_a_clip_starts_anew():
    rollout = Rollout(mover())
    rollout.start(clip((BOXES, [1, 2, 3]))[0])
    rollout.start(clip((BOXES[:1], [9]))[0])
    assert rollout.track_ids.tolist() == [0] and rollout.object_ids.tolist() == [9]


def test_boxes_and_embeddings_have_a_loss_of_their_own():
    """Two people look as if they had changed places; the boxes say that they have not: two switches."""
    torch.manual_seed(0)
    tracker, matcher = mover(looks=True), matchers.create("sinkhorn", eps_end=0.1, rounds=20)
    frames, rollout = clip((BOXES[:2], [1, 2]), (BOXES[:2], [1, 2])), Rollout(tracker)
    rollout.start(frames[0])
    swapped = tracker.project(BOXES[[1, 0]] / 100).detach()
    rollout.embeddings.copy_(swapped)
    terms, distance = rollout.step(frames[1], "dMOTA+dMOTP", matcher, 10.0)
    own = torch.eye(2)
    ids, state = FrameIds([0, 1], [1, 2]), MatchState(own, torch.tensor([0, 1]), torch.tensor([1, 2]))
    boxes, _ = deepmot_loss(distance, matcher(distance[None])[0], ids, state, gamma=0.0, scale=10.0)
    torch.testing.assert_close(terms["boxes"], boxes.total)
    looks = appearance_distance(swapped, tracker.project(BOXES[:2] / 100))
    expected = loss_terms(looks, matcher(looks[None])[0], own, own, scale=10.0)
    torch.testing.assert_close(terms["appearance"], expected.total)
    assert expected.ids > 0.5, "switches, for the boxes decide who is who"


def test_the_embedding_of_a_track_is_the_mean_of_those_so_far():
    tracker = mover(looks=True)
    still = (BOXES, [1, 2, 3])
    frames, rollout = clip(still, still, still), Rollout(tracker)
    rollout.start(frames[0])
    for frame in frames[1:]:
        step(rollout, frame)
    seen = [BOXES, BOXES, moved(BOXES, 1)]  # where it looks before it moves
    expected = sum(tracker.project(boxes / 100) for boxes in seen) / 3
    torch.testing.assert_close(rollout.embeddings, expected.detach())


@pytest.mark.parametrize("objective", LOSSES)
def test_tracktors_box_layer_learns_from_boxes_and_its_head_from_embeddings(objective):
    torch.manual_seed(0)
    tracktor = Tracktor("tiny", side=96, reid=True)
    rollout = Rollout(tracktor)
    frames = clip((BOXES, [1, 2, 3]), (BOXES[[0, 2]], [1, 3]))
    # In images that are all alike the embeddings are equal but for rounding: nothing to learn.
    frames = [frame._replace(image=torch.rand_like(frame.image)) for frame in frames]
    rollout.start(frames[0])
    terms, _ = rollout.step(frames[1], objective, matchers.create("sinkhorn", eps_end=0.1, rounds=20), 10.0)
    trained = {id(parameter) for parameter in tracktor.trained("release")}
    names = {id(parameter): name for name, parameter in tracktor.named_parameters()}
    assert {names[one].rsplit(".", 1)[0] for one in trained} == {
        "detector.roi_heads.box_predictor.bbox_pred",
        "reid.linear",
    }
    for term, layer in {"boxes": "bbox_pred", "appearance": "reid.linear"}.items():
        if term not in terms:
            assert objective in ONE_OBJECT, "a loss on boxes alone"
            continue
        gradients = torch.autograd.grad(
            terms[term], list(tracktor.parameters()), retain_graph=True, allow_unused=True
        )
        reached = {
            name
            for (name, parameter), gradient in zip(tracktor.named_parameters(), gradients, strict=True)
            if id(parameter) in trained and gradient is not None and gradient.abs().sum() > 0
        }
        assert reached and all(layer in name for name in reached)


def test_smooth_l1_pulls_each_track_to_its_own_object():
    """However far it has gone: it keeps the object that it was started at, until that leaves."""
    rollout = Rollout(mover())
    frames = clip((BOXES[:2], [1, 2]), (BOXES[[1, 0]], [1, 2]), (BOXES[[0]], [2]))
    rollout.start(frames[0])
    rollout.step(frames[1], "smooth_l1", None)
    assert rollout.matches.tolist() == [[1, 0], [0, 1]] and rollout.track_ids.tolist() == [0, 1]
    rollout.step(frames[2], "smooth_l1", None)
    assert rollout.track_ids.tolist() == [1] and rollout.object_ids.tolist() == [2]


def test_hota_is_that_of_the_clip_so_far():
    """Two people; in the last frame 2 has left and 7 is new, whom nobody tracks yet."""
    frames = clip((BOXES[:2], [1, 2]), (BOXES[:2], [1, 2]), (BOXES[[0, 2]], [1, 7]))
    rollout, matcher = Rollout(mover()), gated
    rollout.start(frames[0])
    tracks, seen = [BOXES[:2], moved(BOXES[:2], 1), moved(BOXES[:2], 2)], []
    for time, (boxes, frame) in enumerate(zip(tracks, frames, strict=True)):
        soft = gated(box_distance(boxes, frame.boxes, SIZE))
        seen.append(HOTAFrame(1 - jaccard_distance(boxes, frame.boxes), soft, FrameIds([0, 1], frame.ids)))
        if time:
            terms, _ = rollout.step(frame, "soft_hota", matcher)
            torch.testing.assert_close(terms["boxes"], 1 - soft_hota(seen).hota)
    rollout.start(frames[0])
    terms, _ = rollout.step(frames[1], "soft_hota", matcher)
    torch.testing.assert_close(terms["boxes"], 1 - soft_hota(seen[:2]).hota, msg="a clip starts anew")


def test_embeddings_are_trained_for_the_hota_of_two_frames():
    """Who looks like another costs detections and association; who looks like nobody costs detections."""
    own = torch.eye(2)
    objects = torch.tensor([[1.0, 0], [0, 1]])
    losses = [
        appearance_loss(tracks, objects, own, own, "soft_hota", optimal_assignment, 10.0).item()
        for tracks in (objects, objects[[1, 0]])
    ]
    assert losses[0] < 0.15, "the sigmoid at the highest thresholds is all that is missing"
    assert losses[1] > losses[0] + 0.2


def test_unitrack_of_a_roll_out_knows_where_its_tracks_have_been():
    frames = clip(*[(BOXES[:2], [1, 2])] * 2, (BOXES[[0, 2]], [1, 7]), (BOXES[[0, 2]], [1, 7]))
    rollout = Rollout(mover())
    rollout.start(frames[0])
    for frame in frames[1:3]:
        rollout.step(frame, "unitrack", None)
    assert rollout.ages.tolist() == [3, 1], "7 has just got its track"
    terms, _ = rollout.step(frames[3], "unitrack", None)
    now, nowhere = torch.cat([moved(BOXES[:1], 3), moved(BOXES[2:], 1)]), torch.full((1, 4), torch.nan)
    last = torch.cat([moved(BOXES[:1], 2), BOXES[2:]])
    before = torch.cat([moved(BOXES[:1], 1), nowhere])
    expected = unitrack(now, BOXES[[0, 2]], torch.eye(2), last, before, SIZE)
    torch.testing.assert_close(terms["boxes"], expected)


def test_a_tracker_that_has_diverged_is_named():
    tracker = mover()
    rollout = Rollout(tracker)
    frames = clip((BOXES, [1, 2, 3]), (BOXES, [1, 2, 3]))
    rollout.start(frames[0])
    torch.nn.init.constant_(tracker.shift, torch.nan)
    with pytest.raises(FloatingPointError, match="the boxes or embeddings of shifter"):
        step(rollout, frames[1])


def test_tracks_are_kept_with_the_weights_whatever_their_number():
    one, other = Rollout(mover()), Rollout(mover())
    one.start(clip((BOXES, [1, 2, 3]))[0])
    other.start(clip((BOXES[:1], [4]))[0])
    one.step(clip((BOXES, [1, 2, 3]))[0], "soft_hota", gated)
    other.load_state_dict(one.state_dict())
    assert len(other.history.frames()) == 2
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    other.step(clip((BOXES, [1, 2, 3]))[0], "dMOTA", matchers.load("hungarian"), 100.0)
    torch.testing.assert_close(one.boxes, moved(BOXES, 1), msg="a copy")


@pytest.mark.slow
def test_a_step_is_a_frame_of_a_clip(tmp_path, monkeypatch):
    sequence = synthetic.write_sequences(tmp_path, 1, 16, (96, 128))[0]
    tracker, seen = mover(), []
    tracker.options = {}
    schedule = RolloutSchedule(7, frames=4, learning_rate=0.01)
    training = RolloutTraining(tracker, [sequence], "dMOTA+dMOTP", matchers.load("min_sum"), schedule, 0)
    read = type(training.clips).frame
    monkeypatch.setattr(
        type(training.clips), "frame", lambda self, index, k: seen.append((index, k)) or read(self, index, k)
    )
    history = trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    assert [k for _, k in seen] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert len({index for index, _ in seen[:4]}) == 1 and len(history) == 7
    assert training.learning_rate(0) == training.learning_rate(6) == 0.01
    assert len(mot.split(sequence)["train"]) >= 4
