"""Running a tracker over a sequence: a tracker that stands still is enough to see the plumbing."""

import dataclasses
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from deepmot_lib.data import mot
from deepmot_lib.evaluation import evaluate_sequence
from deepmot_lib.trackers import tracking
from deepmot_lib.trackers.rules import MOT_BY_SOT, TRACKTOR, Rules
from deepmot_lib.trackers.tracker import Propagation, Tracker
from deepmot_lib.trackers.tracktor import Tracktor

STILL = dataclasses.replace(TRACKTOR, camera_motion=False)


class Still(Tracker):
    """Finds every track where it was, surely; remembers a counter of the frames it has seen."""

    name = "still"
    has_memory = True

    def __init__(self, score=1.0, step=0.0):
        super().__init__()
        self.score, self.step = nn.Parameter(torch.tensor(score)), step
        self.frames, self.memories = 0, []

    def encode(self, image):
        assert image.shape[0] == 3 and image.dtype == torch.float32 and 0 <= image.min() <= image.max() <= 1
        self.frames += 1
        return self.frames

    def init_memory(self, seen, boxes):
        return torch.full((len(boxes), 1), float(seen))

    def propagate(self, seen, boxes, memory):
        self.memories.append(memory.flatten().tolist())
        shift = torch.tensor([self.step, 0.0, self.step, 0.0])
        return Propagation(boxes + shift, self.score.expand(len(boxes)), torch.ones(len(boxes), 1))


@pytest.fixture
def sequence(tmp_path):
    """Six frames of noise, 60 x 80; one person walks 2 px a frame, another stands from frame 3 on."""
    folder = tmp_path / "WALK"
    (folder / "img1").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(1, 7):
        picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "img1" / f"{frame:06d}.jpg")
    rows = [(frame, 1, 10 + 2 * frame, 5, 20 + 2 * frame, 35, 9.0) for frame in range(1, 7)]
    rows += [(frame, 2, 50, 10, 62, 50, -1.0) for frame in range(3, 7)]
    gt = pd.DataFrame(rows, columns=tracking.COLUMNS)
    mot.write_ground_truth(folder / "gt" / "gt.txt", gt.assign(conf=1))
    mot.write_results(folder / "det" / "det.txt", gt.assign(id=-1))
    return mot.Sequence.open(folder)


def run(sequence, tracker=None, rules=STILL, **options):
    return tracking.track(tracker or Still(step=2.0), sequence, rules, progress=False, **options)


def test_the_result_is_a_table_that_can_be_written_and_evaluated(sequence, tmp_path):
    result = run(sequence, Still(step=0.0), dataclasses.replace(STILL, cover=0.1))
    assert list(result) == tracking.COLUMNS and result["id"].tolist() == [1, 1, 1, 2, 1, 2, 1, 2, 1, 2, 3]
    assert result["frame"].tolist() == [1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6]
    mot.write_results(tmp_path / "r.txt", result)
    back = mot.read_boxes(tmp_path / "r.txt")
    assert np.allclose(back[tracking.COLUMNS], result, atol=1e-3)


def test_a_follower_that_is_right_scores_full_marks(sequence):
    walker = sequence.gt().query("id == 1")
    det = sequence.path / "det" / "det.txt"
    mot.write_results(det, walker.assign(id=-1))
    row = evaluate_sequence(walker, run(sequence), "plain")
    assert row["MOTA"] == row["IDF1"] == row["MOTP"] == 1.0


def test_the_memory_is_of_the_frame_before_where_the_track_was_seen(sequence):
    tracker = Still(step=2.0)
    run(sequence, tracker)
    assert tracker.memories[:4] == [[], [1.0], [2.0], [3.0, 3.0]]


def test_an_invisible_track_keeps_the_memory_of_when_it_was_seen(sequence):
    mot.write_results(sequence.path / "det" / "det.txt", sequence.detections().query("frame < 4 and x1 < 40"))
    tracker = Still(step=2.0)
    result = run(sequence, tracker, MOT_BY_SOT)
    assert result["frame"].tolist() == [3]  # born of three frames, not verified after
    assert tracker.memories == [[], [], [], [3.0], [3.0], [3.0]]


def test_a_detector_scores_the_detections_and_moves_them_if_the_rules_say_so(sequence):
    detector = Still(score=0.7, step=5.0)
    first = run(sequence, detector=detector).iloc[0]
    assert first["x1"] == 17 and first["conf"] == pytest.approx(0.7)
    assert run(sequence, detector=detector, rules=Rules(detection_box="public")).iloc[0]["x1"] == 12
    assert run(sequence, detector=Still(score=0.4)).empty


@pytest.mark.parametrize(("choice", "x1"), [("regressed", 17), ("public", 12), ("mean", 14.5)])
def test_the_box_of_a_detection(sequence, choice, x1):
    rules = dataclasses.replace(STILL, detection_box=choice)
    assert run(sequence, detector=Still(step=5.0), rules=rules).iloc[0]["x1"] == pytest.approx(x1)


@pytest.mark.parametrize(("choice", "score"), [("network", 0.8), ("public", 0.6), ("mean", 0.7)])
def test_the_score_of_a_detection(sequence, choice, score):
    rules = dataclasses.replace(STILL, detection_score=choice)
    assert run(sequence, detector=Still(score=0.8), rules=rules).iloc[0]["conf"] == pytest.approx(
        0.8
    )  # 9, -1
    mot.write_results(sequence.path / "det" / "det.txt", sequence.detections().assign(conf=0.6))
    sequence = mot.Sequence.open(sequence.path)
    assert run(sequence, detector=Still(score=0.8), rules=rules).iloc[0]["conf"] == pytest.approx(score)


def test_detections_are_a_table_of_the_boxes_that_tracks_are_born_of(sequence):
    rules = dataclasses.replace(STILL, detection_box="mean")
    found = tracking.detections(Still(score=0.7, step=5.0), sequence, rules, range(2, 4))
    assert found["frame"].tolist() == [2, 3, 3] and found["x1"].tolist() == [16.5, 18.5, 52.5]
    assert found["conf"].tolist() == pytest.approx([0.7] * 3) and (found["id"] == -1).all()


def test_an_external_embedding_replaces_the_followers(sequence):
    seen = []

    def embed(image, boxes):
        seen.append((tuple(image.shape), len(boxes)))
        return torch.ones(len(boxes), 3)

    tracks = list(tracking.stream(Still(), sequence, STILL, embed=embed, progress=False))[-1][1]
    assert tracks[0].appearance.tolist() == [1, 1, 1]
    assert seen[:4] == [((3, 60, 80), count) for count in (1, 2, 3, 4)]  # tracks and detections


def test_embeddings_of_two_networks_are_not_mixed(sequence):
    for _, tracks in tracking.stream(Still(), sequence, STILL, detector=Still(), progress=False):
        assert all(not track.embeddings for track in tracks)


def test_a_part_of_a_sequence_is_tracked_alone(sequence):
    result = run(sequence, frames=range(4, 6))
    assert set(result["frame"]) == {4, 5} and result["id"].min() == 1
    assert run(sequence, frames=range(4, 4)).empty


def test_a_clip_is_tracked_in_its_own_frame_numbers(sequence):
    whole = run(sequence)
    for picture in sorted((sequence.path / "img1").iterdir()):
        picture.rename(picture.with_stem(f"{int(picture.stem) + 300:06d}"))
    detections = sequence.detections()
    mot.write_results(sequence.path / "det" / "det.txt", detections.assign(frame=detections["frame"] + 300))
    (sequence.path / "gt" / "gt.txt").unlink()
    clip = run(mot.Sequence.open(sequence.path))
    pd.testing.assert_frame_equal(clip.assign(frame=clip["frame"] - 300), whole)


@pytest.mark.parametrize("frames", [range(0, 3), range(5, 8), range(1, 5, 2)])
def test_frames_that_are_not_there_are_refused(sequence, frames):
    with pytest.raises(ValueError, match=r"no consecutive frames of 1\.\.6"):
        run(sequence, frames=frames)


@pytest.mark.parametrize("rules", [STILL, MOT_BY_SOT], ids=["tracktor", "mot by sot"])
def test_a_sequence_in_which_nothing_is_detected_has_an_empty_result(sequence, rules):
    (sequence.path / "det" / "det.txt").write_text("")
    result = run(sequence, rules=rules)
    assert result.empty and list(result) == tracking.COLUMNS and result["id"].dtype == np.int64


def test_frames_without_detections_or_people_and_boxes_outside_the_image_are_tracked(sequence):
    """Frame 2 has nothing; in frame 4 one detection is outside of the image, another half so."""
    found = sequence.detections().query("frame != 2 and frame != 4 and x1 < 40")
    outside = found.iloc[:2].assign(frame=4, x1=[200.0, -15.0], x2=[220.0, 15.0])
    mot.write_results(sequence.path / "det" / "det.txt", pd.concat([found, outside]))
    result = run(sequence)
    assert result["x1"].min() == 0 and result["x2"].max() <= 80
    assert len(result.query("frame == 4")) == 2, "the walker, and who comes in at the border"
    row = evaluate_sequence(sequence.gt().query("frame > 6"), result, "plain")
    assert (row["FP"], row["FN"], row["MOTA"]) == (len(result), 0, 0), "without ground truth all are false"


@pytest.mark.parametrize("rules", [STILL, MOT_BY_SOT], ids=["tracktor", "mot by sot"])
def test_more_than_three_hundred_detections_in_a_frame_are_all_tracked(sequence, rules):
    corners = [(x, y) for x in range(0, 80, 4) for y in range(0, 60, 3)]
    rows = [(frame, -1, x, y, x + 4, y + 3, 1.0) for frame in range(1, 7) for x, y in corners]
    mot.write_results(sequence.path / "det" / "det.txt", pd.DataFrame(rows, columns=tracking.COLUMNS))
    result = run(sequence, Still(step=0.0), rules)
    born = 1 if rules is STILL else 3
    assert len(corners) == 400 and result["id"].nunique() == 400
    assert result.groupby("frame").size().to_dict() == dict.fromkeys(range(born, 7), 400)


class Finder(Tracktor):
    """A Tracktor whose detector finds one person, who walks 1 px a frame, and whose box head leaves boxes."""

    def __init__(self):
        super().__init__("tiny", side=96)
        self.found = 0

    def propagate(self, encoded, boxes, memory=None):
        return Propagation(boxes, torch.ones(len(boxes)))

    def detect(self, encoded):
        self.found += 1
        return Propagation(torch.tensor([[10.0 + self.found, 10, 30 + self.found, 50]]), torch.tensor([0.9]))


@pytest.mark.parametrize("rules", [STILL, MOT_BY_SOT], ids=["tracktor", "mot by sot"])
def test_without_public_detections_people_are_found_by_tracktor(sequence, rules):
    """One track, where the detector finds somebody, by Tracktor itself or a tracker beside it."""
    (sequence.path / "det" / "det.txt").unlink()
    finder = Finder()
    tracker = finder if rules is STILL else Still(step=1.0)
    result = tracking.track(tracker, sequence, rules, finder, progress=False)
    born = 1 if rules is STILL else 3
    assert result["frame"].tolist() == list(range(born, sequence.length + 1))
    assert set(result["id"]) == {1} and finder.found == sequence.length
    assert result["x1"].iloc[0] == 10 + born


def test_without_public_detections_and_tracktor_nobody_can_be_found(sequence):
    (sequence.path / "det" / "det.txt").unlink()
    with pytest.raises(ValueError, match=r"no det/det\.txt, and no Tracktor to find people instead"):
        run(sequence)


def test_a_missing_image_is_named(sequence):
    (sequence.path / "img1" / "000004.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000004\.jpg"):
        run(sequence)


def test_a_broken_image_is_named(sequence):
    image = sequence.path / "img1" / "000004.jpg"
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(mot.MotFormatError, match=r"000004\.jpg: not a readable image"):
        run(sequence)


def test_a_frame_size_that_changes_is_refused(sequence):
    Image.new("RGB", (80, 61)).save(sequence.path / "img1" / "000005.jpg")
    with pytest.raises(mot.MotFormatError, match=r"000005\.jpg: is 61 x 80 pixels .* the sequence 60 x 80"):
        run(sequence)


def test_the_moving_camera_is_followed(sequence):
    """The picture shifts by 3 px a frame, the detections stop: tracks must shift with it."""
    rng = np.random.default_rng(1)
    wide = Image.fromarray(rng.integers(0, 256, (12, 24, 3), dtype=np.uint8)).resize((160, 60), Image.BICUBIC)
    for frame in range(1, 7):
        left = 60 - 3 * frame
        wide.crop((left, 0, left + 80, 60)).save(sequence.path / "img1" / f"{frame:06d}.jpg", quality=95)
    mot.write_results(sequence.path / "det" / "det.txt", sequence.detections().query("frame == 1"))
    result = run(sequence, Still(), TRACKTOR)
    assert result.iloc[-1]["x1"] - result.iloc[0]["x1"] == pytest.approx(15, abs=1)


def test_no_more_than_two_pictures_are_held_however_long_the_sequence(sequence):
    alive = weakref.WeakSet()

    class Watching(Still):
        def encode(self, image):
            alive.add(image)
            return image

        def init_memory(self, seen, boxes):
            return torch.zeros(len(boxes), 0)

    held = [len(alive) for _ in tracking.stream(Watching(), sequence, TRACKTOR, progress=False)]
    assert len(held) == 6 and max(held) <= 2


def test_the_networks_are_put_into_evaluation_mode_and_no_gradient_is_kept(sequence):
    tracker = Still().train()
    for _, tracks in tracking.stream(tracker, sequence, STILL, progress=False):
        assert not tracker.training and not any(track.box.requires_grad for track in tracks)
