"""A voice behind ``/audio/speech``: OpenAI's own, or any server that speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final, final

import attrs
import numpy as np
import trio

from voicetrio.connection.error_text import text_of_error
from voicetrio.connection.http import HttpClient, HttpStream
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.frames import TextFrame
from voicetrio.runtime.keeper import Opener
from voicetrio.services.credentials import Secret
from voicetrio.services.openai.account import Account, find_account
from voicetrio.services.tts import TtsOutput
from voicetrio.services.word_spread import WordSpread

__all__ = ["OpenAITTS", "TtsStatistics"]

RATE: Final = 24000
"""Hertz of the API's ``pcm``."""
MAX_CHARACTERS: Final = 4096
SPEEDS: Final = (0.25, 4.0)
OWN_FIELDS: Final = frozenset({"model", "input", "voice", "response_format", "stream_format", "speed"})


@attrs.frozen(kw_only=True)
class TtsStatistics:
    """What a voice did so far."""

    requests: int
    characters: int
    """Of the text that was asked for."""
    audio_s: float
    """Seconds of audio that came."""


@final
class OpenAITTS:
    """A voice that streams; see ``voicetrio.services.tts.TTS``.

    The API gives no word times: they are spread by ``voicetrio.services.word_spread``.

    Args:
        voice: its name.
        model: the model's name.
        api_key, base_url, account, client: as of ``OpenAILLM``.
        instructions: how to speak, for models that take them.
        speed: from 0.25 to 4; None leaves it to the model.
        rate: hertz of the server's ``pcm``; OpenAI's is 24000.
        options: further fields of the request.

    Raises ConfigError when there is no key, or for a speed out of bounds.
    """

    def __init__(
        self,
        voice: str = "alloy",
        *,
        model: str = "gpt-4o-mini-tts",
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        instructions: str | None = None,
        speed: float | None = None,
        rate: int = RATE,
        options: Mapping[str, Any] | None = None,
        account: Account | None = None,
        client: HttpClient | None = None,
    ) -> None:
        if speed is not None and not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise ConfigError(f"a speed is from {SPEEDS[0]} to {SPEEDS[1]}, not {speed}")
        ours = sorted(OWN_FIELDS & (options or {}).keys())
        if ours:
            raise ConfigError(f"{ours[0]!r} is set by the service itself: leave it out of options")
        self.name = f"voice {model}/{voice}"
        """For errors."""
        self._body: dict[str, Any] = {
            "model": model,
            "voice": voice,
            "response_format": "pcm",
            **({} if instructions is None else {"instructions": instructions}),
            **({} if speed is None else {"speed": speed}),
            **(options or {}),
        }
        self._rate = rate
        self._client = client
        self._opener: Opener[HttpClient] | None = None
        if client is None:
            own = account or find_account(api_key, base_url)
            self._opener = Opener(lambda: own.open_http(self.name))
        self._requests = self._characters = self._samples = 0

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    def warm_up(self) -> None:
        """Open the client before it is needed."""
        if self._opener is not None:
            self._opener.begin()

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak each clause of ``inlet``, one request a clause; see ``TTS``.

        Cancelling closes the request's connection; what was not sent is lost.  Raises ServiceError; what came
        before a failure was sent.
        """
        spread = WordSpread(self._rate)
        async with nullcontext(self._client) if self._opener is None else self._opener.use() as client:
            assert client is not None
            async for clause in inlet:
                for text in _parts(clause.text):
                    await self._speak_part(client, text, spread, outlet)

    async def _speak_part(
        self,
        client: HttpClient,
        text: str,
        spread: WordSpread,
        outlet: trio.abc.SendChannel[TtsOutput],
    ) -> None:
        self._requests += 1
        self._characters += len(text)
        spread.begin(text)
        start = spread.position
        rest = b""
        async with self._ask(client, text) as chunks:
            async for chunk in chunks:
                data = rest + chunk
                whole = len(data) // 2 * 2
                rest = data[whole:]
                for output in spread.feed(np.frombuffer(data[:whole], "<i2").astype(np.int16)):
                    await outlet.send(output)
        if spread.position == start:
            raise ServiceError(f"gave no audio for {text[:40]!r}", service=self.name, transient=True)
        for output in spread.finish():
            await outlet.send(output)
        self._samples += spread.position - start
        if rest:
            raise ServiceError("its audio ended in the middle of a sample", service=self.name, transient=True)

    @asynccontextmanager
    async def _ask(self, client: HttpClient, text: str) -> AsyncIterator[HttpStream[bytes]]:
        """Ask for the audio of ``text``; what is no audio is refused."""
        async with client.stream("POST", "audio/speech", json={**self._body, "input": text}) as chunks:
            kind = chunks.headers.get("content-type", "")
            if kind.startswith(("text/", "application/json")):
                start = (await anext(chunks, b""))[:2000].decode(errors="replace")
                raise ServiceError(
                    f"answered with {kind} in place of audio: {text_of_error(start, kind)}",
                    service=self.name,
                    fault="network" if "html" in kind else "theirs",
                )
            yield chunks

    def statistics(self) -> TtsStatistics:
        """Return the counts so far."""
        return TtsStatistics(
            requests=self._requests, characters=self._characters, audio_s=self._samples / self._rate
        )


def _parts(text: str) -> list[str]:
    """Cut a text that is longer than a request may be, between words where there are any."""
    words = " ".join(text.split())
    parts = []
    while len(words) > MAX_CHARACTERS:
        cut = words.rfind(" ", 0, MAX_CHARACTERS + 1)
        cut = cut if cut > 0 else MAX_CHARACTERS
        parts.append(words[:cut].rstrip())
        words = words[cut:].lstrip()
    return [*parts, words] if words else parts
