"""Hostile text in a report: shown as it is, by every reader, and never a tag or a link."""

import mistune
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from deepmot_lib.report import markdown, markdown_page, page, tables
from deepmot_lib.report.document import Document, Figure, Link, Section, Table

#: Two parsers of GitHub's dialect, by other authors; both let raw HTML through.
READERS = {
    "markdown-it": MarkdownIt("commonmark").enable(["table", "strikethrough"]).render,
    "mistune": mistune.create_markdown(escape=False, plugins=["table", "strikethrough"]),
}
HOSTILE = (
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "<javascript:alert(1)>",
    "<img src=x onerror=alert(1)>",
    "\\<b>\\[a](javascript:alert(1))",
    "`</td><script>`alert(1)",
    "a | b \\| c \\\\| d",
    "two\n\nparagraphs\r\n# and a heading",
    "&lt;script&gt; &#60;",
    "*bold* __under__ ~~out~~ $x$ snake_case _a_",
    "[a]: javascript:alert(1)",
    "</sub><script>alert(1)</script>",
)


def elements(html):
    """The names of the elements, where links lead, and what runs."""
    soup = BeautifulSoup(html, "html.parser")
    names = {element.name for element in soup.find_all(True)}
    targets = [element.get("href") or element.get("src") or "" for element in soup.find_all(["a", "img"])]
    handlers = [name for element in soup.find_all(True) for name in element.attrs if name.startswith("on")]
    return names, targets, handlers


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_shown_as_it_is(reader, text):
    frame = pd.DataFrame({"name": [text], text: ["x"], "number": [1.5]})
    html = READERS[reader](tables.to_markdown(frame))
    names, _, handlers = elements(html)
    assert names <= {"table", "thead", "tbody", "tr", "th", "td"} and not handlers
    cells = [cell.get_text() for cell in BeautifulSoup(html, "html.parser").find_all(["th", "td"])]
    shown = " ".join(text.split())
    assert cells == ["name", shown, "number", shown, "x", "1.50"]


@given(st.text(st.sampled_from("\\`*_[]<>()|~$&!#;:a1 \n"), max_size=12))
def test_any_text_is_shown_as_it_is(text):
    """In the middle of a line, as it is used."""
    for reader in READERS.values():
        soup = BeautifulSoup(reader(f"x {markdown.escape(text)} x"), "html.parser")
        assert [element.name for element in soup.find_all(True)] == ["p"]
        assert " ".join(soup.get_text().split()) == " ".join(f"x {text} x".split())


def test_names_stay_readable():
    for text in (
        "seq_gru",
        "dMOTA+dMOTP",
        "MOT17-02-DPM",
        "tracker_goturn_none_seed0.csv",
        "91.4 ± 0.2",
        "R&D",
    ):
        assert markdown.escape(text) == text


def test_a_target_names_no_scheme_and_ends_where_it_should():
    assert markdown.target("../notebooks/02_dhn.ipynb") == "../notebooks/02_dhn.ipynb"
    assert markdown.target("tables/dMOTA+dMOTP.csv") == "tables/dMOTA+dMOTP.csv"
    assert markdown.target("javascript:alert(1)") == "javascript%3Aalert%281%29"
    assert markdown.target("a b)<c>.png") == "a%20b%29%3Cc%3E.png"


@pytest.fixture
def hostile(tmp_path):
    """A document whose data, names and files are hostile; its own texts are Markdown."""
    frame = pd.DataFrame({text: [text, text] for text in HOSTILE} | {"n": [1.0, 2.0]})
    made_from = {"data": HOSTILE[0], "seeds": [HOSTILE[1]], "weights": HOSTILE[-1]}
    picture = tmp_path / "javascript:alert(1) <b>.png"
    Image.new("RGB", (4, 3)).save(picture)
    caption = markdown.escape(f"{HOSTILE[0]} {HOSTILE[1]}")
    links = tuple(Link(text, text, ((text, text),)) for text in HOSTILE)
    return Document(
        "A *title*",
        "A [text](b.md).",
        "",
        (
            Section("Tables", tables=(Table(frame, file="javascript:alert(1).csv", made_from=made_from),)),
            Section("Figures", figures=(Figure(picture, picture.name, caption),)),
            Section("Links", links=links),
        ),
    )


@pytest.mark.parametrize("reader", READERS)
def test_a_report_in_markdown(hostile, reader):
    names, targets, handlers = elements(READERS[reader](markdown_page.render(hostile)))
    assert names <= {
        *("h1", "h2", "p", "em", "strong", "a", "img", "ul", "li", "sub"),
        *("details", "summary"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert not handlers and len(targets) == 2 + len(HOSTILE)
    assert not [target for target in targets if ":" in target]


def test_a_report_in_html(hostile):
    names, targets, handlers = elements(page.render(hostile))
    assert not names & {"script", "iframe", "object", "embed", "form", "sub"} and not handlers
    allowed = ("#", "data:image/webp;base64,", "b.md")
    assert not [target for target in targets if ":" in target and not target.startswith(allowed)]
    shown = BeautifulSoup(page.render(hostile), "html.parser").get_text()
    for text in HOSTILE:
        assert " ".join(text.split()) in " ".join(shown.split())
