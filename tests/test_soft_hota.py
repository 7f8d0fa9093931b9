"""The differentiable HOTA: at the hard limit it is TrackEval's, and its gradient is that of differences."""

import math
from pathlib import Path

import motmetrics
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.metrics import HOTA

from deepmot_lib.data import mot
from deepmot_lib.distance import jaccard_distance
from deepmot_lib.identities import FrameIds
from deepmot_lib.soft_hota import THRESHOLDS, HOTAFrame, hota_assignments, soft_hota

EXAMPLES = Path(motmetrics.__file__).parent / "data"


def trackeval_hota(frames):
    """TrackEval's measures of frames, whose identities are numbered from 0 without a gap."""
    data = {
        "gt_ids": [np.asarray(frame.ids.objects, int) for frame in frames],
        "tracker_ids": [np.asarray(frame.ids.tracks, int) for frame in frames],
        "similarity_scores": [frame.overlap.T.numpy() for frame in frames],
    }
    for one, name in (("gt", "gt_ids"), ("tracker", "tracker_ids")):
        every = np.concatenate(data[name])
        data[f"num_{one}_ids"], data[f"num_{one}_dets"] = (
            (int(every.max()) + 1 if len(every) else 0),
            len(every),
        )
    return HOTA().eval_sequence(data)


def matched(frames):
    return [frame._replace(soft=soft) for frame, soft in zip(frames, hota_assignments(frames), strict=True)]


def real_frames(name):
    """The result file of a tracker beside the ground truth, both of motmetrics' wheel."""
    gt = mot.read_boxes(EXAMPLES / name / "gt.txt")
    results = mot.read_boxes(EXAMPLES / name / "test.txt")
    numbers = [
        {identity: k for k, identity in enumerate(sorted(table["id"].unique()))} for table in (gt, results)
    ]
    frames = []
    for frame in range(1, int(max(gt["frame"].max(), results["frame"].max())) + 1):
        objects, tracks = (table[table["frame"] == frame] for table in (gt, results))
        boxes = [torch.tensor(rows[["x1", "y1", "x2", "y2"]].to_numpy(float)) for rows in (tracks, objects)]
        ids = FrameIds(
            [numbers[1][each] for each in tracks["id"]], [numbers[0][each] for each in objects["id"]]
        )
        overlap = 1 - jaccard_distance(*boxes)
        frames.append(HOTAFrame(overlap, torch.zeros_like(overlap), ids))
    return frames


@pytest.mark.parametrize("name", ["TUD-Campus", "TUD-Stadtmitte"])
def test_the_hard_limit_on_real_tracks_is_trackevals_hota(name):
    frames = real_frames(name)
    expected, found = trackeval_hota(frames), soft_hota(matched(frames), scale=math.inf)
    assert float(found.hota) == pytest.approx(expected["HOTA"].mean(), abs=1e-6)
    assert float(found.deta) == pytest.approx(expected["DetA"].mean(), abs=1e-6)
    assert float(found.assa) == pytest.approx(expected["AssA"].mean(), abs=1e-6)
    for soft, counted in ((found.tp, "HOTA_TP"), (found.fn, "HOTA_FN"), (found.fp, "HOTA_FP")):
        assert np.allclose(soft.numpy(), expected[counted])


def test_a_steep_sigmoid_comes_close_to_the_step():
    frames = matched(real_frames("TUD-Campus"))
    exact = float(soft_hota(frames, scale=math.inf).hota)
    errors = [abs(float(soft_hota(frames, scale=scale).hota) - exact) for scale in (10.0, 100.0, 10_000.0)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-3


@st.composite
def clips(draw):
    """Random overlaps, tracks and objects, of which each frame may have none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = []
    for _ in range(draw(st.integers(1, 6))):
        tracks, objects = (sorted(rng.permutation(4)[: rng.integers(0, 5)].tolist()) for _ in range(2))
        overlap = torch.tensor(
            rng.random((len(tracks), len(objects))) * (rng.random((len(tracks), len(objects))) < 0.7)
        )
        frames.append(HOTAFrame(overlap, torch.zeros_like(overlap), FrameIds(tracks, objects)))
    # TrackEval's indices must have no gap: the last frame has all of them.
    overlap = torch.tensor(rng.random((4, 4)))
    return [*frames, HOTAFrame(overlap, torch.zeros_like(overlap), FrameIds(range(4), range(4)))]


@settings(max_examples=60, deadline=None)
@given(clips())
def test_the_hard_limit_on_random_clips_is_trackevals_hota(frames):
    expected, found = trackeval_hota(frames), soft_hota(matched(frames), scale=math.inf)
    assert float(found.hota) == pytest.approx(expected["HOTA"].mean(), abs=1e-9)
    assert float(found.assa) == pytest.approx(expected["AssA"].mean(), abs=1e-9)


def test_a_switch_costs_what_it_costs_by_hand():
    """Object 0 for 4 frames: track 0 follows it for 3 of them, track 1 for the last one.

    A(c) is 3 / 4 for the three first pairs and 1 / 4 for the last: AssA = (3 * 3/4 + 1/4) / 4 = 0.625.
    """
    one = torch.ones(1, 1, dtype=torch.float64)
    clip = [HOTAFrame(one, one, FrameIds([int(t == 3)], [0])) for t in range(4)]
    terms = soft_hota(clip, scale=math.inf)
    assert float(terms.deta) == 1 and float(terms.assa) == pytest.approx(0.625)
    assert float(terms.hota) == pytest.approx(math.sqrt(0.625))


def test_the_gradient_is_that_of_differences():
    rng = np.random.default_rng(0)
    ids = [FrameIds([0, 1, 2], [0, 1]), FrameIds([1, 2], [0, 1, 2]), FrameIds([0], [2])]
    leaves = [
        torch.tensor(rng.uniform(0.1, 0.9, (len(each.tracks), len(each.objects))), requires_grad=True)
        for each in ids
        for _ in range(2)
    ]

    def hota(*values):
        return soft_hota([HOTAFrame(*values[2 * k : 2 * k + 2], each) for k, each in enumerate(ids)]).hota

    assert torch.autograd.gradcheck(hota, leaves)


def test_identities_are_pulled_apart_where_a_track_changes_its_object():
    """The assignment of the frame in which the track jumps to another object gets the other sign."""
    overlap = torch.full((1, 1), 0.9)
    soft = [torch.full((1, 1), 0.8, requires_grad=True) for _ in range(5)]
    clip = [HOTAFrame(overlap, each, FrameIds([0], [int(t == 4)])) for t, each in enumerate(soft)]
    soft_hota(clip).assa.backward()
    assert all(each.grad > 0 for each in soft[:4]) and soft[4].grad < 0


@pytest.mark.parametrize("tracks, objects", [(0, 0), (0, 2), (2, 0)])
def test_nobody_to_match_gives_zero_and_a_finite_gradient(tracks, objects):
    empty = torch.zeros(tracks, objects, requires_grad=True)
    terms = soft_hota([HOTAFrame(empty, empty, FrameIds(range(tracks), range(objects)))])
    terms.hota.backward()
    assert terms.hota.item() == 0 and empty.grad.isfinite().all()
    assert terms.fn[0].item() == objects and terms.fp[0].item() == tracks


def test_disjoint_boxes_have_a_finite_gradient():
    overlap, soft = torch.zeros(2, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    soft_hota([HOTAFrame(overlap, soft, FrameIds([0, 1], [0, 1]))]).hota.backward()
    assert overlap.grad.isfinite().all() and soft.grad.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(clips(), st.randoms(use_true_random=False))
def test_the_order_of_frames_tracks_and_objects_and_the_names_do_not_matter(frames, random):
    rng = np.random.default_rng(random.getrandbits(32))
    frames = [frame._replace(soft=torch.tensor(rng.random(tuple(frame.soft.shape)))) for frame in frames]
    shuffled = []
    for overlap, soft, ids in random.sample(frames, len(frames)):
        rows, columns = (random.sample(range(k), k) for k in overlap.shape)
        renamed = FrameIds([100 - ids.tracks[k] for k in rows], [7 * ids.objects[k] for k in columns])
        shuffled.append(HOTAFrame(overlap[rows][:, columns], soft[rows][:, columns], renamed))
    for one, other in zip(soft_hota(frames), soft_hota(shuffled), strict=True):
        torch.testing.assert_close(one, other)


def test_there_are_nineteen_thresholds():
    assert np.allclose(THRESHOLDS, HOTA().array_labels)


@pytest.mark.parametrize(
    "frames, scale, message",
    [
        ([], 20.0, "no frames"),
        ([HOTAFrame(torch.ones(1, 2), torch.ones(1, 2), FrameIds([0], [0]))], 20.0, "frame 0"),
        ([HOTAFrame(torch.ones(2, 1), torch.ones(2, 1), FrameIds([0, 0], [0]))], 20.0, "twice"),
        ([HOTAFrame(torch.full((1, 1), 1.5), torch.ones(1, 1), FrameIds([0], [0]))], 20.0, "overlap"),
        ([HOTAFrame(torch.ones(1, 1), torch.ones(1, 1), FrameIds([0], [0]))], 0.0, "scale"),
    ],
)
def test_bad_input_is_named(frames, scale, message):
    with pytest.raises(ValueError, match=message):
        soft_hota(frames, scale)
