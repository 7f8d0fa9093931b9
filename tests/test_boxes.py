"""Box arithmetic by hand, for tensors and arrays, and against torchvision's."""

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.ops import box_convert

from deepmot_lib import boxes, columns
from deepmot_lib.data import mot

BOX = [[10.0, 20, 40, 100], [0, 0, 0, 0], [5, 5, 1, 9]]  # a person, a point, one turned inside out
KINDS = [torch.tensor, np.array]


def test_the_columns_of_a_box_are_named_once():
    assert columns.XYXY == ["x1", "y1", "x2", "y2"]
    assert mot.COLUMNS == ["frame", "id", "x1", "y1", "x2", "y2", "conf", "cls", "visibility"]
    assert mot.COLUMNS[:7] == columns.RESULT_COLUMNS


@pytest.mark.parametrize("kind", KINDS)
def test_centers_and_sizes_by_hand(kind):
    box = kind(BOX)
    assert boxes.centers(box).tolist() == [[25, 60], [0, 0], [3, 7]]
    assert boxes.sizes(box).tolist() == [[30, 80], [0, 0], [-4, 4]]
    assert type(boxes.centers(box)) is type(box) is type(boxes.from_centers(box[:, :2], box[:, 2:]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_follows_from_its_center_and_size(kind):
    box = kind(BOX)
    assert (boxes.from_centers(boxes.centers(box), boxes.sizes(box)) == box).all()
    assert (boxes.from_centers(boxes.centers(box)[:, None], boxes.sizes(box)) == box[:, None])[
        [0, 1, 2], [0, 1, 2]
    ].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_moves_and_keeps_the_size(kind):
    box, offset = kind(BOX), kind([[1.0, -2.0]])
    moved = boxes.shift(box, offset)
    assert moved[0].tolist() == [11, 18, 41, 98]
    assert (boxes.sizes(moved) == boxes.sizes(box)).all()


def test_torchvision_agrees():
    box = torch.rand(20, 4, dtype=torch.float64)
    box[:, 2:] += box[:, :2]
    converted = box_convert(box, "xyxy", "cxcywh")
    torch.testing.assert_close(torch.cat([boxes.centers(box), boxes.sizes(box)], 1), converted)
    back = boxes.from_centers(*converted.split(2, dim=1))
    torch.testing.assert_close(back, box_convert(converted, "cxcywh", "xyxy"))


def test_a_mirrored_box_frames_the_mirrored_picture():
    picture = torch.zeros(1, 8, 10)
    picture[:, 2:5, 1:4] = 1
    mirrored = boxes.mirror(torch.tensor([[1.0, 2, 4, 5]]), width=10)
    x1, y1, x2, y2 = mirrored[0].int().tolist()
    assert picture.flip(-1)[:, y1:y2, x1:x2].all() and picture.sum() == (x2 - x1) * (y2 - y1)
    assert torch.equal(boxes.mirror(mirrored, 10), torch.tensor([[1.0, 2, 4, 5]]))


def test_a_table_gives_its_boxes_whatever_its_other_columns():
    table = pd.DataFrame([(1, 7, 40, 20, 10, 100)], columns=["frame", "id", "x2", "y1", "x1", "y2"])
    assert boxes.from_table(table).tolist() == [[10, 20, 40, 100]]
    assert boxes.from_table(table[:0]).shape == (0, 4)
    assert boxes.from_table(table).dtype == torch.float32
