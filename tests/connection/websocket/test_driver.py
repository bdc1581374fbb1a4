from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, Close, Frame
from websockets.protocol import OPEN, Protocol, Side
from websockets.streams import StreamReader

from voicetrio.connection.websocket.driver import MAX_PENDING_BYTES, Driver
from voicetrio.connection.websocket.socket import SocketLimits
from voicetrio.errors import LocalProtocolError


def make_driver(**limits) -> Driver:
    chosen = SocketLimits(**limits)
    return Driver(Protocol(Side.SERVER, state=OPEN, max_size=chosen.max_message_bytes), chosen)


def masked(opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def frames_of(output: bytes) -> list[Frame]:
    reader = StreamReader()
    reader.feed_data(output)
    frames = []
    while reader.buffer:
        try:
            next(Frame.parse(reader.read_exact, mask=False))
        except StopIteration as stop:
            frames.append(stop.value)
    return frames


@given(st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=300)), max_size=8), st.data())
def test_messages_survive_any_fragmentation_and_any_cut_of_the_stream(messages, data):
    wire = b""
    for message in messages:
        payload = message.encode() if isinstance(message, str) else message
        cut = data.draw(st.integers(0, len(payload)))
        wire += masked(TEXT if isinstance(message, str) else BINARY, payload[:cut], fin=False)
        wire += masked(PING, b"in between")
        wire += masked(CONT, payload[cut:])
    driver = make_driver()
    received = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        received += driver.receive(wire[:size])
        wire = wire[size:]
    assert received == messages


def test_the_size_limit_is_checked_on_the_header_before_the_payload_comes():
    driver = make_driver(max_message_bytes=100)
    driver.receive(masked(BINARY, bytes(101))[:8])
    close = Close.parse(bytes(frames_of(driver.take_output()[0])[0].data))
    assert close.code == 1009
    assert driver.is_over
    assert driver.outcome().by == "us"
    assert "longer than 100 bytes" in driver.outcome().reason


def test_many_empty_fragments_are_too_many():
    driver = make_driver(max_fragments=10)
    driver.receive(masked(BINARY, fin=False) + 20 * masked(CONT, fin=False))
    assert driver.outcome().code == 1009


def test_messages_after_a_violation_are_not_delivered():
    driver = make_driver()
    assert driver.receive(masked(TEXT, b"good") + masked(TEXT, b"\xff") + masked(TEXT, b"late")) == ["good"]
    assert driver.outcome().code == 1007


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (Frame(TEXT, b"unmasked").serialize(mask=False), 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (masked(CONT, b"of nothing"), 1002),
        (masked(BINARY, b"begun", fin=False) + masked(TEXT, b"another"), 1002),
        (b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + bytes(126), 1002),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, b"\x03\xed"), 1002),
        (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    ],
    ids=(
        "unmasked reserved-opcode reserved-bit lone-continuation interleaved"
        " long-ping short-close bad-code bad-reason"
    ).split(),
)
def test_a_broken_rule_ends_the_connection_with_its_code(wire, code):
    driver = make_driver()
    driver.receive(wire)
    assert driver.is_over
    assert (driver.outcome().code, driver.outcome().by) == (code, "us")


def test_of_many_pings_the_last_is_answered():
    driver = make_driver()
    driver.receive(b"".join(masked(PING, bytes([number])) for number in range(200)))
    (pong,) = frames_of(driver.take_output()[0])
    assert (pong.opcode, pong.data) == (PONG, bytes([199]))
    assert not driver.has_output


def test_a_waiting_pong_goes_before_the_next_message():
    driver = make_driver()
    driver.receive(masked(PING, b"first"))
    assert [frame.opcode for frame in frames_of(driver.send("second"))] == [PONG, TEXT]


def test_a_ping_is_answered_while_closing_until_the_peer_closes():
    driver = make_driver()
    driver.close(1000, "bye")
    driver.take_output()
    driver.receive(masked(PING, b"still there?"))
    assert [frame.opcode for frame in frames_of(driver.take_output()[0])] == [PONG]
    assert not driver.may_drop
    driver.receive(masked(CLOSE, Close(1000, "").serialize()))
    assert driver.may_drop
    assert driver.take_output() == (b"", True)
    assert (driver.outcome().code, driver.outcome().by) == (1000, "us")


def test_nothing_is_sent_after_a_close_frame():
    driver = make_driver()
    driver.close(1001, "")
    driver.close(1002, "a second one is ignored")
    with pytest.raises(LocalProtocolError):
        driver.send(b"late")
    assert not driver.queue("late")
    (frame,) = frames_of(driver.take_output()[0])
    assert Close.parse(bytes(frame.data)).code == 1001


def test_a_reason_is_cut_to_what_a_close_frame_holds():
    driver = make_driver()
    driver.close(1000, "é" * 100)
    (frame,) = frames_of(driver.take_output()[0])
    assert Close.parse(bytes(frame.data)).reason == "é" * 61


def test_a_code_that_no_frame_may_carry_is_our_mistake():
    with pytest.raises(LocalProtocolError, match="1006"):
        make_driver().close(1006, "")


def test_the_queue_is_bounded():
    driver = make_driver()
    count = 0
    while driver.queue(bytes(1000)):
        count += 1
    assert count * 1000 <= MAX_PENDING_BYTES < (count + 2) * 1010


def test_a_pong_counts_for_the_pings_up_to_its_own():
    driver = make_driver()
    driver.ping()
    second = driver.ping()
    pings = frames_of(driver.take_output()[0])
    driver.receive(masked(PONG, b"unasked") + masked(PONG, (99).to_bytes(4, "big")))
    assert driver.pong_count == 0
    driver.receive(masked(PONG, bytes(pings[1].data)))
    assert driver.pong_count == second


def test_a_close_without_a_code_has_no_code():
    driver = make_driver()
    driver.receive(masked(CLOSE))
    assert (driver.outcome().code, driver.outcome().by) == (None, "peer")


@given(st.binary(max_size=400))
def test_garbage_never_raises(garbage):
    driver = make_driver()
    driver.receive(garbage) if garbage else None
    driver.receive(b"")
    driver.take_output()
    assert driver.is_over
