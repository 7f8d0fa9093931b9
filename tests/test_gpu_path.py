"""All that runs on a GPU, run on one that is not there: no devices are mixed, the results are the CPU's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch

from deepmot_lib import matchers
from deepmot_lib.assignment import discretize, optimal_assignment, weighted_accuracy
from deepmot_lib.data import mot, synthetic
from deepmot_lib.distance import box_distance
from deepmot_lib.evaluation import matching as scoring
from deepmot_lib.experiments import examples, gradient_quality, timing
from deepmot_lib.experiments.gradients import Frame, descend, forces
from deepmot_lib.loss import DeepMOTLoss
from deepmot_lib.matchers import recurrent
from deepmot_lib.trackers import load, reid, save
from deepmot_lib.trackers.rules import MOT_BY_SOT, TRACKTOR
from deepmot_lib.trackers.tracking import track

from .device_cases import (
    OBJECTIVES,
    RANDOM_TRAININGS,
    TRAININGS,
    killed_after,
    new_matcher,
    new_tracker,
    train,
)
from .fake_cuda import fake_cuda
from .test_pairs import random_pairs

pytestmark = pytest.mark.slow

GPU = "cuda"


@pytest.fixture
def gpu() -> Iterator[str]:
    with fake_cuda():
        yield GPU


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> mot.Sequence:
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 16, (96, 128))[0]


def assert_equal_histories(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found) == list(expected)
    np.testing.assert_allclose(found.to_numpy(float), expected.to_numpy(float), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "name", [*TRAININGS, *(pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES)]
)
def test_a_training_learns_there_what_it_learns_here(gpu, sequence, tmp_path, name):
    training, reference = ((TRAININGS | OBJECTIVES)[name](sequence, device) for device in (gpu, "cpu"))
    start = {key: value.cpu() for key, value in training.network.state_dict().items()}
    assert_equal_histories(train(training, tmp_path / "a.pt"), train(reference, tmp_path / "b.pt"))
    state = training.network.state_dict()
    assert all(value.is_cuda for value in state.values())
    assert any(not torch.equal(value.cpu(), start[key]) for key, value in state.items())


@pytest.mark.parametrize("name", [*TRAININGS, *RANDOM_TRAININGS])
def test_a_killed_training_continues_there_to_the_same_bits(gpu, sequence, tmp_path, name):
    whole, killed, resumed = ((TRAININGS | RANDOM_TRAININGS)[name](sequence, gpu) for _ in range(3))
    expected = train(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt), killed_after(2):
        train(killed, tmp_path / "killed.pt")
    torch.manual_seed(99)  # another process
    assert train(resumed, tmp_path / "killed.pt").equals(expected)
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[key]), key


@pytest.mark.parametrize("name", ["seq_gru", "goturn"])
@pytest.mark.parametrize("first, second", [(GPU, "cpu"), ("cpu", GPU)])
def test_a_killed_training_continues_on_another_device(gpu, sequence, tmp_path, name, first, second):
    whole, killed, resumed = (TRAININGS[name](sequence, device) for device in ("cpu", first, second))
    expected = train(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt), killed_after(2):
        train(killed, tmp_path / "killed.pt")
    assert_equal_histories(train(resumed, tmp_path / "killed.pt"), expected)
    assert resumed.device.type == second


def both(function, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A function's result on the GPU, brought back, and on the CPU."""
    found = function(*(argument.to(GPU) for argument in arguments))
    assert found.is_cuda
    return found.cpu(), function(*arguments)


@pytest.mark.parametrize("name", matchers.names())
def test_a_matcher_passes_values_and_gradients(gpu, monkeypatch, name):
    distance = torch.rand(3, 4, 5)
    distance[1, 2], distance[2, :, 3:] = 1000.0, 1000.0
    matcher = matchers.freeze(new_matcher(name))

    def gradient(distance: torch.Tensor) -> torch.Tensor:
        distance = distance.clone().requires_grad_()
        matcher.to(distance.device)(distance).square().sum().backward()
        return distance.grad

    def soft(distance: torch.Tensor) -> torch.Tensor:
        return matcher.to(distance.device)(distance)

    torch.testing.assert_close(*both(soft, distance))
    torch.testing.assert_close(*both(gradient, distance))
    if isinstance(matcher.core, recurrent.RecurrentDHN):
        # Of a batch too large for memory, part by part, with a backward pass that computes it once more.
        monkeypatch.setattr(recurrent, "_MAX_ENTRIES", 30)
        torch.testing.assert_close(*both(gradient, distance))
    for shape in ((0, 3, 4), (2, 0, 3), (2, 3, 0)):
        assert both(soft, torch.rand(shape))[0].shape == shape


@pytest.mark.parametrize("path", sorted(matchers.WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_weights_are_loaded_onto_it(gpu, path):
    name, _, pairs = path.stem.rpartition("-")
    distance = torch.rand(2, 3, 4)
    found = matchers.load(name, gpu, pairs)(distance.to(gpu))
    torch.testing.assert_close(found.cpu(), matchers.load(name, pairs=pairs)(distance))


def test_scores_of_a_matcher_are_those_of_the_cpu(gpu, tmp_path):
    pairs, matcher = random_pairs([(3, 4)] * 3 + [(2, 5)] * 3), new_matcher("min_sum")
    matcher.to(gpu)
    found, again = (scoring.score(matcher, pairs, cache=tmp_path / "scores.pt") for _ in range(2))
    expected = scoring.score(matcher.to("cpu"), pairs)
    pd.testing.assert_frame_equal(found, expected)
    pd.testing.assert_frame_equal(again, expected)
    distance = torch.rand(2, 4, 3)
    target = optimal_assignment(distance.to(gpu), gate=0.9)
    assert target.is_cuda and torch.equal(target.cpu(), optimal_assignment(distance, gate=0.9))
    accuracy = weighted_accuracy(discretize(1 - distance.to(gpu)), target)
    assert torch.equal(accuracy.cpu(), weighted_accuracy(discretize(1 - distance), target.cpu()))


def test_what_a_matcher_costs_is_measured_there(gpu):
    found = {"min_sum_rule": matchers.load("min_sum_rule", gpu), "hungarian": matchers.load("hungarian", gpu)}
    accuracy = timing.accuracy_by_size(found, [2, 4], count=2)
    assert (accuracy.query("network == 'hungarian'")["WA"] == 100).all()
    assert (timing.costs(found, [3])["ms"] > 0).all()


def test_the_loss_of_a_clip_is_that_of_the_cpu(gpu):
    """Ids as lists, as tensors here and as tensors there."""
    boxes = torch.tensor([[10.0, 10, 30, 60], [40, 12, 62, 58], [70, 5, 90, 66]])
    moved = boxes + torch.tensor([4.0, 2, 6, -2])

    def total(boxes: torch.Tensor, ids=list) -> torch.Tensor:
        boxes, loss, parts = boxes.clone().requires_grad_(), DeepMOTLoss(scale=10.0), []
        matcher = new_matcher("sinkhorn", rounds=10, eps_end=0.05)
        for objects, names in ((moved, [1, 2, 3]), (moved.flip(0)[:2], [2, 1])):
            distance = box_distance(boxes, objects.to(boxes), (80, 100))
            parts.append(loss(distance, matcher(distance[None])[0], ids([1, 2, 3]), ids(names)).total)
        torch.stack(parts).sum().backward()
        return torch.cat([boxes.grad.flatten(), *(part.detach()[None] for part in parts)])

    for ids in (list, torch.tensor, lambda ids: torch.tensor(ids, device=GPU)):
        torch.testing.assert_close(total(boxes.to(gpu), ids).cpu(), total(boxes))


def there(frame: Frame) -> Frame:
    return frame._replace(predictions=frame.predictions.to(GPU), objects=frame.objects.to(GPU))


def test_gradients_of_the_notebooks_are_those_of_the_cpu(gpu):
    clip, size = examples.fig9()["IDS"], (240, 320)
    matcher = new_matcher("sinkhorn", rounds=10, eps_end=0.05)
    found = forces([there(frame) for frame in clip], matcher, size, DeepMOTLoss(scale=10.0))
    expected = forces(clip, matcher, size, DeepMOTLoss(scale=10.0))
    for name, pull in expected.pulls.items():
        assert found.pulls[name].is_cuda
        torch.testing.assert_close(found.pulls[name].cpu(), pull)

    def path(target: torch.Tensor) -> torch.Tensor:
        start = torch.tensor([[10.0, 20, 40, 90]]).to(target)
        return descend(lambda boxes: box_distance(boxes, target, size), start, steps=4, step_size=2.0)

    torch.testing.assert_close(*both(path, torch.tensor([[100.0, 60, 140, 150]])))


def test_the_quality_of_gradients_is_that_of_the_cpu(gpu):
    clip, size, loss = examples.fig9()["IDS"], (240, 320), DeepMOTLoss(scale=10.0)
    found = {
        "sinkhorn": new_matcher("sinkhorn", rounds=10, eps_end=0.05),
        "min_sum": new_matcher("min_sum_rule"),
    }
    tables = [
        gradient_quality.compare(found, [(frames, size)], "sinkhorn", loss)
        for frames in ([there(frame) for frame in clip], clip)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


def assert_same_tracks(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(expected) > 10, "nobody is tracked: the test compares nothing"
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("external", [False, True], ids=["own appearance", "external reid"])
@pytest.mark.parametrize("name", ["tracktor", "goturn", "siamrpn"])
def test_tracks_are_those_of_the_cpu(gpu, sequence, name, external):
    network = new_tracker(name, head=name == "tracktor")
    detector = network if name == "tracktor" else new_tracker("tracktor")
    torch.manual_seed(0)
    embed = reid.Embedder(units=16) if external else None
    # Untrained networks are sure of nothing.
    unsure = {"birth_score": 0.0, "death_score": None, "birth_frames": 1, "unverified_frames": None}
    rules = dataclasses.replace(TRACKTOR if name == "tracktor" else MOT_BY_SOT, **unsure)
    tracks = []
    for device in (gpu, "cpu"):
        for module in (network, detector, embed):
            if module is not None:
                module.to(device)
        tracks.append(track(network, sequence, rules, detector, embed, range(1, 7), progress=False))
    assert_same_tracks(*tracks)


def test_weights_saved_there_are_loaded_anywhere(gpu, tmp_path):
    tracktor = new_tracker("tracktor").to(gpu)
    save(tmp_path / "a.safetensors", tracktor, profile="smoke")
    image = torch.rand(3, 96, 128)
    boxes = torch.tensor([[10.0, 10, 40, 80]])
    found = []
    for device in (gpu, "cpu"):
        network = load(tmp_path / "a.safetensors", device)
        assert next(network.parameters()).device.type == device
        network.keep_features(tmp_path / "features")  # of the GPU, read on the CPU
        with torch.no_grad():
            found.append(network.propagate(network.encode(image.to(device)), boxes.to(device)))
    assert len(list((tmp_path / "features").iterdir())) == 1
    torch.testing.assert_close(found[0].boxes.cpu(), found[1].boxes)


def test_people_are_detected_and_embedded_there(gpu):
    image, boxes = torch.rand(3, 96, 128), torch.tensor([[10.0, 10, 40, 80], [60, 5, 90, 90]])
    tracktor, embedder = new_tracker("tracktor"), reid.Embedder(units=16).eval().requires_grad_(False)
    with torch.no_grad():
        found, expected = (
            tracktor.detect(tracktor.to(device).encode(image.to(device))) for device in (gpu, "cpu")
        )
    assert len(expected.boxes) > 3
    torch.testing.assert_close(found.boxes.cpu(), expected.boxes, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(
        *both(lambda image, boxes: embedder.to(image.device)(image, boxes), image, boxes)
    )
