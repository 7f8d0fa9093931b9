"""The counted measure and its gradient, by cases worked by hand; Table 6's matrices."""

import numpy as np
import pytest
import torch
from torch import nn

from deepmot_lib import matchers
from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.data import mot
from deepmot_lib.distance import box_distance
from deepmot_lib.experiments import matrices
from deepmot_lib.experiments.gradient_quality import (
    by_clip,
    compare,
    counted,
    counted_gradient,
    loss_gradient,
    move,
    ways,
)
from deepmot_lib.experiments.gradients import Frame
from deepmot_lib.loss import DeepMOTLoss

SIZE = (240, 320)
OBJECTS = torch.tensor([[40.0, 60, 90, 180], [150, 60, 200, 180]])


def clip(tracks: torch.Tensor, ids=(1, 2)) -> list[Frame]:
    return [Frame(OBJECTS, [1, 2], OBJECTS, [1, 2]), Frame(tracks, list(ids), OBJECTS, [1, 2])]


def test_a_box_moves_by_shares_of_its_size():
    box = torch.tensor([[10.0, 20, 30, 60]])
    moved = move(box, torch.tensor([[0.5, -0.25, 0.0, np.log(2.0)]], dtype=torch.float32))
    torch.testing.assert_close(moved, torch.tensor([[20.0, -10, 40, 70]]))


def test_the_measure_is_counted_as_by_hand():
    loss = DeepMOTLoss(lambda_=5.0, gamma=2.0)
    previous = {1: 1, 2: 2}

    def value(tracks, ids=(1, 2)):
        return counted(clip(tracks, ids)[-1], previous, tracks[None], loss).item()

    assert value(OBJECTS) == 0
    third = OBJECTS.clone()
    third[1, [0, 2]] += 25  # half its width: overlap 1/3, so a false positive and a miss of two objects
    assert value(third) == pytest.approx(2 / 2)
    near = OBJECTS.clone()
    near[1, [0, 2]] += 10  # overlap 40 / 60: the mean overlap of both matches is 5/6
    assert value(near) == pytest.approx(5 * (1 - 5 / 6))
    assert value(OBJECTS.flip(0)) == pytest.approx(2 * 2 / 2), "both have switched"
    assert value(OBJECTS, ids=(3, 2)) == 0, "a new track's match is no switch"
    assert value(OBJECTS[:1]) == pytest.approx(1 / 2)


def test_the_counted_gradient_points_back_to_the_object():
    tracks = OBJECTS.clone()
    tracks[1, [0, 2]] += 12.5  # a quarter of its width to the right
    gradient = counted_gradient(clip(tracks), DeepMOTLoss(lambda_=0.0))
    assert gradient.shape == (2, 4)
    assert gradient[1, 0] > 5 * gradient[0].abs().max(), "left is better, and only that box matters"


def test_the_loss_gradient_is_that_of_differences():
    tracks = OBJECTS + torch.tensor([6.0, -4, 8, 3])
    loss, matcher = DeepMOTLoss(scale=10.0), matchers.create("sinkhorn", eps_end=0.1, rounds=20)
    gradient = loss_gradient(clip(tracks), matcher, SIZE, loss)

    def total(theta):
        loss.reset()
        for frame in clip(tracks):
            boxes = move(frame.predictions, theta) if frame.predictions is tracks else frame.predictions
            distance = box_distance(boxes, frame.objects, SIZE)
            terms = loss(distance, matcher(distance[None])[0], frame.track_ids, frame.object_ids)
        return terms.total

    for index in ((0, 0), (1, 1), (1, 2)):
        step = torch.zeros(2, 4)
        step[index] = 1e-3
        slope = (total(step) - total(-step)) / 2e-3
        assert gradient[index].item() == pytest.approx(slope.item(), rel=0.05, abs=1e-3)


def test_a_step_function_has_no_gradient_and_a_smooth_one_has():
    tracks = OBJECTS + torch.tensor([6.0, -4, 8, 3])

    class Smooth(nn.Module):
        def forward(self, distance):
            return torch.sigmoid(10 * (0.3 - distance))

    networks = {"smooth": Smooth(), "greedy": matchers.load("greedy")}
    table = compare(networks, [(clip(tracks), SIZE)], "smooth", DeepMOTLoss(lambda_=0.0, scale=10.0))
    table = table.set_index("matcher")
    assert table["none"].to_dict() == {"smooth": 0.0, "greedy": 100.0}
    assert table.loc["smooth", "cosine to smooth"] == pytest.approx(1)
    assert table.loc["greedy", "cosine to counted"] == 0
    assert table.loc["smooth", "cosine to counted"] > 0.3


def test_the_pull_is_the_cosine_with_the_way_to_ones_own_object():
    tracks = OBJECTS.clone()
    tracks[0, [0, 2]] += 10  # a fifth of its width to the right of its object
    tracks[1] = torch.tensor([150.0, 60, 250, 180])  # twice as wide, a quarter of that beside it
    frame = Frame(tracks, [1, 2], OBJECTS, [1, 2])
    expected = torch.tensor([[-0.2, 0, 0, 0], [-0.25, 0, np.log(0.5), 0]], dtype=torch.float32)
    torch.testing.assert_close(ways(frame), expected)
    nobody = ways(Frame(tracks, [1, 7], OBJECTS, [1, 2]))
    assert nobody[1].isnan().all() and not nobody[0].isnan().any()

    class Own(nn.Module):
        """Each track is on its own object, whatever the distance."""

        def forward(self, distance):
            return torch.eye(2).expand(len(distance), 2, 2) + 0 * distance

    clips = [([Frame(OBJECTS, [1, 2], OBJECTS, [1, 2]), frame], SIZE)]
    measured = by_clip({"own": Own()}, clips, "own", DeepMOTLoss())
    gradient = loss_gradient(clips[0][0], Own(), SIZE, DeepMOTLoss())
    product = -(gradient * expected).sum() / gradient.norm() / expected.norm()
    assert measured["pull"].item() == pytest.approx(product.item(), abs=1e-5) and product > 0


@pytest.mark.slow
def test_table_6s_rows_are_perturbed_boxes_of_the_frame_before(smoke):
    sequences = smoke.rendered[:1]
    (first, size), *_ = matrices.clips(sequences)
    gt = mot.pedestrians(sequences[0].gt())
    assert first[-1].track_ids == gt[gt.frame == 1]["id"].tolist()
    assert first[-1].object_ids == gt[gt.frame == 2]["id"].tolist()
    assert size == sequences[0].image_size
    before, after = first[0].objects, first[-1].predictions
    shift = (
        (after[:, :2] + after[:, 2:] - before[:, :2] - before[:, 2:]) / 2 / (before[:, 2:] - before[:, :2])
    )
    assert 0.05 < shift.abs().max() <= 0.2501
    pairs = matrices.perturbed_pairs(sequences)
    assert len(pairs) == len(mot.split(sequences[0])["train"]) - 1
    distance, assignment = pairs[0]
    torch.testing.assert_close(distance, box_distance(after, first[-1].objects, size))
    assert torch.equal(assignment, optimal_assignment(distance))
