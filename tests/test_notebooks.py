"""Running notebooks, what --nbval catches, and the rules that every notebook in git keeps."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill import PapermillExecutionError

from deepmot_lib.experiments import notebooks
from tests.python_files import python_files

ROOT = Path(__file__).parents[1]
COMMITTED = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if not path.name.startswith("."))


def write(path, *cells):
    """A notebook of code cells; the first is tagged ``parameters``."""
    first, *others = [new_code_cell(cell) for cell in cells]
    first.metadata["tags"] = ["parameters"]
    content = new_notebook(cells=[first, new_markdown_cell("Prose."), *others])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, path)
    return path


def printed(path):
    """What the cells of a notebook wrote to stdout."""
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


# --- running ------------------------------------------------------------------------------------------------


def test_run_passes_parameters_and_works_in_the_notebooks_folder(tmp_path):
    source = write(
        tmp_path / "notebooks" / "a.ipynb",
        "profile = 'smoke'\nseed = 0\nvariant = 'x'",
        "from pathlib import Path\nprint(profile, seed + 1, variant, Path.cwd().name)",
    )
    before = source.read_bytes()
    out = tmp_path / "runs" / "a.ipynb"
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.failed.ipynb").write_text("of an earlier run")
    notebooks.main(["run", str(source), str(out), "seed=41", "variant=1d_conv"])
    assert printed(out) == "smoke 42 1d_conv notebooks\n"
    assert listing(tmp_path / "runs") == ["a.ipynb"] and listing(tmp_path / "notebooks") == ["a.ipynb"]
    assert source.read_bytes() == before


def test_an_unknown_parameter_names_the_choices(tmp_path, capsys):
    source = write(tmp_path / "a.ipynb", "profile = 'smoke'\nseed = 0", "1 / 0")
    with pytest.raises(ValueError, match=r"a.ipynb has no parameter 'sed': it has profile, seed"):
        notebooks.run(source, tmp_path / "out.ipynb", {"profile": "paper", "sed": 1})
    with pytest.raises(SystemExit):
        notebooks.main(["run", str(source), str(tmp_path / "out.ipynb"), "sed=1"])
    assert "has no parameter 'sed'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        notebooks.main(["run", str(source), str(tmp_path / "out.ipynb"), "seed"])
    assert "'seed' is not name=value" in capsys.readouterr().err
    assert listing(tmp_path) == ["a.ipynb"]


@pytest.mark.parametrize("last", ["1 / 0", "import os; os._exit(3)"], ids=["error", "dead kernel"])
def test_a_notebook_that_fails_leaves_what_it_did_beside(tmp_path, last):
    source = write(tmp_path / "in" / "a.ipynb", "n = 1", "print('so far', n)", last)
    out = tmp_path / "out" / "a.ipynb"
    with pytest.raises((PapermillExecutionError, RuntimeError)):
        notebooks.run(source, out, {"n": 7})
    assert listing(out.parent) == ["a.failed.ipynb"]
    assert "so far 7" in printed(out.parent / "a.failed.ipynb")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("seed=3", 3), ("name=1d_conv", "1d_conv"), ("seeds=[0, 1]", [0, 1]), ("x=a=b", "a=b"), ("x=", "")],
)
def test_values_are_literals_or_else_strings(text, expected):
    assert notebooks._parameter(text) == (text.partition("=")[0], expected)


# --- refreshing, and what nbval compares --------------------------------------------------------------------


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A notebook as it is committed: executed in place."""
    path = write(
        tmp_path_factory.mktemp("notebooks") / "good.ipynb",
        "profile = 'smoke'",
        "import os, sys\nprint('working', os.getpid(), file=sys.stderr)\nprint('MOTA', 6 * 7)",
        "6 / 4",
    )
    notebooks.main(["refresh", str(path)])
    return path


def test_refresh_keeps_outputs_and_leaves_no_traces(refreshed):
    content = nbformat.read(refreshed, 4)
    nbformat.validate(content)
    assert printed(refreshed) == "MOTA 42\n"
    assert content.cells[-1].outputs[0].data["text/plain"] == "1.5"
    assert [cell.execution_count for cell in content.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert content.cells[0].metadata == {"tags": ["parameters"]}
    assert all(cell.metadata == {} for cell in content.cells[1:])
    assert "papermill" not in refreshed.read_text() and "stderr" not in [
        output.get("name") for cell in content.cells for output in cell.get("outputs", [])
    ]
    assert listing(refreshed.parent) == ["good.ipynb"]


def test_a_refresh_that_fails_leaves_the_notebook_as_it_was(tmp_path):
    source = write(tmp_path / "a.ipynb", "n = 1", "n / 0")
    before = source.read_bytes()
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        notebooks.refresh(source)
    assert source.read_bytes() == before and listing(tmp_path) == ["a.ipynb"]


@pytest.mark.slow
def test_nbval_fails_on_a_changed_number_and_only_there(refreshed, tmp_path):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    shutil.copy(refreshed, tmp_path / "good.ipynb")
    text = refreshed.read_text()
    assert text.count("MOTA 42") == text.count('"1.5"') == 1
    (tmp_path / "changed.ipynb").write_text(text.replace("MOTA 42", "MOTA 43").replace('"1.5"', '"1.6"'))
    command = [sys.executable, "-m", "pytest", "--nbval", "-rA", "-p", "no:cacheprovider", "--rootdir", "."]
    done = subprocess.run([*command, "."], capture_output=True, text=True, cwd=tmp_path)
    results = re.findall(r"^(PASSED|FAILED) (\w+)\.ipynb::Cell (\d)", done.stdout, re.MULTILINE)
    failed = [(name, cell) for result, name, cell in results if result == "FAILED"]
    assert len(results) == 6 and failed == [("changed", "1"), ("changed", "2")], done.stdout + done.stderr
    assert done.returncode == 1


# --- the notebooks in git -----------------------------------------------------------------------------------

#: Mime types whose text a reader sees; in a picture's base64 any letters may meet.
TEXT = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
TOP_FOLDERS = (
    "work",
    "home",
    "tmp",
    "root",
    "Users",
    "mnt",
    "opt",
    "usr",
    "var",
    "private",
    "content",
    "srv",
)
MACHINE_PATH = re.compile(rf"(?<![\w.:/<~])/(?:{'|'.join(TOP_FOLDERS)})\b")


def texts(content):
    """The text of all outputs of a notebook."""
    for cell in content.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield from (output.get("data", {}).get(mime, "") for mime in TEXT)


@pytest.fixture(params=COMMITTED, ids=lambda path: path.stem)
def content(request):
    return nbformat.read(request.param, 4)


def code(content):
    return [cell for cell in content.cells if cell.cell_type == "code"]


def test_format(content):
    nbformat.validate(content)
    assert content.metadata.kernelspec.name == "python3"
    assert content.cells[0].cell_type == "markdown" and content.cells[0].source.startswith("# ")


def test_parameters_come_first_and_default_to_smoke(content):
    tagged = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == code(content)[:1]
    values = {}
    exec(tagged[0].source, values)
    assert values["profile"] == "smoke"


def test_executed_from_top_to_bottom_without_an_error(content):
    assert [cell.execution_count for cell in code(content)] == list(range(1, len(code(content)) + 1))
    kinds = [output.output_type for cell in code(content) for output in cell.outputs]
    assert "error" not in kinds and len(kinds) >= 1


def test_no_traces_of_the_run(content):
    assert "papermill" not in content.metadata and "widgets" not in content.metadata
    assert not any("papermill" in cell.metadata for cell in content.cells)
    names = [output.get("name") for cell in code(content) for output in cell.outputs]
    assert "stderr" not in names
    for text in texts(content):
        assert not MACHINE_PATH.search(text), MACHINE_PATH.search(text)


#: The functions and classes of the library, by name.
LIBRARY = {
    node.name
    for file in python_files(ROOT / "deepmot_lib")
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
}


def unchecked(code):
    """The names that a cell defines and the library has, which no assertion of the cell compares with it."""
    tree = ast.parse(TransformerManager().transform_cell(code))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    checks = [node for check in ast.walk(tree) if isinstance(check, ast.Assert) for node in ast.walk(check)]
    compared = {node.attr for node in checks if isinstance(node, ast.Attribute)}
    return defined & LIBRARY - compared


def test_a_cell_fits_on_a_screen_and_its_functions_are_the_librarys(content):
    """The idea may stand in a cell; what the library has under its name is then shown to be the same."""
    prose = [cell for cell in content.cells if cell.cell_type == "markdown"]
    assert 2 * len(prose) >= len(code(content))
    for cell in code(content):
        assert len(cell.source.splitlines()) <= 35, cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
        assert not unchecked(cell.source), f"no assertion that {unchecked(cell.source)} is the library's"


def test_a_function_under_the_librarys_name_needs_an_assertion():
    function = "def dmota(fp):\n    return fp\n"
    assert unchecked(function) == {"dmota"}
    assert unchecked(function + "assert dmota(1) == 1") == {"dmota"}
    assert not unchecked(function + "assert dmota(1) == loss.dmota(1)")
    assert not unchecked("def mine(fp):\n    return fp")


@pytest.mark.parametrize("top", TOP_FOLDERS)
def test_machine_paths_are_told_from_others(top):
    for text in ("/{}/you/a.csv", "in '/{}/me'", "file:\n/{}/x", "(/{}/.cache)", "/{}"):
        assert MACHINE_PATH.search(text.format(top)), text
    for text in ("reports/{}/tables", "../{}/x", "km/{}", "https://a.org/{}/", "a/{}/b", "~/{}", "/{}s/x"):
        assert not MACHINE_PATH.search(text.format(top)), text
