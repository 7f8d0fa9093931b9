"""What is fast and by how much: ratios of two times of one run, which carry over between machines.

Each ``bench_*.py`` has a function ``run() -> list[Ratio]``; ``python -m benchmarks.run`` prints all of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Ratio(NamedTuple):
    """One result: ``what`` was compared, the ``ratio``, its ``target``, and which way is better."""

    what: str
    ratio: float
    target: float
    higher_is_better: bool

    @property
    def is_met(self) -> bool:
        """Whether the ratio reaches its target; a ratio that is not a number does not."""
        return self.ratio >= self.target if self.higher_is_better else self.ratio <= self.target

    def __str__(self) -> str:
        bound = "at least" if self.higher_is_better else "at most"
        met = "met" if self.is_met else "missed"
        return f"{self.what}: {self.ratio:.2f} (target {bound} {self.target:g}: {met})"
