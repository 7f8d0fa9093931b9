"""How sure a difference between two trackers is: counts by blocks of frames, and 95 % intervals from them.

Consecutive frames show the same people, so that blocks of them, not frames, are what is drawn anew. The same
block of all detectors of a sequence is one block, since they show the same images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .metrics import clear_counts, trackeval_data
from .protocol import DEFAULT_BENCHMARK, MIN_OVERLAP, Rules, prepare

#: Frames in a block, about two seconds of video.
BLOCK = 50
#: What is counted in a block: ground-truth boxes, CLEAR's errors, and boxes of the right identity or not.
BLOCK_COUNTS = ["boxes", "FP", "FN", "IDs", "IDTP", "IDFP", "IDFN"]
#: Measures of pooled block counts: MOTA and IDF1 in percent, and switches by 1,000 ground-truth boxes, which
#: can be compared between data sets.
BLOCK_MEASURES = ("MOTA", "IDF1", "IDs")
_LEVEL, _RESAMPLES = 0.95, 9_999
_MOST_SEEDS = 10_000_000  # that are asked for


class Difference(NamedTuple):
    """What a second arm has more than a first one.

    Attributes:
        effect: The difference of the pooled measure, a mean over seeds.
        low, high: The ends of its 95 % interval: that over blocks of frames or that over seeds, whichever
            reaches farther. NaN where there are fewer than two blocks.
        blocks: The number of blocks of frames.
        seeds: The number of pairs of seeds; with one, nothing is known of the spread over seeds.
        blocks_width: Half the width of the interval over blocks alone, NaN where there is none.
        seeds_width: Half the width of that over seeds.
    """

    effect: float
    low: float
    high: float
    blocks: int
    seeds: int
    blocks_width: float = np.nan
    seeds_width: float = np.nan

    def blocks_needed(self, effect: float) -> float:
        """Return how many blocks it takes for an interval over blocks of half-width ``effect``.

        A width falls with the root of the number of blocks. At least 2; NaN where there is no interval.
        """
        return _at_least_two(self.blocks * (self.blocks_width / effect) ** 2)

    def seeds_needed(self, effect: float) -> float:
        """Return how many seeds it takes for an interval over seeds of half-width ``effect``.

        Student's, from seeds that spread as these do. At least 2; NaN where there is no interval.
        """
        if np.isnan(self.seeds_width) or np.isnan(effect):
            return np.nan
        spread = self.seeds_width / _student(self.seeds)
        counts = np.unique(np.geomspace(2, _MOST_SEEDS, 5_000).astype(int))
        enough = spread * _student(counts) <= abs(effect)
        return float(counts[enough][0]) if enough.any() else np.inf


#: Where nothing was compared.
NOTHING = Difference(np.nan, np.nan, np.nan, 0, 0)


def count_blocks(
    gt: pd.DataFrame,
    results: pd.DataFrame,
    frames: range,
    protocol: str = "motchallenge",
    benchmark: str = DEFAULT_BENCHMARK,
    length: int = BLOCK,
) -> pd.DataFrame:
    """Count the errors of a sequence by blocks of frames; their sums are the sequence's counts.

    A CLEAR error belongs to its frame, since CLEAR looks at earlier frames alone. A box has the right
    identity by the one assignment of tracks to people that is best for the whole sequence (Ristani et al.,
    2016).

    Args:
        gt: As for ``evaluate_sequence``, of these frames.
        results: As for ``evaluate_sequence``, of these frames.
        frames: The frames, consecutive.
        protocol: One of ``PROTOCOLS``.
        benchmark: One of ``DISTRACTORS``.
        length: Frames in a block; the last one may be shorter.

    Returns:
        One row per block, ``BLOCK_COUNTS`` by the ``block``'s number, from 0.

    Raises:
        ValueError: As ``evaluate_sequence``; boxes in other frames.
    """
    if outside := sorted((set(gt["frame"]) | set(results["frame"])) - set(frames)):
        raise ValueError(f"boxes in frame {outside[0]}, outside of frames {frames[0]} to {frames[-1]}")
    gt, results = prepare(gt, results, Rules.of(protocol, benchmark, None))
    data = trackeval_data(gt, results)
    listed = np.union1d(gt["frame"], results["frame"]).astype(int)  # the frames that TrackEval's data has
    block_of = (listed - frames.start) // length
    blocks = range(-(-len(frames) // length))

    # CLEAR until the end of each block: what a block adds is its own.
    ends = np.searchsorted(block_of, blocks, side="right")
    until = [clear_counts(_first(data, end), protocol) for end in ends]
    errors = {name: np.diff([0, *(one[key] for one in until)]) for name, key in _CLEAR.items()}
    boxes = _summed([len(ids) for ids in data["gt_ids"]], block_of, blocks)
    found = _summed([len(ids) for ids in data["tracker_ids"]], block_of, blocks)
    right = _summed(_of_the_right_identity(data), block_of, blocks)
    counts = {"boxes": boxes, **errors, "IDTP": right, "IDFP": found - right, "IDFN": boxes - right}
    return pd.DataFrame(counts, index=pd.Index(blocks, name="block"))[BLOCK_COUNTS].astype(int)


def difference(first: pd.DataFrame, second: pd.DataFrame, measure: str) -> Difference:
    """Compare two arms on the same frames: what the second has more of a measure, and how sure that is.

    Over blocks of frames the interval is scipy's percentile bootstrap, both arms with the same blocks and
    their counts averaged over seeds; over seeds it is Student's, of the differences of runs of one seed. An
    arm of a single seed, such as one that is not trained, stands beside each seed of the other.

    Args:
        first: The counts of ``count_blocks``, and the columns ``seed``, ``images`` (which sequence's) and
            ``block``; several rows of one block, as of several detectors, are added.
        second: The same for the other arm.
        measure: One of ``BLOCK_MEASURES``.

    Raises:
        ValueError: An unknown measure, arms on different blocks, seeds that are not the same.
    """
    if measure not in BLOCK_MEASURES:
        raise ValueError(f"unknown measure {measure!r}: choose from {', '.join(BLOCK_MEASURES)}")
    arms = [_by_block(first), _by_block(second)]
    if not arms[0].index.equals(arms[1].index):
        raise ValueError("the two arms were not counted on the same blocks of frames")
    counts = [arm[name].to_numpy(float) for arm in arms for name in BLOCK_COUNTS]

    def of_sums(*sums: NDArray[Any]) -> NDArray[Any]:
        half = len(BLOCK_COUNTS)
        return _measure(sums[half:], measure) - _measure(sums[:half], measure)

    return _difference(counts, of_sums, _by_seed(first, second, measure))


def mean_difference(
    first: NDArray[Any], second: NDArray[Any], groups: NDArray[Any], weights: NDArray[Any] | None = None
) -> Difference:
    """Compare two arms by the mean of a value, such as the accuracy of two matchers on the same matrices.

    As :func:`difference`, with groups of values in place of blocks of frames.

    Args:
        first: (S, K) of one arm, K values for each of S seeds; S is 1 for an arm without a seed.
        second: (T, K) of the other arm; T is S, or either is 1.
        groups: (K,) labels; values of one group, such as those of one frame, are drawn together.
        weights: (K,) how much each value counts for, such as the number of those that it is a mean of; by
            default all alike.
    """
    _, group = np.unique(groups, return_inverse=True, axis=0)
    weights = np.ones(len(group)) if weights is None else weights
    sums = [np.bincount(group.ravel(), weights=arm.mean(0) * weights) for arm in (first, second)]
    counts = [*sums, np.bincount(group.ravel(), weights=weights)]
    by_seed = np.average(second, axis=1, weights=weights) - np.average(first, axis=1, weights=weights)
    return _difference(counts, lambda before, after, number: (after - before) / number, by_seed)


def _difference(counts: list[NDArray[Any]], of_sums: Any, by_seed: NDArray[Any]) -> Difference:
    """A difference that is a function of summed counts, each of them (blocks,)."""

    def statistic(*drawn: NDArray[Any], axis: int = -1) -> NDArray[Any]:
        return of_sums(*(np.sum(one, axis=axis) for one in drawn))

    over_blocks, over_seeds = _over_blocks(counts, statistic), _over_seeds(by_seed)
    ends = [*over_blocks, *over_seeds]
    low, high = float(min(ends)), float(max(ends))
    widths = (_half(over_blocks), _half(over_seeds))
    return Difference(float(statistic(*counts)), low, high, len(counts[0]), len(by_seed), *widths)


def _half(ends: tuple[float, ...]) -> float:
    return float(np.ptp(ends)) / 2 if ends else np.nan


def _student(seeds: Any) -> Any:
    """The half-width of Student's interval of a mean, in deviations of a single value."""
    from scipy.stats import t  # takes a second to import, and few programs need an interval

    return t.ppf((1 + _LEVEL) / 2, np.asarray(seeds) - 1) / np.sqrt(seeds)


def _at_least_two(count: float) -> float:
    return count if np.isnan(count) else max(2.0, float(np.ceil(count)))


def _over_blocks(counts: list[NDArray[Any]], statistic: Any) -> tuple[float, float]:
    if len(counts[0]) < 2:
        return (np.nan, np.nan)
    from scipy.stats import bootstrap

    found = bootstrap(
        counts,
        statistic,
        paired=True,
        vectorized=True,
        confidence_level=_LEVEL,
        method="percentile",  # BCa has no answer where all blocks are alike
        n_resamples=_RESAMPLES,
        batch=1_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return (found.low, found.high)


def _over_seeds(by_seed: NDArray[Any]) -> tuple[float, ...]:
    if len(by_seed) < 2:
        return ()
    if np.ptp(by_seed) == 0:
        return (by_seed[0],)
    from scipy.stats import ttest_1samp

    found = ttest_1samp(by_seed, 0.0).confidence_interval(_LEVEL)
    return (found.low, found.high)


def _by_seed(first: pd.DataFrame, second: pd.DataFrame, measure: str) -> NDArray[Any]:
    """The difference for each seed."""
    values = []
    for arm in (first, second):
        sums = arm.groupby("seed")[BLOCK_COUNTS].sum()
        values.append(pd.Series(_measure(sums.to_numpy(float).T, measure), sums.index))
    for one, other in ((0, 1), (1, 0)):
        if len(values[one]) == 1:
            values[one] = pd.Series(values[one].iloc[0], values[other].index)
    if set(values[0].index) != set(values[1].index):
        seeds = [", ".join(map(str, one.index)) for one in values]
        raise ValueError(f"seeds {seeds[0]} cannot be paired with seeds {seeds[1]}")
    return (values[1] - values[0]).to_numpy()


def _by_block(arm: pd.DataFrame) -> pd.DataFrame:
    """The counts of each block, added over detectors and averaged over seeds."""
    return arm.groupby(["images", "block"])[BLOCK_COUNTS].sum().sort_index() / arm["seed"].nunique()


def _measure(sums: Any, measure: str) -> Any:
    """A measure of pooled counts, which come in the order of ``BLOCK_COUNTS``."""
    boxes, fp, fn, switches, right, wrong, missed = sums
    if measure == "IDs":
        return 1000 * switches / boxes
    if measure == "MOTA":
        return 100 * (1 - (fp + fn + switches) / boxes)
    return 100 * 2 * right / (2 * right + wrong + missed)


# --- what is counted ----------------------------------------------------------------------------------------

_CLEAR = {"FP": "CLR_FP", "FN": "CLR_FN", "IDs": "IDSW"}  # TrackEval's names


def _first(data: dict[str, Any], count: int) -> dict[str, Any]:
    """TrackEval's data of the first frames alone."""
    per_frame = ("gt_ids", "tracker_ids", "similarity_scores")
    cut = data | {name: data[name][:count] for name in per_frame} | {"num_timesteps": count}
    cut["num_gt_dets"], cut["num_tracker_dets"] = (sum(map(len, cut[name])) for name in per_frame[:2])
    return cut


def _of_the_right_identity(data: dict[str, Any]) -> list[int]:
    """How many boxes of each frame have the right identity."""
    together = np.zeros((data["num_gt_ids"], data["num_tracker_ids"]), int)
    frames = list(zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True))
    for people, tracks, overlap in frames:
        together[np.ix_(people, tracks)] += overlap >= MIN_OVERLAP
    partner = np.full(data["num_gt_ids"], -1)
    rows, columns = linear_sum_assignment(together, maximize=True)
    partner[rows] = columns
    return [
        int(((overlap >= MIN_OVERLAP) & (partner[people][:, None] == tracks[None])).sum())
        for people, tracks, overlap in frames
    ]


def _summed(per_frame: list[int], block_of: NDArray[Any], blocks: range) -> NDArray[Any]:
    return np.bincount(block_of, weights=per_frame, minlength=len(blocks)).astype(int)
