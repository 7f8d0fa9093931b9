"""How well each re-identification model tells people apart, and the limit of its distance that follows.

One rule sets the limit for the ReID head, its controls and the external network alike: the equal error
distance on the third quarters, at which as large a share of one person's pictures is refused as of different
people's is taken for one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..boxes import by_frame, from_table
from ..data import mot
from ..data.image_tensors import to_tensor
from ..distance import appearance_distance
from ..evaluation import reid as measures
from . import tables
from .experiment import Experiment
from .fingerprints import Fingerprint, content, data_digests, fresh
from .settings import TrackerRun
from .source import code

PARTS = ("val", "test")
_FRAMES = 20  # of each part of a sequence, spread evenly
_MIN_VISIBILITY = 0.3
# As in .trackers: modules whose own text counts, but not what they import.
_ALONE = ("deepmot_lib.trackers", __name__)
_MODELS = ("deepmot_lib.trackers.tracktor", "deepmot_lib.trackers.reid")

#: A model: an image (3, height, width) and boxes (K, 4) to embeddings (K, C).
Embed = Callable[[Tensor, Tensor], Tensor]


def table_file(experiment: Experiment, run: TrackerRun) -> Path:
    """Return where the measures of a run's model lie; the external network is one for all runs."""
    name = "external" if run.reid == "external" else run.label
    return experiment.paths.tables / f"reid_{name}.csv"


def score(experiment: Experiment, run: TrackerRun, embed: Embed, files: list[Path]) -> pd.DataFrame:
    """Evaluate the model of a run on the people of the third and the last quarters, and write its table.

    Args:
        experiment: The experiment.
        run: The run.
        embed: What re-identifies people in it.
        files: The weight files that it is made of.

    Returns:
        One row per part, with the columns ``reid``, ``loss``, ``training``, ``seed``, ``part``, ``rank-1``,
        ``mAP``, ``AUC``, ``limit`` and ``pictures``.

    Raises:
        ValueError: a part has no two people to tell apart.
    """
    data, file = experiment.tracking, table_file(experiment, run)
    wanted = Fingerprint(
        settings={"frames": _FRAMES, "min_visibility": _MIN_VISIBILITY, "parts": PARTS},
        data=data_digests(data.training, ("gt", "seqinfo", "images")),
        upstream={f"weights {number}": content(path) for number, path in enumerate(files)},
        code=code("deepmot_lib.evaluation.reid", *_MODELS, alone=_ALONE),
    )
    if not fresh(tables.stamp(file), wanted, f"ReID of {run.label}"):
        rows = []
        for part in PARTS:
            found = measures.score(pictures(embed, data.training, part, experiment.device))
            named = dict(zip(("rank-1", "mAP", "AUC", "limit", "pictures"), found, strict=True))
            is_shared = run.reid == "external"
            rows.append(
                {
                    "reid": run.reid,
                    "loss": "triplet" if is_shared else run.control_head or run.loss,
                    "training": "none" if is_shared or run.control_head else run.training,
                    "seed": run.seed,
                    "part": part,
                    **named,
                }
            )
        made = experiment.provenance(
            data=data.description,
            split="trained on first halves, limit of the third quarters, reported on the last quarters",
            seeds=[run.seed],
            weights=", ".join(tables.file_hash(path) for path in files),
        )
        tables.write(file, pd.DataFrame(rows), made, wanted)
    return tables.read(file)[0]


def limit(found: pd.DataFrame) -> float:
    """Return ``Rules.revival_distance`` out of the rows of ``score``: the limit of the third quarters.

    It is rounded up to a thousandth: equal embeddings are equal in spite of rounding errors.
    """
    return math.ceil(1000 * float(found.loc[found["part"] == "val", "limit"].iloc[0])) / 1000


@torch.no_grad()
def pictures(
    embed: Embed, sequences: Iterable[mot.Sequence], part: str, device: str | torch.device
) -> list[measures.ReIDPictures]:
    """Embed the people in some frames of a part of each sequence, spread evenly over it.

    Args:
        embed: The model.
        sequences: Sequences with images and ground truth, each set of images once.
        part: A part of ``mot.split``.
        device: Where the model is.

    Returns:
        The pictures of each sequence that has people there.
    """
    found = []
    for sequence in sequences:
        people = by_frame(mot.pedestrians(sequence.gt(), _MIN_VISIBILITY))
        frames = [frame for frame in mot.split(sequence)[part] if frame in people]
        if not frames:
            continue
        spread = np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).round().astype(int)
        chosen = [frames[k] for k in spread]
        embeddings = torch.cat(
            [
                embed(to_tensor(sequence.image(frame)).to(device), from_table(people[frame]).to(device))
                for frame in chosen
            ]
        )
        rows = pd.concat([people[frame] for frame in chosen])
        distance = appearance_distance(embeddings, embeddings).cpu().numpy()
        found.append(measures.ReIDPictures(distance, rows["id"].to_numpy(), rows["frame"].to_numpy()))
    return found


def table(folder: Path) -> pd.DataFrame:
    """Read the measures of all models that have been scored, first seeds.

    Args:
        folder: The folder of the tables, ``paths.tables``.

    Returns:
        One row per model: its measures on the last quarters, its ``limit`` and its ``val AUC``.

    Raises:
        FileNotFoundError: no model has been scored.
    """
    files = sorted(folder.glob("reid_*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder}: no re-identification has been scored yet: run notebook 07")
    rows = pd.concat([tables.read(file)[0] for file in files])
    keys = ["reid", "loss", "training"]
    val, test = (
        rows[(rows["part"] == part) & (rows["seed"] == 0)].set_index(keys).drop(columns=["part", "seed"])
        for part in PARTS
    )
    return test.assign(**{"limit": val["limit"], "val AUC": val["AUC"]}).reset_index()
