"""Recognition with Deepgram's Flux (listen v2), which follows turns; the VAD's boundaries end them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import final

from voicetrio.connection.connection import Connection, open_connection
from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.deepgram.hearing import FluxHearing, classify_end
from voicetrio.services.streaming_stt import ConnectedSTT, HearingSettings, OnMessage
from voicetrio.services.wires import Dial, address, check_range

__all__ = ["DeepgramFlux"]


@final
class DeepgramFlux(ConnectedSTT):
    """The recogniser of one session.

    Args:
        api_key: by default DEEPGRAM_API_KEY of the environment.
        model: ``flux-general-en`` or ``flux-general-multi``.
        rate: hertz of the audio, 8000 to 48000.
        eot_threshold: how sure Flux must be that a turn is over, 0.5 to 0.9.
        eot_timeout_ms: silence after which it holds any turn for over, 500 to 10000.
        keyterms: words to expect.
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
        model: str = "flux-general-en",
        rate: int = 16000,
        eot_threshold: float | None = None,
        eot_timeout_ms: int | None = None,
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
        check_range("Deepgram", "eot_threshold", eot_threshold, 0.5, 0.9)
        check_range("Deepgram", "eot_timeout_ms", eot_timeout_ms, 500, 10000)
        query = {
            "model": model,
            "encoding": "linear16",
            "sample_rate": rate,
            "eot_threshold": eot_threshold,
            "eot_timeout_ms": eot_timeout_ms,
            "keyterm": list(keyterms),
            **(options or {}),
        }
        headers = [("Authorization", f"Token {key.reveal()}")]
        connect = dial(address(url, "/v2/listen", query), headers=headers)

        def open_line(on_message: OnMessage) -> AbstractAsyncContextManager[Connection]:
            return open_connection(
                connect,
                name="deepgram",
                settings=connection,
                reconnect=reconnect,
                on_message=on_message,
                classifier=classify_end,
                dial_now=False,
            )

        settings = settings or HearingSettings(chunk_s=0.08)
        super().__init__("deepgram", rate, lambda: FluxHearing(key), open_line, settings)
