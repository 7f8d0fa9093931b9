"""Settings of the whole suite: shapes of tensors are checked at run time; a busy machine must not fail a
property test for being slow; and a report that several files look at."""

import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests import shapes

# Before the library is imported: it does not check itself.
install_import_hook(shapes.CHECKED, "tests.shapes.check")

from deepmot_lib.report import contents as report  # noqa: E402

REPO = Path(__file__).parents[1]

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def no_figures_left():
    """No test sees another's open figures."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def standard(tmp_path_factory) -> Path:
    """The folder of a report written anew from the tables and figures of the one in git."""
    root = tmp_path_factory.mktemp("report")
    shutil.copytree(REPO / "reports" / "standard", root / "reports" / "standard")
    runs = root / "runs" / "standard" / "html"
    runs.mkdir(parents=True)
    for name in ("00_data", "02_dhn_training-seq_gru-eq3-seed0"):
        (runs / f"{name}.html").write_text("<p>as run</p>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPMOT_OUT", str(root))
        report.write("standard")
    return root / "reports" / "standard"
