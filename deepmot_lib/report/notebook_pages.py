"""Executed notebooks as HTML pages that need no network: formulas are MathML, and there are no scripts.

nbconvert's own pages fetch MathJax and more from elsewhere, and show bare TeX where that fails.

    python -m deepmot_lib.report.notebook_pages FOLDER NOTEBOOK.ipynb...
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from ..data.files import atomic

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

_NO_SCRIPTS = "{% extends 'lab/index.html.j2' %}" + "".join(
    f"{{% block html_head_js_{name} %}}{{% endblock %}}" for name in ("requirejs", "mathjax", "mermaidjs")
)


class _Renderer(IPythonRenderer):
    """Markdown with MathML, links seen from the page in place of the notebook; ``base``: from one folder to
    the other."""

    def __init__(self, base: str) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.base = base

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        is_relative = not re.match(r"[a-z]+:|#", url)
        return super().link(text, f"{self.base}/{url}" if is_relative else url, title)


class PageExporter(HTMLExporter):
    """nbconvert's page without a script; ``base`` as for the renderer."""

    def __init__(self, base: str) -> None:
        super().__init__(raw_template=_NO_SCRIPTS)
        self.base = base

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:  # nbconvert's filter of that name
        return MarkdownWithMath(renderer=_Renderer(self.base)).render(source)


def write(notebook: str | Path, folder: str | Path) -> Path:
    """Writes ``folder/NAME.html``; returns its path.

    Relative links are taken as seen from the checkout's ``notebooks/``, wherever the executed copy lies.
    """
    notebook, folder = Path(notebook), Path(folder)
    base = Path(os.path.relpath(NOTEBOOKS, folder)).as_posix()
    page = folder / f"{notebook.stem}.html"
    with atomic(page) as temporary:
        temporary.write_text(PageExporter(base).from_filename(str(notebook))[0])
    return page


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="python -m deepmot_lib.report.notebook_pages", description=write.__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("notebooks", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    for notebook in options.notebooks:
        write(notebook, options.folder)


if __name__ == "__main__":
    main()
