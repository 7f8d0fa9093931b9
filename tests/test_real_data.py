"""What an experiment does with real data: takes it however it is numbered, or stops and says why."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment

from deepmot_lib.data import mot, pairs
from deepmot_lib.experiments import matrices
from deepmot_lib.experiments.experiment import Experiment
from deepmot_lib.experiments.pairs import KINDS

FRAMES, SIZE = 16, (48, 64)


def make(root, name, pattern="{:06d}.jpg", first=1):
    """Three people who walk, each detected two pixels off."""
    rows = [
        (frame, i, 3.0 * frame + 5 * i, 4.0 * i, 3.0 * frame + 5 * i + 9, 4.0 * i + 20)
        for frame in range(1, FRAMES + 1)
        for i in (1, 2, 3)
    ]
    gt = pd.DataFrame(rows, columns=mot.COLUMNS[:6])
    mot.write_ground_truth(root / name / "gt" / "gt.txt", gt)
    mot.write_results(root / name / "det" / "det.txt", gt.assign(id=-1, x1=gt.x1 + 2, x2=gt.x2 + 2))
    (root / name / "img1").mkdir()
    for k in range(FRAMES):
        Image.new("RGB", SIZE[::-1]).save(root / name / "img1" / pattern.format(first + k), format="PNG")
    return root / name


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of real data, which DEEPMOT_DATA points to."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("DEEPMOT_DATA", str(root))
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "out"))
    return root


@pytest.fixture
def standard(root, monkeypatch):
    """The profile standard on that folder; to render anything fails."""
    found = Experiment.open("standard", "cpu")
    monkeypatch.setattr(Experiment, "rendered", property(lambda _: pytest.fail("rendered data was taken")))
    assert found.data_root == root
    return found


def again(experiment):
    """The same experiment with nothing read yet."""
    return dataclasses.replace(experiment, _pairs={})


@pytest.mark.parametrize("pattern, first", [("frame_{:06d}.PNG", 0), ("{}.jpg", 1), ("img_{:04d}.png", 301)])
def test_pictures_are_found_however_they_are_numbered(standard, root, pattern, first):
    make(root, "OWN-01", pattern, first)
    assert [sequence.name for sequence in standard.tracking.training] == ["OWN-01"]
    assert standard.tracking.description == "OWN-01"
    assert all("embedded" not in standard.pairs(kind).description for kind in KINDS)
    assert [one.name for one in matrices.sources(standard)[0]] == ["OWN-01"]


def test_beside_mot17_other_sequences_are_for_transfer(standard, root):
    for name in ("TUD-Campus", "MOT17-09-SDP", "MOT17-09-DPM", "MOT16-09"):
        make(root, name)
    data = standard.tracking
    assert [one.name for one in data.training] == ["MOT17-09-DPM"]
    assert [one.name for one in data.evaluation] == ["MOT17-09-DPM", "MOT17-09-SDP"]
    assert [one.name for one in data.transfer] == ["TUD-Campus"]  # MOT16-09 has the images of MOT17-09
    assert data.protocol == "motchallenge" and data.description == "MOT17-09-DPM, MOT17-09-SDP"


@pytest.mark.parametrize(
    ("names", "protocol", "transfer"),
    [(["MOT16-09", "PETS"], "motchallenge", ["PETS"]), (["OWN-01", "OWN-02"], "plain", [])],
)
def test_without_mot17(standard, root, names, protocol, transfer):
    for name in names:
        make(root, name)
    data = standard.tracking
    assert data.protocol == protocol and [one.name for one in data.transfer] == transfer
    assert [one.name for one in data.evaluation] == [name for name in names if name not in transfer]


def test_what_lacks_something_is_left_out_and_the_rest_is_taken(standard, root):
    make(root, "OWN-01")
    shutil.rmtree(make(root, "OWN-02") / "det")
    shutil.rmtree(make(root, "OWN-03") / "img1")
    (make(root, "OWN-04") / "img1" / "000003.jpg").unlink()
    with pytest.warns(mot.MotFormatWarning, match=r"OWN-04.*there is no picture 3"):
        assert standard.tracking.description == "OWN-01"
    with pytest.warns(mot.MotFormatWarning, match="OWN-04"):
        assert standard.pairs("eq3").description.startswith("pairs made of 2 MOTChallenge sequences")


def test_a_run_stops_where_nothing_can_be_used_and_says_why(standard, root):
    with pytest.raises(mot.MotFormatError, match="no MOTChallenge sequence here"):
        _ = standard.tracking
    shutil.rmtree(make(root, "OWN-02") / "det")
    shutil.rmtree(make(root, "OWN-03") / "gt")
    (make(root, "OWN-04") / "img1" / "000003.jpg").unlink()
    for use in (
        lambda: again(standard).tracking,
        lambda: again(standard).pairs("eq3"),
        lambda: again(standard).pairs("released"),
    ):
        with pytest.raises(mot.MotFormatError) as error:
            use()
        for reason in ("OWN-02: no detections", "OWN-03: no ground truth", "there is no picture 3"):
            assert reason in str(error.value)
    shutil.rmtree(root / "OWN-02")
    with pytest.raises(mot.MotFormatError, match=r"no sequence with ground truth.*OWN-03: no ground truth"):
        matrices.sources(again(standard))


def test_without_the_authors_pairs_released_ones_are_made_of_the_sequences(standard, root):
    """Appendix A.1, with the center distances that the authors' pairs hold; checked by hand and by scipy."""
    folder = make(root / "MOT17" / "train", "MOT17-02-FRCNN")
    found = standard.pairs("released")
    assert found.description == (
        "pairs made of 1 MOTChallenge sequences as Appendix A.1 says, plain center distances "
        "(16 for training, 4 for test)"
    )
    gt = mot.read_ground_truth(folder / "gt" / "gt.txt")
    for part, some, repeat in (("train", found.train, 2), ("test", found.test, 1)):
        frames = np.repeat(mot.split(FRAMES)[part], repeat)
        assert len(some) == len(frames) and (some.shape == 3).all()
        for k, frame in enumerate(frames):
            rows = gt[gt["frame"] == frame]
            x, y = (rows["x1"] + rows["x2"]).to_numpy() / 2, (rows["y1"] + rows["y2"]).to_numpy() / 2
            full = np.hypot(x[:, None] + 2 - x, y[:, None] - y) / np.hypot(*SIZE)
            distance, assignment = (tensor.numpy() for tensor in some[k])
            kept = distance[distance < pairs.GATED]
            expected = np.sort(full.ravel())[: len(kept)]
            np.testing.assert_allclose(np.sort(kept), expected, atol=1e-6)
            row, column = linear_sum_assignment(distance)
            chosen = distance[row, column] < pairs.GATED
            assert assignment.sum() == chosen.sum()
            assert (assignment * distance).sum() == pytest.approx(
                distance[row, column][chosen].sum(), abs=1e-6
            )
    eq3 = standard.pairs("eq3")
    assert "Eq. 3" in eq3.description and eq3.train.digest != found.train.digest


def test_the_authors_pairs_are_taken_where_they_are_and_never_half_of_them(standard, root):
    make(root, "OWN-01")
    made = standard.pairs("eq3")
    dhn = root / "dhn"
    dhn.mkdir()
    assert "Appendix A.1" in again(standard).pairs("released").description, "an empty folder holds none"
    pairs.write(dhn / "train-0.npz", made.train)
    with pytest.raises(FileNotFoundError, match=r"train-0\.npz but no test\.npz"):
        again(standard).pairs("released")
    pairs.write(dhn / "test.npz", made.test)
    assert again(standard).pairs("released").description == "the paper's pairs (16 for training, 4 for test)"
    for marks, message in (
        (b"no array", "no array"),
        (np.ones(3, bool), "each of 4"),
        (np.ones(4), "each of 4"),
    ):
        file = dhn / "test-unseen.npy"
        file.write_bytes(marks) if isinstance(marks, bytes) else np.save(file, marks)
        with pytest.raises(pairs.PairFileError, match=rf"test-unseen\.npy.*{message}"):
            again(standard).pairs("released")
    np.save(dhn / "test-unseen.npy", np.array([True, False, True, False]))
    assert again(standard).pairs("released").unseen.tolist() == [True, False, True, False]
    (dhn / "train-0.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no train-\*\.npz"):
        again(standard).pairs("released")
    shutil.rmtree(dhn)
    (dhn / "train" / "2_3").mkdir(parents=True)
    with pytest.raises(pairs.PairFileError, match="no file like"):
        again(standard).pairs("released")


def test_without_real_data_pairs_are_of_the_rendered_sequences_and_say_so(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPMOT_DATA", raising=False)
    experiment = Experiment.open("standard", "cpu")
    vars(experiment)["rendered"] = [mot.Sequence.open(make(tmp_path, "EMB-01-DPM"))]
    released, eq3 = (experiment.pairs(kind).description for kind in KINDS)
    assert released.startswith(
        "pairs made of the embedded sequences, plain center distances (32 for training"
    )
    assert eq3.startswith("pairs made of the embedded sequences, Eq. 3 (32 for training")
