"""The page in a real browser: it speaks while it is made, marks the words, complains, and fits a phone."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.server.browser import needs_browser, open_page
from tests.server.speech.asgi import get
from tests.server.speech.fakes import Parrot, Tone, open_app
from voicetrio.server.speech.keys import ApiKeys
from voicetrio.server.speech.serve import SpeechServer, serve_speech
from voicetrio.server.speech.service import open_speech_service

KEY = "a-key-for-the-tests"
SHOTS = os.environ.get("VOICETRIO_SCREENSHOTS")
"""A folder to keep the screenshots in, for people to look at."""


@asynccontextmanager
async def open_server(*engines: Any, keys: tuple[str, ...] = ()) -> AsyncIterator[SpeechServer]:
    async with open_speech_service(engines or (Tone(),), keys=ApiKeys(keys), decoder=Parrot()) as service:
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_speech, service, 0))
            nursery.cancel_scope.cancel()


async def test_every_file_is_served_and_nothing_else() -> None:
    folder = files("voicetrio.server.speech.page")
    names = {file.name for file in folder.iterdir() if not file.name.startswith("__")}
    async with open_app() as (app, _):
        for name in names:
            answer = await get(app, f"/{name}")
            assert answer.body.decode() == (folder / name).read_text("utf-8")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (await get(app, "/")).body == (await get(app, "/index.html")).body
        for path in ("/__init__.py", "/../app.py", "/favicon.ico", "//"):
            assert (await get(app, path)).status == 404


async def test_the_description_names_every_route_and_field() -> None:
    async with open_app() as (app, _):
        document = (await get(app, "/openapi.json")).json
        page = (await get(app, "/docs")).body.decode()
    assert document["openapi"].startswith("3.1")
    fields = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert fields["speed"]["maximum"] == 4.0
    for path, methods in document["paths"].items():
        assert path in page
        for operation in methods.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                name = media["schema"].get("$ref", "").rpartition("/")[2]
                assert not name or name in document["components"]["schemas"]
    assert "<script" not in page


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
async def test_it_speaks_and_marks_the_words(tmp_path: Path, width: int) -> None:
    text = "One two three four five, six seven. Eight nine ten. " * 3 + "Done."
    async with open_server() as server, open_page(tmp_path, width=width, height=900) as page:
        await page.command("Page.navigate", url=server.url)
        await page.wait_until("document.querySelectorAll('#voice option').length == 2")
        await page.evaluate(f"document.getElementById('text').value = {json.dumps(text)}")
        await page.evaluate("document.getElementById('text').focus()")
        # From the keyboard: Control and Enter.
        for kind in ("keyDown", "keyUp"):
            await page.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                modifiers=2,
            )
        await page.wait_until("document.querySelector('.word.now') !== null")
        assert not await page.evaluate("document.getElementById('stop').disabled")
        if SHOTS:
            await page.screenshot(Path(SHOTS) / f"speech-{width}.png")
        await page.wait_until("document.getElementById('stop').disabled")
        assert await page.evaluate("document.querySelectorAll('.word.coming').length") == 0
        assert await page.evaluate("document.getElementById('words').innerText") == text
        assert await page.evaluate("document.getElementById('progress').value") == 1
        assert "in all" in await page.evaluate("document.getElementById('status').innerText")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.problems == []


@pytest.mark.browser
@needs_browser
async def test_it_tells_what_went_wrong_and_asks_for_the_key(tmp_path: Path) -> None:
    async with open_server(Tone(fail_on="seven"), keys=(KEY,)) as server, open_page(tmp_path) as page:
        await page.command("Page.navigate", url=server.url)
        await page.wait_until("document.getElementById('key-row')?.hidden === false")
        assert "API key is needed" in await page.evaluate("document.getElementById('notice').innerText")
        await page.evaluate(
            f"let key = document.getElementById('key'); key.value = '{KEY}';"
            "key.dispatchEvent(new Event('change'))"
        )
        await page.wait_until("document.querySelectorAll('#voice option').length == 2")
        await page.evaluate("document.getElementById('text').value = 'One two three. Six seven.'")
        await page.evaluate("document.getElementById('speak').click()")
        await page.wait_until("document.getElementById('notice').innerText.includes('failed')")
        await page.evaluate("document.getElementById('text').value = '...'")
        await page.evaluate("document.getElementById('speak').click()")
        await page.wait_until(
            "document.getElementById('notice').innerText.includes('nothing that can be said.')"
        )
        if SHOTS:
            await page.screenshot(Path(SHOTS) / "speech-error.png")


@pytest.mark.browser
@needs_browser
async def test_it_saves_a_file_and_shows_the_api(tmp_path: Path) -> None:
    async with open_server() as server, open_page(tmp_path) as page:
        await page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        await page.command("Page.navigate", url=server.url)
        await page.wait_until("document.querySelectorAll('#voice option').length == 2")
        await page.evaluate("document.getElementById('format').value = 'flac'")
        await page.evaluate("document.getElementById('download').click()")
        with trio.fail_after(20):
            while not (file := tmp_path / "speech.flac").exists():  # noqa: ASYNC110 - a file tells nobody
                await trio.sleep(0.05)
        assert file.read_bytes()[:4] == b"fLaC"
        await page.command("Page.navigate", url=f"{server.url}/docs")
        await page.wait_until("document.querySelectorAll('section').length > 10")
        if SHOTS:
            await page.screenshot(Path(SHOTS) / "speech-docs.png")
        assert page.problems == []
