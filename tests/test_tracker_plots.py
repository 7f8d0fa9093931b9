"""Figures about trackers: what is on their axes."""

from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from deepmot_lib.data import synthetic
from deepmot_lib.report import tracker_plots
from deepmot_lib.training.clips import LabeledFrame

BOXES = torch.tensor([[10.0, 20, 30, 80], [25, 22, 45, 82], [90, 30, 110, 90]])
FRAME = LabeledFrame(torch.zeros(3, 100, 120), BOXES, [4, 7, 9])


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def sequence(tmp_path):
    return synthetic.write_sequences(tmp_path, 1, 4, (240, 320), 0)[0]


def test_ticks_of_rows_do_not_run_into_each_other():
    table = pd.DataFrame(
        {"loss": ["a", "b"]} | {f"{m} (ours)": [59.375, 59.51] for m in ("MOTA", "IDF1", "IDS")}
    )
    figure = tracker_plots.rows(table, ["loss"])
    figure.canvas.draw()
    for ax in figure.axes:
        shown = [label for label in ax.get_xticklabels() if label.get_text()]
        frames = sorted((label.get_window_extent() for label in shown), key=lambda frame: frame.x0)
        assert all(one.x1 < other.x0 for one, other in pairwise(frames))
        assert ax.get_xlim()[1] - ax.get_xlim()[0] >= 2, "a tenth of a point does not fill the axis"


def test_rows_of_ours_alone_are_drawn_like_those_beside_the_papers():
    ours = pd.DataFrame({"loss": ["a", "b"], "MOTA": [59.0, 61.0], "MOTA std": [0.5, None]})
    beside = ours.rename(columns={"MOTA": "MOTA (ours)"}).assign(**{"MOTA (paper)": 1.0})
    drawn = [tracker_plots.rows(table, ["loss"], ["MOTA"]).axes[0] for table in (ours, beside)]
    for ax in drawn:
        assert ax.lines[0].get_xdata().tolist() == [59, 61] and ax.lines[0].get_ydata().tolist() == [1, 0]


def test_tracks_of_a_frame_whole_and_zoomed():
    names = ["track 4", "track 7", "track 9"]
    whole = tracker_plots.tracks_of(FRAME, {"before": BOXES, "after": BOXES})
    assert [ax.get_xlim() for ax in whole.axes] == [(0, 120)] * 2
    assert len(whole.axes[0].patches) == 6
    part = tracker_plots.tracks_of(FRAME, {"now": BOXES}, names, [0, 1])
    assert part.axes[0].get_xlim()[1] < 80 and len(part.axes[0].patches) == 5
    assert {text.get_text() for text in part.axes[0].texts} == {"track 4", "track 7"}


def test_a_step_shows_the_chosen_tracks_and_their_nearest_people():
    distance = torch.tensor([[0.1, 0.5, 0.9], [0.6, 0.2, 0.8], [0.9, 0.9, 0.1]])
    figure = tracker_plots.step(FRAME, BOXES, distance, 1 - distance, ["t4", "t7", "t9"], [0, 2])
    matrix = next(ax for ax in figure.axes if ax.get_title() == "distances D")
    assert [label.get_text() for label in matrix.get_xticklabels()] == ["person\n4", "person\n9"]
    assert [text.get_text() for text in matrix.texts] == ["0.10", "0.90", "0.90", "0.10"]


def test_the_part_of_the_image_in_which_tracks_switch(sequence):
    gt = sequence.gt()
    kept = gt[["frame", "id", "x1", "y1", "x2", "y2"]].assign(conf=1.0)
    frames = [1, 2, 3]
    assert tracker_plots.around_switches(sequence, {"same": kept}, frames) == (0, 0, 320, 240)
    person = kept[kept.frame == 3].iloc[0]
    switched = kept.assign(id=kept.id.where((kept.id != person.id) | (kept.frame < 3), 99))
    x1, y1, x2, y2 = tracker_plots.around_switches(sequence, {"switched": switched}, frames)
    assert (x2 - x1, y2 - y1) == (160, 120)
    assert x1 <= (person.x1 + person.x2) / 2 <= x2 and y1 <= person.y2 <= y2 + 60
