"""Published results with known official numbers, against which the evaluation is checked."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path

import pandas as pd

from ..data import archives, mot
from . import metrics as evaluation

#: What the official development kit counts for Lif_T (Hornakova et al., ICML 2020) on the MOT17 training set.
LIF_T = {"FP": 2655, "FN": 107803, "IDs": 791, "FM": 1153, "MT": 679, "PT": 595, "ML": 364}

#: Measures of the two examples in motmetrics' package, from its documentation; HOTA by TrackEval.
TUD = {
    "TUD-Campus": {"MOTA": 0.5265, "IDF1": 0.5577, "MOTP": 0.7228, "HOTA": 0.3914},
    "TUD-Stadtmitte": {"MOTA": 0.5640, "IDF1": 0.6446, "MOTP": 0.6541, "HOTA": 0.3978},
}

_ARCHIVE = "results-Lif_T-MOT17-train.tgz"


def tud(protocol: str = "plain") -> pd.DataFrame:
    """Evaluate the two TUD examples, which motmetrics contains.

    Args:
        protocol: Name of the protocol.

    Returns:
        One row per sequence and measure: ``sequence``, ``measure``, ``published``, ``ours``.
    """
    rows = []
    for name, published in TUD.items():
        folder = Path(str(files("motmetrics"))) / "data" / name
        gt, results = mot.read_ground_truth(folder / "gt.txt"), mot.read_boxes(folder / "test.txt")
        ours = evaluation.evaluate_sequence(gt, results, protocol)
        rows += [
            {"sequence": name, "measure": measure, "published": value, "ours": round(ours[measure], 4)}
            for measure, value in published.items()
        ]
    return pd.DataFrame(rows)


def lif_t(root: Path) -> pd.DataFrame | None:
    """Evaluate Lif_T on MOT17 train under the official protocol.

    Args:
        root: Folder with MOT17's labels in ``MOT17-labels/train`` or ``MOT17/train``, and the archive of the
            result files.

    Returns:
        One row per measure: ``measure``, ``published``, ``ours``; None if the labels or results are missing.
    """
    labels = [root / name / "train" for name in ("MOT17-labels", "MOT17") if (root / name / "train").is_dir()]
    if not labels or not (root / _ARCHIVE).is_file():
        return None
    with tempfile.TemporaryDirectory() as folder:
        archives.unpack(root / _ARCHIVE, folder)
        results = next(Path(folder).rglob("MOT17-*.txt")).parent
        ours = evaluation.evaluate(labels[0], results, "motchallenge").loc[evaluation.OVERALL].to_dict()
    return pd.DataFrame(
        [{"measure": name, "published": value, "ours": int(ours[name])} for name, value in LIF_T.items()]
    )
