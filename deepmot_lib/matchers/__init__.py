"""The Deep Hungarian Nets: differentiable stand-ins for the Hungarian algorithm (Sec. 4.1, Appendix B)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data import weights as weight_files
from .controls import Greedy, Hungarian, Sinkhorn, Softmax
from .convolutional import ConvolutionalDHN
from .min_sum import MinSum
from .network import Matcher
from .parallel import ParallelDHN
from .sequential import SequentialDHN

__all__ = [
    "CONTROLS",
    "WEIGHTS",
    "Matcher",
    "card",
    "create",
    "from_reference",
    "load",
    "load_weights",
    "names",
]

_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "seq_gru": partial(SequentialDHN, "gru"),
    "seq_lstm": partial(SequentialDHN, "lstm"),
    "paral_gru": partial(ParallelDHN, "gru"),
    "paral_lstm": partial(ParallelDHN, "lstm"),
    "1d_conv": ConvolutionalDHN,
    "min_sum": MinSum,
}
#: Without parameters: nothing to train, nothing to load.
CONTROLS: dict[str, Callable[..., nn.Module]] = {
    "min_sum_rule": partial(MinSum, learned=False),
    "softmax": Softmax,
    "greedy": Greedy,
    "sinkhorn": Sinkhorn,
    "hungarian": Hungarian,
}

#: Where the shipped weights lie, each with a card of its data, schedule and measures beside it.
WEIGHTS = Path(__file__).parent / "weights"


def names() -> list[str]:
    """List the names that :func:`create` takes: Table 5's networks, ours, then the controls.

    Example:
        >>> names()[:5]
        ['seq_gru', 'seq_lstm', 'paral_gru', 'paral_lstm', '1d_conv']
    """
    return [*_NETWORKS, *CONTROLS]


def create(name: str, **options: Any) -> Matcher:
    """Create a matcher, its weights (a control has none) randomly initialized.

    Args:
        name: one of :func:`names`.
        options: arguments of its class.

    Returns:
        The matcher, in training mode, on the CPU.

    Raises:
        ValueError: an unknown name; the message has the choices.

    Example:
        >>> create("softmax")(torch.tensor([[[0.1, 0.6], [0.7, 0.2]]])).round()
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    if name not in names():
        raise ValueError(f"unknown matcher {name!r}: choose one of {', '.join(names())}")
    return Matcher(name, (_NETWORKS | CONTROLS)[name](**options), options)


def card(name: str, pairs: str = "released") -> dict[str, Any]:
    """Read what shipped weights were trained on and how they score.

    Args:
        name: one of :func:`names`.
        pairs: what they were trained on: "released" or "eq3", as for :func:`load`.

    Returns:
        The card: options, data, schedule, measures.

    Raises:
        FileNotFoundError: no such weights ship; the message has those that do.

    Example:
        >>> card("seq_gru", pairs="eq3")["options"]
        {'hidden_size': 64}
    """
    path = WEIGHTS / f"{name}-{pairs}.json"
    if not path.is_file():
        shipped = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
        raise FileNotFoundError(f"no weights ship for {name}-{pairs}, only: {', '.join(shipped) or 'none'}")
    return json.loads(path.read_text())


def load(name: str, device: str | torch.device = "cpu", pairs: str = "released") -> Matcher:
    """Load a shipped network, or a control: no download, no training.

    Args:
        name: one of :func:`names`.
        device: where it goes.
        pairs: what the network was trained on: "released", the paper's pairs (plain center distances, Table
            5), or "eq3", pairs of Eq. 3's distances, which the trackers use.

    Returns:
        The matcher, frozen, in evaluation mode.

    Raises:
        ValueError: an unknown name.
        FileNotFoundError: no weights ship for it.
        RuntimeError: the device is not there.

    Example:
        >>> load("seq_gru", pairs="eq3")(torch.tensor([[[0.1, 0.6], [0.7, 0.2]]])).round(decimals=2)
        tensor([[[0.9300, 0.0900],
                 [0.0400, 0.6800]]])
    """
    matcher = create(name, **card(name, pairs)["options"]) if name in _NETWORKS else create(name)
    if name in _NETWORKS:
        load_weights(matcher, WEIGHTS / f"{name}-{pairs}.safetensors")
    return freeze(matcher).to(device)


def load_weights(matcher: Matcher, path: str | Path) -> Matcher:
    """Put the weights of a safetensors file into a matcher.

    Args:
        matcher: a network of the same name and options.
        path: the file.

    Returns:
        The same matcher.

    Raises:
        ValueError: the weights are another network's, or the file is damaged.
        FileNotFoundError: there is no such file.
    """
    _fill(matcher.core, weight_files.read(path), str(path))
    return matcher


def from_reference(state_dict: Mapping[str, Tensor]) -> Matcher:
    """Convert the released ``Munkrs`` checkpoint to ``seq_gru``.

    Args:
        state_dict: tensors by name: ``lstm_row.*`` and ``lstm_col.*`` (two-layer bidirectional GRUs, whatever
            the name says) and ``hidden2tag_{1,2,3}.*``. The hidden size is read off the tensors.

    Returns:
        The matcher, frozen, in evaluation mode.

    Raises:
        ValueError: names what does not fit.
    """
    renamed = {"lstm_row": "row_rnn", "lstm_col": "column_rnn"}
    renamed |= {f"hidden2tag_{i + 1}": f"head.{i}" for i in range(3)}
    state, unknown = {}, []
    for key, value in state_dict.items():
        module, _, parameter = key.removeprefix("module.").partition(".")
        if module in renamed:
            state[f"{renamed[module]}.{parameter}"] = value
        else:
            unknown.append(key)
    recurrent = state.get("row_rnn.weight_hh_l0")
    if unknown or recurrent is None:
        raise ValueError(
            f"not a released DHN: unknown {unknown[:3]}" if unknown else "not a released DHN: no lstm_row"
        )
    if recurrent.shape[0] != 3 * recurrent.shape[1]:
        raise ValueError(
            f"lstm_row is not a GRU: its recurrent weights are {tuple(recurrent.shape)}, not (3h, h)"
        )
    matcher = create("seq_gru", hidden_size=recurrent.shape[1])
    _fill(matcher.core, state, "the released checkpoint")
    return freeze(matcher)


def freeze(matcher: Matcher) -> Matcher:
    """Freeze a matcher, as the paper does while it trains trackers.

    Args:
        matcher: any.

    Returns:
        The same matcher, in evaluation mode, its weights without gradient.
    """
    return matcher.eval().requires_grad_(False)


def _fill(core: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load a state whose names and shapes fit; ``where`` it comes from is for the message."""
    expected = {key: tuple(value.shape) for key, value in core.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if wrong:
        key = wrong[0]
        raise ValueError(
            f"{where}: weights of another network: {key} is {found.get(key, 'missing')} where "
            f"{expected.get(key, 'nothing')} is expected ({len(wrong)} such tensors)"
        )
    core.load_state_dict(dict(state))
