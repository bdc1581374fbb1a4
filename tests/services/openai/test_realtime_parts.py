"""The parts of a Realtime session without I/O: its ear, and one response."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ServiceError
from voicetrio.events import SpeechStarted, SpeechStopped, Transcript
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.services.openai.realtime_ear import RealtimeEar
from voicetrio.services.openai.realtime_response import MAX_BUFFERED_S, RealtimeResponse
from voicetrio.services.openai.realtime_wire import RealtimeSettings, parse_event, session_update
from voicetrio.services.speech_model import ModelOutput

RATE = 24000
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def new_ear() -> RealtimeEar:
    return RealtimeEar(lambda seconds: round(seconds * RATE), RATE, before_s=0.3, after_s=0.5)


def started(item: str, ms: int) -> dict[str, Any]:
    return {"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": ms}


def stopped(item: str, ms: int) -> dict[str, Any]:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": ms}


def completed(item: str, text: str) -> dict[str, Any]:
    return {"type": f"{TRANSCRIPTION}.completed", "item_id": item, "transcript": text}


# --- the ear -----------------------------------------------------------------------------------------


def test_the_servers_paddings_are_taken_off() -> None:
    ear = new_ear()
    assert ear.take(started("a", 700)) == [SpeechStarted(position=RATE)]
    assert ear.take(stopped("a", 2500)) == [SpeechStopped(position=2 * RATE, start=RATE)]
    assert ear.is_busy
    [transcript] = ear.take(completed("a", " go\nforward "))
    assert isinstance(transcript, Transcript)
    assert (transcript.text, transcript.start, transcript.position) == ("go forward", RATE, 2 * RATE)
    assert not ear.is_busy


def test_a_transcription_that_failed_is_an_empty_one() -> None:
    ear = new_ear()
    ear.take(started("a", 700))
    ear.take(stopped("a", 2500))
    [transcript] = ear.take({"type": f"{TRANSCRIPTION}.failed", "item_id": "a", "error": {}})
    assert isinstance(transcript, Transcript)
    assert (transcript.text, transcript.final) == ("", True)


def test_deltas_are_interim_transcripts_that_grow() -> None:
    ear = new_ear()
    ear.take(started("a", 700))
    ear.take(stopped("a", 2500))
    texts = []
    for delta in ("go ", "for", "ward"):
        [news] = ear.take({"type": f"{TRANSCRIPTION}.delta", "item_id": "a", "delta": delta})
        assert isinstance(news, Transcript)
        assert not news.final
        texts.append(news.text)
    assert texts == ["go", "go for", "go forward"]


def test_transcripts_may_come_in_another_order() -> None:
    ear = new_ear()
    for item, ms in (("a", 700), ("b", 3700)):
        ear.take(started(item, ms))
        ear.take(stopped(item, ms + 1800))
    [second] = ear.take(completed("b", "second"))
    [first] = ear.take(completed("a", "first"))
    assert (second.position, first.position) == (5 * RATE, 2 * RATE)


@pytest.mark.parametrize(
    "event",
    [
        stopped("unknown", 900),
        completed("unknown", "x"),
        {"type": "input_audio_buffer.timeout_triggered"},
        {"type": "rate_limits.updated"},
        {"type": f"{TRANSCRIPTION}.segment", "item_id": "a"},
    ],
)
def test_what_says_nothing_of_known_speech_is_passed_over(event: dict[str, Any]) -> None:
    ear = new_ear()
    ear.take(started("a", 700))
    ear.take(stopped("a", 2500))
    assert ear.take(event) == []


@given(st.integers(0, 4), st.integers(-300, 300), st.booleans())
def test_speech_that_another_stream_heard_is_told_once(known: int, shift_ms: int, again: bool) -> None:
    """A new stream begins after ``known`` of the four events of one speech."""
    events = [started("a", 700), stopped("a", 2500), completed("a", "yes")]
    ear = new_ear()
    told = [news for event in events[:known] for news in ear.take(event)]
    ear.restart()
    if known < 3:
        if again:  # the second stream is lost too, once it heard the start
            told += ear.take(started("b", 700))
            ear.restart()
        second = [started("c", 700 + shift_ms), stopped("c", 2500), completed("c", "yes")]
        told += [news for event in second for news in ear.take(event)]
    assert [type(news) for news in told] == [SpeechStarted, SpeechStopped, Transcript]
    assert told[1].position == told[2].position


def test_speech_is_never_empty_and_silence_behind_it_ends_at_the_next() -> None:
    ear = new_ear()
    ear.take(started("a", 700))
    [stop] = ear.take(stopped("a", 900))
    assert stop.position == RATE + RATE // 50
    assert ear.silent_until(2 * RATE) == 2 * RATE  # speech "a" is still open
    ear.take(completed("a", "x"))
    assert ear.silent_until(2 * RATE) == round(2.5 * RATE)
    ear.take(started("b", 2400))
    assert ear.silent_until(2 * RATE) == round(2.4 * RATE)


# --- a response ---------------------------------------------------------------------------------------


def new_response(*, apart: bool = False) -> RealtimeResponse:
    response = RealtimeResponse("test", 1, apart=apart, on_settled=lambda _response: None)
    response.id = "resp"
    return response


def message(response: RealtimeResponse, item: str, seconds: float, text: str) -> None:
    response.take({"type": "response.output_item.added", "item": {"type": "message", "id": item}})
    response.take({"type": "response.output_audio_transcript.delta", "delta": text})
    audio = base64.b64encode(bytes(2 * round(seconds * RATE))).decode()
    response.take({"type": "response.output_audio.delta", "item_id": item, "delta": audio})


async def take_all(response: RealtimeResponse) -> tuple[list[ModelOutput], Exception]:
    """Return what ``response`` gives, and what ends it."""
    outputs: list[ModelOutput] = []
    while True:
        try:
            outputs.append(await response.receive())
        except (trio.EndOfChannel, ServiceError) as end:
            return outputs, end


def done(response: RealtimeResponse, status: str = "completed", **details: Any) -> None:
    response.take({"type": "response.done", "response": {"status": status, "status_details": details}})


async def test_two_messages_are_two_pieces_of_text() -> None:
    response = new_response()
    message(response, "a", 0.1, "one")
    message(response, "b", 0.1, "two")
    done(response)
    response.settle("", math.inf)
    assert response.heard_text == "one two"
    outputs, end = await take_all(response)
    assert isinstance(end, trio.EndOfChannel)
    assert "".join(output.text for output in outputs if isinstance(output, TextFrame)) == "one two"
    assert [(frame.position, frame.end) for frame in outputs if isinstance(frame, AudioFrame)] == [
        (0, 2400),
        (2400, 4800),
    ]


@pytest.mark.parametrize(
    ("heard_s", "expected"),
    [
        (0.0, [("delete", "a", None), ("delete", "b", None)]),
        (0.4, [("truncate", "a", 400), ("delete", "b", None)]),
        (1.0, [("delete", "b", None)]),
        (1.25, [("truncate", "b", 250)]),
        (3.0, []),
        (math.inf, []),
    ],
)
def test_what_was_not_heard_is_cut_or_removed_and_never_beyond_what_came(
    heard_s: float, expected: list[tuple[str, str, int | None]]
) -> None:
    response = new_response()
    message(response, "a", 1.0, "one")
    message(response, "b", 2.0, "two")
    response.settle("one", heard_s)
    assert response.corrections() == []  # not before it is over
    done(response, "cancelled", reason="client_cancelled")
    events = response.corrections()
    assert [(event["event_id"], event["item_id"], event.get("audio_end_ms")) for event in events] == expected
    assert response.corrections() == []  # and once


def test_what_is_beside_the_conversation_needs_no_correction() -> None:
    response = new_response(apart=True)
    message(response, "a", 1.0, "one")
    done(response)
    response.settle("", 0.0)
    assert response.corrections() == []


@pytest.mark.parametrize(
    ("status", "details", "said"),
    [
        ("failed", {"error": {"type": "server_error", "message": "It broke."}}, "It broke."),
        ("failed", {}, "the response failed"),
        ("incomplete", {"reason": "content_filter"}, "filter"),
    ],
)
async def test_a_response_that_failed_says_why(status: str, details: dict[str, Any], said: str) -> None:
    response = new_response()
    done(response, status, **details)
    with pytest.raises(ServiceError, match=said):
        await response.receive()


async def test_a_response_that_grew_too_long_is_only_shorter() -> None:
    response = new_response()
    done(response, "incomplete", reason="max_output_tokens")
    with pytest.raises(trio.EndOfChannel):
        await response.receive()


async def test_arguments_that_are_no_json_fail_the_response_only() -> None:
    response = new_response()
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}
    response.take({"type": "response.output_item.done", "item": item})
    with pytest.raises(ServiceError, match="no JSON object"):
        await response.receive()
    assert not response.is_over


async def test_a_user_who_takes_nothing_fails_the_response_and_not_the_memory() -> None:
    response = new_response()
    for _ in range(int(MAX_BUFFERED_S) + 20):
        message(response, "a", 1.0, "word ")
    outputs, end = await take_all(response)
    assert isinstance(end, ServiceError)
    assert "wait to be taken" in str(end)
    assert sum(output.duration_s for output in outputs if isinstance(output, AudioFrame)) == MAX_BUFFERED_S


def test_audio_that_is_not_base64_is_malformed() -> None:
    with pytest.raises(ValueError, match="base64"):
        new_response().take({"type": "response.output_audio.delta", "item_id": "a", "delta": "?"})


# --- the wire -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"bytes", "", "nonsense", "[]", "{}", '{"type": 7}'])
def test_what_is_no_event_ends_the_stream_and_not_the_session(text: str | bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_event("test", text)
    assert caught.value.transient


def test_a_session_that_listens_by_sense_says_so() -> None:
    settings = RealtimeSettings(detection="semantic_vad", eagerness="low", speed=1.2)
    session = session_update(settings, "", [])["session"]
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": False,
        "interrupt_response": False,
    }
    assert session["audio"]["output"]["speed"] == 1.2


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="detection"):
        RealtimeSettings(detection="ears")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold"):
        RealtimeSettings(threshold=1.5)
