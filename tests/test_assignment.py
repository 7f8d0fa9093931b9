"""The optimal assignment against brute force and scipy; WA, MA and SA against numbers by hand and loops."""

from itertools import permutations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from deepmot_lib.assignment import (
    discretize,
    missing_assignments,
    optimal_assignment,
    several_assignments,
    weighted_accuracy,
)

unit = st.floats(0, 1)
small = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5), elements=unit)
bits = st.sampled_from([0.0, 1.0])


def brute_force(distance, gate):
    """(most pairs, least total) over all assignments, by trying every one of them."""
    n, m = distance.shape
    if n > m:
        return brute_force(distance.T, gate)
    best = (0, 0.0)
    for columns in permutations(range(m), n):
        costs = [distance[row, column] for row, column in enumerate(columns)]
        costs = [cost for cost in costs if gate is None or cost < gate]
        if len(costs) > best[0] or (len(costs) == best[0] and sum(costs) < best[1]):
            best = (len(costs), sum(costs))
    return best


@given(small, st.none() | unit)
def test_optimal_assignment_is_what_brute_force_finds(distance, gate):
    matched = optimal_assignment(torch.tensor(distance), gate).numpy()
    assert matched.shape == distance.shape and np.isin(matched, (0, 1)).all()
    assert (matched.sum(0) <= 1).all() and (matched.sum(1) <= 1).all()
    assert gate is None or not (matched[distance >= gate]).any()
    pairs, total = brute_force(distance, gate)
    assert matched.sum() == pairs
    assert (distance * matched).sum() == pytest.approx(total, abs=1e-9)


@given(small, st.floats(1e-12, 1), st.floats(0.05, 1))
def test_gating_does_not_cost_digits(distance, factor, gate):
    """The optimum does not depend on the unit of the distances, however small beside a gated entry."""
    rows = torch.tensor(distance)
    plain = optimal_assignment(rows, gate)
    scaled = torch.where(rows < gate, rows * factor, torch.inf)
    assert plain.sum() == optimal_assignment(scaled).sum()
    assert (rows * plain).sum().item() == pytest.approx(
        (rows * optimal_assignment(scaled)).sum().item(), abs=1e-6
    )


def test_most_pairs_come_before_least_distance():
    # The diagonal costs more, but pairing both rows needs it: (1, 1) is gated.
    distance = torch.tensor([[0.1, 0.4], [0.4, 0.9]])
    assert optimal_assignment(distance, 0.5).tolist() == [[0, 1], [1, 0]]
    assert optimal_assignment(distance, 0.4).tolist() == [[1, 0], [0, 0]]


def test_gate_itself_stays_unmatched_in_the_distances_own_precision():
    assert optimal_assignment(torch.tensor([[0.7]]), 0.7).sum() == 0
    assert optimal_assignment(torch.tensor([[0.7]]), 0.71).sum() == 1


def test_batches_are_solved_one_by_one():
    distance = torch.rand(3, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    matched = optimal_assignment(distance)
    for i in range(3):
        for j in range(2):
            rows, columns = linear_sum_assignment(distance[i, j].numpy())
            assert matched[i, j].nonzero().tolist() == np.stack([rows, columns], 1).tolist()


def test_shapes_dtypes_and_empty_sets():
    assert optimal_assignment(torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    assert optimal_assignment(torch.zeros(0, 4, 3)).shape == (0, 4, 3)
    matched = optimal_assignment(torch.rand(2, 2, dtype=torch.float64, requires_grad=True))
    assert matched.dtype == torch.float64 and not matched.requires_grad
    assert optimal_assignment(torch.full((2, 2), torch.inf)).sum() == 0


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        optimal_assignment(torch.tensor([[0.1, float("nan")]]))


def test_discretize_by_hand():
    soft = torch.tensor([[0.9, 0.6, 0.1], [0.8, 0.7, 0.2], [0.4, 0.3, 0.5]])
    assert discretize(soft, "row").tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert discretize(soft, "column").tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert discretize(soft, "row", threshold=0.85).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4),
        elements=st.floats(0, 1, width=32),
    )
)
def test_discretize_sets_each_lines_maximum(soft):
    for axis, dim in (("row", -1), ("column", -2)):
        hard = discretize(torch.tensor(soft), axis).numpy()
        assert hard.shape == soft.shape
        if soft.size:
            np.testing.assert_array_equal(hard.sum(dim), soft.max(dim) > 0.5)
            np.testing.assert_array_equal(
                (hard * soft).max(dim), np.where(soft.max(dim) > 0.5, soft.max(dim), 0)
            )


# The worked example: A* and a prediction whose rows were maximized; row 2 and row 0 want the same column.
TARGET = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
PREDICTED = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])


def test_scores_by_hand():
    # n1 = 3, n0 = 9, w0 = 3/12, w1 = 9/12; one of three ones and seven of nine zeros are right.
    want = (9 / 12 * 1 + 3 / 12 * 7) / (9 / 12 * 3 + 3 / 12 * 9)
    assert weighted_accuracy(PREDICTED, TARGET).item() == pytest.approx(want)
    # Columns 1 and 2 have an assignment in A* only, column 3 in the prediction only; column 0 has two.
    assert missing_assignments(PREDICTED, TARGET, "row").item() == pytest.approx(3 / 4)
    assert several_assignments(PREDICTED, "row").item() == pytest.approx(1 / 4)
    # After a column-wise maximum the rows are counted; here each has one in both.
    assert missing_assignments(PREDICTED, TARGET, "column").item() == 0
    assert several_assignments(PREDICTED, "column").item() == 0


def equation_10(predicted, target):
    """Eq. 10 as printed, over one matrix; the class that is there where the other is not."""
    ones, zeros = int(target.sum()), int((1 - target).sum())
    right_ones, right_zeros = int((predicted * target).sum()), int(((1 - predicted) * (1 - target)).sum())
    if ones + zeros == 0:
        return 1.0
    if ones == 0 or zeros == 0:
        return (right_ones + right_zeros) / (ones + zeros)
    w0 = ones / (ones + zeros)
    w1 = 1 - w0
    return (w1 * right_ones + w0 * right_zeros) / (w1 * ones + w0 * zeros)


matrix_batches = array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=4).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.floats(0, 1, width=32)),
        arrays(np.float32, shape, elements=bits),
    )
)


@given(matrix_batches)
def test_scores_are_those_of_plain_loops(pair):
    soft, target = map(torch.tensor, pair)
    for axis, across in (("row", 0), ("column", 1)):
        hard = discretize(soft, axis)
        accuracy = weighted_accuracy(hard, target)
        missing, several = missing_assignments(hard, target, axis), several_assignments(hard, axis)
        for k in range(len(soft)):
            assert accuracy[k].item() == pytest.approx(equation_10(hard[k].numpy(), target[k].numpy()))
            sums = list(zip(hard[k].sum(across).tolist(), target[k].sum(across).tolist(), strict=True))
            want_missing = np.mean([(ours > 0) != (theirs > 0) for ours, theirs in sums]) if sums else 0
            assert missing[k].item() == pytest.approx(want_missing)
            assert several[k].item() == pytest.approx(np.mean([ours > 1 for ours, _ in sums]) if sums else 0)


@given(matrix_batches, st.integers(0, 99))
def test_scores_are_in_range_perfect_on_the_target_and_blind_to_order(pair, seed):
    soft, target = map(torch.tensor, pair)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(soft.shape[1], generator=generator)
    columns = torch.randperm(soft.shape[2], generator=generator)
    assert (weighted_accuracy(target, target) == 1).all()
    for axis in ("row", "column"):
        hard = discretize(soft, axis)
        shuffled, answer = hard[:, rows][:, :, columns], target[:, rows][:, :, columns]
        for value, other in (
            (weighted_accuracy(hard, target), weighted_accuracy(shuffled, answer)),
            (missing_assignments(hard, target, axis), missing_assignments(shuffled, answer, axis)),
            (several_assignments(hard, axis), several_assignments(shuffled, axis)),
        ):
            assert ((value >= 0) & (value <= 1)).all()
            torch.testing.assert_close(value, other)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="axis"):
        discretize(torch.zeros(2, 2), "rows")
    with pytest.raises(ValueError, match="one shape"):
        weighted_accuracy(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\(\.\.\., N, M\)"):
        optimal_assignment(torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_measures_of_half_precision_are_float32(dtype):
    """5 of 7 ones found and all 42 zeros: 6 / 7 in float32, not the nearest of bfloat16's 1/256ths."""
    target = torch.eye(7, dtype=dtype)
    predicted = target.clone()
    predicted[0, 0] = predicted[1, 1] = 0
    assert weighted_accuracy(predicted, target).item() == pytest.approx(6 / 7, abs=1e-7)
    assert missing_assignments(predicted, target, "row").item() == pytest.approx(2 / 7, abs=1e-7)
    predicted[0, 2] = predicted[1, 3] = predicted[0, 4] = 1
    assert several_assignments(predicted, "row").item() == pytest.approx(3 / 7, abs=1e-7)
    assert optimal_assignment(1 - target).dtype == dtype
    assert torch.equal(optimal_assignment(1 - target), target)
