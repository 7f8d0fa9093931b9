"""Running the notebooks, and JupyterLab.

Papermill runs them for the workflow, with checked parameters; the copies in git are run in place. Their
kernels are those of this Python environment.

    python -m deepmot_lib.experiments.notebooks run notebooks/02_dhn_training.ipynb OUT.ipynb seed=1
    python -m deepmot_lib.experiments.notebooks refresh notebooks/*.ipynb
    python -m deepmot_lib.experiments.notebooks lab notebooks
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import papermill

from ..data.files import atomic
from . import folders
from .engine import ENGINE, end_with
from .kernels import NAME, EnvironmentKernel


def run(notebook: str | Path, output: str | Path, parameters: dict[str, Any]) -> None:
    """Executes a notebook in its own folder with ``parameters``; ``output`` appears only when it ran through.

    Raises ValueError for a parameter that the notebook does not have: papermill itself only warns, and the
    run would silently use the default. A notebook that fails leaves what it did as ``<output>.failed.ipynb``.
    """
    notebook, output = Path(notebook).resolve(), Path(output).resolve()
    known = papermill.inspect_notebook(_literal(notebook))
    for name in parameters:
        if name not in known:
            choices = ", ".join(known) or "none"
            raise ValueError(f"{notebook.name} has no parameter {name!r}: it has {choices}")
    failed = output.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    with atomic(output) as temporary:
        try:
            _execute(notebook, temporary, parameters)
        except Exception:  # an error in a cell, but also a kernel that died
            if temporary.exists():
                temporary.rename(failed)
            raise


def _execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook in its own folder, by a kernel of this environment."""
    folders.resolve()
    try:
        papermill.execute_notebook(
            _literal(notebook),
            _literal(output),
            parameters,
            cwd=str(notebook.parent),
            kernel_name="python3",
            kernel_manager_class=EnvironmentKernel,
            log_output=False,
        )
    except RuntimeError as error:  # the kernel died, or did not start
        raise RuntimeError(f"{notebook.name}: {error} (kernel: {NAME})") from error


def _literal(path: Path) -> str:
    """A path for papermill, which fills in parameters between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def refresh(notebook: str | Path) -> None:
    """Execute a notebook with its default parameters and put the outputs into it.

    Papermill's traces are left out.
    """
    notebook = Path(notebook).resolve()
    with atomic(notebook) as temporary:
        _execute(notebook, temporary, {})
        content = nbformat.read(temporary, as_version=4)
        content.metadata.pop("papermill", None)
        content.metadata.pop("widgets", None)
        content.metadata.get("language_info", {}).pop("version", None)
        for cell in content.cells:
            for key in ("papermill", "execution", "collapsed"):
                cell.metadata.pop(key, None)
            if cell.metadata.get("tags") == []:
                del cell.metadata["tags"]
            # What goes to stderr (progress bars, with their times) is no result.
            if "outputs" in cell:
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        nbformat.write(content, temporary)


def lab(folder: Path) -> list[str]:
    """Return the command that opens JupyterLab at a folder's index.

    What lies beside the folder can be opened, too: the notebooks have links to the library's source.
    """
    folder = folder.resolve()
    index = f"--LabApp.default_url=/lab/tree/{quote(folder.name)}/index.ipynb"
    return [sys.executable, "-m", "jupyter", "lab", str(folder.parent), index]


def _parameter(text: str) -> tuple[str, object]:
    """``name=value``, the value a Python literal or else a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m deepmot_lib.experiments.notebooks", description=run.__doc__
    )
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("run", help="execute one notebook with parameters")
    one.add_argument("notebook", type=Path)
    one.add_argument("output", type=Path)
    one.add_argument("parameters", type=_parameter, nargs="*", metavar="name=value")
    several = commands.add_parser("refresh", help="execute notebooks in place, outputs ready for git")
    several.add_argument("notebooks", type=Path, nargs="+")
    opened = commands.add_parser("lab", help="open JupyterLab with this environment's kernel")
    opened.add_argument("folder", type=Path, help="opens at its index.ipynb")
    options = parser.parse_args(arguments)
    if options.command == "lab":
        folders.resolve()
        command = lab(options.folder)
        os.execve(sys.executable, command, {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"})
    if options.command == "run":
        print(f"kernel: {NAME}", flush=True)
        if engine := os.environ.get(ENGINE):
            end_with(engine)
        try:
            run(options.notebook, options.output, dict(options.parameters))
        except ValueError as error:
            parser.error(str(error))
    else:
        for notebook in options.notebooks:
            refresh(notebook)


if __name__ == "__main__":
    main()
