"""Distances against hand-worked numbers, motmetrics-free formulas in numpy and autograd's own check."""

import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from deepmot_lib.distance import appearance_distance, box_distance, center_distance, jaccard_distance

SIZE = (480, 640)  # a 3-4-5 triangle: the diagonal is 800


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def test_center_distance_by_hand():
    a = boxes([0, 0, 10, 10], [100, 100, 120, 140])
    b = boxes([3, 4, 13, 14], [0, 0, 10, 10], [80, 60, 100, 180])
    # Centers (5, 5), (110, 120) against (8, 9), (5, 5), (90, 120).
    expected = [[5, 0, math.hypot(85, 115)], [math.hypot(102, 111), math.hypot(105, 115), 20]]
    torch.testing.assert_close(center_distance(a, b, SIZE) * 800, torch.tensor(expected).double())


def test_opposite_corners_are_at_one():
    corners = boxes([0, 0, 0, 0], [640, 480, 640, 480])
    assert center_distance(corners[:1], corners[1:], SIZE).item() == pytest.approx(1)


def test_jaccard_distance_by_hand():
    a = boxes([0, 0, 10, 10])
    b = boxes([0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 8, 8], [10, 0, 20, 10], [50, 50, 60, 60])
    expected = torch.tensor([[0, 1 - 50 / 150, 1 - 36 / 100, 1, 1]]).double()
    torch.testing.assert_close(jaccard_distance(a, b), expected)


def test_box_distance_is_the_mean_of_both():
    a, b = boxes([0, 0, 10, 10]), boxes([8, 6, 18, 16])
    # Offset (8, 6): 10 px of the diagonal's 800; overlap 2 x 4.
    assert box_distance(a, b, SIZE).item() == pytest.approx((10 / 800 + 1 - 8 / 192) / 2)


def test_appearance_distance_by_hand():
    a = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    b = torch.tensor([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [3.0, 3.0]])
    expected = torch.tensor([[0, 0.5, 1, (1 - math.sqrt(0.5)) / 2], [0.5, 0.5, 0.5, 0.5]])
    torch.testing.assert_close(appearance_distance(a, b), expected)


coordinate = st.floats(-50, 700, width=32) | st.sampled_from([0.0, 10.0, 20.0])
box_arrays = arrays(np.float32, st.tuples(st.integers(0, 4), st.just(4)), elements=coordinate)


def reference(a, b):
    """Eq. 3 pair by pair, in plain Python."""
    result = np.zeros((len(a), len(b)))
    for n, (ax1, ay1, ax2, ay2) in enumerate(a.astype(float)):
        for m, (bx1, by1, bx2, by2) in enumerate(b.astype(float)):
            center = math.dist(((ax1 + ax2) / 2, (ay1 + ay2) / 2), ((bx1 + bx2) / 2, (by1 + by2) / 2)) / 800
            width = max(0, min(ax2, bx2) - max(ax1, bx1))
            height = max(0, min(ay2, by2) - max(ay1, by1))
            areas = [max(0, x2 - x1) * max(0, y2 - y1) for x1, y1, x2, y2 in (a[n], b[m])]
            union = sum(map(float, areas)) - width * height
            result[n, m] = (center + 1 - (width * height / union if union > 1e-12 else 0)) / 2
    return result


@given(box_arrays, box_arrays)
def test_box_distance_matches_the_plain_formula(a, b):
    # Boxes with x1 < x2 and y1 < y2 or of no area; float64, as the reference.
    a, b = (
        np.concatenate([np.minimum(x[:, :2], x[:, 2:]), np.maximum(x[:, :2], x[:, 2:])], 1) for x in (a, b)
    )
    got = box_distance(torch.tensor(a).double(), torch.tensor(b).double(), SIZE)
    assert got.shape == (len(a), len(b))
    np.testing.assert_allclose(got.numpy(), reference(a, b), atol=1e-6)


@given(box_arrays, box_arrays)
def test_values_and_gradients_are_finite_everywhere(a, b):
    """Identical, disjoint, touching, empty and inside-out boxes included: hypothesis draws them all."""
    a = torch.tensor(np.concatenate([a, a[:1]])).requires_grad_()
    b = torch.tensor(np.concatenate([b, a.detach().numpy()])).requires_grad_()
    for distance in (center_distance(a, b, SIZE), jaccard_distance(a, b), box_distance(a, b, SIZE)):
        assert ((distance >= 0) & (distance <= 2)).all()
        for gradient in torch.autograd.grad(distance.sum(), (a, b)):
            assert gradient.isfinite().all()


tiny = st.sampled_from([0.0, 1e-30, -1e-30, 1e-20, 1e-8, 1e-4, 1.0, -1.0])


@pytest.mark.slow
@given(
    arrays(np.float32, (3, 5), elements=tiny),
    arrays(np.float32, (2, 5), elements=tiny | st.floats(-9, 9, width=32)),
)
def test_appearance_is_finite_bounded_and_symmetric(a, b):
    a, b = torch.tensor(a).requires_grad_(), torch.tensor(b).requires_grad_()
    distance = appearance_distance(a, b)
    assert ((distance >= 0) & (distance <= 1)).all()
    torch.testing.assert_close(distance, appearance_distance(b, a).T)
    for gradient in torch.autograd.grad(distance.sum(), (a, b)):
        assert gradient.isfinite().all()


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_gradients_are_the_derivatives(seed):
    """Autograd against finite differences, for random boxes: away from the kinks with probability one."""
    generator = torch.Generator().manual_seed(seed)
    corner = 100 * torch.rand(2, 3, 2, generator=generator, dtype=torch.float64)
    size = 20 + 60 * torch.rand(2, 3, 2, generator=generator, dtype=torch.float64)
    a, b = torch.cat([corner, corner + size], -1).requires_grad_().unbind(0)
    assert torch.autograd.gradcheck(lambda a, b: box_distance(a, b, SIZE), (a, b), eps=1e-5, atol=1e-6)
    embeddings = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_().unbind(0)
    assert torch.autograd.gradcheck(appearance_distance, embeddings)


def test_descent_pulls_a_disjoint_box_to_its_object():
    """Jaccard alone is blind to a disjoint object; the mean with the center distance is not (Sec. 4.1)."""
    a, b = boxes([0, 0, 10, 10]).requires_grad_(), boxes([300, 0, 310, 10])
    assert torch.autograd.grad(jaccard_distance(a, b).sum(), a)[0].abs().sum() == 0
    step = -torch.autograd.grad(box_distance(a, b, SIZE).sum(), a)[0]
    assert (step[0, [0, 2]] > 0).all() and (step[0, [1, 3]] == 0).all()


def test_leading_dimensions_and_empty_sets():
    a, b = torch.rand(2, 1, 5, 4), torch.rand(3, 6, 4)
    assert box_distance(a, b, SIZE).shape == (2, 3, 5, 6)
    torch.testing.assert_close(box_distance(a, b, SIZE)[1, 2], box_distance(a[1, 0], b[2], SIZE))
    for n, m in ((0, 3), (3, 0), (0, 0)):
        assert box_distance(torch.zeros(7, n, 4), torch.zeros(7, m, 4), SIZE).shape == (7, n, m)
        assert appearance_distance(torch.zeros(7, n, 8), torch.zeros(7, m, 8)).shape == (7, n, m)


# --- half precision, and the ends of the range

HALF = [torch.float16, torch.bfloat16]
WITH_SIZE = {
    "center": lambda a, b: center_distance(a, b, SIZE),
    "jaccard": jaccard_distance,
    "box": lambda a, b: box_distance(a, b, SIZE),
    "appearance": appearance_distance,
}


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", WITH_SIZE)
def test_half_precision_is_computed_in_float32(name, dtype):
    """In float16 the area of these boxes is inf, and IoU inf / inf."""
    a, b = boxes([0, 0, 600, 400], [40, 80, 300, 460]).to(dtype), boxes([20, 10, 620, 400]).to(dtype)
    a, b = a.requires_grad_(), b.requires_grad_()
    distance = WITH_SIZE[name](a, b)
    assert distance.dtype == torch.float32
    assert torch.equal(distance, WITH_SIZE[name](a.detach().float(), b.detach().float()))
    for gradient in torch.autograd.grad(distance.sum(), (a, b)):
        assert gradient.dtype == dtype and gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize("name", WITH_SIZE)
def test_autocast_changes_no_digit(name):
    a, b = 100 * torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance = WITH_SIZE[name](a, b)
    assert torch.equal(distance, WITH_SIZE[name](a, b)) and distance.dtype == torch.float32


LARGEST = float(np.float32(1e15))
large = st.floats(-LARGEST, LARGEST, width=32)
large_arrays = arrays(np.float32, st.tuples(st.integers(1, 3), st.just(4)), elements=large)


@given(large_arrays, large_arrays, st.sampled_from([(1.0, 1.0), SIZE, (1e6, 1e6)]))
def test_up_to_the_stated_size_values_and_gradients_are_finite(a, b, image_size):
    a, b = torch.tensor(a).requires_grad_(), torch.tensor(np.concatenate([a, b])).requires_grad_()
    for distance in (box_distance(a, b, image_size), appearance_distance(a, b)):
        assert distance.isfinite().all()
        for gradient in torch.autograd.grad(distance.sum(), (a, b)):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("value", [2e19, -2e19, 1e16, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", WITH_SIZE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_would_become_nan_is_refused(name, dtype, value):
    """2e19 px gave a distance of NaN: the box's area is no float32."""
    good, bad = torch.rand(3, 4, dtype=dtype), torch.rand(2, 4, dtype=dtype)
    bad[1, 2] = value
    spelled = "NaN" if math.isnan(value) else re.escape(f"{value:g}")
    with pytest.raises(ValueError, match=rf"^a holds {spelled} at \(1, 2\): .* finite and at most 1e\+15"):
        WITH_SIZE[name](bad, good)
    with pytest.raises(ValueError, match=rf"^b holds {spelled} at \(1, 2\): "):
        WITH_SIZE[name](good, bad)


def test_embeddings_of_the_stated_size_keep_their_direction():
    """Their squares, summed over 1,024 features, still fit into float32."""
    a, b = torch.full((1, 1024), 1e15), torch.full((1, 1024), -1e15)
    assert appearance_distance(a, a).item() == pytest.approx(0, abs=1e-6)
    assert appearance_distance(a, b).item() == pytest.approx(1)


def test_bad_arguments_are_named():
    good = torch.zeros(2, 4)
    with pytest.raises(ValueError, match="b must hold boxes"):
        jaccard_distance(good, torch.zeros(2, 5))
    with pytest.raises(ValueError, match="a must be a floating-point tensor"):
        jaccard_distance(good.long(), good)
    for size in ((0, 640), (480, -1), (480, math.inf), (math.nan, 640), (1e-30, 1e-30)):
        with pytest.raises(ValueError, match="image_size"):
            center_distance(good, good, size)
    with pytest.raises(ValueError, match="equal features"):
        appearance_distance(torch.zeros(2, 4), torch.zeros(2, 5))
