"""What a Realtime session hears, without I/O: its events, in positions of the capture clock.

1. ``audio_start_ms`` lies ``prefix_padding`` before the voice, ``audio_end_ms`` lies the VAD's silence after
   it; both count the audio of the present stream.
2. Speech is known by its item.  A new stream hears again what had no transcript yet: speech that was told
   already is found by its place, gets the new item, and is not told again.
3. Every stop is followed by one final transcript of the same position: empty when there was none to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import attrs

from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.services.speech_model import ModelHeard

__all__ = ["RealtimeEar"]

SHORTEST_S: Final = 0.02
"""No speech is told to be shorter, however the paddings come out."""
SAME_S: Final = 0.4
"""Two starts closer than this are the same speech, heard by two streams."""
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."


@attrs.define
class _Speech:
    start: int
    stop: int | None = None
    item: str | None = None
    interim: str = ""


@final
class RealtimeEar:
    """The speech of one session.

    Args:
        place: from seconds of the present stream to a position.
        rate: hertz of positions.
        before_s: how much earlier than the voice a start is told.
        after_s: how much later than the voice a stop is told.
    """

    def __init__(self, place: Callable[[float], int], rate: int, *, before_s: float, after_s: float) -> None:
        self._place = place
        self._rate = rate
        self._before_s = before_s
        self._after_s = after_s
        self._speeches: list[_Speech] = []

    @property
    def is_busy(self) -> bool:
        """Speech goes on, or waits for its transcript."""
        return bool(self._speeches)

    def silent_until(self, stop: int) -> int:
        """Return up to where the server heard silence after speech that ended at ``stop``."""
        end = stop + round(self._after_s * self._rate)
        before = round(self._before_s * self._rate)
        return min([end, *(max(stop, speech.start - before) for speech in self._speeches)])

    def restart(self) -> None:
        """A new stream begins: items of the old one are gone."""
        for speech in self._speeches:
            speech.item = None
            speech.interim = ""

    def take(self, event: Mapping[str, Any]) -> list[ModelHeard]:
        """Take an event of the server; return what is to be told.  Raises KeyError for a malformed one."""
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            return self._started(event["item_id"], event["audio_start_ms"] / 1000 + self._before_s)
        if kind == "input_audio_buffer.speech_stopped":
            return self._stopped(event["item_id"], event["audio_end_ms"] / 1000 - self._after_s)
        if not kind.startswith(TRANSCRIPTION):
            return []
        speech = next((speech for speech in self._speeches if speech.item == event["item_id"]), None)
        if speech is None or speech.stop is None:
            return []
        match kind.removeprefix(TRANSCRIPTION):
            case "delta":
                speech.interim += event["delta"]
                return [self._transcript(speech, speech.stop, speech.interim, final=False)]
            case "completed":
                return [self._close(speech, speech.stop, event["transcript"])]
            case "failed":
                return [self._close(speech, speech.stop, "")]
        return []

    def _started(self, item: str, seconds: float) -> list[ModelHeard]:
        start = self._place(max(0.0, seconds))
        for speech in self._speeches:
            if speech.item is None and self._is_same(speech, start):
                speech.item = item
                return []
        self._speeches.append(_Speech(start, item=item))
        return [SpeechStarted(position=start)]

    def _is_same(self, speech: _Speech, start: int) -> bool:
        slack = round(SAME_S * self._rate)
        return speech.start - slack <= start < max(speech.stop or 0, speech.start + slack)

    def _stopped(self, item: str, seconds: float) -> list[ModelHeard]:
        speech = next((speech for speech in self._speeches if speech.item == item), None)
        if speech is None or speech.stop is not None:
            return []
        speech.stop = max(speech.start + round(SHORTEST_S * self._rate), self._place(max(0.0, seconds)))
        return [SpeechStopped(position=speech.stop, start=speech.start)]

    def _close(self, speech: _Speech, stop: int, text: str) -> Transcript:
        self._speeches.remove(speech)
        return self._transcript(speech, stop, text, final=True)

    def _transcript(self, speech: _Speech, stop: int, text: str, *, final: bool) -> Transcript:
        return Transcript(text=" ".join(text.split()), final=final, start=speech.start, position=stop)
