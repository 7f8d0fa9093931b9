"""The report: every table of the paper with ours beside it, from the small files that the notebooks wrote.

It is collected once, as a ``document.Document``, and written twice: REPORT.md for those who read in git,
index.html for everyone else.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .. import matchers, paper
from ..data.files import atomic, visible
from ..experiments.experiment import Experiment, Paths
from ..experiments.tables import PROVENANCE
from ..experiments.tables import read as read_table
from ..experiments.tables import write as write_table
from . import catalog, markdown_page, page, tables
from .document import Document, Figure, Link, Section, Table
from .guide import STOPS
from .markdown import escape
from .wayfinding import anchor

_NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
_REPORTS = _NOTEBOOKS.with_name("reports")
#: Why a table has no number of ours yet.
_NOT_RUN = {
    **dict.fromkeys((1, 2, 3), "No tracker has been trained in this profile yet: run notebooks 07 and 08."),
    4: "The benchmark's test sequences have no public ground truth: their numbers come from the server.",
    5: "No network has been trained in this profile yet: run notebook 02.",
    6: "Notebook 03 has not been run in this profile yet.",
}


def pool_networks(folder: Path, pairs: str) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Return our rows of Table 5 on a kind of pairs, pooled over seeds, with their provenance.

    They come from all ``dhn_*_<pairs>_seed*.csv`` in ``folder``; None where there is no such file. Columns:
    discretization, network, WA, MA, SA (percent, mean over seeds, all test pairs), ``WA unseen`` ... (those
    that no training pair gives away), ``seeds`` (how many), ``WA std`` (empty for one seed).
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
    """One provenance for numbers from several: what differs is listed."""
    joined = {}
    for key in PROVENANCE:
        values = [part[key] for part in parts if part[key] is not None]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        unique = list(dict.fromkeys(flat))
        joined[key] = sorted(unique) if key == "seeds" else "; ".join(map(str, unique)) or None
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
        markdown.write_text(markdown_page.render(document))
        html.write_text(page.render(document))
    return report


def collect(experiment: Experiment) -> Document:
    """Collect all that an experiment's notebooks left, in the order of the report."""
    settings = experiment.settings
    collected = _Collection(experiment.paths, settings.name, evidence=settings.evidence)
    found = [
        *collected.papers_tables(settings.dhn_runs[0].pairs),
        *collected.entries(catalog.PAPERS_FIGURES),
        *collected.entries(catalog.BEYOND),
        *collected.checks(),
    ]
    warning = (
        "**These numbers are no evidence.** They come from minutes on small rendered data and show that "
        "everything runs. What may be quoted is in [`reports/standard`](../../reports/standard/REPORT.md)."
    )
    return Document(
        title=f"DeepMOT, reproduced: profile `{settings.name}`",
        text=paper.CITATION,
        warning="" if settings.evidence else warning,
        sections=(
            collected.claims(),
            *found,
            _summary(found),
            *collected.other_figures(found),
            *collected.notebooks(),
        ),
    )


class _Collection:
    """The sections of a report from the files of a run."""

    def __init__(
        self, paths: Paths, profile: str, *, evidence: bool = False, page: Path | None = None
    ) -> None:
        """Take the folders of a run, and what is known of it.

        Args:
            paths: Its folders.
            profile: The name of its profile.
            evidence: Whether its numbers are evidence; then published ones may stand beside them.
            page: The folder of the page, by default that of the run.
        """
        self._paths, self._profile, self._evidence = paths, profile, evidence
        self._page = page or paths.root

    def claims(self) -> Section:
        """Return the paper's claims and what was found for each."""
        heading, notebook = "The paper's claims", self._made_by("10", "Claim by claim")
        found = self._read("claims.csv")
        if not found:
            text = "No claim has been judged in this profile yet: run notebook 10."
            return Section(heading, text, **notebook)
        text = (
            "Effects, in the paper and here, for values of other data cannot be compared; IDs are by 1,000 "
            "boxes. A verdict follows the rule of docs/protocol.md and leads to the notebook that shows it."
        )
        shown = found[0].frame.get("shown in", pd.Series(dtype=str)).unique()
        links = {place: link for place in shown if (link := self._shown(place))}
        return Section(heading, text, claims=found[0], shown=links, **notebook)

    def papers_tables(self, pairs: str) -> list[Section]:
        """Return Tables 1 to 6, empty on our side where nothing was run.

        Args:
            pairs: The kind of pairs that Table 5 is about; the "released" ones are the paper's.
        """
        sections = []
        for number, keys in paper.KEYS.items():
            theirs = paper.table(number)
            empty = Table(tables.beside(theirs, None, keys), lacks=f"Ours: {_NOT_RUN[number]}")
            ours = self._read(f"table{number}.csv") or (empty,)
            like_with_like = number == 5 and pairs == "released"
            ours = tuple(
                replace(table, like_with_like=like_with_like, within=catalog.WITHIN.get(number, ()))
                for table in ours
            )
            name, figures = catalog.PAPERS_TABLES[number]
            made_by = self._made_by(name, catalog.section(name, f"Table {number}"))
            shown = self._figures(figures)
            sections.append(
                Section(f"Table {number}", theirs.attrs["caption"], ours, figures=shown, **made_by)
            )
        if pairs != "eq3" and (pooled := pool_networks(self._paths.tables, "eq3")) is not None:
            text = "The networks that the trackers take: trained and tested on pairs of Eq. 3's distances."
            eq3 = (Table(pooled[0], made_from=pooled[1]),)
            sections.append(Section("Beside Table 5: Eq. 3", text, eq3, **self._made_by("03")))
        return sections

    def entries(self, entries: tuple[catalog.Entry, ...]) -> list[Section]:
        """Return what is there of the catalog's entries."""
        sections = []
        for entry in entries:
            source = self._source(entry)
            found = source._read(entry.file, decimals=entry.decimals) if entry.file else ()
            figures = source._figures(entry.figures)
            if found or figures:
                made_by = source._made_by(entry.notebook, entry.section)
                sections.append(Section(entry.heading, entry.text, found, figures, **made_by))
        return sections

    def _source(self, entry: catalog.Entry) -> _Collection:
        """Return where an entry's files are: in this run, or published, of a profile of their own."""
        own = (self._paths.tables / entry.file).is_file()
        if own or not (entry.profile and self._evidence):
            return self
        return _Collection(Paths(_REPORTS / entry.profile), entry.profile, page=self._page)

    def checks(self) -> list[Section]:
        """Return what holds the evaluation against published numbers."""
        found = [table for file, text in catalog.CHECKS for table in self._read(file, text, decimals=4)]
        heading = "The evaluation, held against published numbers"
        made_by = self._made_by("10", "Can the evaluation be trusted?")
        return [Section(heading, tables=tuple(found), **made_by)] if found else []

    def other_figures(self, sections: list[Section]) -> list[Section]:
        """Return the figures that stand in no section, one folded section per notebook."""
        shown = {figure.file.stem for section in sections for figure in section.figures}
        others = [file.stem for file in visible(self._paths.figures, "*.png") if file.stem not in shown]
        found = []
        for stop in STOPS:
            names = tuple(name for name in others if name.startswith(f"{stop.number}_"))
            if figures := self._figures(names):
                made_by = self._made_by(stop.number)
                heading = f"More figures: notebook {stop.number}"
                summary = f"{len(figures)} figures" if len(figures) > 1 else "1 figure"
                found.append(Section(heading, stop.title, figures=figures, summary=summary, **made_by))
        rest = tuple(name for name in others if name[:2] not in {stop.number for stop in STOPS})
        if figures := self._figures(rest):
            found.append(Section("More figures", figures=figures, summary=f"{len(figures)} figures"))
        return found

    def notebooks(self) -> list[Section]:
        """Return the notebooks of the checkout, each with its pages as it ran in this experiment."""
        links = tuple(map(self._link, visible(_NOTEBOOKS, "*.ipynb")))
        return [Section("Notebooks", links=links)] if links else []

    def _made_by(self, number: str, heading: str = "") -> dict[str, Any]:
        """Return the link to a notebook and the command that runs it with all that it needs.

        An installed copy has no notebooks.
        """
        name = catalog.notebook(number)
        if not (_NOTEBOOKS / f"{name}.ipynb").is_file():
            return {}
        target = f"runs/{self._profile}/notebooks/{name}.ipynb"
        command = f".venv/bin/python -m deepmot_lib.experiments.workflow {self._profile} --cores 2 {target}"
        link = self._link(_NOTEBOOKS / f"{name}.ipynb")
        return {"notebook": replace(link, fragment=anchor(heading)), "command": command}

    def _shown(self, place: str) -> Link | None:
        """Return the link to a notebook's heading, ``name#heading``."""
        name, _, heading = place.partition("#")
        return self._made_by(name[:2], heading).get("notebook")

    def _link(self, notebook: Path) -> Link:
        runs = {
            file.stem.removeprefix(notebook.stem).strip("-") or "as run": file
            for file in visible(self._paths.pages, f"{notebook.stem}*.html")
        }
        return Link(
            name=notebook.stem,
            target=self._relative(notebook),
            runs=tuple((name, self._relative(file)) for name, file in runs.items()),
        )

    def _figures(self, names: tuple[str, ...]) -> tuple[Figure, ...]:
        """Return those of the figures that the notebooks have left."""
        there = [name for name in names if (self._paths.figures / f"{name}.png").is_file()]
        return tuple(
            Figure(
                file=self._paths.figures / f"{name}.png",
                link=self._relative(self._paths.figures / f"{name}.png"),
                caption=catalog.CAPTIONS.get(name, escape(name.replace("_", " "))),
            )
            for name in there
        )

    def _read(self, file: str, text: str = "", decimals: int = 2) -> tuple[Table, ...]:
        """Return the table of that name, none where no notebook has written it."""
        if not (self._paths.tables / file).is_file():
            return ()
        frame, made_from = read_table(self._paths.tables / file)
        missing = int((_has(frame, "paper") & ~_has(frame, "ours")).sum())
        lacks = f"{missing} of the paper's rows were not run in this profile." if missing else ""
        link = self._relative(self._paths.tables / file)
        return (Table(frame, text=text, file=link, made_from=made_from, lacks=lacks, decimals=decimals),)

    def _relative(self, file: Path) -> str:
        return Path(os.path.relpath(file, self._page)).as_posix()


def _summary(sections: list[Section]) -> Section:
    """Summarize how much of each table was run, and on what: one row per table."""
    rows = []
    for section in sections:
        for table in section.tables:
            origin = table.provenance()
            row: dict[str, str | None] = {"table": section.heading, "rows run": _rows_run(table)}
            keys = ("seeds", "data", "split", "detectors", "protocol", "device")
            rows.append(row | {key: origin.get(key) for key in keys})
    table = Table(pd.DataFrame(rows).dropna(axis=1, how="all"))
    return Section("What was run, and on what", tables=(table,), summary=f"{len(rows)} tables")


def _rows_run(table: Table) -> str:
    """Count the paper's rows with numbers of ours, and ours beyond the paper."""
    theirs, ours = _has(table.frame, "paper"), _has(table.frame, "ours")
    beyond = int((ours & ~theirs).sum())
    counts = f"{int((ours & theirs).sum())} of {int(theirs.sum())}" + f", {beyond} beyond" * (beyond > 0)
    return counts if len(tables.side(table.frame, "paper").columns) else str(len(table.frame))


def _has(frame: pd.DataFrame, side: str) -> pd.Series:
    """Which rows have a number of that side."""
    return tables.side(frame, side).notna().any(axis=1)
