"""Detector training on rendered people."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.ops import box_iou

from deepmot_lib.data import mot, synthetic
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.detector import (
    ContinuedTraining,
    DetectorExample,
    DetectorTraining,
    augmentation,
    labeled_frames,
    load_example,
)
from deepmot_lib.training.schedules import DetectorSchedule, RolloutSchedule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 12, (120, 160))[0]


def network():
    torch.manual_seed(0)
    return Tracktor("tiny", side=96)


def test_the_training_frames_are_the_first_half_with_the_visible_people(sequence):
    found = labeled_frames([sequence], "train", min_visibility=0.5)
    assert [item.frame for item in found] == [1, 2, 3, 4, 5, 6]
    rows = mot.pedestrians(sequence.gt())
    for item in found:
        expected = rows[(rows["frame"] == item.frame) & (rows["visibility"] >= 0.5)]
        assert len(item.boxes) == len(expected)
        assert (item.boxes >= 0).all() and item.boxes[:, 2].max() <= 160 and item.boxes[:, 3].max() <= 120
    assert [item.frame for item in labeled_frames([sequence], "test")] == [10, 11, 12]


def test_changed_boxes_stay_around_their_people():
    """Bright rectangles on a dark ground: in the crop, what is bright lies in the boxes and fills them."""
    image, boxes = torch.zeros(3, 90, 160), torch.tensor([[10.0, 20, 40, 70], [90, 10, 110, 80]])
    for x1, y1, x2, y2 in boxes.int().tolist():
        image[:, y1:y2, x1:x2] = 1
    change = augmentation(80, zoom=(0.6, 1.5))
    sides = set()
    for seed in range(20):
        torch.manual_seed(seed)
        changed = change(
            {
                "image": tv_tensors.Image(image),
                "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(90, 160)),
                "labels": torch.ones(2, dtype=torch.long),
            }
        )
        assert changed["image"].shape == (3, 80, 80)
        assert len(changed["boxes"]) == len(changed["labels"])
        inside = torch.zeros(80, 80, dtype=torch.bool)
        for x1, y1, x2, y2 in changed["boxes"].round().int().tolist():
            inside[y1:y2, x1:x2] = True
            sides.add(x2 - x1)
        bright = changed["image"].mean(0) > 0.7  # the padding is 0.5
        assert (bright & ~inside).sum() <= 2 * 4 * 80  # slivers of less than 4 px are no boxes
    assert len(sides) > 10  # zoomed


def test_training_on_one_frame_finds_its_people(tmp_path):
    """Three large bright people on a dark ground, learned by heart: the whole chain is right."""
    folder = tmp_path / "ONE"
    rows = []
    for frame in (1, 2):
        picture = np.full((96, 128, 3), 30, np.uint8)
        for number, x in enumerate((8, 50, 90), start=1):
            picture[20:80, x : x + 24] = (200, 90, 60)
            rows.append((frame, number, x, 20, x + 24, 80, 1))
        (folder / "img1").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "img1" / f"{frame:06d}.png")
    mot.write_ground_truth(folder / "gt" / "gt.txt", pd.DataFrame(rows, columns=[*mot.COLUMNS[:6], "conf"]))
    sequence = mot.Sequence.open(folder)
    tracktor = network()
    training = DetectorTraining(
        tracktor.detector,
        [sequence],
        DetectorSchedule(250, images=1, learning_rate=3e-3, zoom=(1.0, 1.0)),
        0,
    )
    trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    item = labeled_frames([sequence])[0]
    image = load_example(item)[0]
    with torch.no_grad():
        # Where people were a frame ago, and where nobody is.
        shifted = item.boxes + torch.tensor([4.0, 3, 4, 3])
        found = tracktor.propagate(
            tracktor.encode(image), torch.cat([shifted, torch.tensor([[32.0, 0, 50, 18]])])
        )
    overlap = box_iou(found.boxes[:3], item.boxes).diagonal()
    assert (overlap > box_iou(shifted, item.boxes).diagonal() + 0.05).all()
    assert (found.scores[:3] > 0.5).all() and found.scores[3] < 0.5


def test_a_sequence_in_which_nobody_is_visible_is_refused(sequence):
    with pytest.raises(ValueError, match=r"no sequence has people at least 1\.1 visible in its part 'train'"):
        DetectorTraining(network().detector, [sequence], DetectorSchedule(1, min_visibility=1.1), 0)


def test_a_frame_without_people_can_be_learned_from(sequence):
    training = DetectorTraining(network().detector.train(), [sequence], DetectorSchedule(1, images=1), 0)
    training.frames = [DetectorExample(sequence, 1, torch.empty(0, 4))]
    assert all(loss.isfinite() for loss in training.loss(0).values())


def test_trained_on_changes_the_box_regression_layer_alone(sequence, tmp_path):
    tracker, scores = network(), iter([0.1, 0.3])
    before = {name: value.clone() for name, value in tracker.state_dict().items()}
    rollout = RolloutSchedule(steps=3, learning_rate=1e-3, validations=1)
    training = ContinuedTraining(
        tracker, [sequence], DetectorSchedule(steps=99), rollout, 0, lambda: next(scores)
    )
    history = trainer.train(training, CheckpointFile(tmp_path / "checkpoint.pt", {}))
    assert history["step"].max() == 3 and set(history["learning_rate"].dropna()) == {1e-3}
    assert history["validation"].dropna().tolist() == [0.1, 0.3]
    changed = {name for name, value in tracker.state_dict().items() if not torch.equal(value, before[name])}
    layer = "detector.roi_heads.box_predictor.bbox_pred"
    assert changed == {f"{layer}.weight", f"{layer}.bias"}
    trained = {id(p) for p in tracker.trained("release")}
    assert trained == {id(p) for group in training.optimizer.param_groups for p in group["params"]}
