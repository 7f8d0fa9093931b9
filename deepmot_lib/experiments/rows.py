"""The rows of Tables 1 to 3: which run stands for which, and what the runs' tables say of it, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .. import evaluation, paper
from ..training.objectives import ONE_OBJECT
from . import tables
from .settings import CONTROL_HEADS, DEEPMOT, DHN

#: What makes a row, apart from the seed: the fields of ``profiles.TrackerRun``.
KEYS = ["tracker", "loss", "reid", "matcher", "training"]
#: The measures of the paper's tables and, last, HOTA; MT and ML in percent of the people.
MEASURES = ["MOTA", "MOTP", "IDF1", "MT", "ML", "FP", "FN", "IDS", "HOTA"]


def _run(tracker: str, loss: str, reid: str = "none", training: str = "release") -> tuple[str, ...]:
    """Return the keys of a run; the losses on distances take the paper's matcher."""
    return (tracker, loss, reid, "none" if loss in ("vanilla", "detector", *ONE_OBJECT) else DHN, training)


_LOSSES = [("Vanilla", "vanilla"), ("Smooth L1", "smooth_l1"), ("DeepMOT", DEEPMOT)]
_AND_CONTROL = [_LOSSES[0], ("Vanilla, trained on", "detector"), *_LOSSES[1:]]
#: By number: the paper's keys of a row and, in the order of ``KEYS``, the run that answers it.
TABLES: dict[int, dict[tuple[str, ...], tuple[str, ...]]] = {
    1: {
        **{
            (name, label): _run("tracktor", loss, reid)
            for name, loss in _AND_CONTROL
            for label, reid in (("Base", "none"), ("+ReIDext", "external"))
        },
        ("DeepMOT", "+ReIDhead"): _run("tracktor", DEEPMOT, "head"),
        ("DeepMOT", "+ReIDhead, as in the text"): _run("tracktor", DEEPMOT, "head", "paper"),
        **{
            ("DeepMOT", f"+ReID{head}".replace("-", " ")): _run("tracktor", DEEPMOT, head)
            for head in CONTROL_HEADS
        },
    },
    2: {
        ("Vanilla",): _run("tracktor", "vanilla", "external"),
        ("Smooth L1",): _run("tracktor", "smooth_l1", "external"),
        **{
            (loss,): _run("tracktor", loss, "head") for loss in ("dMOTP", "dMOTA", "dMOTA+dMOTP-IDS", DEEPMOT)
        },
    },
    3: {
        **{
            (name, training): _run(tracker, loss)
            for name, tracker in (("GOTURN", "goturn"), ("SiamRPN", "siamrpn"))
            for training, loss in [("Pre-trained", "vanilla"), *_LOSSES[1:]]
        },
        ("Tracktor", "Vanilla"): _run("tracktor", "vanilla", "external"),
        ("Tracktor", "Smooth L1"): _run("tracktor", "smooth_l1", "external"),
        ("Tracktor", "DeepMOT"): _run("tracktor", DEEPMOT, "head"),
    },
}

#: Beyond the paper: who recognizes people, the loss, and the run; the rows that it stands beside come first.
BEYOND: dict[tuple[str, ...], tuple[str, ...]] = {
    **{
        ("nobody", name): _run("tracktor", loss)
        for name, loss in [*_AND_CONTROL, ("after UniTrack", "unitrack")]
    },
    **{
        ("ReID head", name): _run("tracktor", loss, "head")
        for name, loss in (("DeepMOT", DEEPMOT), ("soft HOTA", "soft_hota"))
    },
}


def read(folder: Path) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """All ``tracker_*.csv`` in ``folder``, a row a run and sequence, and their provenances.

    Columns: ``KEYS``, seed, sequence, ``MEASURES``. FileNotFoundError where there are none.
    """
    parts = [tables.read(file) for file in sorted(folder.glob("tracker_*.csv"))]
    if not parts:
        raise FileNotFoundError(f"{folder}: no tracker has been scored yet: run notebook 07")
    frame = pd.concat([part for part, _ in parts], ignore_index=True).rename(columns={"IDs": "IDS"})
    percent = ["MOTA", "MOTP", "IDF1", "HOTA"]
    frame[percent] *= 100
    for share in ("MT", "ML"):
        frame[share] = 100 * frame[share] / frame["GT"]
    return frame[[*KEYS, "seed", "sequence", *MEASURES]], [made_from for _, made_from in parts]


def pool(frame: pd.DataFrame, sequence: str = evaluation.OVERALL) -> pd.DataFrame:
    """Return the means over the seeds of a sequence's rows of ``read``.

    Columns: ``KEYS``, ``MEASURES``, ``seeds`` (how many), and the deviations ``MOTA std``, ``IDF1 std``,
    ``IDS std`` (empty for one seed).
    """
    groups = frame[frame["sequence"] == sequence].groupby(KEYS, sort=False)
    means, spread = groups[MEASURES].mean(), groups[MEASURES].std()
    means["seeds"] = groups.size()
    for measure in ("MOTA", "IDF1", "IDS"):
        means[f"{measure} std"] = spread[measure]
    return means.reset_index()


def table(number: int, pooled: pd.DataFrame) -> pd.DataFrame:
    """Return our rows of the paper's Table 1, 2 or 3, without the runs that have not been made.

    The key columns are the paper's (``paper.KEYS``) in place of ``KEYS``.
    """
    return _select(pooled, TABLES[number], paper.KEYS[number])


def beyond(pooled: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``BEYOND`` without the runs that have not been made.

    The first two columns are its keys, re-identification and loss.
    """
    return _select(pooled, BEYOND, ["re-identification", "loss"])


def _select(
    pooled: pd.DataFrame, runs: Mapping[tuple[str, ...], tuple[str, ...]], keys: list[str]
) -> pd.DataFrame:
    found = pooled.set_index(KEYS)
    values = dict(zip(found.index.tolist(), found.to_dict("records"), strict=True))
    rows = {key: values[run] for key, run in runs.items() if run in values}
    if not rows:
        return pd.DataFrame(columns=[*keys, *found.columns])
    index = pd.MultiIndex.from_tuples(list(rows), names=keys)
    return pd.DataFrame(list(rows.values()), index=index).astype(float).reset_index()
