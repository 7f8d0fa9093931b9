"""The powered comparison on rendered scenes: which loss trains the better tracker, where data is free.

docs/protocol.md says what was fixed before the runs. An initialization is a Tracktor of its own, trained as a
detector from its own random weights; each arm then trains its box regression layer on, by its own loss.

    python -m deepmot_lib.experiments.comparison rendered scenes train
    python -m deepmot_lib.experiments.comparison rendered rates 0
    python -m deepmot_lib.experiments.comparison rendered initialization 3

Scenes, weights and checkpoints lie below ``runs/<profile>``; what is there and still true is reused.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torchvision.ops import box_iou

from .. import evaluation, matchers, trackers
from ..boxes import by_frame, from_table
from ..columns import XYXY
from ..data import mot, synthetic
from ..data import weights as weight_files
from ..evaluation.protocol import MIN_OVERLAP
from ..trackers import tracking
from ..trackers.tracktor import Tracktor
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.detector import ContinuedTraining, DetectorTraining
from ..training.objectives import GAMMA, HUNGARIAN
from ..training.rollout import RolloutTraining
from ..training.trainer import Training
from . import matchers as matcher_runs
from . import sequences, tables
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh
from .settings import DEEPMOT, DHN
from .source import code

#: The simulated detector whose detections are the public ones.
DETECTOR = "FRCNN"
PARTS = ("train", "select", "test")
#: Of initializations that are compared, rates are chosen on none: theirs count from here.
FIRST_PILOT = 1_000


class Arm(NamedTuple):
    """A way to train the box regression layer of a vanilla Tracktor on.

    Attributes:
        name: As tables have it.
        loss: One of ``training.objectives.LOSSES``, or "detector" for the detector's own loss.
        box_gamma: The weight of identity switches in the loss of the boxes.
        draws: Which clips are drawn; arms of one number and one initialization get the same ones.
    """

    name: str
    loss: str
    box_gamma: float = 0.0
    draws: int = 0


VANILLA, MAIN = "vanilla", "DeepMOT"
NEGATIVE, POSITIVE = "DeepMOT, other clips", "DeepMOT, worsened"
ARMS = (
    Arm("vanilla, trained on", "detector"),
    Arm("smooth L1, own object", "smooth_l1"),
    Arm("smooth L1, Hungarian", HUNGARIAN),
    Arm("IoU + center, own object", "iou_center"),
    Arm("dMOTP", "dMOTP"),
    Arm("DeepMOT - IDS", DEEPMOT),
    Arm("soft HOTA", "soft_hota"),
    Arm(MAIN, DEEPMOT, GAMMA),
)
_CONTROL = Arm(NEGATIVE, DEEPMOT, GAMMA, draws=1)
#: MOTA points that the boxes of the positive control are worsened by.
WORSENED = 0.5
_THIS = "deepmot_lib.experiments.comparison"  # __name__ is another one where it is a command
_ALONE = ("deepmot_lib.matchers", "deepmot_lib.trackers", "deepmot_lib.experiments.sequences", _THIS)
_MODULES = (
    "deepmot_lib.training.rollout",
    "deepmot_lib.training.detector",
    "deepmot_lib.trackers.tracking",
    "deepmot_lib.trackers.tracktor",
)


def scenes(experiment: Experiment, part: str) -> list[mot.Sequence]:
    """Return the scenes of a part, rendered where they are not there; every camera moves.

    Training scenes are twice as long: trainings take first halves.

    Args:
        experiment: The experiment.
        part: One of ``PARTS``.
    """
    size = experiment.settings.comparison
    number = PARTS.index(part)
    found = synthetic.write_sequences(
        experiment.paths.root / "scenes" / part,
        size.scenes[number],
        size.frames * (2 if part == "train" else 1),
        size.image_size,
        seed=1 + number,
        density=size.density,
        all_move=True,
    )
    return [one for one in found if sequences.detector(one) == DETECTOR]


def vanilla(experiment: Experiment, initialization: int) -> Tracktor:
    """Return the vanilla Tracktor of an initialization, trained where it is not there."""
    settings, data = experiment.settings.comparison, scenes(experiment, "train")
    weights = _folder(experiment, initialization) / "vanilla" / "weights.safetensors"
    wanted = Fingerprint(
        settings={"schedule": settings.detector, "options": settings.options, "seed": initialization},
        data=data_digests(data, ("gt", "seqinfo", "images")),
        code=code(*_MODULES[1:], "deepmot_lib.trackers.backbones", alone=_ALONE),
    )
    if fresh(weight_files.stamp(weights), wanted, f"vanilla Tracktor {initialization}"):
        tracker = trackers.load(weights, experiment.device)
        assert isinstance(tracker, Tracktor)
        return tracker
    torch.manual_seed(initialization)
    tracker = Tracktor(**settings.options).to(experiment.device)
    training = DetectorTraining(tracker.detector, data, settings.detector, initialization)
    trainer.train(training, CheckpointFile(weights.with_name("checkpoint.pt"), asdict(wanted)))
    trackers.save(weights, tracker.eval(), fingerprint=asdict(wanted))
    return tracker


def train(experiment: Experiment, arm: Arm, initialization: int, rate: float) -> Tracktor:
    """Return the tracker of an arm, trained where it is not there: its last weights, whatever they score.

    Args:
        experiment: The experiment.
        arm: How it is trained.
        initialization: The vanilla Tracktor that it starts from.
        rate: The learning rate, which is constant.
    """
    start = vanilla(experiment, initialization)
    place = _folder(experiment, initialization)
    weights = place / f"{arm.name} {rate:g}" / "weights.safetensors"
    data = scenes(experiment, "train")
    wanted = Fingerprint(
        settings={"arm": arm, "rate": rate, "schedule": experiment.settings.comparison.rollout},
        data=data_digests(data, ("gt", "seqinfo", "images")),
        upstream={"vanilla": content(place / "vanilla" / "weights.safetensors")},
        code=code(*_MODULES[:2], _MODULES[3], alone=_ALONE) | matcher_runs.code_of(variant=DHN),
    )
    tracker = copy.deepcopy(start)
    layer = tracker.detector.roi_heads.box_predictor.bbox_pred
    if fresh(weight_files.stamp(weights), wanted, f"{arm.name} of initialization {initialization}"):
        layer.load_state_dict(weight_files.read(weights))
        return tracker.eval()
    matrices = weights.parent / "matrices" if arm.name == MAIN else None
    training = _training(experiment, tracker, arm, initialization, rate, matrices)
    trainer.train(training, CheckpointFile(weights.with_name("checkpoint.pt"), asdict(wanted)))
    weight_files.write(weights, layer.state_dict(), {"fingerprint": asdict(wanted)})
    return tracker.eval()


def _training(
    experiment: Experiment,
    tracker: Tracktor,
    arm: Arm,
    initialization: int,
    rate: float,
    matrices: Path | None,
) -> Training:
    settings, data = experiment.settings.comparison, scenes(experiment, "train")
    schedule = replace(settings.rollout, learning_rate=rate)
    seed = initialization + 10_000 * arm.draws
    if arm.loss == "detector":
        return ContinuedTraining(tracker, data, settings.detector, schedule, seed, lambda: 0.0)
    matcher = matchers.load(DHN, experiment.device, pairs="eq3")
    return RolloutTraining(
        tracker, data, arm.loss, matcher, schedule, seed, matrices=matrices, box_gamma=arm.box_gamma
    )


def score(experiment: Experiment, part: str, networks: Mapping[str, Tracktor]) -> pd.DataFrame:
    """Track the scenes of a part by several trackers of one initialization, and count.

    They differ in their last layer: each image is read and encoded once. Track management is the usual one
    for detectors of which nothing is known (``sequences.rules``); nothing of it is chosen here.

    Returns:
        One row per scene and tracker: ``arm``, ``images``, ``block`` and ``intervals.BLOCK_COUNTS``; a block
        is a whole scene. Where there is ``MAIN``, one more arm has its boxes, some of them worsened.
    """
    counted = []
    for number, scene in enumerate(scenes(experiment, part)):
        found = _track(scene, networks)
        if MAIN in found:
            found[POSITIVE] = worsen(found[MAIN], scene.gt(), WORSENED, number)
        for arm, boxes in found.items():
            blocks = evaluation.count_blocks(scene.gt(), boxes, scene.frames, "plain", length=scene.length)
            counted.append(blocks.reset_index().assign(arm=arm, images=sequences.images(scene)))
    return pd.concat(counted, ignore_index=True)


@torch.no_grad()
def _track(scene: mot.Sequence, networks: Mapping[str, Tracktor]) -> dict[str, pd.DataFrame]:
    """Track a scene by trackers that differ in their last layer: all before it is computed once a frame."""
    rules = sequences.rules(Tracktor.name)
    runs = {
        name: tracking.SequenceTracker(tracker, scene, rules, tracker) for name, tracker in networks.items()
    }
    rows: dict[str, list[tracking.Row]] = {name: [] for name in runs}
    first = next(iter(networks))
    for view in tracking.views(networks[first], scene, progress=False):
        starts = [runs[first].given(view)[0], *(one.move(view) for one in runs.values())]
        found = networks[first].box_features(view.encoded, torch.cat(starts))
        public, *tracks = zip(*(part.split([len(boxes) for boxes in starts]) for part in found), strict=True)
        for (name, one), own in zip(runs.items(), tracks, strict=True):
            regressed, propagated = (networks[name].predict(view.encoded, *part) for part in (public, own))
            rows[name] += tracking.rows(view.frame, one.update(view, propagated, regressed))
    return {name: tracking.table(boxes) for name, boxes in rows.items()}


def worsen(boxes: pd.DataFrame, gt: pd.DataFrame, points: float, seed: int) -> pd.DataFrame:
    """Move some of the boxes that hit a person aside, so that MOTA falls by about so many points.

    Each is a false negative and a false positive then, which costs two errors.

    Args:
        boxes: Tracks of a sequence.
        gt: Its ground truth.
        points: Points of MOTA, more than 0.
        seed: Decides which boxes.
    """
    people = mot.pedestrians(gt)
    persons = {frame: from_table(rows) for frame, rows in by_frame(people).items()}
    hit = np.zeros(len(boxes), bool)
    for frame, rows in by_frame(boxes).items():
        if frame in persons:
            overlap = box_iou(from_table(rows), persons[frame])
            hit[boxes.index.get_indexer(rows.index)] = (overlap >= MIN_OVERLAP).any(1).numpy()
    wanted = points / 100 * len(people) / 2
    moved = hit & (np.random.default_rng(seed).uniform(size=len(boxes)) < wanted / max(1, hit.sum()))
    height = boxes[XYXY[3]] - boxes[XYXY[1]]
    worse = boxes.copy()
    for side in (XYXY[1], XYXY[3]):
        worse.loc[moved, side] = boxes[side] - height  # above the head, where seldom somebody else is
    return worse


# --- the jobs of the workflow -------------------------------------------------------------------------------


def rates_file(experiment: Experiment, pilot: int) -> Path:
    """Return where the measures of a pilot initialization lie."""
    return experiment.paths.tables / f"comparison_rates_{pilot}.csv"


def compare_rates(experiment: Experiment, pilot: int) -> pd.DataFrame:
    """Train all arms of a pilot initialization at all rates, and score them on the selection scenes.

    Returns:
        One row per arm and rate: ``arm``, ``rate``, ``initialization``, ``MOTA`` in percent.
    """
    settings, initialization = experiment.settings.comparison, FIRST_PILOT + pilot
    tried = {(arm, rate): f"{arm.name} {rate:g}" for arm in ARMS for rate in settings.rates}
    networks = {name: train(experiment, arm, initialization, rate) for (arm, rate), name in tried.items()}
    counts = score(experiment, "select", networks).groupby("arm").sum(numeric_only=True)
    errors = counts["FP"] + counts["FN"] + counts["IDs"]
    mota = 100 * (1 - errors / counts["boxes"])
    found = pd.DataFrame(
        {"arm": arm.name, "rate": rate, "initialization": initialization, "MOTA": mota[name]}
        for (arm, rate), name in tried.items()
    )
    _write(experiment, rates_file(experiment, pilot), found, "select", [initialization])
    return found


def chosen_rates(experiment: Experiment) -> dict[str, float]:
    """Return the rate of each arm that scored best on the selection scenes, a mean over the pilots."""
    files = [rates_file(experiment, pilot) for pilot in range(experiment.settings.comparison.pilots)]
    tried = pd.concat([tables.read(file)[0] for file in files])
    by_rate = tried.groupby(["arm", "rate"])["MOTA"].mean().unstack()
    return {str(arm): float(rate) for arm, rate in by_rate.idxmax(axis=1).items()}


def counts_file(experiment: Experiment, initialization: int) -> Path:
    """Return where the counts of an initialization lie."""
    return experiment.paths.tables / f"comparison_{initialization}.csv"


def compare(experiment: Experiment, initialization: int) -> pd.DataFrame:
    """Train all arms of an initialization, and count their errors on the test scenes.

    Returns:
        As :func:`score`, with the column ``seed``: the initialization.
    """
    rates = chosen_rates(experiment)
    networks = {VANILLA: vanilla(experiment, initialization)}
    for arm in (*ARMS, _CONTROL):
        rate = rates[MAIN if arm is _CONTROL else arm.name]
        networks[arm.name] = train(experiment, arm, initialization, rate)
    found = score(experiment, "test", networks).assign(seed=initialization)
    _write(experiment, counts_file(experiment, initialization), found, "test", [initialization])
    return found


def complete(experiment: Experiment) -> pd.DataFrame:
    """Return the counts of all initializations on the test scenes, made now where they are not there."""
    settings, wanted = experiment.settings.comparison, _of_counts(experiment)
    for pilot in range(settings.pilots):
        if not fresh(tables.stamp(rates_file(experiment, pilot)), wanted, f"rates of pilot {pilot}"):
            compare_rates(experiment, pilot)
    counts = []
    for number in range(settings.initializations):
        file = counts_file(experiment, number)
        if not fresh(tables.stamp(file), wanted, f"counts of initialization {number}"):
            compare(experiment, number)
        counts.append(tables.read(file)[0])
    return pd.concat(counts, ignore_index=True)


def _write(experiment: Experiment, file: Path, table: pd.DataFrame, part: str, seeds: list[int]) -> None:
    settings = experiment.settings.comparison
    trained, number = settings.scenes[0], settings.scenes[PARTS.index(part)]
    made = experiment.provenance(
        data=f"{number} rendered scenes of {settings.frames} frames, every camera moves",
        split=f"trained on {trained} other scenes",
        detectors=DETECTOR,
        protocol="plain",
        seeds=seeds,
        schedule=f"{settings.detector.describe()}; then {settings.rollout.steps:,} frames of clips",
    )
    tables.write(file, table, made, _of_counts(experiment))


def _of_counts(experiment: Experiment) -> Fingerprint:
    return Fingerprint(
        settings={"comparison": experiment.settings.comparison, "arms": ARMS},
        code=code(
            _THIS,
            *_MODULES,
            "deepmot_lib.evaluation.intervals",
            "deepmot_lib.data.synthetic",
            alone=_ALONE,
        )
        | matcher_runs.code_of(variant=DHN),
    )


def trainings_folder(experiment: Experiment) -> Path:
    """Return where the trainings lie: not among the trackers', whose distance matrices are Table 6's."""
    return experiment.paths.root / "comparison"


def _folder(experiment: Experiment, initialization: int) -> Path:
    return trainings_folder(experiment) / f"{initialization}"


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m deepmot_lib.experiments.comparison", description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("job", choices=["scenes", "rates", "initialization"])
    parser.add_argument("which", help="a part, or a number")
    options = parser.parse_args(None if arguments is None else list(arguments))
    experiment = Experiment.open(options.profile)
    if options.job == "scenes":
        scenes(experiment, options.which)
    elif options.job == "rates":
        compare_rates(experiment, int(options.which))
    else:
        compare(experiment, int(options.which))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
