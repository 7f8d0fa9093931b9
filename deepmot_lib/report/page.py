"""A document as one HTML file: no network, no scripts, pictures inside.

What the page adds to the numbers it finds in the frames themselves, going by the columns' names: the paper's
and ours side by side, our difference with its direction, ``X std`` as a spread beside X, the best in bold.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import mistune
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from ..experiments import tables
from .document import Document, Figure, Table
from .markdown import target

#: Which way a measure points; of what is in neither, no number is better than another.
_MORE_IS_BETTER = frozenset(
    ["MOTA", "MOTP", "IDF1", "IDP", "IDR", "Rcll", "Prcn", "MT", "HOTA", "DetA", "AssA", "WA", "FPS"]
)
_LESS_IS_BETTER = frozenset(["ML", "FP", "FN", "IDS", "IDs", "FM", "MA", "SA"])


@dataclass(frozen=True)
class Column:
    """One column of the page: a measure, whose it is (``paper``, ``ours`` or empty) and, a row, its text, its
    spread over seeds, its difference from the paper's number and what that is (``better``, ``worse`` or
    empty).

    ``best`` are the rows to print in bold.
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
    """Rows that are compared with one another, by number, under a label; empty where there is but one."""

    label: str
    rows: list[int]


def render(document: Document) -> str:
    """The page. OSError where a figure cannot be read."""
    markdown = mistune.create_markdown(escape=True)
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
        "keys": keys,
        "blocks": blocks,
        "columns": columns,
        "picture": picture,
        "target": target,
    }
    environment.globals["direction"] = direction
    return environment.get_template("page.html").render(document=document)


def direction(measure: str) -> int:
    """1 where more of a measure is better, -1 where less is, 0 where neither: ``WA unseen`` points as WA."""
    name = measure.partition(" ")[0]
    return (name in _MORE_IS_BETTER) - (name in _LESS_IS_BETTER)


def keys(frame: pd.DataFrame) -> list[str]:
    """The columns that name a row: those of text that a table begins with, of a table of texts the first."""
    numbers = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    leading = numbers.index(True) if True in numbers else 1
    return list(frame)[: max(leading, 1)]


def blocks(frame: pd.DataFrame) -> list[Block]:
    """The rows that agree in all keys but the last, in order; those that the paper does not have come last
    and apart. A table whose blocks would hold a row or so each stays in one piece."""
    outer = [frame[name].fillna("").astype(str) for name in keys(frame)[:-1]]
    theirs = [name for name in frame if name.endswith(" (paper)")]
    beyond = frame[theirs].isna().all(axis=1) if theirs else pd.Series(False, frame.index)
    found: dict[tuple, list[int]] = {}
    for row, label in enumerate(zip(beyond, *outer, strict=True)):
        found.setdefault(label, []).append(row)
    if 2 * len(found) > len(frame):
        return [Block("", list(range(len(frame))))]
    return [
        Block(", ".join([*names, *["beyond the paper"] * apart]), rows)
        for (apart, *names), rows in sorted(found.items(), key=lambda item: bool(item[0][0]))
    ]


def columns(table: Table) -> list[Column]:
    """The columns behind the keys, the paper's and ours of a measure next to each other."""
    frame = table.frame
    spreads = {_owner(frame, name): name for name in frame if _owner(frame, name)}
    empty = [""] * len(frame)
    found = []
    for name in frame:
        if name in keys(frame) or name in spreads.values():
            continue
        measure, side = re.fullmatch(r"(.*?)(?: \((paper|ours)\))?", name).groups("")
        differences, verdicts = _differences(table, measure, side)
        found.append(
            Column(
                measure=measure,
                side=side,
                number=pd.api.types.is_numeric_dtype(frame[name]),
                texts=tables.texts(frame[name], table.decimals),
                spreads=tables.texts(frame[spreads[name]], table.decimals) if name in spreads else empty,
                differences=differences,
                verdicts=verdicts,
                best=_best(table, name, direction(measure)),
            )
        )
    return found


def _owner(frame: pd.DataFrame, name: str) -> str | None:
    """The column whose spread over seeds this one is: ours where the paper has the measure, too."""
    measure = name.removesuffix(" std")
    owners = [owner for owner in (f"{measure} (ours)", measure) if owner in frame and owner != name]
    return owners[0] if owners and name.endswith(" std") else None


def _differences(table: Table, measure: str, side: str) -> tuple[list[str], list[str]]:
    """Ours minus the paper's as text, and whether that is for the better; empty where one of them is."""
    frame = table.frame
    if side != "ours" or f"{measure} (paper)" not in frame:
        return [""] * len(frame), [""] * len(frame)
    both = frame[[f"{measure} (paper)", f"{measure} (ours)"]].astype(float)
    decimals = 0 if (both.stack().dropna() % 1 == 0).all() else table.decimals
    changes = (both.iloc[:, 1] - both.iloc[:, 0]).round(decimals).tolist()
    gains = [change * direction(measure) for change in changes]
    return (
        [_signed(change, decimals) for change in changes],
        ["better" if gain > 0 else "worse" if gain < 0 else "" for gain in gains],
    )


def _signed(change: float, decimals: int) -> str:
    return "" if np.isnan(change) else f"{change:+.{decimals}f}".replace("-", "−") if change else "="


def _best(table: Table, name: str, sign: int) -> frozenset[int]:
    """The best rows of each block, all that print alike; none where nothing stands out."""
    if not sign:
        return frozenset()
    texts = tables.texts(table.frame[name], table.decimals)
    best = set()
    for block in blocks(table.frame):
        values = {row: sign * float(texts[row]) for row in block.rows if texts[row]}
        if len(set(values.values())) > 1:
            best |= {row for row, value in values.items() if value == max(values.values())}
    return frozenset(best)


def picture(figure: Figure) -> dict[str, object]:
    """``source`` (a data URI), ``width`` and ``height`` in pixels.

    Drawings are smallest without loss, rendered streets with a little: whichever WebP is the smaller.
    """
    with Image.open(figure.file) as opened:
        image = opened.convert("RGB")
    files = []
    for options in ({"lossless": True}, {"quality": 90}):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", **options)
        files.append(buffer.getvalue())
    source = "data:image/webp;base64," + base64.b64encode(min(files, key=len)).decode()
    return {"source": source, "width": image.width, "height": image.height}
