"""GRU and LSTM against torch's own: results, gradients, parameters, and sequences of different lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deepmot_lib.matchers.cells import GRU, LSTM

CELLS = [(nn.GRU, GRU), (nn.LSTM, LSTM)]


def pair(
    inputs: int, hidden: int, layers: int, dropout: float = 0.0, kinds: tuple[type, type] = CELLS[0]
) -> tuple[nn.RNNBase, nn.RNNBase]:
    options = {"num_layers": layers, "bidirectional": True, "dropout": dropout}
    theirs, ours = (kind(inputs, hidden, **options).double() for kind in kinds)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def assert_alike(sequence: torch.Tensor, networks: tuple, results: tuple) -> None:
    """Compare results, and the gradients of one weighted sum of each."""
    torch.testing.assert_close(results[1], results[0])
    weight = torch.randn_like(results[0])
    gradients = [
        torch.autograd.grad((weight * result).sum(), [sequence, *network.parameters()])
        for network, result in zip(networks, results, strict=True)
    ]
    torch.testing.assert_close(gradients[1], gradients[0])


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.sampled_from(CELLS),
    length=st.integers(1, 12),
    batch=st.integers(1, 4),
    inputs=st.integers(1, 5),
    hidden=st.integers(1, 6),
    layers=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_results_and_gradients_are_torchs(kinds, length, batch, inputs, hidden, layers, seed):
    torch.manual_seed(seed)
    theirs, ours = pair(inputs, hidden, layers, kinds=kinds)
    sequence = torch.randn(length, batch, inputs, dtype=torch.double, requires_grad=True)
    assert_alike(sequence, (theirs, ours), (theirs(sequence)[0], ours(sequence)))


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.sampled_from(CELLS),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    seed=st.integers(0, 2**16),
)
def test_sequences_of_different_lengths_are_torchs_packed_ones(kinds, lengths, layers, seed):
    torch.manual_seed(seed)
    theirs, ours = pair(2, 3, layers, kinds=kinds)
    sequence = torch.randn(max(lengths), len(lengths), 2, dtype=torch.double, requires_grad=True)
    counts = torch.tensor(lengths)
    packed = theirs(pack_padded_sequence(sequence, counts, enforce_sorted=False))[0]
    own = (torch.arange(max(lengths))[:, None] < counts)[..., None]
    results = pad_packed_sequence(packed)[0], ours(sequence, counts) * own
    assert_alike(sequence, (theirs, ours), results)


def test_weights_learn_where_the_input_needs_no_gradient():
    _, ours = pair(1, 3, 1)
    ours(torch.randn(5, 2, 1, dtype=torch.double)).sum().backward()
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
        torch.autograd.grad(result.square().sum(), [sequence, *filter(_is_trained, network.parameters())])
        for network, result in ((theirs, theirs(sequence)[0]), (ours, ours(sequence)))
    ]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)
    assert len(gradients[1]) == (1 if trained is None else 2)


def _is_trained(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad


def test_dropout_falls_between_the_layers_in_training_only():
    _, ours = pair(2, 4, 2, dropout=0.5)
    sequence = torch.randn(6, 2, 2, dtype=torch.double)
    assert not torch.equal(ours(sequence), ours(sequence))
    ours.eval()
    assert torch.equal(ours(sequence), ours(sequence))


def test_dropout_drops_the_share_it_names():
    _, ours = pair(1, 1, 2, dropout=0.25)
    for name, parameter in ours.named_parameters():  # the second layer passes what its candidate state gets
        if "_l1" in name:
            nn.init.zeros_(parameter)
    with torch.no_grad():
        ours.weight_ih_l1[2, 0] = ours.weight_ih_l1_reverse[2, 0] = 1e-3
        hidden = ours(torch.ones(1, 20_000, 1, dtype=torch.double))[..., 0]
    assert (hidden == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
