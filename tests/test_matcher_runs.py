"""A run of a matcher, its files and tables; what it costs."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from deepmot_lib import matchers
from deepmot_lib.evaluation import matching
from deepmot_lib.experiments import lengths, settings, tables, timing
from deepmot_lib.experiments import matchers as study
from deepmot_lib.experiments.experiment import Experiment, Paths
from deepmot_lib.experiments.folders import data_folder
from deepmot_lib.experiments.pairs import MatcherData
from deepmot_lib.experiments.settings import MatcherRun
from deepmot_lib.training import trainer

from .test_pairs import random_pairs

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(smoke) -> Experiment:
    """An experiment that trains in a moment, with pairs of its own."""
    quick = dataclasses.replace(smoke.settings.dhn, steps=4, hidden_size=4, test_pairs=6)
    runs = (
        MatcherRun("seq_gru", "eq3", 0),
        MatcherRun("seq_gru", "eq3", 1),
        MatcherRun("seq_lstm", "released", 0),
    )
    settings = dataclasses.replace(smoke.settings, dhn=quick, dhn_runs=runs)
    unseen = np.arange(8) % 2 == 0
    data = MatcherData(random_pairs([(3, 4)] * 8), random_pairs([(3, 3)] * 8, seed=1), unseen, "some pairs")
    return dataclasses.replace(smoke, settings=settings, _pairs={"eq3": data, "released": data})


def test_what_is_complete_is_not_made_again(tiny, monkeypatch):
    runs = [MatcherRun("seq_gru", "eq3", 0), MatcherRun("greedy", "eq3", 0)]
    study.complete(tiny, runs)
    monkeypatch.setattr(trainer, "train", None)
    study.complete(tiny, runs)
    assert len(study.history(tiny, runs[0])) == 4
    frame, made_from = tables.read(study.table_file(tiny, runs[0]))
    assert made_from["seeds"] == [0] and made_from["weights"] and "4 steps" in made_from["schedule"]
    assert frame["distances"].unique().tolist() == ["eq3"]
    assert sorted(frame["matrices"].unique()) == [3, 6] or frame["matrices"].max() == 6
    _, made_from = tables.read(study.table_file(tiny, runs[1]))
    assert made_from["seeds"] == [] and made_from["weights"] is None, "nothing of a control is trained"


def test_a_table_without_its_weights_is_made_again(tiny):
    run = MatcherRun("seq_gru", "eq3", 0)
    study.complete(tiny, [run])
    weights = study.folder(tiny, run) / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    study.complete(tiny, [run])
    assert weights.read_bytes() == before


def test_the_networks_of_a_kind_of_pairs_come_back_as_trained(tiny):
    run = MatcherRun("seq_gru", "eq3", 0)
    trained = study.train(tiny, run)
    found = study.networks(tiny, "eq3")
    assert list(found) == ["seq_gru"], "no other pairs, and one seed"
    distance = torch.rand(1, 3, 4)
    assert torch.equal(found["seq_gru"](distance), trained.matcher(distance))
    with pytest.raises(FileNotFoundError):
        study.history(tiny, MatcherRun("seq_lstm", "released", 0))


def test_what_ships_is_the_run_and_says_how_it_scores(tiny, tmp_path, monkeypatch):
    run = MatcherRun("seq_gru", "eq3", 0)
    trained = study.train(tiny, run)
    scores = study.score(tiny, run, trained)
    target = tmp_path / "weights"
    target.mkdir()
    card = json.loads(study.ship(tiny, run, target).read_text())
    monkeypatch.setattr(matchers, "WEIGHTS", target)
    distance = torch.rand(1, 3, 4)
    assert torch.equal(matchers.load("seq_gru", pairs="eq3")(distance), trained.matcher(distance))
    assert card["measures"]["all"]["matrices"] == 6
    assert card["measures"]["all"]["WA_row"] == pytest.approx(100 * scores["WA_row"].mean(), abs=0.006)
    assert card["options"] == {"hidden_size": 4} and "4 steps" in card["schedule"]


def test_what_ships_is_taken_where_it_is_what_a_run_would_make(tiny, tmp_path, monkeypatch):
    run = MatcherRun("seq_gru", "eq3", 0)
    study.complete(tiny, [run])
    before = study.train(tiny, run)
    monkeypatch.setattr(matchers, "WEIGHTS", tmp_path / "weights")
    study.ship(tiny, run, matchers.WEIGHTS)
    elsewhere = dataclasses.replace(tiny, paths=Paths(tmp_path / "elsewhere"))
    with monkeypatch.context() as without_training:
        without_training.setattr(trainer, "train", None)
        taken = study.train(elsewhere, run)
        study.score(elsewhere, run, taken)
        pd.testing.assert_frame_equal(taken.history, before.history)
        distance = torch.rand(1, 3, 4)
        assert torch.equal(taken.matcher(distance), before.matcher(distance))
        for other in (run._replace(seed=1), run._replace(pairs="released")):
            with pytest.raises(TypeError, match="NoneType"):
                study.train(elsewhere, other)
    longer = dataclasses.replace(tiny.settings, dhn=dataclasses.replace(tiny.settings.dhn, steps=5))
    anew = study.train(dataclasses.replace(tiny, settings=longer, paths=Paths(tmp_path / "longer")), run)
    assert len(anew.history) == 5, "another schedule: trained, not taken"


def test_seeds_start_from_different_weights(tiny):
    first, second = (study.train(tiny, MatcherRun("seq_gru", "eq3", seed)) for seed in (0, 1))
    assert first.weights.read_bytes() != second.weights.read_bytes()


def test_an_unknown_kind_of_pairs_lists_the_choices(smoke):
    with pytest.raises(ValueError, match="unknown kind of pairs 'euclid': choose one of released, eq3"):
        smoke.pairs("euclid")


@pytest.mark.parametrize("kind", ["released", "eq3"])
def test_shipped_weights_say_what_they_learnt_from(kind):
    for name in ("seq_gru", "min_sum"):
        assert ("Eq. 3" in matchers.card(name, kind)["data"]) == (kind == "eq3")


def test_networks_that_do_not_ship_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(matchers, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights ship for seq_lstm"):
        matchers.load("seq_lstm", pairs="eq3")


SHIPPED = sorted(matchers.WEIGHTS.glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_card_is_that_of_its_file_and_a_history_lies_beside_it(path):
    card, file = json.loads(path.read_text()), path.with_suffix(".safetensors")
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert pd.read_csv(path.with_suffix(".csv"))["step"].iloc[-1] == _steps(card)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_are_those_of_the_reports_row(path):
    """Scoring them anew takes minutes: that the file is the one that was scored, its hash tells."""
    card = json.loads(path.read_text())
    run = MatcherRun(card["name"], card["pairs"], card["seed"])
    report = Path(__file__).parents[1] / "reports" / "standard" / "tables"
    if _is_longest(card):
        frame, made_from = tables.read(report / "lengths.csv")
        frame = frame[frame["steps"] == _steps(card)]
    else:
        frame, made_from = tables.read(report / f"dhn_{run.label}.csv")
    assert card["sha256"][:12] in made_from["weights"].split("; ")
    for row in frame.itertuples():
        for measure in ("WA", "MA", "SA"):
            told = card["measures"][row.pairs][f"{measure}_{row.discretization}"]
            assert told == pytest.approx(getattr(row, measure), abs=0.0051)


def _is_longest(card):
    """The network that is trained for longer ships as its longest training left it."""
    run = lengths.run(settings.get("standard"))
    return (card["name"], card["pairs"], card["seed"]) == run


def _steps(card):
    standard = settings.get("standard")
    return max(standard.dhn_lengths) if _is_longest(card) else standard.schedule(card["name"]).steps


@pytest.mark.skipif(data_folder() is None, reason="needs DEEPMOT_DATA")
@pytest.mark.parametrize("path", [path for path in SHIPPED if "eq3" not in path.stem], ids=lambda p: p.stem)
def test_shipped_weights_score_what_their_card_says(path):
    """On 100 of the test pairs, whose mean WA has a standard error of about one point.

    Pairs of Eq. 3's distances take a minute to be made.
    """
    card = json.loads(path.read_text())
    test = Experiment.open("standard", "cpu").pairs(card["pairs"]).test
    scores = matching.score(matchers.load(card["name"], pairs=card["pairs"]), test, test.sample(100))
    for axis in matching.AXES:
        told = card["measures"]["all"][f"WA_{axis}"]
        assert 100 * scores[f"WA_{axis}"].mean() == pytest.approx(told, abs=5)


def test_the_hungarian_is_right_at_every_size_of_fig_8():
    scores = timing.accuracy_by_size({"hungarian": matchers.load("hungarian")}, [2, 7, 20], count=3)
    assert len(scores) == 3 * 3 * 2
    assert (scores["WA"] == 100).all()


def test_fig_8s_matrices_are_the_same_for_every_matcher_and_differ_in_size_and_number():
    assert torch.equal(timing.uniform(3, 5), timing.uniform(3, 5))
    assert not torch.equal(timing.uniform(2, 5)[0], timing.uniform(2, 5)[1])
    assert timing.uniform(10, 30).mean().item() == pytest.approx(0.5, abs=0.02)


def test_costs_are_told_beside_scipys():
    table = timing.costs({"greedy": matchers.load("greedy")}, [4, 6])
    assert table["network"].tolist() == ["scipy", "greedy"] * 2
    ratio = table["ms"].to_numpy()[1::2] / table["ms"].to_numpy()[::2]
    np.testing.assert_allclose(table["times scipy"].to_numpy()[1::2], ratio)
    assert (table["times scipy"].to_numpy()[::2] == 1).all()


def test_other_rounds_leave_the_network_as_it_was():
    shipped = matchers.load("min_sum")
    other = study.with_rounds(shipped, 3)
    assert (other.core.rounds, shipped.core.rounds) == (3, 20)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), shipped.parameters(), strict=True))


def test_a_slow_job_is_run_once_and_a_quick_one_several_times(monkeypatch):
    calls = []
    timing.seconds(lambda: calls.append(linear_sum_assignment(np.eye(3))))
    assert len(calls) == 6
    monkeypatch.setattr(timing, "_SLOW_S", 0.0)
    timing.seconds(lambda: calls.append(0))
    assert len(calls) == 7


def test_more_rounds_cost_more_and_get_more_right():
    pairs = random_pairs([(9, 9)] * 40)
    sweep = {"sinkhorn": [("2", matchers.create("sinkhorn", rounds=2)), ("200", matchers.create("sinkhorn"))]}
    table = timing.price_of_accuracy(sweep, pairs, np.arange(40))
    assert table["setting"].tolist() == ["2", "200"]
    assert table["WA"].is_monotonic_increasing and table["ms"].is_monotonic_increasing
