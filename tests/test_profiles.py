"""Profiles and the places of files."""

import dataclasses

import pytest

from deepmot_lib import matchers, paper
from deepmot_lib.data import mot, pairs, synthetic
from deepmot_lib.experiments import pairs as data
from deepmot_lib.experiments import settings as profiles


@pytest.mark.parametrize("name", ["smok", "SMOKE", "", None])
def test_an_unknown_profile_names_the_choices(name):
    for ask in (profiles.get, profiles.Paths.of):
        with pytest.raises(ValueError, match="choose one of smoke, standard, paper"):
            ask(name)


def test_profiles_differ_in_sizes_only():
    for name, profile in profiles.PROFILES.items():
        assert profile is profiles.get(name) and profile.name == name
        assert dataclasses.fields(profile) == dataclasses.fields(profiles.get("smoke"))
        assert profile.embedded.sequences >= 3  # every third one has a moving camera
        assert len(set(profile.dhn_runs)) == len(profile.dhn_runs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        profiles.get("smoke").evidence = True


def test_only_smoke_is_no_evidence():
    assert [name for name, profile in profiles.PROFILES.items() if not profile.evidence] == ["smoke"]
    smoke, standard, paper = (profiles.get(name) for name in ("smoke", "standard", "paper"))
    assert smoke.dhn.steps < standard.dhn.steps < paper.dhn.steps
    assert smoke.embedded.frames < standard.embedded.frames


def test_real_data(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPMOT_DATA", raising=False)
    assert profiles.data_root() is None
    monkeypatch.setenv("DEEPMOT_DATA", "")
    assert profiles.data_root() is None
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path))
    assert profiles.data_root() == tmp_path.resolve()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEEPMOT_DATA", "~")
    assert profiles.data_root() == tmp_path.resolve()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DEEPMOT_DATA", "data")
    assert profiles.data_root().is_absolute()


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_typo_in_the_variable_is_an_error(monkeypatch, tmp_path, what):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path / what))
    with pytest.raises(FileNotFoundError, match=rf"DEEPMOT_DATA=.*{what} is not a folder"):
        profiles.data_root()


def test_smoke_never_looks_at_real_data(monkeypatch, tmp_path):
    assert not profiles.get("smoke").real_data
    small = mot.find_sequences(_embedded(tmp_path, monkeypatch))
    monkeypatch.setenv("DEEPMOT_DATA", str(tmp_path / "real"))
    # The folder is not there, then holds a file that cannot be read: smoke does not come to know of either.
    for _ in range(2):
        found = data.for_profile("smoke")
        assert "embedded" in found.description and len(found.train) == 4 * sum(
            frame in mot.split(sequence)["train"] for sequence in small for frame in (1, 2, 3, 4)
        )
        (tmp_path / "real" / "dhn").mkdir(parents=True, exist_ok=True)
        (tmp_path / "real" / "dhn" / "test.npz").write_text("broken")
    with pytest.raises((pairs.PairFileError, FileNotFoundError)):
        data.for_profile("standard")


def _embedded(folder, monkeypatch):
    """A hand-written sequence in place of the rendered ones: four frames, two people, both detected."""
    rows = "".join(f"{frame},{i},{60 * i},10,20,40,1,1,1\n" for frame in range(1, 5) for i in (1, 2))
    for name, text in (("gt", rows), ("det", rows.replace(",1,1,1\n", ",0.9\n"))):
        file = folder / "embedded" / "train" / "EMB-01-DPM" / name / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    ini = "[Sequence]\nname=EMB-01-DPM\nseqLength=4\nimWidth=320\nimHeight=240\n"
    (folder / "embedded" / "train" / "EMB-01-DPM" / "seqinfo.ini").write_text(ini)
    monkeypatch.setattr(synthetic, "for_profile", lambda name: folder / "embedded")
    return folder / "embedded"


def test_files_go_below_the_output_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "out"))
    paths = profiles.Paths.of("standard")
    assert paths.runs == tmp_path.resolve() / "out" / "runs" / "standard"
    assert paths.reports == tmp_path.resolve() / "out" / "reports" / "standard"
    assert paths.tables == paths.reports / "tables" and paths.figures == paths.reports / "figures"
    assert all(folder.is_dir() for folder in (paths.runs, paths.tables, paths.figures))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"runs", "reports"}
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPMOT_OUT", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        profiles.Paths.of("smoke")


def test_every_run_names_a_network_and_pairs_that_there_are():
    for profile in profiles.PROFILES.values():
        assert {run.variant for run in profile.dhn_runs} <= set(matchers.names())
        assert {run.pairs for run in profile.dhn_runs} <= set(data.KINDS)
        table5 = {run.variant for run in profile.dhn_runs if run.pairs == profile.dhn_runs[0].pairs}
        assert table5 >= set(paper.table(5)["network"])
