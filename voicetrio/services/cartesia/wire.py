"""Cartesia's messages, without I/O.

Speech: JSON both ways, each message names its context; text of one context is joined as it is, so a space
ends each piece.  Recognition: binary audio and the words ``finalize`` and ``close``; JSON comes back.
Sources: Cartesia's API reference of ``/tts/websocket`` and ``/stt/websocket``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from voicetrio.connection.dialling import hide
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError
from voicetrio.services.credentials import Secret
from voicetrio.services.hearing_wire import Finalized, Finished, Heard, HearingAnswer
from voicetrio.services.json_hearing import JsonHearing
from voicetrio.services.voice_wire import ContextDone, ContextFailed, Sound, VoiceAnswer, WordTimes
from voicetrio.services.wires import error_of_status, numbers, read_object

__all__ = ["CartesiaHearing", "CartesiaTurnHearing", "CartesiaVoice"]

SERVICE: Final = "cartesia"


@final
class CartesiaVoice:
    """The wire of ``/tts/websocket``.

    Args:
        rate: hertz of the audio.
        fixed: the fields that every input of a context repeats: model, voice, format and options.
        key: hidden in errors.
    """

    def __init__(self, rate: int, fixed: Mapping[str, Any], key: Secret) -> None:
        self._rate = rate
        self._key = key
        self._fixed = dict(fixed)

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    def say(self, context: str, text: str) -> Sequence[Message]:
        """Return an input that may be followed by more."""
        return [self._input(context, text.strip() + " ", more=True)]

    def end(self, context: str) -> Sequence[Message]:
        """Return the input that is followed by none."""
        return [self._input(context, "", more=False)]

    def cancel(self, context: str) -> Message:
        """Return what stops the context; chunks that were made still come."""
        return json.dumps({"context_id": context, "cancel": True})

    def is_done(self, context: str) -> bool:
        """Return False: Cartesia says when."""
        return False

    def lost(self) -> None:
        """Nothing is kept from stream to stream."""

    def _input(self, context: str, text: str, *, more: bool) -> str:
        return json.dumps({"context_id": context, "transcript": text, "continue": more, **self._fixed})

    def read(self, message: Message) -> Sequence[VoiceAnswer]:
        """Return what ``message`` means."""
        return read_object(SERVICE, message, self._take)

    def _take(self, fields: Mapping[str, Any]) -> Sequence[VoiceAnswer]:
        context = fields.get("context_id")
        match fields.get("type"):
            case "chunk":
                return [Sound(str(context), base64.b64decode(fields["data"], validate=True))]
            case "timestamps":
                times = fields["word_timestamps"]
                starts, ends = numbers(times["start"]), numbers(times["end"])
                words = [str(word) for word in times["words"]]
                return [WordTimes(str(context), list(zip(words, starts, ends, strict=True)))]
            case "done":
                return [ContextDone(str(context))]
            case "error":
                error = _error(fields, self._key)
                if context is None:
                    raise error
                return [ContextFailed(str(context), error)]
        return []


@final
class CartesiaHearing(JsonHearing):
    """The wire of ``/stt/websocket``; ``key`` is hidden in errors."""

    service = SERVICE

    def finalize(self) -> Message:
        """Return the word that is answered by final text and ``flush_done``."""
        return "finalize"

    def finish(self) -> Message:
        """Return the word that is answered by final text and ``done``."""
        return "close"

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        match fields.get("type"):
            case "transcript":
                return [_heard(fields)]
            case "flush_done":
                return [Finalized()]
            case "done":
                return [Finished()]
            case "error":
                raise _error(fields, self._key)
        return []


@final
class CartesiaTurnHearing(JsonHearing):
    """The wire of ``/stt/turns/websocket``; ``key`` is hidden in errors."""

    service = SERVICE

    def finalize(self) -> None:
        """Return None: nothing ends a turn from outside."""

    def finish(self) -> Message:
        """Return the command after which the rest is told, and the stream closed."""
        return json.dumps({"type": "close"})

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        match fields.get("type"):
            case "turn.update" | "turn.eager_end" | "turn.end" as kind:
                text = fields["transcript"]
                if not isinstance(text, str):
                    raise TypeError("a transcript is a text")
                is_end = kind == "turn.end"
                is_draft = kind == "turn.eager_end"
                return [Heard(text=text, final=is_end, ends_turn=is_end, drafts_turn=is_draft)]
            case "error":
                raise _error(fields, self._key)
        return []


def _heard(fields: Mapping[str, Any]) -> Heard:
    words = fields.get("words") or ()
    starts = numbers([word["start"] for word in words])
    ends = numbers([word["end"] for word in words])
    return Heard(
        text=str(fields["text"]),
        final=bool(fields["is_final"]),
        words=list(zip((str(word["word"]) for word in words), starts, ends, strict=True)),
        # The text is a delta that brings its own spaces.
        joins=True,
    )


def _error(fields: Mapping[str, Any], key: Secret) -> ServiceError:
    status = fields.get("status_code")
    parts = [str(fields[name]) for name in ("title", "message") if fields.get(name)]
    code = f" [{fields['error_code']}]" if fields.get("error_code") else ""
    text = ": ".join(dict.fromkeys(parts)) or "it failed"
    text = hide(f"{text}{code}", [key.reveal()])
    return error_of_status(SERVICE, status if isinstance(status, int) and status >= 400 else 500, text)
