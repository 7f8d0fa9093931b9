"""The report: every table of the paper with ours beside it, from the small files that the notebooks wrote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from . import dhn, paper, profiles, tables
from .files import atomic

_KEYS = {
    1: ["training", "method"],
    2: ["loss"],
    3: ["tracker", "training"],
    4: ["benchmark", "method"],
    5: ["discretization", "network"],
    6: ["discretization", "network"],
}

#: Why a table has no number of ours yet.
_NOT_RUN = {
    1: "The trackers are not part of the package yet.",
    2: "The trackers are not part of the package yet.",
    3: "The trackers are not part of the package yet.",
    4: "The trackers are not part of the package yet.",
    5: "No network has been trained in this profile yet: run notebook 02.",
    6: "Notebook 03 has not been run in this profile yet.",
}

#: What the figures show.
_FIGURES = {
    "00_streets": "The embedded data with its ground truth",
    "00_detectors": "Its three detectors",
    "00_detector_quality": "How often they find a person, and what their scores tell",
    "00_crowd": "People per frame, box heights, visibility",
    "01_distance_profile": "Eq. 3: value and slope as a box slides over an object",
    "01_descents": "What each distance makes of a box that follows its gradient",
    "03_table5": "Table 5: the paper's networks, ours, and what needs no training",
    "03_training": "Loss and accuracy while they learn",
    "03_cases": "A good and a bad case: distances, soft assignment, exact one",
    "03_price_of_accuracy": "What accuracy costs: Sinkhorn and message passing",
    "03_gradients": "Where each matcher's gradient points",
    "04_costs": "What a matrix costs",
    "05_three_frames": "Three frames with a miss, a false positive and two switches",
    "05_matrices": "Fig. 3 in numbers",
    "05_counts": "Soft counts beside the counted ones",
    "05_saturation": "What the scale of the softmax costs",
    "06_gradients": "Fig. 9: negative gradients of the terms of the loss",
    "06_gradients_min_sum": "The same with the matcher min_sum and scale 10",
    "fig8": "Fig. 8: accuracy on uniform random matrices as they grow",
}


def pool_networks(folder: Path, pairs: str) -> tuple[pd.DataFrame, dict] | None:
    """Table 5's rows of ours on a kind of pairs, from all ``dhn_*_<pairs>_seed*.csv`` in ``folder``, pooled
    over seeds, with their provenance.

    Columns: discretization, network, WA, MA, SA (percent, mean over seeds, all test pairs), ``WA unseen`` ...
    (those that no training pair gives away), ``seeds`` (how many), ``WA std`` (empty for one seed). None
    where there is no such file.
    """
    parts = [tables.read(file) for file in sorted(folder.glob(f"dhn_*_{pairs}_seed*.csv"))]
    if not parts:
        return None
    frame = pd.concat([part for part, _ in parts])
    frame = frame.sort_values("network", key=lambda names: names.map(dhn.names().index), kind="stable")
    groups = frame.groupby(["pairs", "discretization", "network"], sort=False)[["WA", "MA", "SA"]]
    mean, std, count = groups.mean(), groups.std(), groups.size()
    ours = mean.loc["all"].copy()
    ours["seeds"] = count.loc["all"]
    ours["WA std"] = std.loc["all"]["WA"]
    if "unseen" in mean.index:
        ours = ours.join(mean.loc["unseen"].add_suffix(" unseen"))
    return ours.reset_index(), join_provenance([made_from for _, made_from in parts])


def join_provenance(parts: list[dict]) -> dict:
    """One provenance for numbers from several: what differs is listed."""
    joined = {}
    for key in tables.PROVENANCE:
        values = [part[key] for part in parts if part[key] is not None]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        unique = list(dict.fromkeys(flat))
        joined[key] = sorted(unique) if key == "seeds" else "; ".join(map(str, unique)) or None
    return joined


def write(profile: str) -> Path:
    """Writes ``reports/<profile>/REPORT.md`` and the paper's tables with ours as CSV; returns the report's
    path."""
    paths = profiles.Paths.of(profile)
    kind = profiles.get(profile).dhn_runs[0].pairs
    pooled = pool_networks(paths.tables, kind)
    if pooled is not None:
        table5 = tables.beside(paper.table(5), pooled[0], _KEYS[5])
        tables.write(paths.tables / "table5.csv", table5, pooled[1])
    lines = [f"# DeepMOT, reproduced: profile `{profile}`", "", paper.CITATION, ""]
    if not profiles.get(profile).evidence:
        lines += [
            "> **These numbers are no evidence.** They come from minutes on small rendered data and show",
            "> that everything runs. What may be quoted is in [`reports/standard`](../standard/REPORT.md).",
            "",
        ]
    lines += [
        "*(paper)* is what the paper prints, *(ours)* what was run here; an empty cell was not run.",
        "",
    ]
    lines += _checks(paths)
    for number in _KEYS:
        lines += _section(number, paths)
    if kind != "eq3":
        lines += _eq3(paths)
    lines += _beyond(paths)
    lines += _figures(paths)
    report = paths.reports / "REPORT.md"
    with atomic(report) as temporary:
        temporary.write_text("\n".join(lines))
    return report


def _checks(paths: profiles.Paths) -> list[str]:
    """The evaluation against published results, as far as notebook 10 has run it."""
    lines = ["## The evaluation, held against published numbers", ""]
    for file, text in (
        ("evaluation_tud.csv", "The two examples in motmetrics' wheel, protocol `plain`:"),
        ("evaluation_lif_t.csv", "Lif_T on MOT17 train, protocol `motchallenge`, beside the official kit:"),
    ):
        if (paths.tables / file).is_file():
            frame, made_from = tables.read(paths.tables / file)
            lines += [text, "", tables.to_markdown(frame, 4), _provenance(made_from), ""]
    return lines


def _section(number: int, paths: profiles.Paths) -> list[str]:
    theirs = paper.table(number)
    lines = [f"## Table {number}", "", theirs.attrs["caption"], ""]
    file = paths.tables / f"table{number}.csv"
    if not file.is_file():
        empty = tables.beside(theirs, None, _KEYS[number])
        return [*lines, tables.to_markdown(empty), f"Ours: {_NOT_RUN[number]}", ""]
    frame, made_from = tables.read(file)
    return [*lines, tables.to_markdown(frame), _provenance(made_from), ""]


def _eq3(paths: profiles.Paths) -> list[str]:
    """The networks trained and tested on Eq. 3's distances, those of the trackers."""
    pooled = pool_networks(paths.tables, "eq3")
    if pooled is None:
        return []
    text = "The networks that the trackers take: trained and tested on pairs of Eq. 3's distances."
    return [
        "## Beside Table 5: Eq. 3",
        "",
        text,
        "",
        tables.to_markdown(pooled[0]),
        _provenance(pooled[1]),
        "",
    ]


#: Tables that the paper does not have: file, heading, text, decimals.
_BEYOND = (
    (
        "gradients.csv",
        "Beyond the paper: where a matcher's gradient points",
        "Cosine with the gradient of the counted measure, by differences over perturbed boxes; size as "
        "a multiple of that one; none and exploding in percent of the frames.",
        3,
    ),
    (
        "costs.csv",
        "Beyond the paper: what a matcher costs",
        "One forward and backward pass over one matrix; scipy's Hungarian has no backward pass.",
        2,
    ),
)


def _beyond(paths: profiles.Paths) -> list[str]:
    lines = []
    for file, heading, text, decimals in _BEYOND:
        if (paths.tables / file).is_file():
            frame, made_from = tables.read(paths.tables / file)
            lines += [f"## {heading}", "", text, "", tables.to_markdown(frame, decimals)]
            lines += [_provenance(made_from), ""]
    return lines


def _provenance(made_from: dict) -> str:
    known = {key: value for key, value in made_from.items() if value not in (None, [])}
    return "<sub>" + "; ".join(f"{key}: {_plain(value)}" for key, value in known.items()) + "</sub>"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figures(paths: profiles.Paths) -> list[str]:
    """Every figure that the notebooks left, in their order."""
    lines = ["## Figures", ""]
    for file in sorted(paths.figures.glob("*.png")):
        caption = _FIGURES.get(file.stem, file.stem.replace("_", " "))
        lines += [f"**{caption}**", "", f"![{caption}](figures/{file.name})", ""]
    return lines
