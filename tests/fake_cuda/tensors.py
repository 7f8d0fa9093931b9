"""Tensors of the fake GPU: what they say, compute and refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

#: The fake GPU.
CUDA = torch.device("cuda", 0)

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
#: Their lengths and batch sizes, whole numbers, are on the CPU.
_PACKS = {
    _aten._pack_padded_sequence.default,
    _aten._pack_padded_sequence_backward.default,
}


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
            if rule.packs and not value.is_floating_point():
                return value
            # An operation in place returns its argument.
            return wrappers[id(value)] if id(value) in wrappers else cls(value)

        inputs = map_tensors(held, args), {name: map_tensors(held, value) for name, value in kwargs.items()}
        with RANDOM.drawing(kwargs.get("generator")) if rule.is_random else nullcontext():
            return map_tensors(wrap, func(*inputs[0], **inputs[1]))

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


def held(value: Tensor) -> Tensor:
    """Return the CPU tensor that holds a tensor's values."""
    return value.held if isinstance(value, FakeCudaTensor) else value


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply a function to the tensors among an operation's arguments or results; pytrees are slower."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)([map_tensors(function, part) for part in value])
    return value


class _Rule:
    """What CUDA takes for an operation's arguments."""

    def __init__(self, func: torch._ops.OpOverload) -> None:
        self.name, self.crosses, self.takes_indices = str(func), func in _CROSSES, func in _TAKES_INDICES
        self.packs = func in _PACKS
        self.is_random = torch.Tag.nondeterministic_seeded in func.tags
        self.takes_scalars = torch.Tag.pointwise in func.tags or func in _TAKES_SCALARS
        self.written = [
            (k, argument.name)
            for k, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]

    def checked(self, args: tuple, kwargs: dict) -> list[Tensor]:
        """Return all tensors among the arguments, one of which at least is on the GPU.

        Raises:
            RuntimeError: not all may be where they are.
        """
        tensors: list[Tensor] = []
        map_tensors(tensors.append, [*args, *kwargs.values()])
        if self.crosses or all(isinstance(x, FakeCudaTensor) for x in tensors):
            return tensors
        if self.takes_indices and not isinstance(args[0], FakeCudaTensor):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        allowed: list[Tensor] = []
        if self.packs:
            allowed += [x for x in tensors if not x.is_floating_point()]
        if self.takes_indices:
            map_tensors(allowed.append, args[1])
        if self.takes_scalars:
            written: list[Tensor] = []
            for k, name in self.written:
                map_tensors(written.append, args[k] if k < len(args) else kwargs.get(name))
            allowed += [x for x in tensors if x.ndim == 0 and not any(x is other for other in written)]
        refuse_mixture([x for x in tensors if not any(x is other for other in allowed)], self.name)
        return tensors


_rule = cache(_Rule)


def refuse_mixture(tensors: Sequence[Tensor], name: str) -> None:
    """Raise RuntimeError where not all tensors are on the GPU."""
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

    @contextmanager
    def drawing(self, generator: torch.Generator | None = None) -> Iterator[None]:
        """Let what torch draws come from here; a ``generator`` of the CPU is refused."""
        if generator is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        before = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(before)


RANDOM = _Random()
