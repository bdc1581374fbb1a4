"""Deepgram's messages of speech (speak v1), without I/O.

The socket knows no contexts: it speaks one text at a time, as binary audio, so one context is open at once.
Text is collected until a Flush; ``Flushed`` says that its audio has come.  ``Clear`` drops everything, and
what comes before ``Cleared`` is of the context that was cancelled.
Sources: Deepgram's API reference of ``/v1/speak`` and its pages on Flush and Clear.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import attrs

from voicetrio.connection.dialling import hide
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError
from voicetrio.services.credentials import Secret
from voicetrio.services.voice_wire import ContextDone, ContextFailed, Sound, StretchSpoken, VoiceAnswer
from voicetrio.services.wires import Fault, read_object

__all__ = ["AuraVoice"]

SERVICE: Final = "deepgram"
MAX_FLUSHES: Final = 20
FLUSH_WINDOW_S: Final = 60.0
KEPT_FLUSHES: Final = 6
"""So many of them are kept for the ends of texts; while fewer are left, clauses are flushed together."""


@attrs.define
class _Flush:
    context: str
    text: str
    is_last: bool = False


@final
class AuraVoice:
    """The wire of ``/v1/speak``.

    Args:
        rate: hertz of the audio.
        now: the clock, in seconds.
        key: hidden in errors.
    """

    def __init__(self, rate: int, now: Callable[[], float], key: Secret) -> None:
        self._rate = rate
        self._now = now
        self._key = key
        self._context: str | None = None
        self._collected: list[str] = []
        self._flushes: deque[_Flush] = deque()
        self._flushed_at: deque[float] = deque(maxlen=MAX_FLUSHES)
        self._cleared: deque[str] = deque()

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    @property
    def is_clear(self) -> bool:
        """True unless a Clear is not confirmed."""
        return not self._cleared

    @property
    def flushes_left(self) -> int:
        """How many flushes Deepgram allows now."""
        now = self._now()
        return MAX_FLUSHES - sum(now - at < FLUSH_WINDOW_S for at in self._flushed_at)

    def say(self, context: str, text: str) -> Sequence[Message]:
        """Return the text, and its Flush as long as there are enough of them."""
        self._context = context
        self._collected.append(text)
        messages = [json.dumps({"type": "Speak", "text": text.strip() + " "})]
        return [*messages, self._flush()] if self.flushes_left > KEPT_FLUSHES else messages

    def end(self, context: str) -> Sequence[Message]:
        """Return the Flush of what was collected, if there is any."""
        messages = [self._flush()] if self._collected else []
        if self._flushes:
            self._flushes[-1].is_last = True
        return messages

    def is_done(self, context: str) -> bool:
        """Tell whether all that was flushed has come."""
        return not self._flushes

    def cancel(self, context: str) -> Message:
        """Return the Clear; until it is confirmed, what comes is dropped."""
        self._cleared.append(context)
        self._context = None
        self._collected.clear()
        self._flushes.clear()
        return json.dumps({"type": "Clear"})

    def lost(self) -> None:
        """The stream is over: everything is forgotten."""
        self._context = None
        self._collected.clear()
        self._flushes.clear()
        self._flushed_at.clear()
        self._cleared.clear()

    def _flush(self) -> Message:
        assert self._context is not None
        self._flushes.append(_Flush(self._context, " ".join(self._collected)))
        self._collected.clear()
        self._flushed_at.append(self._now())
        return json.dumps({"type": "Flush"})

    def read(self, message: Message) -> Sequence[VoiceAnswer]:
        """Return what ``message`` means."""
        if isinstance(message, bytes):
            is_wanted = self._context is not None and not self._cleared
            stretch = self._flushes[0].text if self._flushes else " ".join(self._collected)
            return [Sound(self._context or "", message, stretch)] if is_wanted else []
        return read_object(SERVICE, message, self._take)

    def _take(self, fields: Mapping[str, Any]) -> Sequence[VoiceAnswer]:
        match fields.get("type"):
            case "Flushed" if self._flushes and not self._cleared:
                flush = self._flushes.popleft()
                spoken = StretchSpoken(flush.context, flush.text)
                return [spoken, ContextDone(flush.context)] if flush.is_last else [spoken]
            case "Cleared" if self._cleared:
                return [ContextDone(self._cleared.popleft())]
            case "Warning":
                return self._warned(f"{fields.get('description')} [{fields.get('code')}]")
            case "Error":
                raise self._error(f"{fields.get('description') or fields.get('err_msg')}", transient=True)
            case None:
                raise ValueError("a message without a type")
        return []

    def _warned(self, text: str) -> list[VoiceAnswer]:
        """A text or a Flush was not taken: its audio will never come."""
        if self._context is None:
            return []
        is_limit = "FLUSH" in text.upper()
        return [ContextFailed(self._context, self._error(text, transient=is_limit))]

    def _error(self, text: str, *, transient: bool) -> ServiceError:
        shown = hide(text, [self._key.reveal()])
        fault: Fault = "theirs" if transient else "ours"
        return ServiceError(shown, service=SERVICE, fault=fault, transient=transient)
