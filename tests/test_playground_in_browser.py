"""The notebooks in JupyterLab, driven in headless Chromium: the front door, and playgrounds that move."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from deepmot_lib.experiments import notebooks

REPO = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytest.importorskip("ipywidgets")
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]
PATIENCE = 120_000  # [ms]; other jobs may share the machine


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that has been opened as ``make lab`` does, on a copy of the notebooks."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(REPO / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".*"))
    (root / "deepmot_lib").symlink_to(REPO / "deepmot_lib")
    settings = root / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # Cells out of sight are in the page as well.
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"JUPYTER_CONFIG_DIR": root / "config", "JUPYTER_DATA_DIR": root / "data"}
    own |= {"JUPYTERLAB_SETTINGS_DIR": root / "settings", "JUPYTERLAB_WORKSPACES_DIR": root / "workspaces"}
    own |= {"JUPYTER_PREFER_ENV_PATH": 1, "DEEPMOT_OUT": root / "out", "OMP_NUM_THREADS": 1}
    command = notebooks.lab(root / "notebooks")
    command += ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = {**os.environ, **{key: str(value) for key, value in own.items()}, "PYTHONPATH": str(REPO)}
    with (root / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                assert server.poll() is None, (root / "log.txt").read_text()
                try:
                    urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield address
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    page.set_default_timeout(PATIENCE)
    page.errors = []
    page.on("console", lambda told: page.errors.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    page.close()


def test_the_front_door_is_the_index_and_the_source_is_a_click_away(lab, page):
    page.goto(f"{lab}/")
    page.wait_for_selector(".jp-Notebook h2#Contents, .jp-Notebook h2:has-text('Contents')")
    page.get_by_role("link", name="distance.box_distance").first.click()
    page.wait_for_selector(".jp-FileEditor:has-text('def box_distance')")
    assert not page.errors


@pytest.mark.parametrize(
    ("name", "slider"),
    [
        ("01_distance_metrics", "x [px]"),
        ("05_deepmot_loss", "a12"),  # four steps of a11 would end at its limit
        ("06_gradient_visualization", "right [px]"),
    ],
)
def test_a_playground_moves(lab, page, name, slider):
    page.goto(f"{lab}/lab/tree/notebooks/{name}.ipynb?reset")
    # What was open before may come first.
    page.wait_for_function(
        "path => { const here = window.jupyterapp?.shell.currentWidget?.context;"
        " return here?.path === path && here.sessionContext.session }",
        arg=f"notebooks/{name}.ipynb",
    )
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # JupyterLab opens again, out of sight, what was open before.
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    image = panel.locator("img.widget-image")
    image.wait_for()
    row = panel.locator(".widget-slider", has=page.get_by_text(slider, exact=True))
    assert row.count() == 1
    before, handle = picture(image), row.locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    handle.focus()
    times = []
    for _ in range(4):
        shown = image.get_attribute("src")
        start = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("([image, old]) => image.src != old", arg=[image.element_handle(), shown])
        times.append(time.perf_counter() - start)
    print(f"{name}: a move takes {min(times):.2f} to {max(times):.2f} s")
    moved = picture(image)
    assert moved != before
    shown = image.get_attribute("src")
    panel.get_by_role("button", name="reset").click()
    page.wait_for_function("([image, old]) => image.src != old", arg=[image.element_handle(), shown])
    assert picture(image) == before
    steps = panel.get_by_role("button", name="ten gradient steps")
    if steps.count():
        shown = image.get_attribute("src")
        steps.click()
        page.wait_for_function("([image, old]) => image.src != old", arg=[image.element_handle(), shown])
        assert picture(image) != before
    assert not page.errors, page.errors


def picture(image):
    """The bytes of the shown picture."""
    return bytes(
        image.evaluate("async (image) => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]")
    )
