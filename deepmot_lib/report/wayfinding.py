"""The notebooks' titles, links and maps, generated from ``guide``.

    python -m deepmot_lib.report.wayfinding notebooks

A generated cell is known by its id; all others stay as they are. A notebook that has no such cells yet gets
them: a title cell first and a cell of links last.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from ..data.files import atomic
from .guide import STOPS, Place, Stop

#: The front door.
INDEX = "index"
PACKAGE = Path(__file__).parents[1]


def anchor(heading: str) -> str:
    """Return the fragment under which JupyterLab and nbconvert know a heading."""
    return heading.replace(" ", "-")


def links(stop: Stop) -> str:
    """Return the line of links to the notebooks before and after, the contents and the glossary."""
    place = STOPS.index(stop)
    parts = []
    if place:
        before = STOPS[place - 1]
        parts.append(f"[← {before.number} {_short(before)}]({before.name}.ipynb)")
    parts.append(f"[Contents]({INDEX}.ipynb)")
    parts.append(f"[Glossary]({INDEX}.ipynb#Glossary)")
    if place + 1 < len(STOPS):
        after = STOPS[place + 1]
        parts.append(f"[{after.number} {_short(after)} →]({after.name}.ipynb)")
    return " · ".join(parts)


def title(stop: Stop) -> str:
    """Return the title cell of a notebook: title, links, what it teaches and takes, map."""
    rows = [
        f"| {place.paper or 'beyond the paper'} | [{place.section}](#{anchor(place.section)}) "
        f"| {_source(place.code)} |"
        for place in stop.places
    ]
    return "\n".join(
        [
            *(f"# {stop.number} · {stop.title}", "", links(stop), "", "**What you will learn**", ""),
            *(f"- {sentence}" for sentence in stop.learn),
            *("", f"**What it takes.** {stop.takes}", "", "| in the paper | here | in the library |"),
            *("|---|---|---|", *rows),
        ]
    )


def contents() -> str:
    """Return the list of all notebooks, for the index."""
    rows = [
        f"| [{stop.number} · {stop.title}]({stop.name}.ipynb) | {stop.learn[0]} | {stop.takes} |"
        for stop in STOPS
    ]
    return "\n".join(["| notebook | what you will learn first | what it takes |", "|---|---|---|", *rows])


def paper_map() -> str:
    """Return the map from the paper to notebooks and modules, in the paper's order, for the index."""
    known = [(place, stop) for stop in STOPS for place in stop.places if place.paper]
    rows = [
        f"| {place.paper} | [{stop.number}: {place.section}]({stop.name}.ipynb#{anchor(place.section)}) "
        f"| {_source(place.code)} |"
        for place, stop in sorted(known, key=_in_the_papers_order)
    ]
    return "\n".join(["| in the paper | shown in | in the library |", "|---|---|---|", *rows])


def apply(notebook: Path) -> None:
    """Write the generated cells of a notebook anew, atomically; a notebook not in the guide stays.

    Args:
        notebook: A notebook of the checkout.
    """
    content = nbformat.read(notebook, as_version=4)
    cells = {cell.id: cell for cell in content.cells}
    for name, source in _generated(notebook.stem).items():
        if name not in cells:
            cells[name] = new_markdown_cell(id=name)
            content.cells.insert(0 if name == "wayfinding-title" else len(content.cells), cells[name])
        cells[name].source = source
    with atomic(notebook) as temporary:
        nbformat.write(content, temporary)


def _generated(name: str) -> dict[str, str]:
    """Return the text of a notebook's generated cells, by cell id."""
    if name == INDEX:
        return {"wayfinding-contents": contents(), "wayfinding-map": paper_map()}
    stop = next((stop for stop in STOPS if stop.name == name), None)
    return {"wayfinding-title": title(stop), "wayfinding-links": links(stop)} if stop else {}


def _short(stop: Stop) -> str:
    """Return a title up to its first colon, question mark or comma."""
    text = stop.title
    for mark in ":?,":
        text = text.partition(mark)[0]
    return text


def _source(code: str) -> str:
    """Return a link to the file of a module, function or class of the library."""
    parts = code.split(".")
    for count in range(len(parts), 0, -1):
        file = PACKAGE.joinpath(*parts[:count]).with_suffix(".py")
        if file.is_file():
            return f"[`{code}`](../deepmot_lib/{'/'.join(parts[:count])}.py)"
    raise ValueError(f"deepmot_lib has no {code}")


def _in_the_papers_order(entry: tuple[Place, Stop]) -> tuple[int, list[int]]:
    """Order equations before figures, tables, sections and appendices, each by number."""
    paper = entry[0].paper
    kinds = ("Eq.", "Fig.", "Table", "Sec.", "Appendix")
    kind = next(k for k, name in enumerate(kinds) if paper.startswith(name))
    return kind, [int(number) for number in re.findall(r"\d+", paper)]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; see the module's text."""
    for folder in sys.argv[1:] if arguments is None else arguments:
        for notebook in sorted(Path(folder).glob("*.ipynb")):
            apply(notebook)


if __name__ == "__main__":
    main()
