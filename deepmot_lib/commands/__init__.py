"""The command ``deepmot``: one module a sub-command.

Each has a ``SUMMARY`` and ``EXAMPLES`` for ``--help``, ``declare``, which adds its arguments to a parser, and
``run``. What takes long to import is imported in ``run``, after all that can be checked without it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from . import download, evaluate, pairs, submission, synthetic, track, train


class Command(Protocol):
    """A module of this folder."""

    SUMMARY: str
    EXAMPLES: str

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Add the sub-command's arguments to its parser."""
        ...

    def run(self, arguments: argparse.Namespace) -> None:
        """Do what the parsed arguments ask for."""
        ...


_COMMANDS: dict[str, Command] = {
    "track": track,
    "train": train,
    "evaluate": evaluate,
    "submission": submission,
}
_DATA: dict[str, Command] = {"download": download, "synthetic": synthetic, "pairs": pairs}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's). Return 0, or 1 after an error, printed in one line."""
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            _print_own_warnings()
            arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"deepmot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deepmot: interrupted", file=sys.stderr)
        return 130
    return 0


def _print_own_warnings() -> None:
    """Print each warning of the library once, as one line like an error; others stay as they are."""
    usual = warnings.showwarning
    printed: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not category.__module__.startswith("deepmot_lib"):
            usual(message, category, *rest, **more)
        elif str(message) not in printed:
            printed.add(str(message))
            print(f"deepmot: {message}", file=sys.stderr)

    warnings.showwarning = show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepmot", description="How To Train Your Deep Multi-Object Tracker."
    )
    parser.add_argument("--version", action="version", version=f"deepmot {_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        _add(commands, name, command)
    data = commands.add_parser("data", help="get or make data").add_subparsers(dest="data", required=True)
    for name, command in _DATA.items():
        _add(data, name, command)
    return parser


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command) -> None:
    summary = command.SUMMARY
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:{command.EXAMPLES.rstrip()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.declare(parser)
    parser.set_defaults(run=command.run)


def _version() -> str:
    try:
        return importlib.metadata.version("deepmot-lib")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
