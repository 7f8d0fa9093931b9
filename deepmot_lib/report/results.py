"""The tables of README.md and docs/results.md that hold measured numbers, from reports/.

``python -m deepmot_lib.report.results`` updates them; a test compares the pages with the reports' tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..data.files import atomic
from ..experiments.tables import read
from . import verdicts
from .document import Link
from .effects import effects
from .tables import difference, leads, narrow, to_markdown, with_intervals

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")


def claims(frame: pd.DataFrame) -> str:
    """Format the paper's claims as Markdown, without the details, each verdict a link to its notebook.

    Args:
        frame: As ``experiments.claims.table`` returns it.
    """
    shown = {
        place: Link("", f"notebooks/{notebook}.ipynb", fragment=heading.replace(" ", "-"))
        for place in frame["shown in"].dropna()
        for notebook, _, heading in [place.partition("#")]
    }
    return verdicts.markdown([one for one in verdicts.judged(frame) if not one.is_detail], shown)


def headline(table1: pd.DataFrame) -> str:
    """Format the main columns of Table 1 as Markdown.

    Args:
        table1: Table 1 with the columns of the paper and ours (``tables.beside``).

    Returns:
        A table of ours with the standard deviation over seeds, and effects against the first row, the paper's
        beside ours.
    """
    return _beside(table1, ["training", "method"])


def losses(table2: pd.DataFrame) -> str:
    """Format Table 2 as :func:`headline` does Table 1."""
    return _beside(table2, ["loss"])


def single_object(table3: pd.DataFrame) -> str:
    """Format the single-object trackers of Table 3: MOTA, IDF1 and switches, the paper's beside ours."""
    keys = ["tracker", "training"]
    return to_markdown(
        narrow(table3[table3["tracker"] != "Tracktor"], keys, {"MOTA": 1, "IDF1": 1, "IDS": 0})
    )


def _beside(table: pd.DataFrame, keys: list[str]) -> str:
    measured = narrow(table, keys, {"MOTA": 1, "IDF1": 1, "IDS": 0})
    shown = pd.DataFrame({"": measured[keys].agg(" ".join, axis=1)})
    for measure in ("MOTA", "IDF1", "IDS"):
        shown[measure] = measured[f"{measure}, ours"]
    found = effects(table, keys).frame
    found = found.set_index(found.columns[0])
    for name, decimals in {"MOTA": 1, "IDF1": 1, "IDS %": 0}.items():
        for side in ("paper", "ours"):
            changes = found[f"{name} ({side})"].reindex(shown[""])
            shown[f"Δ {name}, {side}"] = [difference(change, decimals) for change in changes]
    return to_markdown(shown)


def recognition(measured: pd.DataFrame) -> str:
    """Format what recognizes people on last quarters, means over seeds.

    Args:
        measured: As ``experiments.reid`` writes it: of several networks, below each other.
    """
    test = measured[measured["part"] == "test"]
    means = test.groupby("reid", as_index=False)[["rank-1", "mAP", "AUC"]].mean()
    means["seeds"] = test.groupby("reid")["seed"].nunique().to_numpy()
    for name in ("rank-1", "mAP"):
        means[name] *= 100
    means = means.sort_values("AUC", ascending=False)
    return to_markdown(narrow(means, ["reid"], {"rank-1": 1, "mAP": 1, "AUC": 3, "seeds": 0}))


def same_detections(local: pd.DataFrame) -> str:
    """Format all sequences together of ``table4_local.csv``: each tracker on the same detections.

    Returns:
        A table of each method, and of what DeepMOT-Tracktor has more, with 95 % intervals.
    """
    pooled = local[local["sequence"] == "OVERALL"].reset_index(drop=True)
    shown = narrow(pooled, ["method"], {"MOTA": 1, "HOTA": 1, "IDF1": 1, "IDS": 0, "FPS": 0})
    return to_markdown(shown.join(leads(local).drop(columns="method")))


def matchers(table5: pd.DataFrame) -> str:
    """Format Table 5: the weighted accuracy by rows and columns [%], the paper's beside ours."""
    return to_markdown(narrow(table5, ["network", "discretization"], {"WA": 1}))


def lengths(table: pd.DataFrame) -> str:
    """Format how the accuracy of the paper's network grows with its training.

    Args:
        table: As ``experiments.lengths.table`` returns it.
    """
    shown = pd.DataFrame({"updates": [f"{steps:,}" for steps in table["steps"].unique()]})
    for (axis, part), rows in table.groupby(["discretization", "pairs"], sort=False):
        shown[f"WA, {axis}, {part} pairs"] = [f"{value:.2f}" for value in rows["WA"]]
        shown[f"gain, {axis}, {part}"] = with_intervals(rows["gain"], rows["gain low"], rows["gain high"])
    return to_markdown(shown)


def rendered(comparison: pd.DataFrame) -> str:
    """Format the comparison of losses on rendered scenes as Markdown.

    Args:
        comparison: As ``comparison_results.results`` returns it.

    Returns:
        A table of each arm's pooled MOTA and IDF1, and of what DeepMOT has more, with 95 % intervals.
    """
    shown = pd.DataFrame({"arm": comparison["arm"]})
    for measure in ("MOTA", "IDF1"):
        shown[measure] = comparison[measure].map("{:.1f}".format)
    for name, before in {"MOTA": "", "IDF1": "IDF1 ", "switches by 1,000 boxes": "IDs "}.items():
        columns = (f"{before}{part}" for part in ("difference", "low", "high"))
        shown[f"DeepMOT less the arm, {name}"] = with_intervals(*(comparison[name] for name in columns))
    shown["verdict on MOTA"] = comparison["verdict"].fillna("")
    return to_markdown(shown)


#: Of each table its profile, files and format.
_TABLES: dict[str, tuple[str, tuple[str, ...], Callable[[pd.DataFrame], str]]] = {
    "claims": ("standard", ("claims",), claims),
    "headline": ("standard", ("table1",), headline),
    "losses": ("standard", ("table2",), losses),
    "single objects": ("standard", ("table3",), single_object),
    "recognition": (
        "standard",
        ("reid_external", "reid_tracktor_dMOTA+dMOTP_head*_seq_gru_release_seed?"),
        recognition,
    ),
    "same detections": ("standard", ("table4_local",), same_detections),
    "matchers": ("standard", ("table5",), matchers),
    "lengths": ("standard", ("lengths",), lengths),
    "rendered": ("rendered", ("comparison",), rendered),
}


def updated(text: str) -> str:
    """Return a page's text with the reports' tables between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, (profile, patterns, markdown) in _TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(start)
        if found:
            folder = ROOT / "reports" / profile / "tables"
            files = [file for pattern in patterns for file in sorted(folder.glob(f"{pattern}.csv"))]
            frame = pd.concat([read(file)[0] for file in files], ignore_index=True)
            text = before + start + "\n" + markdown(frame) + "\n" + end + rest.partition(end)[2]
    return text


def main() -> None:
    """Update the pages."""
    for page in PAGES:
        with atomic(page) as temporary:
            temporary.write_text(updated(page.read_text()))


if __name__ == "__main__":
    main()
