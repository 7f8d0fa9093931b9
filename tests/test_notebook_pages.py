"""Executed notebooks as pages: all formulas drawn, nothing fetched from elsewhere, no dead link."""

import re
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup

from deepmot_lib.report import notebook_pages

from .test_notebooks import COMMITTED

pytestmark = pytest.mark.slow


def formulas(notebook):
    """How many formulas its prose has, in $ and in $$."""
    cells = nbformat.read(notebook, 4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    prose = "\n\n".join([*texts, *(data["text/markdown"] for data in shown if "text/markdown" in data)])
    prose = re.sub(r"`[^`]*`", "", prose)  # $DEEPMOT_DATA is none
    blocks, rest = re.findall(r"\$\$.+?\$\$", prose, re.S), re.sub(r"\$\$.+?\$\$", "", prose, flags=re.S)
    return len(blocks) + len(re.findall(r"\$[^$]+\$", rest))


@pytest.mark.parametrize("notebook", COMMITTED, ids=lambda path: path.stem)
def test_a_page_needs_nothing_but_the_checkout(notebook, tmp_path):
    page = notebook_pages.write(notebook, tmp_path / "html")
    assert [page] == list((tmp_path / "html").iterdir())
    soup = BeautifulSoup(page.read_text(), "html.parser")
    assert not soup.find_all(["script", "link", "iframe"])
    assert all(image["src"].startswith("data:") for image in soup.find_all("img"))
    assert all(len(image["alt"]) > 25 for image in soup.find_all("img"))
    assert "No description" not in page.read_text()
    assert len(soup.find_all("math")) == formulas(notebook)
    assert not any("\\" in formula.text for formula in soup.find_all("math"))
    for link in soup.find_all("a", href=True):
        if not re.match(r"https?:", link["href"]):
            file, _, fragment = link["href"].partition("#")
            assert (page.parent / file).exists(), link["href"]
            assert file or soup.find(id=unquote(fragment)), link["href"]


def test_pages_are_made_from_the_command_line(tmp_path):
    notebook_pages.main([str(tmp_path), str(COMMITTED[0]), str(COMMITTED[1])])
    assert sorted(path.stem for path in tmp_path.iterdir()) == [path.stem for path in COMMITTED[:2]]
    with pytest.raises(FileNotFoundError):
        notebook_pages.main([str(tmp_path), str(tmp_path / "none.ipynb")])
    soup = BeautifulSoup((tmp_path / f"{COMMITTED[0].stem}.html").read_text(), "html.parser")
    links = [link["href"] for link in soup.find_all("a", href=True)]
    assert f"{COMMITTED[1].stem}.html" in links, "a page leads to the next page"
    assert any(link.endswith("/index.ipynb") for link in links), "and to a notebook that has none"
