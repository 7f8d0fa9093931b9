"""Training of a DHN: its loss, its batches and learning rates, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmot_lib import matchers
from deepmot_lib.data.pairs import Pairs, batches
from deepmot_lib.evaluation import matching as scoring
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.matcher import Epochs, MatcherTraining, focal_loss
from deepmot_lib.training.schedules import DHNSchedule

from .test_pairs import random_pairs

SCHEDULE = DHNSchedule(steps=12, batch=4, hidden_size=8)
PAIRS = random_pairs([(2, 3)] * 10 + [(3, 3)] * 6)


def training(pairs: Pairs = PAIRS, schedule: DHNSchedule = SCHEDULE) -> MatcherTraining:
    torch.manual_seed(0)
    return MatcherTraining(matchers.create("seq_gru", hidden_size=8), pairs, schedule, seed=5)


def test_the_focal_loss_is_the_papers():
    """Worked by hand for one matrix: two ones among six entries, all predicted with 0.8 or 0.2."""
    assignment = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    logits = torch.logit(torch.tensor([[[0.8, 0.2, 0.2], [0.2, 0.2, 0.2]]]))
    w0, w1 = 2 / 6, 4 / 6
    right = -(0.2**2) * np.log(0.8)
    wrong = -(0.8**2) * np.log(0.2)
    expected = (w1 * right + w1 * wrong + 4 * w0 * right) / 6
    assert float(focal_loss(logits, assignment)) == pytest.approx(expected, rel=1e-5)


@given(st.floats(-80, 80), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_focal_loss_is_finite_however_sure_the_network(logit, one):
    assignment = torch.tensor([[[float(one), 0.0], [0.0, 1.0]]])
    logits = torch.full((1, 2, 2), logit, requires_grad=True)
    loss = focal_loss(logits, assignment)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss >= 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["seq_gru", "seq_lstm", "paral_gru", "paral_lstm", "1d_conv"])
def test_matrices_of_any_shapes_have_the_logits_and_gradients_that_each_has_alone(name):
    torch.manual_seed(0)
    options = {} if name == "1d_conv" else {"hidden_size": 6}
    matcher = matchers.create(name, **options).double().eval()
    distances = [torch.rand(n, m).double() for n, m in [(3, 4), (2, 6), (5, 5), (1, 1), (4, 3)]]
    together = matcher.logits_of(distances)
    alone = [matcher.logits(distance[None])[0] for distance in distances]
    torch.testing.assert_close(together, alone)
    gradients = [
        torch.autograd.grad(sum(each.square().sum() for each in found), list(matcher.parameters()))
        for found in (together, alone)
    ]
    torch.testing.assert_close(*gradients)


def test_the_loss_of_a_step_is_the_mean_over_its_matrices():
    one = training()
    one.network.eval()
    assert len({tuple(PAIRS.shape[index]) for index in one.batches[0]}) == 2, "a batch of two shapes"
    losses = []
    for index in one.batches[0]:
        distance, assignment = (tensor[None] for tensor in PAIRS[index])
        losses.append(focal_loss(one.network.logits(distance), assignment).item())
    assert one.loss(0)["focal"].item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_epochs_give_each_step_its_batch_in_any_order():
    epochs = [list(batches(PAIRS, 4, np.random.default_rng([7, number]))) for number in range(4)]
    expected = [batch for epoch in epochs for batch in epoch]
    found = Epochs(lambda rng: list(batches(PAIRS, 4, rng)), seed=7)
    for step in [*range(len(expected)), 3, len(expected) - 1, 0]:
        assert np.array_equal(found[step], expected[step])
    assert not all(np.array_equal(*both) for both in zip(epochs[0], epochs[1], strict=True))


def test_no_pairs_are_nothing_to_train_on():
    with pytest.raises(ValueError, match="no pairs to train on"):
        training(PAIRS.subset(np.zeros(len(PAIRS), bool)))


def test_the_history_has_the_accuracy_of_the_batch(tmp_path):
    """Of one step: the weighted accuracy of its batch before the weights moved, matrix by matrix."""
    schedule = dataclasses.replace(SCHEDULE, steps=1)
    once, copy = training(schedule=schedule), training(schedule=schedule)
    history = trainer.train(once, CheckpointFile(tmp_path / "a.pt", {}))
    trainer._seed(copy, 0)
    copy.network.train()
    distances, assignments = zip(*(PAIRS[index] for index in copy.batches[0]), strict=True)
    accuracies = []
    for logits, target in zip(copy.network.logits_of(distances), assignments, strict=True):
        soft = logits.sigmoid()
        predicted = torch.zeros_like(soft)
        for row in range(len(soft)):
            column = int(soft[row].argmax())
            predicted[row, column] = float(soft[row, column] > 0.5)
        right = (predicted == target).float()
        zeros = 1 - target
        accuracies.append(((right * target).sum() / target.sum() + (right * zeros).sum() / zeros.sum()) / 2)
    assert history["step"].tolist() == [1] and list(history) == [
        "step",
        "loss",
        "focal",
        "WA",
        "learning_rate",
    ]
    assert history["WA"][0] == pytest.approx(float(torch.stack(accuracies).mean()), abs=1e-6)


def test_the_learning_rate_decays_as_a_1_says(tmp_path):
    stairs = training(schedule=dataclasses.replace(SCHEDULE, steps=6, decay_every=2))
    history = trainer.train(stairs, CheckpointFile(tmp_path / "a.pt", {}))
    expected = 3e-4 * 0.95 ** np.array([0, 0, 1, 1, 2, 2])
    np.testing.assert_allclose(history["learning_rate"], expected)


def test_a_learning_rate_without_bounds_stops_it(tmp_path):
    wild = training(schedule=dataclasses.replace(SCHEDULE, learning_rate=float("inf")))
    with pytest.raises(FloatingPointError, match="smaller learning rate than inf"):
        trainer.train(wild, CheckpointFile(tmp_path / "a.pt", {}))
    assert not list(tmp_path.iterdir())


def test_a_matcher_without_a_gradient_is_refused(tmp_path):
    """min_sum's prices get none from its output: its training is another."""
    prices = MatcherTraining(matchers.create("min_sum", hidden_size=4), PAIRS, SCHEDULE, seed=0)
    with pytest.raises(TypeError, match="min_sum: its output has no gradient to its weights"):
        trainer.train(prices, CheckpointFile(tmp_path / "a.pt", {}))


@pytest.mark.slow
def test_training_learns_a_plain_rule(tmp_path):
    """1 x 2 matrices: the smaller entry is matched. A few hundred steps of a tiny network learn it."""
    torch.manual_seed(0)
    matcher = matchers.create("seq_gru", hidden_size=16)
    schedule = DHNSchedule(steps=200, batch=32, learning_rate=3e-3)
    rule = MatcherTraining(matcher, random_pairs([(1, 2)] * 400), schedule, seed=0)
    trainer.train(rule, CheckpointFile(tmp_path / "a.pt", {}))
    assert scoring.pool(scoring.score(matcher, random_pairs([(1, 2)] * 200, seed=1)))["WA_row"] > 85
