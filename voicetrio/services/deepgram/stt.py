"""Recognition with Deepgram's Nova (listen v1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.deepgram.hearing import NovaHearing, classify_end, keep_alive
from voicetrio.services.streaming_stt import ConnectedSTT, HearingSettings
from voicetrio.services.wires import Dial, address, check_keyterms, check_range

__all__ = ["DeepgramSTT"]


@final
class DeepgramSTT(ConnectedSTT):
    """The recogniser of one session.

    Args:
        api_key: by default DEEPGRAM_API_KEY of the environment.
        model: such as ``nova-3``.
        rate: hertz of the audio, 8000 to 48000.
        language: such as ``en``, or ``multi``.
        smart_format: numbers, dates and the like as they are written.
        punctuate: with punctuation and capitals.
        endpointing_ms: a pause after which Deepgram finalizes by itself; None: never.
        keyterms: words to expect (Nova-3).
        options: further options of the address, by Deepgram's names.
        settings: how it is used.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that Deepgram does not take.
    """

    def __init__(
        self,
        *,
        api_key: str | Secret | None = None,
        model: str = "nova-3",
        rate: int = 16000,
        language: str | None = "en",
        smart_format: bool = True,
        punctuate: bool = True,
        endpointing_ms: int | None = 300,
        keyterms: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        settings: HearingSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://api.deepgram.com",
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("Deepgram", api_key, "DEEPGRAM_API_KEY")
        check_range("Deepgram", "rate", rate, 8000, 48000)
        check_range("Deepgram", "endpointing_ms", endpointing_ms, 10, 5000)
        query = {
            "model": model,
            "encoding": "linear16",
            "sample_rate": rate,
            "channels": 1,
            "language": language,
            "interim_results": True,
            "smart_format": smart_format,
            "punctuate": punctuate,
            "endpointing": False if endpointing_ms is None else endpointing_ms,
            "keyterm": check_keyterms("Deepgram", keyterms),
            **(options or {}),
        }
        headers = [("Authorization", f"Token {key.reveal()}")]
        connect = dial(address(url, "/v1/listen", query), headers=headers)

        super().__init__(
            "deepgram",
            rate,
            lambda: NovaHearing(key),
            connect,
            settings or HearingSettings(chunk_s=0.06),
            connection=connection,
            reconnect=reconnect,
            keepalive=keep_alive(),
            classifier=classify_end,
        )
