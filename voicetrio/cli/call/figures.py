"""The figures of a call, each measured from what both ends recorded."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import trio

from voicetrio import events as ev
from voicetrio.cli.call.record import CallRecord
from voicetrio.cli.measures import (
    falls_silent_s,
    frame_levels_db,
    percentile,
    voiced_onset_s,
    word_error_rate,
)
from voicetrio.cli.measures.transcribe import transcribe
from voicetrio.cli.report import Figure, Recording, TurnRecord, measure_turns, reply_threshold_db
from voicetrio.services.stt import STT

__all__ = ["as_object", "figures", "measure_call", "recording_of", "runtime_ms", "turn_object"]

TARGETS_MS = {
    "response_ms": 1300.0,
    "runtime_ms": 30.0,
    "speech_to_duck_ms": 350.0,
    "speech_to_silence_ms": 550.0,
}
"""What the runtime is asked for, on two cores."""
TURN_FIELDS = (
    "user_text",
    "reply_text",
    "heard_text",
    "endpoint_ms",
    "stt_ms",
    "first_audio_ms",
    "response_ms",
)


def recording_of(call: CallRecord) -> Recording:
    """Return the call as a report's recording, with its turns measured."""
    end = call.log.end
    playout_start = min((s.time - s.position / call.heard_rate for s in call.stretches), default=call.start)
    recording = Recording(
        title="voicetrio: a spoken conversation",
        caller=call.caller,
        heard=call.heard,
        caller_rate=call.caller_rate,
        heard_rate=call.heard_rate,
        events=call.log.relative_to(call.start),
        capture_start_s=call.microphone_started - call.start,
        playout_start_s=playout_start - call.start,
        session_end={} if end is None else session_object(end),
    )
    return attrs.evolve(recording, turns=measure_turns(recording))


def session_object(end: Any) -> dict[str, Any]:
    """Return a session's end as JSON can carry it."""
    return {
        "reason": end.reason,
        "late": list(end.late),
        "error": None if end.error is None else type(end.error).__name__,
        "abandoned": list(end.abandoned),
        "counters": attrs.asdict(end.counters),
    }


async def measure_call(call: CallRecord, recording: Recording, stt: STT) -> dict[str, Any]:
    """Return what was measured of the call, beside its turns."""
    return {
        "barge_in": await _barge_in(call, recording, stt),
        "resumed": _resumed(recording),
        "playback": {
            "underruns": call.playback.underruns,
            "longest_gap_ms": _round(call.playback.longest_gap_s * 1000),
            "clears": call.playback.clears,
        },
        "frames_after_end": call.audio_after_end,
    }


async def _barge_in(call: CallRecord, recording: Recording, stt: STT) -> dict[str, Any]:
    """Measure the first interruption: from the caller's first voiced sample, at the client's ear."""
    found = next(((t, e) for t, e in recording.events if isinstance(e, ev.Interrupted)), None)
    if found is None:
        await trio.lowlevel.checkpoint()
        return {}
    interrupted_s, event = found
    ended = next(e for _, e in recording.events if isinstance(e, ev.ReplyEnded) and e.reply == event.reply)
    audible_s = next(
        t for t, e in recording.events if isinstance(e, ev.ReplyAudible) and e.reply == event.reply
    )
    act = next(act for act in call.acts if act.what == "speech")
    onset_s = voiced_onset_s(recording.caller, recording.caller_rate, after_s=act.time - call.start)
    threshold_db = reply_threshold_db(recording)
    ducked_s = _heard_at(call, next((e for _, e in recording.events if isinstance(e, ev.Ducked)), None))
    silent_s = None
    if onset_s is not None:
        silent_s = falls_silent_s(recording.heard, recording.heard_rate, threshold_db, after_s=onset_s)
    truth = await _truth(recording, stt, audible_s, silent_s)
    return {
        "speech_to_duck_ms": _ms(onset_s, None if ducked_s is None else ducked_s - call.start),
        "speech_to_silence_ms": _ms(onset_s, silent_s),
        "stale_frames": _stale(call, recording, interrupted_s, threshold_db),
        "heard_text": ended.heard,
        "transcribed_text": truth,
        "heard_word_error": _round(word_error_rate(truth, ended.heard), 4) if truth else None,
        "because": event.because,
    }


async def _truth(recording: Recording, stt: STT, start_s: float, stop_s: float | None) -> str:
    """Return what the recogniser makes of what the client played of the interrupted reply."""
    if stop_s is None:
        await trio.lowlevel.checkpoint()
        return ""
    rate = recording.heard_rate
    return await transcribe(stt, recording.heard[round(start_s * rate) : round(stop_s * rate)], rate)


def _heard_at(call: CallRecord, event: ev.Event | None) -> float | None:
    """Return when the client played the position of ``event`` (playout clock)."""
    if event is None or event.position is None:
        return None
    for stretch in call.stretches:
        if stretch.position <= event.position < stretch.position + stretch.samples.size:
            return stretch.time + (event.position - stretch.position) / call.heard_rate
    return None


def _stale(call: CallRecord, recording: Recording, interrupted_s: float, threshold_db: float) -> int:
    """Count the audio messages that brought voice between the interruption and the next reply.

    The client takes them from its socket; one frame may hold the fade.
    """
    told = next((m.time for m in call.messages if m.event == "interrupted"), interrupted_s + call.start)
    next_reply = next(
        (t for t, e in recording.events if isinstance(e, ev.ReplyAudible) and t > interrupted_s), np.inf
    )
    arrived = [a for a in call.arrivals if told < a.time < next_reply + call.start]
    loud = [a for a in arrived if _level_db(a.samples, call.heard_rate) > threshold_db]
    return len(loud)


def _level_db(samples: Any, rate: int) -> float:
    levels = frame_levels_db(samples, rate)
    return float(levels.max()) if levels.size else -120.0


def _resumed(recording: Recording) -> dict[str, Any]:
    """Return the false interruption: what set it off, and that the reply was then heard whole."""
    false = next(((t, e) for t, e in recording.events if isinstance(e, ev.FalseInterruption)), None)
    if false is None:
        return {}
    at_s, event = false
    before = [e for t, e in recording.events if t <= at_s and isinstance(e, ev.Ducked | ev.Paused)]
    resumed = next(
        (
            t
            for t, e in recording.events
            if t >= at_s and isinstance(e, ev.Resumed) and e.reply == event.reply
        ),
        None,
    )
    ended = next(
        (e for _, e in recording.events if isinstance(e, ev.ReplyEnded) and e.reply == event.reply), None
    )
    return {
        "because": event.because,
        "ducked": any(isinstance(e, ev.Ducked) and e.reply == event.reply for e in before),
        "paused": any(isinstance(e, ev.Paused) and e.reply == event.reply for e in before),
        "resumed_after_ms": _ms(at_s, resumed),
        "how": None if ended is None else ended.how,
        "heard_whole": ended is not None and ended.heard == ended.text,
    }


def runtime_ms(turn: TurnRecord) -> float | None:
    """Return what the runtime added to the waits and the models of a turn, in ms.

    Two stretches belong to nobody else: from the text to the opening of the reply, and from the moment when
    both the turn was over and audio was there to the first sample on the wire.
    """
    times = (turn.transcript_s, turn.opened_s, turn.decided_s, turn.first_audio_s, turn.first_sent_s)
    if any(time is None for time in times):
        return None
    transcript, opened, decided, first_audio, first_sent = (time or 0.0 for time in times)
    return (max(0.0, opened - transcript) + max(0.0, first_sent - max(decided, first_audio))) * 1000


def turn_object(turn: TurnRecord) -> dict[str, Any]:
    """Return one turn as the JSON object of the command has it."""
    row = {name: getattr(turn, name) for name in TURN_FIELDS}
    row["runtime_ms"] = runtime_ms(turn)
    return {name: _round(value) if isinstance(value, float) else value for name, value in row.items()}


def as_object(recording: Recording, measured: dict[str, Any], left: tuple[int, int]) -> dict[str, Any]:
    """Return everything that ``--json`` prints.

    A typed turn has no times of speech, and so a list of its own.
    """
    tasks, threads = left
    spoken = [turn for turn in recording.turns if turn.stt_ms is not None]
    typed = [turn for turn in recording.turns if turn.stt_ms is None]
    return {
        "turns": [turn_object(turn) for turn in spoken],
        "typed": [
            {name: getattr(turn, name) for name in ("user_text", "reply_text", "heard_text")}
            for turn in typed
        ],
        **measured,
        "session_end": dict(recording.session_end),
        "tasks_left": tasks,
        "threads_left": threads,
    }


def figures(result: dict[str, Any]) -> tuple[Figure, ...]:
    """Return the figures to be shown, in the order of a reader's interest."""
    responses = [t["response_ms"] for t in result["turns"] if t["response_ms"] is not None]
    added = [t["runtime_ms"] for t in result["turns"] if t["runtime_ms"] is not None]
    barge_in, playback = result.get("barge_in", {}), result.get("playback", {})
    rows: list[tuple[str, float | None, str, float | None]] = [
        (
            "response, median",
            percentile(responses, 50) if responses else None,
            "ms",
            TARGETS_MS["response_ms"],
        ),
        ("added by the runtime", max(added, default=None), "ms", TARGETS_MS["runtime_ms"]),
        ("speech to duck", barge_in.get("speech_to_duck_ms"), "ms", TARGETS_MS["speech_to_duck_ms"]),
        ("speech to silence", barge_in.get("speech_to_silence_ms"), "ms", TARGETS_MS["speech_to_silence_ms"]),
        ("stale frames", barge_in.get("stale_frames"), "", 0),
        ("word errors of heard text", barge_in.get("heard_word_error"), "", None),
        ("underruns", playback.get("underruns"), "", 0),
        ("longest gap", playback.get("longest_gap_ms"), "ms", None),
        ("frames after the end", result.get("frames_after_end"), "", 0),
        ("tasks left", result["tasks_left"], "", 0),
        ("threads left", result["threads_left"], "", 0),
    ]
    return tuple(_figure(*row) for row in rows if row[1] is not None)


def _figure(label: str, value: float | None, unit: str, most: float | None) -> Figure:
    assert value is not None
    shown = f"{value:.0f} {unit}".strip() if float(value).is_integer() or unit else f"{value:.3f}"
    note = "" if most is None else f"at most {most:g} {unit}".strip()
    return Figure(label, shown, note, None if most is None else value <= most)


def _ms(start_s: float | None, stop_s: float | None) -> float | None:
    return None if start_s is None or stop_s is None else _round((stop_s - start_s) * 1000)


def _round(value: float, digits: int = 1) -> float:
    return round(value, digits)
