"""ElevenLabs' speech: one context a socket, or several, with the times of each character."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import attrs
import trio

from voicetrio.testing.standins.server import StandinConnection
from voicetrio.testing.standins.speech import CHAR_S, encode_speech, speak_words

if TYPE_CHECKING:
    from voicetrio.testing.standins.elevenlabs import ElevenLabsStandin

__all__ = ["serve_multi", "serve_single"]

CHUNK_CHARS: Final = 4
DEFAULT_SCHEDULE: Final = (120, 160, 250, 290)


async def serve_single(owner: ElevenLabsStandin, connection: StandinConnection, idle_s: float) -> None:
    """``stream-input``: a space first, then text, and an empty text at the end."""
    async with trio.open_nursery() as nursery:
        voice = _Voice(owner, connection, "", _auto(connection))
        first = await _receive(owner, connection, idle_s)
        if first.get("text") != " ":
            await owner.fail(connection, "invalid_request")
        voice.configure(first)
        nursery.start_soon(voice.work)
        while True:
            message = await _receive(owner, connection, idle_s)
            if message.get("text") == "":
                voice.finish()
                await voice.over.wait()
                await connection.close(1000)
            voice.take(message)


async def serve_multi(owner: ElevenLabsStandin, connection: StandinConnection, idle_s: float) -> None:
    """``multi-stream-input``: each message names its context; empty text keeps alive."""
    voices: dict[str, _Voice] = {}
    async with trio.open_nursery() as nursery:
        while True:
            message = await _receive(owner, connection, idle_s)
            if message.get("close_socket"):
                await _close_all(connection, list(voices.values()))
            name = message.get("context_id", "")
            voice = voices.get(name)
            if voice is not None and voice.over.is_set():
                voice = None
            if message.get("close_context"):
                if voice is not None:
                    voice.finish(drop=True)
                continue
            if voice is None:
                if not message.get("text") and name == "":
                    continue  # a keepalive for the socket
                if sum(not each.over.is_set() for each in voices.values()) >= owner.max_contexts:
                    await owner.fail(connection, "max_active_conversations")
                voice = voices[name] = _Voice(owner, connection, name, _auto(connection))
                nursery.start_soon(voice.work)
                voice.configure(message)
            elif message.get("voice_settings"):
                await owner.fail(connection, "invalid_request")
            voice.take(message)


async def _close_all(connection: StandinConnection, voices: list[_Voice]) -> NoReturn:
    for voice in voices:
        voice.finish()
    for voice in voices:
        await voice.over.wait()
    await connection.close(1000)
    raise AssertionError("a closed connection raises")


def _auto(connection: StandinConnection) -> bool:
    return connection.request.query.get("auto_mode") == "true"


async def _receive(owner: ElevenLabsStandin, connection: StandinConnection, idle_s: float) -> dict[str, Any]:
    message = await connection.receive(idle_s)
    if message is None:
        await owner.fail(connection, "input_timeout_exceeded")
    try:
        parsed = json.loads(message or "")
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        await owner.fail(connection, "invalid_request")
    return dict(parsed or {})


@final
class _Voice:
    """One context: text is collected until there is enough of it, or a flush."""

    def __init__(
        self, owner: ElevenLabsStandin, connection: StandinConnection, name: str, is_auto: bool
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._name = name
        self._is_auto = is_auto
        self._schedule = list(DEFAULT_SCHEDULE)
        self._has_times = connection.request.query.get("sync_alignment") == "true"
        self._buffer = ""
        self._ready: list[str] = []
        self._changed = trio.Event()
        self._is_finished = False
        self.over = trio.Event()

    def configure(self, message: dict[str, Any]) -> None:
        config = message.get("generation_config") or {}
        self._schedule = list(config.get("chunk_length_schedule") or self._schedule)

    def take(self, message: dict[str, Any]) -> None:
        self._buffer += message.get("text") or ""
        wanted = 1 if self._is_auto else self._schedule[0]
        if message.get("flush") or len(self._buffer.strip()) >= wanted:
            self._generate()
            if len(self._schedule) > 1:
                del self._schedule[0]

    def finish(self, *, drop: bool = False) -> None:
        """Say what is collected, or drop it; what is being said is said to its end either way."""
        if drop:
            self._buffer = ""
        self._generate()
        self._is_finished = True
        self._changed.set()

    def _generate(self) -> None:
        text = self._buffer.strip()
        if text:
            self._ready.append(text + " ")
        self._buffer = ""
        self._changed.set()

    async def work(self) -> None:
        while True:
            self._changed = trio.Event()
            if self._ready:
                await self._speak(self._ready.pop(0))
            elif self._is_finished:
                break
            else:
                await self._changed.wait()
        await self._tell({"audio": None, "isFinal": True})
        self.over.set()

    async def _speak(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        output = self._connection.request.query.get("output_format", "mp3_44100_128")
        codec, rate = output.split("_")[0], int(output.split("_")[1])
        samples = speak_words(text, rate)
        step = round(CHAR_S * rate)
        for start in range(0, len(text), CHUNK_CHARS):
            await trio.sleep(CHUNK_CHARS * CHAR_S / self._owner.speed)
            chars = text[start : start + CHUNK_CHARS]
            part = samples[start * step : (start + CHUNK_CHARS) * step]
            data = encode_speech(part, "mulaw" if codec == "ulaw" else "s16le")
            times = _alignments(chars) if self._has_times else {"alignment": None}
            await self._tell({"audio": base64.b64encode(data).decode(), **times})

    async def _tell(self, message: dict[str, Any]) -> None:
        context = {"contextId": self._name} if self._name else {}
        await self._connection.send({**message, **context})


@attrs.frozen
class _Alignment:
    chars: list[str]
    charStartTimesMs: list[int]
    charDurationsMs: list[int]


def _alignments(chars: str) -> dict[str, Any]:
    """Times are relative to the chunk that they come with."""
    each_ms = round(CHAR_S * 1000)
    alignment = attrs.asdict(
        _Alignment(list(chars), [index * each_ms for index in range(len(chars))], [each_ms] * len(chars))
    )
    return {"alignment": alignment, "normalizedAlignment": alignment}
