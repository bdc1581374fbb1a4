"""ElevenLabs' messages of speech with several contexts, without I/O.

The client says ``context_id``, the server answers ``contextId``.  A context begins with a single space and
its settings; empty text keeps alive.  Audio comes with the times of its characters, counted from the start of
its own chunk.  Source: ElevenLabs' API reference of ``multi-stream-input``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import attrs

from voicetrio.connection.websocket.socket import Message
from voicetrio.services.credentials import Secret
from voicetrio.services.elevenlabs.faults import SERVICE, error_named
from voicetrio.services.voice_wire import ContextDone, Sound, VoiceAnswer, WordTimes
from voicetrio.services.wires import numbers, read_object

__all__ = ["MultiContextVoice"]

MAX_CONTEXTS: Final = 5
"""More at once close the socket."""


@attrs.define
class _Context:
    given_s: float = 0.0
    """Audio so far."""
    word: str = ""
    """Characters of a word that may go on in the next chunk..."""
    start_s: float = 0.0
    end_s: float = 0.0
    """...and when they are spoken."""


@final
class MultiContextVoice:
    """The wire of ``multi-stream-input``.

    Args:
        rate: hertz of the audio.
        first: the fields of a context's first message: its settings.
        key: hidden in errors.
    """

    def __init__(self, rate: int, first: Mapping[str, Any], key: Secret) -> None:
        self._rate = rate
        self._first = dict(first)
        self._key = key
        self._contexts: dict[str, _Context] = {}

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    def say(self, context: str, text: str) -> Sequence[Message]:
        """Return the text; before the first, what opens the context."""
        message = json.dumps({"text": text.strip() + " ", "context_id": context})
        if context in self._contexts:
            return [message]
        self._contexts[context] = _Context()
        # The settings must come with the very first message: a keepalive in front of it would be an error.
        return [json.dumps({"text": " ", "context_id": context, **self._first}), message]

    def end(self, context: str) -> Sequence[Message]:
        """Return what speaks the rest and closes the context."""
        flush = {"text": "", "context_id": context, "flush": True}
        return [json.dumps(flush), self.cancel(context)]

    def is_done(self, context: str) -> bool:
        """Return False: ElevenLabs says when."""
        return False

    def cancel(self, context: str) -> Message:
        """Return what closes the context; audio that was made still comes, and then its end."""
        return json.dumps({"context_id": context, "close_context": True})

    def lost(self) -> None:
        """The stream is over, and its contexts."""
        self._contexts.clear()

    def keep_alive(self) -> Message:
        """Return what keeps the socket open: of an open context, if there is one."""
        context = next(iter(self._contexts), None)
        return json.dumps({"text": ""} if context is None else {"text": "", "context_id": context})

    def read(self, message: Message) -> Sequence[VoiceAnswer]:
        """Return what ``message`` means."""
        return read_object(SERVICE, message, self._take)

    def _take(self, fields: Mapping[str, Any]) -> Sequence[VoiceAnswer]:
        if "error" in fields or ("message" in fields and "audio" not in fields):
            raise error_named(str(fields.get("error", "error")), str(fields.get("message")), self._key)
        name = fields.get("contextId")
        if not isinstance(name, str):
            return []
        context = self._contexts.setdefault(name, _Context())
        answers: list[VoiceAnswer] = []
        pcm = base64.b64decode(fields.get("audio") or "", validate=True)
        words = _words(context, fields.get("alignment") or {})
        context.given_s += len(pcm) / 2 / self._rate
        is_final = bool(fields.get("isFinal"))
        if is_final and context.word:
            words.append((context.word, context.start_s, context.end_s))
        if words:
            answers.append(WordTimes(name, words))
        if pcm:
            answers.append(Sound(name, pcm))
        if is_final:
            del self._contexts[name]
            answers.append(ContextDone(name))
        return answers


def _words(context: _Context, alignment: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return the words that end in a chunk, in seconds from the context's first sample."""
    chars = alignment.get("chars") or ()
    starts_ms = numbers(alignment.get("charStartTimesMs") or ())
    lengths_ms = numbers(alignment.get("charDurationsMs") or ())
    words: list[tuple[str, float, float]] = []
    for char, start_ms, length_ms in zip(chars, starts_ms, lengths_ms, strict=True):
        if str(char).isspace():
            if context.word:
                words.append((context.word, context.start_s, context.end_s))
            context.word = ""
            continue
        start_s = context.given_s + start_ms / 1000
        if not context.word:
            context.start_s = start_s
        context.word += str(char)
        context.end_s = start_s + length_ms / 1000
    return words
