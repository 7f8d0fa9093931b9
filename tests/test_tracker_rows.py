"""Rows of Tables 1 to 3 out of hand-written measures."""

import pandas as pd
import pytest

from deepmot_lib import evaluation, paper
from deepmot_lib.experiments import rows, tables
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.report.tables import beside

PAPER_KEYS = {1: ["training", "method"], 2: ["loss"], 3: ["tracker", "training"]}


def write(folder, run: tuple, seed=0, **changed):
    """The table of a run: sequence A and all of them, which differ in what is ``changed``."""
    measures = dict.fromkeys(evaluation.COLUMNS, 0.5) | {"GT": 8, "MT": 2, "PT": 2, "ML": 4}
    measures |= {"FP": 3, "FN": 40, "IDs": 6, "FM": 1}
    frame = pd.DataFrame(
        [{"sequence": "A", **measures}, {"sequence": evaluation.OVERALL, **measures, **changed}]
    )
    frame = frame.assign(**dict(zip(rows.KEYS, run, strict=True)), seed=seed)
    made_from = tables.provenance(profile="smoke", seeds=[seed])
    tables.write(folder / f"tracker_{'_'.join(run)}_seed{seed}.csv", frame, made_from)


VANILLA = ("tracktor", "vanilla", "none", "none", "release")
DEEPMOT = ("tracktor", "dMOTA+dMOTP", "head", "seq_gru", "release")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, VANILLA, MOTA=0.61, IDF1=0.7, HOTA=0.25, MOTP=0.9)
    for seed, mota, switches in ((0, 0.62, 10), (1, 0.64, 12), (2, 0.66, 17)):
        write(tmp_path, DEEPMOT, seed, MOTA=mota, IDs=switches)
    return tmp_path


def test_measures_are_in_percent_and_shares(folder):
    frame, made_from = rows.read(folder)
    assert list(frame) == [*rows.KEYS, "seed", "sequence", *rows.MEASURES] and len(frame) == 8
    found = frame[(frame["loss"] == "vanilla") & (frame["sequence"] == "OVERALL")].iloc[0]
    assert found[rows.MEASURES].tolist() == pytest.approx([61, 90, 70, 25, 50, 3, 40, 6, 25])
    assert found["reid"] == found["matcher"] == "none", "a name, not an empty cell"
    assert sorted(notes["seeds"][0] for notes in made_from) == [0, 0, 1, 2]


def test_seeds_are_pooled(folder):
    pooled = rows.pool(rows.read(folder)[0]).set_index("loss")
    ours = pooled.loc["dMOTA+dMOTP"]
    assert (ours["MOTA"], ours["IDS"], ours["seeds"]) == (pytest.approx(64), 13, 3)
    assert ours["MOTA std"] == pytest.approx(2), "of 62, 64 and 66, by n - 1"
    assert ours["IDS std"] == pytest.approx(13**0.5) and ours["IDF1 std"] == pytest.approx(0)
    assert pooled.loc["vanilla", "seeds"] == 1 and pooled.loc["vanilla", "MOTA std":].isna().all()
    assert rows.pool(rows.read(folder)[0], "A").set_index("loss").loc["dMOTA+dMOTP", "IDS"] == 6


def test_a_table_has_the_papers_keys_and_leaves_out_what_was_not_run(folder):
    pooled = rows.pool(rows.read(folder)[0])
    first = rows.table(1, pooled)
    assert first[["training", "method", "MOTA"]].values.tolist() == [
        ["Vanilla", "Base", pytest.approx(61)],
        ["DeepMOT", "+ReIDhead", pytest.approx(64)],
    ]
    assert rows.table(2, pooled)["loss"].tolist() == ["dMOTA+dMOTP"]
    third = rows.table(3, pooled)
    assert third[["tracker", "training"]].values.tolist() == [["Tracktor", "DeepMOT"]]
    assert third["MOTA"].dtype == float and third["seeds"].tolist() == [3]
    both = beside(paper.table(1), first, PAPER_KEYS[1])
    assert len(both) == 5 and both["MOTA (ours)"].tolist()[::4] == pytest.approx([61, 64])


def test_nothing_run_is_an_empty_table(folder):
    (folder / "other").mkdir()
    write(folder / "other", ("tracktor", "vanilla", "external", "min_sum", "release"))
    pooled = rows.pool(rows.read(folder / "other")[0])
    assert rows.table(1, pooled).empty
    assert len(beside(paper.table(1), rows.table(1, pooled), PAPER_KEYS[1])) == 5


def test_losses_beyond_the_paper_stand_below_those_that_they_are_compared_with(folder):
    write(folder, ("tracktor", "soft_hota", "head", "seq_gru", "release"), MOTA=0.7)
    write(folder, ("tracktor", "unitrack", "none", "none", "release"), MOTA=0.5)
    beyond = rows.beyond(rows.pool(rows.read(folder)[0]))
    assert beyond[["re-identification", "loss", "MOTA"]].values.tolist() == [
        ["nobody", "Vanilla", pytest.approx(61)],
        ["nobody", "after UniTrack", pytest.approx(50)],
        ["ReID head", "DeepMOT", pytest.approx(64)],
        ["ReID head", "soft HOTA", pytest.approx(70)],
    ]
    for profile in profiles.PROFILES:
        assert set(rows.BEYOND.values()) <= {run[:5] for run in profiles.get(profile).trackers.runs}


def test_no_tables_say_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no tracker has been scored yet: run notebook 07"):
        rows.read(tmp_path)


@pytest.mark.parametrize("number", rows.TABLES)
def test_the_papers_rows_are_answered_by_runs_that_are_made(number):
    printed = list(paper.table(number)[PAPER_KEYS[number]].itertuples(index=False, name=None))
    assert [key for key in rows.TABLES[number] if key in printed] == printed, "all, in the paper's order"
    for profile in ("standard", "paper"):
        made = {run[:5] for run in profiles.get(profile).trackers.runs}
        assert set(rows.TABLES[number].values()) <= made
