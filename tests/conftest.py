"""Settings of the whole suite: shapes of tensors are checked at run time; a busy machine must not fail a
property test for being slow; and an experiment and a report that several files look at."""

import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

from tests import shapes

# Before the library is imported: it does not check itself.
install_import_hook(shapes.CHECKED, "tests.shapes.check")

from deepmot_lib.experiments import settings as profiles  # noqa: E402
from deepmot_lib.experiments.experiment import Experiment, Paths  # noqa: E402
from deepmot_lib.report import contents as report  # noqa: E402

REPO = Path(__file__).parents[1]

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the whole workflow run first, beside all other tests: it takes longest."""
    items.sort(key=lambda item: "test_workflow.py" not in item.nodeid)


@pytest.fixture(autouse=True)
def no_figures_left():
    """No test sees another's open figures."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def standard(tmp_path_factory) -> Path:
    """The folder of a report written anew from the tables and figures of the one in git."""
    paths = Paths(tmp_path_factory.mktemp("report") / "runs" / "standard")
    shutil.copytree(REPO / "reports" / "standard", paths.root)
    paths.pages.mkdir(exist_ok=True)
    for name in ("00_data", "02_dhn_training-seq_gru-eq3-seed0"):
        (paths.pages / f"{name}.html").write_text("<p>as run</p>")
    report.write(Experiment(profiles.get("standard"), paths, torch.device("cpu")))
    return paths.root


@pytest.fixture
def smoke(tmp_path) -> Experiment:
    """The experiment of the profile smoke in a folder of its own; nothing is there yet."""
    return Experiment(profiles.get("smoke"), Paths(tmp_path / "runs" / "smoke"), torch.device("cpu"))
