from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.stream_clock import StreamClock

RATE = 1000


def test_a_stream_may_begin_anywhere_and_leave_gaps_out() -> None:
    clock = StreamClock(RATE)
    clock.add(5000, 1000)
    clock.add(9000, 500)
    assert [clock.position(each) for each in (0.0, 0.5, 0.999, 1.0, 1.2)] == [5000, 5500, 5999, 9000, 9200]


def test_a_time_in_a_pad_is_where_the_pad_is() -> None:
    clock = StreamClock(RATE)
    clock.add(100, 100)
    clock.pad(50)
    clock.add(200, 100)
    assert [clock.position(each) for each in (0.05, 0.1, 0.12, 0.15, 0.2)] == [150, 200, 200, 200, 250]


def test_a_time_that_was_not_given_yet_is_the_end_of_what_was() -> None:
    clock = StreamClock(RATE)
    assert clock.position(3.0) == 0
    clock.add(100, 100)
    assert clock.position(3.0) == 200


def test_a_time_before_the_stream_is_its_beginning() -> None:
    clock = StreamClock(RATE)
    clock.add(100, 100)
    assert clock.position(-1.0) == 100


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300), st.integers(0, 50)), min_size=1))
def test_positions_follow_the_order_of_times(pieces: list[tuple[int, int, int]]) -> None:
    clock = StreamClock(RATE)
    position = 0
    true: list[tuple[int, int]] = []
    for gap, count, pad in pieces:
        position += gap
        true.append((clock.count, position))
        clock.add(position, count)
        position += count
        if pad:
            clock.pad(pad)
    assert [clock.position(offset / RATE) for offset, _ in true] == [at for _, at in true]
    found = [clock.position(offset / RATE) for offset in range(clock.count)]
    assert found == sorted(found)
