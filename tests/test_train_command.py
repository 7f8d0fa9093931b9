"""``deepmot train``: a tracker on one's own sequences, from weights that are there, into one file."""

import shutil

import pytest
import torch

from deepmot_lib import trackers
from deepmot_lib.commands import main, train
from deepmot_lib.data import mot, synthetic
from deepmot_lib.data.weight_notes import read_header
from deepmot_lib.experiments import default_weights, own_data
from deepmot_lib.training import objectives, trainer
from deepmot_lib.training.checkpoint import read_checkpoint

from .test_track_command import small

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 24, (96, 128))[2]


@pytest.fixture
def place(rendered, tmp_path, monkeypatch):
    """A folder with one's own data, mine, and small weights that ship; the working directory."""
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "here"))
    monkeypatch.setattr(default_weights, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(rendered.path, tmp_path / "mine" / "own-01")
    for name in trackers.NAMES:
        trackers.save(tmp_path / "shipped" / f"{name}.safetensors", small(name))
    return tmp_path


def files(place):
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def run(*more, tracker="tracktor", loss="dMOTA+dMOTP", out="w.safetensors"):
    return main(
        ["train", "--data", "mine", "--tracker", tracker, "--loss", loss, "--steps", "4", "--out", out, *more]
    )


def test_the_losses_are_those_that_there_are():
    assert set(train.LOSSES) == {*objectives.LOSSES, "vanilla"}


def last_weights(place):
    """The weights of the last step, by the tracker's names."""
    state = read_checkpoint(place / "w.checkpoint.pt")["network"]
    state = {name.removeprefix("tracker."): value for name, value in state.items()}
    # As a detector, that part alone is trained.
    return state | {f"detector.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("tracker", trackers.NAMES)
@pytest.mark.parametrize("loss", ["dMOTA+dMOTP", "smooth_l1", "vanilla"])
def test_weights_change_and_track(place, capsys, tracker, loss):
    before = files(place)
    assert run(tracker=tracker, loss=loss) == 0
    printed = capsys.readouterr().out
    assert f"start: {tracker}, weights {tracker}.safetensors (shipped)" in printed
    assert "data: own-01; 12 frames, the first halves, to train on" in printed
    assert ("MOTA on the third quarters" in printed) == (loss != "vanilla")
    assert files(place) - before == {"w.safetensors", "w.checkpoint.pt"}, "and nothing else is written"
    # The weights may be those of the start, if no trained ones were better on the third quarters.
    old, new = trackers.load(f"shipped/{tracker}.safetensors", "cpu").state_dict(), last_weights(place)
    assert any(not torch.equal(old[name], value) for name, value in new.items() if name in old)
    made_from = read_header("w.safetensors")["made_from"]
    assert made_from["data"] == "own-01" and made_from["schedule"].startswith(f"{loss}: 4 ")
    assert main(["track", "mine/own-01", "--tracker", tracker, "--weights", "w.safetensors"]) == 0
    assert mot.read_boxes("own-01.txt")["frame"].max() <= 24


def test_a_training_that_was_cut_off_goes_on(place, monkeypatch, capsys):
    """To the same bits as one that was not."""
    assert run() == 0
    whole = trackers.load("w.safetensors", "cpu").state_dict()
    (place / "w.checkpoint.pt").unlink()
    usual = trainer.Training.rng

    def killed(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return usual(self, step)

    monkeypatch.setattr(trainer, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(trainer.Training, "rng", killed)
    assert run(out="cut.safetensors") == 130 and not (place / "cut.safetensors").exists()
    monkeypatch.setattr(trainer.Training, "rng", usual)
    capsys.readouterr()
    assert run(out="cut.safetensors") == 0
    assert "trained anew" not in capsys.readouterr().out
    resumed = trackers.load("cut.safetensors", "cpu").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_validation_takes_the_third_quarter_and_the_detector_where_there_are_no_detections(
    place, monkeypatch
):
    (place / "mine" / "own-01" / "det" / "det.txt").unlink()
    sequence = mot.Sequence.open(place / "mine" / "own-01")
    gt, seen = sequence.gt(), []

    class Perfect:
        def track(self, _, frames):
            seen.append(frames)
            return gt[gt["frame"].isin(frames)]

    training = own_data.OwnTraining("tracktor", "smooth_l1", [sequence], default_weights.choose("tracktor"))
    assert training.validate(Perfect()) == 1.0 and seen == [range(13, 19)]
    assert run(loss="smooth_l1") == 0


def test_a_new_network_is_trained_by_its_own_loss_first(place, monkeypatch, capsys):
    monkeypatch.setattr(
        own_data.settings, "get", lambda name, get=own_data.settings.get: get("smoke")
    )  # its networks are small
    assert run("--start", "none", tracker="goturn", loss="dMOTP") == 1
    assert "a new goturn is trained by the loss vanilla first" in capsys.readouterr().err
    assert run("--start", "none", tracker="goturn", loss="vanilla") == 0
    assert "start: a new network" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data", "nothing"], "--data nothing: no such folder"),
        (["--data", "shipped"], "shipped: no MOTChallenge sequence here"),
        (["--data", "empty"], "no sequence with pictures and ground truth"),
        (["--out", "w.pt"], "--out w.pt: weights are written to a file that ends in .safetensors"),
        (["--out", "shipped/tracktor.safetensors"], "would overwrite what is read"),
        (["--start", "nothing"], "nothing: no such file of weights"),
        (["--start", "shipped/goturn.safetensors"], "weights of goturn, not of tracktor"),
    ],
)
def test_bad_input_is_named_in_a_line_and_nothing_is_written(place, capsys, words, named):
    shutil.copytree(place / "mine" / "own-01", place / "empty" / "own-01")
    shutil.rmtree(place / "empty" / "own-01" / "gt")
    before = files(place)
    assert main(["train", "--data", "mine", "--out", "w.safetensors", *words]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("deepmot: ")]
    assert named in told[-1] and files(place) == before
    with pytest.raises(SystemExit):
        main(["train", "--data", "mine", "--out", "w.safetensors", "--steps", "0"])
