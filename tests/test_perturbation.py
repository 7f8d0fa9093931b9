"""A.2's perturbation: what the paper says of its ranges, worked out from boxes before and after."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepmot_lib.training.perturbation import perturb


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_boxes(count, seed=0):
    corners = torch.rand(count, 4, generator=generator(seed), dtype=torch.float64) * 100
    return torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:] + 1], dim=1)


def changes(before, after):
    """(factor of the width, of the height, offset in widths, in heights), each (K,)."""
    size, new_size = (boxes[:, 2:] - boxes[:, :2] for boxes in (before, after))
    offset = (after[:, :2] + after[:, 2:] - before[:, :2] - before[:, 2:]) / 2 / size
    return *(new_size / size).T, *offset.T


def test_the_ranges_are_the_papers():
    boxes = some_boxes(5000)
    wide, high, right, down = changes(boxes, perturb(boxes, generator()))
    torch.testing.assert_close(wide, high)  # one factor: the shape stays
    low, top, reach = 0.8, 1.2, 0.25  # Appendix A.2
    assert low <= wide.min() < low + 0.005
    assert top - 0.005 < wide.max() <= top
    for offset in (right, down):
        assert -reach <= offset.min() < -reach + 0.005
        assert reach - 0.005 < offset.max() <= reach


def test_the_draws_are_uniform_without_bias_and_independent():
    boxes = some_boxes(5000)
    wide, _, right, down = changes(boxes, perturb(boxes, generator()))
    draws = torch.stack([(wide - 1) / 0.2, right / 0.25, down / 0.25])  # uniform in [-1, 1] each
    torch.testing.assert_close(draws.mean(1), torch.zeros(3).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(draws), torch.eye(3).double() / 3, atol=0.03, rtol=0)


@given(st.integers(0, 20), st.integers(0, 1000))
def test_a_seed_gives_the_same_boxes_and_leaves_the_given_ones_alone(count, seed):
    boxes = some_boxes(count, seed)
    before = boxes.clone()
    first, again = (perturb(boxes, generator(seed)) for _ in range(2))
    assert first.shape == (count, 4)
    assert torch.equal(first, again)
    assert torch.equal(boxes, before)
    assert count == 0 or not torch.equal(first, boxes)


def test_without_a_generator_the_global_seed_counts():
    boxes = some_boxes(3)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(perturb(boxes))
    assert torch.equal(*results)
    assert not torch.equal(results[0], perturb(boxes))


def test_ranges_of_no_extent_change_nothing_but_the_size_asked_for():
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    torch.testing.assert_close(perturb(boxes, scales=(1, 1), largest_offset=0), boxes)
    doubled = perturb(boxes, scales=(2, 2), largest_offset=0)
    torch.testing.assert_close(doubled, torch.tensor([[0.0, 0.0, 40.0, 80.0]]))


def test_float32_stays_float32_and_points_stay_points():
    point = torch.tensor([[7.0, 8.0, 7.0, 8.0]])
    result = perturb(point, generator())
    assert result.dtype == torch.float32
    assert torch.equal(result, point)


@pytest.mark.parametrize("boxes", [torch.zeros(4), torch.zeros(2, 5), torch.zeros(2, 4, dtype=torch.long)])
def test_what_is_no_table_of_boxes_is_refused(boxes):
    with pytest.raises(ValueError, match="boxes must be float"):
        perturb(boxes)


@pytest.mark.parametrize("ranges", [{"scales": (1.2, 0.8)}, {"scales": (0, 1)}, {"largest_offset": -0.1}])
def test_ranges_that_make_no_sense_are_refused(ranges):
    with pytest.raises(ValueError, match="cannot draw"):
        perturb(torch.zeros(1, 4), **ranges)
