"""SiamRPN: anchors and offsets by hand, correlation and loss against loops, the choice of the anchor."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d, cross_entropy, smooth_l1_loss
from torchvision.ops import box_iou

from deepmot_lib.trackers import siamrpn
from deepmot_lib.trackers.anchors import decode, encode
from deepmot_lib.trackers.crops import to_crop
from deepmot_lib.trackers.siamrpn import SiamRPN

TINY = {"template": 63, "search": 95, "kernels": (5, 3, 3), "widths": (8, 8, 16)}
BOXES = torch.tensor([[10.0, 12.0, 22.0, 40.0], [30.0, 5.0, 50.0, 45.0], [40.5, 20.25, 47.0, 36.0]])


@pytest.fixture
def image():
    return torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))


def network(**options):
    """Untrained, with offsets that are not zero."""
    torch.manual_seed(0)
    tracker = SiamRPN(**TINY | options)
    torch.nn.init.normal_(tracker.box_adjust.weight, std=0.1)
    return tracker.eval()


def test_the_papers_sizes_give_its_feature_maps():
    """Li et al., Fig. 2: 6 x 6 of the template, 22 x 22 of the search crop, a response of 17 x 17."""
    kernels = (11, 5, 3, 3, 3)
    tracker = SiamRPN(
        template=127, search=255, kernels=kernels, widths=(8, 8, 8, 8, 8), ratios=(0.33, 0.5, 1, 2, 3)
    )
    assert tracker.features(torch.rand(1, 3, 127, 127)).shape == (1, 8, 6, 6)
    assert tracker.features(torch.rand(1, 3, 255, 255)).shape == (1, 8, 22, 22)
    assert tracker.anchors.shape == (5 * 17 * 17, 4)


def test_anchors_by_hand():
    # A template of 63 pixels shows 1.5 longer sides: 42 pixels; 5 x 5 places 8 pixels apart around 47.5.
    anchors = network(context=1.5, ratios=(1.0, 2.0, 0.5)).anchors.view(3, 5, 5, 4) * 95
    torch.testing.assert_close(anchors[0, 2, 2], torch.tensor([26.5, 26.5, 68.5, 68.5]))
    torch.testing.assert_close(anchors[1, 2, 2], torch.tensor([37.0, 26.5, 58.0, 68.5]))
    torch.testing.assert_close(anchors[2, 2, 2], torch.tensor([26.5, 37.0, 68.5, 58.0]))
    shift = torch.tensor([16.0, -8.0, 16.0, -8.0])  # two to the right, one up
    torch.testing.assert_close(anchors[1, 1, 4], anchors[1, 2, 2] + shift)


def test_an_anchor_in_the_middle_has_the_longer_side_of_the_box_before():
    tracker, box = network(ratios=(2.0,)), torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    _, square = tracker.search_crops(torch.rand(3, 80, 80), box)
    torch.testing.assert_close(to_crop(box, square), tracker.anchors[12:13])


def test_offsets_by_hand():
    anchor, box = torch.tensor([[0.0, 0.0, 2.0, 4.0]]), torch.tensor([[1.0, 1.0, 5.0, 3.0]])
    want = torch.tensor([[1.0, 0.0, 2.0, 0.5]])  # center (1, 2) to (3, 2); sizes doubled and halved
    found = encode(box, anchor)
    torch.testing.assert_close(torch.cat([found[:, :2], found[:, 2:].exp()], dim=1), want)


@given(st.integers(0, 1000))
def test_decoding_undoes_encoding(seed):
    draws = torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    boxes, anchors = torch.cat([draws[..., :2], draws[..., :2] + 0.2 + draws[..., 2:]], dim=-1)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)


def test_wild_offsets_decode_to_finite_boxes():
    assert decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 1.0, 1.0]])).isfinite().all()


def test_the_correlation_of_all_tracks_is_that_of_each():
    tracker, generator = network(), torch.Generator().manual_seed(0)
    features = torch.randn(3, 4, 7, 7, generator=generator)
    kernels = torch.randn(3, 6 * 4, 2, 2, generator=generator)
    found = tracker._correlate(features, kernels)
    assert found.shape == (3, 6, 6, 6)
    for k in range(3):
        want = conv2d(features[k : k + 1], kernels[k].view(6, 4, 2, 2))[0] * tracker.scale
        torch.testing.assert_close(found[k], want)


@pytest.mark.parametrize("training", [True, False])
def test_all_tracks_in_one_batch_are_the_same_as_one_by_one(image, training):
    tracker = network().train(training)
    memory = tracker.init_memory(image, BOXES)
    together = tracker.propagate(image, BOXES, memory)
    for k in range(3):
        own = slice(k, k + 1)
        torch.testing.assert_close(tracker.init_memory(image, BOXES[own]), memory[own])
        alone = tracker.propagate(image, BOXES[own], memory[own])
        torch.testing.assert_close(alone.boxes, together.boxes[own])
        torch.testing.assert_close(alone.scores, together.scores[own])


def proposals(tracker, *probabilities):
    """Replaces the network's proposals: anchors as they are, certain of nothing but {anchor: probability}."""
    scores = torch.full((len(probabilities), len(tracker.anchors)), 0.01)
    for row, chosen in zip(scores, probabilities, strict=True):
        for anchor, probability in chosen.items():
            row[anchor] = probability
    logits = torch.stack([torch.zeros_like(scores), scores.logit()], dim=-1)
    offsets = torch.zeros(*scores.shape, 4)
    tracker.propose = lambda memory, searches: (logits, offsets)


def test_the_best_scoring_anchor_is_the_box(image):
    tracker = network(ratios=(2.0,)).train()
    proposals(tracker, {3: 0.9}, {12: 0.6, 20: 0.7}, {0: 0.2})
    found = tracker.propagate(image, BOXES, torch.zeros(3))
    _, square = tracker.search_crops(image, BOXES)
    torch.testing.assert_close(to_crop(found.boxes, square), tracker.anchors[[3, 20, 0]])
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.7, 0.2]))


def test_the_window_prefers_near_places_while_testing_only(image):
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    tracker = network(ratios=(2.0,), window=0.4, penalty=0.0, smoothing=0.0)
    proposals(tracker, {0: 0.9, 12: 0.8})  # a corner, and the middle
    for training, score, moved in ((True, 0.9, True), (False, 0.8, False)):
        found = tracker.train(training).propagate(image, box, torch.zeros(1))
        torch.testing.assert_close(found.scores, torch.tensor([score]))
        assert torch.allclose(found.boxes, box, atol=1e-4) is not moved


def test_changes_of_shape_are_penalised_while_testing_only(image):
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    tracker = network(ratios=(2.0, 0.5), window=0.0, penalty=0.2, smoothing=0.0)
    # The middle as it was, and lying down, its shape another by a factor of 4: 0.9 exp(-0.2 * 3) = 0.49.
    proposals(tracker, {12: 0.6, 25 + 12: 0.9})
    for training, score in ((True, 0.9), (False, 0.6)):
        found = tracker.train(training).propagate(image, box, torch.zeros(1))
        torch.testing.assert_close(found.scores, torch.tensor([score]))


def test_the_size_follows_with_inertia_while_testing(image):
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    tracker = network(ratios=(1.0,), window=0.0, penalty=0.0, smoothing=0.5)
    proposals(tracker, {12: 0.8})  # 40 x 40 where there was 20 x 40: 0.5 * 0.8 of the way
    found = tracker.propagate(image, box, torch.zeros(1)).boxes
    torch.testing.assert_close(found, torch.tensor([[6.0, 20.0, 34.0, 60.0]]))


def test_a_loss_on_the_boxes_reaches_the_box_branch_and_one_on_the_scores_the_class_branch(image):
    tracker = network().train()
    for output, branch in (("boxes", "box_"), ("scores", "class_")):
        tracker.zero_grad()
        found = tracker.propagate(image, BOXES, tracker.init_memory(image, BOXES))
        getattr(found, output).sum().backward()
        for name, parameter in tracker.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert reached == name.startswith(("tower", branch)), (output, name)
            assert parameter.grad is None or parameter.grad.isfinite().all()


def test_steps_down_a_loss_on_the_boxes_bring_them_to_the_target(image):
    tracker = network().train()
    target = BOXES + torch.tensor([3.0, 2.0, 3.0, 2.0])
    optimizer = torch.optim.Adam(tracker.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        found = tracker.propagate(image, BOXES, tracker.init_memory(image, BOXES))
        losses.append(smooth_l1_loss(found.boxes, target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_no_gradient_reaches_the_frame_before(image):
    tracker = network()
    before = BOXES.clone().requires_grad_()
    tracker.propagate(image, before, tracker.init_memory(image, before)).boxes.sum().backward()
    assert before.grad is None


def test_the_options_make_the_same_network_again(image):
    tracker = network(window=0.1)
    again = SiamRPN(**tracker.options).eval()
    again.load_state_dict(tracker.state_dict())
    found, same = (one.propagate(image, BOXES, one.init_memory(image, BOXES)) for one in (tracker, again))
    assert torch.equal(found.boxes, same.boxes)


def test_the_loss_is_that_of_a_loop_over_anchors(image):
    tracker = network()
    memory, (crops, square) = tracker.init_memory(image, BOXES), tracker.search_crops(image, BOXES)
    # Found, found in a shape that no anchor has, and gone.
    target = to_crop(BOXES + torch.tensor([2.0, -1.0, 3.0, 2.0]), square)
    target[1] = torch.tensor([0.45, 0.2, 0.5, 0.75])
    present = torch.tensor([True, True, False])
    logits, offsets = tracker.propose(memory, crops)
    positives, negatives, boxes = [], [], []
    for k in range(3):
        overlaps = box_iou(tracker.anchors, target[k : k + 1])[:, 0]
        for a, overlap in enumerate(overlaps):
            if present[k] and (overlap > 0.5 or (overlap == overlaps.max() and overlap >= 0.3)):
                positives.append(cross_entropy(logits[k, a], torch.tensor(1)))
                wanted = encode(target[k], tracker.anchors[a])
                boxes.append(smooth_l1_loss(offsets[k, a], wanted, beta=siamrpn._BETA))
            elif not present[k] or overlap < 0.3:
                negatives.append(cross_entropy(logits[k, a], torch.tensor(0)))
    classes = (torch.stack(positives).mean() + torch.stack(negatives).mean()) / 2
    want = classes + siamrpn._BOX_WEIGHT * torch.stack(boxes).mean()
    torch.testing.assert_close(tracker.pair_loss(memory, crops, target, target, present), want)
    assert len(positives) >= 2


def test_the_loss_without_any_target_is_the_backgrounds(image):
    tracker = network()
    memory, (crops, _) = tracker.init_memory(image, BOXES), tracker.search_crops(image, BOXES)
    nobody = torch.zeros(3, dtype=torch.bool)
    loss = tracker.pair_loss(memory, crops, BOXES, torch.full((3, 4), 0.5), nobody)
    logits, _ = tracker.propose(memory, crops)
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[..., 0].mean() / 2)


def test_the_score_loss_is_that_of_the_classes_alone(image):
    """All that ``pair_loss`` has besides is the regression: without positive anchors they are the same."""
    tracker = network().train()
    memory, (crops, square) = tracker.init_memory(image, BOXES), tracker.search_crops(image, BOXES)
    targets = BOXES + torch.tensor([2.0, -1.0, 3.0, 2.0])
    targets[1], targets[2] = torch.nan, BOXES[2] + 500  # gone, and far out of the crop
    found, loss = tracker.propagate_with_score_loss(image, BOXES, memory, targets)
    torch.testing.assert_close(found.boxes, tracker.propagate(image, BOXES, memory).boxes)
    logits, _ = tracker.propose(memory, crops)
    overlaps = box_iou(to_crop(targets, square)[:1], tracker.anchors)[0]
    positives = (overlaps > 0.5) | (overlaps == overlaps.max())
    negatives = torch.cat([logits[0, ~positives & (overlaps < 0.3)], logits[1], logits[2]])
    want = -logits[0, positives].log_softmax(-1)[:, 1].mean() - negatives.log_softmax(-1)[:, 0].mean()
    torch.testing.assert_close(loss, want / 2)
    nobody = tracker.propagate_with_score_loss(image, BOXES[:0], memory[:0], BOXES[:0])[1]
    assert nobody.item() == 0


def test_the_loss_of_a_clip_does_not_train_the_first_layers():
    tracker = network()
    trained = {id(parameter) for parameter in tracker.trained()}
    frozen = {name for name, parameter in tracker.named_parameters() if id(parameter) not in trained}
    # Two convolutions with their normalizations and poolings; the third is trained.
    assert frozen == {"tower.0.weight", "tower.1.weight", "tower.1.bias"} | {
        "tower.4.weight",
        "tower.5.weight",
        "tower.5.bias",
    }


@pytest.mark.parametrize("sizes", [(63, 64), (31, 95), (95, 63), (63, 63)])
def test_crops_that_do_not_fit_the_tower_are_refused(sizes):
    with pytest.raises(ValueError, match="do not fit"):
        SiamRPN(template=sizes[0], search=sizes[1], kernels=(5, 3, 3), widths=(8, 8, 8))
