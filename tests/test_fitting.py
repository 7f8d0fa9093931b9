"""The training loop of the trackers."""

import dataclasses

import pytest
import torch
from torch import nn

from deepmot_lib.training.fitting import Fit, warm_cosine
from deepmot_lib.training.matcher import CheckpointError


def fitting(network, stop_at=None, poison=None, **changes):
    """Linear regression; ``stop_at`` kills it at a step, ``poison`` makes a step's loss NaN."""

    def loss(step):
        if step == stop_at:
            raise KeyboardInterrupt
        inputs = torch.randn(8, 3)
        error = (network(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        return {
            "fit": error * (float("nan") if step == poison else 1.0),
            "size": 1e-3 * network.weight.norm(),
        }

    fit = Fit(
        name="line",
        settings={"inputs": 3},
        steps=200,
        seed=4,
        optimizer=torch.optim.Adam(network.parameters()),
        rate=lambda step: warm_cosine(step, 200, 0.1),
        loss=loss,
        largest_gradient=1.0,
    )
    return dataclasses.replace(fit, **changes)


def line():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_it_learns_and_tells_how(tmp_path):
    network = line()
    history = fitting(network).run(network, tmp_path / "a.pt")
    assert torch.allclose(network.weight, torch.ones(1, 3), atol=0.05) and not network.training
    assert list(history) == ["step", "loss", "fit", "size", "learning_rate"]
    assert history["step"].tolist() == list(range(2, 201, 2))
    assert torch.allclose(torch.tensor(history["loss"]), torch.tensor(history["fit"] + history["size"]))


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr("deepmot_lib.training.fitting._SAVE_EVERY_S", 0.0)
    whole, killed, resumed = line(), line(), line()
    with pytest.raises(KeyboardInterrupt):
        fitting(killed, stop_at=41).run(killed, tmp_path / "killed.pt")
    monkeypatch.undo()
    expected = fitting(whole).run(whole, tmp_path / "whole.pt")
    torch.manual_seed(99)  # another process has another generator
    history = fitting(resumed).run(resumed, tmp_path / "killed.pt")
    assert torch.equal(resumed.weight, whole.weight) and history.equals(expected)


def test_a_finished_training_returns_at_once(tmp_path):
    first, again = line(), line()
    history = fitting(first).run(first, tmp_path / "a.pt")
    assert fitting(again, stop_at=0).run(again, tmp_path / "a.pt").equals(history)
    assert torch.equal(first.weight, again.weight)


def test_a_loss_that_is_not_finite_stops_and_leaves_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr("deepmot_lib.training.fitting._SAVE_EVERY_S", 0.0)
    network = line()
    with pytest.raises(FloatingPointError, match=r"line: the loss became .*nan.* between steps 20 and 22"):
        fitting(network, poison=20).run(network, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert state["step"] == 20 and state["network"]["weight"].isfinite().all()


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"steps": 3}, {"settings": {"inputs": 4}}, {"name": "curve"}]
)
def test_the_checkpoint_of_another_training_is_refused(tmp_path, change):
    network = line()
    fitting(network, steps=2).run(network, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"its {next(iter(change.get('settings', change)))} is"):
        fitting(network, **{"steps": 2} | change).run(network, tmp_path / "a.pt")


def test_a_broken_checkpoint_is_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"half of a")
    network = line()
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint or a broken one"):
        fitting(network).run(network, tmp_path / "a.pt")


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [warm_cosine(step, 200, 0.1) for step in range(200)]
    top = rates.index(max(rates))
    assert 8 <= top <= 11 and 0.095 < rates[top] <= 0.1
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.01 and rates[-1] < 1e-4


def test_the_weights_that_validated_best_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("deepmot_lib.training.fitting._SAVE_EVERY_S", 0.0)
    seen = []

    def asked(network, scores):
        def validate():
            assert not network.training and not torch.is_grad_enabled()
            seen.append(network.weight.detach().clone())
            return scores[len(seen) - 1]

        return {"validate": validate, "validations": 4}

    network = line()
    history = fitting(network, **asked(network, [0.1, 0.7, 0.7, 0.2])).run(network, tmp_path / "a.pt")
    assert history.dropna()["step"].tolist() == [50, 100, 150, 200]
    assert history["validation"].dropna().tolist() == [0.1, 0.7, 0.7, 0.2]
    assert torch.equal(network.weight, seen[1]) and not torch.equal(network.weight, seen[3])
    again = line()
    fitting(again, stop_at=0).run(again, tmp_path / "a.pt")
    assert torch.equal(again.weight, seen[1]), "a finished training returns its best weights too"


def test_a_killed_training_remembers_its_best_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("deepmot_lib.training.fitting._SAVE_EVERY_S", 0.0)
    killed, resumed, whole = line(), line(), line()

    def scored(network, **changes):
        return fitting(network, validate=lambda: -float(network.weight.norm()), validations=4, **changes)

    with pytest.raises(KeyboardInterrupt):
        scored(killed, stop_at=120).run(killed, tmp_path / "killed.pt")
    expected = scored(whole).run(whole, tmp_path / "whole.pt")
    assert scored(resumed).run(resumed, tmp_path / "killed.pt").equals(expected)
    assert torch.equal(resumed.weight, whole.weight)
