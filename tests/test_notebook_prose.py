"""No typed results: a number in a notebook's prose is computed, or it is no result."""

import ast
import re

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from .test_notebooks import COMMITTED

_MORE = r"(?:\s*(?:,|-|to|and|or)\s*{0})*"
#: What may hold a digit, since it is a name, a reference or a setting that code holds as well.
ALLOWED = [
    r"```.*?```",  # code
    r"`[^`\n]*`",
    r"\$\$.*?\$\$",  # equations
    r"\$[^$\n]*(?:\n[^$\n]+)?\$",
    r"\]\([^)]*\)",  # where a link leads
    r"https?://\S+",
    r"^#+ \d\d · ",  # titles and lists
    r"^ *\d+\. ",
    r"\bEqs?\. ?\d+" + _MORE.format(r"\d+"),  # the paper
    r"\b(?:Figs?\.|Tables?|Secs?\.|Appendix) [A-C.\d]*\d" + _MORE.format(r"[A-C.\d]*\d"),
    r"\bnotebooks? \d\d" + _MORE.format(r"\d\d"),  # notebooks, by number
    r"\[(?:← )?\d\d\b",
    r"\b(?:tracks?|objects?|frames?|seeds?) \d+" + _MORE.format(r"\d+"),  # who is who
    r"\b[A-Za-z][A-Za-z]*-?\d[\w-]*",  # MOT17-09, IDF1, ResNet-50
    r"\b(?:19|20)\d\d\b",  # years
    r"\b(?:between|from|of) 0 (?:and|to) 1\b",
    r"\bscales?(?: of)? (?:1|10|100)\b",  # settings of the loss
    r"\bmultiplies by 100\b",
    r"\b95 % intervals?\b",
]
_NAMES = re.compile("|".join(ALLOWED), re.DOTALL | re.MULTILINE | re.IGNORECASE)


def typed(text):
    """The numbers in Markdown that are neither a name nor a reference, with what stands around them."""
    rest = _NAMES.sub(" ", text)
    return [rest[max(0, m.start() - 20) : m.end() + 20] for m in re.finditer(r"\d[\d.,]*", rest)]


def said(code):
    """The fixed parts of what a cell passes to ``say``."""
    tree = ast.parse(TransformerManager().transform_cell(code))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "say":
            yield from literals(call.args[0])


def literals(node):
    """The strings of an expression, but neither computed parts of an f-string nor their formats."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.Constant))
    else:
        for child in ast.iter_child_nodes(node):
            yield from literals(child)


@pytest.mark.parametrize("notebook", COMMITTED, ids=lambda path: path.stem)
def test_numbers_in_prose_are_computed(notebook):
    for cell in nbformat.read(notebook, 4).cells:
        texts = [cell.source] if cell.cell_type == "markdown" else said(cell.source)
        for text in texts:
            assert not typed(text), f"typed, where a table or say() would compute it: {typed(text)}"


@pytest.mark.parametrize(
    "text",
    [
        "## 05 · A title, Eq. 3-4, Eqs. 5 and 6, Sec. 4.1, Figs. 2 and 5, Tables 1, 2 and 3, Appendix A.2",
        "See notebook 02, notebooks 02 and 03, [06 The boxes](06_boxes.ipynb#Ten-of-10) and `x[3]`.",
        "With $\\gamma = 2$, $$a = 1/2$$ in MOT17-09, MOT15, IDF1 (CVPR 2020); entries between 0 and 1.",
        "Track 1 was on object 2 in frames 3 and 4; at a scale of 100.\n\n1. one\n2. two",
        "```\nmake -j 4\n```",
    ],
)
def test_names_and_references_are_no_results(text):
    assert not typed(text)


@pytest.mark.parametrize(
    "text",
    ["MOTA rises by 3.4 points.", "60.0 in Table 5", "about 2,787 boxes", "12 % of them", "FP 0, 0, 1"],
)
def test_results_are_found(text):
    assert typed(text)


def test_what_say_is_given_is_read_as_prose():
    code = "say(f'loss {loss:.2f} of {n[5]} and 17 more')\nsay('in 4 steps')\nprint('5')"
    found = [typed(text) for text in said(code)]
    assert "17" in str(found) and "4 steps" in str(found) and "5" not in str(found)
