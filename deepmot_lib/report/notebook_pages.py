"""Executed notebooks as HTML pages that work offline: formulas are MathML, and there are no scripts.

nbconvert's own pages load MathJax and more from the network, and show TeX source without it.

    python -m deepmot_lib.report.notebook_pages FOLDER NOTEBOOK.ipynb...
"""

from __future__ import annotations

import argparse
import html
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from ..data.files import atomic
from ..experiments.engine import ENGINE, end_with
from .wayfinding import anchor

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

_TEMPLATE = (
    "{% extends 'lab/index.html.j2' %}"
    + "".join(
        f"{{% block html_head_js_{name} %}}{{% endblock %}}" for name in ("requirejs", "mathjax", "mermaidjs")
    )
    # The template leaves a picture's description out.
    + "".join(
        f"{{% block data_{name} scoped %}}{{{{ super() | replace('<img ', '<img alt=\"' ~ "
        f"(output | get_metadata('alt', '{mime}') | escape_html) ~ '\" ', 1) }}}}{{% endblock %}}"
        for name, mime in (("png", "image/png"), ("jpg", "image/jpeg"))
    )
)


class _Renderer(IPythonRenderer):
    """Markdown with MathML, headings that can be linked to, and links relative to the page."""

    def __init__(self, base: str, pages: Collection[str] = ()) -> None:
        """Create a renderer.

        Args:
            base: The notebooks' folder relative to the page's.
            pages: The names of the pages beside it.
        """
        super().__init__(escape=False, exclude_anchor_links=True)
        self.base, self.pages = base, pages

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        """Render a heading under the fragment that JupyterLab gives it."""
        name = anchor(html.unescape(re.sub(r"<[^>]*>", "", text)))
        return super().heading(text, level, **attrs | {"id": html.escape(name)})

    def inline_math(self, body: str) -> str:
        """Render an inline formula."""
        return convert(body)

    def block_math(self, body: str) -> str:
        """Render a displayed formula."""
        return convert(body, display="block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Render a link: to the page of a notebook where there is one, else to the file."""
        file, mark, fragment = url.partition("#")
        if file.endswith(".ipynb") and Path(file).stem in self.pages:
            url = f"{Path(file).stem}.html{mark}{fragment}"
        elif file and not re.match(r"[a-z]+:", url):
            url = f"{self.base}/{url}"
        return super().link(text, url, title)


class PageExporter(HTMLExporter):
    """nbconvert's page without scripts, pictures described."""

    def __init__(self, base: str, pages: Collection[str] = ()) -> None:
        """Create an exporter; ``base`` and ``pages`` as the renderer's."""
        super().__init__(raw_template=_TEMPLATE)
        self.base, self.pages = base, pages

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Render Markdown: nbconvert's filter of this name."""
        return str(MarkdownWithMath(renderer=_Renderer(self.base, self.pages)).render(source))


def write(notebook: str | Path, folder: str | Path, pages: Collection[str] = ()) -> Path:
    """Write an executed notebook as ``folder/NAME.html``.

    Args:
        notebook: The executed copy; its relative links are those of the checkout's ``notebooks/``.
        folder: The folder to write to.
        pages: Names of the notebooks whose pages are written beside it: links to these lead to their pages.

    Returns:
        The page.
    """
    notebook, folder = Path(notebook), Path(folder)
    base = Path(os.path.relpath(NOTEBOOKS, folder)).as_posix()
    page = folder / f"{notebook.stem}.html"
    content = nbformat.read(notebook, as_version=4)
    _describe(content)
    resources = {"metadata": {"name": notebook.stem}}
    with atomic(page) as temporary:
        temporary.write_text(PageExporter(base, pages).from_notebook_node(content, resources)[0])
    return page


def _describe(content: NotebookNode) -> None:
    """Give each picture without a description one: what the text above it is about."""
    above = ""
    for cell in content.cells:
        if cell.cell_type == "markdown":
            above = next(iter(re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)[-1:]), above)
        for output in cell.get("outputs", []):
            for mime in {"image/png", "image/jpeg"} & set(output.get("data", {})):
                shown = output.metadata.setdefault(mime, {})
                shown.setdefault("alt", f"Figure of the section: {above}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deepmot_lib.report.notebook_pages",
        description="Write executed notebooks as HTML pages that work offline.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("notebooks", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    if engine := os.environ.get(ENGINE):
        end_with(engine)
    pages = {notebook.stem for notebook in options.notebooks}
    for notebook in options.notebooks:
        write(notebook, options.folder, pages)


if __name__ == "__main__":
    main()
