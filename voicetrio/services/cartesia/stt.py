"""Recognition with Cartesia's Ink, which is told when to finalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.cartesia.tts import VERSION
from voicetrio.services.cartesia.wire import CartesiaHearing
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.streaming_stt import ConnectedSTT, HearingSettings
from voicetrio.services.wires import Dial, address, check_keyterms, check_range

__all__ = ["CartesiaSTT"]

MAX_KEYTERMS: Final = 100


class CartesiaSTT(ConnectedSTT):
    """The recogniser of one session.

    Args:
        api_key: by default CARTESIA_API_KEY of the environment.
        model: ``ink-2``, or ``ink-whisper`` for more languages.
        rate: hertz of the audio, 8000 to 48000.
        language: such as ``en``.
        keyterms: words to expect, at most 100.
        settings: how it is used.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        version: of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that Cartesia does not take.
    """

    def __init__(
        self,
        *,
        api_key: str | Secret | None = None,
        model: str = "ink-2",
        rate: int = 16000,
        language: str | None = "en",
        keyterms: Sequence[str] = (),
        settings: HearingSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.cartesia.ai",
        version: str = VERSION,
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("Cartesia", api_key, "CARTESIA_API_KEY")
        check_range("Cartesia", "rate", rate, 8000, 48000)
        query = {
            "model": model,
            "encoding": "pcm_s16le",
            "sample_rate": rate,
            "language": language,
            "keyterm": check_keyterms("Cartesia", keyterms, MAX_KEYTERMS),
        }
        headers = [("X-API-Key", key.reveal()), ("Cartesia-Version", version)]
        connect = dial(address(url, "/stt/websocket", query), headers=headers)

        super().__init__(
            "cartesia",
            rate,
            lambda: CartesiaHearing(key),
            connect,
            settings or HearingSettings(),
            connection=connection,
            reconnect=reconnect,
        )
