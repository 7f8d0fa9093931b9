"""Files that come from elsewhere are data: whatever is in them, none of it is executed."""

import ast
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import deepmot_lib
from deepmot_lib import matchers, trackers
from deepmot_lib.data import pairs
from deepmot_lib.training import matrices
from tests.python_files import python_files

LIBRARY = Path(deepmot_lib.__file__).parent
EXECUTING = {
    *(
        "eval",
        "exec",
        "compile",
        "os.system",
        "os.popen",
        "runpy.run_path",
        "pd.read_pickle",
        "marshal.loads",
    ),
    *(
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "joblib.load",
        "shelve.open",
        "yaml.load",
        "torch.hub.load",
    ),
}


def name_of(node):
    """``torch.load`` of the expression that is called, as far as it is a dotted name."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def executes(call):
    given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    name = name_of(call.func)
    return (
        name in EXECUTING
        or (name == "torch.load" and given.get("weights_only") is not True)
        or (name in ("np.load", "numpy.load") and given.get("allow_pickle", False) is not False)
        or given.get("shell", False) is not False
    )


def calls(source):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path)", False),
        ("pickle.loads(content)", True),
        ("subprocess.run(command, shell=True)", True),
        ("ast.literal_eval(text)", False),
    ],
)
def test_what_is_looked_for(source, expected):
    assert any(map(executes, calls(source))) == expected


@pytest.mark.parametrize("file", python_files(LIBRARY), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_no_call_of_the_library_executes_what_it_reads(file):
    found = [f"{file}:{call.lineno}" for call in calls(file.read_text()) if executes(call)]
    assert not found


class Executed:
    """What unpickling would run."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.fixture
def trap(tmp_path):
    """An object whose unpickling leaves a folder; none may be there in the end."""
    witness = tmp_path / "executed"
    yield Executed(witness)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Executed(witness)))
    assert witness.exists(), "the trap works"


@pytest.mark.parametrize("name", ["shape", "distance", "match", "source", "source_names"])
def test_a_pair_file(tmp_path, trap, name):
    pairs.write(tmp_path / "a.npz", pairs.from_matrices([(np.full((2, 2), 0.5), np.eye(2))]))
    arrays = dict(np.load(tmp_path / "a.npz"))
    np.savez(tmp_path / "a.npz", **arrays | {name: np.array([trap], object)})
    with pytest.raises(pairs.PairFileError, match=r"a\.npz"):
        pairs.read(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(pickle.dumps(trap))
    with pytest.raises(pairs.PairFileError, match=r"a\.npz"):
        pairs.read(tmp_path / "a.npz")


def pickled(path, trap):
    path.write_bytes(pickle.dumps(trap))


def in_an_array(path, trap):
    np.save(path, np.array([trap], object))


@pytest.mark.parametrize("kind", ["m", "t"])
@pytest.mark.parametrize("write", [pickled, in_an_array])
def test_the_authors_arrays(tmp_path, trap, kind, write):
    folder = tmp_path / "train" / "2_2"
    folder.mkdir(parents=True)
    for name in ("m", "t"):
        np.save(folder / f"set_2_2_0_{name}.npy", np.eye(2, dtype=np.float32)[None])
    write(folder / f"set_2_2_0_{kind}.npy", trap)
    with pytest.raises(pairs.PairFileError, match=r"set_2_2_0_.\.npy"):
        pairs.read_tree(tmp_path, "train")


@pytest.mark.parametrize("write", [pickled, in_an_array])
def test_matrices_of_a_training(tmp_path, trap, write):
    (tmp_path / "matrices").mkdir()
    write(tmp_path / "matrices" / "0000001.npy", trap)
    with pytest.raises(ValueError, match=r"0000001\.npy"):
        matrices.collected(tmp_path)


def test_weights(tmp_path, trap):
    pickled(tmp_path / "a.safetensors", trap)
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        trackers.load(tmp_path / "a.safetensors", "cpu")
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        matchers.load_weights(matchers.create("seq_gru", hidden_size=4), tmp_path / "a.safetensors")
