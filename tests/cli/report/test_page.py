"""The page as a whole: what it shows, that it needs nothing from outside, and how it behaves in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.report.synthetic import synthetic_recording
from voicetrio.cli.report import Recording, render_report, write_report
from voicetrio.cli.report.track import LONGEST_S, sound_as_data_uri

VOID = {"meta", "br", "path"}


class Outline(HTMLParser):
    """Collects the elements and the text of a page, and checks that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(synthetic_recording())


def test_every_element_is_closed_in_order(page: str) -> None:
    assert Outline(page).open == []


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    for tag, attributes in Outline(page).elements:
        assert tag not in ("link", "iframe", "img", "object", "embed")
        assert "href" not in attributes
        if "src" in attributes:
            assert (attributes["src"] or "").startswith("data:audio/mpeg;base64,")
    assert not re.search(r"https?://|url\(|@import", page)


def test_what_was_said_is_escaped(page: str) -> None:
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "You said &lt;two nine&gt; three four zero &amp; nothing else." in page


def test_what_was_not_heard_is_struck_out_and_said_to_be_so(page: str) -> None:
    conversation = page[page.index('<ol class="conversation">') :]
    assert "<s> repeat digits, or tell you a story; just say" in conversation
    assert "(not heard:)</span><s> then.</s>" in conversation


def test_the_words_that_were_heard_can_be_played_one_by_one(page: str) -> None:
    assert '<span class="word" data-time="0.400"' in page


def test_a_waterfall_holds_the_steps_that_were_seen(page: str) -> None:
    text = " ".join(Outline(page).texts)
    for step in ("VAD: speech is over", "LLM: first text", "TTS: first audio", "first voiced sample played"):
        assert step in text
    assert page.count('<table class="waterfall">') == 2


def test_the_same_recording_gives_the_same_page(page: str) -> None:
    assert render_report(synthetic_recording()) == page


def test_a_recording_of_nothing_is_a_page_all_the_same() -> None:
    nothing = np.zeros(0, np.int16)
    page = render_report(Recording(caller=nothing, heard=nothing))
    assert Outline(page).open == []
    assert "Nothing was recorded." in page


def test_a_long_recording_leaves_its_sound_out() -> None:
    silence = np.zeros(100, np.int16)
    long = Recording(
        caller=silence, heard=silence, events=((LONGEST_S + 1, synthetic_recording().events[0][1]),)
    )
    assert sound_as_data_uri(long) is None


def test_a_page_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_report(synthetic_recording(), tmp_path / "missing" / "demo.html")


# --- in a browser ----------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

PROBE = """
<pre id="probe"></pre><script>
const problems = [];
function overlaps(selector) {
  const boxes = [...document.querySelectorAll(selector)].map((one) => [one, one.getBoundingClientRect()]);
  for (const [one, a] of boxes) for (const [other, b] of boxes)
    if (one !== other && a.left < b.right - 0.5 && b.left < a.right - 0.5
        && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5)
      problems.push(`${selector}: ${one.textContent} overlaps ${other.textContent}`);
}
function look(zoom) {
  overlaps(".mark");
  overlaps(".text p");
  overlaps(".tick");
  for (const mark of document.querySelectorAll(".mark"))
    if (mark.scrollWidth > mark.clientWidth + 1) problems.push(`${zoom}: cut off: ${mark.textContent}`);
  if (document.documentElement.scrollWidth > innerWidth) problems.push(`${zoom}: wider than the window`);
}
const sound = document.getElementById("sound");
function report() {
  const pps = () => document.getElementById("sheet").style.getPropertyValue("--pps");
  look("smallest");
  const before = pps();
  document.getElementById("zoom-in").click();
  look("larger");
  const button = document.querySelector(".conversation .time");
  button.click();
  const needle = document.getElementById("sheet").style.getPropertyValue("--now");
  document.getElementById("probe").textContent = JSON.stringify({
    problems, before, after: pps(), needle, wanted: button.dataset.time, duration: sound.duration,
    errors: window.errors, marks: document.querySelectorAll(".mark").length,
  });
}
if (sound.readyState) report(); else sound.addEventListener("loadedmetadata", report);
</script>
"""


def look_at(page: str, folder: Path, width: int) -> dict[str, Any]:
    """Open the page in a window of ``width`` pixels and return what the probe saw."""
    watch = "<script>window.errors=[];addEventListener('error',(e)=>window.errors.push(e.message))</script>"
    file = folder / "page.html"
    file.write_text(page.replace("<head>", f"<head>{watch}").replace("</body>", f"{PROBE}</body>"), "utf-8")
    assert CHROMIUM is not None
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
    done = subprocess.run(
        [
            CHROMIUM,
            *flags,
            "--timeout=8000",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},900",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found = re.search(r'<pre id="probe">(\{.+?\})</pre>', done.stdout)
    assert found, "the page's script did not come to its end"
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [500, 1280])
def test_in_a_browser_nothing_overlaps_and_times_can_be_played(page: str, tmp_path: Path, width: int) -> None:
    seen = look_at(page, tmp_path, width)
    assert seen["errors"] == []
    assert seen["problems"] == []
    assert seen["marks"] == 13
    assert float(seen["after"]) > float(seen["before"]) >= 24
    assert float(seen["needle"]) == float(seen["wanted"])
    assert seen["duration"] == pytest.approx(synthetic_recording().duration_s, abs=0.03)
