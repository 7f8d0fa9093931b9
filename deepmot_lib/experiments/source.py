"""Digests of the code that a result depends on: a module's import closure, read without importing anything.

The closure of a module is the module, the modules of the package that it imports, theirs, and so on; and the
``__init__`` of each package on the way, which Python executes too. Imports inside functions count, those
below ``if TYPE_CHECKING:`` do not. A notebook is read like a module, by its code cells.

A digest covers what a module computes: its syntax tree without comments, formatting, docstrings and type
annotations. It is written out node by node, since ``ast.dump`` and ``ast.unparse`` differ between Python
versions.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# What is imported from these serves annotations and static types only.
_TYPING = {"__future__", "collections.abc", "jaxtyping", "numpy.typing", "typing"}
# Annotations that a dataclass acts on; the others of a class body are mere hints.
_DATACLASS_MARKS = {"ClassVar", "InitVar", "KW_ONLY"}


def code(
    *modules: str | Path, alone: Iterable[str] = (), package_root: str | Path = PACKAGE
) -> dict[str, str]:
    """Digest each module of the import closure.

    A process reads a file once, so that an edit while a kernel runs does not change the digest of the code
    that the kernel has loaded.

    Args:
        modules: Dotted module names such as ``deepmot_lib.loss``, or paths of notebooks (``.ipynb``).
        alone: Modules whose own text counts, but not what they import: tables of names, such as
            ``deepmot_lib.matchers``, of whose many modules a result uses those that ``modules`` names.
        package_root: The folder of the package that the closure stays within.

    Returns:
        Twelve hexadecimal digits for each module, by dotted name, sorted; a notebook goes by its file's name.

    Raises:
        ModuleNotFoundError: A module is not in the package; the message says which file imports it.
        ImportError: An import cannot be followed, because its name is computed.
        SyntaxError: A file is not Python.
        FileNotFoundError: There is no such notebook.
    """
    root = Path(package_root).resolve()
    found: dict[str, str] = {}
    alone = set(alone)
    waiting = [(str(module), "") for module in [*modules, *alone]]
    while waiting:
        name, importer = waiting.pop()
        notebook = name.endswith(".ipynb")
        key = Path(name).name if notebook else name
        if key in found:
            continue
        file = Path(name).resolve() if notebook else _find(name, root)
        if file is None:
            message = f"no module {name!r} in {root}" + f": {importer} imports it" * bool(importer)
            raise ModuleNotFoundError(message, name=name)
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        digest, imports = _read(file, "" if notebook else package, root)
        if digest:
            found[key] = digest
        if name not in alone:
            waiting += [(each, str(file)) for each in imports]
        if "." in name and not notebook:
            waiting.append((name.rpartition(".")[0], str(file)))
    return dict(sorted(found.items()))


def code_digest(*modules: str | Path, alone: Iterable[str] = (), package_root: str | Path = PACKAGE) -> str:
    """Digest the import closure as a whole, for the ``params`` of a workflow's rule.

    Args:
        modules: As in ``code``.
        alone: As in ``code``.
        package_root: As in ``code``.

    Returns:
        Twelve hexadecimal digits.
    """
    return short_digest(json.dumps(code(*modules, alone=alone, package_root=package_root)))


def short_digest(text: str) -> str:
    """Digest a text: twelve hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _find(name: str, root: Path) -> Path | None:
    """The file of a module; the folder itself for one without ``__init__``; None where there is neither."""
    top, *rest = name.split(".")
    place = root.joinpath(*rest)
    if top != root.name:
        return None
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), place if place.is_dir() else None)


@cache
def _read(file: Path, package: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """(digest, imported modules of the package) of a source file or notebook."""
    if file.is_dir():
        return "", ()
    source: str | bytes = _cells(file) if file.suffix == ".ipynb" else file.read_bytes()
    reader = _Reader(file, package, root)
    reader.visit(ast.parse(source, filename=str(file)))
    return short_digest("\x1f".join(reader.parts)), tuple(dict.fromkeys(reader.imports))


def _cells(notebook: Path) -> str:
    """The code of a notebook, without the lines that are magic or a shell's."""
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def _name(node: ast.AST) -> str | None:
    """``c`` of the expressions ``c`` and ``a.b.c``; None for any other."""
    return getattr(node, "id", getattr(node, "attr", None))


class _Reader:
    """Writes a syntax tree out as text, ``parts``, and collects what it imports from the package."""

    def __init__(self, file: Path, package: str, root: Path) -> None:
        self.file, self.package, self.root = file, package, root
        self.parts: list[str] = []
        self.imports: list[str] = []

    def visit(self, node: ast.AST) -> None:
        """Write a node and those below it."""
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            self._import(node)
        omitted: tuple[str, ...] = ()
        if isinstance(node, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef):
            omitted = ("annotation", "returns")
        elif isinstance(node, ast.AnnAssign):
            omitted = ("annotation", "simple")
            self.parts += sorted(_DATACLASS_MARKS & {_name(each) for each in ast.walk(node.annotation)})
        self.parts.append("(" + type(node).__name__)
        for field, value in ast.iter_fields(node):
            # Empty fields are left out: later versions of Python add such.
            if field in omitted or field in ("ctx", "kind", "type_comment") or value is None or value == []:
                continue
            self.parts.append(field)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.stmt):
                    self._statement(each, in_class=isinstance(node, ast.ClassDef))
                elif isinstance(each, ast.AST):
                    self.visit(each)
                else:
                    self.parts.append(repr(each))
        self.parts.append(")")

    def _statement(self, node: ast.stmt, in_class: bool) -> None:
        """Write a statement, unless it computes nothing."""
        if isinstance(node, ast.Pass) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            return  # strings count as docstrings wherever they stand
        if isinstance(node, ast.ImportFrom) and not node.level and node.module in _TYPING:
            return
        if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            for each in node.orelse:
                self._statement(each, in_class)
        elif isinstance(node, ast.AnnAssign) and not in_class:
            if node.value is not None:
                self.visit(ast.Assign([node.target], node.value))
        else:
            self.visit(node)

    def _import(self, node: ast.Import | ast.ImportFrom | ast.Call) -> None:
        """Collect the modules of the package that a node imports."""
        if isinstance(node, ast.Import):
            self._collect(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = self.package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
            # Of what is imported from a package some are modules, others are defined there.
            names = (f"{base}.{alias.name}" for alias in node.names)
            self._collect([base, *(name for name in names if _find(name, self.root))])
        elif _name(node.func) in ("import_module", "__import__"):
            name = node.args[0] if node.args else None
            if not isinstance(name, ast.Constant) or str(name.value).startswith("."):
                where = f"{self.file}:{node.lineno}"
                raise ImportError(f"{where}: cannot follow the import of a name that is computed or relative")
            self._collect([str(name.value)])

    def _collect(self, names: Iterable[str]) -> None:
        self.imports += [name for name in names if name.partition(".")[0] == self.root.name]
