"""Training of a tracker on one's own sequences: it writes a weight file, and a checkpoint beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from .. import evaluation, matchers, trackers
from ..data import mot
from ..trackers.tracktor import Tracktor
from ..training import trainer
from ..training.checkpoint import CheckpointFile
from ..training.deepmot import DeepMOTTraining
from ..training.detector import DetectorTraining
from ..training.objectives import ONE_OBJECT
from ..training.rollout import RolloutTraining
from ..training.siamese import SiameseTraining
from ..training.trainer import Training
from . import default_weights, sequences, settings, tables
from .default_weights import WeightsChoice
from .fingerprints import Fingerprint, content, data_digests
from .settings import DHN
from .trackers import TrackingPipeline

_SEED = 0
_VALIDATIONS = 5  # where a run compares losses, one does: here the best state is what is wanted
#: The profile that weights of an own training name.
PROFILE = "own data"


class Trained(NamedTuple):
    """What has come of a training.

    Attributes:
        history: Its history, as of ``trainer.train``.
        before: MOTA on the third quarters before it; None where nothing was validated, as of a detector.
        best: MOTA on the third quarters at its best; None likewise.
    """

    history: pd.DataFrame
    before: float | None
    best: float | None


@dataclass(frozen=True)
class OwnTraining:
    """What is trained, on what, by what and from where.

    Attributes:
        tracker: One of ``trackers.NAMES``.
        loss: One of ``training.objectives.LOSSES``, or "vanilla": as a detector, or on pairs of crops.
        sequences: Sequences with pictures and ground truth, each set of images once. The first halves are
            trained on, the third quarters select among the states of the training.
        start: The weights to start from; None for new ones.
        steps: The number of optimizer steps; None for that of the profile standard.
    """

    tracker: str
    loss: str
    sequences: list[mot.Sequence]
    start: WeightsChoice | None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.loss != "vanilla":
            raise ValueError(
                f"a new {self.tracker} is trained by the loss vanilla first, then by {self.loss}"
            )

    def run(self, out: Path, device: str | torch.device) -> Trained:
        """Train, from the checkpoint on where there is one, and write the weights.

        Args:
            out: The weight file; the checkpoint is ``checkpoint_of(out)``.
            device: Where the network is trained.

        Raises:
            CheckpointError, FloatingPointError: As ``trainer.train``.
            WeightsError: The initial weights of a new network are not there.
            ValueError: Nobody in the first halves to train on.
        """
        networks = self._networks(device)
        training, schedule = self._training(networks)
        upstream = {"start": content(self.start.file)} if self.start else {}
        fingerprint = Fingerprint(
            settings={"loss": self.loss, "options": networks.tracker.options, "schedule": schedule},
            data=data_digests(self.sequences, ("gt", "seqinfo", "images")),
            upstream=upstream,
        )
        history = trainer.train(training, CheckpointFile(checkpoint_of(out), asdict(fingerprint)))
        made_from = tables.provenance(
            tables.device_name(device),
            profile=PROFILE,
            data=sequences.names(self.sequences),
            seeds=[_SEED],
            schedule=f"{self.loss}: {schedule.describe()}",
            weights=tables.file_hash(self.start.file) if self.start else None,
        )
        # The first validation is that of the weights that it starts from.
        scores = history["validation"].dropna() if "validation" in history else None
        before, best = (None, None) if scores is None else (float(scores.iloc[0]), float(scores.max()))
        rules = self.start.rules if self.start else {}
        trackers.save(out, networks.tracker.eval(), validation=best, made_from=made_from, rules=rules)
        return Trained(history, before, best)

    def validate(self, networks: TrackingPipeline) -> float:
        """Return MOTA on the third quarters, protocol plain."""
        counts = {}
        for sequence in self.sequences:
            frames = mot.split(sequence)["val"]
            gt = sequence.gt()
            counts[sequence.name] = evaluation.count(
                gt[gt["frame"].isin(frames)], networks.track(sequence, frames), "plain"
            )
        return float(evaluation.summarize(counts)["MOTA"].loc[evaluation.OVERALL])

    def _networks(self, device: str | torch.device) -> TrackingPipeline:
        if self.start is not None:
            return default_weights.pipeline(self.start, device)
        torch.manual_seed(_SEED)
        options = settings.get("standard").trackers.options[self.tracker]
        tracker = trackers.create(self.tracker, **options).to(device)
        return TrackingPipeline(tracker, tracker if isinstance(tracker, Tracktor) else None)

    def _training(self, networks: TrackingPipeline) -> tuple[Training, Any]:
        """Return the training, and its schedule."""
        usual, tracker = settings.get("standard").trackers, networks.tracker
        if self.loss == "vanilla":
            schedule = self._shortened(usual.detector if self.tracker == "tracktor" else usual.pairs)
            if isinstance(tracker, Tracktor):
                return DetectorTraining(tracker.detector, self.sequences, schedule, _SEED), schedule
            return SiameseTraining(tracker, self.sequences, schedule, _SEED), schedule  # type: ignore[arg-type]
        matcher = None
        if self.loss not in ONE_OBJECT:
            matcher = matchers.load(DHN, next(tracker.parameters()).device, pairs="eq3")
        what = (tracker, self.sequences, self.loss, matcher)
        validation: Callable[[], float] = lambda: self.validate(networks)  # noqa: E731
        if self.tracker == "tracktor":
            schedule = self._shortened(replace(usual.rollout, validations=_VALIDATIONS))
            return RolloutTraining(*what, schedule, _SEED, validation), schedule
        schedule = self._shortened(replace(usual.training, validations=_VALIDATIONS))
        return DeepMOTTraining(*what, schedule, _SEED, validation=validation), schedule

    def _shortened(self, schedule: Any) -> Any:
        return schedule if self.steps is None else replace(schedule, steps=self.steps)


def checkpoint_of(out: Path) -> Path:
    """Return the file that a training which was cut off goes on from."""
    return out.with_suffix(".checkpoint.pt")
