"""Speech with Cartesia's Sonic: one WebSocket for the session, a context for each reply."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.errors import ConfigError
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.cartesia.wire import CartesiaVoice
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.streaming_tts import ConnectedTTS, VoiceSettings
from voicetrio.services.voice_line import Lease, open_voice_line
from voicetrio.services.wires import Dial, address, check_choice, check_range

__all__ = ["CartesiaTTS"]

RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
VERSION: Final = "2026-03-01"
EXPIRY_S: Final = 1.0
"""A context that is given nothing for so long after its last audio is gone (Cartesia, contexts)."""


@final
class CartesiaTTS(ConnectedTTS):
    """The voice of one session.

    Args:
        voice: the id of a voice.
        api_key: by default CARTESIA_API_KEY of the environment.
        model: such as ``sonic-3``; a language and a voice must fit it.
        rate: hertz of the audio: 8000, 16000, 22050, 24000, 44100 or 48000.
        language: such as ``en``; None leaves it to the model.
        speed: from 0.6 to 1.5.
        volume: from 0.5 to 2.
        emotion: such as ``calm``; see Cartesia's list.
        pronunciation_dict_id: a dictionary of the account.
        max_buffer_delay_ms: how long Cartesia may wait for more text, 0 to 5000; clauses come whole, so 0.
        max_contexts: replies in the making at once; the plan's limit of concurrent contexts.
        settings: how a run behaves when the service fails.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        version: of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that Cartesia does not take.
    """

    def __init__(
        self,
        voice: str,
        *,
        api_key: str | Secret | None = None,
        model: str = "sonic-3",
        rate: int = 24000,
        language: str | None = "en",
        speed: float | None = None,
        volume: float | None = None,
        emotion: str | None = None,
        pronunciation_dict_id: str | None = None,
        max_buffer_delay_ms: int = 0,
        max_contexts: int = 3,
        settings: VoiceSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.cartesia.ai",
        version: str = VERSION,
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("Cartesia", api_key, "CARTESIA_API_KEY")
        if not voice:
            raise ConfigError("Cartesia needs the id of a voice")
        check_choice("Cartesia", "rate", rate, RATES)
        check_range("Cartesia", "speed", speed, 0.6, 1.5)
        check_range("Cartesia", "volume", volume, 0.5, 2.0)
        check_range("Cartesia", "max_contexts", max_contexts, 1, math.inf)
        check_range("Cartesia", "max_buffer_delay_ms", max_buffer_delay_ms, 0, 5000)
        manner = {"speed": speed, "volume": volume, "emotion": emotion}
        fixed: dict[str, Any] = {
            "model_id": model,
            "voice": {"mode": "id", "id": voice},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": rate},
            "add_timestamps": True,
            "max_buffer_delay_ms": max_buffer_delay_ms,
            "language": language,
            "pronunciation_dict_id": pronunciation_dict_id,
            "generation_config": {name: value for name, value in manner.items() if value is not None} or None,
        }
        fixed = {name: value for name, value in fixed.items() if value is not None}
        headers = [("X-API-Key", key.reveal()), ("Cartesia-Version", version)]
        connect = dial(address(url, "/tts/websocket", {}), headers=headers)

        @asynccontextmanager
        async def open_lease() -> AsyncIterator[Lease]:
            async with open_voice_line(
                CartesiaVoice(rate, fixed, key),
                connect,
                name="cartesia",
                max_open=max_contexts,
                settings=connection,
                reconnect=reconnect,
            ) as line:
                yield line.lease

        # A context is ended before it expires: the text's next part goes to a new one.
        settings = settings or VoiceSettings(feed_within_s=EXPIRY_S / 2)
        super().__init__("cartesia", rate, settings, open_lease)
