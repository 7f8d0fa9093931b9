"""The untrained matchers against scipy, numbers worked by hand, and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from deepmot_lib import matchers
from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.data.pairs import GATED

CONTROLS = ["softmax", "greedy", "sinkhorn", "hungarian"]
SETTINGS = settings(max_examples=25)


def control(name: str, **options) -> matchers.Matcher:
    return matchers.freeze(matchers.create(name, **options))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_needs_no_weights_and_has_nothing_to_train(name):
    matcher = matchers.load(name)
    assert not list(matcher.parameters())
    assert not matcher.state_dict()
    with pytest.raises(TypeError, match=f"{name} has no logits"):
        matcher.logits(torch.rand(1, 2, 2))


@pytest.mark.parametrize("name", CONTROLS)
def test_gated_entries_are_zero_and_pass_no_gradient(name):
    distance = torch.tensor([[[0.1, GATED, 0.7], [GATED, GATED, GATED], [0.6, GATED, 0.2]]])
    distance.requires_grad_()
    soft = control(name)(distance)
    (soft * torch.arange(9.0).view(1, 3, 3)).sum().backward()
    gated = distance.detach() >= GATED
    assert not soft[gated].any()
    assert not distance.grad[gated].any()
    torch.testing.assert_close(soft.diagonal(dim1=1, dim2=2), torch.tensor([[1.0, 0.0, 1.0]]))


#: Both rows are nearest to the first column; the optimum gives it to the second row (0.2 + 0.12 < 0.1 + 0.9).
CONTENDED = torch.tensor([[[0.1, 0.2], [0.12, 0.9]]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("softmax", [[1.0, 0.0], [0.0, 0.0]]),
        ("greedy", [[1.0, 0.0], [1.0, 0.0]]),
        ("sinkhorn", [[0.0, 1.0], [1.0, 0.0]]),
        ("hungarian", [[0.0, 1.0], [1.0, 0.0]]),
    ],
)
def test_two_rows_that_want_one_column(name, expected):
    torch.testing.assert_close(control(name)(CONTENDED)[0], torch.tensor(expected), atol=1e-3, rtol=0)


def test_the_softmax_worked_by_hand():
    soft = control("softmax", temperature=1.0)(torch.tensor([[[0.0, 1.0986123], [0.0, GATED]]]))
    torch.testing.assert_close(soft[0], torch.tensor([[0.75 * 0.5, 0.25], [0.5, 0.0]]))


def test_greedy_takes_the_first_of_equals_and_has_no_gradient():
    distance = torch.full((1, 2, 3), 0.5, requires_grad=True)
    soft = control("greedy")(distance)
    assert soft.tolist() == [[[1, 0, 0], [1, 0, 0]]]
    (soft * torch.rand(1, 2, 3)).sum().backward()
    assert not distance.grad.any()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
@SETTINGS
def test_sinkhorn_finds_scipys_optimum_of_well_separated_matrices(n, m, seed):
    """Planted matches, 0.2 below all others but for what each line adds, which often misleads its neighbors.

    A line without a match adds the most, so that the planted one is the optimum (by its dual).
    """
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(n)[: min(n, m)], rng.permutation(m)[: min(n, m)]
    row_adds, column_adds = np.full((n, 1), 0.3), np.full(m, 0.3)
    row_adds[rows, 0], column_adds[columns] = rng.uniform(0, 0.3, (2, min(n, m)))
    reduced = rng.uniform(0.2, 0.4, (n, m))
    reduced[rows, columns] = 0.0
    distance = row_adds + column_adds + reduced
    expected = np.zeros((n, m))
    expected[linear_sum_assignment(distance)] = 1
    soft = control("sinkhorn")(torch.tensor(distance)[None])[0].numpy()
    np.testing.assert_allclose(soft, expected, atol=0.05)


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(0, 10**6))
@SETTINGS
def test_the_hungarian_is_the_optimal_assignment(n, m, gated, seed):
    rng = np.random.default_rng(seed)
    distance = torch.tensor(np.where(rng.uniform(size=(2, n, m)) < gated, GATED, rng.uniform(size=(2, n, m))))
    torch.testing.assert_close(control("hungarian")(distance), optimal_assignment(distance, gate=GATED))


@pytest.mark.parametrize(
    ("strength", "expected"),
    [
        # D' = D + strength * dL/dA = [[0.1 + strength, 0.4], [0.3, 0.2]]: its diagonal costs 0.3 + strength,
        # the other assignment 0.7.
        (0.3, [[0.0, 0.0], [0.0, 0.0]]),
        (0.5, [[-2.0, 2.0], [2.0, -2.0]]),
        (2.0, [[-0.5, 0.5], [0.5, -0.5]]),
    ],
)
def test_the_gradient_through_the_hungarian_worked_by_hand(strength, expected):
    """arXiv 1912.02175, Algorithm 1: -(y - y_lambda) / lambda. Descent on L = A_11 raises D_11."""
    distance = torch.tensor([[[0.1, 0.4], [0.3, 0.2]]], requires_grad=True)
    soft = control("hungarian", strength=strength)(distance)
    assert soft.tolist() == [[[1, 0], [0, 1]]]
    soft[0, 0, 0].backward()
    torch.testing.assert_close(distance.grad[0], torch.tensor(expected))


def test_the_hungarian_gradient_keeps_gated_pairs_apart():
    """Without the gated pair there is one assignment left, so nothing that the loss asks for changes it."""
    distance = torch.tensor([[[0.1, 0.4], [GATED, 0.2]]], requires_grad=True)
    (control("hungarian", strength=1e4)(distance)[0, 0, 0] * 1.0).backward()
    assert not distance.grad.any()


@given(st.integers(1, 7), st.integers(1, 7), st.floats(0, 0.6), st.integers(0, 10**6))
@SETTINGS
@pytest.mark.parametrize("name", ["softmax", "sinkhorn"])
def test_the_order_of_rows_and_columns_does_not_matter(name, n, m, gated, seed):
    rng = np.random.default_rng(seed)
    distance = torch.tensor(np.where(rng.uniform(size=(1, n, m)) < gated, GATED, rng.uniform(size=(1, n, m))))
    rows, columns = rng.permutation(n)[:, None], rng.permutation(m)
    matcher = control(name)
    torch.testing.assert_close(
        matcher(distance[:, rows, columns]), matcher(distance)[:, rows, columns], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("softmax", {"temperature": 0.3}),
        ("sinkhorn", {"eps_end": 0.1, "rounds": 6}),
        ("sinkhorn", {"rounds": 1}),
    ],
)
def test_gradients_are_those_of_finite_differences(name, options):
    torch.manual_seed(0)
    distance = torch.rand(2, 3, 4, dtype=torch.float64)
    distance[0, 1, 2] = GATED
    distance.requires_grad_()
    assert torch.autograd.gradcheck(control(name, **options), distance)


def test_sinkhorns_rows_and_columns_hold_at_most_one():
    torch.manual_seed(0)
    soft = control("sinkhorn", eps_end=0.02)(torch.rand(3, 5, 8, dtype=torch.float64))
    assert soft.sum(2).max() <= 1 + 1e-9
    assert soft.sum(1).max() <= 1 + 1e-2
    torch.testing.assert_close(
        soft.sum((1, 2)), torch.full((3,), 5.0, dtype=torch.float64), atol=0.05, rtol=0
    )


def test_a_pair_costlier_than_both_dustbins_stays_unmatched():
    matcher = control("sinkhorn", dustbin=0.2)
    torch.testing.assert_close(matcher(torch.tensor([[[0.3]]])), torch.ones(1, 1, 1), atol=1e-3, rtol=0)
    torch.testing.assert_close(matcher(torch.tensor([[[0.5]]])), torch.zeros(1, 1, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("softmax", {"temperature": 0.0}),
        ("sinkhorn", {"eps_end": -1.0}),
        ("sinkhorn", {"rounds": 0}),
        ("sinkhorn", {"eps_start": float("nan")}),
        ("hungarian", {"strength": 0}),
    ],
)
def test_bad_options_are_named(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be a positive number"):
        matchers.create(name, **options)
