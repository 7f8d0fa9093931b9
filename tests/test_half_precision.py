"""Under autocast the networks run in half precision; pixels, distances, matchers and loss do not."""

import numpy as np
import pytest
import torch

from deepmot_lib import matchers, trackers
from deepmot_lib.distance import box_distance
from deepmot_lib.identities import FrameIds
from deepmot_lib.loss import deepmot_loss
from deepmot_lib.trackers.motion import warp_boxes

#: At the right border of a full-size image, where bfloat16 holds every eighth pixel only.
BOXES = torch.tensor([[1801.0, 303.0, 1861.0, 483.0], [1530.0, 405.0, 1575.0, 541.0]])
OPTIONS = {"tracktor": {"reid": True, "side": 128, "pretrained": False}, "goturn": {}, "siamrpn": {}}


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 1080, 1920, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", OPTIONS)
def test_under_autocast_a_tracker_predicts_whole_pixels_and_less(name, dtype, image):
    """Tracktor's boxes came in bfloat16: torchvision decodes them in the dtype of the predicted shifts."""
    torch.manual_seed(0)
    tracker = trackers.create(name, **OPTIONS[name]).eval()

    @torch.no_grad()
    def propagate():
        encoded = tracker.encode(image)
        return tracker.propagate(encoded, BOXES, tracker.init_memory(encoded, BOXES))

    expected = propagate()
    with torch.autocast("cpu", dtype=dtype):
        got = propagate()
    for part in got:
        assert part is None or part.dtype == torch.float32
    torch.testing.assert_close(got.boxes, expected.boxes, atol=0.5, rtol=0)
    torch.testing.assert_close(got.scores, expected.scores, atol=0.02, rtol=0)


def test_autocast_does_not_round_where_the_camera_moves_a_box():
    warp = np.array([[0.9998, -0.02, 3.0], [0.02, 0.9998, -1.5]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = warp_boxes(BOXES, warp)
    center = BOXES[0].view(2, 2).mean(0).double().numpy()
    np.testing.assert_allclose(moved[0].view(2, 2).mean(0), warp[:, :2] @ center + warp[:, 2], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_from_boxes_to_loss_half_precision_costs_no_digit(dtype):
    """Of boxes as a network under autocast leaves them: value and gradient are those of the same boxes in
    float32."""
    matcher = matchers.load("seq_gru", pairs="eq3")
    objects = BOXES + torch.tensor([6.0, -4.0, 10.0, 2.0])

    def loss_and_gradient(boxes):
        boxes = boxes.clone().requires_grad_()
        distance = box_distance(boxes, objects, (1080, 1920))
        terms, _ = deepmot_loss(distance, matcher(distance[None])[0], FrameIds([1, 2], [1, 2]), scale=10.0)
        return terms.total, boxes

    total, boxes = loss_and_gradient(BOXES.to(dtype).float())
    (expected,) = torch.autograd.grad(total, boxes)
    with torch.autocast("cpu", dtype=dtype):
        coarse, boxes = loss_and_gradient(BOXES.to(dtype))
    (got,) = torch.autograd.grad(coarse, boxes)
    assert torch.equal(coarse, total) and expected.any()
    assert torch.equal(got, expected.to(dtype))
