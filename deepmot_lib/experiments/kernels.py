"""Kernels of this Python environment, whatever kernel specs are installed."""

from __future__ import annotations

import sys

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

#: How a kernel is started, for messages: a user's own kernel spec "python3" may name another interpreter.
NAME = f"{sys.executable} -m ipykernel_launcher"


class EnvironmentKernel(AsyncKernelManager):
    """Starts kernels of the running interpreter."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The spec that ipykernel would install for this interpreter."""
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
