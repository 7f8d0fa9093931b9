"""The claims for the eye, and what the report shows where."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from deepmot_lib.report import catalog, document, markdown_page, page, verdicts

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CLAIMS = pd.DataFrame(
    {
        "claim": ["DeepMOT is better.", "The head <switches> less.", "It leads."],
        "paper's table": [1, 1, 4],
        "measure": ["MOTA", "IDs", "MOTA"],
        "paper": [0.46, -0.383, 0.2],
        "ours": [1.5, -0.25, np.nan],
        "low": [-0.1234, -1.0, np.nan],
        "high": [3.0, 0.5, np.nan],
        "blocks": [10, 10, 0],
        "verdict": ["reproduced", "not testable here", "not testable here"],
    }
)


def test_a_claim_is_told_with_both_effects_its_interval_and_its_verdict():
    first, second, third = verdicts.judged(CLAIMS)
    assert first == (
        "DeepMOT is better.",
        "reproduced",
        "0.46 MOTA",
        "1.50",
        "−0.12 to 3.00",
        "Table 1",
        "",
        False,
    )
    assert second.paper == "−0.38 IDs/1,000"
    assert (third.ours, third.interval) == ("", ""), "was not run"
    figure = CLAIMS.head(1).assign(**{"paper's table": "Fig. 8"})
    ordered = verdicts.judged(pd.concat([figure, CLAIMS]))
    assert [one.where for one in ordered] == ["Table 1", "Table 1", "Table 4", "Fig. 8"]
    assert verdicts.counts([first, second, third]) == [("reproduced", 1), ("not testable here", 2)]


def test_claims_stand_first_on_the_page_and_in_markdown():
    table = document.Table(CLAIMS, file="tables/claims.csv", made_from={"data": "streets", "seeds": [0]})
    sections = (
        document.Section("The paper's claims", "Text.", claims=table),
        document.Section("Table 1", "Text."),
    )
    report = document.Document("Title", "Text", "", sections)
    found = BeautifulSoup(page.render(report), "html.parser")
    rows = found.find("table", class_="claims").tbody.find_all("tr")
    assert [row.th.text for row in rows] == CLAIMS["claim"].tolist()
    assert rows[0].find(class_="reproduced") and rows[2].find(class_="not-testable-here")
    assert rows[2].find(class_="ours").text == "not run"
    assert rows[0].a["href"] == "#table-1" and not rows[2].a, "a link only to what is on the page"
    assert [one.text for one in found.find(class_="verdicts").find_all(class_="verdict")] == [
        "1 reproduced",
        "2 not testable here",
    ]
    text = markdown_page.render(report)
    assert "| DeepMOT is better. | reproduced | 0.46 MOTA | 1.50 | −0.12 to 3.00 | Table 1 |" in text
    assert "blocks" in text.partition("<details>")[2], "the other columns are folded"


def test_a_verdict_leads_to_the_notebook_that_shows_it_and_details_are_folded():
    place = "03_dhn_ablation#Table 6: the matrices"
    frame = CLAIMS.assign(**{"shown in": place, "rank": ["main", "detail", "main"]})
    frame.loc[2, "paper"] = np.nan
    runs = (("seq_gru-seed0", "html/no.html"), ("as run", "html/03_dhn_ablation.html"))
    link = document.Link("03", "../../notebooks/03_dhn_ablation.ipynb", runs, "Table-6:-the-matrices")
    section = document.Section("Claims", claims=document.Table(frame), shown={place: link})
    report = document.Document("Title", "Text", "", (section,))
    found = BeautifulSoup(page.render(report), "html.parser")
    seen, folded = found.find_all("table", class_="claims")
    assert [row.th.text for row in seen.tbody.find_all("tr")] == CLAIMS["claim"][[0, 2]].tolist()
    assert [row.th.text for row in folded.tbody.find_all("tr")] == CLAIMS["claim"][[1]].tolist()
    assert folded.find_parent("details").summary.text.startswith("1 more")
    addresses = {one["href"] for one in found.find_all("a", class_="verdict")}
    assert addresses == {"html/03_dhn_ablation.html#Table-6%3A-the-matrices"}
    assert "no number: MOTA" in seen.text
    written = "[reproduced](../../notebooks/03_dhn_ablation.ipynb#Table-6%3A-the-matrices)"
    assert written in markdown_page.render(report)


@pytest.mark.parametrize("entry", [*catalog.PAPERS_FIGURES, *catalog.BEYOND], ids=lambda entry: entry.heading)
def test_what_the_report_shows_is_made_where_it_says(entry):
    notebook = json.loads((NOTEBOOKS / f"{catalog.notebook(entry.notebook)}.ipynb").read_text())
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert not entry.section or f"## {entry.section}\n" in f"{text}\n"
    for name in entry.figures:
        assert name in text and name in catalog.CAPTIONS


@pytest.mark.parametrize("number", catalog.PAPERS_TABLES)
def test_the_papers_tables_lead_to_their_notebooks(number):
    name, figures = catalog.PAPERS_TABLES[number]
    assert catalog.section(name, f"Table {number}")
    assert all(figure in catalog.CAPTIONS for figure in figures)
