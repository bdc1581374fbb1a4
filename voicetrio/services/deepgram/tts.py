"""Speech with Deepgram's Aura (speak v1): a socket speaks one reply at a time, so there are a few of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, final

import attrs
import trio

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.deepgram.hearing import classify_end
from voicetrio.services.deepgram.voice import AuraVoice
from voicetrio.services.streaming_tts import ConnectedTTS, VoiceSettings
from voicetrio.services.voice_line import Lease, VoiceContext, VoiceLine, open_voice_line
from voicetrio.services.wires import Dial, address, check_choice, check_range

__all__ = ["DeepgramTTS"]

RATES: Final = (8000, 16000, 24000, 32000, 48000)
MAX_CHARS: Final = 1900
"""Deepgram takes at most 2000 characters in one message."""


@final
class DeepgramTTS(ConnectedTTS):
    """The voice of one session.

    Words are placed by their length: Deepgram tells no times.

    Args:
        model: voice and language, such as ``aura-2-thalia-en``.
        api_key: by default DEEPGRAM_API_KEY of the environment.
        rate: hertz of the audio: 8000, 16000, 24000, 32000 or 48000.
        speed: from 0.7 to 1.5.
        max_streams: replies in the making at once; each has a socket, opened when it is needed.
        settings: how a run behaves when the service fails.
        connection: bounds of each connection.
        reconnect: how they come back.
        url: the address of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that Deepgram does not take.
    """

    def __init__(
        self,
        model: str = "aura-2-thalia-en",
        *,
        api_key: str | Secret | None = None,
        rate: int = 24000,
        speed: float | None = None,
        max_streams: int = 3,
        settings: VoiceSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.deepgram.com",
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("Deepgram", api_key, "DEEPGRAM_API_KEY")
        check_choice("Deepgram", "rate", rate, RATES)
        check_range("Deepgram", "speed", speed, 0.7, 1.5)
        check_range("Deepgram", "max_streams", max_streams, 1, 16)
        query = {"model": model, "encoding": "linear16", "sample_rate": rate, "speed": speed}
        headers = [("Authorization", f"Token {key.reveal()}")]
        connect = dial(address(url, "/v1/speak", query), headers=headers)

        @asynccontextmanager
        async def open_lease() -> AsyncIterator[Lease]:
            async with AsyncExitStack() as stack:
                sockets = []
                for number in range(max_streams):
                    wire = AuraVoice(rate, trio.current_time, key)
                    opening = open_voice_line(
                        wire,
                        connect,
                        name="deepgram",
                        max_open=1,
                        settings=connection,
                        reconnect=reconnect,
                        classifier=classify_end,
                        dial_now=number == 0,
                    )
                    line = await stack.enter_async_context(opening)
                    sockets.append(_Socket(wire, line))
                yield _Pool(sockets).lease

        settings = settings or VoiceSettings(timed=False, max_chars=MAX_CHARS)
        super().__init__("deepgram", rate, settings, open_lease)


@attrs.define(eq=False)
class _Socket:
    wire: AuraVoice
    line: VoiceLine
    users: int = 0


@final
class _Pool:
    def __init__(self, sockets: list[_Socket]) -> None:
        self._sockets = sockets

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[VoiceContext]:
        """Give a context on the socket that is least busy; among those, on the one that is open."""
        socket = min(
            self._sockets,
            key=lambda each: (
                each.users,
                not each.wire.is_clear,
                not each.wire.flushes_left,
                not each.line.connection.is_usable,
            ),
        )
        if not socket.users and not socket.wire.is_clear:
            # What still comes on it could not be told from what will come.
            socket.line.connection.recycle("a Clear was not confirmed")
        socket.users += 1
        try:
            async with socket.line.lease() as context:
                yield context
        finally:
            socket.users -= 1
