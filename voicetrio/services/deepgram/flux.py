"""Recognition with Deepgram's Flux (listen v2), which follows turns by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.errors import ConfigError
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.deepgram.hearing import FluxHearing, classify_end
from voicetrio.services.streaming_stt import HearingSettings
from voicetrio.services.streaming_turns import ConnectedTurnSTT
from voicetrio.services.wires import Dial, address, check_keyterms, check_range

__all__ = ["DeepgramFlux"]


@final
class DeepgramFlux(ConnectedTurnSTT):
    """The recogniser of one session: with a VAD, whose boundaries end its turns, or with turns of its own.

    Args:
        api_key: by default DEEPGRAM_API_KEY of the environment.
        model: ``flux-general-en`` or ``flux-general-multi``.
        rate: hertz of the audio, 8000 to 48000.
        eot_threshold: how sure Flux must be that a turn is over, 0.5 to 0.9.
        eager_eot_threshold: how sure Flux must be to tell a draft of the turn, 0.3 to 0.9 and not above
            ``eot_threshold``; None: it tells none.
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
        eager_eot_threshold: float | None = None,
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
        _check(eot_threshold, eager_eot_threshold, eot_timeout_ms)
        query = {
            "model": model,
            "encoding": "linear16",
            "sample_rate": rate,
            "eot_threshold": eot_threshold,
            "eager_eot_threshold": eager_eot_threshold,
            "eot_timeout_ms": eot_timeout_ms,
            "keyterm": check_keyterms("Deepgram", keyterms),
            **(options or {}),
        }
        headers = [("Authorization", f"Token {key.reveal()}")]
        connect = dial(address(url, "/v2/listen", query), headers=headers)

        super().__init__(
            "deepgram",
            rate,
            lambda: FluxHearing(key),
            connect,
            settings or HearingSettings(chunk_s=0.08),
            connection=connection,
            reconnect=reconnect,
            classifier=classify_end,
        )
        self._changes: dict[str, Any] = {}

    def configure(
        self,
        *,
        eot_threshold: float | None = None,
        eager_eot_threshold: float | None = None,
        eot_timeout_ms: int | None = None,
        keyterms: Sequence[str] | None = None,
    ) -> None:
        """Change options while it listens; None leaves one as it is.

        They hold for the turn that is open, and for every further stream.  What Deepgram does not take is a
        Failure event, and leaves the options as they were.  Raises ConfigError for what it never takes.
        """
        _check(eot_threshold, eager_eot_threshold, eot_timeout_ms)
        thresholds = {
            "eot_threshold": eot_threshold,
            "eager_eot_threshold": eager_eot_threshold,
            "eot_timeout_ms": eot_timeout_ms,
        }
        given = {name: value for name, value in thresholds.items() if value is not None}
        if given:
            self._changes["thresholds"] = {**self._changes.get("thresholds", {}), **given}
        if keyterms is not None:
            self._changes["keyterms"] = check_keyterms("Deepgram", keyterms)
        if self._changes:
            self._configure(json.dumps({"type": "Configure", **self._changes}))


def _check(eot_threshold: float | None, eager: float | None, eot_timeout_ms: int | None) -> None:
    check_range("Deepgram", "eot_threshold", eot_threshold, 0.5, 0.9)
    check_range("Deepgram", "eager_eot_threshold", eager, 0.3, 0.9)
    check_range("Deepgram", "eot_timeout_ms", eot_timeout_ms, 500, 10000)
    if eager is not None and eot_threshold is not None and eager > eot_threshold:
        raise ConfigError(
            f"eager_eot_threshold ({eager:g}) of Deepgram must not be above eot_threshold ({eot_threshold:g})"
        )
