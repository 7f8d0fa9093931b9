"""An experiment: its settings, data, device and the places of its files; opening one writes nothing."""

import dataclasses

import pytest
import torch

from deepmot_lib import matchers, paper
from deepmot_lib.data import mot, pairs
from deepmot_lib.experiments import pairs as data
from deepmot_lib.experiments import settings as profiles
from deepmot_lib.experiments.experiment import Experiment
from deepmot_lib.experiments.folders import data_folder, output_folder


@pytest.mark.parametrize("name", ["smok", "SMOKE", "", None])
def test_an_unknown_profile_names_the_choices(name):
    for ask in (profiles.get, Experiment.open):
        with pytest.raises(ValueError, match="choose one of smoke, standard, paper"):
            ask(name)


def test_profiles_differ_in_sizes_only():
    for name, settings in profiles.PROFILES.items():
        assert settings is profiles.get(name) and settings.name == name
        assert dataclasses.fields(settings) == dataclasses.fields(profiles.get("smoke"))
        assert settings.embedded.sequences >= 3  # every third one has a moving camera
        assert len(set(settings.dhn_runs)) == len(settings.dhn_runs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        profiles.get("smoke").evidence = True


def test_smoke_is_no_evidence_and_rendered_of_its_comparison_alone():
    assert [name for name, settings in profiles.PROFILES.items() if settings.evidence] == [
        "standard",
        "paper",
    ]
    assert [name for name, settings in profiles.PROFILES.items() if settings.may_be_quoted] == [
        "standard",
        "paper",
        "rendered",
    ]
    smoke, standard, paper_ = (profiles.get(name) for name in ("smoke", "standard", "paper"))
    assert smoke.dhn.steps < standard.dhn.steps < paper_.dhn.steps
    assert smoke.embedded.frames < standard.embedded.frames


def test_every_run_names_a_network_and_pairs_that_there_are():
    for settings in profiles.PROFILES.values():
        assert {run.variant for run in settings.dhn_runs} <= set(matchers.names())
        assert {run.pairs for run in settings.dhn_runs} <= set(data.KINDS)
        table5 = {run.variant for run in settings.dhn_runs if run.pairs == settings.dhn_runs[0].pairs}
        assert table5 >= set(paper.table(5)["network"])


# --- opening ------------------------------------------------------------------------------------------------


def test_opening_writes_nothing_and_reads_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path))
    for name in profiles.PROFILES:
        experiment = Experiment.open(name, "cpu")
        assert experiment.paths.root == tmp_path.resolve() / "out" / "runs" / name
        assert experiment.data_root == (tmp_path.resolve() if experiment.settings.real_data else None)
    assert list(tmp_path.iterdir()) == []
    paths = experiment.paths
    below = (paths.tables, paths.figures, paths.notebooks, paths.pages, paths.matchers, paths.trackers)
    assert all(folder.parent == paths.root for folder in below) and len(set(below)) == 6


def test_files_go_below_the_checkout_or_else_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPMOT_OUT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert output_folder() == tmp_path
    (tmp_path / "deepmot_lib").mkdir()
    (tmp_path / "deepmot_lib" / "paper.py").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert output_folder() == tmp_path, "a notebook's own folder is not where runs belong"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEEPMOT_OUT", "~/out")
    assert output_folder() == tmp_path / "home" / "out"


def test_a_device_is_resolved_once(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    assert Experiment.open("smoke", "cpu").device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Experiment.open("smoke").device == torch.device("cpu")
    with pytest.raises((RuntimeError, AssertionError)):
        Experiment.open("smoke", "cuda:7")


# --- real data ----------------------------------------------------------------------------------------------


def test_real_data(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPMOT_DATA", raising=False)
    assert data_folder() is None
    monkeypatch.setenv("DEEPMOT_DATA", "")
    assert data_folder() is None
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path))
    assert data_folder() == tmp_path.resolve()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEEPMOT_DATA", "~")
    assert data_folder() == tmp_path.resolve()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DEEPMOT_DATA", "data")
    assert data_folder() == tmp_path.resolve() / "data"


def test_rendered_data_is_never_taken_in_silence_where_there_is_real_data(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path))
    for value, told in (
        (str(tmp_path), "profile smoke: rendered data is taken, not DEEPMOT_DATA's\n"),
        ("", ""),
    ):
        monkeypatch.setenv("DEEPMOT_DATA", value)
        Experiment.open("smoke", "cpu")
        assert capsys.readouterr().err == told
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path))
    Experiment.open("standard", "cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_typo_in_the_variable_is_an_error(monkeypatch, tmp_path, what):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path / what))
    with pytest.raises(FileNotFoundError, match=rf"DEEPMOT_DATA=.*{what} is not a folder"):
        data_folder()
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        Experiment.open("standard", "cpu")
    assert Experiment.open("smoke", "cpu").data_root is None, "smoke takes no real data"


def test_pairs_of_rendered_and_of_real_sequences(smoke, tmp_path):
    embedded = mot.find_sequences(_sequence(tmp_path / "embedded"))
    vars(smoke)["rendered"] = embedded
    found = smoke.pairs("released")
    assert "embedded" in found.description and smoke.pairs("released") is found, "made once"
    assert len(found.train) == 4 * sum(frame in mot.split(embedded[0])["train"] for frame in (1, 2, 3, 4))
    real = dataclasses.replace(smoke, data_root=tmp_path / "real", _pairs={})
    (tmp_path / "real" / "dhn").mkdir(parents=True)
    (tmp_path / "real" / "dhn" / "test.npz").write_text("broken")
    with pytest.raises((pairs.PairFileError, FileNotFoundError)):
        real.pairs("released")


def _sequence(folder):
    """A hand-written sequence: four frames, two people, both detected."""
    rows = "".join(f"{frame},{i},{60 * i},10,20,40,1,1,1\n" for frame in range(1, 5) for i in (1, 2))
    for name, text in (("gt", rows), ("det", rows.replace(",1,1,1\n", ",0.9\n"))):
        file = folder / "train" / "EMB-01-DPM" / name / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    ini = "[Sequence]\nname=EMB-01-DPM\nseqLength=4\nimWidth=320\nimHeight=240\n"
    (folder / "train" / "EMB-01-DPM" / "seqinfo.ini").write_text(ini)
    return folder
