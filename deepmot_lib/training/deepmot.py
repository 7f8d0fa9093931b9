"""A tracker's training for the measure it is judged by (Sec. 4.3, Appendix A.2): ``training.clip_loss``, step
by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..data import mot
from ..data.files import atomic
from ..loss import DeepMOTLoss
from ..trackers.tracker import Tracker
from .clips import Clips, Matcher, clip_loss
from .fitting import Fit, warm_cosine
from .schedules import TrackerSchedule

_MATRICES = 100  # distance matrices kept of a training, spread over its steps
_LARGEST_GRADIENT = 10.0


def train(
    tracker: Tracker,
    sequences: Iterable[mot.Sequence],
    objective: str,
    matcher: Matcher | None,
    schedule: TrackerSchedule,
    checkpoint: str | Path,
    seed: int = 0,
    reid: str | None = None,
    validate: Callable[[], float] | None = None,
    device: str | torch.device = "cpu",
) -> pd.DataFrame:
    """Trains ``tracker`` in place on clips of the sequences' first halves; returns its history.

    ``objective``, ``matcher`` (None for "smooth_l1") and ``reid`` are those of ``training.clip_loss``,
    ``validate`` that of ``fitting.Fit``. About a hundred of the distance matrices D are left in a folder
    ``matrices`` beside the checkpoint (``collected`` reads them). History, ``checkpoint`` and errors are
    those of ``Fit.run``; ValueError where the sequences have no clip to learn from.
    """
    steps, length = schedule.clip(head=reid is not None)
    clips = Clips(sequences, length, "train", schedule.min_visibility)
    folder = Path(checkpoint).parent / "matrices"
    interval = max(1, steps // _MATRICES)
    tracker.to(device)
    eq9 = DeepMOTLoss(scale=schedule.scale)

    def loss(step: int) -> dict[str, Tensor]:
        rng = fit.rng(step)
        clip = [frame.to(device) for frame in clips[int(rng.integers(len(clips)))]]
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        asked: list[Tensor] = []

        def recorded(distance: Tensor) -> Tensor:
            asked.append(distance[0].detach())
            return matcher(distance)

        value = clip_loss(tracker, clip, objective, recorded, eq9, generator, reid)
        if asked and step % interval == 0:
            with atomic(folder / f"{step:07d}.npy") as temporary:
                np.save(temporary, asked[0].cpu().numpy())
        return {objective: value}

    fit = Fit(
        name=f"{tracker.name}, {objective}",
        settings={
            **tracker.options,
            **dataclasses.asdict(schedule),
            "reid": reid,
            "matcher": getattr(matcher, "name", None),
            "clips": len(clips),
        },
        steps=steps,
        seed=seed,
        optimizer=torch.optim.Adam(tracker.trained(), lr=schedule.learning_rate),
        rate=lambda step: warm_cosine(step, steps, schedule.learning_rate),
        loss=loss,
        largest_gradient=_LARGEST_GRADIENT,
        validate=validate,
        validations=schedule.validations,
    )
    return fit.run(tracker, checkpoint)


def collected(folder: str | Path) -> list[np.ndarray]:
    """The distance matrices (N, M) that trainings have left anywhere below ``folder``, in the order of their
    paths; those of 0 rows or columns are left out."""
    found = (np.load(file) for file in sorted(Path(folder).rglob("matrices/*.npy")))
    return [matrix for matrix in found if matrix.size]
