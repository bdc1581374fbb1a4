"""The interface to a recogniser of speech.

A recogniser is a stage: audio and the boundaries of speech come in, transcripts go out.  One that
streams sends interim transcripts and uses a boundary to ask for the final one; one that does not
collects a segment between two boundaries and decodes it (``voicetrio.services.segments`` does that).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import attrs
import trio

from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame
from voicetrio.values import Value

__all__ = ["STT", "SpeechBoundary", "SttFactory", "SttInput", "TurnHeard", "TurnSTT"]


@attrs.frozen(eq=False, repr=False)
class SpeechBoundary(Value):
    """The VAD's word that speech started or stopped at ``position`` (capture clock, samples).

    A ``start`` comes after audio that already holds the beginning of the speech: a recogniser keeps
    its own pre-roll.  Every ``stop`` is answered by exactly one final transcript, empty if nothing
    was understood, whose ``position`` is the boundary's; that is how a wait for words can end.
    """

    kind: Literal["start", "stop"]
    position: int


SttInput: TypeAlias = AudioFrame | SpeechBoundary
"""What a recogniser is given."""


class STT(Protocol):
    """Turns speech into text; one instance serves one session."""

    @property
    def rate(self) -> int:
        """Hertz of the mono audio that ``listen`` expects; positions stay on the capture clock's rate.

        The frames given have this rate, and positions counted at this rate.
        """
        ...

    async def listen(
        self, inlet: trio.abc.ReceiveChannel[SttInput], outlet: trio.abc.SendChannel[Transcript]
    ) -> None:
        """Recognise until ``inlet`` ends; then finish what was begun, and return.

        Transcripts carry positions at ``rate``.  Raises ServiceError when it cannot go on.
        Cancelling loses what was not yet sent.
        """
        ...


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TurnHeard(Value):
    """What a recogniser that follows turns by itself says of the turn that is open."""

    transcript: Transcript
    """The whole turn so far; final when it is over."""
    is_draft: bool = False
    """It expects that the turn ends here, and may take that back."""


class TurnSTT(STT, Protocol):
    """A recogniser that decides by itself when the user's turn begins and ends."""

    async def listen_turns(
        self, inlet: trio.abc.ReceiveChannel[AudioFrame], outlet: trio.abc.SendChannel[TurnHeard]
    ) -> None:
        """Recognise turns until ``inlet`` ends; then finish the one that is open, and return.

        Positions and errors are those of ``listen``.
        """
        ...


SttFactory: TypeAlias = Callable[[], STT]
"""Makes the recogniser of one session."""
