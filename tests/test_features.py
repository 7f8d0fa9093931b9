"""What a frozen backbone has seen is kept, and is what it would see."""

import pytest
import torch
from torch import nn

from deepmot_lib.trackers.features import FeatureStore
from deepmot_lib.trackers.tracktor import Tracktor

IMAGE = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tracktor():
    torch.manual_seed(0)
    return Tracktor("tiny", side=120).eval()


def test_kept_features_are_those_of_the_network(tmp_path, tracktor):
    boxes = torch.tensor([[10.0, 20, 50, 110], [60, 30, 90, 100]])
    with torch.no_grad():
        fresh = tracktor.encode(IMAGE)
        tracktor.keep_features(tmp_path)
        first, again = tracktor.encode(IMAGE), tracktor.encode(IMAGE)
        assert len(list(tmp_path.iterdir())) == 1
        for seen in (first, again):
            assert (seen.size, seen.image_size) == (fresh.size, fresh.image_size)
            torch.testing.assert_close(dict(seen.features), dict(fresh.features), rtol=0, atol=0)
        torch.testing.assert_close(tracktor.propagate(again, boxes), tracktor.propagate(fresh, boxes))


def test_another_picture_size_or_network_has_features_of_its_own(tmp_path, tracktor):
    calls = []

    def compute(image):
        calls.append(image)
        return (image.sum(),)

    store = FeatureStore(tmp_path, tracktor.detector.backbone)
    assert store.get(IMAGE, compute) == store.get(IMAGE.clone(), compute) and len(calls) == 1
    store.get(IMAGE + 1e-3, compute)
    store.get(IMAGE.reshape(3, 160, 120), compute)
    assert len(calls) == 3
    FeatureStore(tmp_path, tracktor.detector.backbone, 240).get(IMAGE, compute)
    FeatureStore(tmp_path, nn.Linear(1, 1)).get(IMAGE, compute)
    assert len(calls) == 5


def test_a_broken_file_is_made_anew(tmp_path, tracktor):
    store = FeatureStore(tmp_path, tracktor.detector.backbone)
    store.get(IMAGE, lambda image: (1.0,))
    (file,) = tmp_path.iterdir()
    for content in (b"", file.read_bytes()[:100], b"no features"):
        file.write_bytes(content)
        assert store.get(IMAGE, lambda image: (2.0,)) == (2.0,)
