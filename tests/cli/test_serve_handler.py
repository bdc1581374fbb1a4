"""``voicetrio serve --handler``: a handler of the user's own, as a process that is told to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from voicetrio.cli.handlers import open_handler
from voicetrio.connection.websocket import HandshakeFailed, SocketClosed, open_websocket_client
from voicetrio.errors import ConfigError

HANDLERS = """
from contextlib import asynccontextmanager
import voicetrio

async def listen(context):
    async for frame in context.inlet:
        pass

async def answer(peer):
    async with voicetrio.open_session(peer, listen) as session:
        await session.wait_ended()

@asynccontextmanager
async def opened():
    print("opened", flush=True)
    yield answer
    print("closed", flush=True)

not_a_handler = 3
def takes_something(x): ...
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "my_handlers.py").write_text(HANDLERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_handlers", raising=False)
    return tmp_path


async def test_an_async_function_is_a_handler(folder):
    async with open_handler("my_handlers:answer") as handler:
        assert handler.__name__ == "answer"


async def test_a_context_manager_gives_one(folder, capsys):
    async with open_handler("my_handlers:opened") as handler:
        assert handler.__name__ == "answer"
    assert capsys.readouterr().out == "opened\nclosed\n"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("my_handlers", "MODULE:NAME"),
        ("nothing_here:answer", "no module 'nothing_here'"),
        ("my_handlers:nothing", "has no nothing"),
        ("my_handlers:not_a_handler", "neither"),
        ("my_handlers:takes_something", "neither"),
        ("builtins:dict", "neither"),
    ],
)
async def test_what_is_no_handler_is_told(folder, spec, why):
    with pytest.raises(ConfigError, match=why):
        async with open_handler(spec):
            raise AssertionError("it must not open")


async def test_a_module_that_needs_a_missing_one_says_so_itself(folder):
    (folder / "broken_handlers.py").write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        async with open_handler("broken_handlers:answer"):
            raise AssertionError("it must not open")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[trio.Process, str]]:
    """Run ``voicetrio serve``; give the process and its address."""
    command = [sys.executable, "-u", "-m", "voicetrio", "serve", "--port", "0", *arguments]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": root}
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    )
    assert process.stdout is not None
    output = ""
    try:
        with trio.fail_after(60):
            while not (found := re.search(r"(ws://[\d.:]+\d)", output)):
                chunk = await process.stdout.receive_some()
                assert chunk, output
                output += chunk.decode()
            yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await process.wait()
        await process.stdout.aclose()


async def test_sigterm_drains_and_the_process_ends_well(folder):
    async with running("--handler", "my_handlers:opened", "--drain-s", "30") as (process, url):
        async with open_websocket_client(url) as socket:
            assert json.loads(await socket.receive())["type"] == "hello"
            process.send_signal(signal.SIGTERM)
            while "session_expiring" not in (message := await socket.receive()):
                pass
            assert json.loads(message)["reason"] == "server_restart"
            with pytest.raises(HandshakeFailed) as caught:
                async with open_websocket_client(url):
                    raise AssertionError("it must not open")
            assert caught.value.status == 503
            await socket.send('{"type": "end"}')
            closed = await ended(socket)
            assert closed.code == 1000
        assert await process.wait() == 0


async def test_a_page_that_is_fetched_is_told_as_no_rejection(folder):
    async with running("--handler", "my_handlers:answer") as (process, url):
        host, port = url.removeprefix("ws://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            got = b""
            while data := await stream.receive_some():
                got += data
        assert got.startswith(b"HTTP/1.1 200 OK")
        process.send_signal(signal.SIGINT)
        told = b""
        while chunk := await process.stdout.receive_some():
            told += chunk
        assert await process.wait() == 0
    assert b"rejected" not in told


async def test_a_full_garbage_collection_does_not_look_at_what_was_imported(folder):
    (folder / "counting.py").write_text(
        "import gc, voicetrio\n"
        "from my_handlers import listen\n"
        "async def answer(peer):\n"
        "    async with voicetrio.open_session(peer, listen) as session:\n"
        "        session.send_message([gc.get_freeze_count(), len(gc.get_objects())])\n"
        "        await session.wait_ended()\n"
    )
    async with running("--handler", "counting:answer") as (_process, url):
        async with open_websocket_client(url) as socket:
            while '"message"' not in (message := await socket.receive()):
                pass
    frozen, looked_at = json.loads(message)["data"]
    assert frozen > 5 * looked_at


async def test_a_drain_that_is_over_closes_with_1012(folder):
    options = ("--drain-s", "1", "--last-words-s", "1")
    async with running("--handler", "my_handlers:answer", *options) as (process, url):
        async with open_websocket_client(url) as socket:
            process.send_signal(signal.SIGTERM)
            assert (await ended(socket)).code == 1012
        assert await process.wait() == 0


async def test_ctrl_c_ends_the_sessions_and_a_second_one_cancels(folder):
    async with running("--handler", "my_handlers:answer") as (process, url):
        async with open_websocket_client(url) as socket:
            process.send_signal(signal.SIGINT)
            closed = await ended(socket)
            assert (closed.code, closed.reason) == (1001, "interrupted")
        assert await process.wait() == 0
    (folder / "stuck.py").write_text("import trio\nasync def answer(peer): await trio.sleep_forever()\n")
    async with running("--handler", "stuck:answer", "--drain-s", "50") as (process, url):
        async with open_websocket_client(url):
            process.send_signal(signal.SIGTERM)
            with pytest.raises(HandshakeFailed):
                async with open_websocket_client(url):
                    raise AssertionError("it must not open")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 130


async def ended(socket) -> SocketClosed:
    try:
        while True:
            await socket.receive()
    except SocketClosed as closed:
        return closed
