"""The rule by which claims are judged, and the table that it makes."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepmot_lib import paper
from deepmot_lib.data import synthetic
from deepmot_lib.evaluation import matching
from deepmot_lib.evaluation.intervals import NOTHING, Difference, mean_difference
from deepmot_lib.experiments import claims, matcher_claims, matrices, settings

EFFECTS = st.floats(0.01, 10)
ENDS = st.tuples(st.floats(-10, 10), st.floats(-10, 10)).map(sorted)


@given(EFFECTS, ENDS)
def test_a_claim_that_something_falls_is_judged_as_its_mirror_image(effect, ends):
    low, high = ends
    assert claims.verdict(effect, low, high) == claims.verdict(-effect, -high, -low)


@given(EFFECTS, ENDS)
def test_what_each_verdict_says_of_the_interval(effect, ends):
    low, high = ends
    says = {
        "reproduced": low > 0 and high >= effect,
        "in direction only": low > 0 and high < effect,
        "contradicted": high < 0,
        "not found": low <= 0 <= high < effect,
        "not testable here": low <= 0 and high >= effect,
    }
    assert says[claims.verdict(effect, low, high)]
    assert sum(says.values()) == 1 and set(says) == set(claims.VERDICTS)


def test_without_an_interval_nothing_is_testable():
    assert claims.verdict(1.0, np.nan, np.nan) == "not testable here"


@pytest.mark.parametrize(
    ("number", "expected"),
    # Read off the paper's tables: 60.43 - 59.97, 60.66 - 60.38, (118 - 149) / 81.045 and 72.32 - 71.66.
    [(0, 0.46), (2, 0.28), (3, -0.3825), (4, 0.66)],
)
def test_the_papers_effects_are_those_of_its_tables(number, expected):
    assert claims.CLAIMS[number].paper == pytest.approx(expected, abs=1e-3)


def test_each_claim_is_answered_by_runs_of_the_profile_standard():
    runs = {run._replace(seed=0) for run in settings.get("standard").trackers.runs}
    for claim in claims.CLAIMS:
        assert set(claim.runs) <= runs, claim.text
        printed = paper.table(claim.table).set_index(paper.KEYS[claim.table]).index
        assert all((row if len(row) > 1 else row[0]) in printed for row in claim.rows)


def test_values_of_one_group_are_drawn_together():
    rng = np.random.default_rng(0)
    by_group = rng.normal(size=40)
    first, second = np.zeros((1, 400)), np.repeat(by_group, 10)[None]
    together = mean_difference(first, second, np.repeat(np.arange(40), 10))
    apart = mean_difference(first, second, np.arange(400))
    assert together.effect == pytest.approx(by_group.mean()) == apart.effect
    # Ten copies of a value are one value: the standard error is that of 40, which is about 3 times larger.
    assert 2.5 < (together.high - together.low) / (apart.high - apart.low) < 3.9
    assert together.high - together.low == pytest.approx(2 * 1.96 * by_group.std() / 40**0.5, rel=0.15)


def test_a_row_that_was_not_run_has_no_number_of_ours(tmp_path):
    row = claims._row(claims._answer(tmp_path, claims.CLAIMS[0]))
    assert np.isnan(row["ours"]) and row["verdict"] == "not testable here"
    assert np.isnan(row["blocks needed"]) and np.isnan(row["seeds needed"])


def test_a_claim_without_a_number_is_one_of_a_direction():
    assert claims.verdict(np.nan, 0.1, 0.2) == "reproduced"
    assert claims.verdict(np.nan, -0.1, 0.2) == "not testable here"
    assert claims.verdict(np.nan, -0.2, -0.1) == "contradicted"


def test_what_is_needed_for_an_effect():
    # A width of 2 over 9 blocks is 1 over 36; Student's t of 4 and of 5 seeds: 3.182 and 2.776.
    found = Difference(0.0, -2.0, 2.0, blocks=9, seeds=4, blocks_width=2.0, seeds_width=3.182 / 2)
    assert found.blocks_needed(1.0) == found.blocks_needed(-1.0) == 36
    assert found.seeds_needed(3.182 / 2 + 1e-3) == 4 and found.seeds_needed(2.776 / 5**0.5 + 1e-3) == 5
    assert found.blocks_needed(100.0) == found.seeds_needed(100.0) == 2
    assert np.isnan(found.blocks_needed(np.nan)) and np.isnan(NOTHING.seeds_needed(1.0))


# --- the claims of Tables 5 and 6, Fig. 8 and 9 -------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "axis", "measure", "level", "lead"),
    # 92.88 - 89.56, 92.36 - 91.93, and of what is missing 4.79 - 8.21 and 12.21 - 13.15.
    [
        (5, "row", "WA", 92.88, 3.32),
        (6, "column", "WA", 92.36, 0.43),
        (5, "row", "MA", 4.79, -3.42),
        (6, "column", "MA", 12.21, -0.94),
    ],
)
def test_the_papers_lead_is_that_over_the_next_best(number, axis, measure, level, lead):
    found = matcher_claims._printed_lead(number, axis, measure, less_is_better=measure == "MA")
    assert found == pytest.approx((level, lead))


def blocks_of(network, wa, ma, seed=0, pairs="released"):
    """What notebook 03 leaves of a network: two blocks of 1 and 3 matrices, with 5 and 10 lines."""
    columns = {"discretization": "row", "block": ["a 0", "a 1"], "matrices": [1, 3], "lines": [5, 10]}
    which = {"network": network, "pairs": pairs, "seed": seed}
    return pd.DataFrame(columns | {"WA": wa, "MA": ma} | which)


def test_table_6_by_hand():
    table = pd.concat(
        [
            blocks_of("seq_gru", [90.0, 94.0], [10.0, 4.0]),
            blocks_of("seq_gru", [80.0, 84.0], [10.0, 4.0], seed=1),
            blocks_of("1d_conv", [92.0, 80.0], [4.0, 16.0]),
            blocks_of("paral_gru", [60.0, 60.0], [1.0, 1.0]),
            blocks_of("seq_gru", [0.0, 0.0], [0.0, 0.0], pairs="eq3"),
        ]
    )
    scores = matcher_claims._on_blocks(table, "released", "row", "WA", "matrices")
    level = scores.level("seq_gru")
    assert level.effect == pytest.approx(((90 + 3 * 94) / 4 + (80 + 3 * 84) / 4) / 2)  # 93 and 83
    # The ends over two blocks are the blocks' own means, 85 and 89; over seeds 88 -+ 12.706 * 7.07 / 1.414.
    assert (level.low, level.high) == pytest.approx((88 - 63.53, 88 + 63.53), abs=0.01)
    assert level.blocks_width == pytest.approx(2.0) and (level.blocks, level.seeds) == (2, 2)
    rival, lead = scores.lead()
    assert rival == "1d_conv" and lead.effect == pytest.approx(88 - (92 + 3 * 80) / 4)
    missing = matcher_claims._on_blocks(table, "released", "row", "MA", "lines")
    rival, lead = missing.lead(less_is_better=True)
    assert rival == "paral_gru" and lead.effect == pytest.approx((5 * 10 + 10 * 4) / 15 - 1)


def test_blocks_pool_to_the_table(tmp_path):
    rng = np.random.default_rng(0)
    scores = pd.DataFrame({"N": rng.integers(1, 9, 30), "M": rng.integers(1, 9, 30)})
    for name in [f"{measure}_{axis}" for measure in ("WA", "MA", "SA") for axis in ("row", "column")]:
        scores[name] = rng.random(30)
    found = matrices.by_block(scores, rng.choice(["a 0", "a 1", "b 0"], 30))
    pooled = matching.pool(scores)
    for axis, part in found.groupby("discretization"):
        assert part["matrices"].sum() == 30 and len(part) == 3
        assert np.average(part["WA"], weights=part["matrices"]) == pytest.approx(pooled[f"WA_{axis}"])
        assert np.average(part["MA"], weights=part["lines"]) == pytest.approx(pooled[f"MA_{axis}"])


@pytest.mark.slow
def test_each_clip_lies_in_a_block_of_its_sequence(tmp_path):
    sequences = synthetic.write_sequences(tmp_path, 2, 204, (96, 128))
    found = matrices.blocks(sequences)
    # 102 frames train, of which 101 have a next one; three detectors have the same images.
    assert len(found) == len(list(matrices.clips(sequences))) == 2 * 3 * 101
    counts = np.unique(found, return_counts=True)[1]
    assert counts.tolist() == [150, 150, 3] * 2


def fig8_scores():
    """WA of four matrices a size: 60 at the smallest, then 80 less 10 for each 100; the others have less."""
    rows = []
    for place, network in enumerate(matcher_claims.NETWORKS):
        for size, wa in ((2, 60.0), (10, 79.0), (50, 75.0), (300, 50.0)):
            for matrix, noise in enumerate((-1.0, 1.0, -1.0, 1.0)):
                for axis, apart in (("row", 0.5), ("column", -0.5)):
                    value = wa - 5 * place + noise + apart
                    rows.append((network, size, matrix, axis, value))
    return pd.DataFrame(rows, columns=["network", "size", "matrix", "discretization", "WA"])


def test_fig_8_by_hand():
    lead, fall, variants, small = matcher_claims._fig8(fig8_scores())
    assert "seq_lstm" in lead.claim and lead.ours.effect == pytest.approx(5.0)
    assert fall.ours.effect == pytest.approx(10.0) == variants.ours.effect
    assert small.ours.effect == pytest.approx((79 + 75) / 2 - 60)
    assert {one.ours.blocks for one in (lead, fall, variants, small)} == {4}
    assert all(claims.verdict(one.paper, one.ours.low, one.ours.high) == "reproduced" for one in (lead, fall))


def test_fig_8_of_one_size_has_no_fall():
    scores = fig8_scores().query("size == 10")
    lead, *others = matcher_claims._fig8(scores)
    assert lead.ours.effect == pytest.approx(5.0) and all(one.ours is NOTHING for one in others)


def test_fig_9_by_hand():
    frames = pd.DataFrame(
        {
            "loss": matcher_claims.COUNTS,
            "matcher": ["seq_gru"] * 4 + ["1d_conv"],
            "block": ["a 0", "a 0", "a 1", "b 0", "a 0"],
            "pull": [0.5, 0.7, 0.9, 0.8, -1.0],
            "cosine to counted": [-0.2, 0.2, 0.4, 0.9, -1.0],
            "size": [1.0, 1.0, 1.0, 1e-9, 1.0],  # the last of the four is next to nothing: 0
        }
    )
    found = {(one.measure, one.claim): one.ours for one in matcher_claims._fig9(frames)}
    pull = next(
        ours
        for (measure, claim), ours in found.items()
        if measure == "pull" and "counts alone" in claim and "100" in claim
    )
    assert pull.effect == pytest.approx((0.5 + 0.7 + 0.9 + 0) / 4) and (pull.blocks, pull.seeds) == (3, 1)
    assert pull.low >= 0 and pull.high <= 0.9
    cosine = next(ours for (measure, claim), ours in found.items() if "improves" in claim and "100" in claim)
    assert cosine.effect == pytest.approx(0.4 / 4) and cosine.low == 0


def test_without_runs_each_claim_stands_without_a_number(smoke):
    judged = claims.table(smoke)
    assert judged["ours"].isna().all() and (judged["verdict"] == claims.NO_EVIDENCE).all()
    sources = {f"Table {number}" for number in range(1, 7)} | {"Fig. 8", "Fig. 9"}
    assert set(judged["paper's table"]) == sources


def test_each_claim_leads_to_a_heading_of_a_notebook(smoke):
    notebooks = Path(__file__).parents[1] / "notebooks"
    for place in claims.table(smoke)["shown in"].unique():
        name, heading = place.split("#")
        cells = nbformat.read(notebooks / f"{name}.ipynb", as_version=4).cells
        lines = [line for one in cells if one.cell_type == "markdown" for line in one.source.split("\n")]
        assert any(line.lstrip("#") == f" {heading}" for line in lines if line.startswith("#")), place
