"""Distance matrices as they come up while a tracker is trained: what Table 6 scores the networks on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..assignment import optimal_assignment
from ..boxes import by_frame, from_table
from ..data import mot
from ..data.pairs import Pairs, from_matrices
from ..distance import box_distance
from ..evaluation.intervals import BLOCK
from ..training.matrices import collected
from ..training.perturbation import perturb
from .experiment import Experiment
from .gradients import Frame
from .sequences import images, usable


def clips(sequences: Iterable[mot.Sequence], seed: int = 0) -> Iterator[tuple[list[Frame], tuple[int, int]]]:
    """Yield pairs of consecutive frames of the training halves, and their image size.

    The pairs are such as training sees at its start (Appendix A.2). In both frames the tracks are the earlier
    one's ground truth, perturbed anew: in the first they stand at their own objects, in the second they have
    not moved yet. Frames without people are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    for sequence in sequences:
        objects = by_frame(mot.pedestrians(sequence.gt()))
        for frame in _starts(sequence, objects):
            (now, ids), (then, later) = (_boxes(objects[number]) for number in (frame, frame + 1))
            tracks = (perturb(now, generator) for _ in range(2))
            clip = [Frame(next(tracks), ids, now, ids), Frame(next(tracks), ids, then, later)]
            yield clip, sequence.image_size


def blocks(sequences: Iterable[mot.Sequence]) -> NDArray[np.str_]:
    """Return the block of consecutive frames that each of :func:`clips` lies in: its images and number.

    The same block of all detectors of a sequence is one, since they show the same images.
    """
    found = []
    for sequence in sequences:
        first = mot.split(sequence)["train"].start
        for frame in _starts(sequence, by_frame(mot.pedestrians(sequence.gt()))):
            found.append(f"{images(sequence)} {(frame - first) // BLOCK}")
    return np.array(found)


def by_block(scores: pd.DataFrame, of_each: NDArray[np.str_]) -> pd.DataFrame:
    """Pool scores by blocks of frames.

    Args:
        scores: One row per matrix, as ``evaluation.matching.score`` returns them.
        of_each: The block of each.

    Returns:
        One row per discretization and block: those, ``matrices`` and their mean ``WA``, and ``lines`` and the
        share ``MA`` of them, both in percent.
    """
    parts = []
    for axis, lines in (("row", scores["M"]), ("column", scores["N"])):
        each = pd.DataFrame({"discretization": axis, "block": of_each, "matrices": 1})
        each["WA"], each["lines"] = 100 * scores[f"WA_{axis}"].to_numpy(), lines.to_numpy()
        each["MA"] = 100 * (scores[f"MA_{axis}"] * lines).to_numpy()
        sums = each.groupby(["discretization", "block"], as_index=False, sort=False).sum()
        parts.append(sums.assign(WA=sums["WA"] / sums["matrices"], MA=sums["MA"] / sums["lines"]))
    return pd.concat(parts, ignore_index=True)


def perturbed_pairs(sequences: Iterable[mot.Sequence], seed: int = 0) -> Pairs:
    """D (Eq. 3) of perturbed boxes and the next frame's objects with its optimal assignment; nothing gated.

    They stand in for the matrices of a training that has not been run; those of one that has differ by
    what the tracker has learnt.
    """
    matrices = []
    for clip, image_size in clips(sequences, seed):
        distance = box_distance(clip[-1].predictions, clip[-1].objects, image_size)
        matrices.append((distance.numpy(), optimal_assignment(distance).numpy()))
    return from_matrices(matrices, "perturbed ground truth")


def training_pairs(folder: str | Path) -> Pairs:
    """Return the matrices that trainings below ``folder`` have left, with their optimal assignments.

    The matrices are those of ``training.matrices.collected``; ValueError where there are none.
    """
    found = (torch.from_numpy(matrix) for matrix in collected(folder))
    return from_matrices([(d.numpy(), optimal_assignment(d).numpy()) for d in found], "tracker training")


def sources(experiment: Experiment) -> tuple[list[mot.Sequence], str]:
    """Return the sequences whose ground truth Table 6 takes, and a line on them.

    With real data MOT17's training sequences, each once whatever the number of detectors, or all sequences
    that there are where there is none of MOT17; else the rendered ones.
    """
    if experiment.data_root is None:
        return experiment.rendered, "first halves of the embedded sequences"
    labeled = usable(experiment.data_root, "ground truth")
    distinct: dict[str, mot.Sequence] = {}
    for sequence in labeled:
        if sequence.name.startswith("MOT17-"):
            distinct.setdefault(sequence.name.rpartition("-")[0], sequence)
    if distinct:
        return list(distinct.values()), f"first halves of {len(distinct)} MOT17 sequences"
    return labeled, f"first halves of {', '.join(one.name for one in labeled)}"


def _starts(sequence: mot.Sequence, objects: Mapping[int, pd.DataFrame]) -> list[int]:
    """The frames of a training half that have people and are followed by one that has."""
    frames = mot.split(sequence)["train"]
    return [frame for frame in frames if frame in objects and frame + 1 in objects and frame + 1 in frames]


def _boxes(rows: pd.DataFrame) -> tuple[Tensor, list[int]]:
    return from_table(rows), rows["id"].tolist()
