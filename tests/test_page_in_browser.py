"""The report's page in headless Chromium, wide and as narrow as a phone, light and dark."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepmot_lib import paper
from deepmot_lib.experiments import tables
from deepmot_lib.report import document, page

REPO = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]

PROBE = """<script>
addEventListener("load", () => {
  const of = (selector) => [...document.querySelectorAll(selector)];
  const seen = (element) => element.checkVisibility();
  const wide = of(".scroll").filter((box) => seen(box) && box.scrollWidth > box.clientWidth + 1);
  wide.forEach((box) => { box.scrollLeft = 100; });
  const bottom = (element) => element ? Math.round(element.getBoundingClientRect().bottom) : null;
  const left = (element) => Math.round(element.getBoundingClientRect().left);
  parent.postMessage(JSON.stringify({
    pictures: of("img").map((image) => image.naturalWidth),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    colors: [getComputedStyle(document.body).backgroundColor,
      ...["body", ".soft", ".better", ".worse", "a"].flatMap((one) => of(one).slice(0, 1))
        .map((one) => getComputedStyle(one).color)],
    overhang: document.documentElement.scrollWidth - innerWidth,
    wide: wide.map((box) => box.getAttribute("aria-label")),
    folded: of("table").filter((table) => !seen(table)).length,
    claims: bottom(document.querySelector(".claims")),
    sticky: wide.map((box) => left(box.querySelector("th[scope=row]")) - left(box)),
  }), "*");
});
</script>"""


def browse(file: Path, width: int, dark: bool = False, printed: bool = False) -> tuple[dict, list[str]]:
    """What a probe at the end of the page saw in a window of that width, and what the console was told.

    ``printed``: the style sheet's part for print holds for the screen.
    """
    folder = file.parent
    probed = folder / "probed.html"
    text = file.read_text().replace("@media print", "@media all" if printed else "@media print")
    probed.write_text(text.replace("</body>", PROBE + "</body>"))
    frame = folder / "frame.html"  # a headless window is never as narrow as a phone, a frame is
    frame.write_text(
        "<body><script>addEventListener('message', (told) => { document.body.dataset.told = told.data; })"
        f"</script><iframe src='{probed.name}' style='width:{width}px;height:800px'></iframe></body>"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'browser'}", f"--window-size={width + 100},900"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--enable-logging=stderr"]
    command += ["--virtual-time-budget=5000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r'data-told="([^"]*)"', done.stdout)
    assert told, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(told[1])), console


def contrast(one: str, other: str) -> float:
    """The ratio of two ``rgb(...)`` colors' luminances as WCAG 2 has it, 1 to 21."""

    def luminance(color: str) -> float:
        parts = np.array([int(part) for part in re.findall(r"\d+", color)[:3]]) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_a_browser_shows_all_of_it(standard, tmp_path, width, dark):
    file = shutil.copy(standard / "index.html", tmp_path / "index.html")
    seen, console = browse(file, width, dark)
    assert not console
    assert len(seen["pictures"]) == len(re.findall(r"^!\[", (standard / "REPORT.md").read_text(), re.M))
    assert min(seen["pictures"]) > 100
    assert seen["dark"] is dark
    background, *inks = seen["colors"]
    assert all(contrast(background, ink) >= 4.5 for ink in inks), seen["colors"]
    assert seen["overhang"] <= 0, "wide tables scroll in their own boxes, the page does not"
    assert all(abs(left) <= 2 for left in seen["sticky"]), "the rows' names stay in sight"
    assert seen["folded"] > 10
    trackers = {"Table 1", "Table 2", "Table 3"}
    assert not trackers & set(seen["wide"]), "MOTA, IDF1, IDS and HOTA are seen"
    assert width == 390 or not seen["wide"]


def test_nothing_is_folded_or_cut_off_in_print(standard, tmp_path):
    file = shutil.copy(standard / "index.html", tmp_path / "index.html")
    seen, _ = browse(file, 1032, printed=True)  # A4 across, less its margins
    assert seen["folded"] == 0 and seen["overhang"] <= 0


@pytest.mark.parametrize(("width", "screen"), [(1280, 900), (390, None)])
def test_the_claims_are_on_the_first_screen(tmp_path, width, screen):
    frame, made_from = tables.read(REPO / "reports" / "smoke" / "tables" / "claims.csv")
    claims = document.Table(frame, made_from=made_from)
    section = document.Section("The paper's claims", "Text.", claims=claims)
    file = tmp_path / "index.html"
    file.write_text(page.render(document.Document("Title", paper.CITATION, "Beware.", (section,))))
    seen, _ = browse(file, width)
    assert not seen["wide"] and seen["overhang"] <= 0
    assert screen is None or seen["claims"] <= screen


def test_the_browser_tells_what_is_wrong(tmp_path):
    broken = (
        '<body class="soft better worse"><a>x</a>'
        '<img src="none.png"><img src="a.png"><script>boom()</script></body>'
    )
    (tmp_path / "broken.html").write_text(broken)
    Image.new("RGB", (70, 50)).save(tmp_path / "a.png")
    seen, console = browse(tmp_path / "broken.html", 390)
    assert any("boom is not defined" in line for line in console)
    assert seen["pictures"] == [0, 70]
