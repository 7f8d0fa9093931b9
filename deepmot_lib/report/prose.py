"""Prose whose numbers are computed: a sentence in a notebook that cannot age."""

from __future__ import annotations

from textwrap import dedent


def say(text: str) -> None:
    """Display Markdown below a cell.

    A number typed into prose stays when what it was read off changes. Here it comes from a variable, and a
    test of the notebooks finds digits that do not.

    Args:
        text: Markdown, usually an f-string; common indentation is removed.
    """
    from IPython.display import Markdown, display

    display(Markdown(dedent(text).strip()))
