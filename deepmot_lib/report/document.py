"""A report as data: sections of texts, tables, figures and links; and the same as Markdown.

Texts are Markdown in a line or a paragraph; tables, provenances, names and links are data, shown as they are.
``page.render`` turns the same document into one HTML file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..experiments import tables
from .markdown import escape, target


@dataclass(frozen=True)
class Table:
    """A table as ``tables.read`` gives it, numbers in text with ``decimals``.

    ``file``: its CSV, relative to the report, None where it was not run; ``made_from``: its provenance, None
    likewise. ``text`` says what it shows, ``lacks`` why cells of ours are empty.
    """

    frame: pd.DataFrame
    text: str = ""
    file: str | None = None
    made_from: dict | None = None
    lacks: str = ""
    decimals: int = 2

    def provenance(self) -> dict[str, str]:
        """What is known of how it was made, in words."""
        made_from = self.made_from or {}
        known = {key: value for key, value in made_from.items() if value not in (None, [])}
        return {key: tables.in_words(value) for key, value in known.items()}


@dataclass(frozen=True)
class Figure:
    """A picture: ``file`` where it lies, ``link`` the same seen from the report."""

    file: Path
    link: str
    caption: str


@dataclass(frozen=True)
class Link:
    """A file with a name, ``target`` relative to the report; ``runs`` are what was made of it here: names and
    targets outside git, which Markdown, read in git, leaves out."""

    name: str
    target: str
    runs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Document:
    """``warning`` is empty where the numbers may be quoted."""

    title: str
    text: str
    warning: str
    sections: tuple[Section, ...]


def to_markdown(document: Document) -> str:
    """The whole document for those who read in git."""
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
