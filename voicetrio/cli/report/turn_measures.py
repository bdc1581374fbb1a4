"""The turns of a recording, measured: each step from the events, first and last voice from the audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from voicetrio import events as ev
from voicetrio.cli.measures import (
    outside,
    speech_threshold_db,
    voice_threshold_db,
    voiced_end_s,
    voiced_onset_s,
)
from voicetrio.cli.report.recording import Recording, TurnRecord
from voicetrio.cli.report.story import replies

__all__ = ["measure_turns", "reply_threshold_db"]

E = TypeVar("E", bound=ev.Event)

BEFORE_SPEECH_S = 0.2


def reply_threshold_db(recording: Recording) -> float:
    """Return the level that a reply exceeds in ``recording.heard``, and the background does not.

    The background is what is heard while no reply is audible.
    """
    spans = [(span.start_s, span.end_s) for span in replies(recording)]
    background = outside(recording.heard, recording.heard_rate, spans, margin_s=0.3)
    return voice_threshold_db(background, recording.heard_rate)


def measure_turns(recording: Recording) -> tuple[TurnRecord, ...]:
    """Return one record for each turn of the user that got an audible reply, in order."""
    threshold_db = reply_threshold_db(recording)
    opened = {
        event.reply: at_s
        for at_s, event in recording.events
        if isinstance(event, ev.ReplyOpened) and event.source == "turn"
    }
    ended = [event for _, event in recording.events if isinstance(event, ev.ReplyEnded)]
    return tuple(
        _measure(recording, event, opened[event.reply], threshold_db)
        for event in ended
        if event.reply in opened and _told(recording, ev.ReplyAudible, event.reply) is not None
    )


def _measure(recording: Recording, ended: ev.ReplyEnded, opened_s: float, threshold_db: float) -> TurnRecord:
    reply = ended.reply
    sent_s = _told(recording, ev.ReplyAudible, reply)
    decided = _last_before(recording.events, ev.TurnEnded, sent_s)
    decided_s, turn = decided if decided else (None, None)
    # Only what came after the turn before belongs to this one: a typed turn has no speech of its own.
    since_s = _decision_before(recording, decided_s)
    own = [pair for pair in recording.events if pair[0] > since_s]
    stopped = _last_before(own, ev.SpeechStopped, decided_s)
    finals = [pair for pair in own if isinstance(pair[1], ev.Transcript) and pair[1].final]
    transcript = _last_before(finals, ev.Transcript, decided_s)
    voiced_s = _voiced_end(recording, stopped[1], turn, decided_s) if stopped else None
    played_s = (
        None
        if sent_s is None
        else voiced_onset_s(recording.heard, recording.heard_rate, threshold_db, after_s=sent_s)
    )
    first_audio_s = _told(recording, ev.ReplyFirstAudio, reply)
    return TurnRecord(
        reply=reply,
        user_text=turn.text if turn else "",
        reply_text=ended.text,
        heard_text=ended.heard,
        endpoint_ms=_ms(voiced_s, decided_s),
        stt_ms=None if turn is None or turn.stt_s is None else turn.stt_s * 1000,
        first_audio_ms=_ms(opened_s, first_audio_s),
        response_ms=_ms(voiced_s, played_s),
        voiced_end_s=voiced_s,
        speech_stopped_s=stopped[0] if stopped else None,
        transcript_s=transcript[0] if transcript else None,
        opened_s=opened_s,
        decided_s=decided_s,
        first_text_s=_told(recording, ev.ReplyFirstText, reply),
        first_audio_s=first_audio_s,
        first_sent_s=sent_s,
        first_played_s=played_s,
    )


def _voiced_end(
    recording: Recording, stopped: ev.SpeechStopped, turn: ev.TurnEnded | None, decided_s: float | None
) -> float | None:
    """Return the caller's last voiced sample: as recorded, or else as the VAD has it."""
    if turn is None or decided_s is None:
        return None
    # From a moment before the speech on, so that the threshold is that of this speech.
    from_s = max(0.0, recording.capture_s(stopped.start) - BEFORE_SPEECH_S)
    rate = recording.caller_rate
    speech = recording.caller[round(from_s * rate) : round(decided_s * rate)]
    measured_s = voiced_end_s(speech, rate, speech_threshold_db(speech, rate))
    if measured_s is not None:
        return from_s + measured_s
    return None if turn.position is None else recording.capture_s(turn.position)


def _decision_before(recording: Recording, decided_s: float | None) -> float:
    """Return when the turn before the one that was decided at ``decided_s`` was; -inf for the first one."""
    times = [at_s for at_s, event in recording.events if isinstance(event, ev.TurnEnded)]
    return max((at_s for at_s in times if decided_s is None or at_s < decided_s), default=-math.inf)


def _told(
    recording: Recording,
    kind: type[ev.ReplyAudible | ev.ReplyFirstText | ev.ReplyFirstAudio],
    reply: str,
) -> float | None:
    """Return when the reply's first event of ``kind`` was told."""
    for at_s, event in recording.events:
        if isinstance(event, kind) and event.reply == reply:
            return at_s
    return None


def _last_before(
    events: Sequence[tuple[float, ev.Event]], kind: type[E], limit_s: float | None
) -> tuple[float, E] | None:
    """Return the last event of ``kind`` that was told at ``limit_s`` or before, with its time."""
    found = None
    for at_s, event in events:
        if isinstance(event, kind) and limit_s is not None and at_s <= limit_s:
            found = (at_s, event)
    return found


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else (end_s - start_s) * 1000
