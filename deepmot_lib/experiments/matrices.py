"""Distance matrices as they come up while a tracker is trained: what Table 6 scores the networks on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ..assignment import optimal_assignment
from ..boxes import by_frame, from_table
from ..data import mot
from ..data.pairs import Pairs, from_matrices
from ..distance import box_distance
from ..training.matrices import collected
from ..training.perturbation import perturb
from .experiment import Experiment
from .gradients import Frame
from .sequences import usable


def clips(sequences: Iterable[mot.Sequence], seed: int = 0) -> Iterator[tuple[list[Frame], tuple[int, int]]]:
    """Pairs of consecutive frames of the training halves, and their image size, as training sees them at its
    start (Appendix A.2).

    In both frames the tracks are the earlier one's ground truth, perturbed anew: in the first they stand at
    their own objects, in the second they have not moved yet. Frames without people are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    for sequence in sequences:
        objects = by_frame(mot.pedestrians(sequence.gt()))
        frames = mot.split(sequence)["train"]
        for frame in frames:
            if frame not in objects or frame + 1 not in objects or frame + 1 not in frames:
                continue
            (now, ids), (then, later) = (_boxes(objects[number]) for number in (frame, frame + 1))
            tracks = (perturb(now, generator) for _ in range(2))
            clip = [Frame(next(tracks), ids, now, ids), Frame(next(tracks), ids, then, later)]
            yield clip, sequence.image_size


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
    """The matrices that trainings below ``folder`` have left (``training.matrices.collected``), with their
    optimal assignments; ValueError where there are none."""
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


def _boxes(rows: pd.DataFrame) -> tuple[Tensor, list[int]]:
    return from_table(rows), rows["id"].tolist()
