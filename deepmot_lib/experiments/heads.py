"""ReID heads of Tracktor, trained on the features of the vanilla tracker's backbone.

They are that of a run and its controls. The backbone is the same in all trackers that start from the vanilla
one, so a head fits all of them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from ..data import weights as weight_files
from ..matchers.network import Matcher
from ..trackers.reid_head import ReIDHead
from ..trackers.tracktor import Tracktor
from ..training import head as head_training
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from . import matchers as matcher_runs
from .experiment import Experiment
from .fingerprints import Fingerprint, data_digests, fresh
from .settings import TrackerRun
from .source import code

# Tables of names, whose many imports a head does not need.
_ALONE = ("deepmot_lib.matchers", "deepmot_lib.trackers", "deepmot_lib.experiments.matchers", __name__)


def objective(run: TrackerRun) -> str:
    """Return what trains the head of a run: its loss, or what the control is named after."""
    return run.control_head or run.loss


def weights_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the weights of a run's head lie; runs that differ in nothing that trains it share them."""
    matcher = "none" if run.control_head else run.matcher
    place = experiment.paths.trackers / "heads" / objective(run) / matcher
    return place / f"seed{run.seed}" / "weights.safetensors"


def trained(
    experiment: Experiment, run: TrackerRun, vanilla: Tracktor, digest: str, matcher: Matcher | None
) -> ReIDHead:
    """Return the head of a run, trained where it is not there.

    Args:
        experiment: The experiment.
        run: A run of Tracktor with a head.
        vanilla: The detector on whose features the head is trained.
        digest: That of its weights.
        matcher: The network between the cosine distances and the DeepMOT loss; controls take none.

    Returns:
        The head, in evaluation mode. Without a training there are three: "untrained" as it is initialized,
        "standardized" with a random layer on features that are standardized as for the others, and
        "constant" with the same embedding for all.

    Raises:
        CheckpointError, FloatingPointError: As ``trainer.train``.
    """
    schedule, kind = experiment.settings.trackers.head, objective(run)
    data, weights = experiment.tracking, weights_file(experiment, run)
    if run.control_head:
        matcher = None
    upstream = {"weights of vanilla": digest}
    modules = code("deepmot_lib.training.head", alone=_ALONE)
    if matcher is not None:
        upstream["matcher"] = matcher_runs.digest(matcher)
        modules |= matcher_runs.code_of(variant=run.matcher)
    wanted = Fingerprint(
        settings={"objective": kind, "seed": run.seed, "schedule": schedule},
        data=data_digests(data.training, ("gt", "seqinfo", "images")),
        upstream=upstream,
        code=modules,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        head = ReIDHead(vanilla.detector.backbone.out_channels).to(experiment.device)
    if fresh(weight_files.stamp(weights), wanted, f"ReID head of {run.label}"):
        head.load_state_dict(weight_files.read(weights))
        return head.eval()
    if kind == "constant":
        head.make_constant()
    elif kind != "untrained":
        people = head_training.gather(vanilla, data.training, schedule)
        head.standardize_by(torch.cat([frame.objects for frame in people]))
    if kind not in ("untrained", "standardized", "constant"):
        training = head_training.HeadTraining(head, people, kind, matcher, schedule, run.seed)
        trainer.train(training, CheckpointFile(weights.with_name("checkpoint.pt"), asdict(wanted)))
    made_from = experiment.provenance(data=data.description, seeds=[run.seed], schedule=schedule.describe())
    about = {"objective": kind, "made_from": made_from, "fingerprint": asdict(wanted)}
    weight_files.write(weights, head.state_dict(), about)
    return head.eval()
