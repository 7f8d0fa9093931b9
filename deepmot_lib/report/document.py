"""A report as data: sections with text, tables, figures and links; and its rendering as Markdown.

Texts are Markdown; tables, provenances, names and links are data and are escaped. ``page.render`` renders the
same document as HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from . import tables
from .markdown import escape, target


@dataclass(frozen=True)
class Table:
    """A table with its provenance.

    Attributes:
        frame: The table.
        text: What it shows.
        file: Its CSV, relative to the report; None if it was not run.
        made_from: Its provenance; None if it was not run.
        lacks: Why cells of ours are empty.
        decimals: Decimals of its numbers.
    """

    frame: pd.DataFrame
    text: str = ""
    file: str | None = None
    made_from: dict[str, Any] | None = None
    lacks: str = ""
    decimals: int = 2

    def provenance(self) -> dict[str, str]:
        """Return the known entries of the provenance as text."""
        made_from = self.made_from or {}
        known = {key: value for key, value in made_from.items() if value not in (None, [])}
        return {key: tables.in_words(value) for key, value in known.items()}


@dataclass(frozen=True)
class Figure:
    """A figure: its PNG ``file``, and the ``link`` to it relative to the report."""

    file: Path
    link: str
    caption: str


@dataclass(frozen=True)
class Link:
    """A link to a file.

    Attributes:
        name: Its text.
        target: The file, relative to the report.
        runs: Names and targets of the file's executed copies; they are not in git, so Markdown omits them.
    """

    name: str
    target: str
    runs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of a report."""

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Document:
    """A report; ``warning`` is empty if its numbers are evidence."""

    title: str
    text: str
    warning: str
    sections: tuple[Section, ...]


def to_markdown(document: Document) -> str:
    """Render a document as Markdown."""
    blocks = [f"# {document.title}", document.text]
    if document.warning:
        blocks.append("> " + document.warning)
    for section in document.sections:
        blocks += [f"## {section.heading}", section.text]
        for table in section.tables:
            blocks += [table.text, tables.to_markdown(table.frame, table.decimals).rstrip(), table.lacks]
            origin = "; ".join(f"{key}: {escape(value)}" for key, value in table.provenance().items())
            blocks.append(origin and f"<sub>{origin}</sub>")
        for figure in section.figures:
            blocks += [f"**{figure.caption}**", f"![{figure.caption}]({target(figure.link)})"]
        blocks.append("\n".join(f"- [{escape(link.name)}]({target(link.target)})" for link in section.links))
    return "\n\n".join(block for block in blocks if block) + "\n"
