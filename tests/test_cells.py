"""The CPU's GRU against torch's own: results, gradients, parameters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deepmot_lib.matchers.cells import GRU


def pair(inputs: int, hidden: int, layers: int, dropout: float = 0.0) -> tuple[nn.GRU, GRU]:
    options = {"num_layers": layers, "bidirectional": True, "dropout": dropout}
    theirs, ours = (kind(inputs, hidden, **options).double() for kind in (nn.GRU, GRU))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 12),
    batch=st.integers(1, 4),
    inputs=st.integers(1, 5),
    hidden=st.integers(1, 6),
    layers=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_results_and_gradients_are_torchs(length, batch, inputs, hidden, layers, seed):
    torch.manual_seed(seed)
    theirs, ours = pair(inputs, hidden, layers)
    sequence = torch.randn(length, batch, inputs, dtype=torch.double, requires_grad=True)
    results = [network(sequence)[0] for network in (theirs, ours)]
    torch.testing.assert_close(results[1], results[0])
    weight = torch.randn_like(results[0])
    gradients = [
        torch.autograd.grad((weight * result).sum(), [sequence, *network.parameters()])
        for network, result in zip((theirs, ours), results, strict=True)
    ]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_weights_learn_where_the_input_needs_no_gradient():
    _, ours = pair(1, 3, 1)
    ours(torch.randn(5, 2, 1, dtype=torch.double))[0].sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ours.parameters())


@pytest.mark.parametrize(
    "trained", ["weight_ih_l0", "weight_hh_l1_reverse", "bias_ih_l1", "bias_hh_l0", None]
)
def test_frozen_weights_change_no_other_gradient(trained):
    torch.manual_seed(0)
    theirs, ours = pair(2, 3, 2)
    sequence = torch.randn(4, 2, 2, dtype=torch.double, requires_grad=True)
    for network in (theirs, ours):
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name == trained)
    gradients = [
        torch.autograd.grad(
            network(sequence)[0].square().sum(), [sequence, *filter(_is_trained, network.parameters())]
        )
        for network in (theirs, ours)
    ]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)
    assert len(gradients[1]) == (1 if trained is None else 2)


def _is_trained(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad


def test_dropout_falls_between_the_layers_in_training_only():
    _, ours = pair(2, 4, 2, dropout=0.5)
    sequence = torch.randn(6, 2, 2, dtype=torch.double)
    assert not torch.equal(ours(sequence)[0], ours(sequence)[0])
    ours.eval()
    assert torch.equal(ours(sequence)[0], ours(sequence)[0])


def test_dropout_drops_the_share_it_names():
    _, ours = pair(1, 1, 2, dropout=0.25)
    for name, parameter in ours.named_parameters():  # the second layer passes what its candidate state gets
        if "_l1" in name:
            nn.init.zeros_(parameter)
    with torch.no_grad():
        ours.weight_ih_l1[2, 0] = ours.weight_ih_l1_reverse[2, 0] = 1e-3
        hidden = ours(torch.ones(1, 20_000, 1, dtype=torch.double))[0][..., 0]
    assert (hidden == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
