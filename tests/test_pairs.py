"""Pairs against the file's own definition, scipy's optimum and the authors' data."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from deepmot_lib.data import mot, pairs

DATA = os.environ.get("DEEPMOT_DATA")
real = pytest.mark.skipif(not DATA, reason="DEEPMOT_DATA is not set")


def random_pairs(shapes: list[tuple[int, int]], seed: int = 0) -> pairs.Pairs:
    rng = np.random.default_rng(seed)
    matrices = []
    for n, m in shapes:
        distance = rng.uniform(size=(n, m)).astype(np.float32)
        rows, columns = linear_sum_assignment(distance)
        assignment = np.zeros((n, m))
        assignment[rows, columns] = 1
        matrices.append((distance, assignment))
    return pairs.from_matrices(matrices)


shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12)


@given(shapes)
@settings(max_examples=30, deadline=None)
def test_a_written_file_reads_back_the_same(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("pairs") / "some.npz"
    written = random_pairs(sizes)
    pairs.write(path, written)
    read = pairs.read(path)
    for name in ("shape", "distance", "match", "source"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.source_names == written.source_names
    assert list(path.parent.iterdir()) == [path], "a temporary file was left"


@given(shapes, st.integers(1, 5), st.none() | st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_an_epoch_has_every_pair_once_in_batches_of_one_shape(sizes, batch, seed):
    data = random_pairs(sizes)
    rng = None if seed is None else np.random.default_rng(seed)
    epoch = list(pairs.batches(data, batch, rng))
    assert sorted(np.concatenate(epoch)) == list(range(len(data)))
    for indices in epoch:
        assert len(indices) <= batch
        assert len({tuple(data.shape[i]) for i in indices}) == 1
        distance, assignment = data.stack(indices)
        for one, i in enumerate(indices):
            torch.testing.assert_close(distance[one], data[i][0])
            torch.testing.assert_close(assignment[one], data[i][1])


@given(shapes, st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_mixed_epoch_has_every_pair_once_in_full_batches(sizes, batch, seed):
    data = random_pairs(sizes)
    epoch = pairs.mixed_batches(data, batch, np.random.default_rng(seed))
    assert sorted(np.concatenate(epoch)) == list(range(len(data)))
    assert sum(len(indices) < batch for indices in epoch) <= 1


def test_a_mixed_batch_of_large_pairs_has_fewer_of_them():
    data = random_pairs([(100, 100)] * 9 + [(150, 150), (300, 300)])
    epoch = pairs.mixed_batches(data, 10, np.random.default_rng(0))
    found = sorted(data.entries[indices].tolist() for indices in epoch)
    assert found == [[10_000], [10_000] * 4, [10_000] * 4, [22_500], [90_000]]


def test_the_batches_of_a_mixed_epoch_hold_pairs_of_similar_size_in_random_order():
    data = random_pairs([(2, 2), (3, 6), (20, 20), (5, 5)] * 10)
    epoch = pairs.mixed_batches(data, 10, np.random.default_rng(1))
    sizes = [data.entries[indices].tolist() for indices in epoch]
    assert sorted(sizes) == [[4] * 10, [18] * 10, [25] * 10, [400] * 10]
    other = [data.entries[indices][0] for indices in pairs.mixed_batches(data, 10, np.random.default_rng(2))]
    assert other != [one[0] for one in sizes], "the order of the batches is drawn, too"


def test_the_cost_cap_makes_large_matrices_rarer_but_not_absent():
    data = random_pairs([(2, 2)] * 400 + [(20, 20)] * 400)
    kept = np.concatenate(pairs.mixed_batches(data, 10, np.random.default_rng(0), cost_cap=40))
    small, large = (kept < 400).sum(), (kept >= 400).sum()
    assert small == 400
    assert 20 < large < 60, "a 400-entry matrix is kept with probability 40 / 400"


def test_max_entries_bounds_a_batch_but_never_drops_a_pair():
    data = random_pairs([(3, 4)] * 7 + [(10, 10)] * 2)
    sizes = [(len(b), data.entries[b].sum()) for b in pairs.batches(data, 5, max_entries=36)]
    assert sorted(sizes) == sorted([(3, 36), (3, 36), (1, 12), (1, 100), (1, 100)])


def test_stack_refuses_different_shapes():
    with pytest.raises(ValueError, match="different shapes"):
        random_pairs([(2, 3), (3, 2)]).stack([0, 1])


def test_subset_keeps_each_matrix():
    data = random_pairs([(2, 3), (4, 1), (3, 3), (1, 5)])
    part = data.subset(np.array([3, 1]))
    for new, old in enumerate((3, 1)):
        torch.testing.assert_close(part[new], data[old])
    assert len(data.subset(np.array([False, True, True, False]))) == 2


def test_the_digest_tells_pairs_apart_and_outlives_the_file(tmp_path):
    data = random_pairs([(2, 3), (4, 4)])
    pairs.write(tmp_path / "a.npz", data)
    assert pairs.read(tmp_path / "a.npz").digest == data.digest
    moved = pairs.Pairs(data.shape[::-1], data.distance, data.match, data.source, data.source_names)
    others = [random_pairs([(2, 3), (4, 4)], seed=1), data.subset(np.array([1, 0])), moved]
    assert len({data.digest, *(other.digest for other in others)}) == 4


def test_uint16_distances_are_scaled_and_gated(tmp_path):
    path = tmp_path / "small.npz"
    np.savez(
        path,
        shape=np.array([[2, 2]], np.int16),
        distance=np.array([5_000, 65_535, 62_100, 0], np.uint16),
        match=np.array([0, -1], np.int16),
        source=np.zeros(1, np.int8),
        source_names=np.array(["x"]),
    )
    distance, assignment = pairs.read(path)[0]
    assert distance.tolist() == [[pytest.approx(0.1), pairs.GATED], [pytest.approx(1.242), 0.0]]
    assert assignment.tolist() == [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": np.zeros(5, np.float32)}, "'distance' holds 5 values where 'shape' asks for 6"),
        ({"match": np.array([0, 3], np.int16)}, "names a column"),
        ({"match": np.array([0], np.int16)}, "'match' holds 1"),
        ({"distance": np.array([0, 1, 2, np.nan, 4, 5], np.float32)}, "not finite"),
        ({"shape": np.array([2, 3], np.int16)}, "must be"),
        ({"source": None}, "no array 'source'"),
    ],
)
def test_a_broken_pair_file_is_named(tmp_path, change, message):
    good = {
        "shape": np.array([[2, 3]], np.int16),
        "distance": np.zeros(6, np.float32),
        "match": np.array([0, 2], np.int16),
        "source": np.zeros(1, np.int8),
        "source_names": np.array(["x"]),
    }
    path = tmp_path / "broken.npz"
    np.savez(path, **{key: value for key, value in (good | change).items() if value is not None})
    with pytest.raises(pairs.PairFileError, match=message) as error:
        pairs.read(path)
    assert str(path) in str(error.value)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_truncated_pair_file_is_named(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("pairs") / "cut.npz"
    pairs.write(path, random_pairs([(5, 6)] * 20))
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    with pytest.raises(pairs.PairFileError, match=r"cut\.npz"):
        pairs.read(path)


def test_the_authors_layout_is_read(tmp_path):
    folder = tmp_path / "train" / "2_3"
    folder.mkdir(parents=True)
    distance = np.array([[[0.1, 0.5, 1000], [0.6, 0.2, 1000]], [[1000] * 3, [0.9, 0.3, 0.4]]], np.float32)
    target = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 1, 0]]], np.float32)
    np.save(folder / "MOT16_2_3_0_m.npy", distance)
    np.save(folder / "MOT16_2_3_0_t.npy", target)
    read = pairs.read_tree(tmp_path, "train")
    assert read.source_names == ("MOT16",)
    torch.testing.assert_close(read.stack([0, 1])[0], torch.from_numpy(distance))
    torch.testing.assert_close(read.stack([0, 1])[1], torch.from_numpy(target))
    (folder / "MOT16_2_3_0_t.npy").unlink()
    with pytest.raises(pairs.PairFileError, match=r"_t\.npy is missing"):
        pairs.read_tree(tmp_path, "train")
    with pytest.raises(pairs.PairFileError, match="test"):
        pairs.read_tree(tmp_path, "test")


def sequence(path: Path, frames: int = 12, people: int = 9, seed: int = 0) -> mot.Sequence:
    """A folder with ground truth and jittered detections."""
    rng = np.random.default_rng(seed)
    numbers, ids = np.arange(1, frames + 1), np.arange(1, people + 1)
    gt = pd.DataFrame({"frame": np.repeat(numbers, people), "id": np.tile(ids, frames)})
    gt["x1"], gt["y1"] = rng.uniform(0, 500, len(gt)), rng.uniform(0, 300, len(gt))
    gt["x2"], gt["y2"] = gt.x1 + 40, gt.y1 + 100
    det = gt.copy()
    det[["x1", "x2"]] += rng.normal(0, 4, (len(gt), 1))
    det["id"] = -1
    (path / "gt").mkdir(parents=True)
    (path / "det").mkdir()
    mot.write_ground_truth(path / "gt" / "gt.txt", gt)
    mot.write_results(path / "det" / "det.txt", det)
    (path / "seqinfo.ini").write_text(
        f"[Sequence]\nname={path.name}\nseqLength={frames}\nimWidth=640\nimHeight=480\nframeRate=25\n"
    )
    return mot.Sequence.open(path)


def test_generated_pairs_are_optimal_and_gated(tmp_path):
    data = pairs.generate([sequence(tmp_path / "A")], seed=3, thresholds_per_frame=4)
    assert len(data) == 48
    gated = 0
    for distance, assignment in (data[k] for k in range(len(data))):
        distance, assignment = distance.numpy(), assignment.numpy()
        open_ = distance < pairs.GATED
        gated += (~open_).any()
        assert (distance[open_] <= 1).all()
        assert not assignment[~open_].any(), "a gated entry is matched"
        # scipy on the same matrix: a gated match would cost more than all others together
        cost = np.where(open_, distance, 100.0)
        rows, columns = linear_sum_assignment(cost)
        kept = open_[rows, columns]
        assert assignment.sum() == kept.sum()
        assert (assignment * distance).sum() == pytest.approx(cost[rows, columns][kept].sum(), abs=1e-5)
    assert gated > 20, "uniform thresholds gate entries of most matrices"


def test_generation_follows_the_seed_and_the_part(tmp_path):
    source = sequence(tmp_path / "A")
    first, again, other = (pairs.generate([source], seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.distance, again.distance)
    assert not np.array_equal(first.distance, other.distance)
    assert [len(pairs.generate([source], part=part)) for part in ("train", "val", "test")] == [6, 3, 3]


def test_a_frame_in_another_order_and_gating_is_no_unseen_one(tmp_path):
    train = pairs.generate([sequence(tmp_path / "A")], seed=1)
    same_frames = pairs.generate([mot.Sequence.open(tmp_path / "A")], seed=2)
    other_frames = pairs.generate([sequence(tmp_path / "B", seed=9)], seed=2)
    seen_in_full = told(train) & told(same_frames)
    assert seen_in_full.sum() >= 5
    assert not pairs.unseen(same_frames, train)[seen_in_full].any()
    np.testing.assert_array_equal(pairs.unseen(other_frames, train), told(other_frames))


def told(data: pairs.Pairs) -> np.ndarray:
    """Which pairs have eight ungated entries, and so a fingerprint."""
    return np.array([(data[k][0] < pairs.GATED).sum() >= 8 for k in range(len(data))])


@real
def test_the_authors_test_pairs_are_optimal():
    data = pairs.read(Path(DATA) / "dhn" / "test.npz")
    assert len(data) == 17_880
    for k in data.sample(150, seed=4):
        distance, assignment = (tensor.numpy() for tensor in data[int(k)])
        open_ = distance < pairs.GATED
        rows, columns = linear_sum_assignment(np.where(open_, distance, 1e3))
        kept = open_[rows, columns]
        assert assignment.sum() == kept.sum()
        assert (assignment * distance).sum() == pytest.approx(distance[rows, columns][kept].sum(), abs=1e-3)


@real
def test_the_known_leaks_are_found():
    """The file marks what none of all 114,483 training pairs shows; a quarter of them leaves more unseen."""
    folder = Path(DATA) / "dhn"
    marked = np.load(folder / "test-unseen.npy")
    found = pairs.unseen(pairs.read(folder / "test.npz"), pairs.read(folder / "train-0.npz"))
    assert marked.sum() == 3_506
    assert (found & marked).sum() == marked.sum()
    assert found.sum() < 17_880 / 2


# --- what no pair may be ------------------------------------------------------------------------------------

D = np.array([[0.1, 0.5, 1000], [0.6, 0.2, 0.3]], np.float32)
A = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def changed(array, *entries):
    array = array.copy()
    for row, column, value in entries:
        array[row, column] = value
    return array


@pytest.mark.parametrize(
    "distance, target, message",
    [
        (D, changed(A, (0, 1, 1), (1, 1, 0)), "two ones in row 0 of the target of matrix 1"),
        (D, changed(A, (1, 0, 1), (1, 1, 0)), "two ones in column 0 of the target of matrix 1"),
        (D, 0.9 * A, "neither 0 nor 1"),
        (D, changed(A, (0, 0, np.nan)), "neither 0 nor 1"),
        (D, changed(A, (0, 0, 0), (0, 2, 1)), "matrix 1 matches row 0 with column 2, which is gated out"),
        (changed(D, (1, 0, np.nan)), A, "negative or not finite"),
        (changed(D, (1, 0, np.inf)), A, "negative or not finite"),
        (changed(D, (1, 0, -0.1)), A, "negative or not finite"),
        (D.astype(np.float64) * 1e300, A, "negative or not finite"),  # infinite as float32
        (np.full(D.shape, "a"), A, "numbers expected"),
    ],
)
def test_a_pair_of_the_authors_tree_that_is_none_is_refused_with_its_file(
    tmp_path, distance, target, message
):
    folder = tmp_path / "train" / "2_3"
    folder.mkdir(parents=True)
    for k, (d, t) in enumerate([(D, A), (distance, target)]):
        np.save(folder / f"MOT16_2_3_{k}_m.npy", np.stack([D.astype(d.dtype), d]))
        np.save(folder / f"MOT16_2_3_{k}_t.npy", np.stack([A, t]))
    (folder / "._MOT16_2_3_0_m.npy").write_bytes(b"a fork")
    with pytest.raises(pairs.PairFileError, match=message) as error:
        pairs.read_tree(tmp_path, "train")
    assert str(folder / "MOT16_2_3_1_m.npy") in str(error.value)


@pytest.mark.parametrize("name", ["MOT16_2_3_0_m.npy", "MOT16_2_3_0_t.npy"])
@pytest.mark.parametrize(
    "content", [b"", b"no array", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00\xff\xff{"]
)
def test_a_broken_file_of_the_authors_tree_is_named(tmp_path, name, content):
    folder = tmp_path / "train" / "2_3"
    folder.mkdir(parents=True)
    np.save(folder / "MOT16_2_3_0_m.npy", D[None])
    np.save(folder / "MOT16_2_3_0_t.npy", A[None])
    (folder / name).write_bytes(content)
    with pytest.raises(pairs.PairFileError, match=name):
        pairs.read_tree(tmp_path, "train")


def flat(**change) -> pairs.Pairs:
    arrays = {
        "shape": np.array([[2, 3], [1, 1]], np.int16),
        "distance": np.array([*D.ravel(), 0.5], np.float32),
        "match": np.array([0, 2, -1], np.int16),
        "source": np.zeros(2, np.int8),
        "source_names": ("x",),
    }
    return pairs.Pairs(**(arrays | change))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"match": np.array([0, 0, 0])}, "'match' has two rows of matrix 0 in one column"),
        ({"match": np.array([2, 1, 0])}, "'match' takes an entry of matrix 0 that is gated out"),
        ({"match": np.array([0, 1, 1])}, "'match' names a column that its matrix does not have"),
        ({"match": np.array([0.0, 1.0, 0.0])}, "'match' must hold integers, not float64"),
        ({"distance": np.array([*D.ravel(), np.nan], np.float32)}, "negative or not finite"),
        ({"distance": np.array([*D.ravel(), 1e300])}, "negative or not finite"),
        ({"distance": np.array(["a"] * 7)}, "'distance' must hold numbers"),
        ({"distance": np.zeros((7, 1), np.float32)}, "must be flat"),
        ({"shape": np.array([[2, 3], [0, 1]])}, "sizes from 1 to 32767"),
        ({"source": np.array([0, 1])}, "'source' must index 'source_names'"),
        ({"source": np.array([0, -1])}, "'source' must index 'source_names'"),
        ({"source_names": tuple(map(str, range(129)))}, "of which there can be 128"),
    ],
)
def test_what_is_refused_when_read_is_not_written(tmp_path, change, message):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    pairs.write(good, flat())
    before = good.read_bytes()
    with pytest.raises(pairs.PairFileError, match=rf"good\.npz: not written: .*{message}"):
        pairs.write(good, flat(**change))
    assert good.read_bytes() == before and list(tmp_path.iterdir()) == [good]
    arrays = vars(flat()) | change
    np.savez(bad, **arrays | {"source_names": np.array(arrays["source_names"])})
    with pytest.raises(pairs.PairFileError, match=rf"bad\.npz: .*{message}"):
        pairs.read(bad)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_back_whatever_the_arrays_hold(tmp_path_factory, data):
    """Few of these are valid: a write is either refused, or reads back as it was."""
    count = data.draw(st.integers(0, 3))
    shape = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=count, max_size=count)))
    shape = shape.reshape(-1, 2).astype(np.int16)
    entries, rows = int(shape.astype(int).prod(axis=1).sum()), int(shape[:, 0].sum())
    numbers = st.floats(0, 1, width=32) | st.just(1000.0) | st.floats(width=32)
    distance = data.draw(st.lists(numbers, min_size=entries, max_size=entries))
    match = data.draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows))
    source = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    some = pairs.Pairs(
        shape, np.array(distance, np.float32), np.array(match, int), np.array(source, int), ("x",)
    )
    file = tmp_path_factory.mktemp("pairs") / "some.npz"
    try:
        pairs.write(file, some)
    except pairs.PairFileError:
        assert not file.exists()
        return
    read = pairs.read(file)
    for name in ("shape", "distance", "match", "source"):
        np.testing.assert_array_equal(getattr(read, name), getattr(some, name))
