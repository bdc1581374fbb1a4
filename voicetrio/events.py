"""What was observed: small immutable values, told to whoever listens.

Every event carries the media ``position`` that it speaks of: samples on the capture clock for what the
user did, on the playout clock for what the agent did (each event says which).  ``time`` is
``trio.current_time()`` when it was told; the runtime fills it in.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import attrs

from voicetrio.values import Value

__all__ = [
    "AgentState",
    "AgentStateChanged",
    "ConnectionChanged",
    "Dtmf",
    "Ducked",
    "Event",
    "Failure",
    "FalseInterruption",
    "HandedOff",
    "Interrupted",
    "LinkDropped",
    "MessageReceived",
    "Paused",
    "PeerBack",
    "PeerLost",
    "PlayoutSlipped",
    "ReplyAudible",
    "ReplyCommitted",
    "ReplyEnded",
    "ReplyFirstAudio",
    "ReplyFirstText",
    "ReplyOpened",
    "ReplyRetracted",
    "ReplyWord",
    "Resumed",
    "SessionEnding",
    "SessionExpiring",
    "SessionStarted",
    "SourceEnded",
    "SpeechStarted",
    "SpeechStopped",
    "TaskStuck",
    "ToolEnded",
    "ToolStarted",
    "Transcript",
    "TranscriptWord",
    "TurnEnded",
    "TurnStarted",
    "UserAway",
    "UserState",
    "UserStateChanged",
    "WorkLost",
]

AgentState: TypeAlias = Literal["idle", "listening", "thinking", "speaking"]
"""What the agent is doing."""
UserState: TypeAlias = Literal["listening", "speaking", "away"]
"""What the user is doing."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Event(Value):
    """The root of every event."""

    position: int | None = None
    """Where in the media, in samples; None where no media is meant."""
    time: float | None = None
    """``trio.current_time()`` when it was told, in seconds; filled in by ``emit``."""


# --- the session -------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionStarted(Event):
    """The session is open."""

    session: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionEnding(Event):
    """``end()`` or ``cancel()`` was called, or the session is ending by itself."""

    reason: str
    drain_by: float | None
    """When what is not yet played will be cut; None when it was cancelled."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SessionExpiring(Event):
    """The server will end the session soon: there is time for a last sentence."""

    reason: str
    """``max_duration``, or ``server_restart``."""
    left_s: float
    """Until then, in seconds."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PeerLost(Event):
    """The peer's network was lost: the session waits for it, and the playout's clock stands still."""

    why: str
    wait_s: float
    """How long it is waited for, in seconds."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PeerBack(Event):
    """The peer is back on a new connection; ``position`` is that of the next sample that it is sent."""

    away_s: float
    """How long it could not be reached, in seconds."""


class SourceEnded(Event):
    """The peer will send no more audio (a file's end, a push-to-talk release)."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Failure(Event):
    """Something failed.  One failure is told once; the same one again is counted."""

    where: str
    error: BaseException
    repeated: int = 0
    """How many like it were not told since the last one that was."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskStuck(Event):
    """A task did not end by its deadline; names it and the line it waits at."""

    task: str
    where: str
    why: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class LinkDropped(Event):
    """A link whose policy is ``drop_oldest`` dropped items since the last such event."""

    link: str
    items: int
    seconds: float


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ConnectionChanged(Event):
    """A connection to a service went from one state to another (see ``machines.reconnect``)."""

    connection: str
    old: str
    new: str
    why: str
    retry_in_s: float | None = None
    """Until the next try, in seconds, where one is waited for."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WorkLost(Event):
    """A connection was lost, and with it work that cannot be done again.

    ``position`` is where lost audio begins, in samples on the capture clock.
    """

    connection: str
    kind: Literal["text", "audio"]
    text: str = ""
    """Text that was not spoken to its end."""
    seconds: float = 0.0
    """Audio that was not transcribed."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MessageReceived(Event):
    """The peer's application sent a message."""

    data: Any


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dtmf(Event):
    """The peer pressed a key."""

    digit: str


# --- the user (positions on the capture clock) ---------------------------------------------------


class SpeechStarted(Event):
    """Voice began; ``position`` is its first sample, which lies before the decision."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpeechStopped(Event):
    """Voice ended; ``position`` is just past its last voiced sample."""

    start: int
    """Where this speech began."""


@attrs.frozen(eq=False, repr=False)
class TranscriptWord(Value):
    """One word of a transcript with its place on the capture clock, in samples."""

    text: str
    start: int
    end: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Transcript(Event):
    """Text that was heard; ``position`` is just past the audio that it covers."""

    text: str
    final: bool
    start: int
    """The first sample of the audio that it covers."""
    words: tuple[TranscriptWord, ...] = ()
    decode_s: float | None = None
    """From the end of the segment to the text, in seconds, where it was measured."""


class TurnStarted(Event):
    """The user took the turn."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TurnEnded(Event):
    """The user's turn is over; ``position`` is just past its last voiced sample."""

    text: str
    waited_s: float
    """From the last voiced sample to this decision, in seconds."""
    stt_s: float | None = None
    """From the end of the last segment to its text, in seconds."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class UserStateChanged(Event):
    """What the user is doing changed."""

    old: UserState
    new: UserState


@attrs.frozen(kw_only=True, eq=False, repr=False)
class UserAway(Event):
    """Nobody has spoken for a while; ``count`` tells how often in a row."""

    count: int


# --- the agent (positions on the playout clock) --------------------------------------------------


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AgentStateChanged(Event):
    """What the agent is doing changed."""

    old: AgentState
    new: AgentState


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _OfReply(Event):
    """Speaks of one reply."""

    reply: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ReplyOpened(_OfReply):
    """A reply began to be made; nothing of it may be heard until it is committed."""

    source: Literal["turn", "greeting", "say", "idle", "tool"]
    user_text: str


class ReplyFirstText(_OfReply):
    """The language model gave the reply's first text."""

    __slots__ = ()


class ReplyFirstAudio(_OfReply):
    """The voice gave the reply's first audio; it is held until the reply is committed."""

    __slots__ = ()


class ReplyCommitted(_OfReply):
    """The reply may be heard."""

    __slots__ = ()


class ReplyAudible(_OfReply):
    """The reply's first sample was given to the transport; ``position`` is its place."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ReplyWord(_OfReply):
    """The reply's next word was given to the transport; ``position`` is the place of its first sample.

    Where the voice gives no word times, ``text`` is a clause.  What is played again after a pause is told
    again.
    """

    text: str


class ReplyRetracted(_OfReply):
    """The user went on speaking before any of the reply was heard: it never happened."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ReplyEnded(_OfReply):
    """The reply is over.

    ``heard`` is a prefix of ``text``: what the user's ear has had.
    """

    source: Literal["turn", "greeting", "say", "idle", "tool"]
    text: str
    heard: str
    how: Literal["played", "interrupted", "failed", "cut"]
    heard_quality: Literal["exact", "estimated"]
    words: tuple[tuple[str, int, int], ...] = ()
    """The words that were played, each with its first and last sample on the playout clock."""


class Ducked(_OfReply):
    """The user's voice made the reply quieter."""

    __slots__ = ()


class Paused(_OfReply):
    """The user's voice stopped the reply for now; it can still resume."""

    __slots__ = ()


class Resumed(_OfReply):
    """The reply goes on from where it was heard."""

    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FalseInterruption(_OfReply):
    """What ducked or paused the reply was not an interruption."""

    because: Literal["timeout", "no words", "backchannel", "ending"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Interrupted(_OfReply):
    """The user took the turn from the reply; ``position`` is where the reply's last sample lies."""

    because: Literal["words", "sustained voice", "request"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ToolStarted(_OfReply):
    """A tool that a reply asked for runs."""

    tool: str
    call_id: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ToolEnded(_OfReply):
    """A tool's call has its one result."""

    tool: str
    call_id: str
    how: Literal["done", "failed", "timed out", "cancelled"]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HandedOff(Event):
    """Another agent speaks from the next reply on."""

    old: str
    new: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PlayoutSlipped(Event):
    """The playout could not make its frames in time, and moved its clock: the loop or the peer stalled.

    A stall is one event, told when it is over.  Slips within a second of one that was told are told together.
    """

    late_s: float
    """How late the latest frame was, in seconds."""
    slipped_s: float
    """By how much the clock was moved, in all, in seconds."""
