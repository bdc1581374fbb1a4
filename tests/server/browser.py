"""Headless Chromium, driven over the Chrome DevTools Protocol through our own WebSocket client."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from voicetrio.connection.websocket import (
    MessageSocket,
    SocketClosed,
    SocketLimits,
    open_websocket_client,
)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
START_S = 60
ANSWER_S = 30
POLL_S = 0.05


class PageError(AssertionError):
    """A script raised in the page."""


class Page:
    """One tab."""

    def __init__(self, socket: MessageSocket) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self.problems: list[str] = []
        """Uncaught errors, and what the console was told as a warning or an error."""

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command; return its result."""
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        with trio.fail_after(ANSWER_S):
            while number not in self._answers:
                await self._changed.park()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']}")
        return answer["result"]

    async def evaluate(self, script: str) -> Any:
        """Return the value of ``script``, awaited in the page if it is a promise."""
        done = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in done:
            raise PageError(f"{script}: {done['exceptionDetails']}")
        return done["result"].get("value")

    async def wait_until(self, script: str, *, within_s: float = 20) -> Any:
        """Return the first true value of ``script``."""
        with trio.move_on_after(within_s):
            while True:
                value = await self.evaluate(script)
                if value:
                    return value
                await trio.sleep(POLL_S)
        text = await self.evaluate("document.body.innerText")
        raise AssertionError(f"{script} did not become true; the page says:\n{text}\n{self.problems}")

    async def press(self, key: str, code: str = "", text: str = "") -> None:
        """Press and release a key."""
        about = {
            "key": key,
            "code": code or key,
            "windowsVirtualKeyCode": {"Enter": 13, "Tab": 9}.get(key, 0),
        }
        await self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **about)

    async def screenshot(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        shot = await self.command("Page.captureScreenshot", format="png")
        await trio.Path(path).write_bytes(base64.b64decode(shot["data"]))

    async def _read(self) -> None:
        try:
            while True:
                self._take(json.loads(await self._socket.receive()))
                self._changed.unpark_all()
        except SocketClosed:
            pass

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        about = message["params"]
        match message["method"]:
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                self.problems.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.problems.append(f"{about['type']}: {about['args']}")
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")


async def _target(profile: Path, process: trio.Process) -> str:
    """Return the address of the browser's first tab, once it has one."""
    port_file = profile / "DevToolsActivePort"
    with trio.fail_after(START_S):
        while not port_file.exists() or "\n" not in port_file.read_text():
            assert process.returncode is None, "Chromium ended at once"
            await trio.sleep(POLL_S)
        port = port_file.read_text().split("\n")[0]
        while True:
            for target in json.loads(await _get(int(port), "/json/list")):
                if target["type"] == "page":
                    return str(target["webSocketDebuggerUrl"])
            await trio.sleep(POLL_S)


async def _get(port: int, path: str) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += bytes(await stream.receive_some())
        head, body = answer.split(b"\r\n\r\n", 1)
        headers = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:])
        while len(body) < int(headers[b"content-length"]):
            body += bytes(await stream.receive_some())
        return body


@asynccontextmanager
async def open_page(
    folder: Path, *, flags: Sequence[str] = (), width: int = 1280, height: int = 900
) -> AsyncIterator[Page]:
    """Start Chromium with a profile in ``folder`` and drive its tab, for as long as the block lasts."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            [*command, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        process = await nursery.start(run)
        limits = SocketLimits(max_message_bytes=1 << 26, max_inbox_bytes=1 << 27)
        async with open_websocket_client(await _target(profile, process), limits=limits) as socket:
            page = Page(socket)
            nursery.start_soon(page._read)
            for domain in ("Runtime", "Log", "Page"):
                await page.command(f"{domain}.enable")
            await page.command(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            yield page
        nursery.cancel_scope.cancel()
