"""The programs of docs/serving.md and docs/embedding.md run as they stand; their tables tell the truth."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest
import trio

from voicetrio.cli.config_file import read_options
from voicetrio.cli.serve_options import ServeOptions
from voicetrio.connection.websocket import HandshakeFailed, open_websocket_client
from voicetrio.server.metrics import render_metrics
from voicetrio.server.serve import serve_sessions
from voicetrio.server.settings import ServerSettings

ROOT = Path(__file__).parent.parent
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
PROGRAMS = {
    name: text
    for page in (SERVING, EMBEDDING)
    for text, name in re.findall(r"^```python\n(# (\w+\.py)\n.+?)^```$", page, re.MULTILINE | re.DOTALL)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@asynccontextmanager
async def running(folder: Path, program: str) -> AsyncIterator[tuple[trio.Process, dict[str, str]]]:
    """Run a program until it has said where it listens; give the addresses by their scheme."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-u", program],
        cwd=folder,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    said = ""
    wanted = {"server.py": 2, "beside_http.py": 2}.get(program, 1)
    try:
        with trio.fail_after(60):
            while len(found := re.findall(r"(ws|http)(://\S+)\n", said)) < wanted:
                chunk = await process.stdout.receive_some()
                assert chunk, said
                said += chunk.decode()
            yield process, {scheme: scheme + rest for scheme, rest in found}
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await process.wait()
        await process.stdout.aclose()


async def echoed(url: str) -> bool:
    """Call ``url`` and return whether what was said came back."""
    separator = "&" if "?" in url else "?"
    async with open_websocket_client(f"{url}{separator}output_rate=16000") as socket:
        assert json.loads(await socket.receive())["type"] == "hello"
        for _ in range(20):
            await socket.send(b"\1\0" * 320)
        while not isinstance(message := await socket.receive(), bytes):
            pass
        return b"\1\0" in message


async def get(url: str) -> str:
    host, port, path = re.fullmatch(r"http://([\d.]+):(\d+)(/\S*)?", url).groups()
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(f"GET {path or '/'} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while data := await stream.receive_some():
            got += bytes(data)
    return got.decode()


async def test_the_server_asks_for_its_token_and_drains(folder: Path) -> None:
    async with running(folder, "server.py") as (process, said):
        assert await echoed(said["ws"])
        with pytest.raises(HandshakeFailed) as caught:
            await echoed(said["ws"].partition("?")[0])
        assert caught.value.status == 401
        assert "200" in (await get(said["http"] + "/readyz")).splitlines()[0]
        assert "voicetrio_admitted_total 1.0" in await get(said["http"] + "/metrics")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "program",
    ["in_a_nursery.py", "beside_http.py", "in_trio_websocket.py", "under_asyncio.py", "under_qt.py"],
)
async def test_the_programs_that_embed_it_echo(folder: Path, program: str) -> None:
    if program == "under_qt.py" and find_spec("PySide6") is None:
        pytest.skip("PySide6 is not installed")
    async with running(folder, program) as (process, said):
        assert await echoed(said["ws"])
        if program == "beside_http.py":
            assert '{"calls":' in await get(said["http"])
        if program == "under_asyncio.py":
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0


async def test_the_program_without_a_socket_hears_its_echo(folder: Path) -> None:
    done = await trio.run_process(
        [sys.executable, "in_memory.py"],
        cwd=folder,
        capture_stdout=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert re.fullmatch(r"heard (1\.\d|0\.9) s, then: source_ended\n", done.stdout.decode())


def test_every_program_is_run_by_a_test() -> None:
    assert PROGRAMS.keys() == {
        "my_agent.py",
        "server.py",
        "in_a_nursery.py",
        "in_memory.py",
        "beside_http.py",
        "in_trio_websocket.py",
        "under_asyncio.py",
        "under_qt.py",
    }


def test_the_file_of_options_has_names_that_exist(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.+?)^```$", SERVING, re.MULTILINE | re.DOTALL)
    (tmp_path / "serve.toml").write_text(text)
    known = {field.name for field in attrs.fields(ServeOptions)}
    assert read_options(tmp_path / "serve.toml").keys() <= known


def test_the_defaults_are_the_defaults() -> None:
    settings = ServerSettings()
    rows = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) \|", SERVING, re.MULTILINE)
    assert len(rows) >= 13
    for name, value in [*rows, *re.findall(r"`((?:resume|last_words)_s)` \(([\d.]+)", SERVING)]:
        found = settings
        for part in name.split("."):
            found = getattr(found, part)
        assert float(value) == found, name


async def test_every_metric_of_the_page_is_there(nursery: trio.Nursery) -> None:
    async def nobody(_peer: object) -> None:
        await trio.lowlevel.checkpoint()

    server = await nursery.start(partial(serve_sessions, nobody, 0))
    text = render_metrics(server).decode()
    named = re.findall(r"`(voicetrio_\w+)`", SERVING)
    assert len(named) > 15
    for name in named:
        assert re.search(rf"^# TYPE {name} ", text, re.MULTILINE), name
    nursery.cancel_scope.cancel()
