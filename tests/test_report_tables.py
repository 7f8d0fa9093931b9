"""Tables for the eye: the paper's beside ours, cells as text."""

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.report import tables

PAPER = pd.DataFrame(
    {"axis": ["row", "row"], "network": ["seq", "1d"], "WA": [92.88, 56.43], "IDS": [326, 9]}
)
KEYS = ["axis", "network"]


def test_beside():
    ours = pd.DataFrame(
        {"network": ["ours", "seq"], "axis": "row", "IDS": [2, 1], "WA": [99.0, 90.0], "note": ["n", "s"]}
    )
    both = tables.beside(PAPER, ours, KEYS)
    assert list(both) == [*KEYS, "WA (paper)", "WA (ours)", "IDS (paper)", "IDS (ours)", "note"]
    assert both.network.tolist() == ["seq", "1d", "ours"]
    assert both["WA (ours)"].tolist() == pytest.approx([90, np.nan, 99], nan_ok=True)
    assert both["IDS (paper)"].tolist() == [326, 9, pd.NA] and both["IDS (ours)"].tolist() == [1, pd.NA, 2]
    assert tables.to_markdown(both) == (
        "| axis | network | WA (paper) | WA (ours) | IDS (paper) | IDS (ours) | note |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"
        "| row | seq | 92.88 | 90 | 326 | 1 | s |\n"
        "| row | 1d | 56.43 |  | 9 |  |  |\n"
        "| row | ours |  | 99 |  | 2 | n |\n"
    )


def test_beside_nothing_and_beside_less():
    both = tables.beside(PAPER, None, KEYS)
    assert both[["WA (ours)", "IDS (ours)"]].isna().all(axis=None)
    assert both["WA (paper)"].tolist() == [92.88, 56.43]
    partial = tables.beside(PAPER, PAPER[[*KEYS, "WA"]], KEYS)
    assert partial["WA (ours)"].equals(partial["WA (paper)"].rename("WA (ours)"))
    assert partial["IDS (ours)"].isna().all()
    assert PAPER.columns.tolist() == [*KEYS, "WA", "IDS"]


def test_beside_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="our table has no column network"):
        tables.beside(PAPER, PAPER.drop(columns="network"), KEYS)
    with pytest.raises(ValueError, match="the paper's table has no column seed"):
        tables.beside(PAPER, PAPER.assign(seed=0), [*KEYS, "seed"])
    # Two seeds of one row would multiply the rows.
    with pytest.raises(ValueError, match=r"our table has several rows \('row', '1d'\)"):
        tables.beside(PAPER, pd.concat([PAPER, PAPER[1:]]), KEYS)


def test_markdown():
    frame = pd.DataFrame(
        {
            "a|b": ["x|y", None],
            "count": [12.0, np.nan],
            "share": [100.0, 0.125],
            "single": np.array([0.1, 2], np.float32),
            "text": ["1.50 ± 0.1", "two\nlines"],
        }
    )
    assert tables.to_markdown(frame, decimals=1) == (
        "| a\\|b | count | share | single | text |\n"
        "| --- | ---: | ---: | ---: | --- |\n"
        "| x\\|y | 12 | 100.0 | 0.1 | 1.50 ± 0.1 |\n"
        "|  |  | 0.1 | 2.0 | two lines |\n"
    )
    assert tables.to_markdown(frame[:0]).count("\n") == 2


def test_a_number_that_is_not_zero_does_not_print_as_zero():
    values = pd.Series([0.0, 2.8e-22, -0.004, 0.006, np.nan, 1.5])
    assert tables.texts(values) == ["0.00", "3e-22", "-4e-03", "0.01", "", "1.50"]


def test_narrow_has_the_main_columns_as_text_with_deviations():
    ours = PAPER.assign(WA=[90.04, np.nan], IDS=[122.3, np.nan], HOTA=[1.25, np.nan])
    both = tables.beside(PAPER, ours, KEYS).assign(**{"WA std": [0.51, np.nan]})
    shown = tables.narrow(both, ["network"], {"WA": 1, "IDS": 0, "HOTA": 1})
    assert list(shown) == ["network", "WA, paper", "WA, ours", "IDS, paper", "IDS, ours", "HOTA"]
    assert shown.to_numpy().tolist() == [
        ["seq", "92.9", "90.0 ± 0.5", "326", "122", "1.2"],
        ["1d", "56.4", "", "9", "", ""],
    ]


def test_leads_are_of_the_pooled_rows_and_empty_for_the_leader():
    row = {"sequence": "OVERALL", "method": "SORT"}
    for measure in ("MOTA", "IDF1", "IDs"):
        row |= {f"{measure} difference": 3.1, f"{measure} low": 0.5, f"{measure} high": 6.25}
    frame = pd.DataFrame([row, row | {"sequence": "MOT17-02"}, {"sequence": "OVERALL", "method": "ours"}])
    found = tables.leads(frame)
    assert found["method"].tolist() == ["SORT", "ours"]
    assert found.drop(columns="method").to_numpy().tolist() == [["+3.10 (+0.50 to +6.25)"] * 3, [""] * 3]


def test_contrasts_have_their_intervals_and_the_papers_effect():
    row = {"row": "A", "against": "B", "seeds": 3, "MOTA (paper)": 0.46}
    row |= {"MOTA (ours)": 0.084, "MOTA low": -0.066, "MOTA high": 0.261}
    for measure in ("IDF1", "IDs"):
        row |= {f"{measure} (paper)": np.nan, f"{measure} (ours)": -1.0}
        row |= {f"{measure} low": -2.0, f"{measure} high": 0.0}
    (found,) = tables.contrasts(pd.DataFrame([row])).to_dict("records")
    assert found == {
        "difference": "A less B",
        "MOTA, paper": "+0.46",
        "MOTA, ours": "+0.08 (-0.07 to +0.26)",
        "IDF1, paper": "",
        "IDF1, ours": "-1.00 (-2.00 to +0.00)",
        "IDs/1,000, paper": "",
        "IDs/1,000, ours": "-1.00 (-2.00 to +0.00)",
        "seeds": 3,
    }
