"""On a real GPU: trainings learn what they learn on the CPU, to 1e-3, and continue after a kill."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from deepmot_lib import matchers
from deepmot_lib.data import mot, synthetic

from .device_cases import RANDOM_TRAININGS, TRAININGS, killed_after, new_matcher, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(scope="module")
def sequence(tmp_path_factory) -> mot.Sequence:
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 16, (96, 128))[0]


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Switch off TF32, whose ten bits of mantissa are too few to compare."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_agrees_with_the_cpu(sequence, tmp_path, name):
    training, reference = (TRAININGS[name](sequence, device) for device in ("cuda", "cpu"))
    history, expected = train(training, tmp_path / "a.pt"), train(reference, tmp_path / "b.pt")
    assert training.device.type == "cuda"
    assert list(history) == list(expected)
    np.testing.assert_allclose(history.to_numpy(float), expected.to_numpy(float), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [*TRAININGS, *RANDOM_TRAININGS])
def test_a_killed_training_continues(sequence, tmp_path, name):
    """To 1e-3: sums of CUDA's atomic additions differ from run to run in the last bits."""
    whole, killed, resumed = ((TRAININGS | RANDOM_TRAININGS)[name](sequence, "cuda") for _ in range(3))
    expected = train(whole, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt), killed_after(2):
        train(killed, tmp_path / "killed.pt")
    torch.manual_seed(99)  # another process
    history = train(resumed, tmp_path / "killed.pt")
    np.testing.assert_allclose(history.to_numpy(float), expected.to_numpy(float), rtol=1e-3, atol=1e-3)
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[key], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", matchers.names())
def test_a_matcher_agrees_with_the_cpu(name):
    distance, matcher = torch.rand(3, 5, 6), matchers.freeze(new_matcher(name))
    distance[1, 2] = 1000.0
    results = []
    for device in ("cuda", "cpu"):
        values = distance.to(device).requires_grad_()
        soft = matcher.to(device)(values)
        soft.square().sum().backward()
        results.append((soft.detach().cpu(), values.grad.cpu()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
