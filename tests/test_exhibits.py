"""What a notebook shows of its numbers: a banner, narrow tables, lines in place of empty exhibits."""

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.experiments import settings, tables
from deepmot_lib.report import exhibits

TABLE = pd.DataFrame(
    {"loss": ["Vanilla", "dMOTA"], "MOTA (paper)": [60.2, 60.5], "MOTA (ours)": [61.256, np.nan]}
    | {"FN (ours)": [907.0, np.nan], "HOTA": [np.float32(93.84), np.nan], "x": 1, "y": 2, "z": 3, "u": 4}
)


@pytest.fixture
def displayed(monkeypatch):
    """What has been displayed: Markdown as text, anything else as it is."""
    found = []

    def display(what, raw=False):
        found.append(getattr(what, "data", what))

    monkeypatch.setattr("IPython.display.display", display)
    return found


def test_a_banner_stands_over_numbers_that_are_no_evidence(displayed):
    exhibits.banner(settings.get("standard"))
    assert not displayed
    exhibits.banner(settings.get("smoke"))
    assert "No evidence" in displayed[0] and "`smoke`" in displayed[0]


def test_a_table_is_narrow_and_the_rest_is_folded(displayed):
    exhibits.show(TABLE, caption="Measures.", decimals=1)
    caption, bundle = displayed
    seen, folded = bundle["text/html"].split("<details>")
    assert caption == "Measures."
    assert seen.count("<th>") == 8 and folded.count("<th>") == 9 and "all 9 columns" in folded
    for text in (seen, bundle["text/plain"]):
        assert "61.3" in text and "907" in text and "93.8" in text
        assert not any(wrong in text for wrong in ("907.", "93.84", "NaN", "nan", "NA"))


def test_columns_to_be_seen_are_chosen(displayed):
    exhibits.show(TABLE.set_index("loss"), ["loss", "HOTA"])
    assert displayed[0]["text/html"].split("<details>")[0].count("<th>") == 2
    exhibits.show(TABLE[["loss", "HOTA"]])
    assert "<details>" not in displayed[1]["text/html"]
    exhibits.show(TABLE[["loss", "HOTA"]], folded=TABLE)
    assert displayed[2]["text/html"].split("<details>")[1].count("<th>") == 9
    with pytest.raises(ValueError, match="9 columns do not fit"):
        exhibits.show(TABLE, list(TABLE))


def test_data_in_a_table_is_no_markup(displayed):
    exhibits.show(pd.DataFrame({"name": ["<script>"]}))
    assert "<script>" not in displayed[0]["text/html"]


def test_rows_that_were_not_run_are_hidden_with_a_line(displayed):
    assert exhibits.only_run(TABLE, ["loss"]).loss.tolist() == ["Vanilla"]
    assert "1 of 2 rows" in displayed[0] and "dMOTA" in displayed[0]
    assert len(exhibits.only_run(TABLE[:1], ["loss"])) == 1 and len(displayed) == 1


def test_an_exhibit_of_too_little_is_a_line(displayed):
    assert exhibits.enough(5, 5, "points") and not displayed
    assert not exhibits.enough(1, 5, "points")
    assert "1 points" in displayed[0] and "5" in displayed[0]


def test_what_is_published_is_read_with_its_origin_or_missing_with_a_line(displayed, tmp_path):
    assert exhibits.published("table1", tmp_path) is None
    exhibits.published_figure("fig8", tmp_path)
    assert "no table `table1`" in displayed[0] and "no figure `fig8`" in displayed[1]
    made_from = dict.fromkeys(tables.PROVENANCE) | {"profile": "standard", "seeds": [0, 1], "data": "MOT17"}
    tables.write(tmp_path / "tables" / "table1.csv", TABLE, made_from)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig8.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    displayed.clear()
    assert list(exhibits.published("table1", tmp_path)) == list(TABLE)
    exhibits.published_figure("fig8", tmp_path)
    assert "data: MOT17; seeds: 0, 1" in displayed[0] and "`fig8`" in displayed[1]
    assert displayed[2].startswith(b"\x89PNG")
