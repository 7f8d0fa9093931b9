"""A document as Markdown, for those who read in git; what the page folds is folded on GitHub, too."""

from __future__ import annotations

from . import tables, verdicts
from .document import Document, Section, Table
from .markdown import escape, target
from .views import View, views


def render(document: Document) -> str:
    """Render a document as Markdown."""
    blocks = [f"# {document.title}", document.text]
    if document.warning:
        blocks.append("> " + document.warning)
    for section in document.sections:
        blocks += [f"## {section.heading}", section.text]
        if section.claims:
            blocks.append(verdicts.markdown(verdicts.judged(section.claims.frame), section.shown))
            blocks += _folded("all columns", _origin(section.claims, [View("", section.claims.frame)]))
        content = _content(section)
        blocks += _folded(section.summary, content) if section.summary else content
        if section.notebook:
            made = f"Notebook [{escape(section.notebook.name)}]({target(section.notebook.target)})"
            blocks.append(f"{made} · `{section.command}`" if section.command else made)
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def _content(section: Section) -> list[str]:
    """Return the blocks of a section's tables, figures and links."""
    blocks = []
    for table in section.tables:
        shown = views(table)
        blocks.append(table.text)
        blocks += [block for view in shown.seen for block in _view(view, table)]
        blocks.append(table.lacks)
        blocks += _folded(shown.summary or "what it was made from", _origin(table, shown.folded))
    for figure in section.figures:
        blocks += [f"**{figure.caption}**", f"![{figure.caption}]({target(figure.link)})"]
    blocks.append("\n".join(f"- [{escape(link.name)}]({target(link.target)})" for link in section.links))
    return blocks


def _view(view: View, table: Table) -> list[str]:
    frame = view.frame.copy()
    for name in frame.select_dtypes("number"):
        if not tables.decimals_of(name, 1):
            frame[name] = frame[name].round()
    return [view.caption, tables.to_markdown(frame, table.decimals, signed=view.kind == "effects")]


def _origin(table: Table, folded: list[View]) -> list[str]:
    """Return folded parts of a table and what it was made from."""
    blocks = [block for view in folded for block in _view(view, table)]
    origin = "; ".join(f"{key}: {escape(value)}" for key, value in table.provenance().items())
    return [*blocks, origin and f"<sub>{origin}</sub>"]


def _folded(summary: str, blocks: list[str]) -> list[str]:
    """Fold blocks under a summary, if there are any."""
    blocks = [block for block in blocks if block]
    return [f"<details><summary>{summary}</summary>", *blocks, "</details>"] if blocks else []
