"""The three profiles: every size, schedule and seed of a run in one place, and where its files go.

One code path serves all of them; a profile only changes the numbers. ``smoke`` shows that everything runs,
``standard`` is what two CPU cores or one GPU carry, ``paper`` is the schedule that the paper prints (Appendix
A).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..training.schedules import (
    DetectorSchedule,
    DHNSchedule,
    PairSchedule,
    PriceSchedule,
    ReIDSchedule,
    TrackerSchedule,
)


@dataclass(frozen=True)
class EmbeddedData:
    """Size of the rendered sequences (``synthetic.write_sequences``): ``image_size`` is (height, width) in
    pixels."""

    sequences: int
    frames: int
    image_size: tuple[int, int]
    seed: int = 0


class DHNRun(NamedTuple):
    """One training of a network: on which pairs (``dhn.data.KINDS``), with which seed."""

    variant: str
    pairs: str
    seed: int


def _runs(pairs: str, **seeds: int) -> tuple[DHNRun, ...]:
    """Each variant with its number of seeds; "1d_conv" cannot be a keyword and is written conv."""
    names = {"conv": "1d_conv"}
    return tuple(DHNRun(names.get(name, name), pairs, seed) for name in seeds for seed in range(seeds[name]))


class TrackerRun(NamedTuple):
    """One tracker of Tables 1 to 3, trained with one seed.

    ``loss`` is "vanilla" (not trained further) or one of ``training.deepmot.LOSSES``; ``matcher`` the
    network between D and the loss, "none" where the loss takes none. ``reid`` tells who recognises people:
    "none", "external" (a network beside the tracker), or the tracker's own ReID head, which learns by the
    appearance in D ("distance", Sec. 4.1) or by switches of its own ("separate", the released code).
    """

    tracker: str
    loss: str
    reid: str = "none"
    matcher: str = "none"
    seed: int = 0

    @property
    def has_head(self) -> bool:
        return self.reid in ("distance", "separate")


@dataclass(frozen=True)
class TrackerSettings:
    """How the trackers are made and trained: ``options`` are those of each tracker's class, ``runs`` the
    trainings behind Tables 1 to 3.

    ``keep_features`` keeps what the frozen backbone has seen on disk, some megabytes a frame.
    """

    options: dict[str, dict]
    detector: DetectorSchedule
    pairs: PairSchedule
    reid: ReIDSchedule
    training: TrackerSchedule
    runs: tuple[TrackerRun, ...]
    keep_features: bool = True


#: The loss of Eq. 9 and the matcher that Tables 1 to 3 take: the paper's.
DEEPMOT, DHN = "dMOTA+dMOTP", "seq_gru"


def _tracker_runs(seeds: int, losses: tuple[str, ...], matchers: tuple[str, ...]) -> tuple[TrackerRun, ...]:
    """Tables 1 to 3 with so many seeds: of Table 2 these ``losses`` besides Eq. 9 and smooth L1; with one
    seed, Eq. 9 with the switches apart and with these ``matchers`` in place of the DHN."""
    rows = [("tracktor", "smooth_l1", "none", "none"), ("tracktor", "smooth_l1", "external", "none")]
    rows += [("tracktor", DEEPMOT, reid, DHN) for reid in ("none", "external", "distance")]
    rows += [("tracktor", loss, "distance", DHN) for loss in losses]
    for tracker in ("goturn", "siamrpn"):
        rows += [(tracker, "smooth_l1", "none", "none"), (tracker, DEEPMOT, "none", DHN)]
    vanilla = [("tracktor", "vanilla", reid) for reid in ("none", "external")]
    vanilla += [(tracker, "vanilla", "none") for tracker in ("goturn", "siamrpn")]
    once = [("tracktor", DEEPMOT, "separate", DHN)]
    once += [("tracktor", DEEPMOT, "distance", matcher) for matcher in matchers]
    seeded = tuple(TrackerRun(*row, seed) for row in rows for seed in range(seeds))
    return tuple(TrackerRun(*row) for row in vanilla) + seeded + tuple(TrackerRun(*row) for row in once)


_TABLE2 = ("dMOTP", "dMOTA", "dMOTA+dMOTP-IDS")


@dataclass(frozen=True)
class Profile:
    """One way to run the whole workflow; ``evidence`` tells whether its numbers may be quoted.

    ``dhn_runs`` are the trainings behind Tables 5 and 6. Fig. 8 takes ten uniform matrices of each of
    ``fig8_sizes``; ``speed_sizes`` are the numbers of objects at which the matchers are timed.
    ``trackers`` is what stands behind Tables 1 to 3.
    """

    name: str
    embedded: EmbeddedData
    dhn: DHNSchedule
    dhn_runs: tuple[DHNRun, ...]
    trackers: TrackerSettings
    real_data: bool
    evidence: bool
    prices: PriceSchedule = field(default_factory=PriceSchedule)
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
        trackers=TrackerSettings(
            options={
                "tracktor": {"backbone": "tiny", "side": 240},
                "goturn": {"size": 64, "widths": (16, 24, 32, 32, 16), "hidden": 64},
                "siamrpn": {"widths": (8, 16, 24)},
            },
            detector=DetectorSchedule(steps=150, learning_rate=3e-3),
            pairs=PairSchedule(steps=60),
            reid=ReIDSchedule(steps=20, pictures=3, people=6),
            training=TrackerSchedule(steps=12, reid_steps=4, reid_frames=4, validations=1),
            runs=_tracker_runs(1, (), ()),
        ),
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
        dhn_runs=_runs("released", seq_gru=3, seq_lstm=1, paral_gru=1, paral_lstm=1, conv=1, min_sum=3)
        + _runs("eq3", seq_gru=1, min_sum=1),
        trackers=TrackerSettings(
            options={"tracktor": {"backbone": "mobilenet_v2", "side": 360}, "goturn": {}, "siamrpn": {}},
            detector=DetectorSchedule(steps=1_500),
            pairs=PairSchedule(steps=2_000),
            reid=ReIDSchedule(steps=800),
            training=TrackerSchedule(steps=800, reid_steps=150, scale=10.0),
            runs=_tracker_runs(3, _TABLE2, ("min_sum", "sinkhorn", "hungarian")),
        ),
        real_data=True,
        evidence=True,
    ),
    "paper": Profile(
        name="paper",
        embedded=EmbeddedData(sequences=3, frames=150, image_size=(480, 640)),
        dhn=DHNSchedule(steps=20 * 114_483 // 10),
        dhn_runs=_runs("released", seq_gru=3, seq_lstm=3, paral_gru=3, paral_lstm=3, conv=3, min_sum=3)
        + _runs("eq3", seq_gru=1, min_sum=1),
        trackers=TrackerSettings(
            options={
                "tracktor": {"backbone": "resnet50", "side": 800},
                "goturn": {"size": 227, "widths": (96, 256, 384, 384, 256), "hidden": 4096},
                "siamrpn": {
                    "template": 127,
                    "search": 255,
                    "kernels": (11, 5, 3, 3, 3),
                    "widths": (96, 256, 384, 384, 256),
                },
            },
            detector=DetectorSchedule(steps=36_000),
            pairs=PairSchedule(steps=50_000),
            reid=ReIDSchedule(steps=20_000),
            # 18 epochs over 2,664 frames of three detectors' folders; of SOTs 15.
            training=TrackerSchedule(steps=18 * 2_664, reid_steps=18 * 2_664 // 9, validations=18),
            runs=_tracker_runs(3, _TABLE2, ("min_sum", "sinkhorn", "hungarian")),
            keep_features=False,
        ),
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
        root = Path(os.environ.get("DEEPMOT_OUT") or Path(__file__).parents[2]).resolve()
        paths = cls(runs=root / "runs" / name, reports=root / "reports" / name)
        for folder in (paths.runs, paths.tables, paths.figures):
            folder.mkdir(parents=True, exist_ok=True)
        return paths
