"""The report: every table of the paper with ours beside it, from the small files that the notebooks wrote.

It is collected once, as a ``document.Document``, and written twice: REPORT.md for those who read in git,
index.html for everyone else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from .. import matchers, paper
from ..data.files import atomic, visible
from ..experiments.experiment import Experiment, Paths
from ..experiments.tables import PROVENANCE
from ..experiments.tables import read as read_table
from ..experiments.tables import write as write_table
from . import page, tables
from .document import Document, Figure, Link, Section, Table, to_markdown
from .markdown import escape

#: Why a table has no number of ours yet.
_NOT_RUN = {
    **dict.fromkeys((1, 2, 3), "No tracker has been trained in this profile yet: run notebooks 07 and 08."),
    4: "The benchmark's test sequences have no public ground truth: their numbers come from the server.",
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
    "03_price_of_accuracy": "What Sinkhorn's accuracy costs, beside the paper's network",
    "03_gradients": "Where each matcher's gradient points",
    "04_costs": "What a matrix costs",
    "05_three_frames": "Three frames with a miss, a false positive and two switches",
    "05_matrices": "Fig. 3 in numbers",
    "05_counts": "Soft counts beside the counted ones",
    "05_saturation": "What the scale of the softmax costs",
    "06_gradients": "Fig. 9: negative gradients of the terms of the loss",
    "06_gradients_min_sum": "The same with the matcher min_sum and scale 10",
    "08_table1": "Table 1: who recognizes people",
    "08_table2": "Table 2: which term of the loss",
    "08_table3": "Table 3: three trackers",
    "08_strip": "The same frames: ground truth, Vanilla, Smooth L1, DeepMOT; a red ring marks a switch",
    "08_loss_and_mota": "The training loss and MOTA on third quarters, one point a validation",
    "09_benchmark": "Ours and others on the same detections",
    "11_messages": "min_sum: three tracks that are nearest to one object",
    "11_price_of_accuracy": "What accuracy costs: Sinkhorn and message passing",
    "11_hota_thresholds": "HOTA of TUD-Campus over the overlap that a match needs, counted and soft",
    "11_hota_forces": "Beside Fig. 9: what pulls at the boxes for HOTA",
    "11_hota_past": "HOTA's pull to the wrong object, by the length of the past",
    "11_reach": "How strongly each loss pulls a box that stands beside its object",
    "11_losses": "Losses beyond the paper",
    "11_scale_and_temperature": "Where the gradient of the counts dies, and what brings it back",
    "fig8": "Fig. 8: accuracy on uniform random matrices as they grow",
}

#: What holds the evaluation against published results, as far as notebook 10 has run it: file, text.
_CHECKS = (
    ("evaluation_tud.csv", "The two examples in motmetrics' wheel, protocol `plain`:"),
    ("evaluation_lif_t.csv", "Lif_T on MOT17 train, protocol `motchallenge`, beside the official kit:"),
)

#: Tables that the paper does not have: file, heading, text, decimals.
_BEYOND = (
    (
        "table4_local.csv",
        "Beside Table 4: last quarters, ours and others on the same detections",
        "Frames per second were measured in one run: ours with reading images and the network, the others' "
        "tracking alone. *Our boxes*: the detections that our tracks are born of.",
        2,
    ),
    (
        "transfer.csv",
        "Transfer: whole sequences of which nothing was seen",
        "Never trained on, and nothing was chosen by them.",
        2,
    ),
    (
        "rules.csv",
        "Rules of track management, chosen on the third quarters",
        "What was tried around the vanilla Tracktor, step by step; of each step the change of the highest "
        "mean of MOTA and HOTA is kept, and the next step starts from it.",
        3,
    ),
    (
        "matchers.csv",
        "Beyond the paper: which matcher trains the better tracker",
        "Tracktor with its ReID head, trained by Eq. 9 through each matcher, one seed; last quarters.",
        2,
    ),
    (
        "beyond.csv",
        "Beyond the paper: which loss trains the better tracker",
        "Tracktor trained by a differentiable HOTA and by a loss after UniTrack (docs/deviations.md), one "
        "seed each, below the rows that they stand beside; last quarters.",
        2,
    ),
    (
        "table6_training.csv",
        "Table 6 again: matrices from the trackers' own trainings",
        "As the matcher saw them, networks whose weights ship, trained on Eq. 3's distances.",
        2,
    ),
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


_MOST_LISTED = 8  # hashes in a provenance


def pool_networks(folder: Path, pairs: str) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Table 5's rows of ours on a kind of pairs, from all ``dhn_*_<pairs>_seed*.csv`` in ``folder``, pooled
    over seeds, with their provenance.

    Columns: discretization, network, WA, MA, SA (percent, mean over seeds, all test pairs), ``WA unseen`` ...
    (those that no training pair gives away), ``seeds`` (how many), ``WA std`` (empty for one seed). None
    where there is no such file.
    """
    parts = [read_table(file) for file in visible(folder, f"dhn_*_{pairs}_seed*.csv")]
    if not parts:
        return None
    frame = pd.concat([part for part, _ in parts])
    frame = frame.sort_values("network", key=lambda names: names.map(matchers.names().index), kind="stable")
    groups = frame.groupby(["pairs", "discretization", "network"], sort=False)[["WA", "MA", "SA"]]
    mean, std, count = groups.mean(), groups.std(), groups.size()
    ours = mean.loc["all"].copy()
    ours["seeds"] = count.loc["all"]
    ours["WA std"] = std.loc["all"]["WA"]
    if "unseen" in mean.index:
        ours = ours.join(mean.loc["unseen"].add_suffix(" unseen"))
    return ours.reset_index(), join_provenance([made_from for _, made_from in parts])


def join_provenance(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One provenance for numbers from several: what differs is listed, unless it were a page of hashes."""
    joined = {}
    for key in PROVENANCE:
        values = [part[key] for part in parts if part[key] is not None]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        unique = list(dict.fromkeys(flat))
        listed = "; ".join(map(str, unique)) or None
        if key in ("weights", "commit") and len(unique) > _MOST_LISTED:
            listed = f"{len(unique)} different ones, each in its own row's file"
        joined[key] = sorted(unique) if key == "seeds" else listed
    return joined


def write(experiment: Experiment) -> Path:
    """Write REPORT.md, index.html and Table 5 with ours as CSV; return the path of REPORT.md."""
    paths = experiment.paths
    pooled = pool_networks(paths.tables, experiment.settings.dhn_runs[0].pairs)
    if pooled is not None:
        table5 = tables.beside(paper.table(5), pooled[0], paper.KEYS[5])
        write_table(paths.tables / "table5.csv", table5, pooled[1])
    document = collect(experiment)
    report = paths.root / "REPORT.md"
    with atomic(report) as markdown, atomic(paths.root / "index.html") as html:
        markdown.write_text(to_markdown(document))
        html.write_text(page.render(document))
    return report


def collect(experiment: Experiment) -> Document:
    """Collect all that an experiment's notebooks left, in the order of the report."""
    paths, settings = experiment.paths, experiment.settings
    eq3 = [] if settings.dhn_runs[0].pairs == "eq3" else _beside_table5(paths)
    found = [*_paper(paths), *eq3, *_beyond(paths), *_checks(paths)]
    warning = (
        "**These numbers are no evidence.** They come from minutes on small rendered data and show that "
        "everything runs. What may be quoted is in [`reports/standard`](../../reports/standard/REPORT.md)."
    )
    return Document(
        title=f"DeepMOT, reproduced: profile `{settings.name}`",
        text=f"{paper.CITATION}\n\n"
        "*(paper)* is what the paper prints, *(ours)* what was run here; an empty cell was not run.",
        warning="" if settings.evidence else warning,
        sections=(*_claims(paths), _summary(found), *found, *_figures(paths), *_notebooks(paths)),
    )


def _claims(paths: Paths) -> list[Section]:
    """The paper's claims and what was found for each, as far as notebook 10 has judged them."""
    text = (
        "Effects: what the second of two rows has more than the first, in points of MOTA, IDF1 or WA, or in "
        "switches (IDs) by 1,000 ground-truth boxes. *low* and *high* are the 95 % interval of ours. The "
        "rule behind each verdict is in docs/protocol.md."
    )
    found = _read(paths, "claims.csv")
    return [Section("The paper's claims", text, found)] if found else []


def _summary(sections: list[Section]) -> Section:
    """Summarize how much of each table was run, and on what: one row per table."""
    rows = []
    for section in sections:
        for table in section.tables:
            origin = table.provenance()
            row: dict[str, str | None] = {"table": section.heading, "rows run": _rows_run(table)}
            keys = ("seeds", "data", "split", "detectors", "protocol", "device")
            rows.append(row | {key: origin.get(key) for key in keys})
    return Section("What was run, and on what", tables=(Table(pd.DataFrame(rows).dropna(axis=1, how="all")),))


def _rows_run(table: Table) -> str:
    """Count the paper's rows with numbers of ours, and ours beyond the paper."""
    theirs, ours = _has(table.frame, "paper"), _has(table.frame, "ours")
    beyond = int((ours & ~theirs).sum())
    counts = f"{int((ours & theirs).sum())} of {int(theirs.sum())}" + f", {beyond} beyond" * (beyond > 0)
    return counts if len(tables.side(table.frame, "paper").columns) else str(len(table.frame))


def _has(frame: pd.DataFrame, side: str) -> pd.Series:
    """Which rows have a number of that side."""
    return tables.side(frame, side).notna().any(axis=1)


def _read(paths: Paths, file: str, text: str = "", decimals: int = 2) -> tuple[Table, ...]:
    """The table of that name, none where no notebook has written it."""
    if not (paths.tables / file).is_file():
        return ()
    frame, made_from = read_table(paths.tables / file)
    missing = int((_has(frame, "paper") & ~_has(frame, "ours")).sum())
    lacks = f"{missing} of the paper's rows were not run in this profile." if missing else ""
    link = f"{paths.tables.name}/{file}"
    return (Table(frame, text=text, file=link, made_from=made_from, lacks=lacks, decimals=decimals),)


def _paper(paths: Paths) -> list[Section]:
    """Tables 1 to 6, empty on our side where nothing was run."""
    sections = []
    for number, keys in paper.KEYS.items():
        theirs = paper.table(number)
        empty = Table(tables.beside(theirs, None, keys), lacks=f"Ours: {_NOT_RUN[number]}")
        found = _read(paths, f"table{number}.csv") or (empty,)
        sections.append(Section(f"Table {number}", theirs.attrs["caption"], found))
    return sections


def _beside_table5(paths: Paths) -> list[Section]:
    """The networks trained and tested on Eq. 3's distances, where Table 5 is about others."""
    pooled = pool_networks(paths.tables, "eq3")
    if pooled is None:
        return []
    text = "The networks that the trackers take: trained and tested on pairs of Eq. 3's distances."
    return [Section("Beside Table 5: Eq. 3", text, (Table(pooled[0], made_from=pooled[1]),))]


def _beyond(paths: Paths) -> list[Section]:
    sections = []
    for file, heading, text, decimals in _BEYOND:
        if found := _read(paths, file, decimals=decimals):
            sections.append(Section(heading, text, found))
    return sections


def _checks(paths: Paths) -> list[Section]:
    found = [table for file, text in _CHECKS for table in _read(paths, file, text, decimals=4)]
    return [Section("The evaluation, held against published numbers", tables=tuple(found))] if found else []


def _figures(paths: Paths) -> list[Section]:
    """Every figure that the notebooks left, in their order."""
    figures = tuple(
        Figure(
            file=file,
            link=f"{paths.figures.name}/{file.name}",
            caption=_FIGURES.get(file.stem, escape(file.stem.replace("_", " "))),
        )
        for file in visible(paths.figures, "*.png")
    )
    return [Section("Figures", figures=figures)] if figures else []


def _notebooks(paths: Paths) -> list[Section]:
    """The notebooks of the checkout, each with its pages as it ran in this experiment."""
    links = []
    for notebook in visible(Path(__file__).parents[2] / "notebooks", "*.ipynb"):
        runs = {
            file.stem.removeprefix(notebook.stem).strip("-") or "as run": file
            for file in visible(paths.pages, f"{notebook.stem}*.html")
        }
        links.append(
            Link(
                name=notebook.stem,
                target=_relative(notebook, paths),
                runs=tuple((name, _relative(file, paths)) for name, file in runs.items()),
            )
        )
    return [Section("Notebooks", links=tuple(links))] if links else []


def _relative(file: Path, paths: Paths) -> str:
    return Path(os.path.relpath(file, paths.root)).as_posix()
