"""Camera motion and constant velocity."""

import cv2
import numpy as np
import pytest
import torch

from deepmot_lib.trackers.motion import camera_motion, constant_velocity, thumbnail, warp_boxes


def scene(height=240, width=320, seed=0):
    """Smooth random colors, something to align."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 12).astype(float)
    return np.clip((smooth - smooth.mean()) * 12 + 128, 0, 255).astype(np.uint8)


def moved(image, angle, dx, dy):
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    matrix[:, 2] += dx, dy
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), matrix


@pytest.mark.parametrize("size", [(120, 160), (480, 640)])
@pytest.mark.parametrize(("angle", "dx", "dy"), [(0, 0, 0), (0, 6, -3), (1.5, -4, 2)])
def test_the_camera_motion_is_found(size, angle, dx, dy):
    image = scene(*size)
    after, true = moved(image, angle, dx, dy)
    warp = camera_motion(thumbnail(image), thumbnail(after), size)
    x, y = np.meshgrid([20, size[1] - 20], [20, size[0] - 20])
    corners = np.stack([x.ravel(), y.ravel(), np.ones(4)], axis=1)
    assert np.abs(corners @ warp.T - corners @ true.T).max() < 0.7


@pytest.mark.parametrize(
    "after", [scene(seed=1), np.zeros((240, 320, 3), np.uint8)], ids=["another", "black"]
)
def test_pictures_that_do_not_align_leave_the_camera_still(after):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    warp = camera_motion(thumbnail(noise), thumbnail(after), (240, 320))
    assert np.isfinite(warp).all() and np.abs(warp[:, 2]).max() < 320
    if not after.any():
        assert (warp == np.eye(2, 3)).all()


def test_when_opencv_gives_up_the_camera_stands_still(monkeypatch):
    def give_up(*_):
        raise cv2.error("the correlation is going to be minimized")

    monkeypatch.setattr(cv2, "findTransformECC", give_up)
    image = thumbnail(scene())
    assert (camera_motion(image, image, (240, 320)) == np.eye(2, 3)).all()


def test_thumbnails_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="two sizes"):
        camera_motion(thumbnail(scene()), thumbnail(scene(200, 320)), (240, 320))


def test_a_small_picture_is_not_enlarged():
    assert thumbnail(scene(60, 80)).shape == (60, 80)
    assert thumbnail(scene(480, 640)).shape == (180, 240)


def test_warped_boxes_keep_their_size_and_their_centers_move():
    boxes = torch.tensor([[10.0, 20, 30, 60], [100, 100, 140, 200]])
    _, matrix = moved(scene(), 30, 5, 7)
    warped = warp_boxes(boxes, matrix)
    assert torch.allclose(warped[:, 2:] - warped[:, :2], boxes[:, 2:] - boxes[:, :2], atol=1e-4)
    centers = np.array([[20.0, 40, 1], [120, 150, 1]]) @ matrix.T
    assert np.allclose(((warped[:, :2] + warped[:, 2:]) / 2).numpy(), centers, atol=1e-3)
    assert warp_boxes(boxes[:0], matrix).shape == (0, 4)


def test_a_box_goes_on_at_its_mean_velocity():
    past = torch.tensor([[0.0, 0, 10, 20], [4, 0, 14, 20], [6, 4, 20, 28]])
    # Centers (5, 10), (9, 10), (13, 16): (4, 3) a frame; the size is the last one's.
    assert constant_velocity(past).tolist() == [10, 7, 24, 31]
    assert constant_velocity(past[:1]).tolist() == past[0].tolist()
