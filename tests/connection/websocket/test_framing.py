"""The edges of frames, and the way past the library's parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import BINARY, CLOSE, CONT, PING, TEXT, Frame
from websockets.protocol import OPEN, Protocol, Side

from voicetrio.connection.websocket.driver import Driver
from voicetrio.connection.websocket.framing import payload_span, plain_head, plain_message
from voicetrio.connection.websocket.socket import SocketLimits

SIZES = st.sampled_from([0, 1, 125, 126, 300, 65535, 65536])


@given(SIZES, st.booleans(), st.binary(max_size=20))
def test_a_payloads_place_is_known_as_soon_as_its_length_is(size, mask, before):
    wire = before + Frame(BINARY, bytes(size)).serialize(mask=mask)
    span = (len(wire) - size, len(wire))
    known = [payload_span(wire[:there], len(before)) for there in range(len(before), len(before) + 15)]
    assert set(known) <= {None, span}
    assert known[-1] == span or size < 10
    assert payload_span(wire, len(before)) == span


@given(SIZES, st.binary(min_size=1, max_size=9))
def test_a_masked_payload_is_what_was_sent(size, seed):
    payload = (seed * (size // len(seed) + 1))[:size]
    wire = Frame(BINARY, payload).serialize(mask=True)
    is_plain = 2 <= size < 65536  # a shorter frame is for the library, like a longer one
    assert plain_message(wire, 0, 65535) == ((payload, len(wire)) if is_plain else None)
    assert plain_message(wire[:-1], 0, 65535) is None
    assert plain_message(wire, 0, size - 1) is None


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_plain_head_is_the_librarys(size):
    assert plain_head(0x82, size) + bytes(size) == Frame(BINARY, bytes(size)).serialize(mask=False)


FRAMES = st.one_of(
    st.builds(lambda text: Frame(TEXT, text.encode()), st.text(max_size=90)),
    st.builds(lambda data: Frame(BINARY, data), st.binary(max_size=300)),
    st.builds(lambda data: Frame(TEXT, data), st.binary(max_size=5)),  # mostly no UTF-8
    st.builds(lambda data: Frame(PING, data), st.binary(max_size=20)),
    st.builds(lambda data, fin: Frame(CONT, data, fin), st.binary(max_size=9), st.booleans()),
    st.builds(lambda data: Frame(BINARY, data, fin=False), st.binary(max_size=9)),
    st.just(Frame(BINARY, bytes(600))),  # over the limit
    st.just(Frame(CLOSE, b"\x03\xe8")),
)


def by_the_book(wire: bytes) -> tuple[list[bytes], bool]:
    """What the library alone makes of ``wire``: payloads of whole messages, and whether it failed."""
    protocol = Protocol(Side.SERVER, state=OPEN, max_size=500)
    protocol.receive_data(wire)
    messages, parts, is_text = [], b"", False
    for frame in protocol.events_received():
        if frame.opcode not in (TEXT, BINARY, CONT):
            continue
        is_text = is_text if frame.opcode is CONT else frame.opcode is TEXT
        parts += frame.data
        if frame.fin:
            if is_text and not is_utf8(parts):
                return messages, True
            messages.append(parts)
            parts = b""
    # A goodbye in the midst of a message breaks a rule, too, but it is a goodbye.
    return messages, protocol.parser_exc is not None and protocol.close_rcvd is None


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.lists(st.tuples(FRAMES, st.sampled_from([True, True, True, True, False])), max_size=8), st.data())
def test_whatever_comes_and_however_it_is_cut_is_taken_as_the_library_takes_it(frames, data):
    wire = b"".join(frame.serialize(mask=mask) for frame, mask in frames)
    expected, fails = by_the_book(wire)
    limits = SocketLimits(max_message_bytes=500)
    driver = Driver(Protocol(Side.SERVER, state=OPEN, max_size=500), limits)
    received = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        received += driver.receive(wire[:size])
        wire = wire[size:]
    received = [message.encode() if isinstance(message, str) else message for message in received]
    assert received == expected
    assert (driver.outcome().by == "us") == fails


def test_a_goodbye_in_the_midst_of_a_message_is_the_peers():
    driver = Driver(Protocol(Side.SERVER, state=OPEN), SocketLimits())
    frames = (Frame(BINARY, b"half", fin=False), Frame(CLOSE, b"\x03\xe8"))
    assert driver.receive(b"".join(frame.serialize(mask=True) for frame in frames)) == []
    assert (driver.outcome().by, driver.outcome().code) == ("peer", 1000)
    assert driver.is_over


def test_bytes_that_came_with_the_request_are_the_first():
    early = Frame(BINARY, b"early").serialize(mask=True)
    driver = Driver(Protocol(Side.SERVER, state=OPEN), SocketLimits(), early=early[:7])
    assert driver.take_messages() == []
    assert driver.receive(early[7:]) == [b"early"]


def test_a_head_that_is_never_completed_is_the_end_all_the_same():
    driver = Driver(Protocol(Side.SERVER, state=OPEN), SocketLimits())
    driver.receive(b"\x82")
    driver.receive(b"")
    assert driver.outcome().by in ("us", "network")
    assert driver.is_over
