"""README's moving picture: only boxes on a plain ground, unless the images are asked for."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepmot_lib.columns import XYXY
from deepmot_lib.data.synthetic import write_sequences
from deepmot_lib.report import moving_picture


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("street"), 1, 12, (120, 160))[0]


def tracks(frames: range) -> pd.DataFrame:
    """One person who walks to the right."""
    rows = [(frame, 1, 20.0 + frame, 30.0, 60.0 + frame, 100.0) for frame in frames]
    return pd.DataFrame(rows, columns=["frame", "id", *XYXY])


def test_tracks_move_on_a_plain_ground(sequence, tmp_path):
    pictures = moving_picture.draw(sequence, tracks(range(1, 13)), range(1, 13), 80, images=False)
    assert len(pictures) > 2 and pictures[0].shape == (60, 80, 3)
    assert pictures[0][-1, -1].tolist() == list(moving_picture._GROUND), "nothing of the image is seen"
    assert (pictures[0][30, 20] != pictures[0][-1, -1]).any(), "the box is"
    file = tmp_path / "tracks.webp"
    moving_picture.write(file, pictures, 80)
    with Image.open(file) as image:
        assert image.n_frames == len(pictures) and image.info["loop"] == 0


def test_images_are_shown_if_asked_for(sequence):
    (picture,) = moving_picture.draw(sequence, tracks(range(1, 2)), range(1, 2), 160, images=True)
    shown = np.abs(picture.astype(int) - sequence.image(1)).max(axis=2)
    assert (shown == 0).mean() > 0.5
