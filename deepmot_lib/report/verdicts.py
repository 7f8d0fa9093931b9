"""The paper's claims for the eye: the paper's effect, ours with its interval, and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pandas as pd

from .tables import to_markdown

#: In words where a measure's name does not say the unit.
_UNITS = {"IDs": "IDs/1,000"}


class Judged(NamedTuple):
    """A claim and what was found.

    Attributes:
        claim: The claim.
        verdict: The verdict.
        paper: The paper's effect with its measure.
        ours: The effect here, empty where nothing was run.
        interval: Its 95 % interval, empty where there is none.
        where: Where the paper has it: "Table 1".
    """

    claim: str
    verdict: str
    paper: str
    ours: str
    interval: str
    where: str


def judged(frame: pd.DataFrame) -> list[Judged]:
    """Return the rows of ``claims.csv``, as ``experiments.claims.table`` makes it, as text."""
    return [
        Judged(
            claim=str(row["claim"]),
            verdict=str(row["verdict"]),
            paper=f"{_number(row['paper'])} {_UNITS.get(row['measure'], row['measure'])}".strip(),
            ours=_number(row["ours"]),
            interval="" if pd.isna(row["low"]) else f"{_number(row['low'])} to {_number(row['high'])}",
            where=_where(row["paper's table"]),
        )
        for row in frame.to_dict("records")
    ]


def counts(claims: list[Judged]) -> list[tuple[str, int]]:
    """Count the verdicts, in the order of their first claims."""
    return list(Counter(one.verdict for one in claims).items())


def markdown(claims: list[Judged]) -> str:
    """Write the claims as a pipe table."""
    headings = ["claim", "verdict", "the paper's effect", "ours", "95 % interval", "in the paper"]
    return to_markdown(pd.DataFrame(claims).set_axis(headings, axis=1))


def _number(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}".replace("-", "−")


def _where(place: object) -> str:
    """Name a table that is given by its number."""
    return f"Table {place}" if str(place).isdigit() else str(place)
