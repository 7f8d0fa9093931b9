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

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]

PROBE = """<script>
addEventListener("load", () => {
  const of = (selector) => [...document.querySelectorAll(selector)];
  const wide = of(".scroll").filter((box) => box.scrollWidth > box.clientWidth + 100);
  wide.forEach((box) => { box.scrollLeft = 100; });
  const left = (element) => Math.round(element.getBoundingClientRect().left);
  parent.postMessage(JSON.stringify({
    pictures: of("img").map((image) => image.naturalWidth),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    colors: [getComputedStyle(document.body).backgroundColor,
      ...["body", ".soft", ".better", ".worse", "a"].map((one) => getComputedStyle(of(one)[0]).color)],
    overhang: document.documentElement.scrollWidth - innerWidth,
    wide: wide.length,
    sticky: wide.map((box) => left(box.querySelector("th[scope=row]")) - left(box)),
  }), "*");
});
</script>"""


def browse(file: Path, width: int, dark: bool = False) -> tuple[dict, list[str]]:
    """What a probe at the end of the page saw in a window of that width, and what the console was told."""
    folder = file.parent
    probed = folder / "probed.html"
    probed.write_text(file.read_text().replace("</body>", PROBE + "</body>"))
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
    assert len(seen["pictures"]) == len(list((standard / "figures").glob("*.png")))
    assert min(seen["pictures"]) > 100
    assert seen["dark"] is dark
    background, *inks = seen["colors"]
    assert all(contrast(background, ink) >= 4.5 for ink in inks), seen["colors"]
    assert seen["overhang"] <= 0, "wide tables scroll in their own boxes, the page does not"
    if width == 390:
        assert seen["wide"] >= 5
    assert all(abs(left) <= 2 for left in seen["sticky"]), "the rows' names stay in sight"


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
