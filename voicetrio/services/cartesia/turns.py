"""Recognition with Cartesia's Ink, which finds turns by itself: for a turn source without a VAD."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.cartesia.stt import MAX_KEYTERMS
from voicetrio.services.cartesia.tts import VERSION
from voicetrio.services.cartesia.wire import CartesiaTurnHearing
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.streaming_stt import HearingSettings
from voicetrio.services.streaming_turns import ConnectedTurnSTT
from voicetrio.services.wires import Dial, address, check_keyterms, check_range

__all__ = ["CartesiaTurns"]


@final
class CartesiaTurns(ConnectedTurnSTT):
    """The recogniser of one session; it tells no word times, and cannot be told that speech has ended.

    Args:
        api_key: by default CARTESIA_API_KEY of the environment.
        model: such as ``ink-2``.
        rate: hertz of the audio, 8000 to 48000.
        start_threshold: probability of speech above which a turn begins, 0.5 to 0.9.
        eager_end_threshold: below which a draft of the turn is told, 0.3 to 0.6.
        end_threshold: below which the turn ends, 0.05 to 0.5.
        end_timeout_ms: silence after which any turn ends, 640 to 11200.
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
        start_threshold: float | None = None,
        eager_end_threshold: float | None = None,
        end_threshold: float | None = None,
        end_timeout_ms: int | None = None,
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
        turn = _turn(start_threshold, eager_end_threshold, end_threshold, end_timeout_ms)
        query = {
            "model": model,
            "encoding": "pcm_s16le",
            "sample_rate": rate,
            "keyterm": check_keyterms("Cartesia", keyterms, MAX_KEYTERMS),
            **{f"turn_{name}": value for name, value in turn.items()},
        }
        headers = [("X-API-Key", key.reveal()), ("Cartesia-Version", version)]
        connect = dial(address(url, "/stt/turns/websocket", query), headers=headers)

        super().__init__(
            "cartesia",
            rate,
            lambda: CartesiaTurnHearing(key),
            connect,
            settings or HearingSettings(),
            connection=connection,
            reconnect=reconnect,
        )
        self._changes: dict[str, Any] = {}

    def configure(
        self,
        *,
        start_threshold: float | None = None,
        eager_end_threshold: float | None = None,
        end_threshold: float | None = None,
        end_timeout_ms: int | None = None,
    ) -> None:
        """Change options while it listens, for this stream and every further one; None leaves one as it is.

        Raises ConfigError for what Cartesia never takes.
        """
        self._changes |= _turn(start_threshold, eager_end_threshold, end_threshold, end_timeout_ms)
        if self._changes:
            self._configure(json.dumps({"type": "config", "turn": self._changes}))


def _turn(
    start: float | None, eager_end: float | None, end: float | None, timeout_ms: int | None
) -> dict[str, float]:
    """Return the options of turns that were given, by Cartesia's names."""
    check_range("Cartesia", "start_threshold", start, 0.5, 0.9)
    check_range("Cartesia", "eager_end_threshold", eager_end, 0.3, 0.6)
    check_range("Cartesia", "end_threshold", end, 0.05, 0.5)
    check_range("Cartesia", "end_timeout_ms", timeout_ms, 640, 11200)
    given = {
        "start_threshold": start,
        "eager_end_threshold": eager_end,
        "end_threshold": end,
        "end_timeout_ms": timeout_ms,
    }
    return {name: value for name, value in given.items() if value is not None}
