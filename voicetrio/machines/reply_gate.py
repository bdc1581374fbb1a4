"""Whether a reply may be heard: speculative, committed, audible, over.

One gate a reply, and the reply's audio passes it or never does.

=============  ===========  ===========  ============  =========  ==========================
phase          commit       a tool runs  first sample  close      the user speaks
=============  ===========  ===========  ============  =========  ==========================
speculative    committed    (refused)    (refused)     over       keep: the turn decides
committed      committed    acted        audible       over       retract
acted          acted        acted        audible       over       keep: the next turn decides
audible        audible      audible      audible       over       retract or barge-in, by position
over           (refused)    (refused)    (refused)     over       keep
=============  ===========  ===========  ============  =========  ==========================

A reply that was retracted never happened, so one whose tool has run cannot be: what the tool did stays
done.  Speech counts from its first sample: if that lies before the reply's first heard sample, the user had
not heard anything when they spoke.  Positions are samples on the capture clock.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["ReplyGate", "ReplyPhase", "SpeechVerdict"]

ReplyPhase: TypeAlias = Literal["speculative", "committed", "acted", "audible", "over"]
"""How far a reply has come."""
SpeechVerdict: TypeAlias = Literal["keep", "retract", "barge-in"]
"""What the user's speech means for a reply."""


class ReplyGate:
    """The gate of one reply."""

    def __init__(self) -> None:
        self.phase: ReplyPhase = "speculative"
        self._heard_from: int | None = None
        self._acted = False

    @property
    def is_committed(self) -> bool:
        """It may be heard."""
        return self.phase in ("committed", "acted", "audible")

    def commit(self) -> bool:
        """Let it be heard; False if it is over."""
        if self.phase == "speculative":
            self.phase = "committed"
        return self.phase != "over"

    def act(self) -> bool:
        """A tool is about to run for it; False if it must not."""
        if not self.is_committed:
            return False
        self._acted = True
        if self.phase == "committed":
            self.phase = "acted"
        return True

    def audible(self, heard_from: int) -> bool:
        """Its first sample is heard at ``heard_from``; False if it must not be."""
        if not self.is_committed:
            return False
        self.phase = "audible"
        if self._heard_from is None:
            self._heard_from = heard_from
        return True

    def user_spoke(self, start: int) -> SpeechVerdict:
        """Return what speech from ``start`` on means."""
        if self.phase == "committed":
            return "retract"
        if self.phase != "audible" or self._heard_from is None:
            return "keep"
        if start >= self._heard_from:
            return "barge-in"
        return "keep" if self._acted else "retract"

    def close(self) -> bool:
        """Nothing of it passes any more; False if that was so already."""
        was_open = self.phase != "over"
        self.phase = "over"
        return was_open
