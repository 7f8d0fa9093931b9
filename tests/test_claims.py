"""The rule by which claims are judged, and the table that it makes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepmot_lib import paper
from deepmot_lib.evaluation.intervals import mean_difference
from deepmot_lib.experiments import claims, settings

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


def test_a_row_that_was_not_run_has_no_number_of_ours(monkeypatch):
    monkeypatch.setattr(claims, "_blocks", lambda experiment, run: pd.DataFrame())
    row = claims._row(None, claims.CLAIMS[0])
    assert np.isnan(row["ours"]) and row["verdict"] == "not testable here"
