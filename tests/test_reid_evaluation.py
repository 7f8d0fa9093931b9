"""Measures of re-identification against numbers worked by hand, and against brute force over all pairs."""

import numpy as np
import pytest

from deepmot_lib.evaluation.reid import (
    ReIDPictures,
    auc,
    average_precision,
    equal_error_distance,
    score,
)


def pictures(distance, identities, frames) -> ReIDPictures:
    return ReIDPictures(np.array(distance), np.array(identities), np.array(frames))


# Two people in two frames: A1 B1 A2 B2. A is nearest to itself, B to A.
TWO = pictures(
    [[0, 0.0, 0.1, 0.4], [0.0, 0, 0.3, 0.5], [0.1, 0.3, 0, 0.0], [0.4, 0.5, 0.0, 0]],
    ["A", "B", "A", "B"],
    [1, 1, 2, 2],
)


def test_two_people_worked_by_hand():
    """A1 and A2 find each other, though people of the same frame are nearer. B1: A2 before B2, precision 1/2;
    B2: A1 before B1 likewise. One person's pairs: .1 and .5; different people's: .4 and .3.
    """
    found = score([TWO])
    assert found.rank1 == 0.5 and found.pictures == 4
    assert found.mean_average_precision == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert found.auc == pytest.approx(0.5), ".1 is below both, .5 above both"
    assert found.equal_error_distance == pytest.approx(0.3), "half are refused, half are taken"


def test_pictures_of_two_sequences_are_never_compared_but_pooled():
    other = pictures([[0, 0.2], [0.2, 0]], ["A", "A"], [5, 9])
    found = score([TWO, other])
    assert found.pictures == 6 and found.rank1 == pytest.approx(4 / 6)
    assert found.auc == pytest.approx((2 + 2 + 0) / 6), "positive .1, .2, .5 against .3, .4"


def test_who_has_no_second_picture_asks_nothing_but_may_be_mistaken():
    found = score([pictures([[0, 0.3, 0.2], [0.3, 0, 0.1], [0.2, 0.1, 0]], ["A", "A", "B"], [1, 2, 3])])
    assert found.pictures == 2 and found.rank1 == 0
    assert found.mean_average_precision == 0.5


@pytest.mark.parametrize("identities", [["A", "A"], ["A", "B"]])
def test_nobody_to_tell_apart_is_named(identities):
    with pytest.raises(ValueError, match="two people or more, one of them in two frames"):
        score([pictures([[0, 0.5], [0.5, 0]], identities, [1, 2])])


def test_average_precision_is_that_of_textbooks():
    assert average_precision(np.array([1, 0, 1, 0, 0, 1], bool)) == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)


def test_auc_is_the_share_of_ordered_pairs():
    random = np.random.default_rng(0)
    positive, negative = random.integers(0, 10, 40) / 10, random.integers(3, 13, 60) / 10
    pairs = positive[:, None] - negative
    assert auc(positive, negative) == pytest.approx(((pairs < 0) + 0.5 * (pairs == 0)).mean())
    assert auc(np.zeros(3), np.ones(2)) == 1 and auc(np.ones(3), np.zeros(2)) == 0
    assert auc(np.zeros(3), np.zeros(3)) == 0.5, "a constant embedding tells nothing"


def test_at_the_equal_error_distance_errors_are_equal():
    random = np.random.default_rng(1)
    positive, negative = random.beta(2, 6, 4000), random.beta(6, 4, 9000)
    limit = equal_error_distance(positive, negative)
    assert (positive > limit).mean() == pytest.approx((negative <= limit).mean(), abs=1e-3)
    assert equal_error_distance(np.array([0.1, 0.2]), np.array([0.7])) == 0.2, (
        "all of one, none of the others"
    )
    assert equal_error_distance(np.zeros(3), np.zeros(3)) == 0
