"""Recognition with ElevenLabs' realtime Scribe; each stretch of speech is committed at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.elevenlabs.faults import classify_end
from voicetrio.services.elevenlabs.hearing import ScribeHearing
from voicetrio.services.streaming_stt import ConnectedSTT, HearingSettings
from voicetrio.services.wires import Dial, address, check_choice, check_keyterms

__all__ = ["ElevenLabsSTT"]

RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)


@final
class ElevenLabsSTT(ConnectedSTT):
    """The recogniser of one session.

    Args:
        api_key: by default ELEVENLABS_API_KEY of the environment.
        model: such as ``scribe_v2_realtime``.
        rate: hertz of the audio: 8000, 16000, 22050, 24000, 44100 or 48000.
        language: such as ``en``; None lets it find out.
        keyterms: words to expect.
        options: further options of the address, by ElevenLabs' names.
        settings: how it is used.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that ElevenLabs does not take.
    """

    def __init__(
        self,
        *,
        api_key: str | Secret | None = None,
        model: str = "scribe_v2_realtime",
        rate: int = 16000,
        language: str | None = "en",
        keyterms: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        settings: HearingSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.elevenlabs.io",
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("ElevenLabs", api_key, "ELEVENLABS_API_KEY")
        check_choice("ElevenLabs", "rate", rate, RATES)
        query = {
            "model_id": model,
            "audio_format": f"pcm_{rate}",
            "commit_strategy": "manual",
            "include_timestamps": True,
            "language_code": language,
            "keyterms": check_keyterms("ElevenLabs", keyterms),
            **(options or {}),
        }
        connect = dial(
            address(url, "/v1/speech-to-text/realtime", query), headers=[("xi-api-key", key.reveal())]
        )

        super().__init__(
            "elevenlabs",
            rate,
            lambda: ScribeHearing(rate, key),
            connect,
            settings or HearingSettings(),
            connection=connection,
            reconnect=reconnect,
            classifier=classify_end,
        )
