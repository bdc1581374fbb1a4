"""Recognition with AssemblyAI's streaming models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, final

from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.assemblyai.wire import TurnHearing, classify_end
from voicetrio.services.credentials import Secret, find_key
from voicetrio.services.streaming_stt import HearingSettings
from voicetrio.services.streaming_turns import ConnectedTurnSTT
from voicetrio.services.wires import Dial, address, check_keyterms, check_range

__all__ = ["AssemblyAISTT"]

VERSION: Final = "2025-05-12"
KEEPALIVE_S: Final = 20.0
LEAST_CHUNK_S: Final = 0.05
PACE: Final = 1.25
"""Audio that comes much faster than real time ends the session (code 4029); what that means is not told."""


@final
class AssemblyAISTT(ConnectedTurnSTT):
    """The recogniser of one session: with a VAD, whose boundaries end its turns, or with turns of its own.

    Args:
        api_key: by default ASSEMBLYAI_API_KEY of the environment.
        model: such as ``universal-streaming-english``; None leaves it to AssemblyAI.
        rate: hertz of the audio, 8000 to 48000.
        format_turns: with punctuation and capitals; costs some of AssemblyAI's time at each end.
        keyterms: words to expect.
        min_turn_silence_ms: silence after which a confident model ends a turn.
        max_turn_silence_ms: silence after which it ends any turn.
        options: further options of the address, by AssemblyAI's names.
        settings: how it is used.
        connection: bounds of the connection.
        reconnect: how it comes back.
        url: the address of the API.
        dial: opens the socket.

    Raises ConfigError for a missing key or an option that AssemblyAI does not take.
    """

    def __init__(
        self,
        *,
        api_key: str | Secret | None = None,
        model: str | None = None,
        rate: int = 16000,
        format_turns: bool = True,
        keyterms: Sequence[str] = (),
        min_turn_silence_ms: int | None = None,
        max_turn_silence_ms: int | None = None,
        options: Mapping[str, object] | None = None,
        settings: HearingSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        url: str = "wss://streaming.assemblyai.com",
        dial: Dial = websocket_dialler,
    ) -> None:
        key = find_key("AssemblyAI", api_key, "ASSEMBLYAI_API_KEY")
        check_range("AssemblyAI", "rate", rate, 8000, 48000)
        terms = check_keyterms("AssemblyAI", keyterms)
        query = {
            "sample_rate": rate,
            "encoding": "pcm_s16le",
            "speech_model": model,
            "format_turns": format_turns,
            "keyterms_prompt": json.dumps(terms) if terms else None,
            "min_turn_silence": min_turn_silence_ms,
            "max_turn_silence": max_turn_silence_ms,
            **(options or {}),
        }
        headers = [("Authorization", key.reveal()), ("AssemblyAI-Version", VERSION)]
        connect = dial(address(url, "/v3/ws", query), headers=headers)
        keep_alive = json.dumps({"type": "KeepAlive"})

        settings = settings or HearingSettings(
            chunk_s=LEAST_CHUNK_S, pad_s=LEAST_CHUNK_S, pace=PACE, burst_s=2.0, replay_s=10.0
        )

        super().__init__(
            "assemblyai",
            rate,
            lambda: TurnHearing(key, formats=format_turns),
            connect,
            settings,
            connection=connection,
            reconnect=reconnect,
            keepalive=Keepalive(KEEPALIVE_S, lambda: keep_alive),
            classifier=classify_end,
        )
        self._changes: dict[str, object] = {}

    def configure(
        self,
        *,
        keyterms: Sequence[str] | None = None,
        min_turn_silence_ms: int | None = None,
        max_turn_silence_ms: int | None = None,
    ) -> None:
        """Change options while it listens; None leaves one as it is.

        They hold for the open stream and every further one.  AssemblyAI confirms nothing; what it
        does not take ends the stream with code 3006.
        """
        changes = {
            "keyterms_prompt": None if keyterms is None else check_keyterms("AssemblyAI", keyterms),
            "min_turn_silence": min_turn_silence_ms,
            "max_turn_silence": max_turn_silence_ms,
        }
        self._changes |= {name: value for name, value in changes.items() if value is not None}
        if self._changes:
            self._configure(json.dumps({"type": "UpdateConfiguration", **self._changes}))
