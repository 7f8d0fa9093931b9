"""The stand-in for a GPU refuses what CUDA refuses, computes what the CPU computes, and leaves no trace."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import nms, roi_align

from .fake_cuda import FakeCudaTensor, fake_cuda

DIFFERENT = "Expected all tensors to be on the same device"


@pytest.fixture
def cuda():
    with fake_cuda() as device:
        yield device


@pytest.fixture
def here():
    return torch.arange(12.0).reshape(3, 4)


@pytest.fixture
def there(cuda, here):
    return here.to("cuda")


def test_what_is_on_it_says_so(there, here):
    made = (
        torch.zeros(2, device="cuda"),
        torch.tensor([1.0], device="cuda:0"),
        torch.as_tensor(1, device="cuda"),
    )
    derived = (
        there.new_zeros(2),
        there.new_tensor([1]),
        torch.ones_like(there),
        there + 1,
        there[0],
        there.double(),
    )
    for tensor in (there, here.cuda(), *made, *derived):
        assert tensor.device == torch.device("cuda:0") and tensor.is_cuda and not tensor.is_cpu
    for tensor in (here, there.cpu(), there.to(here), torch.zeros_like(there, device="cpu"), torch.zeros(2)):
        assert tensor.device.type == "cpu" and not tensor.is_cuda
    assert torch.equal(there.cpu(), here) and there.tolist() == here.tolist() and there[1, 1].item() == 5


def test_a_copy_on_it_is_a_copy(there, here):
    there += 1
    assert torch.equal(there.cpu(), here + 1) and there.to("cuda") is there


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: b - a,
        lambda a, b: a.add_(b),
        lambda a, b: b.add_(a.sum()),  # CUDA's scalars do not go to the CPU
        lambda a, b: a @ b.T,
        lambda a, b: torch.cat([a, b]),
        lambda a, b: torch.stack([a[0, 0], b[0, 0]]),
        lambda a, b: torch.where(a > 0, a, b),
        lambda a, b: torch.where(b > 0, a, a),
        lambda a, b: a.gather(1, b.long() % 4),
        lambda a, b: a[0].index_select(0, torch.tensor([1])),
        lambda a, b: a.scatter_(1, b.long() % 4, 1.0),
        lambda a, b: nn.functional.linear(a, b),
        lambda a, b: nn.Linear(4, 2)(a),
        lambda a, b: nn.Linear(4, 2).to(a.device)(b),
        lambda a, b: torch.equal(a, b),
        lambda a, b: nms(a, b[:, 0], 0.5),
        lambda a, b: roi_align(a[None, None], [b[:, :4]], 2),
        lambda a, b: a.masked_fill(b > 3, 0.0),
        lambda a, b: a.__setitem__(a > 3, b[b > 3]),
    ],
)
def test_mixtures_are_refused(there, here, mix):
    with pytest.raises(RuntimeError, match=DIFFERENT):
        mix(there, here)


def test_indices_of_the_gpu_take_nothing_from_the_cpu(there, here):
    with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
        here[there > 3]


def test_mixtures_that_cuda_allows_are_computed(there, here):
    scalar = torch.tensor(2.0)
    for found, expected in [
        (there * scalar, here * 2),
        (scalar - there, 2 - here),
        (torch.where(there > 3, there, scalar), torch.where(here > 3, here, scalar)),
        (there.masked_fill(there > 3, scalar), here.masked_fill(here > 3, scalar)),
        (there[here > 3], here[here > 3]),
        (there[torch.tensor([2, 0])], here[[2, 0]]),
        (there[np.array([2, 0]), 1:], here[[2, 0], 1:]),
    ]:
        assert found.is_cuda and torch.equal(found.cpu(), expected)
    there[here > 3] = scalar
    there[0] = torch.ones(4)  # a copy
    here.copy_(there)
    assert here.tolist() == [[1, 1, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]]


def test_numpy_takes_none_of_it(there):
    for take in (FakeCudaTensor.numpy, np.asarray):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            take(there.detach())


def test_a_function_that_forgets_the_device_is_caught(there):
    """Such as this suite is there to find: nothing of it fails on a CPU."""

    def centered(boxes):
        return boxes - torch.arange(4.0)

    assert torch.equal(centered(there.cpu()), there.cpu() - torch.arange(4.0))
    with pytest.raises(RuntimeError, match=DIFFERENT):
        centered(there)


def test_gradients_cross_as_they_should(cuda, here):
    first, second = here.clone().requires_grad_(), here.clone().to(cuda).requires_grad_()
    (first.to(cuda) * second).square().sum().cpu().backward()
    assert first.grad.device.type == "cpu" and second.grad.is_cuda
    expected = 2 * here**3
    assert torch.equal(first.grad, expected) and torch.equal(second.grad.cpu(), expected)


class Forgetful(torch.autograd.Function):
    """Whose backward pass forgets the device."""

    @staticmethod
    def forward(ctx, values):
        return 2 * values

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.full((4,), 2.0)


def test_backward_passes_are_held_to_the_rules(there, here):
    for values in (there, here):
        values.requires_grad_()
        # Whose own formulas make zeros.
        (values[[0, 0, 2]].amax(1) * values.max(1).values).sum().backward()
        values.index_select(0, torch.tensor([1], device=values.device)).sum().backward()
    assert there.grad.is_cuda and torch.equal(there.grad.cpu(), here.grad)
    Forgetful.apply(here).sum().backward()
    with pytest.raises(RuntimeError, match=DIFFERENT):
        Forgetful.apply(there).sum().backward()
    with pytest.raises(RuntimeError, match=DIFFERENT):
        torch.autograd.grad(Forgetful.apply(there).sum(), there)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_a_network_learns_there_what_it_learns_here(cuda, kind, foreach):
    states = []
    for device in ("cpu", cuda):
        net = network()
        optimizer = kind(net.parameters(), 0.1, foreach=foreach)
        net.to(device)  # the optimizer's parameters stay the network's
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.ones(3, 2, 4, 4, device=device)).square().sum().backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        states.append(net.state_dict())
    assert all(value.is_cuda for value in states[1].values())
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key].cpu(), value)
    assert not torch.equal(states[0]["3.weight"], network()[3].weight)


def test_modules_move_there_and_back(cuda):
    net = network().requires_grad_(False)
    weight = net[3].weight
    copied = copy.deepcopy(net.to(cuda))
    assert net[3].weight is weight and weight.is_cuda and isinstance(weight, nn.Parameter)
    assert isinstance(copied[3].weight, nn.Parameter) and copied[3].weight.data_ptr() != weight.data_ptr()
    assert not copied[3].weight.requires_grad
    net.cpu()
    assert net[3].weight is weight and type(weight) is nn.Parameter
    torch.testing.assert_close(weight, network()[3].weight)


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
def test_recurrent_networks_run_and_have_a_gradient_in_training_mode_only(cuda, cell):
    torch.manual_seed(0)
    net, sequence = cell(3, 4, 2, bidirectional=True), torch.randn(5, 2, 3)
    expected = net(sequence)[0].detach()
    net.to(cuda)
    found = net(sequence.to(cuda))[0]
    torch.testing.assert_close(found.cpu(), expected)
    found.sum().backward()
    with pytest.raises(RuntimeError, match="can only be called in training mode"):
        net.eval()(sequence.to(cuda))[0].sum().backward()


def test_it_draws_from_a_generator_of_its_own(cuda):
    torch.manual_seed(3)
    host, state = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = (
        torch.rand(4, device=cuda),
        torch.randperm(9, device=cuda),
        nn.functional.dropout(torch.ones(9, device=cuda)),
    )
    assert torch.equal(torch.get_rng_state(), host) and not torch.equal(torch.cuda.get_rng_state(), state)
    assert not torch.equal(first[0].cpu(), torch.rand(4))
    torch.cuda.set_rng_state(state)
    second = (
        torch.rand(4, device=cuda),
        torch.randperm(9, device=cuda),
        nn.functional.dropout(torch.ones(9, device=cuda)),
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for draw in (
        lambda **options: torch.rand(2, device=cuda, **options),
        torch.zeros(2, device=cuda).normal_,
    ):
        with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator"):
            draw(generator=torch.Generator())


def test_files_note_the_device(cuda, tmp_path, there, here):
    torch.save({"there": there, "here": [here], "step": 3}, tmp_path / "a.pt")
    for where, expected in ((None, "cuda"), ("cpu", "cpu"), ("cuda", "cuda")):
        found = torch.load(tmp_path / "a.pt", map_location=where, weights_only=True)
        assert found["there"].device.type == expected and found["step"] == 3
        assert found["here"][0].device.type == ("cpu" if where is None else expected)
        assert torch.equal(found["there"].cpu(), here)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_outside_there_is_no_gpu(tmp_path):
    with fake_cuda():
        assert torch.cuda.is_available() and torch.cuda.device_count() == 1
        torch.save(torch.zeros(2, device="cuda"), tmp_path / "a.pt")
    assert not torch.cuda.is_available()
    for use in (
        lambda: torch.zeros(2, device="cuda"),
        lambda: torch.zeros(2).cuda(),
        lambda: nn.Linear(2, 2).to("cuda"),
        lambda: torch.load(tmp_path / "a.pt", weights_only=True),
    ):
        with pytest.raises((RuntimeError, AssertionError)):
            use()
    assert torch.load(tmp_path / "a.pt", map_location="cpu", weights_only=True).device.type == "cpu"
