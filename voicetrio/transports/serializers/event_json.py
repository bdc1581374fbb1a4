"""Events as JSON objects, for clients that want to show what happens.

An object has ``event`` (the name), ``position`` (samples; on the capture clock for what the user did, on the
playout clock for what the agent did; absent where no media is meant), ``time`` (seconds on the server's
clock, of which only differences mean something), and the event's own fields under their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from voicetrio import events
from voicetrio.events import Event

__all__ = ["EVENTS_NOT_TOLD", "EVENT_NAMES", "encode_event", "is_told"]

EVENT_NAMES: Final[Mapping[type[Event], str]] = {
    events.SessionStarted: "session_started",
    events.SessionEnding: "session_ending",
    events.SessionExpiring: "session_expiring",
    events.PeerBack: "peer_back",
    events.SourceEnded: "source_ended",
    events.Failure: "failure",
    events.SpeechStarted: "speech_started",
    events.SpeechStopped: "speech_stopped",
    events.Transcript: "transcript",
    events.TurnStarted: "turn_started",
    events.TurnEnded: "turn_ended",
    events.UserStateChanged: "user_state",
    events.UserAway: "user_away",
    events.AgentStateChanged: "agent_state",
    events.ReplyOpened: "reply_opened",
    events.ReplyFirstText: "reply_first_text",
    events.ReplyFirstAudio: "reply_first_audio",
    events.ReplyCommitted: "reply_committed",
    events.ReplyAudible: "reply_audible",
    events.ReplyWord: "reply_word",
    events.ReplyRetracted: "reply_retracted",
    events.ReplyEnded: "reply_ended",
    events.Ducked: "ducked",
    events.Paused: "paused",
    events.Resumed: "resumed",
    events.FalseInterruption: "false_interruption",
    events.Interrupted: "interrupted",
    events.ToolStarted: "tool_started",
    events.ToolEnded: "tool_ended",
    events.HandedOff: "handed_off",
    events.PlayoutSlipped: "playout_slipped",
}
"""The events that a client is told."""
_FIELDS: Final = {kind: tuple(field.name for field in attrs.fields(kind)) for kind in EVENT_NAMES}

EVENTS_NOT_TOLD: Final[frozenset[type[Event]]] = frozenset(
    {
        events.TaskStuck,
        events.LinkDropped,
        events.ConnectionChanged,
        events.WorkLost,
        events.MessageReceived,
        events.Dtmf,
        events.PeerLost,
    }
)
"""What only an operator needs (tasks, links, services), and what the client itself sent."""


def is_told(event: Event) -> bool:
    """Tell whether clients are told of ``event``: whether ``encode_event`` makes something of it."""
    return type(event) in EVENT_NAMES


def encode_event(event: Event) -> dict[str, Any] | None:
    """Return ``event`` as an object that JSON can carry; None for an event that clients are not told.

    Of a failure only the kind is told: its text may hold what is nobody else's business.
    """
    name = EVENT_NAMES.get(type(event))
    if name is None:
        return None
    encoded: dict[str, Any] = {"event": name}
    for field in _FIELDS[type(event)]:
        value = getattr(event, field)
        if value is None and field in ("position", "time"):
            continue
        encoded[field] = _plain(value)
    return encoded


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return value
