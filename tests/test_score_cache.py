"""What is saved of a scoring: reused where it is whole and of these pairs, made anew where not."""

import numpy as np
import pandas as pd
import pytest
import torch

from deepmot_lib import matchers
from deepmot_lib.data import pairs, tensor_files
from deepmot_lib.evaluation import matching

SHAPES = [(2, 2), (3, 4), (2, 2), (1, 5), (4, 3)]


def random_pairs(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return pairs.from_matrices([(rng.random(shape), np.eye(*shape)) for shape in shapes])


@pytest.fixture
def scored(monkeypatch):
    """Scores a matcher from a cache; ``scored.pairs`` are the pairs that it was asked for."""
    matcher, stack = matchers.create("softmax"), pairs.Pairs.stack

    def stacked(self, indices):
        score.pairs += len(indices)
        return stack(self, indices)

    def score(data, cache, indices=None):
        score.pairs = 0
        return matching.score(matcher, data, indices, cache=cache)

    monkeypatch.setattr(pairs.Pairs, "stack", stacked)
    return score


def test_what_was_scored_is_not_scored_again(tmp_path, scored):
    data = random_pairs(SHAPES)
    whole = scored(data, None)
    scored(data, tmp_path / "scores", np.array([1, 3]))
    resumed = scored(data, tmp_path / "scores")
    assert scored.pairs == 3
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    pd.testing.assert_frame_equal(scored(data, tmp_path / "scores"), whole, check_exact=True)
    assert scored.pairs == 0


def test_a_damaged_cache_is_made_anew(tmp_path, scored):
    data, cache = random_pairs(SHAPES), tmp_path / "scores"
    whole = scored(data, cache)
    content = cache.read_bytes()
    for broken in (b"", b"pair,N,M\n1,2", content[:-1], content[:100], bytes(1000)):
        cache.write_bytes(broken)
        pd.testing.assert_frame_equal(scored(data, cache), whole, check_exact=True)
        assert scored.pairs == len(SHAPES)
    for at in range(0, len(content), 61):
        cache.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        pd.testing.assert_frame_equal(scored(data, cache), whole, check_exact=True)


@pytest.mark.parametrize("shapes", [SHAPES[::-1], SHAPES[:3]])
def test_a_cache_of_other_pairs_is_made_anew(tmp_path, scored, shapes):
    scored(random_pairs(SHAPES), tmp_path / "scores")
    scores = scored(random_pairs(shapes), tmp_path / "scores")
    assert scored.pairs == len(shapes) and list(zip(scores["N"], scores["M"], strict=True)) == shapes


def test_another_file_is_no_cache(tmp_path, scored):
    for content in ([1], {"pair": torch.tensor([0])}):
        tensor_files.write(tmp_path / "scores", content)
        assert len(scored(random_pairs(SHAPES), tmp_path / "scores")) == scored.pairs == len(SHAPES)
