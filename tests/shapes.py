"""The check of types and tensor shapes at run time, for the import hook that ``conftest`` installs."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, Self, TypeVar

from beartype import BeartypeConf, beartype

Function = TypeVar("Function", bound=Callable[..., Any])

#: Modules whose annotations hold for every call that the tests make.
CHECKED = [
    f"deepmot_lib.{name}"
    for name in (
        "assignment",
        "boxes",
        "distance",
        "identities",
        "loss",
        "matchers",
        "numerics",
        "soft_counts",
        "trackers.crops",
        "trackers.goturn",
        "trackers.management",
        "trackers.motion",
        "trackers.reid",
        "trackers.reid_head",
        "trackers.siamrpn",
        "trackers.tracker",
        "trackers.tracking",
        "trackers.tracktor",
    )
]


def check(function: Function) -> Function:
    """Check arguments and result of each call against the annotations, once it has returned.

    jaxtyping asks for two checks: of the arguments, before the call, and of everything, after it. The first
    is left out: the library's own errors for bad input, which tests expect, would not come to pass.
    """
    if signature(function).return_annotation is Any:
        return function
    hints = function.__annotations__
    hints |= {name: Any for name, hint in hints.items() if hint is Self}  # beartype takes it in classes only
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
