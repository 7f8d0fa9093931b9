"""The min-sum matcher against scipy's optima, the dual prices against linear programs, the shipped weights
against their card."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from deepmot_lib import matchers
from deepmot_lib.assignment import discretize, optimal_assignment
from deepmot_lib.data import pairs
from deepmot_lib.evaluation import matching as scoring
from deepmot_lib.matchers.min_sum import BENEFIT, gains
from deepmot_lib.training import prices, trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.schedules import PriceSchedule

from .test_pairs import random_pairs

NAMES = ("min_sum", "min_sum_rule")
DATA = os.environ.get("DEEPMOT_DATA")
real = pytest.mark.skipif(not DATA, reason="DEEPMOT_DATA is not set")

sizes = st.integers(1, 9)
seeds = st.integers(0, 10_000)


def gated(n: int, m: int, seed: int, share: float = 0.3) -> torch.Tensor:
    """Uniform distances, (1, n, m), some of them gated."""
    generator = torch.Generator().manual_seed(seed)
    distance = torch.rand(1, n, m, generator=generator)
    return distance.masked_fill(torch.rand(1, n, m, generator=generator) < share, pairs.GATED)


@pytest.mark.parametrize("name", NAMES)
@given(sizes, sizes, seeds)
@settings(max_examples=40, deadline=None)
def test_rows_and_columns_have_no_order(name, n, m, seed):
    matcher, distance = matchers.load(name), gated(n, m, seed)
    rows, columns = (torch.randperm(k, generator=torch.Generator().manual_seed(seed)) for k in (n, m))
    shuffled = matcher.logits(distance[:, rows][:, :, columns])
    torch.testing.assert_close(shuffled, matcher.logits(distance)[:, rows][:, :, columns])


@pytest.mark.parametrize("name", NAMES)
@given(sizes, sizes, st.integers(0, 4), st.integers(0, 4), seeds)
@settings(max_examples=40, deadline=None)
def test_gated_rows_and_columns_change_nothing(name, n, m, more_rows, more_columns, seed):
    matcher, distance = matchers.load(name), gated(n, m, seed)
    wider = torch.nn.functional.pad(distance, (0, more_columns, 0, more_rows), value=pairs.GATED)
    soft = matcher(wider)
    torch.testing.assert_close(soft[:, :n, :m], matcher(distance))
    assert (soft[wider >= pairs.GATED] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 9), (9, 4), (30, 30)])
def test_well_separated_pairs_are_matched_surely(name, n, m):
    """Matches below 0.1, all others above 0.6: scipy finds them, and so does every entry of the matcher."""
    rng = np.random.default_rng(n)
    distance = rng.uniform(0.6, 1.0, (n, m))
    rows, columns = rng.permutation(n)[: min(n, m)], rng.permutation(m)[: min(n, m)]
    distance[rows, columns] = rng.uniform(0, 0.1, min(n, m))
    expected = np.zeros((n, m))
    expected[linear_sum_assignment(distance)] = 1
    assert (expected[rows, columns] == 1).all()
    soft = matchers.load(name)(torch.tensor(distance[None]))[0].numpy()
    np.testing.assert_array_equal(soft > 0.5, expected)
    assert np.abs(soft - expected).max() < 0.2


@pytest.mark.slow
@given(st.integers(1, 8), st.integers(1, 8), seeds)
@settings(max_examples=25, deadline=None)
def test_with_enough_rounds_the_rule_finds_the_optimum(n, m, seed):
    """Bayati et al.: the messages settle after a number of rounds that the gap to the second best assignment
    bounds; it is small only by bad luck."""
    distance = np.random.default_rng(seed).uniform(size=(n, m))
    matcher = matchers.create("min_sum_rule", rounds=3000, graded=1)
    soft = matcher(torch.tensor(distance[None]))[0].numpy()
    best = np.zeros((n, m))
    best[linear_sum_assignment(distance)] = 1
    np.testing.assert_array_equal(soft > 0.5, best)


@pytest.mark.parametrize("name", NAMES)
def test_both_discretisations_agree_where_the_rounds_have_settled(name):
    distance = torch.rand(20, 7, 12, generator=torch.Generator().manual_seed(3))
    matcher = matchers.load(name)
    matcher.core.rounds = 500
    soft = matcher(distance)
    assert torch.equal(discretize(soft, "row"), discretize(soft, "column"))
    assert torch.equal(discretize(soft, "row"), optimal_assignment(distance))


@pytest.mark.parametrize("name", NAMES)
def test_the_temperature_only_smooths(name):
    distance = gated(12, 15, 1)
    cold, warm = matchers.load(name), matchers.load(name)
    cold.core.temperature, warm.core.temperature = 0.05, 0.2
    torch.testing.assert_close(cold.logits(distance)[distance < 1] / 4, warm.logits(distance)[distance < 1])
    for axis in ("row", "column"):
        assert torch.equal(discretize(cold(distance), axis), discretize(warm(distance), axis))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tie", [0.0, 0.5])
def test_the_gradient_is_finite_in_ties_and_points_downhill(name, tie):
    """Of a matched pair's own entry: shorter is surer. Gated entries get none."""
    distance = torch.full((1, 5, 6), tie)
    distance[0, 2] = pairs.GATED
    assert torch.isfinite(_gradient(matchers.load(name), distance, (0, 0))).all()
    distance = gated(5, 6, 4, share=0.2)
    matcher = matchers.load(name)
    best = tuple(optimal_assignment(distance, pairs.GATED)[0].nonzero()[0].tolist())
    gradient = _gradient(matcher, distance, best)
    assert torch.isfinite(gradient).all()
    assert gradient[0][best] < 0
    assert (gradient[distance >= pairs.GATED] == 0).all()


def _gradient(matcher: matchers.Matcher, distance: torch.Tensor, entry: tuple[int, int]) -> torch.Tensor:
    distance = distance.clone().requires_grad_()
    matcher(distance)[0][entry].backward()
    return distance.grad


def test_the_gradient_through_the_last_rounds_is_that_of_finite_differences():
    """With all rounds graded: the beliefs are piecewise linear in the distances."""
    matcher = matchers.create("min_sum_rule", rounds=6, graded=6)
    distance = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(matcher, distance.requires_grad_(), eps=1e-7, atol=1e-5)


@given(st.integers(1, 5), st.integers(1, 5), seeds, st.sampled_from([0.0, 0.4]))
@settings(max_examples=60, deadline=None)
def test_price_intervals_are_those_of_the_linear_program(n, m, seed, share):
    """The dual: minimize the sum of row and column prices that cover every gain; then each column's lowest
    and highest price among the optima."""
    distance = gated(n, m, seed, share).double()
    gain, open_pairs = gains(distance)
    gain = gain[0].numpy()
    rows, columns = linear_sum_assignment(np.maximum(gain, 0), maximize=True)
    matched = np.zeros((n, m))
    matched[rows, columns] = gain[rows, columns] > 0
    optimum = (gain * matched).sum()
    cover, right = [], []
    for i, j in np.ndindex(n, m):
        row = np.zeros(n + m)
        row[[i, n + j]] = -1
        cover.append(row)
        right.append(-gain[i, j])
    cover.append(np.ones(n + m))
    right.append(optimum + 1e-9)
    low, high = prices.price_interval(torch.tensor(gain[None]), open_pairs, torch.tensor(matched[None]))
    for j in range(m):
        goal = np.eye(n + m)[n + j]
        for sign, found in ((1, low), (-1, high)):
            solved = linprog(sign * goal, A_ub=cover, b_ub=right, bounds=(0, None))
            assert float(found[0, j]) == pytest.approx(sign * solved.fun, abs=1e-5)


def test_the_price_loss_is_zero_inside_the_interval_only():
    distance = torch.tensor([[[0.2, 0.5], [0.3, 0.9]]])  # the cross: 0.5 + 0.3 < 0.2 + 0.9
    gain, open_pairs = gains(distance)
    target = optimal_assignment(distance)
    assert target[0].tolist() == [[0, 1], [1, 0]]
    # p_0 >= p_1 + (0.5 - 0.2), p_0 <= p_1 + (0.9 - 0.3), p_0 <= 2 - 0.3, p_1 >= 0.
    low, high = prices.price_interval(gain, open_pairs, target)
    torch.testing.assert_close(low, torch.tensor([[0.3, 0.0]]))
    torch.testing.assert_close(high, torch.tensor([[1.7, 1.4]]))

    def loss(*values: float) -> float:
        share = torch.logit(torch.tensor([values]) / BENEFIT)
        return float(prices.price_loss(share, gain, open_pairs, target))

    assert loss(1.0, 0.5) == pytest.approx(0, abs=1e-6)
    assert loss(0.1, 0.5) > 0.1
    assert loss(1.9, 0.5) > 0.1


@pytest.mark.slow
def test_price_training_makes_prices_better_than_the_rules(tmp_path):
    """Square uniform matrices, three rounds: the rule starts all columns alike, prices know their rivals."""
    test = random_pairs([(8, 8)] * 300, seed=9)
    torch.manual_seed(0)
    matcher = matchers.create("min_sum", rounds=3)
    schedule = PriceSchedule(steps=150, entries=2_000, uniform=0.0)
    training = prices.PriceTraining(matcher, random_pairs([(8, 8)] * 300), schedule, seed=0)
    trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    learned, rule = (
        scoring.pool(scoring.score(m, test))["WA_row"]
        for m in (matcher, matchers.create("min_sum_rule", rounds=3))
    )
    assert learned > rule + 1


def test_the_loss_of_the_beliefs_is_added_in_the_last_steps():
    schedule = PriceSchedule(steps=10, entries=200, unroll_fraction=0.3)
    matcher = matchers.create("min_sum", hidden_size=4, layers=1)
    training = prices.PriceTraining(matcher, random_pairs([(3, 4)] * 40), schedule, seed=2)
    terms = [set(training.loss(step)) for step in range(10)]
    assert terms == [{"prices"}] * 7 + [{"prices", "beliefs"}] * 3


@pytest.mark.parametrize("name", ["min_sum_rule", "1d_conv"])
def test_what_cannot_be_trained_says_so(name):
    with pytest.raises(TypeError, match="no price network"):
        prices.PriceTraining(matchers.create(name), random_pairs([(2, 2)]), PriceSchedule(2), seed=0)


@pytest.mark.parametrize("options", [{"rounds": 0}, {"graded": 0}, {"temperature": 0.0}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        matchers.create("min_sum", **options)


@pytest.mark.parametrize("path", sorted(matchers.WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_weights_are_those_of_their_card(path):
    name, _, kind = path.stem.rpartition("-")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == matchers.card(name, kind)["sha256"]
    assert all(p.isfinite().all() for p in matchers.load(name, pairs=kind).parameters())


def test_ours_is_small():
    assert sum(p.numel() for p in matchers.load("min_sum").parameters()) < 20_000


@pytest.mark.slow
@real
def test_the_shipped_weights_score_what_their_card_says():
    """On all of the paper's test pairs, to its two decimals."""
    root = Path(DATA) / "dhn"
    scores = scoring.score(matchers.load("min_sum"), pairs.read(root / "test.npz"))
    unseen = np.load(root / "test-unseen.npy")
    for part, rows in (("all", scores), ("unseen", scores[unseen[scores.index]])):
        expected = dict(matchers.card("min_sum")["measures"][part])
        assert expected.pop("matrices") == len(rows)
        # Half a unit of the last digit, and a matrix whose tie another processor rounds the other way.
        assert scoring.pool(rows) == pytest.approx(expected, abs=0.011)
