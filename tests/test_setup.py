"""The set-up holds together: pyproject.toml, requirements.lock, environment.yml, Makefile and README."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from deepmot_lib import paper
from deepmot_lib.distance import box_distance
from tests.python_files import python_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [Requirement(text) for part in (PROJECT["dependencies"], *EXTRAS.values()) for text in part]
PYTHONS = ["3.11.0", "3.11.9", "3.12.4", "3.13.1", "3.14.0"]


def pinned(python: str | None = None, platform: str = "linux") -> dict[str, str]:
    """Name -> version of what the lock installs under a Python (None: this one, on this machine)."""
    environment = default_environment()
    if python is not None:
        environment |= {
            "python_version": python.rpartition(".")[0],
            "python_full_version": python,
            "sys_platform": platform,
            "os_name": "nt" if platform == "win32" else "posix",
        }
    versions: dict[str, str] = {}
    for line in LOCK:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in versions, f"{name} is pinned twice for Python {python} on {platform}"
            (exact,) = requirement.specifier
            versions[name] = exact.version
    return versions


def lacking(requirements: list[Requirement], versions: dict[str, str]) -> list[str]:
    """The requirements that these versions leave open, as text."""
    return [
        str(requirement)
        for requirement in requirements
        if (name := canonicalize_name(requirement.name)) not in versions
        or not requirement.specifier.contains(versions[name], prereleases=True)
    ]


# --- the lock -----------------------------------------------------------------------------------------------


def test_the_lock_holds_exact_versions_and_nothing_else():
    assert len(LOCK) > len(DIRECT)
    for line in LOCK:
        requirement = Requirement(line)  # an option, a path or an index would not parse
        assert requirement.url is None and "://" not in line, line
        assert [(part.operator, "*" in part.version) for part in requirement.specifier] == [("==", False)], (
            line
        )


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_pins_every_direct_dependency(python, platform):
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert not lacking(DIRECT, pinned(python, platform))


def test_every_direct_dependency_has_a_lower_bound_only():
    for requirement in DIRECT:
        assert [part.operator for part in requirement.specifier] == [">="], str(requirement)
    assert len({canonicalize_name(requirement.name) for requirement in DIRECT}) == len(DIRECT)


def test_what_is_pinned_needs_nothing_that_is_not():
    versions, todo, seen = pinned(), list(DIRECT), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (key := (name, *sorted(requirement.extras))) in seen:
            continue
        seen.add(key)
        assert not lacking([requirement], versions)
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed.version != versions[name]:  # an environment that was not made from the lock
            continue
        extras = requirement.extras or {""}
        todo += [
            needed
            for needed in map(Requirement, installed.requires or [])
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    assert len(seen) > len(DIRECT)


def test_the_checks_would_notice():
    versions = pinned()
    assert lacking([Requirement("numpy>=99"), Requirement("no-such-package")], versions) == [
        "numpy>=99",
        "no-such-package",
    ]
    assert not lacking([Requirement("NumPy>=1")], versions)


# --- the project --------------------------------------------------------------------------------------------


def third_party(folder: str) -> set[str]:
    """Top-level modules that the Python files below a folder import from outside."""
    names = set()
    for file in python_files(ROOT / folder):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"deepmot_lib", "benchmarks", "tests"}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("deepmot_lib", ["notebooks", "peers"]),
        ("benchmarks", []),
        ("tests", ["notebooks", "test"]),
    ],
)
def test_every_import_is_declared(folder, extras):
    declared = PROJECT["dependencies"] + [text for extra in extras for text in EXTRAS[extra]]
    names = {canonicalize_name(Requirement(text).name) for text in declared}
    homes = importlib.metadata.packages_distributions()
    for module in third_party(folder):
        assert names & {canonicalize_name(name) for name in homes.get(module, [])}, module


def test_conda_takes_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    # Nothing but Python itself comes from conda, so that there is one list of versions.
    name, _, python = next(entry for entry in conda if entry.startswith("python")).partition("=")
    assert sorted(conda) == ["pip", f"{name}={python}"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert pip == ["-r requirements.lock", "-e ."]
    assert environment["channels"] == ["conda-forge"]


def test_ruff_writes_for_the_oldest_python():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert ruff["target-version"] == "py" + oldest.replace(".", "")


def test_the_license_is_what_it_is_said_to_be():
    assert PROJECT["license"] == "MIT"
    for file in PROJECT["license-files"]:
        assert (ROOT / file).read_text().startswith("MIT License")


# --- the commands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("reproduce", ["-m deepmot_lib.experiments.workflow smoke"]),
        ("check", ["-m ruff check", "-m ruff format --check", "-m mypy", '-m "not slow" tests']),
        (
            "test",
            [
                "-m ruff check",
                "-m ruff format --check",
                "-m codespell_lib",
                "-m mypy",
                "--doctest-modules tests deepmot_lib",
                "--nbval-cell-timeout=600 notebooks",
            ],
        ),
        ("docs", ["pdoc --docformat google --math --output-directory runs/docs deepmot_lib"]),
        ("lab", ["-m deepmot_lib.experiments.notebooks lab notebooks"]),
        ("bench", ["-m benchmarks.run"]),
    ],
)
def test_every_target_sets_itself_up_from_the_lock(tmp_path, target, expected):
    # Called from a running make, this one must not take its options.
    clean = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    command = ["make", "--dry-run", "--always-make", f"VENV={tmp_path / 'venv'}", target]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for part in ["-r requirements.lock", "--no-deps --editable .", *expected]:
        assert part in done.stdout


def test_ci_runs_the_suite():
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text() and os.access(script, os.X_OK)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["test"]
    assert "make test" in [step.get("run") for step in job["steps"]]
    assert all(
        SpecifierSet(PROJECT["requires-python"]).contains(f"{one}.0")
        for one in job["strategy"]["matrix"]["python"]
    )


def test_the_commit_hooks_are_the_linters_of_the_lock():
    ruff, codespell, local = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert ruff["repo"].endswith("ruff-pre-commit") and ruff["rev"] == f"v{pinned()['ruff']}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    assert codespell["repo"].endswith("codespell") and codespell["rev"] == f"v{pinned()['codespell']}"
    assert [hook["entry"] for hook in local["hooks"]] == [".venv/bin/mypy"]


def test_the_citation_names_the_package_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    (reference,) = citation["references"]
    authors = ", ".join(
        f"{author['given-names']} {author['family-names']}" for author in reference["authors"]
    )
    assert f"{authors}: {reference['title']}. CVPR {reference['year']}." == paper.CITATION
    bibtex = (ROOT / "README.md").read_text().partition("```bibtex")[2].partition("```")[0]
    assert reference["title"] in bibtex.replace("{", "").replace("}", "")
    assert all(author["given-names"] in bibtex for author in reference["authors"])


def test_types_ship_with_the_package():
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "py.typed" in shipped["deepmot_lib"] and (ROOT / "deepmot_lib" / "py.typed").is_file()


DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    ROOT.glob("docs/*.md")
)


def anchors(file: Path) -> set[str]:
    """The anchors of headings: GitHub's in a Markdown file, Jupyter's in a notebook."""
    if file.suffix == ".ipynb":
        cells = nbformat.read(file, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        return {heading.replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_in_the_documents_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), f"{document.name} links to {target}"
        assert not anchor or unquote(anchor) in anchors(file), f"{document.name} links to {target}"


def test_the_readme_begins_with_a_picture_and_the_way_to_a_tracked_video():
    text = (ROOT / PROJECT["readme"]).read_text()
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"python-%E2%89%A5_{oldest}-" in text and f"Python {oldest} or newer" in text
    assert (ROOT / "docs" / "tracks.webp").stat().st_size < 1_500_000
    order = [
        "docs/tracks.webp",
        "## Quick start",
        "## Reproduce",
        "## What the paper claims",
        "## Your own data",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert ".venv/bin/deepmot track film.mp4 --video tracked.mp4" in text[places[1] : places[2]]


def test_the_readme_names_both_commands():
    text = (ROOT / PROJECT["readme"]).read_text()
    assert "make reproduce" in text and "make test" in text


def test_the_readmes_lines_print_what_it_says(capsys):
    text = (ROOT / PROJECT["readme"]).read_text()
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert capsys.readouterr().out == printed
    assert names["A"].shape == (2, 2) and names["A"].diagonal().min() > 0.5, "each track on its object"
    step = names["tracks"].detach() - 0.01 * names["tracks"].grad
    closer = box_distance(step, names["objects"], (480, 640)).diagonal()
    assert closer.sum() < names["D"].diagonal().sum(), "against the gradient the boxes come closer"
