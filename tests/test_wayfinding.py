"""The notebooks' titles, links and maps: generated from the guide, and every link leads somewhere."""

import pkgutil
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from deepmot_lib.report import wayfinding
from deepmot_lib.report.guide import STOPS

from .test_notebooks import COMMITTED

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def prose(notebook):
    return [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "markdown"]


def fragments(file):
    """The fragments of a notebook's or Markdown file's headings."""
    lines = "\n".join(prose(file) if file.suffix == ".ipynb" else [file.read_text()]).splitlines()
    return {wayfinding.anchor(line.lstrip("#").strip()) for line in lines if line.startswith("#")}


def dead_links(notebook, folder=NOTEBOOKS):
    """The links in a notebook's prose that lead nowhere; those to other sites are not tried."""
    dead = []
    for link in LINK.findall("\n".join(prose(notebook))):
        name, _, fragment = link.partition("#")
        file = folder / name if name else notebook
        if not re.match("https?:", link) and (
            not file.exists() or (fragment and fragment not in fragments(file))
        ):
            dead.append(link)
    return dead


def test_the_guide_knows_every_notebook():
    assert [stop.name for stop in STOPS] + [wayfinding.INDEX] == [file.stem for file in COMMITTED]


def test_generated_cells_are_those_of_the_guide(tmp_path):
    """After an edit of the guide: ``python -m deepmot_lib.report.wayfinding notebooks``."""
    for file in COMMITTED:
        shutil.copy(file, tmp_path)
    wayfinding.main([str(tmp_path)])
    for file in COMMITTED:
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("notebook", COMMITTED, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(notebook):
    assert not dead_links(notebook)
    cells = nbformat.read(notebook, 4).cells
    if notebook.stem != wayfinding.INDEX:
        assert cells[0].id == "wayfinding-title" and cells[-1].id == "wayfinding-links"
        assert re.match(rf"# {notebook.stem[:2]} · \S", cells[0].source)


def test_next_and_previous_lead_through_all_and_back():
    for step, start in ((1, STOPS[0]), (-1, STOPS[-1])):
        seen, name = [], start.name
        while name:
            seen.append(name)
            links = LINK.findall(prose(NOTEBOOKS / f"{name}.ipynb")[-1])
            others = [link.removesuffix(".ipynb") for link in links if not link.startswith(wayfinding.INDEX)]
            ahead = [other for other in others if (other > name) == (step == 1)]
            name = ahead[0] if ahead else None
        assert seen == [stop.name for stop in STOPS][::step]


def test_every_equation_figure_and_table_of_ours_is_on_the_map():
    papers = " ".join(place.paper for stop in STOPS for place in stop.places)
    for wanted in [*(f"Eq. {k}" for k in range(3, 11)), "Fig. 3", "Fig. 8", "Fig. 9"]:
        assert re.search(rf"{wanted}\b", papers), wanted
    for k in range(1, 7):
        assert f"Table {k}" in papers


def test_the_map_leads_to_what_is_there():
    for stop in STOPS:
        for place in stop.places:
            pkgutil.resolve_name(f"deepmot_lib.{place.code}")


def test_a_dead_link_is_found(tmp_path):
    text = "## A place\n[a](#A-place) [b](#Nowhere) [c](none.ipynb) [d](https://x.org/y) [e](a.ipynb#A-place)"
    cells = [nbformat.v4.new_markdown_cell(text)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert dead_links(tmp_path / "a.ipynb", tmp_path) == ["#Nowhere", "none.ipynb"]
    with pytest.raises(ValueError, match=r"deepmot_lib has no nothing\.here"):
        wayfinding._source("nothing.here")
