"""The paper's claims for the eye: the paper's effect, ours with its interval, and the verdict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from .document import Link
from .markdown import escape

#: In words where a measure's name does not say the unit.
_UNITS = {
    "IDs": "IDs/1,000",
    "WA lost by 100 more objects": "WA/100",
    "cosine to counted": "cosine",
    "pull": "cosine",
}


class Judged(NamedTuple):
    """A claim and what was found.

    Attributes:
        claim: The claim.
        verdict: The verdict.
        paper: The paper's effect with its measure.
        ours: The effect here, empty where nothing was run.
        interval: Its 95 % interval, empty where there is none.
        where: Where the paper has it: "Table 1".
        shown: The notebook and its heading that show it, as ``claims.csv`` has them.
        is_detail: Whether it is folded.
    """

    claim: str
    verdict: str
    paper: str
    ours: str
    interval: str
    where: str
    shown: str = ""
    is_detail: bool = False


def judged(frame: pd.DataFrame) -> list[Judged]:
    """Return the rows of ``claims.csv``, as ``experiments.claims.table`` makes it, as text.

    Those about trackers come first, in the order of the paper's tables and figures.
    """
    found = [
        Judged(
            claim=str(row["claim"]),
            verdict=str(row["verdict"]),
            paper=f"{_number(row['paper']) or 'no number:'} {_UNITS.get(row['measure'], row['measure'])}",
            ours=_number(row["ours"]),
            interval="" if pd.isna(row["low"]) else f"{_number(row['low'])} to {_number(row['high'])}",
            where=_where(row["paper's table"]),
            shown=row.get("shown in", ""),
            is_detail=row.get("rank") == "detail",
        )
        for row in frame.to_dict("records")
    ]
    return sorted(found, key=lambda one: (one.where.startswith("Fig"), _numbers(one.where)))


def counts(claims: list[Judged]) -> list[tuple[str, int]]:
    """Count the verdicts, in the order of their first claims."""
    return list(Counter(one.verdict for one in claims).items())


def markdown(claims: list[Judged], shown: Mapping[str, Link]) -> str:
    """Write the claims as a pipe table, each verdict a link to where it is shown."""
    lines = [
        "| claim | verdict | the paper's effect | ours | 95 % interval | in the paper |",
        "|" + " --- |" * 6,
    ]
    for one in claims:
        cells = [escape(text) for text in one[:6]]
        if one.shown in shown:
            cells[1] = f"[{cells[1]}]({shown[one.shown].address(as_run=False)})"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}".replace("-", "−")


def _numbers(where: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", where)]


def _where(place: object) -> str:
    """Name a table that is given by its number."""
    return f"Table {place}" if str(place).isdigit() else str(place)
