"""experiments.source: what code a result depends on, and what counts as a change of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepmot_lib.experiments import source
from deepmot_lib.experiments.source import code, code_digest
from tests.python_files import python_files

REPO = Path(__file__).parents[1]

FILES = {
    "__init__.py": '"""A package."""\n',
    "top.py": "from .inner import leaf\nfrom . import other\ndef f(x):\n    return leaf.g(x) + other.h(x)\n",
    "other.py": "import pkg.deep.one as one\ndef h(x):\n    from .late import k\n    return k(x)\n",
    "late.py": "k = abs\n",
    "unrelated.py": "value = 1\n",
    "hinted.py": "import typing\nif typing.TYPE_CHECKING: from .top import f\nelse: from . import late\n",
    "inner/__init__.py": "from ..constants import C\n",
    "inner/leaf.py": "from . import C\nfrom .sibling import *\n\ndef g(x):\n    return x * C\n",
    "inner/sibling.py": "S = 2\n",
    "constants.py": "C = 3\n",
    "deep/one.py": "from ..unrelated2 import a\n",
    "unrelated2.py": "a = 1\n",
    "broken.py": "from .missing import a\n",
    "computed.py": "import importlib\n\n\ndef load(name):\n    return importlib.import_module(name)\n",
    "literal.py": "import importlib\nlate = importlib.import_module('pkg.late')\n",
}


@pytest.fixture
def make(tmp_path):
    """Makes a copy of the package with some files replaced, in a folder of its own; returns its folder."""
    count = 0

    def make(**replaced):
        nonlocal count
        count += 1
        root = tmp_path / str(count) / "pkg"
        for name, text in {**FILES, **{f"{key}.py": text for key, text in replaced.items()}}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return make


def names(*modules, root):
    """The closure without the package's name, to be read at a glance."""
    return {name.removeprefix("pkg").lstrip(".") for name in code(*modules, package_root=root)}


# --- the closure --------------------------------------------------------------------------------------------


def test_closure_follows_relative_nested_and_submodule_imports_and_parents(make):
    expected = {"", "top", "other", "late", "inner", "inner.leaf", "inner.sibling", "constants"}
    assert names("pkg.top", root=make()) == expected | {"deep.one", "unrelated2"}


def test_closure_is_what_python_loads(make):
    root = make()
    script = "import sys, pkg.top; pkg.top.f(1); print(*(m for m in sys.modules if m.startswith('pkg')))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=root.parent, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {"pkg.deep"}  # without an __init__ there is no code in it
    assert set(code("pkg.top", package_root=root)) == set(loaded) - folders


def test_a_module_can_count_without_what_it_imports(make):
    root = make()
    found = set(code("pkg.late", alone=["pkg.top"], package_root=root))
    assert found == {"pkg", "pkg.late", "pkg.top"}
    other = make(top=FILES["top.py"] + "x = 1\n", other="h = abs\n")
    before, after = (code("pkg.late", alone=["pkg.top"], package_root=r) for r in (root, other))
    assert {name for name in before if before[name] != after[name]} == {"pkg.top"}


def test_imports_for_type_checkers_do_not_count(make):
    assert names("pkg.hinted", root=make()) == {"", "hinted", "late"}


def test_several_modules_join_their_closures(make):
    root = make()
    both = code("pkg.unrelated", "pkg.constants", package_root=root)
    assert both == code("pkg.unrelated", package_root=root) | code("pkg.constants", package_root=root)
    assert list(both) == ["pkg", "pkg.constants", "pkg.unrelated"]


def test_imports_by_name_are_followed_or_refused(make):
    root = make()
    assert names("pkg.literal", root=root) == {"", "literal", "late"}
    with pytest.raises(ImportError, match=r"computed\.py:5: cannot follow"):
        code("pkg.computed", package_root=root)


@pytest.mark.parametrize("name", ["pkg.nothing", "elsewhere.top", "os", "pkg.top.f", ""])
def test_an_unknown_module_is_named(make, name):
    with pytest.raises(ModuleNotFoundError, match=f"no module '{name}' in .*pkg"):
        code(name, package_root=make())


def test_a_missing_import_is_named_with_its_importer(make):
    with pytest.raises(ModuleNotFoundError, match=r"no module 'pkg\.missing' in .*broken\.py imports it"):
        code("pkg.broken", package_root=make())


def test_a_notebook_is_read_by_its_code_cells(make, tmp_path):
    root = make()

    def write(name, *cells):
        content = {"cells": [{"cell_type": kind, "source": text} for kind, text in cells]}
        (tmp_path / name).mkdir()
        (tmp_path / name / "story.ipynb").write_text(json.dumps(content))
        return code(tmp_path / name / "story.ipynb", package_root=root)

    lines = ["%matplotlib inline\n", "from pkg import unrelated\n", "  !ls"]
    found = write("a", ("markdown", "from pkg import top"), ("code", lines), ("code", "unrelated.value"))
    assert set(found) == {"story.ipynb", "pkg", "pkg.unrelated"}
    prose = write("b", ("markdown", "Other words"), ("code", lines[1:2]), ("code", "# so\nunrelated.value"))
    assert prose == found
    changed = write("c", ("code", lines), ("code", "unrelated.value + 1"))
    assert {name for name in found if found[name] != changed[name]} == {"story.ipynb"}


# --- the digests --------------------------------------------------------------------------------------------

LEAF = '''
from dataclasses import dataclass


@dataclass
class Settings:
    rate: float = 0.1
    steps: int = 10


def g(x, gain=2.0):
    """Multiply."""
    total = 0
    for value in x:
        total += gain * value
    return {"total": total, "name": "sum"}
'''


def changed(make, old, new, module="pkg.late"):
    """The modules of a closure whose digests differ where ``late`` is ``new`` instead of ``old``."""
    one, two = (code(module, package_root=make(late=text)) for text in (old, new))
    assert one.keys() == two.keys()
    return {name for name in one if one[name] != two[name]}


@pytest.mark.parametrize(
    "new",
    [
        LEAF.replace("Multiply.", "Multiply, in other words."),
        LEAF.replace('    """Multiply."""\n', ""),
        '"""A module."""\n' + LEAF + "\n# the end\n",
        LEAF.replace("    rate: float = 0.1\n", '    rate: float = 0.1\n    """Per step."""\n'),
        LEAF.replace("    ", "  ").replace(": ", ":  ").replace("gain * value", "(gain\n      *value)"),
        LEAF.replace('"name"', "'name'").replace("0.1", "1e-1"),
        LEAF.replace("(x, gain=2.0):", "(x: list[float], gain: float = 2.0) -> dict[str, object]:"),
        LEAF.replace("total = 0", "total: float = 0"),
        LEAF.replace("rate: float", "rate: int | float"),
        "from __future__ import annotations\nfrom typing import Any\n" + LEAF,
        LEAF.replace("class Settings:", "class Settings:\n    pass"),
        LEAF.replace("\n", "\r\n"),
    ],
    ids=range(12),
)
def test_prose_formatting_and_hints_change_nothing(make, new):
    assert new != LEAF
    assert changed(make, LEAF, new) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gain * value", "gain + value"),
        ("total = 0", "total = 1"),
        ("total = 0", "total = 0.0"),
        ("total = 0", "total = False"),
        ("gain=2.0", "gain=3.0"),
        ("(x, gain=2.0)", "(x, *, gain=2.0)"),
        ('"sum"', 'b"sum"'),
        ('"sum"', 'f"{x}"'),
        ("rate: float = 0.1\n", "rate = 0.1\n"),  # no field of the dataclass any more
        ("rate: float", "rate: ClassVar[float]"),
        ("    rate: float = 0.1\n    steps: int = 10\n", "    steps: int = 10\n    rate: float = 0.1\n"),
        ("from dataclasses import", "from other import"),
        ("        total += gain * value\n    return", "        total += gain * value\n        return"),
        ("@dataclass\n", "@dataclass()\n"),
        ("for value in", "async for value in"),
    ],
)
def test_a_change_of_code_changes_its_module_alone(make, old, new):
    assert old in LEAF
    assert changed(make, LEAF, LEAF.replace(old, new), "pkg.top") == {"pkg.late"}


def test_an_unrelated_module_changes_nothing(make):
    one, two = make(), make(unrelated="value = 2\n")
    assert code("pkg.top", package_root=one) == code("pkg.top", package_root=two)
    assert code_digest("pkg.top", package_root=one) == code_digest("pkg.top", package_root=two)
    assert code_digest("pkg.unrelated", package_root=one) != code_digest("pkg.unrelated", package_root=two)


def test_code_digest_tells_a_new_import(make):
    one, two = make(), make(constants="from . import unrelated\nC = 3\n")
    assert code_digest("pkg.top", package_root=one) != code_digest("pkg.top", package_root=two)


def test_a_digest_stays_the_same_between_python_versions(make):
    # Found with Python 3.11: fails where another version reads the same code as another tree.
    late = code("pkg.late", package_root=make(late=LEAF))["pkg.late"]
    assert late == "ef36c66be585"


# --- this package -------------------------------------------------------------------------------------------


def test_the_trackers_training_depends_on_the_loss_and_on_no_report():
    found = code("deepmot_lib.training.deepmot")
    assert "deepmot_lib.loss" in found and "deepmot_lib.trackers.tracktor" in found
    assert not {"report", "experiments", "__main__"} & {(name + ".").split(".")[1] for name in found}


def test_every_file_is_read_once():
    """So that digests of all modules take about as long as parsing them once."""
    files = python_files(source.PACKAGE)
    modules = [".".join(file.relative_to(REPO).with_suffix("").parts) for file in files]
    modules = [module.removesuffix(".__init__") for module in modules]
    source._read.cache_clear()
    assert set(code(*modules)) == set(modules)
    assert source._read.cache_info().misses == len(modules)
    code(*modules)
    assert source._read.cache_info().misses == len(modules)


def test_every_notebook_can_be_read():
    for notebook in sorted((REPO / "notebooks").glob("*.ipynb")):
        assert {notebook.name, "deepmot_lib"} < set(code(notebook))


def test_a_workflow_can_import_it_quickly():
    script = "import sys, deepmot_lib.experiments.fingerprints; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "PIL"} & set(loaded.stdout.split())
