"""The speech server over real sockets: a broken answer is seen, a client that leaves frees everything; text
streamed in."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from tests.server.speech.fakes import Parrot, Tone
from voicetrio.audio.codecs import open_decoder
from voicetrio.connection.websocket import MessageSocket, SocketClosed, open_websocket_client
from voicetrio.runtime import encoding
from voicetrio.server.speech.serve import SpeechServer, serve_speech
from voicetrio.server.speech.service import open_speech_service
from voicetrio.server.speech.settings import SpeechSettings
from voicetrio.services.speech.engine import SpokenClause

LONG = "one two three four five. " * 40


@asynccontextmanager
async def open_server(*engines: Any, **settings: Any) -> AsyncIterator[SpeechServer]:
    async with open_speech_service(
        engines or (Tone(),), settings=SpeechSettings(**settings), decoder=Parrot()
    ) as service:
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_speech, service, 0))
            nursery.cancel_scope.cancel()


async def ask(stream: trio.SocketStream, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = "POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}"
    await stream.send_all(head.encode() + b"\r\n\r\n" + data)


async def read_answer(stream: trio.SocketStream) -> bytes:
    got = b""
    with trio.fail_after(20):
        while not got.endswith(b"0\r\n\r\n") and (data := await stream.receive_some()):
            got += bytes(data)
    return got


@attrs.define
class Failing(Tone):
    """Fails on "seven", but not before it is told to."""

    now: threading.Event = attrs.field(factory=threading.Event)

    def speak(self, words: Any, voice: Any, speed: float) -> SpokenClause:
        if any("seven" in word.written for word in words):
            self.now.wait(20)
            raise RuntimeError("cannot say seven")
        return super().speak(words, voice, speed)


async def test_a_failure_after_the_first_byte_is_no_clean_end() -> None:
    engine = Failing()
    async with open_server(engine) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await ask(stream, {"input": "one two. six seven.", "response_format": "mp3"})
            with trio.fail_after(20):
                broken = bytes(await stream.receive_some())
            engine.now.set()
            broken += await read_answer(stream)
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await ask(stream, {"input": "one two.", "response_format": "mp3"})
            whole = await read_answer(stream)
    assert broken.startswith(b"HTTP/1.1 200")
    assert not broken.endswith(b"0\r\n\r\n")
    assert whole.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("extra", [{}, {"stream_format": "sse"}])
async def test_a_client_of_http_1_0_gets_a_whole_body_or_a_status(failing, extra) -> None:
    engine = Failing()
    engine.now.set()
    body = {"input": f"one two. six {'seven' if failing else 'eight'}.", "response_format": "pcm"} | extra
    data = json.dumps(body).encode()
    head = "POST /v1/audio/speech HTTP/1.0\r\nContent-Type: application/json\r\n"
    async with open_server(engine) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await stream.send_all(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            answer = await read_answer(stream)
    headers, _, content = answer.partition(b"\r\n\r\n")
    assert headers.split(b" ")[1] == (b"500" if failing else b"200")
    assert f"content-length: {len(content)}".encode() in headers
    assert content


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "aac", "wav", "g722"])
async def test_clients_that_leave_free_their_encoders(monkeypatch, name) -> None:
    opened = []

    class Watched(encoding.StreamEncoder):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            opened.append(self)

    monkeypatch.setattr(encoding, "StreamEncoder", Watched)
    async with open_server() as server:
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
                await ask(stream, {"input": LONG, "response_format": name})
                await stream.receive_some(100)
        with trio.fail_after(20):
            while server.service.admission.statistics().active:  # noqa: ASYNC110 - counts have no event
                await trio.sleep(0.01)
        assert len(opened) == 3
        assert all(encoder.is_closed for encoder in opened)
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await ask(stream, {"input": "one.", "response_format": name})
            assert (await read_answer(stream)).endswith(b"0\r\n\r\n")


# --- text that is still being written ---


async def receive_all(socket: MessageSocket) -> tuple[list[dict[str, Any]], bytes]:
    messages, audio = [], b""
    with trio.fail_after(20):
        while True:
            try:
                message = await socket.receive()
            except SocketClosed:
                return messages, audio
            if isinstance(message, str):
                messages.append(json.loads(message))
            else:
                audio += bytes(message)


def connect(server: SpeechServer) -> Any:
    return open_websocket_client(f"ws://127.0.0.1:{server.port}/v1/audio/speech/stream")


async def send(socket: MessageSocket, *messages: Any) -> None:
    for message in messages:
        await socket.send(message if isinstance(message, str) else json.dumps(message))


def text(piece: str) -> dict[str, str]:
    return {"type": "text", "text": piece}


@pytest.mark.parametrize("name", ["pcm", "opus"])
async def test_text_is_spoken_while_it_is_written(name) -> None:
    async with open_server() as server, connect(server) as socket:
        await send(
            socket, {"type": "start", "voice": "high", "response_format": name}, text("one tw"), text("o. th")
        )
        with trio.fail_after(20):
            assert json.loads(await socket.receive()) == {
                "type": "started",
                "format": name,
                "sample_rate": 24_000,
            }
            first = json.loads(await socket.receive())  # before the text has ended
        await send(socket, text("ree"), {"type": "flush"}, text("four"), {"type": "end"})
        messages, audio = await receive_all(socket)
    assert [word["word"] for word in first["words"]] == ["one", "two."]
    said = [word["word"] for message in messages if message["type"] == "words" for word in message["words"]]
    assert said == ["three", "four"]
    assert messages[-1] == {"type": "done", "samples": 9600}
    if name == "pcm":
        assert len(audio) == 2 * 9600
    else:
        with open_decoder("opus") as decoder:
            assert np.concatenate([decoder.decode(audio), decoder.finish()]).size == 2 * 9600


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        (["nonsense"], None, "invalid_json"),
        ([{"type": "text", "text": "hi"}], "type", "invalid_value"),
        ([{"type": "start", "voice": "zork"}], "voice", "invalid_voice"),
        ([{"type": "start", "speed": 9}], "speed", "invalid_value"),
        ([{"type": "start"}, "nonsense"], None, "invalid_json"),
        ([{"type": "start"}, {"type": "text", "text": 5}], "text", "invalid_value"),
        ([{"type": "start"}, {"type": "text", "text": "half \ud800 of it"}], "text", "invalid_value"),
        ([{"type": "start"}, {"type": "zork"}], "type", "invalid_value"),
        ([{"type": "start"}, ["text"]], "type", "invalid_value"),
        ([{"type": "start"}, text("x" * 200)], "text", "too_long"),
        ([{"type": "start"}, {"type": "end"}], "text", "unspeakable_input"),
        ([{"type": "start"}, text("..."), {"type": "end"}], "text", "unspeakable_input"),
    ],
)
async def test_a_wrong_message_ends_the_socket_with_an_error(messages, param, code) -> None:
    async with open_server(max_streamed_chars=100) as server, connect(server) as socket:
        await send(socket, *messages)
        got, _ = await receive_all(socket)
    assert got[-1]["type"] == "error"
    assert (got[-1]["error"]["param"], got[-1]["error"]["code"]) == (param, code)


async def test_a_client_that_leaves_or_falls_silent_ends_its_speaking() -> None:
    async with open_server(text_stall_s=0.3) as server:
        async with connect(server) as socket:
            await send(socket, {"type": "start"}, text(LONG))
            await socket.receive()
        async with connect(server) as socket:
            await send(socket, {"type": "start"}, text("one"))
            got, _ = await receive_all(socket)
        assert got[-1]["error"]["code"] == "timeout"
        with trio.fail_after(20):
            while server.service.admission.statistics().active:  # noqa: ASYNC110 - counts have no event
                await trio.sleep(0.01)


async def test_an_engine_that_fails_is_told_on_the_socket() -> None:
    async with open_server(Tone(fail_on="seven")) as server, connect(server) as socket:
        await send(socket, {"type": "start"}, text("one two. seven. "), {"type": "end"})
        got, _ = await receive_all(socket)
    assert got[-1]["error"]["type"] == "server_error"
