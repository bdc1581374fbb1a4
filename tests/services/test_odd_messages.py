"""Whatever a vendor says: its wire takes it, or raises one ServiceError.  Nothing else comes of a message.

Each sample is a whole message of the wire; in it one value is replaced by any JSON, or left out.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicetrio.connection.answers import check_json_object
from voicetrio.connection.error_text import text_of_error
from voicetrio.errors import ServiceError
from voicetrio.frames import AudioFrame
from voicetrio.machines.captions import Captions
from voicetrio.services.assemblyai.wire import TurnHearing
from voicetrio.services.cartesia.wire import CartesiaHearing, CartesiaTurnHearing, CartesiaVoice
from voicetrio.services.credentials import Secret
from voicetrio.services.deepgram.hearing import FluxHearing, NovaHearing
from voicetrio.services.deepgram.voice import AuraVoice
from voicetrio.services.elevenlabs.hearing import ScribeHearing
from voicetrio.services.elevenlabs.voice import MultiContextVoice
from voicetrio.services.hearing_stream import HearingStream
from voicetrio.services.hearing_wire import Heard
from voicetrio.services.openai import OpenAISTT
from voicetrio.services.openai.realtime_ear import RealtimeEar
from voicetrio.services.openai.wire import ChatDecoder, parse_tool_arguments
from voicetrio.services.voice_wire import WordTimes
from voicetrio.services.wires import MALFORMED, numbers

KEY = Secret("a-key-that-is-long")
RATE = 16000
AUDIO = base64.b64encode(bytes(320)).decode()
DEEP = "[" * 100_000
ERROR = {"type": "error", "message": "no", "status_code": 400, "context_id": "c"}


@attrs.frozen
class Sample:
    """One message, and who reads it."""

    make: Callable[[], Any]
    message: dict[str, Any]


def nova() -> NovaHearing:
    return NovaHearing(KEY)


def ink() -> CartesiaHearing:
    return CartesiaHearing(KEY)


def ink_turns() -> CartesiaTurnHearing:
    return CartesiaTurnHearing(KEY)


def flux() -> FluxHearing:
    return FluxHearing(KEY)


def turns() -> TurnHearing:
    return TurnHearing(KEY, formats=True)


def scribe() -> ScribeHearing:
    return ScribeHearing(RATE, KEY)


def sonic() -> CartesiaVoice:
    return CartesiaVoice(RATE, {}, KEY)


def eleven() -> MultiContextVoice:
    return MultiContextVoice(RATE, {}, KEY)


def aura() -> AuraVoice:
    wire = AuraVoice(RATE, lambda: 0.0, KEY)
    wire.say("c", "hello there")
    return wire


SAMPLES = {
    "nova results": Sample(
        nova,
        {
            "type": "Results",
            "start": 0.0,
            "duration": 1.0,
            "is_final": True,
            "channel": {
                "alternatives": [
                    {"transcript": "go", "words": [{"word": "go", "start": 0.1, "end": 0.2}]},
                ]
            },
        },
    ),
    "nova error": Sample(nova, {"type": "Error", "description": "no", "variant": "X"}),
    "flux turn": Sample(
        flux,
        {
            "type": "TurnInfo",
            "event": "EndOfTurn",
            "trigger": "manual",
            "audio_window_end": 1.0,
            "transcript": "go",
            "words": [{"word": "go", "start": 0.1, "end": 0.2}],
        },
    ),
    "flux failure": Sample(flux, {"type": "ConfigureFailure", "description": "no", "code": "X"}),
    "flux error": Sample(flux, {"type": "Error", "description": "no", "code": "X"}),
    "aura warning": Sample(aura, {"type": "Warning", "description": "no", "code": "X"}),
    "aura error": Sample(aura, {"type": "Error", "description": "no"}),
    "ink transcript": Sample(
        ink,
        {
            "type": "transcript",
            "is_final": True,
            "text": "go",
            "words": [{"word": "go", "start": 0.1, "end": 0.2}],
        },
    ),
    "ink error": Sample(ink, ERROR),
    "ink turn": Sample(ink_turns, {"type": "turn.update", "transcript": "go"}),
    "ink turn error": Sample(ink_turns, ERROR),
    "sonic chunk": Sample(sonic, {"type": "chunk", "context_id": "c", "data": AUDIO}),
    "sonic times": Sample(
        sonic,
        {
            "type": "timestamps",
            "context_id": "c",
            "word_timestamps": {"words": ["go"], "start": [0.1], "end": [0.2]},
        },
    ),
    "sonic error": Sample(sonic, ERROR),
    "eleven audio": Sample(
        eleven,
        {
            "contextId": "c",
            "audio": AUDIO,
            "isFinal": True,
            "alignment": {
                "chars": ["g", "o", " "],
                "charStartTimesMs": [0, 60, 120],
                "charDurationsMs": [60, 60, 60],
            },
        },
    ),
    "eleven error": Sample(eleven, {"error": "system_busy", "message": "no"}),
    "scribe transcript": Sample(
        scribe,
        {
            "message_type": "committed_transcript_with_timestamps",
            "text": "go",
            "words": [{"text": "go", "start": 0.1, "end": 0.2, "type": "word"}],
        },
    ),
    "scribe error": Sample(scribe, {"message_type": "system_busy", "error": "no"}),
    "assemblyai turn": Sample(
        turns,
        {
            "type": "Turn",
            "end_of_turn": True,
            "turn_is_formatted": True,
            "transcript": "go",
            "words": [{"text": "go", "start": 100, "end": 200}],
        },
    ),
    "assemblyai error": Sample(turns, {"type": "Error", "error": "no", "error_code": 3005}),
}

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside ``value``."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (key,)
        for path in paths(inner):
            yield (key, *path)


@st.composite
def odd(draw: st.DrawFn, message: dict[str, Any]) -> dict[str, Any]:
    changed: Any = copy.deepcopy(message)
    *way, last = draw(st.sampled_from(list(paths(message))))
    place = changed
    for key in way:
        place = place[key]
    if draw(st.booleans()):
        place[last] = draw(JUNK)
    else:
        del place[last]
    return changed  # type: ignore[no-any-return]


def read(sample: Sample, message: str) -> Sequence[Any]:
    """Return what the wire makes of ``message``, or the error that it raises."""
    try:
        return sample.make().read(message)  # type: ignore[no-any-return]
    except ServiceError as error:
        return [error]


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=30)
@given(data=st.data())
def test_an_odd_message_is_taken_or_is_one_error_of_the_service(name: str, data: st.DataObject) -> None:
    sample = SAMPLES[name]
    message = json.dumps(data.draw(odd(sample.message)))
    stream = HearingStream(RATE, chunk_s=0.1, pad_s=0.0)
    stream.add(AudioFrame.silence(RATE, RATE))
    captions = Captions(RATE)
    captions.say("go away")
    for answer in read(sample, message):
        if isinstance(answer, Heard):
            placed = stream.place(answer, 0)
            assert 0 <= placed.start <= RATE
            assert 0 <= placed.end <= RATE
        elif isinstance(answer, WordTimes):
            captions.times(answer.words)
    captions.audio(RATE)
    captions.voice_ended()


CHAT = {
    "choices": [
        {
            "index": 0,
            "delta": {"content": "go", "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
}


@given(event=odd(CHAT))
def test_an_odd_event_of_a_chat_is_taken_or_is_one_error(event: dict[str, Any]) -> None:
    decoder = ChatDecoder("s")
    with contextlib.suppress(ServiceError):
        decoder.feed(json.dumps(event))


@given(words=JUNK, text=JUNK)
def test_an_odd_transcription_is_taken_or_is_one_error(words: Any, text: Any) -> None:
    stt = OpenAISTT(api_key=KEY)
    with contextlib.suppress(ServiceError):
        stt._read({"text": text, "words": words})
    with contextlib.suppress(ServiceError):
        stt._read({"text": "go", "words": [{"word": text, "start": words, "end": words}]})


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_of_its_wire(name: str) -> None:
    sample = SAMPLES[name]
    answers = read(sample, json.dumps(sample.message))
    assert answers
    assert "does not say" not in str(answers)


@pytest.mark.parametrize("kind", ["speech_started", "speech_stopped"])
@given(ms=JUNK)
def test_times_that_are_none_are_malformed_events_of_a_realtime_session(kind: str, ms: Any) -> None:
    ear = RealtimeEar(lambda seconds: round(seconds * RATE), RATE, before_s=0.3, after_s=0.5)
    ear.take({"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 0})
    event = {"item_id": "a", "audio_start_ms": ms, "audio_end_ms": ms}
    with contextlib.suppress(*MALFORMED):
        ear.take({"type": f"input_audio_buffer.{kind}", **event})


def test_what_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(ServiceError, match="not JSON"):
        check_json_object("s", DEEP)
    with pytest.raises(ServiceError):
        ChatDecoder("s").feed('{"choices":' + DEEP)
    with pytest.raises(ServiceError, match="no JSON object"):
        parse_tool_arguments("s", "look_up", DEEP)
    assert text_of_error(DEEP).startswith("[[[")
    nested = "{}"
    for _ in range(900):
        nested = f'{{"error":{nested}}}'
    assert text_of_error(nested)


def test_numbers_are_finite() -> None:
    assert numbers([1, 2.5, "3"]) == [1.0, 2.5, 3.0]
    for wrong in ([float("nan")], [float("inf")], [1e300], [10**400], ["x"], [None]):
        with pytest.raises(MALFORMED):
            numbers(wrong)
