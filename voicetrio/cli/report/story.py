"""From events to what a timeline shows: spans and marks, in seconds of the session."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from voicetrio import events as ev
from voicetrio.cli.report.recording import Recording

__all__ = ["Mark", "Span", "agent_states", "marks", "replies", "speech", "transcripts", "user_turns"]


@attrs.frozen
class Span:
    """A stretch of time with a text."""

    start_s: float
    end_s: float
    text: str = ""
    unheard: str = ""
    """What would have followed ``text``, and was not heard."""
    kind: str = ""


@attrs.frozen
class Mark:
    """An instant with a name."""

    time_s: float
    label: str
    kind: str
    """``user``, ``agent``, ``session`` or ``trouble``: the colour."""


def speech(recording: Recording) -> list[Span]:
    """Return where the VAD heard speech, by the positions that it gave."""
    spans: list[Span] = []
    open_s: float | None = None
    for time_s, event in recording.events:
        at_s = time_s if event.position is None else recording.capture_s(event.position)
        match event:
            case ev.SpeechStarted():
                open_s = at_s
            case ev.SpeechStopped(start=start):
                spans.append(Span(recording.capture_s(start), at_s))
                open_s = None
    if open_s is not None:
        spans.append(Span(open_s, recording.duration_s))
    return spans


def transcripts(recording: Recording) -> list[Span]:
    """Return the final transcripts that have words, where they were said, and turns that came without any."""
    spans: list[Span] = []
    spoken = False
    for time_s, event in recording.events:
        match event:
            case ev.Transcript(final=True, text=text) if text.strip():
                end_s = time_s if event.position is None else recording.capture_s(event.position)
                spans.append(Span(recording.capture_s(event.start), end_s, text))
                spoken = True
            case ev.TurnEnded(text=text):
                if not spoken and text.strip():
                    spans.append(Span(time_s, time_s, f"typed: {text}"))
                spoken = False
    return sorted(spans, key=lambda span: span.start_s)


def user_turns(recording: Recording) -> list[Span]:
    """Return the user's turns, from the event that one began to the decision that it is over."""
    spans: list[Span] = []
    start_s: float | None = None
    for time_s, event in recording.events:
        match event:
            case ev.TurnStarted():
                start_s = time_s if event.position is None else recording.capture_s(event.position)
            case ev.TurnEnded(text=text):
                spans.append(Span(time_s if start_s is None else start_s, time_s, text))
                start_s = None
    return spans


def replies(recording: Recording) -> list[Span]:
    """Return the replies, from audible to over, with what was heard of each and what was not."""
    audible: dict[str, float] = {}
    interrupted: dict[str, float] = {}
    spans: list[Span] = []
    for time_s, event in recording.events:
        match event:
            case ev.ReplyAudible(reply=reply):
                audible[reply] = time_s
            case ev.Interrupted(reply=reply):
                interrupted[reply] = time_s
            case ev.ReplyEnded(reply=reply) if reply in audible:
                end_s = interrupted.get(reply, time_s)
                spans.append(
                    Span(audible[reply], end_s, event.heard, event.text[len(event.heard) :], event.how)
                )
    return sorted(spans, key=lambda span: span.start_s)


def agent_states(recording: Recording) -> list[Span]:
    """Return what the agent was doing, one span a state."""
    spans: list[Span] = []
    start_s, state = 0.0, "idle"
    for time_s, event in recording.events:
        if isinstance(event, ev.AgentStateChanged):
            spans.append(Span(start_s, time_s, event.old, kind=event.old))
            start_s, state = time_s, event.new
    spans.append(Span(start_s, recording.duration_s, state, kind=state))
    return [span for span in spans if span.end_s > span.start_s]


def marks(recording: Recording) -> list[Mark]:
    """Return the instants that have a name, in order."""
    found = [mark for time_s, event in recording.events for mark in _mark(time_s, event)]
    reason = recording.session_end.get("reason")
    if reason is not None:
        found.append(Mark(recording.duration_s, f"end: {reason}", "session"))
    return sorted(found, key=lambda mark: mark.time_s)


def _mark(time_s: float, event: ev.Event) -> Iterator[Mark]:
    match event:
        case ev.TurnEnded():
            yield Mark(time_s, "turn over", "user")
        case ev.Dtmf(digit=digit):
            yield Mark(time_s, f"key {digit}", "user")
        case ev.UserAway():
            yield Mark(time_s, "user away", "user")
        case ev.Ducked():
            yield Mark(time_s, "duck", "agent")
        case ev.Paused():
            yield Mark(time_s, "pause", "agent")
        case ev.Resumed():
            yield Mark(time_s, "resume", "agent")
        case ev.FalseInterruption(because=because):
            yield Mark(time_s, f"false alarm: {because}", "agent")
        case ev.Interrupted(because=because):
            yield Mark(time_s, f"interrupted: {because}", "trouble")
        case ev.ReplyRetracted():
            yield Mark(time_s, "reply retracted", "agent")
        case ev.ToolStarted(tool=tool):
            yield Mark(time_s, f"tool: {tool}", "agent")
        case ev.ToolEnded(tool=tool, how=how):
            yield Mark(time_s, f"tool {how}: {tool}", "agent" if how == "done" else "trouble")
        case ev.HandedOff(new=new):
            yield Mark(time_s, f"hand-off: {new}", "agent")
        case ev.SourceEnded():
            yield Mark(time_s, "source ended", "session")
        case ev.SessionEnding():
            yield Mark(time_s, "ending", "session")
        case ev.Failure(where=where):
            yield Mark(time_s, f"failure: {where}", "trouble")
        case ev.TaskStuck(task=task):
            yield Mark(time_s, f"stuck: {task}", "trouble")
        case ev.PlayoutSlipped(slipped_s=slipped_s):
            yield Mark(time_s, f"slip {slipped_s * 1000:.0f} ms", "trouble")
        case ev.LinkDropped(items=items):
            yield Mark(time_s, f"dropped {items}", "trouble")
