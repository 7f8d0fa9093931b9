"""Detector training on rendered people."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from deepmot_lib.data import mot, synthetic
from deepmot_lib.trackers.tracktor import Tracktor
from deepmot_lib.training import trainer
from deepmot_lib.training.checkpoint import CheckpointFile
from deepmot_lib.training.detector import DetectorExample, DetectorTraining, labeled_frames, load_example
from deepmot_lib.training.schedules import DetectorSchedule

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


def test_a_mirrored_box_is_around_the_mirrored_person(sequence):
    item = labeled_frames([sequence])[0]
    image, target = load_example(item, False)
    flipped, mirrored = load_example(item, True)
    for box, other in zip(
        target["boxes"].int().tolist(), mirrored["boxes"].round().int().tolist(), strict=True
    ):
        x1, y1, x2, y2 = box
        a = image[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
        b = flipped[:, y1 + 1 : y2 - 1, other[0] + 1 : other[0] + 1 + a.shape[2]]
        assert abs(float(a.mean() - b.mean())) < 0.05
    assert torch.equal(
        mirrored["boxes"][:, 2:] - mirrored["boxes"][:, :2], target["boxes"][:, 2:] - target["boxes"][:, :2]
    )
    assert (target["labels"] == 1).all() and target["labels"].dtype == torch.int64


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
    training = DetectorTraining(tracktor, [sequence], DetectorSchedule(150, images=1, learning_rate=3e-3), 0)
    trainer.train(training, CheckpointFile(tmp_path / "a.pt", {}))
    item = labeled_frames([sequence])[0]
    image = load_example(item, False)[0]
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
        DetectorTraining(network(), [sequence], DetectorSchedule(1, min_visibility=1.1), 0)


def test_a_frame_without_people_can_be_learned_from(sequence):
    empty = DetectorExample(sequence, 1, torch.empty(0, 4))
    image, target = load_example(empty, True)
    losses = network().train().detector([image], [target])
    assert all(loss.isfinite() for loss in losses.values())
