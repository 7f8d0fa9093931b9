"""GOTURN: what its outputs mean, by hand; batches against single tracks; boxes that no image holds."""

import math

import pytest
import torch

from deepmot_lib.trackers.crops import rectangles
from deepmot_lib.trackers.goturn import GOTURN

TINY = {"size": 32, "widths": (8, 8, 8, 8, 8), "hidden": 16}
BOXES = torch.tensor([[10.0, 12.0, 22.0, 40.0], [30.0, 5.0, 50.0, 45.0], [40.5, 20.25, 47.0, 36.0]])


@pytest.fixture
def image():
    return torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))


def network(random=True, **options):
    """Untrained; ``random``: with an output layer that is not zero."""
    torch.manual_seed(0)
    tracker = GOTURN(**TINY | options)
    if random:
        torch.nn.init.normal_(tracker.regressor[-1].weight, std=0.3)
    return tracker


def test_the_standard_size_has_a_few_million_parameters():
    assert 2e6 < sum(parameter.numel() for parameter in GOTURN().parameters()) < 8e6


def test_an_untrained_network_stays_where_it_was_and_is_undecided(image):
    tracker = network(random=False)
    found = tracker.propagate(image, BOXES, tracker.init_memory(image, BOXES))
    torch.testing.assert_close(found.boxes, BOXES)
    torch.testing.assert_close(found.scores, torch.full((3,), 0.5))
    assert found.appearance is None


def test_an_output_of_one_is_a_tenth_of_the_search_crop(image):
    tracker = network(random=False)
    with torch.no_grad():
        tracker.regressor[-1].bias.copy_(torch.tensor([1.0, 0.0, 1.0, 2.0, math.log(3)]))
    found = tracker.propagate(image, BOXES, tracker.init_memory(image, BOXES))
    # Context 2: the crops are twice the boxes' sizes; both x move by 0.1 of them, y2 by 0.2.
    width, height = 2 * torch.tensor([12.0, 20.0, 6.5]), 2 * torch.tensor([28.0, 40.0, 15.75])
    shift = torch.stack([0.1 * width, 0 * height, 0.1 * width, 0.2 * height], dim=1)
    torch.testing.assert_close(found.boxes, BOXES + shift)
    torch.testing.assert_close(found.scores, torch.full((3,), 0.75))


def test_all_tracks_in_one_batch_are_the_same_as_one_by_one(image):
    tracker = network()
    memory = tracker.init_memory(image, BOXES)
    together = tracker.propagate(image, BOXES, memory)
    for k in range(3):
        own = slice(k, k + 1)
        torch.testing.assert_close(tracker.init_memory(image, BOXES[own]), memory[own])
        alone = tracker.propagate(image, BOXES[own], memory[own])
        torch.testing.assert_close(alone.boxes, together.boxes[own])
        torch.testing.assert_close(alone.scores, together.scores[own])


def test_the_result_depends_on_the_template_and_on_the_frame(image):
    tracker = network()
    memory = tracker.init_memory(image, BOXES)
    found = tracker.propagate(image, BOXES, memory).boxes
    assert not torch.allclose(found, tracker.propagate(image, BOXES, memory.flip(0)).boxes)
    assert not torch.allclose(found, tracker.propagate(image.flip(2), BOXES, memory).boxes)


def test_boxes_and_scores_reach_every_parameter(image):
    tracker = network()
    for output in ("boxes", "scores"):
        tracker.zero_grad()
        found = tracker.propagate(image, BOXES, tracker.init_memory(image, BOXES))
        getattr(found, output).sum().backward()
        for name, parameter in tracker.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_no_gradient_reaches_the_frame_before(image):
    tracker = network()
    before = BOXES.clone().requires_grad_()
    tracker.propagate(image, before, tracker.init_memory(image, before)).boxes.sum().backward()
    assert before.grad is None


def test_the_options_make_the_same_network_again(image):
    tracker = network(context=2.5)
    again = GOTURN(**tracker.options)
    again.load_state_dict(tracker.state_dict())
    found, same = (one.propagate(image, BOXES, one.init_memory(image, BOXES)) for one in (tracker, again))
    assert torch.equal(found.boxes, same.boxes)


def test_the_loss_by_hand(image):
    tracker = network(random=False)
    memory, (crops, region) = tracker.init_memory(image, BOXES), tracker.search_crops(image, BOXES)
    assert torch.equal(region, rectangles(BOXES, 2.0))
    before = torch.tensor([[0.3, 0.2, 0.7, 0.8]]).expand(3, 4)
    target = before + torch.tensor([[0.1, 0.0, 0.0, -0.1], [0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]])
    present = torch.tensor([True, True, False])
    # The untrained network answers "no shift" and "one half": L1 of (1, 0, 0, 1, 0, 0, 0, 0) tenths is 1/4.
    loss = tracker.pair_loss(memory, crops, before, target, present)
    torch.testing.assert_close(loss, torch.tensor(math.log(2) + 0.25))
    loss.backward()
    # Two of three are present: the score's bias is pulled up, by 1/2 - 2/3.
    torch.testing.assert_close(tracker.regressor[-1].bias.grad[4], torch.tensor(-1 / 6))


def test_pairs_without_a_target_teach_the_score_alone(image):
    tracker = network()
    memory, (crops, _) = tracker.init_memory(image, BOXES), tracker.search_crops(image, BOXES)
    nobody = torch.zeros(3, dtype=torch.bool)
    tracker.pair_loss(memory, crops, torch.zeros(3, 4), torch.zeros(3, 4), nobody).backward()
    gradient = tracker.regressor[-1].bias.grad
    assert torch.equal(gradient[:4], torch.zeros(4))
    assert gradient[4] > 0


def test_the_score_loss_by_hand(image):
    tracker = network(random=False)
    with torch.no_grad():
        tracker.regressor[-1].bias[4] = math.log(3)
    memory = tracker.init_memory(image, BOXES)
    targets = BOXES + 1
    targets[1] = torch.nan  # has left
    found, loss = tracker.propagate_with_score_loss(image, BOXES, memory, targets)
    torch.testing.assert_close(found.boxes, BOXES)
    # The scores are 3/4: two are right, one is not.
    torch.testing.assert_close(loss, torch.tensor(-(2 * math.log(3 / 4) + math.log(1 / 4)) / 3))
    targets[0] = BOXES[0] + 30  # its center is outside of the crop, whose sides are twice the box's
    found, loss = tracker.propagate_with_score_loss(image, BOXES, memory, targets)
    torch.testing.assert_close(loss, torch.tensor(-(math.log(3 / 4) + 2 * math.log(1 / 4)) / 3))
    assert tracker.propagate_with_score_loss(image, BOXES[:0], memory[:0], BOXES[:0])[1].item() == 0


def test_the_loss_of_a_clip_trains_the_regressor_alone():
    tracker = network()
    trained = {id(parameter) for parameter in tracker.trained()}
    names = {name for name, parameter in tracker.named_parameters() if id(parameter) in trained}
    assert names == {f"regressor.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")}
