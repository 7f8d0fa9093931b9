"""Weight files: what was written is read, what was damaged is named."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deepmot_lib import matchers
from deepmot_lib.data import weights
from deepmot_lib.data.weights import WeightsError

ABOUT = {"tracker": "goturn", "options": {"hidden": 8}, "fingerprint": {"code": "a0"}}


def state():
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.rand(40, 3, generator=generator),
        "b.half": torch.rand(6, generator=generator).bfloat16(),
        "c": torch.tensor(7),
        "d": torch.tensor([True, False]),
        "empty": torch.zeros(0, 2),
    }


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def test_what_was_written_is_read(tmp_path):
    weights.write(tmp_path / "a.safetensors", state(), ABOUT)
    assert same(weights.read(tmp_path / "a.safetensors"), state())
    assert weights.read_about(tmp_path / "a.safetensors") == ABOUT
    assert same(load_file(tmp_path / "a.safetensors"), state()), "the format is that of safetensors"
    assert json.loads(weights.stamp(tmp_path / "a.safetensors")) == {"code": "a0"}


def test_equal_networks_make_equal_files(tmp_path):
    """A file's digest is part of what builds on it: written anew, nothing else must be made anew."""
    contents = set()
    for _ in range(20):
        weights.write(tmp_path / "a.safetensors", state(), ABOUT)
        contents.add((tmp_path / "a.safetensors").read_bytes())
    assert len(contents) == 1


def test_400_damaged_files_are_named_or_whole(tmp_path):
    """Flipped, cut off, replaced, removed and put between: nothing else is ever read."""
    file, refused = tmp_path / "a.safetensors", 0
    weights.write(file, state(), ABOUT)
    whole = file.read_bytes()
    for number in range(400):
        rng = np.random.default_rng(number)
        at, length = int(rng.integers(len(whole))), int(rng.integers(1, 64))
        ends = (
            bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :],
            b"",
            rng.bytes(length) + whole[at + length :],
            whole[at + length :],
            rng.bytes(length) + whole[at:],
        )
        file.write_bytes(whole[:at] + ends[number % 5])
        try:
            found, about = weights.read(file), weights.read_about(file)
            assert same(found, state()) and about == ABOUT, number
        except WeightsError as error:
            assert str(error).startswith(f"{file}: "), number
            refused += 1
    assert refused > 350


def test_a_single_flipped_bit_of_a_weight_is_found(tmp_path):
    weights.write(tmp_path / "a.safetensors", state(), ABOUT)
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[content.index(state()["a"].numpy().tobytes()) + 21] ^= 4
    (tmp_path / "a.safetensors").write_bytes(content)
    assert not same(load_file(tmp_path / "a.safetensors"), state()), "safetensors itself does not see it"
    with pytest.raises(WeightsError, match=r"a\.safetensors: damaged: its checksum is wrong"):
        weights.read(tmp_path / "a.safetensors")
    assert weights.stamp(tmp_path / "a.safetensors") == "", "it is not reused"


def test_files_of_other_programs(tmp_path):
    save_file(state(), tmp_path / "a.safetensors")
    assert same(weights.read(tmp_path / "a.safetensors"), state())
    with pytest.raises(WeightsError, match=r"a\.safetensors: damaged, or not weights of this package"):
        weights.read_about(tmp_path / "a.safetensors")
    for read in (weights.read, weights.read_about):
        with pytest.raises(FileNotFoundError, match=r"b\.safetensors: no such file of weights"):
            read(tmp_path / "b.safetensors")
    assert weights.stamp(tmp_path / "b.safetensors") is None


def test_a_matchers_weights_are_checked(tmp_path):
    matcher = matchers.create("seq_gru", hidden_size=4)
    weights.write(tmp_path / "a.safetensors", matcher.core.state_dict(), ABOUT)
    other = matchers.load_weights(matchers.create("seq_gru", hidden_size=4), tmp_path / "a.safetensors")
    assert same(other.core.state_dict(), matcher.core.state_dict())
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors: damaged"):
        matchers.load_weights(matcher, tmp_path / "a.safetensors")
