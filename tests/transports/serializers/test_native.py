from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError, LocalProtocolError
from voicetrio.events import Dtmf, MessageReceived, TaskStuck, TurnStarted
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import Clear, HangUp, Mark, SendAudio, SendDtmf, SendMessage
from voicetrio.transports.serializers import Hello, Leaving, Malformed, Played
from voicetrio.transports.serializers.native import RATES_HZ, NativeWire


def text(**fields) -> str:
    return json.dumps(fields)


def sent(operation, wire: NativeWire | None = None) -> list:
    messages = (wire or NativeWire()).encode(operation)
    return [json.loads(message) if isinstance(message, str) else bytes(message) for message in messages]


# --- in ---


def test_audio_is_placed_on_the_capture_clock():
    wire = NativeWire(input_rate=8000)
    assert wire.decode(b"\x01\x00" * 160) == AudioFrame(b"\x01\x00" * 160, 8000, 1, 0)
    assert wire.decode(b"") is None
    assert wire.decode(b"\x00\x00").position == 160


def test_an_odd_byte_count_is_refused_and_moves_nothing():
    wire = NativeWire()
    wrong = wire.decode(b"\x00\x00\x00")
    assert isinstance(wrong, Malformed)
    assert (wrong.code, wrong.close_code) == ("odd_length", 1003)
    assert wire.decode(b"\x00\x00").position == 0


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (text(type="hello"), Hello()),
        (text(type="hello", client="me 1.0"), Hello("me 1.0")),
        (text(type="played", epoch=2, position=480), Played(2, 480)),
        (text(type="text", text="hi"), MessageReceived(data={"type": "text", "text": "hi"})),
        (text(type="dtmf", digit="#"), Dtmf(digit="#")),
        (text(type="message", data=[1, None]), MessageReceived(data=[1, None])),
        (text(type="message", data=None), MessageReceived(data=None)),
        (text(type="end"), Leaving()),
        (text(type="end", more="fields are ignored"), Leaving()),
    ],
)
def test_each_type_is_understood(message, meaning):
    assert NativeWire().decode(message) == meaning


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[1]", "bad_json"),
        ("null", "bad_json"),
        ('{"type": "played", "epoch": NaN}', "bad_json"),
        ("[" * 100_000, "bad_json"),
        ('{"type": "played", "epoch": ' + "9" * 5000 + "}", "bad_json"),
        ("{}", "unknown_type"),
        (text(type="shout"), "unknown_type"),
        (text(type=["end"]), "unknown_type"),
        (text(type="played", epoch=1), "bad_field"),
        (text(type="played", epoch=True, position=0), "bad_field"),
        (text(type="played", epoch=0, position=-1), "bad_field"),
        (text(type="played", epoch=0, position=1.5), "bad_field"),
        (text(type="played", epoch=0, position=2**60), "bad_field"),
        (text(type="text", text=7), "bad_field"),
        (text(type="text", text=" "), "bad_field"),
        (text(type="dtmf", digit="55"), "bad_field"),
        (text(type="dtmf"), "bad_field"),
        (text(type="message"), "bad_field"),
        (text(type="hello", client=1), "bad_field"),
    ],
)
def test_what_cannot_be_understood_is_told_and_nothing_else(message, code):
    wire = NativeWire()
    wrong = wire.decode(message)
    assert isinstance(wrong, Malformed)
    assert wrong.code == code
    assert json.loads(wire.complain(wrong)) == {"type": "error", "code": code, "message": wrong.message}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["hello", "played", "text", "dtmf", "message", "end", "?"]), json_values, json_values)
def test_no_object_ever_raises(kind, first, second):
    message = json.dumps({"type": kind, "epoch": first, "position": second, "text": first, "data": second})
    NativeWire().decode(message)


@given(st.text())
def test_no_text_ever_raises(message):
    NativeWire().decode(message)


# --- out ---


def test_the_greeting_tells_what_the_client_needs():
    wire = NativeWire(input_rate=8000, output_rate=16000, lead_s=0.1)
    (hello,) = wire.greet("peer-1")
    assert json.loads(hello) == {
        "type": "hello",
        "version": 1,
        "session": "peer-1",
        "input_rate": 8000,
        "output_rate": 16000,
        "lead_ms": 100,
    }


def test_each_operation_has_its_message():
    assert sent(Clear(3, 4800)) == [{"type": "clear", "epoch": 3, "position": 4800}]
    assert sent(Mark(3, 4800)) == [{"type": "mark", "epoch": 3, "position": 4800}]
    assert sent(SendDtmf("7")) == [{"type": "dtmf", "digit": "7"}]
    assert sent(SendMessage({"a": 1})) == [{"type": "message", "data": {"a": 1}}]
    assert sent(SendMessage(TurnStarted(position=5, time=2.0))) == [
        {"type": "event", "event": "turn_started", "position": 5, "time": 2.0}
    ]
    assert sent(SendMessage(TaskStuck(task="t", where="w", why="y"))) == []
    assert sent(HangUp(1000, "ended")) == [{"type": "bye", "reason": "ended"}]


def test_audio_has_no_header_unless_its_position_jumps():
    wire = NativeWire()
    frame = AudioFrame.from_samples(np.ones(480, np.int16), 24000)
    assert sent(SendAudio(frame), wire) == [bytes(frame.pcm)]
    assert sent(SendAudio(frame.at(480)), wire) == [bytes(frame.pcm)]
    assert sent(SendAudio(frame.at(4800)), wire) == [{"type": "skip", "position": 4800}, bytes(frame.pcm)]
    sent(Clear(1, 9600), wire)
    assert sent(SendAudio(frame.at(9600)), wire) == [bytes(frame.pcm)]


def test_what_json_cannot_carry_is_our_mistake():
    for data in (object(), math.nan, {1, 2}):
        with pytest.raises(LocalProtocolError, match="'message' message is not JSON"):
            NativeWire().encode(SendMessage(data))


def test_half_a_surrogate_pair_goes_back_as_it_came():
    wire = NativeWire()
    received = wire.decode('{"type": "message", "data": "\\ud800"}')
    (message,) = wire.encode(SendMessage(received.data))
    assert message.encode().decode() == message


def test_audio_at_another_rate_is_our_mistake():
    with pytest.raises(LocalProtocolError, match="24000 Hz"):
        NativeWire().encode(SendAudio(AudioFrame.silence(160, 8000)))


# --- rates ---


@pytest.mark.parametrize("rate", RATES_HZ)
def test_every_rate_has_whole_frames(rate):
    wire = NativeWire.from_query({"input_rate": str(rate), "output_rate": str(rate), "other": "ignored"})
    assert (wire.traits.input_rate, wire.traits.output_rate) == (rate, rate)
    assert rate * 20 % 1000 == 0


def test_the_default_rates():
    traits = NativeWire.from_query({}).traits
    assert (traits.input_rate, traits.output_rate) == (16000, 24000)
    assert traits.confirms
    assert traits.can_clear


@pytest.mark.parametrize("value", ["", "x", "-8000", "8e3", "11025", "0", "9" * 5000, "٨٠٠٠"])
@pytest.mark.parametrize("name", ["input_rate", "output_rate"])
def test_a_rate_that_is_not_offered_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        NativeWire.from_query({name: value})
