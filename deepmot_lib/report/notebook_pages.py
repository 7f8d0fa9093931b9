"""Executed notebooks as HTML pages that work offline: formulas are MathML, and there are no scripts.

nbconvert's own pages load MathJax and more from the network, and show TeX source without it.

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
from ..experiments.engine import ENGINE, end_with

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

_NO_SCRIPTS = "{% extends 'lab/index.html.j2' %}" + "".join(
    f"{{% block html_head_js_{name} %}}{{% endblock %}}" for name in ("requirejs", "mathjax", "mermaidjs")
)


class _Renderer(IPythonRenderer):
    """Markdown with MathML, and links relative to the page instead of the notebook."""

    def __init__(self, base: str) -> None:
        """Create a renderer; ``base`` is the notebooks' folder relative to the page's."""
        super().__init__(escape=False, exclude_anchor_links=True)
        self.base = base

    def inline_math(self, body: str) -> str:
        """Render an inline formula."""
        return convert(body)

    def block_math(self, body: str) -> str:
        """Render a displayed formula."""
        return convert(body, display="block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Render a link."""
        is_relative = not re.match(r"[a-z]+:|#", url)
        return super().link(text, f"{self.base}/{url}" if is_relative else url, title)


class PageExporter(HTMLExporter):
    """nbconvert's page without scripts."""

    def __init__(self, base: str) -> None:
        """Create an exporter; ``base`` is the notebooks' folder relative to the page's."""
        super().__init__(raw_template=_NO_SCRIPTS)
        self.base = base

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Render Markdown: nbconvert's filter of this name."""
        return str(MarkdownWithMath(renderer=_Renderer(self.base)).render(source))


def write(notebook: str | Path, folder: str | Path) -> Path:
    """Write an executed notebook as ``folder/NAME.html``.

    Args:
        notebook: The executed copy; its relative links are those of the checkout's ``notebooks/``.
        folder: The folder to write to.

    Returns:
        The page.
    """
    notebook, folder = Path(notebook), Path(folder)
    base = Path(os.path.relpath(NOTEBOOKS, folder)).as_posix()
    page = folder / f"{notebook.stem}.html"
    with atomic(page) as temporary:
        temporary.write_text(PageExporter(base).from_filename(str(notebook))[0])
    return page


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
    for notebook in options.notebooks:
        write(notebook, options.folder)


if __name__ == "__main__":
    main()
