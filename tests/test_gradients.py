"""The pulls on the boxes point where each term of the loss gets smaller."""

import pytest
import torch

from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.distance import box_distance, jaccard_distance
from deepmot_lib.experiments import examples
from deepmot_lib.experiments.gradients import Frame, descend, forces
from deepmot_lib.loss import DeepMOTLoss

SIZE = (240, 320)
OBJECTS = torch.tensor([[60.0, 70, 110, 190], [150, 60, 200, 180]])
TRACKS = torch.tensor([[40.0, 60, 90, 180], [130, 65, 180, 190], [230, 40, 280, 160]])


def matcher(distance):
    """A smooth assignment: the geometric mean of the softmaxes over rows and columns."""
    return torch.sqrt(torch.softmax(-12 * distance, -1) * torch.softmax(-12 * distance, -2))


def clip():
    """Three tracks, two objects; tracks 1 and 2 have swapped theirs since the frame before."""
    last = Frame(TRACKS, [1, 2, 3], OBJECTS, [1, 2])
    return [last._replace(track_ids=[2, 1, 3]), last]


@pytest.mark.parametrize("name", ["FP", "FN", "IDS", "dMOTP", "loss"])
def test_a_small_step_along_the_pull_improves_its_term(name):
    frames = clip()
    soft_loss = DeepMOTLoss(scale=10.0)  # not saturated, so that a step shows
    before = forces(frames, matcher, SIZE, soft_loss)
    step = before.pulls[name]
    assert step.abs().max() > 0
    moved = frames[-1]._replace(predictions=TRACKS + 0.2 * step / step.abs().max())
    after = forces([frames[0], moved], matcher, SIZE, soft_loss)
    field = {"loss": "total", "dMOTP": "dmotp"}.get(name, name.lower())
    change = getattr(after.terms, field) - getattr(before.terms, field)
    assert change > 0 if name == "dMOTP" else change < 0


def test_earlier_frames_only_tell_the_identities():
    frames = clip()
    assert forces(frames, matcher, SIZE).terms.ids == pytest.approx(2, abs=1e-3)
    assert forces(frames[1:], matcher, SIZE).terms.ids == pytest.approx(0, abs=1e-3)
    assert frames[-1].predictions.grad is None


def test_forces_of_a_frame_without_objects_are_zero():
    frame = Frame(TRACKS, [1, 2, 3], torch.zeros(0, 4), [])
    result = forces([frame], lambda distance: distance, SIZE)
    assert result.terms.fp == 3
    assert all(pull.shape == (3, 4) and not pull.any() for pull in result.pulls.values())


def test_descent_reaches_a_disjoint_object_by_eq_3_and_not_by_jaccard():
    start, target = torch.tensor([[20.0, 20, 60, 120]]), torch.tensor([[200.0, 80, 260, 220]])
    path = descend(lambda boxes: box_distance(boxes, target, SIZE), start, 300, 2.0)
    assert path.shape == (301, 1, 4) and torch.equal(path[0], start)
    assert jaccard_distance(path[-1], target).item() < 0.1
    assert torch.equal(descend(lambda boxes: jaccard_distance(boxes, target), start, 5, 2.0)[-1], start)


def exact_counts(clip):
    """(FP, FN, IDS) of each frame with the exact assignment."""
    loss, result = DeepMOTLoss(), []
    for frame in clip:
        distance = box_distance(frame.predictions, frame.objects, examples.IMAGE_SIZE)
        terms = loss(distance, optimal_assignment(distance), frame.track_ids, frame.object_ids)
        result.append(tuple(round(value.item()) for value in (terms.fp, terms.fn, terms.ids)))
    return result


def test_hand_made_frames_hold_the_errors_that_they_are_said_to():
    assert exact_counts(examples.three_frames()) == [(0, 0, 0), (0, 1, 0), (1, 0, 2)]
    last = {name: exact_counts(clip)[-1] for name, clip in examples.fig9().items()}
    assert last == {"FP": (1, 0, 0), "FN": (0, 1, 0), "IDS": (0, 0, 2)}


def test_stories_of_switches():
    """CLEAR-MOT's column by its definition (Bernardin and Stiefelhagen 2008); the loss excuses newcomers
    and gaps."""
    counts = [tuple(examples.count_switches(story).values()) for story in examples.switch_cases().values()]
    assert counts == [(2, 2), (1, 1), (1, 1), (0, 0), (0, 0), (0, 1), (0, 1)]
