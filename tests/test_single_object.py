"""What both single-object trackers must bear: no tracks at all, and boxes that no image holds."""

import pytest
import torch

from .test_goturn import BOXES
from .test_goturn import network as goturn
from .test_siamrpn import network as siamrpn

IMAGE = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("network", [goturn, siamrpn])
def test_no_tracks_give_no_boxes(network, training):
    tracker = network().train(training)
    memory = tracker.init_memory(IMAGE, BOXES[:0])
    found = tracker.propagate(IMAGE, BOXES[:0], memory)
    assert memory.shape == (0, *tracker.init_memory(IMAGE, BOXES).shape[1:])
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("network", [goturn, siamrpn])
def test_boxes_outside_of_the_image_and_without_area_give_finite_results(network, training):
    tracker = network().train(training)
    odd = torch.tensor([[900.0, 900.0, 950.0, 990.0], [-40.0, -40.0, -1.0, -1.0], [5.0, 5.0, 5.0, 5.0]])
    found = tracker.propagate(IMAGE, odd, tracker.init_memory(IMAGE, odd))
    assert found.boxes.isfinite().all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
