"""Recovery of work meets the clock and the events."""

from __future__ import annotations

import pytest
import trio

from voicetrio.connection.recovery import ReplayQueue, SpokenText, recover_text
from voicetrio.events import Event, WorkLost
from voicetrio.frames import AudioFrame
from voicetrio.runtime.emit import EventHub, emitting_to

RATE = 16000


def frame(number: int) -> AudioFrame:
    return AudioFrame.silence(320, RATE, position=number * 320)


async def test_text_that_is_lost_is_an_event(autojump_clock):
    hub = EventHub()
    told: list[Event] = []
    spoken = SpokenText()
    spoken.say("One two three. Four.")
    spoken.words([("One", 0.0)])
    spoken.audio(0.1)
    with emitting_to(hub), hub.observed_by(told.append):
        assert recover_text("talker", spoken) == "Four."
        assert recover_text("talker", spoken) == ""
    assert [(event.kind, event.text) for event in told if isinstance(event, WorkLost)] == [
        ("text", "two three.")
    ]


async def test_audio_comes_as_it_is_pushed_and_again_after_a_loss(autojump_clock):
    queue = ReplayQueue("listener", RATE)

    async def push() -> None:
        for number in range(10):
            queue.push(frame(number))
            await trio.sleep(0.02)
        queue.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push)
        got = [(await queue.take()).position // 320 for _ in range(6)]
        queue.cover(4 * 320)
        queue.rewind()
        got += [(await queue.take()).position // 320 for _ in range(6)]
        with pytest.raises(trio.EndOfChannel):
            await queue.take()
    assert got == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]


async def test_a_new_stream_is_given_no_more_than_the_pace(autojump_clock):
    queue = ReplayQueue("listener", RATE, pace=2.0, burst_s=0.1)
    for number in range(100):
        queue.push(frame(number))
    queue.close()
    queue.rewind()
    started = trio.current_time()
    for count in range(1, 101):
        await queue.take()
        allowed_s = 0.1 + 0.02 + 2.0 * (trio.current_time() - started)
        assert count * 0.02 <= allowed_s + 1e-6
    assert trio.current_time() - started == pytest.approx((2.0 - 0.1) / 2.0, abs=0.02)


async def test_a_cancelled_take_loses_nothing(autojump_clock):
    queue = ReplayQueue("listener", RATE)
    with trio.move_on_after(1):
        await queue.take()
    queue.push(frame(0))
    with trio.CancelScope() as scope:
        scope.cancel()
        await queue.take()
    assert (await queue.take()).position == 0


async def test_audio_that_is_lost_is_one_event(autojump_clock):
    hub = EventHub()
    told: list[Event] = []
    queue = ReplayQueue("listener", RATE, max_s=1.0)
    with emitting_to(hub), hub.observed_by(told.append):
        for number in range(100):
            queue.push(frame(number))
        queue.rewind()
        await queue.take()
    assert [(event.position, round(event.seconds, 6)) for event in told if isinstance(event, WorkLost)] == [
        (0, 1.0)
    ]
    assert queue.behind_s == pytest.approx(0.98)
