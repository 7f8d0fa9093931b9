"""Checkpoints and kept features: damaged in hundreds of ways, on a full disk, with code in them."""

import errno
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from deepmot_lib.data import tensor_files
from deepmot_lib.data.tensor_files import TensorFileError
from deepmot_lib.trackers.features import FeatureStore
from deepmot_lib.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

from .disks import largest_file, small_disk


def state():
    """A training after one step."""
    torch.manual_seed(0)
    network = nn.LSTM(3, 8)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3))[0].sum().backward()
    optimizer.step()
    return {
        "fingerprint": {"data": {"pairs": "a0"}, "sizes": [1, 2]},
        "step": 1,
        "network": dict(network.state_dict()),
        "optimizer": optimizer.state_dict(),
        "history": [{"step": 1, "loss": 0.5}],
        "recent": [],
        "best": None,
    }


def damaged(content, number):
    """A file's content with a flipped bit, its end cut off, bytes replaced, removed or put between."""
    rng = np.random.default_rng(number)
    at, length = int(rng.integers(len(content))), int(rng.integers(1, 64))
    kinds = (
        bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :],
        b"",
        rng.bytes(length) + content[at + length :],
        content[at + length :],
        rng.bytes(length) + content[at:],
    )
    return content[:at] + kinds[number % len(kinds)]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_what_was_written_is_read(tmp_path):
    value = {"x": torch.arange(3), "y": [(1, "two", None, 3.0)], "z": torch.rand(2, 2, dtype=torch.float64)}
    tensor_files.write(tmp_path / "a.pt", value)
    assert same(tensor_files.read(str(tmp_path / "a.pt")), value)
    assert same(torch.load(tmp_path / "a.pt", weights_only=True), value), "the format is torch's own"
    with pytest.raises(FileNotFoundError, match=r"b\.pt"):
        tensor_files.read(tmp_path / "b.pt")


def test_400_damaged_checkpoints_are_named_or_whole(tmp_path):
    """Some bytes of the file mean nothing, such as the padding between tensors."""
    file, saved, refused = tmp_path / "a.pt", state(), 0
    write_checkpoint(file, saved)
    whole = file.read_bytes()
    for number in range(400):
        file.write_bytes(damaged(whole, number))
        try:
            assert same(read_checkpoint(file), saved), f"{number}: another state was read"
        except CheckpointError as error:
            assert str(error).startswith(f"{file} is no checkpoint or a damaged one"), number
            refused += 1
    assert refused > 350


def test_400_damaged_feature_files_are_made_anew_or_whole(tmp_path):
    torch.manual_seed(0)
    store = FeatureStore(tmp_path, nn.Linear(1, 1))
    # What half precision holds, which is what is kept.
    image, features, made = torch.rand(3, 8, 8), ({"0": torch.rand(1, 4, 6).half().float()}, (6, 4)), []

    def compute(image):
        made.append(image)
        return features

    store.get(image, compute)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for number in range(400):
        file.write_bytes(damaged(whole, number))
        assert same(store.get(image, compute), features), number
    assert len(made) > 350
    assert file.read_bytes() == whole


@pytest.mark.parametrize("full", [small_disk, largest_file])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, full):
    """torch itself says "unexpected pos 64 vs 0"."""
    place = small_disk(tmp_path / "disk", 1 << 17) if full is small_disk else largest_file(1 << 16)
    with place as folder:
        file = (folder or tmp_path) / "a.pt"
        write_checkpoint(file, state())
        large = state() | {"recent": [torch.rand(50_000)]}
        with pytest.raises(OSError) as caught:
            write_checkpoint(file, large)
        number = errno.ENOSPC if folder else errno.EFBIG
        assert str(caught.value) == f"[Errno {number}] {os.strerror(number)}: '{file}'"
        assert same(read_checkpoint(file), state()) and [path.name for path in file.parent.iterdir()] == [
            "a.pt"
        ]


class Executed:
    """What unpickling would run."""

    def __init__(self, witness):
        self.command = f"touch '{witness}'"

    def __reduce__(self):
        return os.system, (self.command,)


def test_no_code_is_executed(tmp_path):
    witness, file = tmp_path / "executed", tmp_path / "a.pt"
    value = state() | {"history": [Executed(witness)]}
    torch.save(value, file)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint"):
        read_checkpoint(file)
    with pytest.raises(TensorFileError, match=r"a\.pt: damaged, or no tensors"):
        tensor_files.read(file)
    file.write_bytes(pickle.dumps(Executed(witness)))
    with pytest.raises(TensorFileError, match=r"a\.pt: damaged, or no tensors"):
        tensor_files.read(file)
    assert not witness.exists()
    torch.save(value, file)
    torch.load(file, weights_only=False)
    assert witness.exists(), "the trap works"
