"""The structure of the package: imports run one way, files hold one idea, folders are those of the README."""

import ast
from pathlib import Path

import pytest

from tests.python_files import python_files

PACKAGE = Path(__file__).parents[1] / "deepmot_lib"
#: The path of data; a module imports from its own folder and from those before it.
LEVELS = (
    "core",
    "data",
    "matchers",
    "trackers",
    "training",
    "evaluation",
    "experiments",
    "report",
    "commands",
)
#: Two that stand side by side, and what the command may import.
_APART = {("evaluation", "training"), ("evaluation", "trackers")}
FILES = python_files(PACKAGE)


def level(module: str) -> str:
    """The folder of a module of the package, by its dotted name without ``deepmot_lib``."""
    first = module.partition(".")[0]
    if first == "__main__":
        return "commands"
    return first if (PACKAGE / first).is_dir() else "core"


def imports(file: Path) -> set[str]:
    """The modules of the package that a file imports, dotted, without ``deepmot_lib``."""
    package = file.relative_to(PACKAGE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            # "from .. import data" names a folder, "from ..data import mot" one of its modules.
            found |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepmot_lib"):
            found |= {f"{node.module}.{alias.name}".partition(".")[2] for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    here = level(".".join(file.relative_to(PACKAGE).with_suffix("").parts))
    for module in imports(file):
        there = level(module)
        assert LEVELS.index(there) <= LEVELS.index(here), f"{here} imports {module}"
        assert (here, there) not in _APART, f"{here} imports {module}"


def test_no_circles_within_a_folder():
    names = {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in FILES}
    graph = {name: {each for each in imports(file) if each in names} for name, file in names.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for each in graph[name]:
                visit(each, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_at_most_twenty_rooms_at_the_top_and_no_long_file():
    rooms = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert len(rooms) <= 20
    long = {file.name: lines for file in FILES if (lines := len(file.read_text().splitlines())) > 400}
    assert not long
