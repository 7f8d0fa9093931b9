"""Soft counts against counted ones, on frames worked by hand and on whole random sequences."""

import hypothesis.strategies as st
import motmetrics
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from deepmot_lib.identities import FrameIds
from deepmot_lib.loss import (
    DeepMOTLoss,
    align_matches,
    column_softmax,
    deepmot_loss,
    dmota,
    dmotp,
    row_softmax,
    soft_false_negatives,
    soft_false_positives,
    soft_id_switches,
)

SHARP = 1000.0  # a scale at which float32's softmax of 0, 0.5 and 1 is exact


# --- the terms, by hand


def test_softmaxes_are_those_of_the_paper():
    soft = torch.tensor([[0.9, 0.2], [0.1, 0.3]])
    exp = np.exp(2 * soft.numpy())
    border = np.exp(2 * 0.5)
    expected = exp[0] / (exp[0].sum() + border)
    np.testing.assert_allclose(row_softmax(soft, scale=2.0)[0, :2], expected, rtol=1e-6)
    expected = exp[:, 1] / (exp[:, 1].sum() + border)
    np.testing.assert_allclose(column_softmax(soft, scale=2.0)[:2, 1], expected, rtol=1e-6)
    fp = border / (exp.sum(1) + border)
    assert soft_false_positives(soft, scale=2.0).item() == pytest.approx(fp.sum())
    fn = border / (exp.sum(0) + border)
    assert soft_false_negatives(soft, scale=2.0).item() == pytest.approx(fn.sum())


def test_counts_of_a_frame_by_hand():
    soft = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]])  # 4 predictions, 3 objects, 2 pairs
    assert soft_false_positives(soft).item() == pytest.approx(2)
    assert soft_false_negatives(soft).item() == pytest.approx(1)
    previous = torch.tensor(
        [[1.0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    )  # object 1 changes from track 1 to 2
    assert soft_id_switches(soft, previous).item() == pytest.approx(1)
    assert soft_id_switches(soft, soft).item() == pytest.approx(0, abs=1e-6)


def test_scale_one_counts_next_to_nothing_right():
    """Why there is a scale: without it a perfect frame of 3 seems to hold a false positive and a miss."""
    assert soft_false_positives(torch.eye(3), scale=1.0).item() > 0.7
    assert soft_false_positives(torch.eye(3), scale=100.0).item() < 1e-6


def test_dmota_by_hand():
    fp, fn, ids = torch.tensor([1.0, 2.0, 3.0]).unbind()
    assert dmota(fp, fn, ids, 12).item() == pytest.approx(1 - (1 + 2 + 2 * 3) / 12)
    assert dmota(fp, fn, ids, torch.tensor(12), gamma=0.0).item() == pytest.approx(1 - 3 / 12)
    assert dmota(fp, 0 * fn, 0 * ids, 0).item() == 0


def test_dmotp_by_hand_and_points_up():
    distance = torch.tensor([[0.1, 0.9], [0.8, 0.3], [0.5, 0.5]], requires_grad=True)
    matches = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    precision = dmotp(distance, matches)
    assert precision.item() == pytest.approx(1 - (0.1 + 0.3) / 2)
    precision.backward()
    torch.testing.assert_close(distance.grad, -matches / 2)


def test_unmatched_pairs_at_infinity_leave_dmotp_alone():
    distance = torch.tensor([[0.2, torch.inf], [torch.inf, torch.inf]], requires_grad=True)
    precision = dmotp(distance, torch.tensor([[1.0, 0], [0, 0]]))
    precision.backward()
    assert precision.item() == pytest.approx(0.8)
    assert distance.grad.isfinite().all()


def test_the_loss_is_equation_9():
    soft = torch.tensor([[0.7, 0.1], [0.4, 0.6]])
    distance = 1 - soft
    terms = DeepMOTLoss(lambda_=3.0, gamma=0.5)(distance, soft, [0, 1], [0, 1])
    expected_mota = 1 - (terms.fp + terms.fn + 0.5 * terms.ids) / 2
    expected_motp = 1 - (0.3 + 0.4) / 2
    assert terms.dmota.item() == pytest.approx(expected_mota.item())
    assert terms.dmotp.item() == pytest.approx(expected_motp)
    assert terms.total.item() == pytest.approx((1 - expected_mota.item()) + 3 * (1 - expected_motp))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_frames_without_tracks_or_objects(shape):
    n, m = shape
    soft = torch.zeros(shape, requires_grad=True)
    loss = DeepMOTLoss()
    for _ in range(2):
        terms = loss(soft + 0, soft, range(n), range(m))
        assert (terms.fp.item(), terms.fn.item(), terms.ids.item()) == (n, m, 0)
        assert terms.dmota.item() == 1 - (n + m) / max(m, 1)
        assert terms.dmotp.item() == 1
        (gradient,) = torch.autograd.grad(terms.total, soft)
        assert gradient.shape == shape and gradient.isfinite().all()


def test_no_match_at_all():
    soft = torch.full((2, 3), 0.1, requires_grad=True)
    terms = DeepMOTLoss()(soft * 2, soft, [0, 1], [0, 1, 2])
    assert terms.fp.item() == pytest.approx(2) and terms.fn.item() == pytest.approx(3)
    assert terms.dmotp.item() == 1
    assert torch.autograd.grad(terms.total, soft)[0].isfinite().all()


# --- identities: what counts as a switch


def frame(tracks, objects, pairs):
    """0/1 assignment of named tracks and objects, with its ids."""
    soft = torch.zeros(len(tracks), len(objects))
    for track, obj in pairs:
        soft[tracks.index(track), objects.index(obj)] = 1
    return 1 - soft, soft, tracks, objects


def switches(*frames):
    loss = DeepMOTLoss(scale=SHARP)
    return [round(loss(*frame(*each)).ids.item(), 6) for each in frames]


def test_two_tracks_swap():
    before, after = [(1, 10), (2, 20)], [(2, 10), (1, 20)]
    assert switches(([1, 2], [10, 20], before), ([1, 2], [10, 20], after), ([1, 2], [10, 20], after)) == [
        0,
        2,
        0,
    ]


def test_rows_and_columns_may_come_in_any_order():
    pairs = [(1, 10), (2, 20), (3, 30)]
    assert switches(([1, 2, 3], [10, 20, 30], pairs), ([3, 1, 2], [20, 30, 10], pairs)) == [0, 0]


def test_newcomers_cause_no_switch():
    first = ([1], [10], [(1, 10)])
    assert switches(first, ([1, 2], [10, 20], [(1, 10), (2, 20)])) == [0, 0]
    assert switches(([1, 2], [10], [(1, 10)]), ([1, 2], [10, 20], [(1, 10), (2, 20)])) == [
        0,
        0,
    ]  # a new object
    assert switches(first, ([1, 2], [10], [(2, 10)])) == [
        0,
        0,
    ]  # a new track takes over (CLEAR-MOT counts it)


def test_an_old_track_that_takes_over_is_a_switch():
    first = ([1, 2], [10], [(1, 10)])
    assert switches(first, ([1, 2], [10], [(2, 10)])) == [0, 1]
    assert switches(first, ([2], [10], [(2, 10)])) == [0, 1]  # its former track is gone


def test_a_recovered_miss_is_no_switch():
    seen, missed = ([1, 2], [10], [(1, 10)]), ([1, 2], [10], [])
    assert switches(seen, missed, seen) == [0, 0, 0]
    assert switches(missed, seen) == [0, 0]


def test_reset_forgets():
    loss = DeepMOTLoss(scale=SHARP)
    loss(*frame([1, 2], [10], [(1, 10)]))
    loss.reset()
    assert loss(*frame([1, 2], [10], [(2, 10)])).ids.item() == 0


def test_the_matches_of_the_last_frame_hold_no_graph():
    loss = DeepMOTLoss()
    soft = torch.rand(3, 3, requires_grad=True)
    loss(1 - soft, soft, [0, 1, 2], [0, 1, 2]).total.backward()
    again = torch.rand(3, 3, requires_grad=True)
    loss(1 - again, again, [0, 1, 2], [0, 1, 2]).total.backward()
    assert again.grad.isfinite().all()


def test_align_matches_by_hand():
    previous = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])  # tracks 1 2 3, objects 10 20 30
    current = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])  # tracks 4 2 3, objects 20 10 30 40
    ids = [torch.tensor(x) for x in ([1, 2, 3], [10, 20, 30], [4, 2, 3], [20, 10, 30, 40])]
    aligned = align_matches(previous, *ids[:2], current, *ids[2:])
    # Copied: the row of track 4 (new), the columns of 30 (missed before) and 40 (new). 20 has lost its track;
    # 10 was with track 2.
    assert aligned.tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


# --- whole sequences


@st.composite
def sequences(draw, constant=False):
    """Frames of (track ids, object ids, matched pairs): tracks and objects come and go, in any order.

    ``constant``: the same tracks and objects all along, and no object is ever missed.
    """
    tracks, objects = list(range(1, 7)), list(range(11, 16))
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        if not constant:
            tracks = draw(st.lists(st.integers(1, 6), unique=True))
            objects = draw(st.lists(st.integers(11, 16), unique=True))
        count = len(objects) if constant else draw(st.integers(0, min(len(tracks), len(objects))))
        matched = zip(
            draw(st.permutations(tracks))[:count], draw(st.permutations(objects))[:count], strict=True
        )
        frames.append((tracks, objects, list(matched)))
    return frames


def counted(frames):
    """FP, FN and IDS of each frame by the paper's rule, with dictionaries."""
    result, before, tracks_before = [], {}, set()
    for tracks, objects, pairs in frames:
        ids = 0
        for track, obj in pairs:
            if obj in before and track in tracks_before and before[obj] != track:
                ids += 1
        result.append((len(tracks) - len(pairs), len(objects) - len(pairs), ids))
        before, tracks_before = {obj: track for track, obj in pairs}, set(tracks)
    return result


@pytest.mark.slow
@given(sequences())
def test_soft_counts_are_the_counted_ones_on_whole_sequences(frames):
    loss = DeepMOTLoss(scale=SHARP)
    for each, (fp, fn, ids) in zip(frames, counted(frames), strict=True):
        terms = loss(*frame(*each))
        assert (terms.fp.item(), terms.fn.item(), terms.ids.item()) == (fp, fn, ids)
        assert terms.dmota.item() == pytest.approx(1 - (fp + fn + 2 * ids) / max(len(each[1]), 1))


@given(sequences(constant=True))
@settings(max_examples=15)
def test_and_those_of_clear_mot_where_nobody_is_born_or_missed(frames):
    loss, accumulator = DeepMOTLoss(scale=SHARP), motmetrics.MOTAccumulator(auto_id=True)
    totals = np.zeros(3)
    for each in frames:
        distance, soft, tracks, objects = frame(*each)
        terms = loss(distance, soft, tracks, objects)
        totals += [terms.fp.item(), terms.fn.item(), terms.ids.item()]
        accumulator.update(objects, tracks, np.where(soft.T == 1, 0.1, np.nan))
    events = accumulator.mot_events.Type.value_counts()
    assert totals.tolist() == [events.get(kind, 0) for kind in ("FP", "MISS", "SWITCH")]


# --- properties

softs = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5), elements=st.floats(0, 1)
)


@given(softs, st.sampled_from([1.0, 10.0, 100.0, 1e4]), st.floats(0.1, 0.9))
def test_counts_are_in_range_and_gradients_finite(soft, scale, delta):
    n, m = soft.shape
    soft = torch.tensor(soft, requires_grad=True)
    previous = torch.zeros(n, m)
    fp, fn = soft_false_positives(soft, delta, scale), soft_false_negatives(soft, delta, scale)
    ids = soft_id_switches(soft, previous, delta, scale)
    assert -1e-9 <= fp.item() <= n + 1e-9
    assert -1e-9 <= fn.item() <= m + 1e-9
    # Every object is missed or matched, and with no matches before each match is a switch.
    assert (fn + ids).item() == pytest.approx(m)
    distance = (1 - soft) ** 2
    total = DeepMOTLoss(delta=delta, scale=scale)(distance, soft, range(n), range(m)).total
    assert torch.autograd.grad(total, soft)[0].isfinite().all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40)
def test_order_of_tracks_and_objects_does_not_matter(seed, n, m):
    """Random entries, so that no two are equal: which of two equal ones wins is not defined."""
    generator = torch.Generator().manual_seed(seed)
    ordered, shuffled = DeepMOTLoss(), DeepMOTLoss()
    for _ in range(3):
        distance, soft = torch.rand(2, n, m, generator=generator, dtype=torch.float64)
        rows, columns = torch.randperm(n, generator=generator), torch.randperm(m, generator=generator)
        a = ordered(distance, soft, torch.arange(n), torch.arange(m))
        b = shuffled(distance[rows][:, columns], soft[rows][:, columns], rows, columns)
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y)


def test_gradients_are_the_derivatives():
    soft = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    previous = torch.eye(4, 3, dtype=torch.float64)
    for function in (soft_false_positives, soft_false_negatives):
        assert torch.autograd.gradcheck(lambda a, f=function: f(a, 0.5, 10.0), (soft,))
    assert torch.autograd.gradcheck(lambda a: soft_id_switches(a, previous, 0.5, 10.0), (soft,))


def test_batched_counts_equal_single_ones():
    soft = torch.rand(2, 3, 4, 5)
    for function in (soft_false_positives, soft_false_negatives):
        batched = function(soft)
        assert batched.shape == (2, 3)
        torch.testing.assert_close(batched[1, 2], function(soft[1, 2]))


# --- the loss as a function


@given(sequences(), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_the_function_and_the_module_are_one_loss(frames, seed):
    generator = torch.Generator().manual_seed(seed)
    settings_ = {"lambda_": 3.0, "gamma": 1.5, "delta": 0.4, "scale": 20.0}
    module, state = DeepMOTLoss(**settings_), None
    for tracks, objects, _ in frames:
        distance, soft = torch.rand(2, len(tracks), len(objects), generator=generator)
        terms, state = deepmot_loss(distance, soft, FrameIds(tracks, objects), state, **settings_)
        for mine, same in zip(terms, module(distance, soft, tracks, objects), strict=True):
            assert torch.equal(mine, same)


def test_a_state_can_be_used_twice_and_holds_no_graph():
    soft = torch.eye(2).requires_grad_()
    _, state = deepmot_loss(1 - soft, soft, FrameIds([1, 2], [10, 20]))
    assert not state.matches.requires_grad
    swapped = soft.flip(0)
    for _ in range(2):
        terms, _ = deepmot_loss(1 - swapped, swapped, FrameIds([1, 2], [10, 20]), state)
        assert terms.ids.item() == pytest.approx(2)
        again, _ = deepmot_loss(1 - soft, soft, FrameIds([2, 1], [20, 10]), state)
        assert again.ids.item() == pytest.approx(0, abs=1e-6)


# --- half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    generator = torch.Generator().manual_seed(0)
    distance, soft = torch.rand(2, 40, 40, generator=generator).to(dtype).requires_grad_().unbind(0)
    terms = DeepMOTLoss()(distance, soft, range(40), range(40))
    expected = DeepMOTLoss()(distance.detach().float(), soft.detach().float(), range(40), range(40))
    for got, value in zip(terms, expected, strict=True):
        assert got.dtype == torch.float32 and torch.equal(got, value)
    for gradient in torch.autograd.grad(terms.total, (distance, soft)):
        assert gradient.dtype == dtype and gradient.isfinite().all()
    for function in (soft_false_positives, soft_false_negatives):
        assert function(soft).dtype == torch.float32
    assert dmotp(distance, torch.eye(40)).dtype == torch.float32


def test_autocast_changes_no_digit():
    distance, soft = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0)).unbind(0)
    expected = DeepMOTLoss()(distance, soft, range(5), range(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = DeepMOTLoss()(distance, soft, range(5), range(6))
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)


@given(
    arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, (3, 4), elements=st.sampled_from([0.0, 1.0, 1000.0, 1e15])),
    st.tuples(*[st.sampled_from([0.0, 1e-30, 1.0, 1e6])] * 2),
    st.sampled_from([1e-6, 0.5, 1 - 1e-6]),
    st.sampled_from([1e-30, 1e-3, 100.0, 1e6]),
)
def test_within_the_stated_ranges_everything_is_finite(soft, distance, weights, delta, scale):
    soft, distance = torch.tensor(soft).requires_grad_(), torch.tensor(distance).requires_grad_()
    loss = DeepMOTLoss(*weights, delta=delta, scale=scale)
    for order in ([0, 1, 2], [2, 0, 1]):
        terms = loss(distance, soft, order, range(4))
        assert all(term.isfinite() for term in terms)
        for gradient in torch.autograd.grad(terms.total, (distance, soft)):
            assert gradient.isfinite().all()


# --- bad input

NOT_FINITE = [float("inf"), -float("inf"), float("nan")]


@pytest.mark.parametrize("value", [*NOT_FINITE, 2e15])
@pytest.mark.parametrize("matched", [True, False])
def test_distances_that_are_not_finite_are_refused(value, matched):
    """At a matched entry inf made the total inf; a gated pair is written as 1000."""
    distance, soft = torch.full((2, 2), 0.3), torch.eye(2)
    distance[1, 1 if matched else 0] = value
    spelled = "NaN" if value != value else f"{value:g}".replace("+", r"\+")
    with pytest.raises(ValueError, match=f"^distance holds {spelled} at .*1000"):
        DeepMOTLoss()(distance, soft, [0, 1], [0, 1])


@pytest.mark.parametrize("value", [*NOT_FINITE, 7.0, -0.5])
def test_a_soft_assignment_outside_of_0_to_1_is_refused(value):
    """inf made the total NaN; logits passed by mistake made a number that means nothing."""
    soft = torch.full((2, 3), 0.4)
    soft[0, 2] = value
    spelled = "NaN" if value != value else f"{value:g}"
    with pytest.raises(ValueError, match=rf"^soft holds {spelled} at \(0, 2\): .*\[0, 1\]"):
        DeepMOTLoss()(torch.zeros(2, 3), soft, [0, 1], [0, 1, 2])


def test_rounding_beyond_0_and_1_is_no_error():
    soft = torch.tensor([[1.0001, -1e-5]])
    assert DeepMOTLoss()(torch.zeros(1, 2), soft, [0], [0, 1]).fn.item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lambda_", [-1, *NOT_FINITE, 1e7]),
        ("gamma", [-1e-9, *NOT_FINITE, 1e7]),
        ("delta", [0, 1, -0.5, 1.5, *NOT_FINITE]),
        ("scale", [0, -1, *NOT_FINITE, 1e39]),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, values):
    soft = torch.eye(2)
    terms = {
        "lambda_": [],
        "gamma": [lambda value: dmota(soft[0, 0], soft[0, 0], soft[0, 0], 1, gamma=value)],
        "delta": [lambda value: row_softmax(soft, delta=value)],
        "scale": [lambda value: soft_false_negatives(soft, scale=value)],
    }[name]
    function = [lambda value: deepmot_loss(soft, soft, FrameIds([0, 1], [0, 1]), **{name: value})]
    for value in values:
        for call in (lambda value: DeepMOTLoss(**{name: value}), *function, *terms):
            with pytest.raises(ValueError, match=f"^{name} must "):
                call(value)


def test_bad_arguments_are_named():
    loss, good = DeepMOTLoss(), torch.full((2, 2), 0.4)
    bad = torch.tensor([[0.1, float("nan")], [0.2, 0.3]])
    with pytest.raises(ValueError, match="distance holds NaN"):
        loss(bad, good, [0, 1], [0, 1])
    with pytest.raises(ValueError, match="soft holds NaN"):
        loss(good, bad, [0, 1], [0, 1])
    with pytest.raises(ValueError, match="track_ids holds the id 7 more than once"):
        loss(good, good, [7, 7], [0, 1])
    with pytest.raises(ValueError, match="object_ids holds the id 3 more than once"):
        loss(good, good, [0, 1], torch.tensor([3, 3]))
    with pytest.raises(ValueError, match="track_ids must hold 2 ids"):
        loss(good, good, [0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="object_ids must be integers"):
        loss(good, good, [0, 1], [0.5, 1])
    with pytest.raises(ValueError, match="both be"):
        loss(good, torch.zeros(2, 3), [0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="one shape"):
        soft_id_switches(good, torch.zeros(2, 3))


def test_a_refused_frame_leaves_no_trace():
    loss = DeepMOTLoss(scale=SHARP)
    loss(*frame([1, 2], [10], [(1, 10)]))
    with pytest.raises(ValueError):
        loss(torch.tensor([[float("nan")]]), torch.tensor([[1.0]]), [1], [10])
    assert loss(*frame([1, 2], [10], [(2, 10)])).ids.item() == 1
