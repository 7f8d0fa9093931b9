"""Trainings of one network of several lengths: each with its own files, on the same pairs."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from deepmot_lib.experiments import lengths, matchers, tables
from deepmot_lib.experiments.experiment import Experiment
from deepmot_lib.experiments.pairs import MatcherData
from deepmot_lib.experiments.settings import MatcherRun
from deepmot_lib.training import trainer

from .test_pairs import random_pairs

RUN = MatcherRun("seq_gru", "eq3", 0)


@pytest.fixture
def tiny(smoke) -> Experiment:
    """An experiment that trains in a moment for 2, 4 or 6 steps, with pairs of its own."""
    quick = dataclasses.replace(smoke.settings.dhn, steps=4, hidden_size=4, test_pairs=None)
    chosen = dataclasses.replace(smoke.settings, dhn=quick, dhn_runs=(RUN,), dhn_lengths=(6, 2))
    data = MatcherData(
        random_pairs([(3, 4)] * 8), random_pairs([(3, 3)] * 8, seed=1), np.arange(8) < 4, "some"
    )
    return dataclasses.replace(smoke, settings=chosen, _pairs={"eq3": data})


def test_they_come_in_ascending_order_with_files_of_their_own(tiny):
    found = list(lengths.every(tiny))
    assert [one.settings.dhn.steps for one in found] == [2, 4, 6]
    assert found[1] is tiny
    assert len({one.paths.root for one in found}) == 3
    assert all(one.pairs("eq3") is tiny.pairs("eq3") for one in found), "no pairs are made again"


def test_the_longest_is_the_longest_that_was_scored(tiny):
    assert lengths.longest(tiny) is None
    matchers.complete(tiny, [RUN])
    assert lengths.longest(tiny) is tiny
    matchers.complete(lengths.of_length(tiny, 2), [RUN])
    assert lengths.longest(tiny) is tiny
    matchers.complete(lengths.of_length(tiny, 6), [RUN])
    assert lengths.longest(tiny).settings.dhn.steps == 6


def test_each_row_is_what_its_training_scores(tiny, monkeypatch):
    found, origins = lengths.table(tiny)
    monkeypatch.setattr(trainer, "train", None)
    pd.testing.assert_frame_equal(lengths.table(tiny)[0], found)  # nothing is trained again
    assert found["steps"].tolist() == [2] * 4 + [4] * 4 + [6] * 4
    assert len({made_from["weights"] for made_from in origins}) == 3
    assert [made_from["schedule"].split()[0] for made_from in origins] == ["2", "4", "6"]
    before = {}
    for one in lengths.every(tiny):
        scores = matchers.score(one, RUN, matchers.train(one, RUN))
        measures, _ = tables.read(matchers.table_file(one, RUN))
        for row in found[found["steps"] == one.settings.dhn.steps].to_dict("records"):
            key = (row["discretization"], row["pairs"])
            pairs = slice(0, 4) if row["pairs"] == "unseen" else slice(None)
            wa = 100 * scores[f"WA_{row['discretization']}"].iloc[pairs].mean()
            assert row["WA"] == pytest.approx(wa) and row["low"] <= row["WA"] <= row["high"]
            if key in before:
                assert row["gain"] == pytest.approx(wa - before[key])
                assert row["gain low"] <= row["gain"] <= row["gain high"]
            else:
                assert np.isnan(row["gain"])
            before[key] = wa
            own = measures.set_index(["discretization", "pairs"]).loc[key]
            assert (row["MA"], row["SA"]) == (own["MA"], own["SA"])
