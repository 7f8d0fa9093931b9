"""Weights of trackers, which of them are the best here, and ``deepmot track``, which takes them."""

import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from deepmot_lib import matchers, trackers
from deepmot_lib.__main__ import main
from deepmot_lib.data import mot, synthetic, weights
from deepmot_lib.evaluation import evaluate
from deepmot_lib.experiments import default_weights as best
from deepmot_lib.experiments.fingerprints import plain

from . import films

SMALL = {
    "tracktor": {"backbone": "tiny", "side": 96, "reid": True},
    "goturn": {"size": 64, "widths": (8, 8, 8, 8, 8), "hidden": 16},
    "siamrpn": {"widths": (4, 8, 8)},
}


def small(name: str) -> trackers.Tracker:
    torch.manual_seed(0)
    tracker = trackers.create(name, **SMALL[name]).eval()
    if name == "tracktor":  # one that believes every detection and leaves it where it is
        predictor = tracker.detector.roi_heads.box_predictor
        torch.nn.init.zeros_(predictor.bbox_pred.weight)
        torch.nn.init.zeros_(predictor.bbox_pred.bias)
        predictor.cls_score.bias.data = torch.tensor([-50.0, 50.0])
    return tracker


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return synthetic.write_sequences(tmp_path_factory.mktemp("data"), 1, 6, (96, 128))[2]


@pytest.fixture
def place(rendered, tmp_path, monkeypatch):
    """A folder with a copy of a sequence, and Tracktor's weights beside it; nothing else is here."""
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "here"))
    monkeypatch.setattr(best, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    shutil.copytree(rendered.path, tmp_path / "gt" / rendered.name)
    trackers.save(tmp_path / "weights.safetensors", small("tracktor"))
    return tmp_path


def track(place, *more, tracker="tracktor", file="weights.safetensors"):
    sequence = next((place / "gt").iterdir())
    given = [] if file is None else ["--weights", str(place / file)]
    out = place / "results" / f"{sequence.name}.txt"
    return main(["track", str(sequence), "--tracker", tracker, "--out", str(out), *given, *more])


# --- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", trackers.NAMES)
def test_what_is_saved_comes_back(tmp_path, name):
    tracker, boxes = small(name), torch.tensor([[10.0, 20, 40, 90], [60, 10, 90, 90]])
    if name != "tracktor":
        for parameter in tracker.parameters():  # some start at 0
            torch.nn.init.normal_(parameter, std=0.1)
    trackers.save(tmp_path / "a.safetensors", tracker, validation=0.25)
    back = trackers.load(tmp_path / "a.safetensors", "cpu")
    assert type(back) is type(tracker) and not back.training
    image = torch.rand(3, 96, 128)
    with torch.no_grad():
        a, b = (
            f.propagate(f.encode(image), boxes, f.init_memory(f.encode(image), boxes))
            for f in (tracker, back)
        )
    assert torch.equal(a.boxes, b.boxes) and torch.equal(a.scores, b.scores)
    assert (a.appearance is None) == (b.appearance is None) == (name != "tracktor")
    about = weights.read_about(tmp_path / "a.safetensors")
    assert about == {"tracker": name, "options": plain(tracker.options), "validation": 0.25}


def broken(file):
    trackers.save(file, small("goturn"))
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    "spoil",
    [
        broken,
        lambda file: file.write_bytes(b"no weights"),
        lambda file: save_file({"a": torch.zeros(1)}, file),
        lambda file: shutil.copy(next(matchers.WEIGHTS.glob("*.safetensors")), file),
        lambda file: save_file({}, file, {"deepmot": '{"tracker": "kcf", "options": {}}'}),
        lambda file: save_file({}, file, {"deepmot": '{"tracker": "goturn", "options": {"sides": 3}}'}),
        lambda file: save_file({}, file, {"deepmot": '{"tracker": "goturn", "options": {}}'}),
    ],
    ids=["cut", "no file", "no notes", "a matcher's", "unknown", "options", "no weights"],
)
def test_what_is_no_tracker_is_refused_by_name(tmp_path, spoil):
    spoil(tmp_path / "a.safetensors")
    with pytest.raises(
        ValueError, match=r"a\.safetensors: damaged, or not (weights of this package|a tracker's weights)"
    ):
        trackers.load(tmp_path / "a.safetensors", "cpu")


def test_missing_weights_and_unknown_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file of weights"):
        trackers.load(tmp_path / "none.safetensors", "cpu")
    with pytest.raises(ValueError, match="unknown tracker 'kcf': choose one of tracktor, goturn, siamrpn"):
        trackers.create("kcf")


# --- the best here ------------------------------------------------------------------------------------------


def leave(place, profile, loss, validation, tracker="tracktor", seed=0):
    """Weights where notebook 07 leaves them."""
    path = place / "here" / "runs" / profile / "trackers" / tracker / loss / "none" / "none" / f"seed{seed}"
    file = path / "weights.safetensors"
    trackers.save(file, small(tracker), made_from={"profile": profile}, validation=validation)
    return file


def test_the_best_is_of_the_best_profile_and_validated_best(place):
    assert best.find("tracktor") is None
    vanilla = leave(place, "smoke", "vanilla", None)
    assert best.find("tracktor") == vanilla
    low, high = leave(place, "smoke", "dMOTA", -0.3), leave(place, "smoke", "dMOTA", 0.9, seed=1)
    assert best.find("tracktor") == high != low
    standard = leave(place, "standard", "vanilla", None)
    assert best.find("tracktor") == standard
    worse = leave(place, "standard", "dMOTP", -0.5)
    assert best.find("tracktor") == worse, "what was never validated comes last"
    assert best.find("goturn") is None


def test_single_object_trackers_take_the_vanilla_detector_of_their_profile(place):
    leave(place, "standard", "smooth_l1", 0.5, "goturn")
    choice = best.choose("goturn")
    assert best.pipeline(choice, "cpu").detector is None
    assert "public detections are taken as they are" in choice.description()
    judge = leave(place, "standard", "vanilla", None)
    choice = best.choose("goturn")
    assert best.pipeline(choice, "cpu").detector.name == "tracktor"
    assert f"detections scored by {judge}" in choice.description()
    networks = best.pipeline(best.choose("tracktor"), "cpu")
    assert networks.detector is networks.tracker


def test_broken_weights_among_those_here_are_named(place, capsys):
    file = leave(place, "smoke", "dMOTA", 0.5)
    file.write_bytes(b"half")
    assert track(place, file=None) == 1
    assert str(file) in capsys.readouterr().err


# --- deepmot track ------------------------------------------------------------------------------------------


def test_its_result_can_be_evaluated(place, capsys):
    assert track(place) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"tracktor, weights {place / 'weights.safetensors'}"
    file = next((place / "results").iterdir())
    boxes = mot.read_boxes(file)
    assert printed[1] == f"{file} holds {boxes['id'].nunique()} tracks in 6 frames"
    measures = evaluate(place / "gt", place / "results", "plain").loc["OVERALL"]
    assert measures["Rcll"] > 0.5 and boxes["frame"].max() == 6


@pytest.mark.parametrize("tracker", ["goturn", "siamrpn"])
def test_single_object_trackers_track_too(place, tracker):
    trackers.save(place / "sot.safetensors", small(tracker))
    assert track(place, tracker=tracker, file="sot.safetensors") == 0
    assert mot.read_boxes(next((place / "results").iterdir()))["frame"].min() >= 3  # born of three frames


@pytest.mark.slow
def test_a_film_is_tracked_and_drawn(place, monkeypatch, capsys):
    """People are found by the detector: there are no detections beside a film."""
    monkeypatch.chdir(place)
    film = films.plain(place / "walk.mp4", 8)
    drawn = place / "drawn.mp4"
    assert main(["track", str(film), "--weights", "weights.safetensors", "--video", str(drawn)]) == 0
    printed = capsys.readouterr()
    boxes = mot.read_boxes(place / "walk.txt")
    assert f"walk.txt holds {boxes['id'].nunique()} tracks in 8 frames" in printed.out
    assert boxes["frame"].max() == 8, "this detector believes in everything"
    with av.open(str(drawn)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 20)
        assert sum(1 for _ in container.decode(stream)) == 8


@pytest.mark.parametrize("tracker", ["goturn", "siamrpn"])
def test_single_object_trackers_find_people_by_the_shipped_tracktor(place, tracker, monkeypatch, capsys):
    monkeypatch.chdir(place)
    film = films.plain(place / "walk.mp4", 5)
    trackers.save(place / "sot.safetensors", small(tracker))
    words = ["track", str(film), "--tracker", tracker, "--weights", "sot.safetensors"]
    assert main(words) == 1
    assert "no weights of Tracktor here, which could find people" in capsys.readouterr().err
    trackers.save(place / "shipped" / "tracktor.safetensors", small("tracktor"))
    assert main(words) == 0
    assert mot.read_boxes(place / "walk.txt")["frame"].min() == 3  # born of three frames


@pytest.mark.slow
def test_a_film_that_was_cut_off_is_tracked_until_there(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    film = films.plain(place / "walk.mp4", 40)
    films.cut(film, 0.7)
    words = ["track", str(film), "--weights", "weights.safetensors", "--video", "drawn.mp4"]
    assert main(words) == 0
    printed = capsys.readouterr()
    (told,) = (line for line in printed.err.splitlines() if "ends after frame" in line)
    frames = int(told.split("after frame ")[1].split(" of 40")[0])
    assert 5 < frames < 40 and f"tracks in {frames} frames" in printed.out
    assert mot.read_boxes(place / "walk.txt")["frame"].max() == frames


def test_nobody_in_a_film(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    blind = small("tracktor")
    blind.detector.roi_heads.box_predictor.cls_score.bias.data = torch.tensor([50.0, -50.0])
    trackers.save(place / "blind.safetensors", blind)
    film = films.plain(place / "walk.mp4", 4)
    assert main(["track", str(film), "--weights", "blind.safetensors", "--video", "drawn.gif"]) == 0
    printed = capsys.readouterr().out
    assert "walk.txt holds 0 tracks in 4 frames" in printed and "nobody was found" in printed
    assert (place / "walk.txt").read_text() == "" and (place / "drawn.gif").is_file()


@pytest.mark.slow
def test_a_folder_of_pictures_and_its_frame_rate(place, monkeypatch, capsys):
    """It tells no frame rate: 25 is assumed, but not in silence."""
    monkeypatch.chdir(place)
    (place / "pictures").mkdir()
    for number in range(1, 5):
        Image.fromarray(films.picture(number)).save(place / "pictures" / f"{number}.png")
    words = ["track", "pictures", "--weights", "weights.safetensors", "--video", "drawn.mp4"]
    for more, rate, told in (([], 25, 1), (["--fps", "10"], 10, 0)):
        assert main([*words, *more]) == 0
        assert capsys.readouterr().err.count("frame rate is not known") == told
        with av.open("drawn.mp4") as container:
            assert container.streams.video[0].average_rate == rate
    for wrong in ("0", "-5", "inf", "fast"):
        with pytest.raises(SystemExit):
            main([*words, f"--fps={wrong}"])


def test_weights_of_a_smoke_run_come_with_a_warning(place, capsys):
    trackers.save(place / "weights.safetensors", small("tracktor"), made_from={"profile": "smoke"})
    assert track(place) == 0
    assert "weights of a smoke run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nothing.mp4"], "nothing.mp4: no such folder or film"),
        (["walk.mp4", "--out", "folder"], "--out folder: is a folder"),
        (["walk.mp4", "--out", "walk.mp4"], "--out walk.mp4: would overwrite what is read"),
        (["walk.mp4", "--out", "walk.mp4/a.txt"], "walk.mp4 is no folder"),
        (["walk.mp4", "--video", "folder.mp4"], "--video folder.mp4: is a folder"),
        (["walk.mp4", "--video", "walk.mp4"], "--video walk.mp4: would overwrite what is read"),
        (["walk.mp4", "--out", "a.mp4", "--video", "a.mp4"], "--video a.mp4: is the file of --out"),
        (["walk.mp4", "--video", "a.avi"], "a.avi: a film ends in .mp4 or .gif"),
        (["walk.mp4", "--weights", "none"], "none: no such file of weights"),
        (["walk.mp4", "--tracker", "goturn"], "weights of tracktor, not of goturn"),
        (["notes.mp4"], "notes.mp4: not a film that FFmpeg can read"),
    ],
)
def test_what_can_be_told_without_torch_is_told_at_once(place, monkeypatch, capsys, words, named):
    monkeypatch.chdir(place)
    for folder in ("folder", "folder.mp4"):
        (place / folder).mkdir()
    (place / "notes.mp4").write_text("no film")
    films.plain(place / "walk.mp4", 2)
    weights_ = [] if "--weights" in words else ["--weights", "weights.safetensors"]
    before = sorted(place.rglob("*"))
    monkeypatch.setattr(best, "pipeline", lambda *_: pytest.fail("loaded the networks"))
    assert main(["track", *words, *weights_]) == 1
    assert named in capsys.readouterr().err and sorted(place.rglob("*")) == before


@pytest.mark.slow
def test_errors_take_no_torch(place):
    code = (
        "import sys; from deepmot_lib.commands import main\n"
        "films = ['track', 'nothing.mp4'], ['track', '.', '--out', '.'], ['track', 'notes.mp4']\n"
        "assert [main(words) for words in films] == [1, 1, 1]\n"
        "assert 'torch' not in sys.modules"
    )
    (place / "notes.mp4").write_text("no film")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=place, capture_output=True)


def test_a_film_of_it(place, capsys):
    film = place / "film.gif"
    assert track(place, "--video", str(film)) == 0 and f"{film} shows them" in capsys.readouterr().out
    with Image.open(film) as opened:
        assert opened.n_frames == 6


def test_the_best_weights_here_are_taken_or_what_to_run_is_told(place, capsys):
    assert track(place, file=None) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "run notebooks/07_tracker_training.ipynb" in told and "--weights" in told
    file = leave(place, "smoke", "dMOTA", 0.5)
    assert track(place, file=None) == 0 and str(file) in capsys.readouterr().out


def image(folder, name="000004.jpg"):
    return next((folder / "gt").iterdir()) / "img1" / name


@pytest.mark.parametrize(
    "spoil, named",
    [
        (lambda f: trackers.save(f / "weights.safetensors", small("goturn")), "of goturn, not of tracktor"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors: no such file of weights"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"half"), "weights.safetensors: damaged"),
        (lambda f: image(f).write_bytes(image(f).read_bytes()[:400]), "000004.jpg: not a readable image"),
        (lambda f: image(f).unlink(), "no picture 4"),
        (lambda f: Image.new("RGB", (99, 96)).save(image(f)), "000004.jpg: is 96 x 99 pixels"),
        (lambda f: (image(f).parents[1] / "det" / "det.txt").write_text("1,x\n"), "det.txt:1: "),
    ],
    ids=[
        "another's",
        "no weights",
        "half weights",
        "image",
        "no image",
        "size",
        "detections",
    ],
)
def test_bad_input_is_named_in_a_line_and_nothing_is_written(place, capsys, spoil, named):
    spoil(place)
    before = sorted(place.rglob("*"))
    assert track(place, "--video", str(place / "film.gif")) == 1
    told = [line for line in capsys.readouterr().err.split("\n") if line.startswith("deepmot: ")]
    assert len(told) == 1 and named in told[0]
    made = set(place.rglob("*")) - set(before)
    assert not [path for path in made if path.is_file()]


def test_a_film_of_an_unknown_kind_is_refused_before_any_work(place, capsys, monkeypatch):
    monkeypatch.setattr("deepmot_lib.trackers.tracking.track_together", lambda *_: pytest.fail("tracked"))
    assert track(place, "--video", str(place / "film.txt")) == 1
    assert "film.txt" in capsys.readouterr().err and not (place / "results").exists()


def test_a_sequence_in_which_nothing_is_detected_has_an_empty_result(place, capsys):
    (image(place).parents[1] / "det" / "det.txt").write_text("")
    assert track(place) == 0 and "holds 0 tracks in 6 frames" in capsys.readouterr().out
    measures = evaluate(place / "gt", place / "results", "plain").loc["OVERALL"]
    assert measures["FN"] == len(mot.pedestrians(mot.find_sequences(place / "gt")[0].gt()))
    assert np.isclose(measures["MOTA"], 0)
