"""A document as one self-contained HTML file without scripts.

The columns' names determine the layout: the paper's and our measures side by side, ``X std`` as a spread
beside X. Values have the best in bold; where they can be compared with the paper's, ours have their
difference, for the better or for the worse. Effects have a sign.
"""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mistune
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from . import tables, verdicts
from .document import Document, Figure, Table
from .markdown import target
from .tables import keys
from .views import View, views

#: The directions of measures; those in neither set have none.
_MORE_IS_BETTER = frozenset(
    ["MOTA", "MOTP", "IDF1", "IDP", "IDR", "Rcll", "Prcn", "MT", "HOTA", "DetA", "AssA", "WA", "FPS"]
)
_LESS_IS_BETTER = frozenset(["ML", "FP", "FN", "IDS", "IDs", "FM", "MA", "SA"])
_LONGEST_DATA = 120  # characters of a list of sequences in a line


@dataclass(frozen=True)
class Column:
    """A column of a table on the page.

    Attributes:
        measure: Name of the measure.
        side: "paper", "ours" or empty.
        number: Whether the cells are numbers.
        texts: The cells.
        spreads: For each row, the standard deviation over seeds.
        differences: For each row, the difference from the paper's number.
        verdicts: For each row, whether that is "better", "worse" or neither (empty).
        best: The rows to print in bold.
    """

    measure: str
    side: str
    number: bool
    texts: list[str]
    spreads: list[str]
    differences: list[str]
    verdicts: list[str]
    best: frozenset[int]


@dataclass(frozen=True)
class Block:
    """Rows of a table, by number, that are compared with each other; the label of a single block is empty."""

    label: str
    rows: list[int]


def render(document: Document) -> str:
    """Render a document as HTML.

    Args:
        document: The document.

    Returns:
        The page.

    Raises:
        OSError: A figure cannot be read.
    """
    convert = mistune.create_markdown(escape=True)

    def markdown(text: str) -> str:
        return cast(str, convert(text))

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        # One report links to another's page, not to its text.
        "prose": lambda text: markdown(text.replace("/REPORT.md", "/index.html")),
        "inline": lambda text: markdown(text).strip().removeprefix("<p>").removesuffix("</p>"),
        "plain": lambda text: text.replace("`", ""),
        "anchor": lambda text: re.sub(r"\W+", "-", text.lower()).strip("-"),
        "blank": lambda value: "" if pd.isna(value) else value,
        # Names such as dMOTA+dMOTP and paral_lstm may be broken there, which a phone needs.
        "breakable": lambda value: re.sub(r"(?<=\w)([+_])(?=\w)", r"\1<wbr>", html.escape(str(value))),
        "keys": keys,
        "blocks": blocks,
        "judged": lambda table: verdicts.judged(table.frame),
        "counts": verdicts.counts,
        "views": views,
        "gist": gist,
        "picture": picture,
        "target": target,
    }
    environment.globals |= {"direction": direction, "columns": columns, "View": View}
    return environment.get_template("page.html").render(document=document)


def direction(measure: str) -> int:
    """Return 1 if a higher value of a measure is better, -1 if a lower one is, 0 if neither.

    The first word counts: ``WA unseen`` has the direction of WA.
    """
    name = measure.partition(" ")[0]
    return (name in _MORE_IS_BETTER) - (name in _LESS_IS_BETTER)


def blocks(frame: pd.DataFrame) -> list[Block]:
    """Group the rows that agree in all keys but the last.

    Rows that the paper does not have follow in blocks of their own. A table is not divided if its blocks
    would have hardly more than one row each.
    """
    outer = [frame[name].fillna("").astype(str) for name in keys(frame)[:-1]]
    theirs = [name for name in map(str, frame) if name.endswith(" (paper)")]
    beyond = frame[theirs].isna().all(axis=1) if theirs else pd.Series(False, frame.index)
    found: dict[tuple[object, ...], list[int]] = {}
    for row, label in enumerate(zip(beyond, *outer, strict=True)):
        found.setdefault(label, []).append(row)
    if 2 * len(found) > len(frame):
        return [Block("", list(range(len(frame))))]
    return [
        Block(", ".join([*map(str, names), *["beyond the paper"] * bool(apart)]), rows)
        for (apart, *names), rows in sorted(found.items(), key=lambda item: bool(item[0][0]))
    ]


def gist(table: Table) -> str:
    """Return in a line what a table was made from: data unless its list is long, split, protocol, seeds."""
    known = table.provenance()
    parts = {key: known[key] for key in ("data", "split", "protocol", "seeds") if key in known}
    if len(parts.get("data", "")) > _LONGEST_DATA:
        del parts["data"]
    return "; ".join(
        f"{key} {value}" if key in ("protocol", "seeds") else value for key, value in parts.items()
    )


def columns(view: View, decimals: int = 2) -> list[Column]:
    """Return the columns after the keys, fractions with so many decimals."""
    frame = view.frame
    names = list(map(str, frame))
    spreads = {_owner(frame, name): name for name in names if _owner(frame, name)}
    empty = [""] * len(frame)
    found = []
    for name in names:
        if name in keys(frame) or name in spreads.values():
            continue
        measure, side = _measure_and_side(name)
        compared = view.kind == "beside" and side == "ours" and f"{measure} (paper)" in frame
        places = tables.decimals_of(name, decimals)
        differences, verdicts = _differences(frame, measure, places) if compared else (empty, empty)
        found.append(
            Column(
                measure=measure,
                side=side,
                number=pd.api.types.is_numeric_dtype(frame[name]),
                texts=tables.texts(frame[name], places, signed=view.kind == "effects"),
                spreads=tables.texts(frame[spreads[name]], places) if name in spreads else empty,
                differences=differences,
                verdicts=verdicts,
                best=_best(frame, name, 0 if view.kind == "effects" else direction(measure), places),
            )
        )
    return found


def _measure_and_side(name: str) -> tuple[str, str]:
    """Split ``MOTA (ours)`` into the measure and whose it is."""
    for side in ("paper", "ours"):
        if name.endswith(f" ({side})"):
            return name.removesuffix(f" ({side})"), side
    return name, ""


def _owner(frame: pd.DataFrame, name: str) -> str | None:
    """Return the column of which this one is the spread over seeds, None if it is not one."""
    measure = name.removesuffix(" std")
    owners = [owner for owner in (f"{measure} (ours)", measure) if owner in frame and owner != name]
    return owners[0] if owners and name.endswith(" std") else None


def _differences(frame: pd.DataFrame, measure: str, decimals: int) -> tuple[list[str], list[str]]:
    """Return ours minus the paper's as text, and whether that is better or worse; empty if one is missing."""
    both = frame[[f"{measure} (paper)", f"{measure} (ours)"]].astype(float)
    decimals = 0 if (both.stack().dropna() % 1 == 0).all() else decimals
    changes = (both.iloc[:, 1] - both.iloc[:, 0]).round(decimals).tolist()
    gains = [change * direction(measure) for change in changes]
    return (
        [tables.difference(change, decimals) for change in changes],
        ["better" if gain > 0 else "worse" if gain < 0 else "" for gain in gains],
    )


def _best(frame: pd.DataFrame, name: str, sign: int, decimals: int) -> frozenset[int]:
    """Return the best rows of each block, all with the same printed value; none if all rows have it."""
    if not sign:
        return frozenset()
    texts = tables.texts(frame[name], decimals)
    best: set[int] = set()
    for block in blocks(frame):
        values = {row: sign * float(texts[row]) for row in block.rows if texts[row]}
        if len(set(values.values())) > 1:
            best |= {row for row, value in values.items() if value == max(values.values())}
    return frozenset(best)


def picture(figure: Figure) -> dict[str, object]:
    """Embed a figure: ``source`` (a data URI), ``width`` and ``height`` in pixels.

    Drawings compress best without loss, rendered streets with some: the smaller WebP is taken.
    """
    with Image.open(figure.file) as opened:
        image = opened.convert("RGB")
    files = []
    for lossless in (True, False):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else 90)
        files.append(buffer.getvalue())
    source = "data:image/webp;base64," + base64.b64encode(min(files, key=len)).decode()
    return {"source": source, "width": image.width, "height": image.height}
