"""The report: pooled seeds, joined provenance, every table of the paper, the evaluator's own check."""

import os

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.evaluation import published as reference
from deepmot_lib.experiments import tables
from deepmot_lib.experiments.experiment import Paths
from deepmot_lib.experiments.folders import data_folder
from deepmot_lib.report import contents as report
from deepmot_lib.report import results


@pytest.fixture
def paths(smoke) -> Paths:
    return smoke.paths


def write_network(paths, network: str, seed: int, wa: float) -> None:
    rows = [
        {
            "discretization": axis,
            "network": network,
            "pairs": part,
            "matrices": 10,
            "WA": wa + shift,
            "MA": 2,
            "SA": 1,
        }
        for axis in ("row", "column")
        for part, shift in (("all", 0.0), ("unseen", -3.0))
    ]
    made_from = tables.provenance(profile="smoke", data="some pairs", seeds=[seed], weights=f"hash{seed}")
    tables.write(paths.tables / f"dhn_{network}_eq3_seed{seed}.csv", pd.DataFrame(rows), made_from)


def test_seeds_are_pooled_to_mean_and_deviation(paths):
    for seed, wa in enumerate((90.0, 92.0, 97.0)):
        write_network(paths, "seq_gru", seed, wa)
    write_network(paths, "1d_conv", 0, 56.0)
    ours, made_from = report.pool_networks(paths.tables, "eq3")
    row = ours.set_index(["network", "discretization"]).loc["seq_gru", "row"]
    assert row["WA"] == pytest.approx(93.0)
    assert row["WA std"] == pytest.approx(np.std([90, 92, 97], ddof=1))
    assert row["WA unseen"] == pytest.approx(90.0)
    assert row["seeds"] == 3
    single = ours.set_index(["network", "discretization"]).loc["1d_conv", "row"]
    assert np.isnan(single["WA std"]), "one seed has no deviation"
    assert ours["network"].unique().tolist() == ["seq_gru", "1d_conv"], "Table 5's order"
    assert report.pool_networks(paths.tables, "released") is None
    assert made_from["seeds"] == [0, 1, 2]
    assert made_from["weights"] == "hash0; hash1; hash2"
    assert made_from["data"] == "some pairs"


def test_the_report_holds_every_table_and_empty_cells_for_what_was_not_run(paths, smoke):
    write_network(paths, "seq_gru", 0, 91.5)
    text = report.write(smoke).read_text()
    assert all(f"## Table {number}" in text for number in range(1, 7))
    assert "| row | seq_gru | 91.50 |" in text, "on other pairs than the paper's: not beside its 92.88"
    assert "| row | seq_lstm | 83.66 |" in text and "| row | seq_lstm | −9.22 |  |" in text
    assert "no evidence" in text
    assert "seeds: 0; weights: hash0" in text


def test_a_report_without_any_run_says_so(paths, smoke):
    text = report.write(smoke).read_text()
    assert "No network has been trained" in text
    assert not list(paths.tables.glob("*.csv"))


def test_the_evaluator_gives_the_published_numbers_of_the_shipped_examples():
    frame = reference.tud()
    assert len(frame) == 8
    np.testing.assert_allclose(frame["ours"], frame["published"], atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("DEEPMOT_DATA"), reason="DEEPMOT_DATA is not set")
def test_the_evaluator_gives_the_official_counts_of_lif_t():
    frame = reference.lif_t(data_folder())
    assert frame["ours"].tolist() == frame["published"].tolist()


def test_the_comparison_on_rendered_scenes_stands_in_the_report_of_evidence(standard):
    compared, made_from = tables.read(results.ROOT / "reports" / "rendered" / "tables" / "comparison.csv")
    text = (standard / "REPORT.md").read_text()
    section = text.partition("losses compared on rendered scenes\n")[2].partition("\n## ")[0]
    for row in compared.dropna(subset="difference").itertuples():
        assert (
            f"| {row.arm} | {row.difference:.2f} | {row.low:.2f} | {row.high:.2f} | {row.verdict} |"
            in section
        )
    assert f"commit: {made_from['commit']}" in section, "it says what it was made from"
    assert "workflow rendered " in section, "the command that makes it"
    (figure,) = (part.split(")")[0] for part in section.split("](") if "differences.png" in part)
    assert (standard / figure).is_file()


def test_a_run_that_is_no_evidence_shows_its_own_comparison_alone(paths, smoke):
    assert "losses compared on rendered scenes" not in report.write(smoke).read_text()
    made_from = tables.provenance(profile="smoke", data="few scenes", seeds=[0])
    own = pd.DataFrame({"arm": ["dMOTP"], "difference": [-7.25], "low": [-8.0], "high": [1.0]})
    tables.write(paths.tables / "comparison.csv", own, made_from)
    text = report.write(smoke).read_text()
    assert "-7.25" in text and "few scenes" in text and "60 rendered scenes" not in text


def test_without_the_data_lif_t_is_not_run(tmp_path):
    assert reference.lif_t(tmp_path) is None


def test_the_comparisons_in_the_documents_are_those_of_the_reports():
    table1, compared = (
        tables.read(results.ROOT / "reports" / profile / "tables" / f"{name}.csv")[0]
        for profile, name in (("standard", "table1"), ("rendered", "comparison"))
    )
    readme, text = (page.read_text() for page in results.PAGES)
    assert [readme, text] == [results.updated(page) for page in (readme, text)], (
        "python -m deepmot_lib.report.results updates them"
    )
    found, _ = tables.read(results.ROOT / "reports" / "standard" / "tables" / "claims.csv")
    main = found[found["rank"] != "detail"]
    rows = [line for line in readme.splitlines() if line.startswith("| ") and line.count("|") == 7]
    assert len(rows) == 2 + len(main) and all(verdict in readme for verdict in main["verdict"])
    row = compared[compared["arm"] == "dMOTP"].iloc[0]
    line = [line for line in text.splitlines() if line.startswith("| dMOTP |")][-1]
    assert f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})" in line
    ours = table1.set_index(["training", "method"])["MOTA (ours)"]
    line = next(line for line in text.splitlines() if line.startswith("| Vanilla Base |"))
    assert f"{ours['Vanilla', 'Base']:.1f}" in line
