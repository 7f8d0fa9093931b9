"""Text from data inside Markdown: a viewer shows it as it is, and nothing in it becomes a link or a tag."""

from __future__ import annotations

import re
from urllib.parse import quote

#: What has a meaning inside a paragraph or a cell; an underscore inside of a word has none.
_SPECIAL = re.compile(r"[\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")


def escape(text: str) -> str:
    """Return text in one line, with a backslash before each character that has a meaning in Markdown.

    Args:
        text: Any text, such as a cell of a table or a file's name.

    Returns:
        Text to stand in a paragraph, a cell or between the brackets of a link, not at the start of a line.
    """
    return " ".join(_SPECIAL.sub(r"\\\g<0>", text).split())


def target(path: str) -> str:
    """Return a relative path as the target of a link, in Markdown or HTML; it can name no scheme."""
    return quote(path, safe="/+")
