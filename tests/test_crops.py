"""Context crops: cases worked by hand, torchvision's roi_align and round trips as judges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import roi_align

from deepmot_lib.trackers.crops import contains, crop, rectangles, squares, to_crop, to_image


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def random_boxes(count, seed):
    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    corner = draws[:, :2] * 300 - 100
    return torch.cat([corner, corner + 1 + draws[:, 2:] * 80], dim=1)


def ramp(height, width):
    """An image whose channels are each pixel's middle: x and y."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y])


def test_the_square_is_centered_and_scales_the_longer_side():
    # Centers (20, 40) and (45, 10); longer sides 40 and 30, doubled.
    found = squares(boxes([10, 20, 30, 60], [30, 0, 60, 20]), context=2)
    torch.testing.assert_close(found, boxes([-20, 0, 60, 80], [15, -20, 75, 40]))


def test_the_rectangle_is_centered_and_scales_both_sides():
    found = rectangles(boxes([10, 20, 30, 60], [5, 6, 5, 6]), context=2)
    torch.testing.assert_close(found, boxes([0, 0, 40, 80], [4, 5, 6, 7]))


def test_a_rectangle_is_stretched_to_a_square_crop():
    found = crop(ramp(30, 40), torch.tensor([[10.0, 5.0, 14.0, 25.0]]), 4)[0]
    torch.testing.assert_close(found[0, 0], torch.tensor([10.5, 11.5, 12.5, 13.5]))
    torch.testing.assert_close(found[1, :, 0], torch.tensor([7.5, 12.5, 17.5, 22.5]))


def test_crop_coordinates_by_hand():
    square = boxes([-20, 0, 60, 80])
    box = boxes([10, 20, 30, 60])
    torch.testing.assert_close(to_crop(box, square), boxes([0.375, 0.25, 0.625, 0.75]))
    torch.testing.assert_close(to_image(boxes([0, 0, 1, 1]), square), square)
    torch.testing.assert_close(to_image(boxes([0.5, 0.5, 0.75, 1.25]), square), boxes([20, 40, 40, 100]))


@given(st.integers(0, 8), st.integers(0, 1000), st.floats(0.5, 5))
def test_image_to_crop_and_back_is_the_identity(count, seed, context):
    there, around = random_boxes(count, seed), squares(random_boxes(count, seed + 1), context)
    torch.testing.assert_close(to_image(to_crop(there, around), around), there)
    torch.testing.assert_close(to_crop(to_image(there / 300, around), around), there / 300)


@given(st.integers(0, 1000), st.floats(1, 5))
def test_a_box_lies_in_the_middle_of_its_own_square(seed, context):
    some = random_boxes(5, seed)
    inside = to_crop(some, squares(some, context))
    torch.testing.assert_close((inside[:, :2] + inside[:, 2:]) / 2, torch.full((5, 2), 0.5).double())
    torch.testing.assert_close(
        (inside[:, 2:] - inside[:, :2]).amax(1), torch.full((5,), 1 / context).double()
    )


def test_a_crop_at_the_images_own_scale_is_a_slice():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    # Four bilinear samples a quarter pixel off the middle blur at most towards the neighbors: only a linear
    # picture comes back exactly, any other one blurred with the weights 1/8, 3/4, 1/8 a side.
    linear = crop(ramp(20, 30), torch.tensor([[4.0, 6.0, 12.0, 14.0]]), 8)[0]
    torch.testing.assert_close(linear, ramp(20, 30)[:, 6:14, 4:12])
    weights = torch.tensor([0.125, 0.75, 0.125])
    kernel = torch.outer(weights, weights).expand(3, 1, 3, 3)
    blurred = torch.nn.functional.conv2d(image[:, 5:15, 3:13], kernel, groups=3)
    torch.testing.assert_close(crop(image, torch.tensor([[4.0, 6.0, 12.0, 14.0]]), 8)[0], blurred)


def test_pixels_of_a_crop_show_the_places_that_the_maps_say():
    square = torch.tensor([[5.0, 3.0, 25.0, 23.0], [12.0, 10.0, 17.0, 15.0]])
    size = 10
    found = crop(ramp(30, 40), square, size)
    middles = (torch.arange(size) + 0.5) / size
    for k in range(2):
        points = torch.stack([middles, middles, middles, middles], dim=1)
        want = to_image(points, square[k])
        torch.testing.assert_close(found[k, 0], want[:, 0].expand(size, size))
        torch.testing.assert_close(found[k, 1], want[:, 1, None].expand(size, size))


def test_inside_the_image_crops_are_roi_aligns():
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, 60, 80, generator=generator)
    corner = torch.rand(40, 2, generator=generator) * torch.tensor([40.0, 20.0]) + 1
    square = torch.cat([corner, corner + 4 + 30 * torch.rand(40, 1, generator=generator)], dim=1)
    want = roi_align(image[None], [square], 16, sampling_ratio=2, aligned=True)
    torch.testing.assert_close(crop(image, square, 16), want, atol=1e-4, rtol=1e-4)


def test_outside_of_the_image_is_its_mean():
    image = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    mean = image.mean(dim=(1, 2))
    away, half = crop(image, torch.tensor([[50.0, 50.0, 60.0, 60.0], [-10.0, 0.0, 10.0, 20.0]]), 20)
    torch.testing.assert_close(away, mean[:, None, None].expand(3, 20, 20))
    torch.testing.assert_close(half[:, :, :9], mean[:, None, None].expand(3, 20, 9))
    torch.testing.assert_close(half[:, 11:, :], mean[:, None, None].expand(3, 9, 20))
    assert not torch.allclose(half[:, :9, 11:], mean[:, None, None])


def test_boxes_without_area_and_boxes_inside_out_have_a_square_of_one_pixel():
    found = squares(boxes([5, 6, 5, 6], [9, 9, 1, 1]), context=2)
    torch.testing.assert_close(found, boxes([4, 5, 6, 7], [4, 4, 6, 6]))
    picture = crop(ramp(20, 20), found.float(), 4)
    torch.testing.assert_close(picture[0, 0, 0], torch.tensor([4.25, 4.75, 5.25, 5.75]))


def test_no_boxes_give_no_crops():
    none = torch.zeros(0, 4)
    assert squares(none, 2).shape == to_crop(none, none).shape == to_image(none, none).shape == (0, 4)
    assert crop(torch.rand(3, 8, 9), none, 16).shape == (0, 3, 16, 16)


def test_all_in_one_batch_are_the_same_as_one_by_one():
    image = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(2))
    around = squares(random_boxes(9, 3), 2).float()
    one_by_one = torch.cat([crop(image, square[None], 12) for square in around])
    torch.testing.assert_close(crop(image, around, 12), one_by_one)


def test_a_huge_square_is_no_larger_work_and_nearly_all_mean():
    image = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    found = crop(image, torch.tensor([[-1e7, -1e7, 1e7, 1e7]]), 8)
    torch.testing.assert_close(found, image.mean(dim=(1, 2)).view(1, 3, 1, 1).expand(1, 3, 8, 8))


def test_no_gradient_flows_into_the_squares():
    where = squares(boxes([1, 1, 5, 9]).float(), 2).requires_grad_()
    assert not crop(torch.rand(3, 10, 10), where, 4).requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_box_that_is_not_finite_is_named(value):
    with pytest.raises(ValueError, match="box 1 of 2 is not finite"):
        squares(boxes([0, 0, 1, 1], [0, value, 1, 1]), 2)


def test_a_crop_contains_those_whose_center_is_in_it():
    inside, right, above = [0.5, 0.2, 1.4, 0.8], [0.7, 0.2, 1.4, 0.8], [0.4, -0.6, 0.6, 0.5]
    found = contains(boxes(inside, right, above, [math.nan] * 4))
    assert found.tolist() == [True, False, False, False]
