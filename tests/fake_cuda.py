"""A GPU for machines without one: tensors that say they are on ``cuda:0`` and keep their values on the CPU.

While ``fake_cuda`` is entered, ``torch`` behaves as on a machine with one GPU, as far as devices go:

- what is made with ``device="cuda"``, or moved by ``.to("cuda")`` or ``.cuda()``, is a ``FakeCudaTensor``;
- an operation on tensors of both devices is refused as CUDA refuses it, and allowed where CUDA allows it: CPU
  scalars in elementwise operations, CPU indices, ``copy_``;
- ``numpy`` takes no tensor of it, a CPU generator draws none, and cuDNN's RNNs in evaluation mode have no
  backward pass;
- random numbers on it come from a generator of its own, which ``torch.cuda.get_rng_state`` returns;
- ``torch.save`` notes the device, ``torch.load`` asks for ``map_location`` or puts the tensors back on it.

C++ sees CPU tensors throughout: autograd, optimizers and torchvision's operators run as they are. What CUDA
can and this cannot: move a module while a graph holds its parameters.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _foreach_utils
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")

_aten = torch.ops.aten
#: Elementwise operations that are not tagged as such: a CPU scalar may be among their inputs.
_TAKES_SCALARS = {
    _aten.masked_fill.Tensor,
    _aten.masked_fill_.Tensor,
    _aten.fill.Tensor,
    _aten.fill_.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._foreach_add_.Tensor,
    _aten._foreach_mul_.Tensor,
    _aten._foreach_div_.Tensor,
}
#: Operations whose second argument is a list of indices, which may be on the CPU.
_TAKES_INDICES = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}
_CROSSES = {_aten.copy_.default, _aten.copy.default}


class FakeCudaTensor(Tensor):
    """A tensor on ``cuda:0`` whose values are those of ``held``, a CPU tensor."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @staticmethod
    def __new__(cls, held: Tensor) -> FakeCudaTensor:
        tensor = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )
        tensor.held = held.detach()
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        rule = _rule(func)
        tensors = rule.checked(args, kwargs)
        wrappers = {id(x.held): x for x in tensors if isinstance(x, cls)}

        def wrap(value: Tensor) -> Tensor:
            # An operation in place returns its argument.
            return wrappers[id(value)] if id(value) in wrappers else cls(value)

        held = _map(_held, args), {name: _map(_held, value) for name, value in kwargs.items()}
        with _RANDOM.drawing(kwargs.get("generator")) if rule.is_random else contextlib.nullcontext():
            return _map(wrap, func(*held[0], **held[1]))

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {CUDA}"

    def __deepcopy__(self, memo: dict) -> Tensor:
        copied = FakeCudaTensor(self.held.clone()).requires_grad_(self.requires_grad)
        copied.__dict__.update({k: v for k, v in self.__dict__.items() if k != "held"})
        return memo.setdefault(id(self), copied)

    def numpy(self, **_: Any) -> None:
        raise TypeError(
            f"can't convert {CUDA} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    __array__ = numpy

    def get_device(self) -> int:
        return 0

    def tolist(self) -> Any:
        return self.held.tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def new_tensor(self, data: Any, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
        return torch.tensor(
            data, dtype=dtype or self.dtype, device=device or CUDA, requires_grad=requires_grad
        )


def _held(value: Tensor) -> Tensor:
    return value.held if isinstance(value, FakeCudaTensor) else value


def _map(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Applies a function to the tensors among an operation's arguments or results (pytrees are slow)."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_map(function, part) for part in value])
    return value


class _Rule:
    """What CUDA takes for an operation's arguments."""

    def __init__(self, func: torch._ops.OpOverload) -> None:
        self.name, self.crosses, self.takes_indices = str(func), func in _CROSSES, func in _TAKES_INDICES
        self.is_random = torch.Tag.nondeterministic_seeded in func.tags
        self.takes_scalars = torch.Tag.pointwise in func.tags or func in _TAKES_SCALARS
        infos = [(a.name, a.alias_info) for a in func._schema.arguments]
        self.written = [
            (k, name) for k, (name, info) in enumerate(infos) if info is not None and info.is_write
        ]

    def checked(self, args: tuple, kwargs: dict) -> list[Tensor]:
        """All tensors among the arguments, one of which at least is on the GPU; RuntimeError if not all may
        be where they are."""
        tensors: list[Tensor] = []
        _map(tensors.append, [*args, *kwargs.values()])
        if self.crosses or all(isinstance(x, FakeCudaTensor) for x in tensors):
            return tensors
        if self.takes_indices and not isinstance(args[0], FakeCudaTensor):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        allowed: list[Tensor] = []
        if self.takes_indices:
            _map(allowed.append, args[1])
        if self.takes_scalars:
            written: list[Tensor] = []
            _map(written.append, [args[k] if k < len(args) else kwargs.get(name) for k, name in self.written])
            allowed += [x for x in tensors if x.ndim == 0 and not any(x is other for other in written)]
        refuse_mixture([x for x in tensors if not any(x is other for other in allowed)], self.name)
        return tensors


_rule = cache(_Rule)


def refuse_mixture(tensors: Sequence[Tensor], name: str) -> None:
    """RuntimeError where not all tensors are on the GPU."""
    if not all(isinstance(tensor, FakeCudaTensor) for tensor in tensors):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{CUDA} and cpu! ({name})"
        )


class _Random:
    """The GPU's generator: other numbers than the CPU's of the same seed."""

    def __init__(self) -> None:
        self.seed(0)

    def seed(self, seed: int) -> None:
        self.state = torch.Generator().manual_seed(int(seed) ^ 0xC0DA).get_state()

    @contextlib.contextmanager
    def drawing(self, generator: torch.Generator | None = None) -> Iterator[None]:
        """Lets what torch draws come from here; a ``generator`` of the CPU is refused."""
        if generator is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        before = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(before)


_RANDOM = _Random()


class _Move(torch.autograd.Function):
    """A copy on the other device, differentiable."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        return tensor.held.clone() if isinstance(tensor, FakeCudaTensor) else FakeCudaTensor(tensor.clone())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Move.apply(gradient)


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _to(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``Tensor.to`` that also moves to the fake GPU and back."""

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = args[0] if args else kwargs.get("other")
        if isinstance(other, Tensor):
            args, kwargs = (
                (other.device, other.dtype, *args[1:]),
                {k: kwargs[k] for k in kwargs if k != "other"},
            )
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and _is_cuda(device) != isinstance(self, FakeCudaTensor):
            self, copy = _Move.apply(self), False
        dtype = self.dtype if dtype is None else dtype
        memory_format = torch.preserve_format if memory_format is None else memory_format
        return original(self, dtype, non_blocking, copy, memory_format=memory_format)

    return to


def _factory(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that makes tensors, on the fake GPU too."""
    name = original.__name__

    def make(
        *args: Any, device: Any = None, generator: torch.Generator | None = None, **kwargs: Any
    ) -> Tensor:
        if generator is not None:
            kwargs["generator"] = generator
        source = args[0] if args else None
        if isinstance(source, FakeCudaTensor) and name in ("tensor", "as_tensor", "asarray"):
            # These keep the device of a tensor that they are given.
            moved = source.to(CUDA if device is None else device, kwargs.get("dtype") or source.dtype)
            return moved.detach().clone() if name == "tensor" else moved
        like = name.endswith("_like")
        if not (_is_cuda(device) or (device is None and like and isinstance(source, FakeCudaTensor))):
            return original(*tree_map(_held, args) if like else args, device=device, **kwargs)
        wants_gradient = kwargs.pop("requires_grad", False)
        drawn = _RANDOM.drawing(generator) if name.startswith("rand") else contextlib.nullcontext()
        with drawn:
            held = original(*tree_map(_held, args), device="cpu", **kwargs)
        # as_tensor shares the memory of what is on the CPU; the GPU's is its own.
        held = held.clone() if name in ("as_tensor", "asarray") else held
        return FakeCudaTensor(held).requires_grad_(wants_gradient)

    return make


class _Recurrence(torch.autograd.Function):
    """A whole recurrent network as one operation, as cuDNN's are."""

    @staticmethod
    def forward(ctx, run: Callable[..., tuple], is_training: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        refuse_mixture(tensors, "RNN")
        ctx.inputs = [tensor.held.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
        with _RANDOM.drawing(), torch.enable_grad():
            ctx.outputs = run(*ctx.inputs)
        ctx.is_training = is_training
        return tuple(FakeCudaTensor(output) for output in ctx.outputs)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.is_training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        wanted = [tensor for tensor in ctx.inputs if tensor.requires_grad]
        held = [gradient.held for gradient in gradients]
        found = iter(torch.autograd.grad(ctx.outputs, wanted, held, allow_unused=True))
        results = (next(found) if tensor.requires_grad else None for tensor in ctx.inputs)
        return None, None, *(None if x is None else FakeCudaTensor(x) for x in results)


def _rnn(original: Callable) -> Callable:
    """``torch._VF.gru`` and its like: a sequence, the hidden state (of an LSTM two), weights and settings."""

    def run(sequence: Tensor, hidden: Any, weights: list[Tensor], *rest: Any) -> tuple[Tensor, ...]:
        if not isinstance(sequence, FakeCudaTensor):
            return original(sequence, hidden, weights, *rest)
        states = [hidden] if isinstance(hidden, Tensor) else list(hidden)

        def recur(sequence: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            first, weights = others[: len(states)], list(others[len(states) :])
            return original(sequence, first[0] if isinstance(hidden, Tensor) else first, weights, *rest)

        is_training = rest[3]  # after bias, layers and dropout
        return _Recurrence.apply(recur, is_training, sequence, *states, *weights)

    return run


def _save(original: Callable) -> Callable:
    """``torch.save`` that writes the values and notes which of them were on the GPU."""

    def save(obj: Any, *args: Any, **kwargs: Any) -> None:
        on_cuda = {
            x.held.untyped_storage().data_ptr() for x in tree_leaves(obj) if isinstance(x, FakeCudaTensor)
        }
        tag = torch.serialization.location_tag

        def location_tag(storage: Any) -> str:
            return str(CUDA) if storage.data_ptr() in on_cuda else tag(storage)

        with mock.patch.object(torch.serialization, "location_tag", location_tag):
            original(tree_map(_held, obj), *args, **kwargs)

    return save


def _load(original: Callable) -> Callable:
    def load(file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        if map_location is not None and not isinstance(map_location, (str, torch.device)):
            raise NotImplementedError(f"the fake GPU knows devices only, not map_location={map_location!r}")
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


def _apply(original: Callable) -> Callable:
    """``nn.Module._apply``, by which modules move: their parameters stay the same objects, as on CUDA."""

    def apply(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        before = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(before)

    return apply


class _Backward(TorchDispatchMode):
    """Puts on the GPU what autograd itself makes there: zeros, to which C++ gives the device that it sees."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        arguments: list[Tensor] = []
        _map(arguments.append, args)
        is_made = type(result) is Tensor and not arguments
        return FakeCudaTensor(result) if is_made and _called_by_autograd() else result


def _called_by_autograd() -> bool:
    """Whether C++ calls, not a Python function's own backward pass, which is held to the rules."""
    frame = sys._getframe(2)
    while frame.f_code.co_name in ("inner", "_fn"):  # torch._disable_dynamo around modes
        frame = frame.f_back
    return frame.f_code is torch.autograd.graph._engine_run_backward.__code__


def _run_backward(original: Callable) -> Callable:
    def run(roots: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
        is_there = any(isinstance(root, FakeCudaTensor) for root in roots)
        with _Backward() if is_there else _disable_current_modes():
            return original(roots, *args, **kwargs)

    return run


@contextlib.contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Makes this process one with a GPU, ``cuda:0``, until it is left; nested uses are not for it."""
    likes = {
        getattr(torch, f"{name}_like")
        for name in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")
    }
    factories = [f for f in _device_constructors() | likes if getattr(torch, f.__name__, None) is f]
    _RANDOM.seed(0)
    state = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "fake GPU",
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "is_current_stream_capturing": lambda: False,
        "manual_seed": _RANDOM.seed,
        "manual_seed_all": _RANDOM.seed,
        "get_rng_state": lambda device=None: _RANDOM.state.clone(),
        "get_rng_state_all": lambda: [_RANDOM.state.clone()],
        "set_rng_state": lambda new, device=None: setattr(_RANDOM, "state", new.clone()),
        "set_rng_state_all": lambda new: setattr(_RANDOM, "state", new[0].clone()),
    }
    with contextlib.ExitStack() as stack:

        def patch(owner: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(owner, name, value))

        for name, value in state.items():
            patch(torch.cuda, name, value)
        for factory in factories:
            patch(torch, factory.__name__, _factory(factory))
        to = _to(Tensor.to)
        patch(Tensor, "to", to)
        patch(Tensor, "cpu", lambda self, *args, **kwargs: to(self, "cpu"))
        patch(Tensor, "cuda", lambda self, *args, **kwargs: to(self, "cuda"))
        patch(torch, "save", _save(torch.save))
        patch(torch, "load", _load(torch.load))
        patch(torch.nn.Module, "_apply", _apply(torch.nn.Module._apply))
        patch(torch.autograd, "_engine_run_backward", _run_backward(torch.autograd._engine_run_backward))
        for name in ("gru", "lstm"):
            patch(torch._VF, name, _rnn(getattr(torch._VF, name)))
        stream = SimpleNamespace(is_capturing=lambda: False)
        patch(torch.accelerator, "current_stream", lambda device=None: stream)
        patch(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
        for supported in (sys.modules[torch.optim.Optimizer.__module__], _foreach_utils):
            # CUDA's tensors are the ones for which optimizers take all parameters at once.
            types = supported._foreach_supported_types
            patch(supported, "_foreach_supported_types", [*types, FakeCudaTensor])
        yield CUDA
