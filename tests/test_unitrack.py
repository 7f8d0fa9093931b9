"""The loss after UniTrack: worked by hand, and what holds for any boxes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmot_lib.training.objectives import UNITRACK_WEIGHTS, unitrack

SIZE = (30, 40)  # diagonal 50
SEEN = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
NEVER = torch.full((2, 4), torch.nan)


def test_overlap_counts_for_pairs_alone():
    """Half of a box each: IoU 1/3; the second track has no object, whatever it overlaps."""
    objects = torch.tensor([[5.0, 0, 15, 10], [20, 0, 30, 10]])
    loss = unitrack(SEEN, objects, torch.tensor([[1.0, 0], [0, 0]]), NEVER, NEVER, SIZE)
    assert loss.item() == pytest.approx(2.0 * 2 / 3)


def test_changes_of_size_and_of_velocity_cost_shares_of_the_diagonal():
    """One track, 3 px wider and 1 px lower than before, whose center went 4 px and now 1.5 px along x."""
    before_last, last = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[4.0, 0, 14, 10]])
    now = torch.tensor([[4.0, 0, 17, 9]])
    loss = unitrack(now, now, torch.ones(1, 1), last, before_last, SIZE)
    size, acceleration = 3 + 1, abs(1.5 - 4) + 0.5
    assert loss.item() == pytest.approx((1.5 * size + 1.8 * acceleration) / 50)


def test_steady_tracks_on_their_objects_cost_nothing():
    step = torch.tensor([2.0, 1, 2, 1])
    loss = unitrack(SEEN, SEEN, torch.eye(2), SEEN - step, SEEN - 2 * step, SIZE)
    assert loss.item() == 0


@st.composite
def tracks(draw):
    """Boxes of some tracks in three frames, some of them new, and of some objects; who belongs to whom."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    n, m = draw(st.integers(0, 4)), draw(st.integers(0, 4))

    def boxes(count):
        corner = 40 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return torch.cat([corner, corner + 1 + 20 * torch.rand(count, 2, generator=generator).double()], 1)

    now, last, before_last, objects = (boxes(count) for count in (n, n, n, m))
    born = torch.rand(n, generator=generator)
    last = last.masked_fill((born < 0.2)[:, None], torch.nan)
    before_last = before_last.masked_fill((born < 0.5)[:, None], torch.nan)
    matches = torch.zeros(n, m, dtype=torch.float64)
    for k in range(min(n, m)):
        matches[k, k] = float(torch.rand(1, generator=generator) < 0.7)
    return now, objects, matches, last, before_last


@settings(deadline=None)
@given(tracks(), st.randoms(use_true_random=False))
def test_the_order_of_tracks_and_objects_does_not_matter(drawn, random):
    now, objects, matches, last, before_last = drawn
    rows, columns = (random.sample(range(k), k) for k in matches.shape)
    shuffled = (now[rows], objects[columns], matches[rows][:, columns], last[rows], before_last[rows])
    torch.testing.assert_close(unitrack(*drawn, SIZE), unitrack(*shuffled, SIZE))


@settings(deadline=None)
@given(tracks())
def test_the_loss_and_its_gradient_are_finite_and_those_of_new_tracks_too(drawn):
    now, *rest = drawn
    now.requires_grad_()
    loss = unitrack(now, *rest, SIZE)
    loss.backward()
    assert 0 <= loss.item() < math.inf and now.grad.isfinite().all()


def test_the_gradient_is_that_of_differences():
    now = (SEEN + torch.tensor([1.0, 2, 3.5, 1.5])).double().requires_grad_()
    last, before_last = SEEN.double(), SEEN.double() - torch.tensor([2.0, 1, 2, 1])
    before_last[1] = torch.nan
    arguments = (SEEN.double(), torch.eye(2).double(), last, before_last, SIZE)
    assert torch.autograd.gradcheck(lambda boxes: unitrack(boxes, *arguments), now)


def test_the_weights_are_those_that_are_documented():
    assert UNITRACK_WEIGHTS == {"tracking": 2.0, "spatial": 1.5, "temporal": 1.8}
