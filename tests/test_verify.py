"""A run beside the published one: what may differ, what may not, and that a broken loss is seen."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import deepmot_lib.loss
from deepmot_lib import matchers
from deepmot_lib.data import synthetic
from deepmot_lib.experiments import tables
from deepmot_lib.experiments.gradient_quality import compare as compare_gradients
from deepmot_lib.loss import DeepMOTLoss
from deepmot_lib.report import verify
from deepmot_lib.training import objectives, trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.deepmot import DeepMOTTraining
from deepmot_lib.training.schedules import TrackerSchedule

from .test_deepmot_training import shifter
from .test_gradient_quality import OBJECTS, SIZE, clip

TABLE = pd.DataFrame(
    {
        "method": ["Base", "+head"],
        "MOTA (paper)": [60.0, 60.4],
        "MOTA (ours)": [50.0, 52.0],
        "MOTA std": [0.2, 4.0],
        "FPS": [10.0, 9.0],
        "seeds": [3, 3],
    }
)


def write(folder, name, frame):
    tables.write(folder / f"{name}.csv", frame, tables.provenance(profile="smoke"))


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The tables of a run and those that are published."""
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "smoke" / "tables", tmp_path / "reports" / "smoke" / "tables"


def differences(found, evidence=True, name="table1"):
    return [(one.row, one.column) for one in verify.compare(name, TABLE, found, evidence).differences]


def test_within_the_tolerance_or_the_spread_of_the_seeds():
    assert not differences(TABLE.assign(FPS=[1.0, 1.0]))
    assert not differences(TABLE.assign(**{"MOTA (ours)": [52.9, 63.9]})), "three points, or three deviations"
    assert differences(TABLE.assign(**{"MOTA (ours)": [53.1, 64.1]})) == [
        ("Base", "MOTA (ours)"),
        ("+head", "MOTA (ours)"),
    ]
    assert not differences(TABLE.assign(**{"MOTA (ours)": [36.0, 52.0]}), evidence=False)


def test_what_must_be_equal():
    assert differences(TABLE.assign(**{"MOTA (paper)": [60.0, 60.5]})) == [("+head", "MOTA (paper)")]
    assert differences(TABLE.assign(seeds=[3, 2])) == [("+head", "seeds")]
    assert differences(TABLE, name="evaluation_x") == []
    assert verify.rule_for("of_no_rule", "a", "b")[3:6] == (0, 0, 1)


def test_tables_without_text_and_with_text_for_a_number():
    numbers = pd.DataFrame({"x": [1.0, 2.0]})
    assert not verify.compare("x", numbers, numbers, True).differences
    found = verify.compare("x", numbers, numbers.assign(x=[1.0, 3.0]), True).differences
    assert [(one.row, one.reference, one.found) for one in found] == [("row #2", 2.0, 3.0)]
    assert len(verify.compare("x", numbers, pd.DataFrame({"x": ["a", "b"]}), True).differences) == 2


def test_cells_rows_and_columns_that_only_one_has():
    emptied = TABLE.assign(**{"MOTA (ours)": [50.0, np.nan]})
    assert differences(emptied) == [("+head", "MOTA (ours)")]
    assert differences(TABLE.iloc[:1]) == [("+head", "the row")]
    assert differences(pd.concat([TABLE, TABLE.iloc[:1]])) == [("Base #2", "the row")]
    assert differences(TABLE.drop(columns="seeds")) == [("all rows", "seeds")]
    assert differences(TABLE.assign(new=1)) == [("all rows", "new")]
    assert not differences(TABLE.iloc[::-1]), "the order of rows says nothing"


def test_the_command_prints_what_agrees_and_ends_with_1_where_something_does_not(places, capsys):
    run, published = places
    assert verify.main(["smoke"]) == 1
    assert "nothing is published there" in capsys.readouterr().err
    for folder in places:
        write(folder, "table1", TABLE)
        write(folder, "costs", pd.DataFrame({"network": ["a"], "ms": [1.0]}))
    assert verify.main(["smoke"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "skipped  costs: times of a machine",
        "agrees   table1: 6 numbers, 4 not compared",
        "1 tables agree, 0 do not; 6 numbers were compared",
    ]
    write(run, "table1", TABLE.assign(**{"MOTA (ours)": [5.0, 52.0]}))
    write(published, "table9", TABLE)
    assert verify.main(["smoke"]) == 1
    told = capsys.readouterr().out
    assert "DIFFERS  table1: 1 of 6 numbers" in told
    assert "Base, MOTA (ours): 50 published, 5 here (may differ by 15: trained trackers, percent)" in told
    assert "DIFFERS  table9: the run has not made it" in told


def test_a_sample_of_the_tables(places, capsys):
    run, published = places
    for name in ("table1", "dhn_a", "dhn_b"):
        write(published, name, TABLE)
    write(run, "dhn_a", TABLE)
    write(run, "dhn_b", TABLE)
    assert verify.main(["smoke", "dhn_*"]) == 0
    assert "2 tables agree, 0 do not" in capsys.readouterr().out
    assert verify.main(["smoke", "dhn_*", "table2"]) == 1
    assert "no table table2 is published" in capsys.readouterr().err


# --- a broken loss ------------------------------------------------------------------------------------------


def measured(folder, sequence, noise=0.0):
    """Write what a run writes of the loss: gradients without a trained network, and a training's losses."""
    names = ("hungarian", "sinkhorn", "softmax")
    loss, tracks = DeepMOTLoss(), OBJECTS.clone()
    tracks[0, [0, 2]] += 15
    controls = {name: matchers.create(name) for name in names}
    frame = compare_gradients(controls, [(clip(tracks), SIZE)], "sinkhorn", loss)
    write(folder, "gradients", frame.assign(loss="dMOTA + 5 dMOTP, scale 100"))
    tracker = shifter()
    with torch.no_grad():
        tracker.shift += noise
    matcher = matchers.create("sinkhorn", eps_end=0.05, rounds=30)
    schedule = TrackerSchedule(steps=6, reid_steps=1, learning_rate=0.02, validations=0)
    training = DeepMOTTraining(tracker, [sequence], "dMOTA+dMOTP", matcher, schedule, 0)
    history = trainer.train(training, CheckpointFile(folder.parent / f"{noise}.pt", {}))
    (folder.parent / f"{noise}.pt").unlink()
    write(folder, "training_shifter", history)


BROKEN = {
    "sign of dMOTA": (deepmot_lib.loss, "dmota", lambda fp, fn, ids, num, gamma: 1 + (fp + fn + ids) / num),
    "sign of dMOTP": (
        deepmot_lib.loss,
        "dmotp",
        lambda d, b: 1 + (d * b).sum((-2, -1)) / b.sum((-2, -1)).clamp(min=1),
    ),
    "weight of dMOTP": (objectives, "LAMBDA", 20.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, *BROKEN])
def test_a_broken_loss_is_seen_and_another_processor_is_not(places, tmp_path, monkeypatch, capsys, name):
    run, published = places
    sequence = synthetic.write_sequences(tmp_path / "data", 1, 16, (96, 128))[0]
    measured(published, sequence)
    if name:
        monkeypatch.setattr(*BROKEN[name])
    measured(run, sequence, noise=0.005)
    assert verify.main(["smoke"]) == (0 if name is None else 1), capsys.readouterr().out


def test_each_column_of_the_published_tables_has_a_rule_of_its_own():
    """Equality of all numbers is what is left where nobody has thought about it."""
    for file in sorted((Path(__file__).parents[1] / "reports").glob("*/tables/*.csv")):
        table, _ = tables.read(file)
        for column in map(str, table):
            if not verify._is_key(table[column], column):
                assert verify.rule_for(file.stem, "", column) is not verify.RULES[-1], (file.name, column)
