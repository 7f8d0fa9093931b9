"""The three profiles: every size, schedule and seed of a run in one place, and where its files go.

One code path serves all of them; a profile only changes the numbers. ``smoke`` shows that everything runs,
``standard`` is what two CPU cores or one GPU carry, ``paper`` is the schedule that the paper prints (Appendix
A).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class EmbeddedData:
    """Size of the rendered sequences (``synthetic.write_sequences``): ``image_size`` is (height, width) in
    pixels."""

    sequences: int
    frames: int
    image_size: tuple[int, int]
    seed: int = 0


@dataclass(frozen=True)
class DHNSchedule:
    """How a Deep Hungarian Net is trained (Appendix A.1).

    ``steps`` are optimiser steps (the paper: 20 epochs over 114,483 pairs in batches of about ten); ``batch``
    is the largest number of equal-shape matrices in one step. ``cost_cap`` draws a matrix of more entries
    than this with probability ``cost_cap / entries`` instead of 1, which makes all sizes cost alike; None
    draws all alike, as the paper does. ``test_pairs`` evaluates on that many test pairs, drawn with a fixed
    seed; None on all.
    """

    steps: int
    batch: int = 10
    learning_rate: float = 3e-4
    decay: float = 0.95
    decay_every: int = 20_000
    cost_cap: int | None = None
    test_pairs: int | None = None
    hidden_size: int = 256

    def options(self, variant: str) -> dict:
        """What ``dhn.create`` takes for that network: the recurrent ones have a hidden size."""
        return {"hidden_size": self.hidden_size} if variant.endswith(("gru", "lstm")) else {}

    def describe(self) -> str:
        """The schedule in a line, for a table's provenance."""
        drawn = "drawn alike" if self.cost_cap is None else f"above {self.cost_cap} entries more rarely"
        return (
            f"{self.steps:,} steps of at most {self.batch} matrices ({drawn}), "
            f"RMSprop {self.learning_rate:g} times {self.decay:g} each {self.decay_every:,}, "
            f"hidden size {self.hidden_size}"
        )


@dataclass(frozen=True)
class PriceSchedule:
    """How the price network of ``min_sum`` is trained, a matcher beyond the paper: AdamW, a cosine decay.

    A step takes at most ``entries`` entries of matrices of one shape. In the last ``through`` of the steps
    the loss also looks through up to ``rounds`` rounds, with weight ``through_weight``. ``uniform`` is the
    number of uniform random matrices mixed in, as a share of the pairs.
    """

    steps: int = 12_000
    entries: int = 40_000
    learning_rate: float = 4e-3
    through: float = 0.4
    through_weight: float = 0.3
    rounds: int = 10
    uniform: float = 0.15

    def describe(self) -> str:
        """The schedule in a line, for a table's provenance."""
        return (
            f"{self.steps:,} steps of at most {self.entries:,} entries, AdamW {self.learning_rate:g} with "
            f"cosine decay, {self.uniform:.0%} uniform random matrices mixed in, through the rounds in the "
            f"last {self.through:.0%}"
        )


class DHNRun(NamedTuple):
    """One training of a network: on which pairs (``dhn.data.KINDS``), with which seed."""

    variant: str
    pairs: str
    seed: int


def _runs(pairs: str, **seeds: int) -> tuple[DHNRun, ...]:
    """Each variant with its number of seeds; "1d_conv" cannot be a keyword and is written conv."""
    names = {"conv": "1d_conv"}
    return tuple(DHNRun(names.get(name, name), pairs, seed) for name in seeds for seed in range(seeds[name]))


@dataclass(frozen=True)
class Profile:
    """One way to run the whole workflow; ``evidence`` tells whether its numbers may be quoted.

    ``dhn_runs`` are the trainings behind Tables 5 and 6. Fig. 8 takes ten uniform matrices of each of
    ``fig8_sizes``; ``speed_sizes`` are the numbers of objects at which the matchers are timed.
    """

    name: str
    embedded: EmbeddedData
    dhn: DHNSchedule
    dhn_runs: tuple[DHNRun, ...]
    real_data: bool
    evidence: bool
    prices: PriceSchedule = PriceSchedule()
    fig8_sizes: tuple[int, ...] = (2, 3, 5, 10, 20, 30, 50, 75, 100, 150, 300)
    speed_sizes: tuple[int, ...] = (10, 50, 100, 300)

    def schedule(self, variant: str) -> DHNSchedule | PriceSchedule:
        """How that network is trained."""
        return self.prices if variant == "min_sum" else self.dhn


PROFILES = {
    "smoke": Profile(
        name="smoke",
        embedded=EmbeddedData(sequences=3, frames=40, image_size=(240, 320)),
        dhn=DHNSchedule(steps=200, hidden_size=32, cost_cap=40, test_pairs=200, learning_rate=1e-3),
        dhn_runs=_runs("eq3", seq_gru=2, seq_lstm=1, paral_gru=1, paral_lstm=1, conv=1, min_sum=2),
        real_data=False,
        evidence=False,
        prices=PriceSchedule(steps=100),
        fig8_sizes=(2, 5, 10, 20, 30),
        speed_sizes=(10, 30),
    ),
    "standard": Profile(
        name="standard",
        embedded=EmbeddedData(sequences=3, frames=150, image_size=(480, 640)),
        dhn=DHNSchedule(
            steps=5_000,
            batch=40,
            learning_rate=1e-3,
            decay=0.75,
            decay_every=500,
            cost_cap=100,
            hidden_size=64,
        ),
        dhn_runs=_runs("released", seq_gru=1, seq_lstm=1, paral_gru=1, paral_lstm=1, conv=1, min_sum=3)
        + _runs("eq3", seq_gru=1, min_sum=1),
        real_data=True,
        evidence=True,
    ),
    "paper": Profile(
        name="paper",
        embedded=EmbeddedData(sequences=3, frames=150, image_size=(480, 640)),
        dhn=DHNSchedule(steps=20 * 114_483 // 10),
        dhn_runs=_runs("released", seq_gru=3, seq_lstm=3, paral_gru=3, paral_lstm=3, conv=3, min_sum=3)
        + _runs("eq3", seq_gru=1, min_sum=1),
        real_data=True,
        evidence=True,
        fig8_sizes=tuple(range(2, 301)),
    ),
}


def get(name: str) -> Profile:
    """The profile of that name; ValueError names the ones there are."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def data_root() -> Path | None:
    """The folder of real data that ``DEEPMOT_DATA`` points to, or None where it is unset.

    Raises FileNotFoundError where the variable names a folder that is not there: a typo must not silently
    turn a run on real data into one on embedded data.
    """
    value = os.environ.get("DEEPMOT_DATA", "")
    if not value:
        return None
    root = Path(value).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"DEEPMOT_DATA={value} is not a folder")
    return root.resolve()


@dataclass(frozen=True)
class Paths:
    """Where a profile's files go, below ``DEEPMOT_OUT`` (default: the checkout).

    ``runs`` holds what is large or remade at will (data, checkpoints, executed notebooks; not in git),
    ``reports`` the tables and figures that are.
    """

    runs: Path
    reports: Path

    @property
    def tables(self) -> Path:
        return self.reports / "tables"

    @property
    def figures(self) -> Path:
        return self.reports / "figures"

    @classmethod
    def of(cls, profile: str) -> Paths:
        """The paths of the named profile; the table and figure folders are made."""
        name = get(profile).name
        root = Path(os.environ.get("DEEPMOT_OUT") or Path(__file__).parents[1]).resolve()
        paths = cls(runs=root / "runs" / name, reports=root / "reports" / name)
        for folder in (paths.runs, paths.tables, paths.figures):
            folder.mkdir(parents=True, exist_ok=True)
        return paths
