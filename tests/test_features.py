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
            rounded = {name: level.half().float() for name, level in fresh.features.items()}
            torch.testing.assert_close(dict(seen.features), rounded, rtol=0, atol=0)
        kept, computed = tracktor.propagate(again, boxes), tracktor.propagate(fresh, boxes)
        torch.testing.assert_close(kept.boxes, computed.boxes, rtol=0, atol=0.05)  # [px]
        torch.testing.assert_close(kept.scores, computed.scores, rtol=0, atol=1e-3)


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


def test_files_hold_half_precision_and_only_what_it_can_hold(tmp_path):
    features = ({"0": torch.rand(64, 50)}, [torch.tensor([1e30, 1.0])], torch.arange(3), 7)
    store = FeatureStore(tmp_path, nn.Linear(1, 1))
    for _ in range(2):
        kept = store.get(IMAGE, lambda image: features)
        torch.testing.assert_close(kept[0]["0"], features[0]["0"].half().float(), rtol=0, atol=0)
        assert torch.equal(kept[1][0], features[1][0])  # beyond 65504
        assert torch.equal(kept[2], features[2]) and kept[3] == 7
    assert 2 * 64 * 50 < store.bytes < 3 * 64 * 50


def test_what_no_longer_fits_is_rounded_as_well(tmp_path):
    store = FeatureStore(tmp_path, nn.Linear(1, 1), max_bytes=0)
    third = torch.tensor([1 / 3])
    assert store.get(IMAGE, lambda image: (third,))[0] == third.half().float()
    assert not tmp_path.exists() or not list(tmp_path.iterdir())
