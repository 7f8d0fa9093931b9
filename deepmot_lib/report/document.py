"""A report as data: sections with text, tables, figures and links.

Texts are Markdown; tables, provenances, names and links are data and are escaped. ``markdown_page.render``
renders a document as Markdown, ``page.render`` as HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from . import tables
from .markdown import target


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
        like_with_like: Whether data, split and protocol are the paper's, so that values can be compared.
        within: Keys whose groups are compared apart where effects are.
    """

    frame: pd.DataFrame
    text: str = ""
    file: str | None = None
    made_from: dict[str, Any] | None = None
    lacks: str = ""
    decimals: int = 2
    like_with_like: bool = False
    within: tuple[str, ...] = ()

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
        fragment: The heading in these copies, without ``#``.
    """

    name: str
    target: str
    runs: tuple[tuple[str, str], ...] = ()
    fragment: str = ""

    def address(self, as_run: bool) -> str:
        """Return the address of the heading, quoted: in the executed copy, if wanted and there is one."""
        file = dict(self.runs).get("as run", self.target) if as_run else self.target
        return target(file) + (f"#{target(self.fragment)}" if self.fragment else "")


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        heading: Its heading.
        text: What it shows.
        tables: Its tables.
        figures: Its figures.
        links: A list of links.
        claims: The paper's claims and the verdicts, as ``claims.csv`` has them.
        shown: Where the numbers behind a verdict are shown, by that table's column *shown in*.
        notebook: The notebook that makes it.
        command: The command that runs this notebook and what it needs.
        summary: Not empty if tables, figures and links are folded under it.
    """

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    links: tuple[Link, ...] = ()
    claims: Table | None = None
    shown: Mapping[str, Link] = field(default_factory=dict)
    notebook: Link | None = None
    command: str = ""
    summary: str = ""


@dataclass(frozen=True)
class Document:
    """A report; ``warning`` is empty if its numbers are evidence."""

    title: str
    text: str
    warning: str
    sections: tuple[Section, ...]
