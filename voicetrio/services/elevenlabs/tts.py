"""Speech with ElevenLabs: one WebSocket for the session, a context for each reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final
from urllib.parse import quote

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.errors import ConfigError
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.elevenlabs.faults import classify_end
from voicetrio.services.elevenlabs.voice import MAX_CONTEXTS, MultiContextVoice
from voicetrio.services.streaming_tts import ConnectedTTS, VoiceSettings
from voicetrio.services.voice_line import Lease, open_voice_line
from voicetrio.services.wires import Dial, address, check_choice, check_range

__all__ = ["ElevenLabsTTS"]

RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
KEEPALIVE_S: Final = 10.0
"""ElevenLabs closes a socket after 20 s without a message."""
LINGER_S: Final = 10.0
"""A closed context says that it is over when what was made of it has been sent: until then it counts."""


@final
class ElevenLabsTTS(ConnectedTTS):
    """The voice of one session.

    Args:
        voice: the id of a voice.
        api_key: by default ELEVENLABS_API_KEY of the environment.
        model: such as ``eleven_flash_v2_5``.
        rate: hertz of the audio: 8000, 16000, 22050, 24000, 44100 or 48000.
        language: such as ``en``, for models that know several; None leaves it to the model.
        stability: from 0 to 1.
        similarity_boost: from 0 to 1.
        style: from 0 to 1.
        use_speaker_boost: see ElevenLabs' voice settings.
        speed: from 0.7 to 1.2.
        normalization: how numbers and the like are read: ``auto``, ``on`` or ``off``.
        settings: how a run behaves when the service fails.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that ElevenLabs does not take.
    """

    def __init__(
        self,
        voice: str,
        *,
        api_key: str | Secret | None = None,
        model: str = "eleven_flash_v2_5",
        rate: int = 24000,
        language: str | None = None,
        stability: float | None = None,
        similarity_boost: float | None = None,
        style: float | None = None,
        use_speaker_boost: bool | None = None,
        speed: float | None = None,
        normalization: str = "auto",
        settings: VoiceSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.elevenlabs.io",
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("ElevenLabs", api_key, "ELEVENLABS_API_KEY")
        if not voice:
            raise ConfigError("ElevenLabs needs the id of a voice")
        check_choice("ElevenLabs", "rate", rate, RATES)
        check_choice("ElevenLabs", "normalization", normalization, ("auto", "on", "off"))
        first = _first_message(stability, similarity_boost, style, use_speaker_boost, speed)
        query = {
            "model_id": model,
            "output_format": f"pcm_{rate}",
            "language_code": language,
            "auto_mode": True,  # clauses come whole: no waiting for more text
            "sync_alignment": True,
            "apply_text_normalization": normalization,
        }
        path = f"/v1/text-to-speech/{quote(voice, safe='')}/multi-stream-input"
        connect = dial(address(url, path, query), headers=[("xi-api-key", key.reveal())])

        @asynccontextmanager
        async def open_lease() -> AsyncIterator[Lease]:
            wire = MultiContextVoice(rate, first, key)
            async with open_voice_line(
                wire,
                connect,
                name="elevenlabs",
                max_open=MAX_CONTEXTS,
                linger_s=LINGER_S,
                settings=connection,
                reconnect=reconnect,
                keepalive=Keepalive(KEEPALIVE_S, wire.keep_alive),
                classifier=classify_end,
            ) as line:
                yield line.lease

        super().__init__("elevenlabs", rate, settings or VoiceSettings(), open_lease)


def _first_message(
    stability: float | None,
    similarity_boost: float | None,
    style: float | None,
    use_speaker_boost: bool | None,
    speed: float | None,
) -> dict[str, Any]:
    """Return what the first message of a context says beside its text."""
    check_range("ElevenLabs", "stability", stability, 0.0, 1.0)
    check_range("ElevenLabs", "similarity_boost", similarity_boost, 0.0, 1.0)
    check_range("ElevenLabs", "style", style, 0.0, 1.0)
    check_range("ElevenLabs", "speed", speed, 0.7, 1.2)
    manner = {
        "stability": stability,
        "similarity_boost": similarity_boost,
        "style": style,
        "use_speaker_boost": use_speaker_boost,
        "speed": speed,
    }
    manner = {name: value for name, value in manner.items() if value is not None}
    return {"voice_settings": manner} if manner else {}
