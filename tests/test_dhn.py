"""The networks and their scores against the definitions and independent implementations."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deepmot_lib import matchers
from deepmot_lib.data import pairs
from deepmot_lib.evaluation import matching as scoring
from deepmot_lib.matchers import recurrent

from .test_pairs import random_pairs

NAMES = matchers.names()
RECURRENT = ["seq_gru", "seq_lstm", "paral_gru", "paral_lstm"]
CONTROLS = ["softmax", "greedy", "sinkhorn", "hungarian"]
SMALL = {name: {"hidden_size": 8} for name in RECURRENT}
GATED = pairs.GATED


def small(name: str) -> matchers.Matcher:
    torch.manual_seed(0)
    return matchers.freeze(matchers.create(name, **SMALL.get(name, {})))


def test_table_5_comes_first():
    assert NAMES[:5] == ["seq_gru", "seq_lstm", "paral_gru", "paral_lstm", "1d_conv"]
    assert set(CONTROLS) <= set(NAMES)


SHAPES = [(1, 1), (1, 300), (300, 1), (2, 2), (4, 7), (7, 3), (0, 3), (3, 0), (0, 0)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_size_gives_a_soft_assignment_and_a_finite_gradient(name, dtype):
    matcher = small(name)
    for shape in SHAPES:
        distance = torch.rand(2, *shape, dtype=dtype, requires_grad=True)
        soft = matcher(distance)
        assert soft.shape == distance.shape
        assert soft.dtype == dtype
        assert ((soft >= 0) & (soft <= 1)).all()
        (soft * torch.rand_like(soft)).sum().backward()
        assert torch.isfinite(distance.grad).all(), shape


@pytest.mark.parametrize("name", NAMES)
def test_no_matrix_at_all_is_no_assignment(name):
    assert small(name)(torch.rand(0, 3, 4)).shape == (0, 3, 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single_precision(name, dtype):
    matcher, distance = small(name), torch.rand(2, 4, 5).to(dtype)
    distance[:, 1] = GATED
    soft = matcher(distance.requires_grad_())
    assert soft.dtype == dtype
    torch.testing.assert_close(soft, matcher(distance.float()).to(dtype))
    soft.sum().backward()
    assert distance.grad.dtype == dtype
    assert torch.isfinite(distance.grad).all()


EQ3 = torch.tensor([[[0.1, 0.6], [0.7, 0.2]]])
COARSE = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", COARSE)
def test_the_shipped_network_gives_its_numbers_under_autocast(dtype):
    """It raised a RuntimeError: autocast's products met float32 states."""
    network = matchers.load("seq_gru", pairs="eq3")
    expected = network(EQ3)
    with torch.autocast("cpu", dtype=dtype):
        soft = network(EQ3)
    torch.testing.assert_close(soft, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", COARSE)
def test_autocast_changes_no_digit_and_no_gradient(name, dtype):
    """With the backward pass outside of it, as torch advises; inside, torch itself rounds each product."""
    matcher, distance = small(name), torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1))
    expected = matcher(distance.requires_grad_())
    (slope,) = torch.autograd.grad(expected.square().sum(), distance)
    with torch.autocast("cpu", dtype=dtype):
        soft = matcher(distance)
    assert torch.equal(soft, expected)
    assert torch.equal(torch.autograd.grad(soft.square().sum(), distance)[0], slope)
    with torch.autocast("cpu", dtype=dtype):
        (inside,) = torch.autograd.grad(matcher(distance).square().sum(), distance)
        coarse = matcher(distance.detach().to(dtype))
    assert (inside - slope).norm() <= 0.05 * slope.norm()
    assert coarse.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", COARSE)
def test_a_model_in_half_precision_leaves_its_matcher_exact(name, dtype):
    """min_sum raised a RuntimeError; the others lost digits that no later step gives back."""
    distance = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1))
    expected = small(name)(distance)
    model = nn.ModuleDict({"matcher": small(name), "detector": nn.Linear(2, 2)}).to(dtype)
    assert model["detector"].weight.dtype == dtype
    assert torch.equal(model["matcher"](distance), expected)
    for half in (model["matcher"].half(), model["matcher"].bfloat16()):
        assert torch.equal(half(distance), expected)
    assert all(value.dtype == torch.float64 for value in small(name).double().parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gated_entries_leave_everything_finite(name):
    matcher = small(name)
    some = (
        torch.rand(1, 4, 5).index_fill(1, torch.tensor([2]), GATED).index_fill(2, torch.tensor([0, 3]), GATED)
    )
    for distance in (torch.full((1, 3, 4), GATED), torch.full((1, 1, 1), GATED), some):
        distance.requires_grad_()
        soft = matcher(distance)
        soft.square().sum().backward()
        assert ((soft >= 0) & (soft <= 1)).all()
        assert torch.isfinite(distance.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_its_matrices_give_alone(name):
    matcher, distance = small(name), torch.rand(5, 3, 6)
    distance[torch.rand(5, 3, 6) < 0.2] = GATED
    alone = torch.cat([matcher(one[None]) for one in distance])
    torch.testing.assert_close(matcher(distance), alone)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("distance", "message"),
    [
        (torch.rand(3, 4), "floating-point"),
        (torch.rand(2, 2, 3, 4), "floating-point"),
        (torch.zeros(1, 3, 4, dtype=torch.int64), "floating-point"),
        (torch.full((1, 2, 2), torch.nan), "not finite"),
        (torch.full((1, 2, 2), torch.inf), "not finite"),
        (torch.full((1, 2, 2), -torch.inf), r"distance holds -inf at \(0, 0, 0\): .*not finite"),
        (torch.full((1, 2, 2), 1e30), r"distance holds 1e\+30 at"),
    ],
)
def test_bad_distances_are_named(name, distance, message):
    with pytest.raises(ValueError, match=message):
        small(name)(distance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises((RuntimeError, AssertionError)):
        small(name).to("cuda")


@pytest.mark.parametrize("name", NAMES)
def test_another_matchers_weights_or_a_cut_file_are_refused(name, tmp_path):
    path = tmp_path / "weights.safetensors"
    matcher, other = small(name), small("seq_lstm" if name == "seq_gru" else "seq_gru")
    save_file(other.core.state_dict(), path)
    with pytest.raises(ValueError, match=r"weights\.safetensors: weights of another network"):
        matchers.load_weights(matcher, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        matchers.load_weights(matcher, path)


@pytest.mark.parametrize("name", NAMES)
def test_its_own_weights_come_back(name, tmp_path):
    path, distance = tmp_path / "weights.safetensors", torch.rand(1, 3, 4)
    matcher = small(name)
    save_file(matcher.core.state_dict(), path)
    torch.manual_seed(1)
    again = matchers.freeze(matchers.create(name, **SMALL.get(name, {})))
    torch.testing.assert_close(matchers.load_weights(again, path)(distance), matcher(distance))


@pytest.mark.parametrize("name", RECURRENT)
def test_every_entry_sees_every_other(name):
    """Property (iv) of Sec. 4.1: global decisions. Changing any entry changes the farthest one."""
    matcher = small(name).double()
    distance = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    matcher(distance)[0, 3, 4].backward()
    assert (distance.grad != 0).all()


@pytest.mark.parametrize("name", RECURRENT)
def test_a_batch_too_large_to_keep_at_once_gives_the_same(name, monkeypatch):
    matcher = small(name)
    distance = torch.rand(5, 3, 4, requires_grad=True)
    whole = matcher(distance)
    weight = torch.rand_like(whole)
    (gradient,) = torch.autograd.grad((weight * whole).sum(), distance)
    monkeypatch.setattr(recurrent, "_MAX_ENTRIES", 25)  # two matrices
    parts = matcher(distance)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad((weight * parts).sum(), distance)[0], gradient)


@pytest.mark.parametrize("name", RECURRENT)
def test_frozen_rnns_lose_their_dropout_only(name):
    """In evaluation mode cuDNN would refuse the backward pass that a frozen network is there for."""
    matcher = small(name)
    rnns = [module for module in matcher.modules() if isinstance(module, nn.RNNBase)]
    assert not matcher.training
    assert [(rnn.training, rnn.dropout) for rnn in rnns] == [(True, 0.0)] * 2
    matcher.train()
    assert [(rnn.training, rnn.dropout) for rnn in rnns] == [(True, 0.2)] * 2


@pytest.mark.parametrize("name", RECURRENT)
def test_an_unknown_cell_lists_the_choices(name):
    with pytest.raises(ValueError, match="gru, lstm"):
        type(small(name).core)("rnn")


def test_the_convolution_sees_its_neighbors_only():
    """What Appendix B explains its accuracy with: its receptive field is a part of the sequence."""
    distance = torch.rand(1, 20, 20, requires_grad=True)
    small("1d_conv")(distance)[0, 10, 10].backward()
    seen = distance.grad.flatten().nonzero().flatten() - (10 * 20 + 10)
    assert seen.min() < -20 and seen.max() > 20, "other rows"
    assert seen.min() > -100 and seen.max() < 100, "not all of them"


def test_the_convolutions_are_those_of_fig_7():
    weights = [tuple(p.shape) for p in small("1d_conv").core.parameters() if p.ndim == 3]
    printed = [(1, 24, 15), (24, 48, 15), (48, 48, 15), (96, 48, 5), (72, 24, 5)]
    assert weights[:-1] == [(outputs, inputs, kernel) for inputs, outputs, kernel in printed]


@pytest.mark.parametrize("name", ["paral_gru", "paral_lstm"])
def test_the_parallel_network_computes_what_fig_6_says(name):
    """The figure, step by step, one matrix at a time with plain loops, beside the batched network."""
    matcher = small(name)
    core, distance, expected = matcher.core, torch.rand(2, 3, 4), torch.empty(2, 3, 4)
    for matrix, result in zip(distance, expected, strict=True):
        by_row = [(n, m) for n in range(3) for m in range(4)]
        by_column = [(n, m) for m in range(4) for n in range(3)]
        rows = core.row_rnn(torch.stack([matrix[entry] for entry in by_row])[:, None, None])
        columns = core.column_rnn(torch.stack([matrix[entry] for entry in by_column])[:, None, None])
        for entry in by_row:
            channels = torch.cat(
                [
                    core.row_reduce(rows[by_row.index(entry), 0]),
                    core.column_reduce(columns[by_column.index(entry), 0]),
                ]
            )
            result[entry] = torch.sigmoid(core.head(channels))
    torch.testing.assert_close(matcher(distance), expected)


def reference(hidden: int) -> nn.ModuleDict:
    """The released class's tensors, as plain torch modules under its names."""
    torch.manual_seed(1)
    modules = nn.ModuleDict(
        {
            "lstm_row": nn.GRU(1, hidden, num_layers=2, bidirectional=True),
            "lstm_col": nn.GRU(2 * hidden, hidden, num_layers=2, bidirectional=True),
            "hidden2tag_1": nn.Linear(2 * hidden, 256),
            "hidden2tag_2": nn.Linear(256, 64),
            "hidden2tag_3": nn.Linear(64, 1),
        }
    )
    return modules


def test_the_released_weights_compute_what_fig_2_says():
    """The figure, step by step, one matrix at a time with plain loops, beside the batched network."""
    modules = reference(6)
    matcher = matchers.from_reference({key: value.clone() for key, value in modules.state_dict().items()})
    distance = torch.rand(3, 4)
    with torch.no_grad():
        sequence = torch.stack([distance[n, m] for n in range(3) for m in range(4)])
        first, _ = modules["lstm_row"](sequence[:, None, None])
        hidden = {(n, m): first[n * 4 + m, 0] for n in range(3) for m in range(4)}
        second, _ = modules["lstm_col"](
            torch.stack([hidden[n, m] for m in range(4) for n in range(3)])[:, None]
        )
        soft = torch.empty(3, 4)
        for k, (m, n) in enumerate((m, n) for m in range(4) for n in range(3)):
            tag = modules["hidden2tag_1"](second[k, 0])
            soft[n, m] = torch.sigmoid(modules["hidden2tag_3"](modules["hidden2tag_2"](tag)))
    torch.testing.assert_close(matcher(distance[None])[0], soft)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("lstm_row.weight_hh_l0"), "no lstm_row"),
        (lambda state: state.pop("hidden2tag_2.bias"), "head.1.bias is missing"),
        (lambda state: state.update({"conv.weight": torch.zeros(1)}), "unknown"),
        (lambda state: state.update({"lstm_row.weight_hh_l0": torch.zeros(24, 6)}), "not a GRU"),
    ],
)
def test_another_networks_weights_are_refused(change, message):
    state = dict(reference(6).state_dict())
    change(state)
    with pytest.raises(ValueError, match=message):
        matchers.from_reference(state)


def test_unknown_names_list_the_choices():
    with pytest.raises(ValueError, match="seq_gru"):
        matchers.create("munkres")
    with pytest.raises(ValueError, match="seq_gru"):
        matchers.load("munkres")


class Fixed(matchers.Matcher):
    """Answers with the distances themselves."""

    def __init__(self):
        super().__init__("fixed", nn.Linear(1, 1), {})

    def forward(self, distance):
        return distance


def test_scores_are_those_worked_by_hand():
    """Two predictions claim one object: a row-wise maximum leaves a column empty, a column-wise one a row."""
    soft = np.array([[0.9, 0.8], [0.1, 0.2]], np.float32)
    data = pairs.from_matrices([(soft, np.eye(2)), (np.array([[0.7]]), np.ones((1, 1)))])
    scores = scoring.score(Fixed(), data)
    assert scores.loc[0, ["WA_row", "MA_row", "SA_row"]].tolist() == pytest.approx([0.75, 0.5, 0.0])
    assert scores.loc[0, ["WA_column", "MA_column", "SA_column"]].tolist() == pytest.approx([0.5, 0.5, 0.5])
    pooled = scoring.pool(scores)
    assert pooled["WA_row"] == pytest.approx(100 * (0.75 + 1) / 2)
    assert pooled["MA_row"] == pytest.approx(100 / 3), "one of three columns"
    assert pooled["SA_column"] == pytest.approx(100 / 3), "one of three rows"


def test_scoring_resumes_from_its_cache(tmp_path):
    data, cache = random_pairs([(2, 2), (3, 4), (2, 2), (1, 5)]), tmp_path / "scores.csv"
    whole = scoring.score(small("seq_gru"), data)
    scoring.score(small("seq_gru"), data, np.array([1, 3]), cache=cache)
    resumed = scoring.score(small("seq_gru"), data, cache=cache)
    np.testing.assert_allclose(resumed.to_numpy(), whole.to_numpy())
    assert list(resumed.index) == [0, 1, 2, 3]
