"""Birth, death and revival of tracks, without any network."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from deepmot_lib.trackers.management import Tracks
from deepmot_lib.trackers.rules import MOT_BY_SOT, TRACKTOR, Rules
from deepmot_lib.trackers.tracker import Propagation

SIZE = (240, 320)
A, B, C = (10.0, 10, 30, 60), (100.0, 20, 130, 90), (200.0, 100, 240, 200)
RED, GREEN = [1.0, 0.0], [0.0, 1.0]


def found(*boxes, scores=None, looks=None):
    scores = torch.ones(len(boxes)) if scores is None else torch.tensor(scores)
    return Propagation(
        torch.tensor(boxes).reshape(-1, 4), scores, None if looks is None else torch.tensor(looks)
    )


def stay(tracks, scores=None, looks=None):
    """What a tracker says that finds every track where it was."""
    return found(*tracks.boxes.tolist(), scores=scores, looks=looks)


def ids(visible):
    return [track.id for track in visible]


def shifted(box, dx, dy=0.0):
    return (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy)


def born(*boxes, rules=TRACKTOR, looks=None):
    tracks = Tracks(rules, SIZE)
    for _ in range(rules.birth_frames):
        tracks.step(stay(tracks), found(*boxes, looks=looks))
    assert len(tracks.visible) == len(boxes)
    return tracks


# --- birth --------------------------------------------------------------------------------------------------


def test_tracktor_gives_every_detection_a_track_at_once():
    tracks = Tracks(TRACKTOR, SIZE)
    visible = tracks.step(stay(tracks), found(A, B))
    assert ids(visible) == [1, 2] and tracks.boxes.tolist() == [list(A), list(B)]


def test_a_detection_that_a_track_covers_starts_none():
    tracks = born(A)
    # 20 x 50 boxes shifted by 10 and 12: IoU 1/3 and 1/4, on either side of 0.3.
    assert ids(tracks.step(stay(tracks), found(shifted(A, 10)))) == [1]
    assert ids(tracks.step(stay(tracks), found(shifted(A, 12)))) == [1, 2]


def test_mot_by_sot_waits_for_three_consecutive_frames():
    tracks = Tracks(MOT_BY_SOT, SIZE)
    assert not tracks.step(stay(tracks), found(A))
    assert not tracks.step(stay(tracks), found(shifted(A, 5)))
    assert ids(tracks.step(stay(tracks), found(shifted(A, 10)))) == [1]
    assert tracks.boxes.tolist() == [list(shifted(A, 10))]


@pytest.mark.parametrize("second", [found(), found(shifted(A, 12))], ids=["a gap", "a jump"])
def test_mot_by_sot_starts_over_after(second):
    tracks = Tracks(MOT_BY_SOT, SIZE)
    for detected in (found(A), second, found(shifted(A, 12)), found(shifted(A, 12))):
        visible = tracks.step(stay(tracks), detected)
    # In the third frame the chain is 1 (gap) or 2 (jump) long.
    assert len(visible) == (1 if len(second.boxes) else 0)
    assert ids(tracks.step(stay(tracks), found(shifted(A, 12)))) == [1]


def test_detections_of_a_low_score_are_false_positives():
    tracks = Tracks(TRACKTOR, SIZE)
    visible = tracks.step(stay(tracks), found(A, B, C, scores=[0.49, 0.5, 0.9]))
    assert [track.box.tolist() for track in visible] == [list(C), list(B)]
    assert [track.score for track in visible] == pytest.approx([0.9, 0.5])


def test_of_two_detections_of_one_person_the_better_is_kept():
    tracks = Tracks(TRACKTOR, SIZE)
    visible = tracks.step(stay(tracks), found(A, shifted(A, 4), scores=[0.6, 0.8]))
    assert [track.box.tolist() for track in visible] == [list(shifted(A, 4))]


# --- death --------------------------------------------------------------------------------------------------


def test_tracktor_loses_a_track_whose_score_falls():
    tracks = born(A, B)
    assert ids(tracks.step(stay(tracks, scores=[0.49, 0.51]), found())) == [2]
    assert ids(tracks.live) == [2] and ids(tracks.lost) == [1]


def test_a_lost_track_is_forgotten_after_the_patience():
    tracks = born(A)
    tracks.step(stay(tracks, scores=[0.1]), found())
    for _ in range(TRACKTOR.patience - 2):
        tracks.step(stay(tracks), found())
    assert ids(tracks.lost) == [1]
    tracks.step(stay(tracks), found())
    assert not tracks.lost


def test_a_track_dies_after_k_invisible_frames():
    tracks = born(A, rules=MOT_BY_SOT)
    for _ in range(59):
        assert not tracks.step(stay(tracks), found())
        assert ids(tracks.live) == [1]  # still propagated
    assert not tracks.step(stay(tracks), found()) and not tracks.live


def test_an_invisible_track_that_a_detection_verifies_is_seen_again():
    tracks = born(A, rules=MOT_BY_SOT)
    for _ in range(40):
        tracks.step(stay(tracks), found())
    assert ids(tracks.step(stay(tracks), found(A))) == [1]
    for _ in range(59):
        tracks.step(stay(tracks), found())
    assert ids(tracks.live) == [1]  # it is counted from the start again


def test_one_detection_verifies_one_track_only():
    near = shifted(A, 8)  # IoU 3/7: no double
    tracks = born(A, near, rules=dataclasses.replace(MOT_BY_SOT, detection_nms=0.6))
    assert ids(tracks.step(stay(tracks), found(near))) == [2]


def test_of_two_tracks_on_one_person_the_surer_goes_on():
    tracks = born(A, B)
    visible = tracks.step(found(A, shifted(A, 4), scores=[0.7, 0.9]), found())
    assert ids(visible) == [2] and ids(tracks.lost) == [1]


def test_an_invisible_track_never_suppresses_a_visible_one():
    tracks = born(A, B, rules=MOT_BY_SOT)
    tracks.step(stay(tracks), found(A))
    assert ids(tracks.step(found(A, A, scores=[0.6, 1.0]), found(A))) == [1]


def test_a_track_that_leaves_the_image_is_dropped():
    tracks = born(A, B, C)
    visible = tracks.step(found(shifted(A, -200), shifted(B, 0, -65), C), found())
    assert ids(visible) == [2, 3] and not tracks.lost
    assert tracks.boxes.tolist() == [[100, 0, 130, 25], list(C)]  # clipped


def test_a_box_that_is_not_finite_is_dropped():
    tracks = born(A, B)
    assert ids(tracks.step(found((float("nan"),) * 4, B), found())) == [2]


# --- averaging ----------------------------------------------------------------------------------------------


def test_a_verified_box_is_averaged_with_its_detection_above_the_overlap():
    tracks = born(A, rules=MOT_BY_SOT)
    tracks.step(found(A), found(shifted(A, 4)))  # IoU 2/3
    assert tracks.boxes.tolist() == [list(shifted(A, 2))]
    tracks.step(found(A), found(shifted(A, 6)))  # IoU 7/13
    assert tracks.boxes.tolist() == [list(A)]


def test_tracktor_does_not_average():
    tracks = born(A)
    tracks.step(found(A), found(shifted(A, 2)))
    assert tracks.boxes.tolist() == [list(A)]


@pytest.mark.parametrize(("choice", "dx"), [("propagated", 0), ("detected", 4), ("mean", 2)])
def test_the_box_of_a_track_with_a_detection_of_its_own(choice, dx):
    tracks = born(A, B, rules=Rules(matched_box=choice))
    tracks.step(found(A, B), found(shifted(A, 4)))
    assert tracks.boxes.tolist() == [list(shifted(A, dx)), list(B)]


# --- second association -------------------------------------------------------------------------------------

SECOND = Rules(second_score=0.1)


def test_a_weak_detection_keeps_alive_the_track_that_it_overlaps():
    tracks = born(A, B, C, rules=SECOND)
    weak = found(A, shifted(B, 25), C, scores=[0.1, 0.4, 0.05])  # IoU of B with its own: 1/11
    assert ids(tracks.step(stay(tracks, scores=[0.2, 0.2, 0.2]), weak)) == [1]
    assert ids(tracks.lost) == [2, 3]


def test_without_the_rule_it_does_not():
    tracks = born(A)
    assert not tracks.step(stay(tracks, scores=[0.2]), found(A, scores=[0.4]))


def test_a_weak_detection_starts_no_track_and_revives_none():
    tracks = born(A, rules=Rules(second_score=0.1, revival_overlap=0.3))
    tracks.step(stay(tracks, scores=[0.2]), found())
    assert not tracks.step(stay(tracks), found(A, B, scores=[0.4, 0.4])) and ids(tracks.lost) == [1]


def test_weak_detections_go_to_the_tracks_that_strong_ones_leave():
    """The strong detection overlaps both tracks (IoU 3/7 and 1), the weak one is nearer to track 1."""
    near = shifted(A, 8)
    tracks = born(A, near, rules=Rules(second_score=0.1, detection_nms=0.6, matched_box="detected"))
    tracks.step(stay(tracks), found(near, shifted(A, 1), scores=[0.9, 0.3]))
    assert tracks.boxes.tolist() == [list(shifted(A, 1)), list(near)]


@pytest.mark.parametrize(("first", "where"), [(False, [B]), (True, [A])])
def test_detections_first_keeps_a_track_that_is_propagated_to_another(first, where):
    """Track 1 is propagated to B, where nobody is; what is detected at its last place is it, or another."""
    tracks = born(A, rules=Rules(detections_first=first, matched_box="detected"))
    visible = tracks.step(found(B, scores=[0.9]), found(A))
    assert ids(visible) == ([1] if first else [1, 2])
    assert visible[0].box.tolist() == list(*where)


def test_detections_first_needs_no_score_and_precedes_tracks_without_a_detection():
    rules = Rules(detections_first=True, matched_box="detected", track_nms=0.3)
    tracks = born(A, shifted(A, 15), rules=rules)  # IoU 1/7
    # Both are propagated to A; track 2 with the higher score, track 1 has the detection.
    visible = tracks.step(found(A, A, scores=[0.1, 0.9]), found(A))
    assert ids(visible) == [1] and ids(tracks.lost) == [2]


# --- visibility ---------------------------------------------------------------------------------------------


def test_a_track_without_a_detection_is_hidden_after_the_frames_that_the_rules_allow():
    tracks = born(A, rules=Rules(unverified_frames=2, patience=3))
    assert [ids(tracks.step(stay(tracks), found())) for _ in range(3)] == [[1], [1], []]
    assert ids(tracks.step(stay(tracks), found(A))) == [1]  # verified again
    for _ in range(4):
        tracks.step(stay(tracks), found())
    assert ids(tracks.live) == [1]  # hidden for two frames
    tracks.step(stay(tracks), found())
    assert not tracks.live


def test_a_track_without_a_detection_is_lost_after_the_frames_that_the_rules_allow():
    tracks = born(A, rules=Rules(unverified_death=1, revival_overlap=0.3))
    assert ids(tracks.step(stay(tracks), found())) == [1]
    assert not tracks.step(found(B), found())
    assert tracks.lost[0].box.tolist() == list(A)  # where it was seen, not where it was propagated to
    assert ids(tracks.step(stay(tracks), found(A))) == [1]


# --- revival ------------------------------------------------------------------------------------------------


def lost(**rules):
    """One track that looked red at A and was lost there."""
    tracks = born(A, rules=dataclasses.replace(TRACKTOR, **rules), looks=[RED])
    tracks.step(stay(tracks, scores=[0.0], looks=[GREEN]), found())
    return tracks


def test_a_newborn_that_looks_the_same_revives_the_lost_track():
    tracks = lost()
    for _ in range(5):
        tracks.step(stay(tracks), found())
    visible = tracks.step(stay(tracks), found(shifted(A, 30), B, looks=[RED, RED]))
    assert ids(visible) == [1, 2] and not tracks.lost
    assert visible[0].box.tolist() == list(shifted(A, 30))


@pytest.mark.parametrize(
    ("box", "look", "frames"),
    [(A, GREEN, 1), (shifted(A, 51), RED, 1), (A, RED, 10)],
    ids=["another look", "too far", "too late"],
)
def test_a_newborn_is_a_new_track_with(box, look, frames):
    tracks = lost()
    for _ in range(frames - 1):
        tracks.step(stay(tracks), found())
    assert ids(tracks.step(stay(tracks), found(box, looks=[look]))) == [2]


def test_each_of_two_lost_tracks_is_revived_by_the_one_that_looks_like_it():
    tracks = born(A, shifted(A, 21), looks=[RED, GREEN])
    tracks.step(stay(tracks, scores=[0.0, 0.0], looks=[RED, GREEN]), found())
    visible = tracks.step(stay(tracks), found(A, shifted(A, 21), looks=[GREEN, RED]))
    assert {track.id: track.box.tolist() for track in visible} == {1: list(shifted(A, 21)), 2: list(A)}


def test_without_appearance_nothing_is_revived():
    tracks = born(A)
    tracks.step(stay(tracks, scores=[0.0]), found())
    assert ids(tracks.step(stay(tracks), found(A))) == [2]


@pytest.mark.parametrize(("dx", "id"), [(10, 1), (12, 2)])
def test_a_detection_on_a_lost_track_revives_it(dx, id):
    """IoU 1/3 and 1/4, on either side of 0.3."""
    tracks = born(A, rules=Rules(revival_overlap=0.3))
    tracks.step(stay(tracks, scores=[0.0]), found())
    visible = tracks.step(stay(tracks), found(shifted(A, dx)))
    assert ids(visible) == [id] and visible[0].box.tolist() == list(shifted(A, dx))


def test_appearance_goes_before_overlap():
    tracks = born(A, shifted(A, 21), rules=Rules(revival_overlap=0.2), looks=[RED, GREEN])
    tracks.step(stay(tracks, scores=[0.0, 0.0], looks=[RED, GREEN]), found())
    # Track 2 lies where the red person is now, who is track 1; the blue one resembles nobody.
    blue = [-1.0, -1.0]
    visible = tracks.step(stay(tracks), found(shifted(A, 21), shifted(A, 33), looks=[RED, blue]))
    assert {track.id: track.box.tolist() for track in visible} == {
        1: list(shifted(A, 21)),
        2: list(shifted(A, 33)),
    }


def test_an_invisible_track_is_revived_where_it_looks_like_a_newborn():
    tracks = born(A, rules=MOT_BY_SOT, looks=[RED])
    away = shifted(A, 25)  # no overlap: it cannot verify the track
    for _ in range(3):
        visible = tracks.step(stay(tracks, looks=[GREEN]), found(away, looks=[RED]))
    assert ids(visible) == [1] and visible[0].box.tolist() == list(away)


def test_the_appearance_is_the_mean_of_the_last_visible_frames():
    tracks = born(A, rules=Rules(appearance_frames=2), looks=[[9.0, 9.0]])
    for look in (RED, GREEN):
        tracks.step(stay(tracks, looks=[look]), found())
    assert tracks.live[0].appearance.tolist() == [0.5, 0.5]


# --- motion -------------------------------------------------------------------------------------------------


def test_tracks_move_with_the_camera():
    tracks = lost()
    tracks.step(stay(tracks), found(B, looks=[GREEN]))
    tracks.move(torch.tensor([[1.0, 0, 7], [0, 1, 3]]).numpy())
    assert tracks.boxes.tolist() == [list(shifted(B, 7, 3))]
    assert tracks.lost[0].box.tolist() == list(shifted(A, 7, 3))


def test_tracks_move_on_at_their_velocity_seen_or_not():
    tracks = born(A, B, rules=Rules(velocity_frames=2))
    for step in (1, 2, 3):
        tracks.step(found(shifted(A, 4 * step), shifted(B, 0, 2 * step)), found())
        tracks.move()
        assert torch.allclose(tracks.boxes[0], torch.tensor(shifted(A, 4 * step + 4)))
    assert torch.allclose(tracks.boxes[1], torch.tensor(shifted(B, 0, 8)))
    # Track 1 is lost: what was propagated there does not count, the motion goes on.
    tracks.step(found(C, shifted(B, 0, 8), scores=[0.0, 1.0]), found())
    tracks.move()
    assert torch.allclose(tracks.lost[0].box, torch.tensor(shifted(A, 20)))


def test_a_candidate_moves_with_the_camera():
    tracks = Tracks(MOT_BY_SOT, SIZE)
    for step in range(3):
        visible = tracks.step(stay(tracks), found(shifted(A, 15 * step)))  # IoU 1/7 from one to the next
        tracks.move(torch.tensor([[1.0, 0, 15], [0, 1, 0]]).numpy())
    assert ids(visible) == [1]


# --- edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [TRACKTOR, MOT_BY_SOT], ids=["tracktor", "mot by sot"])
def test_frames_without_detections_give_no_track(rules):
    tracks = Tracks(rules, SIZE)
    for _ in range(5):
        tracks.move()
        assert tracks.step(stay(tracks), found()) == []
    assert tracks.boxes.shape == (0, 4)


def test_more_than_three_hundred_detections_are_all_tracked():
    boxes = [(x, y, x + 8.0, y + 8.0) for x in range(0, 320, 10) for y in range(0, 240, 10)]
    tracks = Tracks(TRACKTOR, SIZE)
    assert len(tracks.step(stay(tracks), found(*boxes))) == len(boxes) > 300
    assert len(tracks.step(stay(tracks), found(*boxes))) == len(boxes)


def test_detections_outside_of_the_image_are_clipped_or_dropped():
    tracks = Tracks(TRACKTOR, SIZE)
    visible = tracks.step(
        stay(tracks), found((-10.0, -10, 20, 50), (400.0, 10, 420, 50), (30.0, 230, 50, 300))
    )
    assert [track.box.tolist() for track in visible] == [[0, 0, 20, 50], [30, 230, 50, 240]]


def test_boxes_of_other_tracks_than_the_live_ones_are_refused():
    with pytest.raises(ValueError, match="1 boxes were propagated, of 0 live tracks"):
        Tracks(TRACKTOR, SIZE).step(found(A), found())


@pytest.mark.parametrize("wrong", [{"birth_frames": 0}, {"appearance_frames": 0}, {"velocity_frames": -1}])
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 1, velocity_frames at least 0"):
        Rules(**wrong)


@pytest.mark.parametrize("name", ["detection_box", "detection_score", "matched_box"])
def test_an_unknown_source_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be one of .*, not 'best'"):
        Rules(**{name: "best"})


corner = st.tuples(st.integers(-50, 330), st.integers(-50, 250), st.integers(0, 120), st.integers(0, 160))
ALL_RULES = Rules(
    second_score=0.2, matched_box="mean", unverified_frames=1, revival_overlap=0.2, velocity_frames=2
)
frame = st.lists(st.tuples(corner, st.integers(0, 10)), max_size=8)


@pytest.mark.slow
@given(st.lists(frame, max_size=6), st.sampled_from([TRACKTOR, MOT_BY_SOT, ALL_RULES]), st.randoms())
def test_whatever_comes_the_tracks_are_sound(frames, rules, random):
    tracks = Tracks(rules, SIZE)
    ended = set()
    for boxes in frames:
        detected = found(
            *((float(x), float(y), float(x + w), float(y + h)) for (x, y, w, h), _ in boxes),
            scores=[score / 10 for _, score in boxes],
        )
        before = {track.id for track in tracks.live + tracks.lost}
        tracks.move()
        shaken = tracks.boxes + torch.tensor(
            [random.uniform(-9, 9) for _ in range(4 * len(tracks.live))]
        ).view(-1, 4)
        scores = torch.tensor([random.random() for _ in tracks.live])
        visible = tracks.step(Propagation(shaken, scores), detected)
        everyone = [track.id for track in tracks.live + tracks.lost]
        assert len(set(everyone)) == len(everyone) and not ended & set(everyone)
        ended |= before - set(everyone)
        out = torch.stack([track.box for track in visible]) if visible else torch.empty(0, 4)
        assert (out >= 0).all() and (out[:, 2] <= 320).all() and (out[:, 3] <= 240).all()
        assert (out[:, 2:] > out[:, :2]).all()
        if rules is TRACKTOR:
            double = box_iou(out, out).fill_diagonal_(0)
            assert (double <= rules.track_nms + 1e-6).all()
