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

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _foreach_utils
from torch.utils._device import _device_constructors

from . import functions
from .tensors import CUDA, RANDOM, FakeCudaTensor

__all__ = ["FakeCudaTensor", "fake_cuda"]


@contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Give this process a GPU, ``cuda:0``, for the block; blocks do not nest."""
    likes = {
        getattr(torch, f"{name}_like")
        for name in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")
    }
    factories = [f for f in _device_constructors() | likes if getattr(torch, f.__name__, None) is f]
    RANDOM.seed(0)
    state = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "fake GPU",
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "is_current_stream_capturing": lambda: False,
        "manual_seed": RANDOM.seed,
        "manual_seed_all": RANDOM.seed,
        "get_rng_state": lambda device=None: RANDOM.state.clone(),
        "get_rng_state_all": lambda: [RANDOM.state.clone()],
        "set_rng_state": lambda new, device=None: setattr(RANDOM, "state", new.clone()),
        "set_rng_state_all": lambda new: setattr(RANDOM, "state", new[0].clone()),
    }
    with ExitStack() as stack:

        def patch(owner: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(owner, name, value))

        for name, value in state.items():
            patch(torch.cuda, name, value)
        for factory in factories:
            patch(torch, factory.__name__, functions.wrap_factory(factory))
        to = functions.wrap_to(Tensor.to)
        patch(Tensor, "to", to)
        patch(Tensor, "cpu", lambda self, *args, **kwargs: to(self, "cpu"))
        patch(Tensor, "cuda", lambda self, *args, **kwargs: to(self, "cuda"))
        patch(torch, "save", functions.wrap_save(torch.save))
        patch(torch, "load", functions.wrap_load(torch.load))
        patch(torch.nn.Module, "_apply", functions.wrap_apply(torch.nn.Module._apply))
        engine = torch.autograd._engine_run_backward
        patch(torch.autograd, "_engine_run_backward", functions.wrap_run_backward(engine))
        for name in ("gru", "lstm"):
            patch(torch._VF, name, functions.wrap_rnn(getattr(torch._VF, name)))
        patch(torch._C._nn, "pad_sequence", functions.wrap_pad_sequence(torch._C._nn.pad_sequence))
        patch(torch._VF, "_pad_packed_sequence", functions.wrap_pad_packed(torch._VF._pad_packed_sequence))
        stream = SimpleNamespace(is_capturing=lambda: False)
        patch(torch.accelerator, "current_stream", lambda device=None: stream)
        patch(torch.backends.cudnn, "is_acceptable", lambda tensor: False)
        for supported in (sys.modules[torch.optim.Optimizer.__module__], _foreach_utils):
            # CUDA's tensors are the ones for which optimizers take all parameters at once.
            types = supported._foreach_supported_types
            patch(supported, "_foreach_supported_types", [*types, FakeCudaTensor])
        yield CUDA
