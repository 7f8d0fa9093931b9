"""The paper's numbers against the paper's own arithmetic: what follows from a table must be in it."""

import os

import numpy as np
import pandas as pd
import pytest

from deepmot_lib import paper
from deepmot_lib.data import mot
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments.folders import data_folder

#: Tables 1 to 3 count the last quarters once for each of the three public detectors.
VALIDATION_BOXES = 3 * 27_015
VALIDATION_TRACKS = 3 * 241
#: Pedestrian boxes of the test sequences that motchallenge.net publishes; MOT17 counts each three times.
TEST_BOXES = {"MOT16": 182_326, "MOT17": 3 * 188_076}


def implied_boxes(table: pd.DataFrame, half: float) -> tuple[pd.Series, pd.Series]:
    """The smallest and largest number of boxes for which MOTA = 1 - errors / boxes rounds to what is printed;
    ``half`` is half a unit of the last digit."""
    errors = table[["FP", "FN", "IDS"]].sum(axis=1)
    return errors / (1 - (table.MOTA - half) / 100), errors / (1 - (table.MOTA + half) / 100)


def value(number: int, column: str, **row: str) -> float:
    """The one entry of a table's column in the row with these values."""
    table = paper.table(number)
    for name, wanted in row.items():
        table = table[table[name] == wanted]
    return table[column].item()


# --- the tables ---------------------------------------------------------------------------------------------


def test_the_ablations_count_the_same_boxes():
    rows = pd.concat([paper.table(number) for number in (1, 2, 3)], ignore_index=True)
    off = (rows.training == "Vanilla") & (rows.method == "Base")
    low, high = implied_boxes(rows, 0.005)
    # To the unit: only 81,044 to 81,046 boxes fit all rows.
    assert low[~off].max() < VALIDATION_BOXES < high[~off].min()
    assert high[~off].min() - low[~off].max() < 3
    # The one row whose MOTA its counts do not give. Printed so: the text's +0.23 goes with it.
    assert off.sum() == 1 and rows.MOTA[off].item() == 59.97
    errors = rows.loc[off, ["FP", "FN", "IDS"]].to_numpy().sum()
    assert round(100 * (1 - errors / VALIDATION_BOXES), 2) == 59.99


def test_the_benchmarks_count_the_test_sets():
    table = paper.table(4)
    for benchmark, boxes in TEST_BOXES.items():
        rows = table[table.benchmark == benchmark]
        low, high = implied_boxes(rows, 0.0501)
        assert len(rows) == 11 and (low < boxes).all() and (boxes < high).all()


def test_rows_that_several_tables_show():
    one, two, three = (paper.table(number).set_index(paper.table(number).columns[0]) for number in (1, 2, 3))
    measures = ["MOTA", "MOTP", "IDF1", "MT", "ML", "FP", "FN", "IDS"]
    tracktor = three.loc["Tracktor"].set_index("training")[measures]
    vanilla, head = (
        one.loc[name].set_index("method")[measures].loc[method]
        for name, method in (("Vanilla", "+ReIDext"), ("DeepMOT", "+ReIDhead"))
    )
    assert vanilla.equals(two.loc["Vanilla", measures].astype(float))
    assert vanilla.equals(tracktor.loc["Vanilla"])
    assert head.equals(two.loc["dMOTA+dMOTP", measures].astype(float))
    assert head.equals(tracktor.loc["DeepMOT"])
    assert tracktor.loc["Smooth L1"].equals(two.loc["Smooth L1", measures].astype(float))


def test_the_ablations_count_the_same_tracks():
    # MT and ML are k / tracks: of all numbers of tracks up to a thousand only one gives every share printed.
    shares = pd.concat([paper.table(number)[["MT", "ML"]] for number in (1, 2, 3)]).stack().to_numpy()
    tracks = np.arange(1, 1001)[:, None]
    nearest = 100 * np.rint(shares * tracks / 100) / tracks
    fits = (abs(nearest - shares) < 0.0051).all(axis=1)
    assert tracks[fits].tolist() == [[VALIDATION_TRACKS]]


@pytest.mark.skipif(not os.environ.get("DEEPMOT_DATA"), reason="DEEPMOT_DATA is not set")
def test_our_last_quarters_are_what_the_ablations_count():
    boxes, tracks, frames = 0, 0, 0
    for sequence in mot.find_sequences(data_folder() / "MOT17-labels"):
        part = mot.split(sequence)["test"]
        rows = mot.pedestrians(sequence.gt())
        rows = rows[rows.frame.isin(part)]
        boxes, tracks, frames = boxes + len(rows), tracks + rows.id.nunique(), frames + len(part)
    assert tracks == VALIDATION_TRACKS
    # A few frames are on the other side of the border: 1,328 in the paper.
    assert boxes == pytest.approx(VALIDATION_BOXES, rel=0.003)
    assert frames == pytest.approx(3 * 1_328, rel=0.005)


@pytest.mark.parametrize("number", [5, 6])
def test_every_network_in_both_discretisations(number):
    table = paper.table(number)
    networks = ["seq_gru", "seq_lstm", "paral_gru", "paral_lstm", "1d_conv"]
    assert table.discretization.tolist() == ["row"] * 5 + ["column"] * 5
    assert table.network.tolist() == networks * 2
    # The text: the proposed network has the highest WA and the fewest missing assignments in all cases.
    for _, rows in table.groupby("discretization"):
        assert rows.network[rows.WA.idxmax()] == rows.network[rows.MA.idxmin()] == "seq_gru"


def test_percent_and_counts():
    for number in range(1, 7):
        table = paper.table(number)
        assert table.notna().all(axis=None) and not table.duplicated().any()
        numbers = table.select_dtypes("number")
        counts = numbers.columns.intersection(["FP", "FN", "IDS"])
        assert all(pd.api.types.is_integer_dtype(table[name]) for name in counts)
        assert numbers.drop(columns=counts).stack().between(0, 100).all()
        assert table.attrs["number"] == number and table.attrs["caption"].endswith(".")


# --- the text against the tables ----------------------------------------------------------------------------

VANILLA, DEEPMOT = {"training": "Vanilla"}, {"training": "DeepMOT"}
EXT, HEAD, BASE = {"method": "+ReIDext"}, {"method": "+ReIDhead"}, {"method": "Base"}


@pytest.mark.parametrize(
    ("number", "column", "better", "worse", "quoted"),
    [
        # Sec. 5.3, on Table 1
        (1, "MOTA", VANILLA | EXT, VANILLA | BASE, 0.23),
        (1, "MOTA", DEEPMOT | EXT, DEEPMOT | BASE, 0.19),
        (1, "IDS", VANILLA | EXT, VANILLA | BASE, -174),
        (1, "IDS", DEEPMOT | EXT, DEEPMOT | BASE, -160),
        (1, "MOTA", DEEPMOT | HEAD, DEEPMOT | BASE, 0.23),
        (1, "IDS", DEEPMOT | HEAD, DEEPMOT | BASE, -191),
        (1, "MOTA", DEEPMOT | HEAD, DEEPMOT | EXT, 0.04),
        (1, "IDS", DEEPMOT | HEAD, DEEPMOT | EXT, -31),
        (1, "IDF1", DEEPMOT | HEAD, VANILLA | EXT, 1.17),
        # Sec. 5.3, on Table 3
        *(
            (3, column, {"tracker": tracker, "training": to}, {"tracker": tracker, "training": of}, quoted)
            for tracker, column, to, of, quoted in [
                ("GOTURN", "MOTA", "Smooth L1", "Pre-trained", 6.29),
                ("SiamRPN", "MOTA", "Smooth L1", "Pre-trained", 1.16),
                ("GOTURN", "MOTA", "DeepMOT", "Smooth L1", 1.81),
                ("SiamRPN", "MOTA", "DeepMOT", "Smooth L1", 0.65),
                ("GOTURN", "IDS", "DeepMOT", "Smooth L1", -211),
                ("SiamRPN", "IDS", "DeepMOT", "Smooth L1", -6),
            ]
        ),
        # Sec. 5.3, on Table 4
        *(
            (
                4,
                column,
                {"benchmark": benchmark, "method": f"DeepMOT-{tracker}"},
                {"benchmark": benchmark, "method": tracker},
                quoted,
            )
            for benchmark, tracker, column, quoted in [
                ("MOT17", "Tracktor", "MOTA", 0.2),
                ("MOT16", "Tracktor", "MOTA", 0.4),
                ("MOT17", "Tracktor", "IDF1", 1.5),
                ("MOT16", "Tracktor", "IDF1", 0.9),
                ("MOT17", "Tracktor", "IDS", -125),
                ("MOT16", "Tracktor", "IDS", -37),
                ("MOT17", "GOTURN", "MOTA", 9.8),
                ("MOT16", "GOTURN", "MOTA", 9.7),
                ("MOT17", "GOTURN", "IDS", -6536),
                ("MOT16", "GOTURN", "IDS", -2071),
            ]
        ),
        # Appendix B, on Table 5
        *(
            (
                5,
                "WA",
                {"discretization": axis, "network": "seq_gru"},
                {"discretization": axis, "network": other},
                quoted,
            )
            for axis, other, quoted in [
                ("row", "seq_lstm", 9.22),
                ("column", "seq_lstm", 6.42),
                ("row", "paral_gru", 3.32),
                ("column", "paral_gru", 2.48),
            ]
        ),
    ],
)
def test_differences_that_the_text_quotes(number, column, better, worse, quoted):
    difference = value(number, column, **better) - value(number, column, **worse)
    assert difference == pytest.approx(quoted, abs=1e-9)


@pytest.mark.parametrize(
    ("number", "network", "column", "row_wise", "column_wise"),
    [
        (5, "seq_gru", "WA", 92.88, 93.49),
        (5, "seq_gru", "MA", 4.79, 6.41),
        (5, "1d_conv", "WA", 56.43, 56.18),
        (6, "seq_gru", "WA", 92.71, 92.36),
        (6, "seq_gru", "MA", 13.17, 12.21),
        (6, "seq_gru", "SA", 9.70, 3.69),
    ],
)
def test_values_that_the_text_quotes(number, network, column, row_wise, column_wise):
    assert value(number, column, network=network, discretization="row") == row_wise
    assert value(number, column, network=network, discretization="column") == column_wise


def test_what_the_text_says_of_the_losses():
    table = paper.table(2).set_index("loss")
    vanilla, smooth, full = (table.loc[name] for name in ("Vanilla", "Smooth L1", "dMOTA+dMOTP"))
    # "a positive impact on almost all performance measures, except for MT, FP, and IDS"
    better = {name: smooth[name] > vanilla[name] for name in ("MOTA", "MOTP", "IDF1", "MT")}
    better |= {name: smooth[name] < vanilla[name] for name in ("ML", "FP", "FN", "IDS")}
    assert {name for name, yes in better.items() if not yes} == {"MT", "FP", "IDS"}
    # "a consistent improvement on all tracking evaluation measures with respect to Vanilla and Smooth L1"
    for other in (vanilla, smooth):
        assert (full[["MOTA", "MOTP", "IDF1", "MT"]] >= other[["MOTA", "MOTP", "IDF1", "MT"]]).all()
        assert (full[["ML", "FP", "FN", "IDS"]] <= other[["ML", "FP", "FN", "IDS"]]).all()
    # Without the switches in the loss there are more of them.
    assert table.IDS["dMOTA+dMOTP-IDS"] > full.IDS


# --- the text -----------------------------------------------------------------------------------------------


def test_the_paper_profile_is_the_papers_schedule():
    """Appendix A.1."""
    schedule = profiles.get("paper").dhn
    assert schedule.learning_rate == 3e-4
    assert schedule.decay == 1 - 0.05
    assert schedule.decay_every == 20_000
    assert schedule.steps == 20 * 114_483 // schedule.batch  # epochs, training pairs
    assert schedule.cost_cap is schedule.test_pairs is None


@pytest.mark.parametrize("number", [0, 7, "1", None])
def test_unknown_table(number):
    with pytest.raises(ValueError, match="1 to 6"):
        paper.table(number)
