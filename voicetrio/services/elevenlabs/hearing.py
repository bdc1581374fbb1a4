"""ElevenLabs' messages of realtime recognition, without I/O: audio in JSON, commits by us.

Source: ElevenLabs' API reference of ``/v1/speech-to-text/realtime``.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from voicetrio.connection.websocket.socket import Message
from voicetrio.services.credentials import Secret
from voicetrio.services.elevenlabs.faults import SERVICE, error_named
from voicetrio.services.hearing_wire import Finalized, Heard, HearingAnswer
from voicetrio.services.json_hearing import JsonHearing
from voicetrio.services.wires import numbers

__all__ = ["ScribeHearing"]

NOTHING_TO_COMMIT: Final = ("commit_throttled", "insufficient_audio_activity")
"""Errors that mean: there was too little to commit."""


@final
class ScribeHearing(JsonHearing):
    """The wire of the realtime endpoint.

    Args:
        rate: hertz of the audio.
        key: hidden in errors.
    """

    service = SERVICE

    def __init__(self, rate: int, key: Secret) -> None:
        super().__init__(key)
        self._rate = rate
        self._given_s = 0.0
        self._commits: deque[float] = deque()
        """For each commit that is not answered, the audio that it covers, in seconds."""

    def opened(self) -> None:
        """A new stream begins."""
        self._given_s = 0.0
        self._commits.clear()

    def audio(self, pcm: bytes) -> Message:
        """Return a chunk of audio."""
        self._given_s += len(pcm) / 2 / self._rate
        return self._chunk(base64.b64encode(pcm).decode(), commit=False)

    def finalize(self) -> Message:
        """Return a commit, which is answered by a committed transcript."""
        self._commits.append(self._given_s)
        return self._chunk("", commit=True)

    def finish(self) -> None:
        """Return None: a stream is just closed."""

    def _chunk(self, data: str, *, commit: bool) -> str:
        head = {"message_type": "input_audio_chunk", "audio_base_64": data}
        return json.dumps({**head, "commit": commit, "sample_rate": self._rate})

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        kind = fields.get("message_type")
        match kind:
            case "partial_transcript":
                return [Heard(text=str(fields["text"]), final=False)]
            case "committed_transcript_with_timestamps":
                words = _words(fields.get("words") or ())
                text = str(fields["text"])
                end_s = self._commits.popleft() if self._commits else None
                return [Heard(text=text, final=True, end_s=end_s, words=words), Finalized()]
            case "committed_transcript" | "session_started":
                return []  # a committed one comes again, with its times
        if kind in NOTHING_TO_COMMIT:
            if self._commits:
                self._commits.popleft()
            return [Finalized()]
        if "error" in fields:
            raise error_named(str(kind), str(fields["error"]), self._key)
        return []


def _words(words: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    spoken = [word for word in words if word.get("type", "word") == "word"]
    starts = numbers([word["start"] for word in spoken])
    ends = numbers([word["end"] for word in spoken])
    return list(zip((str(word["text"]) for word in spoken), starts, ends, strict=True))
