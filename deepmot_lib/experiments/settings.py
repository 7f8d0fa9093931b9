"""The three profiles: every size, schedule and seed of an experiment in one place.

One code path serves all of them; a profile only changes the numbers. ``smoke`` shows that everything runs,
``standard`` is what two CPU cores or one GPU carry, ``paper`` is the schedule that the paper prints (Appendix
A).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ..training.schedules import (
    DetectorSchedule,
    DHNSchedule,
    HeadSchedule,
    PairSchedule,
    PriceSchedule,
    ReIDSchedule,
    RolloutSchedule,
    TrackerSchedule,
)


@dataclass(frozen=True)
class EmbeddedData:
    """Size of the rendered sequences (``synthetic.write_sequences``).

    ``image_size`` is (height, width) in pixels.
    """

    sequences: int
    frames: int
    image_size: tuple[int, int]
    seed: int = 0


class MatcherRun(NamedTuple):
    """One training of a matcher: on which pairs (``pairs.KINDS``), with which seed."""

    variant: str
    pairs: str
    seed: int

    @property
    def label(self) -> str:
        """The run in one word, as file names take it."""
        return f"{self.variant}_{self.pairs}_seed{self.seed}"


def _runs(pairs: str, **seeds: int) -> tuple[MatcherRun, ...]:
    """Each variant with its number of seeds; "1d_conv" cannot be a keyword and is written conv."""
    names = {"conv": "1d_conv"}
    return tuple(
        MatcherRun(names.get(name, name), pairs, seed) for name in seeds for seed in range(seeds[name])
    )


class TrackerRun(NamedTuple):
    """One tracker of Tables 1 to 3, trained with one seed.

    Attributes:
        tracker: "tracktor", "goturn" or "siamrpn".
        loss: "vanilla" (not trained further), "detector" (Tracktor trained on by its detector's own loss) or
            one of ``training.objectives.LOSSES``.
        reid: What re-identifies people: "none", "external" (a network beside the tracker), "head" (the
            tracker's own ReID head, trained by the loss), or a control, one of ``CONTROL_HEADS``.
        matcher: The network between D and the loss; "none" where the loss takes none.
        training: "release" (as the released code trains) or "paper" (as the paper's text says);
            docs/deviations.md tells how they differ. A vanilla tracker has had neither.
        seed: Decides the initialization of the head and all that the training draws.
    """

    tracker: str
    loss: str
    reid: str = "none"
    matcher: str = "none"
    training: str = "release"
    seed: int = 0

    @property
    def has_head(self) -> bool:
        """Whether the tracker has a ReID head that the loss trains."""
        return self.reid == "head"

    @property
    def control_head(self) -> str | None:
        """What trains the head of a control, such as "triplet"; None for no control."""
        return self.reid.removeprefix("head-") if self.reid in CONTROL_HEADS else None

    @property
    def weights_run(self) -> TrackerRun:
        """The run whose weights this one takes: external ReID and control heads change nothing else."""
        return self if self.has_head else self._replace(reid="none")

    @property
    def label(self) -> str:
        """The run in one word, as file names take it."""
        return "_".join([*self[:-1], f"seed{self.seed}"])


@dataclass(frozen=True)
class TrackerSettings:
    """How the trackers are made and trained.

    ``options`` are those of each tracker's class, ``runs`` the trainings behind Tables 1 to 3. ``rollout`` is
    Tracktor's training as released, ``training`` that of the paper's text and that of GOTURN and SiamRPN.
    ``keep_features`` keeps what the frozen backbone has seen on disk, some megabytes a frame.
    """

    options: dict[str, dict[str, Any]]
    detector: DetectorSchedule
    pairs: PairSchedule
    reid: ReIDSchedule
    training: TrackerSchedule
    rollout: RolloutSchedule
    head: HeadSchedule
    runs: tuple[TrackerRun, ...]
    keep_features: bool = True


#: The loss of Eq. 9 and the matcher that Tables 1 to 3 take: the paper's.
DEEPMOT, DHN = "dMOTA+dMOTP", "seq_gru"

#: Table 4's rows of ours: of Tables 1 and 3, named before any last quarter was looked at, first seeds.
OURS = {
    "Tracktor (vanilla)": TrackerRun("tracktor", "vanilla"),
    "DeepMOT-Tracktor": TrackerRun("tracktor", DEEPMOT, "head", DHN),
    "DeepMOT-Tracktor +ReIDext": TrackerRun("tracktor", DEEPMOT, "external", DHN),
    "GOTURN (pre-trained)": TrackerRun("goturn", "vanilla"),
    "DeepMOT-GOTURN": TrackerRun("goturn", DEEPMOT, "none", DHN),
    "SiamRPN (pre-trained)": TrackerRun("siamrpn", "vanilla"),
    "DeepMOT-SiamRPN": TrackerRun("siamrpn", DEEPMOT, "none", DHN),
}

#: The same head as the one that the loss trains, on the same boxes, but trained otherwise or not at all.
CONTROL_HEADS = (
    "head-untrained",
    "head-standardized",
    "head-constant",
    "head-cross-entropy",
    "head-triplet",
)


def _tracker_runs(
    seeds: int,
    seeds_beside: int,
    losses: tuple[str, ...],
    matchers: tuple[str, ...],
    heads: tuple[str, ...],
) -> tuple[TrackerRun, ...]:
    """Return the runs behind Tables 1 to 3.

    With ``seeds``: Eq. 9, smooth L1 and, as their control, Tracktor trained on as a detector. With
    ``seeds_beside``: that control with the external ReID, the other ``losses`` of Table 2 and the
    single-object trackers. With one seed: the control ``heads``, Eq. 9 as the paper's text has it and with
    these ``matchers`` in place of the DHN, and two losses beyond the paper.
    """
    detector = TrackerRun("tracktor", "detector")
    rows = [(detector, seeds), (detector._replace(reid="external"), seeds_beside)]
    rows += [(TrackerRun("tracktor", "smooth_l1", reid), seeds) for reid in ("none", "external")]
    rows += [(TrackerRun("tracktor", DEEPMOT, reid, DHN), seeds) for reid in ("none", "external", "head")]
    rows += [(TrackerRun("tracktor", loss, "head", DHN), seeds_beside) for loss in losses]
    for tracker in ("goturn", "siamrpn"):
        of_sot = (TrackerRun(tracker, "smooth_l1"), TrackerRun(tracker, DEEPMOT, "none", DHN))
        rows += [(run, seeds_beside) for run in of_sot]
    vanilla = [TrackerRun("tracktor", "vanilla", reid) for reid in ("none", "external")]
    vanilla += [TrackerRun(tracker, "vanilla") for tracker in ("goturn", "siamrpn")]
    seeded = [run._replace(seed=seed) for run, count in rows for seed in range(count)]
    once = [TrackerRun("tracktor", DEEPMOT, "head", DHN, "paper")]
    once += [TrackerRun("tracktor", DEEPMOT, head, DHN) for head in heads]
    once += [TrackerRun("tracktor", DEEPMOT, "head", matcher) for matcher in matchers]
    once += [TrackerRun("tracktor", "soft_hota", "head", DHN), TrackerRun("tracktor", "unitrack")]
    return (*vanilla, *seeded, *once)


@dataclass(frozen=True)
class ComparisonSettings:
    """The comparison of losses on rendered scenes (notebook 13, docs/protocol.md).

    Attributes:
        scenes: Numbers of scenes to train on, to choose rates on, and to test on.
        frames: Frames of a scene.
        image_size: (height, width) [px].
        density: People in view, relative to the embedded sequences.
        initializations: Vanilla trackers, each trained from its own random weights.
        pilots: Further ones, on which the learning rates are chosen.
        rates: Learning rates to choose from.
        options: Those of ``Tracktor``.
        detector: How the vanilla trackers are trained.
        rollout: How each arm trains them on, but for the rate.
        evidence: Whether its numbers may be quoted, whatever may be of the profile's other ones.
    """

    scenes: tuple[int, int, int] = (20, 10, 60)
    frames: int = 150
    image_size: tuple[int, int] = (240, 320)
    density: float = 1.0
    initializations: int = 8
    pilots: int = 2
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    options: dict[str, Any] = field(default_factory=lambda: {"backbone": "tiny", "side": 240})
    detector: DetectorSchedule = field(
        default_factory=lambda: DetectorSchedule(steps=1_200, learning_rate=3e-3, zoom=(0.9, 1.3))
    )
    rollout: RolloutSchedule = field(default_factory=lambda: RolloutSchedule(steps=450, scale=10.0))
    evidence: bool = True


_SMALL_COMPARISON = ComparisonSettings(
    scenes=(2, 1, 2),
    frames=20,
    initializations=2,
    pilots=1,
    rates=(1e-4,),
    detector=DetectorSchedule(steps=100, learning_rate=3e-3, zoom=(0.9, 1.3)),
    rollout=RolloutSchedule(steps=8, frames=5, scale=10.0),
    evidence=False,
)

_TABLE2 = ("dMOTP", "dMOTA", "dMOTA+dMOTP-IDS")


@dataclass(frozen=True)
class Settings:
    """All settings of an experiment; ``PROFILES`` holds the three that have a name.

    Attributes:
        name: The profile's name.
        embedded: The size of the rendered sequences.
        dhn: How the Deep Hungarian Nets are trained.
        dhn_runs: The trainings behind Tables 5 and 6, the paper's network first.
        dhn_lengths: Numbers of steps of further trainings of the first one: how its accuracy grows.
        trackers: What stands behind Tables 1 to 3.
        real_data: Whether ``DEEPMOT_DATA`` is used.
        evidence: Whether the numbers may be quoted.
        prices: How ``min_sum`` is trained.
        fig8_sizes: Fig. 8 takes ten uniform random matrices of each of these sizes.
        speed_sizes: The numbers of objects at which the matchers are timed.
        sweep_pairs: Test pairs on which the cost of accuracy is measured (notebook 03).
        table6_matrices: Matrices of perturbed ground truth that Table 6 takes at most; None for all.
        gradient_clips: Pairs of frames on which the matchers' gradients are compared.
        training_matrices: Matrices of the trackers' trainings that the networks are scored on, at most.
        comparison: The comparison of losses on rendered scenes.
    """

    name: str
    embedded: EmbeddedData
    dhn: DHNSchedule
    dhn_runs: tuple[MatcherRun, ...]
    trackers: TrackerSettings
    real_data: bool
    evidence: bool
    dhn_lengths: tuple[int, ...] = ()
    prices: PriceSchedule = field(default_factory=PriceSchedule)
    fig8_sizes: tuple[int, ...] = (2, 3, 5, 10, 20, 30, 50, 75, 100, 150, 300)
    speed_sizes: tuple[int, ...] = (10, 50, 100, 300)
    sweep_pairs: int = 1000
    table6_matrices: int | None = None
    gradient_clips: int = 40
    training_matrices: int = 1000
    comparison: ComparisonSettings = _SMALL_COMPARISON

    @property
    def may_be_quoted(self) -> bool:
        """Whether what a run of the profile publishes is evidence: its report, or its comparison alone."""
        return self.evidence or self.comparison.evidence

    def schedule(self, variant: str) -> DHNSchedule | PriceSchedule:
        """How that network is trained."""
        return self.prices if variant == "min_sum" else self.dhn


PROFILES = {
    "smoke": Settings(
        name="smoke",
        embedded=EmbeddedData(sequences=3, frames=40, image_size=(240, 320)),
        dhn=DHNSchedule(
            steps=100, learning_rate=3e-3, cosine=True, cost_cap=40, hidden_size=32, test_pairs=200
        ),
        dhn_runs=_runs("eq3", seq_gru=2, seq_lstm=1, paral_gru=1, paral_lstm=1, conv=1, min_sum=2),
        dhn_lengths=(25,),
        trackers=TrackerSettings(
            options={
                "tracktor": {"backbone": "tiny", "side": 240},
                "goturn": {"size": 64, "widths": (16, 24, 32, 32, 16), "hidden": 64},
                "siamrpn": {"widths": (8, 16, 24)},
            },
            detector=DetectorSchedule(steps=150, learning_rate=3e-3),
            pairs=PairSchedule(steps=60),
            reid=ReIDSchedule(steps=20, pictures=3, people=6),
            training=TrackerSchedule(steps=12, reid_steps=4, reid_frames=4, validations=0),
            rollout=RolloutSchedule(steps=12, frames=5),
            head=HeadSchedule(steps=30, frames=12, people=8),
            runs=_tracker_runs(1, 1, (), (), CONTROL_HEADS[:1]),
        ),
        real_data=False,
        evidence=False,
        prices=PriceSchedule(steps=100),
        fig8_sizes=(2, 5, 10, 20, 30),
        speed_sizes=(10, 30),
        sweep_pairs=200,
        table6_matrices=100,
        gradient_clips=8,
        training_matrices=100,
    ),
    "standard": Settings(
        name="standard",
        embedded=EmbeddedData(sequences=3, frames=150, image_size=(480, 640)),
        dhn=DHNSchedule(steps=2_000, batch=40, learning_rate=3e-3, cosine=True, cost_cap=100, hidden_size=64),
        dhn_runs=_runs("released", seq_gru=1, seq_lstm=1, paral_gru=1, paral_lstm=1, conv=1, min_sum=1)
        + _runs("eq3", seq_gru=1, min_sum=1),
        dhn_lengths=(500, 8_000, 24_000),
        trackers=TrackerSettings(
            options={"tracktor": {"backbone": "mobilenet_v2", "side": 540}, "goturn": {}, "siamrpn": {}},
            detector=DetectorSchedule(steps=1_600),
            pairs=PairSchedule(steps=1_000),
            reid=ReIDSchedule(steps=600),
            training=TrackerSchedule(steps=500, reid_steps=150, scale=10.0, validations=0),
            rollout=RolloutSchedule(steps=100 * 9, scale=10.0),
            head=HeadSchedule(steps=1_000),
            # Two seeds would make intervals wider than one does: Student's t is 12.7 then.
            runs=_tracker_runs(3, 1, _TABLE2, ("min_sum", "sinkhorn", "hungarian"), CONTROL_HEADS),
        ),
        real_data=True,
        evidence=True,
    ),
    "paper": Settings(
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
            rollout=RolloutSchedule(steps=18 * 2_664),
            head=HeadSchedule(steps=20_000, frames=2_664),
            runs=_tracker_runs(3, 3, _TABLE2, ("min_sum", "sinkhorn", "hungarian"), CONTROL_HEADS),
            keep_features=False,
        ),
        real_data=True,
        evidence=True,
        fig8_sizes=tuple(range(2, 301)),
    ),
}
#: The comparison on rendered scenes; whatever else is asked of it is as in smoke, and no evidence.
PROFILES["rendered"] = replace(PROFILES["smoke"], name="rendered", comparison=ComparisonSettings())


def get(name: str) -> Settings:
    """Return the settings of a profile.

    Raises:
        ValueError: There is no such profile; the message names those that there are.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
