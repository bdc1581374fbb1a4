"""A round: one stretch of a reply that is spoken in one go, its text, its audio, and what was heard of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from voicetrio.conversation.context import AssistantEntry
from voicetrio.frames import AudioFrame, WordFrame
from voicetrio.machines.ledger import Heard

if TYPE_CHECKING:
    from voicetrio.conversation.reply import Reply
    from voicetrio.runtime.speech import Speech

__all__ = ["SpokenRound"]


@final
class SpokenRound:
    """One stretch of a reply that is spoken in one go; a reply with tools may have several."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.entry = AssistantEntry()
        self.speech: Speech | None = None
        self.heard: Heard | None = None
        """What was heard, once that is settled."""
        self._on_settled: Callable[[str, float], None] | None = None

    def add_text(self, text: str) -> None:
        """Text that the model gave; what is to be said word for word is known already."""
        if self.reply.request.text is None:
            self.entry.add_text(text)
            if text.strip():
                self.reply.note_first("text")

    def begin(self) -> None:
        """Audio will come: take a place among the speeches of the session."""
        if self.speech is None:
            self.reply.begin_round(self)

    async def send(self, frame: AudioFrame | WordFrame) -> None:
        """Give audio or words; see ``Speech.send``."""
        self.begin()
        assert self.speech is not None
        if isinstance(frame, AudioFrame):
            self.reply.note_first("audio")
        await self.speech.send(frame)

    def when_settled(self, tell: Callable[[str, float], None]) -> None:
        """Call ``tell`` with the text and the seconds that were heard; see ``ReplyRound``."""
        self._on_settled = tell

    @property
    def is_silent(self) -> bool:
        """None of its audio will be heard any more."""
        return self.speech is None or self.speech.flushed or self.heard is not None

    def settle(self, *, all_heard: bool = False) -> None:
        """Fix what was heard of it."""
        if self.heard is not None:
            return
        heard_s = math.inf if all_heard else 0.0
        if self.speech is None:
            self.entry.settle(None if all_heard else "")
        else:
            self.heard = self.speech.heard()
            self.entry.settle(None if all_heard else self.heard.text)
            heard_s = math.inf if all_heard else self.heard.samples / self.reply.playout_rate
        if self._on_settled is not None:
            tell, self._on_settled = self._on_settled, None
            tell(self.entry.heard or "", heard_s)
