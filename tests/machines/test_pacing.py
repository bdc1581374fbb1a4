"""When frames are due, what a delay costs, and when the ear has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.pacing import TOLD_EVERY_S, Pacer, SlipReport

RATE = 24000
FRAME = 480


def pacer(lead_s: float = 0.06, latency_s: float = 0.0) -> Pacer:
    return Pacer(RATE, FRAME, lead_s=lead_s, latency_s=latency_s)


def test_frames_are_due_on_an_absolute_grid() -> None:
    clock = pacer()
    clock.start(100.0)
    for k in range(50_000):
        assert clock.due == pytest.approx(100.0 + k * 0.02, abs=1e-9)
        clock.advance()


def test_a_delay_within_the_lead_is_caught_up_without_a_slip() -> None:
    clock = pacer()
    clock.start(0.0)
    clock.advance()
    assert clock.settle(0.02 + 0.06) == 0.0
    assert clock.due == 0.02
    assert clock.slips == 0


def test_after_a_stall_one_lead_is_owed_and_the_slip_is_counted_once() -> None:
    clock = pacer()
    clock.start(0.0)
    for _ in range(10):
        clock.advance()
    now = clock.due + 0.5
    slip_s = clock.settle(now)
    assert slip_s == pytest.approx(0.5 - 0.04)
    owed = 0
    while clock.due <= now + 1e-9:
        clock.advance()
        owed += 1
    assert owed == 3
    assert clock.due == pytest.approx(now + 0.02)
    assert clock.settle(now) == 0.0
    assert clock.slipped_s == pytest.approx(slip_s)


def test_what_is_due_is_heard_one_buffer_later() -> None:
    clock = pacer(latency_s=0.03)
    clock.start(5.0)
    # A peer with 60 ms of buffer has it full when the third frame arrives, 40 ms after the first.
    assert clock.heard_at(0) == pytest.approx(5.0 + 0.04 + 0.03)
    assert clock.heard_position(5.07) == 0
    assert clock.heard_position(5.17) == pytest.approx(2400, abs=1)


def test_a_refill_is_heard_at_once() -> None:
    clock = pacer()
    clock.refill(7.0)
    assert clock.heard_at(0) == pytest.approx(7.0)


def test_what_was_taken_back_is_due_again() -> None:
    clock = pacer()
    clock.start(0.0)
    for _ in range(5):
        clock.advance()
    clock.rewind(2 * FRAME)
    assert clock.due == pytest.approx(0.04)


@given(
    st.lists(st.floats(min_value=0.0, max_value=2.0), max_size=60),
    st.sampled_from([0.0, 0.02, 0.06, 0.1]),
)
def test_whatever_the_delays_the_clock_is_back_on_time_and_no_frame_is_lost(
    delays: list[float], lead_s: float
) -> None:
    clock = pacer(lead_s)
    now = 0.0
    clock.start(now)
    made = 0
    for delay in delays:
        now = max(now, clock.due) + delay
        clock.settle(now)
        burst = 0
        while clock.due <= now + 1e-9:
            clock.advance()
            made += 1
            burst += 1
        assert burst <= max(lead_s, 0.02) / 0.02 + 1 + 1e-6
        assert now < clock.due <= now + 0.02 + 1e-6
    assert clock.position == made * FRAME


def test_the_first_slip_is_told_at_once_and_what_follows_in_a_second_together() -> None:
    report = SlipReport()
    assert report.take(5.0) is None
    report.add(0.3)
    assert report.take(5.0) == (0.3, 0.3)
    report.add(0.25)
    report.add(0.5)
    assert report.take(5.0 + 0.9 * TOLD_EVERY_S) is None
    assert report.take(5.0 + TOLD_EVERY_S) == (0.75, 0.5)
    assert report.take(5.0 + 9 * TOLD_EVERY_S) is None


def test_the_last_of_the_slips_are_told_without_a_wait() -> None:
    report = SlipReport()
    report.add(0.25)
    report.take(0.0)
    assert report.take(0.1, last=True) is None
    report.add(0.5)
    assert report.take(0.1, last=True) == (0.5, 0.5)
