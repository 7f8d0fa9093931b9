"""The loop of every training, on a linear regression whose steps can be killed, poisoned and counted."""

import json
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointError, CheckpointFile
from deepmot_lib.training.trainer import Training, warm_cosine


class Line(Training):
    """Linear regression with dropout, so that a step also draws inside of the network."""

    name = "line"
    max_gradient_norm = 1.0

    def __init__(self, steps=200, seed=4, scores=(), peak=0.1):
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.network = nn.Sequential(nn.Dropout(0.1), self.layer)
        self.optimizer = torch.optim.Adam(self.network.parameters())
        self.steps, self.seed, self.peak = steps, seed, peak
        # The first score is that of the start.
        self.validations, self.scores = max(0, len(scores) - 1), list(scores)
        self.computed, self.seen = [], []

    def learning_rate(self, step):
        return warm_cosine(step, self.steps, self.peak)

    def loss(self, step):
        self.computed.append(step)
        inputs = torch.randn(8, 3) + torch.from_numpy(self.rng(step).normal(size=3)).float()
        error = (self.network(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        return {"fit": error, "size": 1e-3 * self.layer.weight.norm()}

    def metrics(self):
        return {"largest": float(self.layer.weight.abs().max())}

    def validate(self):
        assert not self.network.training and not torch.is_grad_enabled()
        self.seen.append(self.layer.weight.clone())
        return self.scores[len(self.seen) - 1]


class Killed(Line):
    """Dies in a step, as if the machine had been turned off."""

    kill = 41

    def loss(self, step):
        if step == self.kill:
            raise KeyboardInterrupt
        return super().loss(step)


class Poisoned(Line):
    """Has, in one step, another term."""

    poison = 20

    def loss(self, step):
        terms = super().loss(step)
        return {"poison": self.term(), **terms} if step == self.poison else terms


class NotANumber(Poisoned):
    def term(self):
        return self.layer.weight.sum() * math.nan


class InfiniteGradient(Poisoned):
    """Finite, unlike its gradient: the slope of the square root at 0."""

    def term(self):
        return ((self.layer.weight * 0).sum()).sqrt()


class OverflowingNorm(Poisoned):
    def term(self):
        return (self.layer.weight * 1e30).sum()


@pytest.fixture
def always_saved(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(trainer, "_SAVE_EVERY_S", -1.0)


def file(path, **fingerprint):
    return CheckpointFile(path / "a.pt", fingerprint)


def test_it_learns_and_returns_its_history(tmp_path):
    line = Line()
    history = trainer.train(line, file(tmp_path))
    assert torch.allclose(line.layer.weight, torch.ones(1, 3), atol=0.15) and not line.network.training
    assert list(history) == ["step", "loss", "fit", "size", "largest", "learning_rate"]
    assert history["step"].tolist() == list(range(2, 201, 2))
    np.testing.assert_allclose(history["loss"], history["fit"] + history["size"])
    assert history["learning_rate"].tolist() == [warm_cosine(step, 200, 0.1) for step in range(1, 200, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("kill", [1, 40, 41, 199], ids=lambda step: f"in step {step}")
def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path, monkeypatch, kill):
    whole, killed, resumed = Line(), Killed(), Line()
    killed.kill = kill
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "_SAVE_EVERY_S", -1.0)
        trainer.train(killed, file(tmp_path / "killed"))
    expected = trainer.train(whole, file(tmp_path / "whole"))
    torch.manual_seed(99)  # another process has another random state
    history = trainer.train(resumed, file(tmp_path / "killed"))
    assert resumed.computed == list(range(kill, 200)), "not one step is lost, between two rows neither"
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert torch.equal(resumed.layer.bias, whole.layer.bias) and history.equals(expected)


def test_a_finished_training_returns_at_once(tmp_path):
    first, again = Line(), Line()
    history = trainer.train(first, file(tmp_path))
    written = (tmp_path / "a.pt").stat().st_mtime_ns
    assert trainer.train(again, file(tmp_path)).equals(history)
    assert again.computed == [] and (tmp_path / "a.pt").stat().st_mtime_ns == written
    assert torch.equal(first.layer.weight, again.layer.weight) and not again.network.training


def test_what_a_step_draws_follows_from_seed_and_step_alone(tmp_path):
    torch.manual_seed(1)
    first, again, other = Line(6), Line(6), Line(6, seed=5)
    trainer.train(first, file(tmp_path / "first"))
    torch.randn(7)
    trainer.train(again, file(tmp_path / "again"))
    trainer.train(other, file(tmp_path / "other"))
    assert torch.equal(first.layer.weight, again.layer.weight)
    assert not torch.equal(first.layer.weight, other.layer.weight)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            NotANumber,
            "line, step 21 of 200: the loss is not finite: {'poison': nan, 'fit': .*}.*smaller lear",
        ),
        (InfiniteGradient, "line, step 21 of 200: the gradient is not finite: 'poison' by 1.weight.*smaller"),
        (OverflowingNorm, "line, step 21 of 200: the gradient is not finite: its norm overflows"),
    ],
)
def test_what_is_not_finite_stops_it_before_the_weights_move(tmp_path, always_saved, kind, message):
    poisoned = kind()
    with pytest.raises(FloatingPointError, match=message):
        trainer.train(poisoned, file(tmp_path))
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert state["step"] == 20 and state["network"]["1.weight"].isfinite().all()
    assert torch.equal(poisoned.layer.weight, state["network"]["1.weight"])


@pytest.mark.parametrize("kind", [NotANumber, InfiniteGradient])
def test_what_is_not_finite_in_the_last_step_stops_it_too(tmp_path, kind):
    poisoned = kind(steps=21)
    with pytest.raises(FloatingPointError, match="step 21 of 21"):
        trainer.train(poisoned, file(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [1, 5])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, steps):
    """An infinite learning rate makes them from a finite gradient."""
    with pytest.raises(FloatingPointError, match=f"step {min(steps, 2)} of {steps}: .* not finite.*than inf"):
        trainer.train(Line(steps, peak=math.inf), file(tmp_path))
    assert not list(tmp_path.iterdir())


def test_nothing_is_clipped_unless_asked_for(tmp_path):
    """Against torch's plain optimizer: a step of SGD at the gradient that autograd gives."""
    line, plain = Line(1), Line(1)
    line.max_gradient_norm = math.inf
    line.optimizer = torch.optim.SGD(line.network.parameters())
    trainer.train(line, file(tmp_path))
    trainer._seed(plain, 0)
    plain.network.train()
    sum(plain.loss(0).values()).backward()
    rate = plain.learning_rate(0)
    torch.testing.assert_close(line.layer.weight, plain.layer.weight - rate * plain.layer.weight.grad)


def test_a_gradient_is_clipped_to_its_norm(tmp_path):
    line = Line(1)
    start = line.layer.weight.clone(), line.layer.bias.clone()
    line.optimizer, line.max_gradient_norm = torch.optim.SGD(line.network.parameters()), 0.5
    trainer.train(line, file(tmp_path))
    moved = torch.cat([(line.layer.weight - start[0]).flatten(), line.layer.bias - start[1]])
    assert moved.norm().item() == pytest.approx(0.5 * line.learning_rate(0), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "fingerprint", "message"),
    [
        ({"seed": 5}, {}, "training.seed 4 -> 5"),
        ({"steps": 6}, {}, "training.steps 5 -> 6"),
        ({}, {"data": {"pairs": "3f", "sizes": [2, 3]}}, 'data.pairs "a0" -> "3f"'),
        ({}, {"data": {"pairs": "a0", "sizes": (2, 4)}}, "data.sizes [2, 3] -> [2, 4]"),
        ({}, {"data": None}, 'data {"pairs": "a0", "sizes": [2, 3]} -> null'),
    ],
)
def test_another_fingerprint_starts_anew_and_says_why(tmp_path, capsys, change, fingerprint, message):
    usual = {"data": {"pairs": "a0", "sizes": (2, 3)}}
    trainer.train(Line(5), file(tmp_path, **usual))
    capsys.readouterr()
    again = Line(**{"steps": 5} | change)
    trainer.train(again, file(tmp_path, **usual | fingerprint))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{tmp_path / 'a.pt'}: trained anew, changed: {message}"]
    assert again.computed == list(range(again.steps))
    stored = torch.load(tmp_path / "a.pt", weights_only=True)["fingerprint"]
    assert stored["data"] == json.loads(json.dumps((usual | fingerprint)["data"]))


def test_the_same_fingerprint_in_tuples_is_the_same(tmp_path, capsys):
    trainer.train(Line(5), file(tmp_path, sizes=[1, 2]))
    again = Line(5)
    trainer.train(again, file(tmp_path, sizes=(1, 2)))
    assert again.computed == [] and capsys.readouterr().out == ""


def test_many_changes_still_fit_a_line(tmp_path, capsys):
    trainer.train(Line(2), file(tmp_path, **{name: 0 for name in "abcde"}))
    trainer.train(Line(2), file(tmp_path, **{name: 1 for name in "abcde"}))
    assert "changed: a 0 -> 1, b 0 -> 1, c 0 -> 1, and 2 more\n" in capsys.readouterr().out


def test_a_checkpoint_that_does_not_fit_the_network_is_named(tmp_path):
    """A fingerprint that left the network's size out."""
    trainer.train(Line(2), file(tmp_path))
    other = Line(2)
    other.network = other.layer = nn.Linear(3, 2)
    with pytest.raises(CheckpointError, match=r"a\.pt is of another network than line; delete it"):
        trainer.train(other, file(tmp_path))


def test_a_broken_checkpoint_is_named(tmp_path):
    trainer.train(Line(2), file(tmp_path))
    whole = (tmp_path / "a.pt").read_bytes()
    middle = len(whole) // 3
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (b"", b"half of a", whole[:500], whole[:-1], flipped):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint or a damaged one.*delete it"):
            trainer.train(Line(2), file(tmp_path))


@pytest.mark.parametrize("content", [{}, [], {"step": 3}, {"fingerprint": 3}])
def test_another_programs_file_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint"):
        trainer.train(Line(2), file(tmp_path))


def test_a_write_cut_short_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    trainer.train(Line(2), file(tmp_path))
    before = (tmp_path / "a.pt").read_bytes()

    def half(state, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        trainer.train(Line(3), file(tmp_path))
    assert (tmp_path / "a.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [warm_cosine(step, 200, 0.1) for step in range(200)]
    top = rates.index(max(rates))
    assert 8 <= top <= 11 and 0.095 < rates[top] <= 0.1
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.01 and rates[-1] < 1e-4


def test_the_weights_that_validated_best_are_kept(tmp_path):
    line, again = Line(scores=[0.5, 0.1, 0.7, 0.7, 0.2]), Line(scores=[0.5, 0.1, 0.7, 0.7, 0.2])
    history = trainer.train(line, file(tmp_path))
    validated = history[history["validation"].notna()]
    assert validated["step"].tolist() == [0, 50, 100, 150, 200]
    assert validated["validation"].tolist() == [0.5, 0.1, 0.7, 0.7, 0.2]
    assert torch.equal(line.layer.weight, line.seen[2]) and not torch.equal(line.layer.weight, line.seen[4])
    trainer.train(again, file(tmp_path))
    assert again.computed == again.seen == [], "a finished training is not validated anew"
    assert torch.equal(again.layer.weight, line.seen[2]), "and returns its best weights too"


def test_a_training_that_only_makes_things_worse_ends_where_it_started(tmp_path):
    line = Line(scores=[0.9, 0.1, 0.2])
    start = line.layer.weight.clone()
    trainer.train(line, file(tmp_path))
    assert torch.equal(line.layer.weight, start) and line.computed == list(range(200))


def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path):
    line = Line(scores=[math.nan, math.nan, 0.1, math.nan])
    trainer.train(line, file(tmp_path))
    assert torch.equal(line.layer.weight, line.seen[2])


def test_a_killed_training_keeps_its_best_weights(tmp_path):
    """It dies between two validations, and nothing but them has saved it."""
    whole, killed, resumed = (kind(scores=[0, 3, 1, 2, 0]) for kind in (Line, Killed, Line))
    killed.kill, resumed.scores = 120, [2, 0]
    with pytest.raises(KeyboardInterrupt):
        trainer.train(killed, file(tmp_path / "killed"))
    expected = trainer.train(whole, file(tmp_path / "whole"))
    assert trainer.train(resumed, file(tmp_path / "killed")).equals(expected)
    assert resumed.computed[0] == 100 and torch.equal(resumed.layer.weight, whole.layer.weight)


@pytest.mark.parametrize(
    ("steps", "validations", "expected"),
    [(4, 2, {2, 4}), (7, 3, {3, 5, 7}), (3, 5, {1, 2, 3}), (250, 2, {126, 250}), (250, 0, set())],
)
def test_validations_are_spread_over_the_rows(steps, validations, expected):
    """250 steps have a row after every second one: 125 falls on the next."""
    rows, validated = trainer._schedule(steps, validations)
    assert validated == expected and validated <= rows and max(rows) == steps


def test_the_progress_bar_shows_the_loss(tmp_path, capsys):
    history = trainer.train(Line(), file(tmp_path))
    shown = capsys.readouterr()
    assert shown.out == "" and re.search(r"line, seed 4: 100%.*200/200", shown.err)
    assert f"loss={history['loss'].iloc[-1]:.3g}" in shown.err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a GPU")
def test_on_a_gpu_the_dropout_of_a_step_follows_from_seed_and_step_too():
    """cuDNN keeps a dropout state of its own for its RNNs: seeding torch must reset it."""
    line = Line()
    rnn = nn.GRU(4, 8, num_layers=2, dropout=0.5).cuda()
    inputs = torch.ones(5, 2, 4, device="cuda")

    def drawn(step):
        trainer._seed(line, step)
        return rnn(inputs)[0]

    first, other, again = drawn(3), drawn(4), drawn(3)
    assert torch.equal(first, again) and not torch.equal(first, other)
