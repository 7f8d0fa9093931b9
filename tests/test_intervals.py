"""Counts by blocks of frames, held against TrackEval's and motmetrics', and the intervals made of them."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmot_lib import evaluation
from deepmot_lib.data import mot
from deepmot_lib.evaluation import intervals
from deepmot_lib.evaluation.intervals import BLOCK_COUNTS, count_blocks, difference


@pytest.mark.parametrize("protocol", evaluation.PROTOCOLS)
@pytest.mark.parametrize(
    ("name", "length"),
    [("TUD-Campus", 1), ("TUD-Campus", 7), ("TUD-Stadtmitte", 7), ("TUD-Stadtmitte", 1000)],
)
def test_the_sum_of_all_blocks_is_what_is_counted_in_the_sequence(name, protocol, length):
    folder = Path(str(files("motmetrics"))) / "data" / name
    gt, results = mot.read_ground_truth(folder / "gt.txt"), mot.read_boxes(folder / "test.txt")
    frames = range(int(gt.frame.min()), int(max(gt.frame.max(), results.frame.max())) + 1)
    blocks = count_blocks(gt, results, frames, protocol, length=length)
    counted = evaluation.count(gt, results, protocol)
    expected = {
        "boxes": len(gt),
        **{name: counted.clear[key] for name, key in {"FP": "CLR_FP", "FN": "CLR_FN", "IDs": "IDSW"}.items()},
        **{name: counted.identity[name] for name in ("IDTP", "IDFP", "IDFN")},
    }
    assert blocks.sum().to_dict() == expected
    assert len(blocks) == -(-len(frames) // length)
    assert (blocks >= 0).all(axis=None)


def boxes(rows):
    """Rows of frame, id and left edge; all boxes are 10 by 10."""
    table = pd.DataFrame(rows, columns=["frame", "id", "x1"])
    return table.assign(y1=0.0, x2=table.x1 + 10.0, y2=10.0)


def test_each_error_is_in_the_block_where_it_happens():
    # One person, tracked as 1, as 2 (a switch), not at all, and as 2 beside a false positive.
    gt = boxes([(frame, 7, 0.0) for frame in (1, 2, 3, 4)])
    results = boxes([(1, 1, 0.0), (2, 2, 0.0), (4, 2, 0.0), (4, 3, 50.0)])
    blocks = count_blocks(gt, results, range(1, 7), "plain", length=2)
    assert blocks.to_dict("list") == {
        "boxes": [2, 2, 0],
        "FP": [0, 1, 0],
        "FN": [0, 1, 0],
        "IDs": [1, 0, 0],
        "IDTP": [1, 1, 0],  # track 2 is the person's, for two frames
        "IDFP": [1, 1, 0],
        "IDFN": [1, 1, 0],
    }


def test_nobody_and_no_results_are_counted_too():
    nobody = boxes([])
    assert count_blocks(nobody, nobody, range(1, 5), "plain", length=2).to_numpy().sum() == 0
    missed = count_blocks(boxes([(1, 1, 0.0)]), nobody, range(1, 5), "plain", length=2)
    assert missed.FN.tolist() == [1, 0]


def test_boxes_outside_of_the_frames_are_refused():
    with pytest.raises(ValueError, match=r"frame 9, outside of frames 1 to 4"):
        count_blocks(boxes([(9, 1, 0.0)]), boxes([]), range(1, 5))


def arm(errors, seed=0, boxes_each=100, images="a"):
    """An arm with so many misses in each block."""
    counts = pd.DataFrame(0, index=range(len(errors)), columns=BLOCK_COUNTS)
    counts["boxes"], counts["FN"] = boxes_each, errors
    counts["IDTP"], counts["IDFN"] = boxes_each - np.asarray(errors), errors
    return counts.assign(seed=seed, images=images, block=range(len(errors)))


def test_the_effect_is_the_difference_of_the_pooled_measures():
    first, second = arm([10, 20, 30]), arm([5, 18, 22])
    found = difference(first, second, "MOTA")
    assert found.effect == pytest.approx(100 * (60 - 45) / 300)
    assert found.low < found.effect < found.high
    assert (found.blocks, found.seeds) == (3, 1)
    # IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN), by hand: 2 * 240 / (480 + 60) and 2 * 255 / (510 + 45)
    assert difference(first, second, "IDF1").effect == pytest.approx(100 * (510 / 555 - 480 / 540))


def test_the_ends_of_three_equal_blocks_and_of_two_seeds_worked_by_hand():
    # The same difference in every block: the bootstrap cannot but find just that.
    same = difference(arm([10, 20, 30]), arm([8, 18, 28]), "MOTA")
    assert (same.low, same.high) == (pytest.approx(2.0), pytest.approx(2.0))
    # Differences of 2 and 4 over two seeds: mean 3, s = sqrt 2, t(.975; 1) = 12.706, s / sqrt 2 = 1.
    second = pd.concat([arm([8, 18, 28], seed=0), arm([6, 16, 26], seed=1)])
    seeds = difference(arm([10, 20, 30]), second, "MOTA")
    assert (seeds.low, seeds.high) == (
        pytest.approx(3 - 12.706, abs=1e-3),
        pytest.approx(3 + 12.706, abs=1e-3),
    )
    assert seeds.seeds == 2


@pytest.mark.parametrize("measure", intervals.BLOCK_MEASURES)
def test_an_arm_does_not_differ_from_itself(measure):
    one = arm([3, 9, 4, 1])
    found = difference(one, one, measure)
    assert (found.effect, found.low, found.high) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=3, max_size=12),
    st.sampled_from(intervals.BLOCK_MEASURES),
)
@settings(max_examples=20, deadline=None)
def test_exchanging_the_arms_turns_the_sign(errors, measure):
    first, second = arm([a for a, _ in errors]), arm([b for _, b in errors])
    there, back = difference(first, second, measure), difference(second, first, measure)
    assert there.effect == pytest.approx(-back.effect)
    assert there.low <= there.effect + 1e-9 and there.effect - 1e-9 <= there.high


def test_detectors_of_the_same_images_are_one_block():
    first, second = arm([10, 20, 30]), arm([5, 18, 22])
    found = difference(pd.concat([first] * 3), pd.concat([second] * 3), "MOTA")
    assert found == difference(first, second, "MOTA")


@pytest.mark.slow
def test_the_interval_holds_a_known_difference_about_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    for _ in range(100):
        base = rng.integers(10, 50, 25)
        second = base - rng.poisson(4, 25)  # on average four misses fewer in a block of a hundred boxes
        found = difference(arm(base), arm(second), "MOTA")
        held += found.low <= 4.0 <= found.high
    assert 85 <= held <= 100


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (arm([1, 2]), "not counted on the same blocks"),
        (pd.concat([arm([1, 2, 3], seed=s) for s in (1, 2)]), None),
        (arm([1, 2, 3], images="b"), "not counted on the same blocks"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(second, message):
    first = pd.concat([arm([1, 2, 3], seed=s) for s in (0, 1)])
    with pytest.raises(ValueError, match=message or "seeds 0, 1 cannot be paired with seeds 1, 2"):
        difference(first, second, "MOTA")


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="unknown measure 'HOTA'"):
        difference(arm([1]), arm([1]), "HOTA")
