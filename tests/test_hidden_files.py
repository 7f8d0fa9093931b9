"""What desktops, editors and killed runs of earlier versions leave beside data is not read as data."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deepmot_lib.report import contents
from deepmot_lib.training import matrices


@pytest.mark.parametrize("name", ["._00_streets.png", ".00_streets.4711.png"])
def test_no_figure_of_the_report(tmp_path, monkeypatch, name):
    monkeypatch.setattr(contents, "_NOTEBOOKS", tmp_path)
    for file in ("00_streets.png", name):
        Image.new("RGB", (4, 3)).save(tmp_path / file, format="PNG")
    paths = SimpleNamespace(figures=tmp_path, root=tmp_path)
    (section,) = contents._Collection(paths, "smoke").other_figures([])
    assert [figure.file.name for figure in section.figures] == ["00_streets.png"]


def test_no_notebook_and_no_page_of_the_report(tmp_path, monkeypatch):
    pages = tmp_path / "runs" / "html"
    pages.mkdir(parents=True)
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for name in ("00_data.ipynb", ".00_data.19396.ipynb", "._00_data.ipynb"):
        (notebooks / name).touch()
    for name in ("00_data.html", ".00_data.4711.html"):
        (pages / name).touch()
    monkeypatch.setattr(contents, "_NOTEBOOKS", notebooks)
    paths = SimpleNamespace(pages=pages, root=tmp_path / "report")
    (section,) = contents._Collection(paths, "smoke").notebooks()
    assert [link.name for link in section.links] == ["00_data"]
    assert [name for name, _ in section.links[0].runs] == ["as run"]


@pytest.mark.parametrize("name", [".0000001.4711.npy", "._0000001.npy"])
def test_no_matrix_of_a_training(tmp_path, name):
    for run, value in (("b", 2.0), ("a", 1.0)):
        folder = tmp_path / run / "seed0" / "matrices"
        folder.mkdir(parents=True)
        np.save(folder / "0000001.npy", np.full((1, 2), value))
        (folder / name).write_bytes(b"half")
    assert [matrix.tolist() for matrix in matrices.collected(tmp_path)] == [[[1.0, 1.0]], [[2.0, 2.0]]]


@pytest.mark.parametrize("content", [b"", b"half", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': ("])
def test_a_damaged_matrix_is_named(tmp_path, content):
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "0000001.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"matrices/0000001\.npy: damaged, delete it"):
        matrices.collected(tmp_path)
