"""A session that never was, with one of everything that a report shows."""

from __future__ import annotations

import numpy as np

from voicetrio import events as ev
from voicetrio.audio import read_wav, resample_whole
from voicetrio.cli.report import Figure, Recording, TurnRecord
from voicetrio.data import speech_path
from voicetrio.frames import Samples

CALLER_RATE, HEARD_RATE = 16000, 24000
DURATION_S = 38.0

GREETING = (
    "Hello, and welcome. I can tell you the time, add up numbers, repeat digits, or tell you a story; "
    "just say what you would like, whenever you are ready."
)
GREETING_HEARD = "Hello, and welcome. I can tell you the time, add up numbers,"
STORY = (
    "Once there was a lighthouse keeper who counted ships, not sheep, and one night there was one too many."
)


def speech(name: str, rate: int) -> Samples:
    samples, own_rate = read_wav(speech_path(name))
    return resample_whole(samples, own_rate, rate)


def track(rate: int, pieces: list[tuple[float, Samples]], bed: float = 0.0) -> Samples:
    total = (
        np.random.default_rng(1).normal(0, bed, round(DURATION_S * rate))
        if bed
        else np.zeros(round(DURATION_S * rate))
    )
    for start_s, samples in pieces:
        start = round(start_s * rate)
        total[start : start + len(samples)] += samples
    return np.clip(np.rint(total), -32768, 32767).astype(np.int16)


def words(text: str, start_s: float, end_s: float) -> tuple[tuple[str, int, int], ...]:
    each = text.split()
    edges = np.linspace(start_s, end_s, len(each) + 1) * HEARD_RATE
    return tuple(
        (word, int(start), int(end)) for word, start, end in zip(each, edges[:-1], edges[1:], strict=True)
    )


def at(seconds: float) -> int:
    return round(seconds * CALLER_RATE)


def synthetic_recording() -> Recording:
    """Return it: a greeting that is barged into, a reply that a cough pauses, digits, and a graceful end."""
    forward, digits = speech("go-forward.wav", CALLER_RATE), speech("digits-29340.wav", CALLER_RATE)
    cough = np.rint(np.random.default_rng(2).normal(0, 6000, at(0.3))).astype(np.int16)
    caller = track(CALLER_RATE, [(4.6, forward), (14.3, cough), (24.0, digits)])
    voice, story = speech("austen-0870.wav", HEARD_RATE), speech("austen-0920.wav", HEARD_RATE)
    heard = track(
        HEARD_RATE,
        [
            (0.4, voice[: round(4.9 * HEARD_RATE)]),
            (8.2, speech("austen-0880.wav", HEARD_RATE)),
            (12.6, story[: round(2.1 * HEARD_RATE)]),
            (16.1, story[round(2.0 * HEARD_RATE) :]),
            (27.4, speech("austen-0930.wav", HEARD_RATE)),
            (33.0, speech("austen-0880.wav", HEARD_RATE)),
        ],
        bed=260,
    )
    events = sorted(story_events(), key=lambda pair: pair[0])
    return Recording(
        caller=caller,
        heard=heard,
        caller_rate=CALLER_RATE,
        heard_rate=HEARD_RATE,
        events=tuple(events),
        turns=turn_records(),
        figures=FIGURES,
        session_end={
            "reason": "ended",
            "late": False,
            "abandoned": [],
            "counters": {"frames": 1900, "slips": 0},
        },
    )


FIGURES = (
    Figure("response, median", "1042 ms", "at most 1300 ms", good=True),
    Figure("speech to duck", "268 ms", "at most 350 ms", good=True),
    Figure("speech to silence", "612 ms", "at most 550 ms", good=False),
    Figure("stale frames", "0", "counted at the client’s socket", good=True),
    Figure("underruns", "0", "with 60 ms of buffer", good=True),
    Figure("tasks left", "0"),
)


def story_events() -> list[tuple[float, ev.Event]]:
    return [
        (0.0, ev.SessionStarted(session="session-1")),
        (0.01, ev.ReplyOpened(reply="reply-1", source="greeting", user_text="")),
        (0.35, ev.AgentStateChanged(old="idle", new="speaking")),
        (0.38, ev.ReplyAudible(reply="reply-1", position=0)),
        (4.95, ev.SpeechStarted(position=at(4.85))),
        (5.11, ev.Ducked(reply="reply-1")),
        (5.24, ev.Paused(reply="reply-1")),
        (5.6, ev.TurnStarted(position=at(4.85))),
        (5.62, ev.Interrupted(reply="reply-1", because="words", position=at(5.3))),
        (
            5.66,
            ev.ReplyEnded(
                reply="reply-1",
                source="greeting",
                text=GREETING,
                heard=GREETING_HEARD,
                how="interrupted",
                heard_quality="exact",
                words=words(GREETING_HEARD, 0.4, 5.3),
            ),
        ),
        (5.66, ev.AgentStateChanged(old="speaking", new="listening")),
        (7.02, ev.SpeechStopped(position=at(6.75), start=at(4.85))),
        (7.31, ev.Transcript(text="Go forward ten meters.", final=True, start=at(4.85), position=at(6.75))),
        (7.33, ev.ReplyOpened(reply="reply-2", source="turn", user_text="Go forward ten meters.")),
        (7.46, ev.TurnEnded(text="Go forward ten meters.", waited_s=0.71, stt_s=0.29, position=at(6.75))),
        (7.46, ev.AgentStateChanged(old="listening", new="thinking")),
        (7.47, ev.ReplyCommitted(reply="reply-2")),
        (8.1, ev.ReplyAudible(reply="reply-2", position=0)),
        (8.1, ev.AgentStateChanged(old="thinking", new="speaking")),
        (
            11.2,
            ev.ReplyEnded(
                reply="reply-2",
                source="turn",
                text="Going forward ten meters.",
                heard="Going forward ten meters.",
                how="played",
                heard_quality="exact",
                words=words("Going forward ten meters.", 8.2, 11.0),
            ),
        ),
        (11.2, ev.AgentStateChanged(old="speaking", new="listening")),
        (12.0, ev.ReplyOpened(reply="reply-3", source="say", user_text="")),
        (12.5, ev.ReplyAudible(reply="reply-3", position=0)),
        (12.5, ev.AgentStateChanged(old="listening", new="speaking")),
        (14.4, ev.SpeechStarted(position=at(14.3))),
        (14.52, ev.Ducked(reply="reply-3")),
        (14.66, ev.Paused(reply="reply-3")),
        (14.85, ev.SpeechStopped(position=at(14.6), start=at(14.3))),
        (15.3, ev.Transcript(text="", final=True, start=at(14.3), position=at(14.6))),
        (15.3, ev.FalseInterruption(reply="reply-3", because="no words")),
        (15.9, ev.Resumed(reply="reply-3")),
        (
            20.3,
            ev.ReplyEnded(
                reply="reply-3",
                source="say",
                text=STORY,
                heard=STORY,
                how="played",
                heard_quality="estimated",
            ),
        ),
        (20.3, ev.AgentStateChanged(old="speaking", new="listening")),
        (24.4, ev.SpeechStarted(position=at(24.2))),
        (24.5, ev.TurnStarted(position=at(24.2))),
        (26.4, ev.SpeechStopped(position=at(26.1), start=at(24.2))),
        (26.75, ev.Transcript(text="2-9-3-4-0", final=True, start=at(24.2), position=at(26.1))),
        (26.76, ev.ReplyOpened(reply="reply-4", source="turn", user_text="2-9-3-4-0")),
        (27.3, ev.TurnEnded(text="2-9-3-4-0", waited_s=1.2, stt_s=0.35, position=at(26.1))),
        (27.3, ev.AgentStateChanged(old="listening", new="speaking")),
        (27.34, ev.ReplyAudible(reply="reply-4", position=0)),
        (
            30.9,
            ev.ReplyEnded(
                reply="reply-4",
                source="turn",
                text="You said <two nine> three four zero & nothing else.",
                heard="You said <two nine> three four zero & nothing else.",
                how="played",
                heard_quality="exact",
            ),
        ),
        (30.9, ev.AgentStateChanged(old="speaking", new="listening")),
        (32.8, ev.SessionEnding(reason="ended", drain_by=45.0)),
        (32.85, ev.PlayoutSlipped(late_s=0.2, slipped_s=0.14)),
        (32.9, ev.ReplyAudible(reply="reply-5", position=0)),
        (32.9, ev.Failure(where="listening/stt", error=RuntimeError("<script>alert(1)</script>"))),
        (
            36.2,
            ev.ReplyEnded(
                reply="reply-5",
                source="say",
                text="Goodbye, then.",
                heard="Goodbye,",
                how="cut",
                heard_quality="exact",
            ),
        ),
    ]


def turn_records() -> tuple[TurnRecord, ...]:
    return (
        TurnRecord(
            reply="reply-2",
            user_text="Go forward ten meters.",
            reply_text="Going forward ten meters.",
            heard_text="Going forward ten meters.",
            endpoint_ms=710,
            stt_ms=290,
            first_audio_ms=390,
            response_ms=1450,
            voiced_end_s=6.75,
            speech_stopped_s=7.02,
            transcript_s=7.31,
            opened_s=7.33,
            decided_s=7.46,
            first_text_s=7.40,
            first_audio_s=7.72,
            first_sent_s=8.1,
            first_played_s=8.2,
        ),
        TurnRecord(
            reply="reply-4",
            user_text="2-9-3-4-0",
            reply_text="You said two nine three four zero.",
            heard_text="You said two nine three four zero.",
            endpoint_ms=1200,
            stt_ms=350,
            response_ms=1300,
            voiced_end_s=26.1,
            speech_stopped_s=26.4,
            transcript_s=26.75,
            decided_s=27.3,
            first_sent_s=27.34,
            first_played_s=27.4,
        ),
    )
