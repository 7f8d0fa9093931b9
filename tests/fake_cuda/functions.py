"""Functions of torch, wrapped so that they serve the fake GPU as well."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from .tensors import CUDA, RANDOM, FakeCudaTensor, held, map_tensors, refuse_mixture


class _Move(torch.autograd.Function):
    """Copy to the other device; the gradient comes back."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        return held(tensor).clone() if isinstance(tensor, FakeCudaTensor) else FakeCudaTensor(tensor.clone())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Move.apply(gradient)


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def wrap_to(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap ``Tensor.to``: it also moves to the fake GPU and back."""

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = kwargs.pop("other", None)
        if args and isinstance(args[0], Tensor):
            other, args = args[0], args[1:]
        if other is not None:
            args = (other.device, other.dtype, *args)
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and _is_cuda(device) != isinstance(self, FakeCudaTensor):
            self, copy = _Move.apply(self), False
        dtype = self.dtype if dtype is None else dtype
        memory_format = torch.preserve_format if memory_format is None else memory_format
        return original(self, dtype, non_blocking, copy, memory_format=memory_format)

    return to


def wrap_factory(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a function that makes tensors of nothing, of data, or like another."""
    name = original.__name__

    def make(
        *args: Any, device: Any = None, generator: torch.Generator | None = None, **kwargs: Any
    ) -> Tensor:
        if generator is not None:
            kwargs["generator"] = generator
        source = args[0] if args else None
        is_like = name.endswith("_like")
        if isinstance(source, FakeCudaTensor):
            device = CUDA if device is None else device  # that of the tensor
            if not is_like:
                moved = source.to(device, kwargs.get("dtype") or source.dtype)
                return moved.detach().clone() if name == "tensor" else moved
        if is_like:
            args = (held(source), *args[1:])
        if not _is_cuda(device):
            return original(*args, device=device, **kwargs)
        requires_gradient = kwargs.pop("requires_grad", False)
        with RANDOM.drawing(generator) if name.startswith("rand") else nullcontext():
            values = original(*args, device="cpu", **kwargs)
        # as_tensor shares the memory of what is on the CPU; the GPU's is its own.
        values = values.clone() if name in ("as_tensor", "asarray") else values
        return FakeCudaTensor(values).requires_grad_(requires_gradient)

    return make


class _Recurrence(torch.autograd.Function):
    """Run a whole recurrent network as one operation, as cuDNN does."""

    @staticmethod
    def forward(ctx, run: Callable[..., tuple], is_training: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        refuse_mixture(tensors, "RNN")
        ctx.inputs = [held(tensor).detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
        with RANDOM.drawing(), torch.enable_grad():
            ctx.outputs = run(*ctx.inputs)
        ctx.is_training = is_training
        return tuple(FakeCudaTensor(output) for output in ctx.outputs)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.is_training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        wanted = [tensor for tensor in ctx.inputs if tensor.requires_grad]
        values = [held(gradient) for gradient in gradients]
        found = iter(torch.autograd.grad(ctx.outputs, wanted, values, allow_unused=True))
        results = (next(found) if tensor.requires_grad else None for tensor in ctx.inputs)
        return None, None, *(None if x is None else FakeCudaTensor(x) for x in results)


def wrap_rnn(original: Callable) -> Callable:
    """Wrap ``torch._VF.gru`` or its like, of a sequence, its hidden state (an LSTM's are two) and weights.

    A packed sequence has its batch sizes, which are on the CPU, as its second argument.
    """

    def run(sequence: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
        if not isinstance(sequence, FakeCudaTensor):
            return original(sequence, *arguments)
        is_packed = isinstance(arguments[0], Tensor) and not arguments[0].is_floating_point()
        sizes, (hidden, weights, *rest) = arguments[:is_packed], arguments[is_packed:]
        states = [hidden] if isinstance(hidden, Tensor) else list(hidden)

        def recur(sequence: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            first, weights = others[: len(states)], list(others[len(states) :])
            state = first[0] if isinstance(hidden, Tensor) else first
            return original(sequence, *sizes, state, weights, *rest)

        is_training = rest[3]  # after bias, layers and dropout
        return _Recurrence.apply(recur, is_training, sequence, *states, *weights)

    return run


def wrap_pad_sequence(original: Callable) -> Callable:
    """Wrap ``torch._C._nn.pad_sequence``, which makes its result where the first sequence is."""

    def pad(
        sequences: Sequence[Tensor],
        batch_first: bool = False,
        padding_value: float = 0.0,
        padding_side: str = "right",
    ) -> Tensor:
        if not any(isinstance(one, FakeCudaTensor) for one in sequences):
            return original(sequences, batch_first, padding_value, padding_side)
        refuse_mixture(sequences, "pad_sequence")
        length = max(map(len, sequences))
        behind = [one.new_full((length - len(one), *one.shape[1:]), padding_value) for one in sequences]
        return torch.stack([torch.cat(pair) for pair in zip(sequences, behind, strict=True)], 1)

    return pad


def wrap_pad_packed(original: Callable) -> Callable:
    """Wrap ``torch._VF._pad_packed_sequence``: the data are on the GPU, batch sizes and lengths are not."""

    def pad(
        data: Tensor, batch_sizes: Tensor, batch_first: bool, padding: float, total: int
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(data, FakeCudaTensor):
            return original(data, batch_sizes, batch_first, padding, total)
        assert not batch_first
        sizes = batch_sizes.tolist()
        steps = [
            torch.cat([step, step.new_full((sizes[0] - len(step), *step.shape[1:]), padding)])
            for step in data.split(sizes)
        ]
        behind = [torch.full_like(steps[0], padding)] * (total - len(steps))
        return torch.stack([*steps, *behind]), (batch_sizes[:, None] > torch.arange(sizes[0])).sum(0)

    return pad


def wrap_save(original: Callable) -> Callable:
    """Wrap ``torch.save``: it writes values, and notes which of them were on the GPU."""

    def save(obj: Any, *args: Any, **kwargs: Any) -> None:
        on_cuda = {
            x.held.untyped_storage().data_ptr() for x in tree_leaves(obj) if isinstance(x, FakeCudaTensor)
        }
        tag = torch.serialization.location_tag

        def location_tag(storage: Any) -> str:
            return str(CUDA) if storage.data_ptr() in on_cuda else tag(storage)

        with mock.patch.object(torch.serialization, "location_tag", location_tag):
            original(tree_map(held, obj), *args, **kwargs)

    return save


def wrap_load(original: Callable) -> Callable:
    """Wrap ``torch.load``: without ``map_location`` tensors return to where they were."""

    def load(file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        if map_location is not None and not isinstance(map_location, (str, torch.device)):
            raise NotImplementedError(f"the fake GPU takes devices only, not map_location={map_location!r}")
        on_cuda = set()

        def locate(storage: Any, location: str) -> Any:
            if _is_cuda(map_location or location):
                on_cuda.add(storage.data_ptr())
            return storage

        found = original(file, map_location=locate, **kwargs)

        def place(value: Any) -> Any:
            is_there = isinstance(value, Tensor) and value.untyped_storage().data_ptr() in on_cuda
            return FakeCudaTensor(value) if is_there else value

        return tree_map(place, found)

    return load


def wrap_apply(original: Callable) -> Callable:
    """Wrap ``nn.Module._apply``, by which modules move: parameters stay the same objects, as on CUDA."""

    def apply(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        before = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(before)

    return apply


class _Backward(TorchDispatchMode):
    """Put on the GPU what autograd itself makes there: zeros, to which C++ gives the device that it sees."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        arguments: list[Tensor] = []
        map_tensors(arguments.append, args)
        is_made = type(result) is Tensor and not arguments
        return FakeCudaTensor(result) if is_made and _called_by_autograd() else result


def _called_by_autograd() -> bool:
    """Tell whether C++ calls, not a Python function's own backward pass, which is held to the rules."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name in ("inner", "_fn"):  # torch._disable_dynamo's
        frame = frame.f_back
    return frame is not None and frame.f_code is torch.autograd.graph._engine_run_backward.__code__


def wrap_run_backward(original: Callable) -> Callable:
    """Wrap the engine of the backward pass."""

    def run(roots: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        is_there = any(isinstance(root, FakeCudaTensor) for root in roots)
        with _Backward() if is_there else _disable_current_modes():
            return original(roots, *args, **kwargs)

    return run
