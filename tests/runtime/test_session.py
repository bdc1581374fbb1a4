"""A session's life and its ending, in order, under virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import trio

from tests.runtime.peer import Peer
from voicetrio.errors import ConfigError, SessionEnded, SessionError, StageInUse
from voicetrio.events import Event, Failure, SessionEnding, TaskStuck
from voicetrio.frames import AudioFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.emit import emit, watching_hubs
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import Session, open_session
from voicetrio.runtime.transport import HangUp, Traits
from voicetrio.runtime.workers import open_workers

RATE = 24000
BED = (np.arange(RATE) % 50).astype(np.int16)


def constant(seconds: float, value: int = 1000) -> AudioFrame:
    return AudioFrame.from_samples(np.full(round(seconds * RATE), value, np.int16), RATE)


def silence(seconds: float = 0.02, position: int = 0) -> AudioFrame:
    return AudioFrame.silence(round(seconds * 16000), 16000, position=position)


async def listen(context: SessionContext) -> None:
    """Read until the session ends."""
    async for _ in context.inlet:
        pass


def speaking(seconds: float) -> Callable[[SessionContext], Awaitable[None]]:
    """Say one reply of so many seconds, then listen until the end."""

    async def behaviour(context: SessionContext) -> None:
        speech = context.playout.open_speech("reply")
        speech.release()
        for _ in range(round(seconds * 10)):
            await speech.send(constant(0.1))
        speech.finish()
        await listen(context)

    return behaviour


async def no_tasks_left(before: int) -> None:
    await trio.lowlevel.checkpoint()
    assert trio.lowlevel.current_statistics().tasks_living == before


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def test_leaving_the_block_is_a_graceful_end(autojump_clock: trio.testing.MockClock) -> None:
    before = living()
    peer = Peer()
    async with open_session(peer, speaking(3.0)) as session:
        start = trio.current_time()
        await trio.sleep(0.5)
    assert session.result.reason == "ended"
    assert session.result.late == ()
    assert session.result.error is None
    assert session.result.counters.cut_samples == {}
    # The whole reply was played, then the goodbye came last.
    assert np.count_nonzero(peer.played) == 3 * RATE
    assert isinstance(peer.operations[-1][1], HangUp)
    assert trio.current_time() - start == pytest.approx(3.0, abs=0.1)
    await no_tasks_left(before)


async def test_what_is_not_played_by_the_grace_is_cut_counted_and_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()
    async with open_session(peer, speaking(3.9)) as session:
        await trio.sleep(1.0)
        start = trio.current_time()
        session.end(grace=2.0)
    assert trio.current_time() - start == pytest.approx(2.0, abs=0.05)
    assert session.result.late == ("reply",)
    played = np.count_nonzero(peer.played)
    assert played + session.result.counters.cut_samples["reply"] == round(3.9 * RATE)


async def test_a_later_end_can_only_shorten(autojump_clock: trio.testing.MockClock) -> None:
    async with open_session(Peer(), speaking(9.0)) as session:
        await trio.sleep(1.0)
        start = trio.current_time()
        session.end(grace=3.0)
        session.end(grace=100.0)
        await trio.sleep(0.5)
        session.end(grace=1.0)
        await session.wait_ended()
        assert trio.current_time() - start == pytest.approx(1.5, abs=0.05)


async def test_cancel_stops_at_once_and_nothing_is_written_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    before = living()
    peer = Peer()
    async with open_session(peer, speaking(9.0)) as session:
        session.playout.start_bed(BED)
        await trio.sleep(1.0)
        session.cancel("enough")
        written = len(peer.operations)
        ticks = session.playout.statistics().ticks
        start = trio.current_time()
    assert trio.current_time() == start
    assert len(peer.operations) == written
    assert session.playout.statistics().ticks == ticks
    assert session.result.reason == "enough"
    assert peer.cancelled
    await no_tasks_left(before)


async def test_cancel_waits_for_a_goodbye_until_close_by_only(autojump_clock: trio.testing.MockClock) -> None:
    async with open_session(Peer(goodbye_s=0.3), listen) as session:
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() - start == pytest.approx(0.3)
    async with open_session(Peer(goodbye_s=99), listen) as session:
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() - start == pytest.approx(1.0)


async def test_an_end_waits_for_a_goodbye_until_close_by_only(autojump_clock: trio.testing.MockClock) -> None:
    before = living()
    async with open_session(Peer(goodbye_s=99), listen) as session:
        start = trio.current_time()
        session.end(grace=1.0)
    assert trio.current_time() - start <= 2.0 + 1e-6
    assert session.result.reason == "ended"
    await no_tasks_left(before)


async def test_end_then_cancel_is_cancel(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    async with open_session(peer, speaking(9.0)) as session:
        await trio.sleep(1.0)
        session.end()
        await trio.sleep(1.0)
        session.cancel()
        session.cancel("again")
        session.end()
        written, start = len(peer.operations), trio.current_time()
    assert (len(peer.operations), trio.current_time()) == (written, start)
    assert session.result.reason == "cancelled"


async def test_cancellation_from_outside_equals_cancel(autojump_clock: trio.testing.MockClock) -> None:
    before = living()
    peer = Peer()
    with trio.CancelScope() as scope:
        async with open_session(peer, speaking(9.0)) as session:
            await trio.sleep(1.0)
            scope.cancel()
            await trio.sleep(50)
    assert scope.cancelled_caught
    assert session.result.reason == "cancelled"
    await no_tasks_left(before)


async def test_an_exception_of_the_body_passes_through_unwrapped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(KeyError, match="mine"):  # noqa: PT012
        async with open_session(Peer(), speaking(9.0)) as session:
            await trio.sleep(1.0)
            raise KeyError("mine")
    assert session.result.error is None
    assert session.result.reason == "the body raised"


async def test_a_failure_cancels_the_body_and_is_told_once(autojump_clock: trio.testing.MockClock) -> None:
    async def breaks(context: SessionContext) -> None:
        await trio.sleep(1)
        raise OSError("disk on fire")

    seen: list[Event] = []
    before = living()
    with pytest.RaisesGroup(OSError) as caught:
        async with open_session(Peer(), breaks) as session:
            with session.hub.observed_by(seen.append):
                await trio.sleep_forever()
    assert isinstance(caught.value, SessionError)
    assert [str(e.error) for e in seen if isinstance(e, Failure)] == ["disk on fire"]
    assert session.result.reason == "failed"
    assert isinstance(session.result.error, OSError)
    await no_tasks_left(before)


async def test_the_bodys_own_exception_stands_beside_the_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def breaks(context: SessionContext) -> None:
        raise OSError("background")

    with pytest.RaisesGroup(OSError, KeyError):
        async with open_session(Peer(), breaks):
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("body")


async def test_what_fails_in_the_tasks_of_a_body_stands_beside_the_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its nursery raises a group in which a Cancelled stands beside what failed in cleaning up."""

    async def fail(context: SessionContext) -> None:
        await trio.sleep(1)
        raise ValueError("behaviour")

    with pytest.RaisesGroup(ValueError, pytest.RaisesGroup(KeyError)) as caught:
        async with open_session(Peer(), fail), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("body")
    assert isinstance(caught.value, SessionError)


async def test_a_failure_is_raised_although_the_block_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail(context: SessionContext) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async def use() -> None:
        with trio.move_on_after(1):
            async with open_session(Peer(), fail):
                await trio.sleep_forever()

    with pytest.raises(SessionError) as caught:
        await use()
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


async def test_a_peer_that_hangs_up_ends_the_session_and_not_the_body(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()
    async with open_session(peer, speaking(9.0)) as session:
        await trio.sleep(1.0)
        peer.hang_up()
        await session.wait_ended()
        assert session.result.reason == "peer_gone"
        await trio.sleep(5)  # the body goes on
        with pytest.raises(SessionEnded, match="peer_gone"):
            await session.say("hello?")


async def test_a_peer_that_takes_nothing_is_gone_after_the_stall_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()
    async with open_session(peer, listen) as session:
        session.playout.start_bed(BED)
        await trio.sleep(1.0)
        peer.reading = trio.Event()
        start = trio.current_time()
        await session.wait_ended()
        assert session.result.reason == "peer_gone"
        assert 5.0 <= trio.current_time() - start <= 10.0
        assert session.statistics().outbox.peak_s <= 0.5 + 1e-6


async def test_a_source_that_ends_lets_the_reply_finish(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    async with open_session(peer, speaking(3.0)) as session:
        await trio.sleep(0.5)
        assert peer.inbound is not None
        peer.inbound.source_ended()
        await session.wait_ended()
        assert session.result.reason == "source_ended"
        assert np.count_nonzero(peer.played) == 3 * RATE


async def test_a_behaviour_that_returns_completes_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async def brief(context: SessionContext) -> None:
        speech = context.playout.open_speech("bye")
        speech.release()
        await speech.send(constant(1))
        speech.finish()

    peer = Peer()
    async with open_session(peer, brief) as session:
        await session.wait_ended()
        assert session.result.reason == "completed"
    assert np.count_nonzero(peer.played) == RATE


async def test_a_stage_that_swallows_one_cancelled_still_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def swallows(context: SessionContext) -> None:
        try:  # noqa: SIM105
            await trio.sleep_forever()
        except BaseException:  # noqa: ASYNC103, ASYNC104  # this is the fault under test
            pass
        await trio.sleep_forever()

    async with open_session(Peer(), swallows) as session:
        await trio.sleep(1)
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() == start


class _JumpTo(trio.abc.Instrument):
    """Lets the session's ``close_by`` come in the step in which its last task has ended."""

    def __init__(self, clock: trio.testing.MockClock, session: Session) -> None:
        self._clock = clock
        self._session = session

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        if task.name == f"{self._session.name}/transport":
            self._clock.jump(self._session._deadlines.close_by - self._clock.current_time())


async def test_a_session_that_is_over_just_at_close_by_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for _ in range(12):  # which of the two is first is trio's choice
        async with open_session(Peer(goodbye_s=0.5), listen) as session:
            jump = _JumpTo(autojump_clock, session)
            trio.lowlevel.add_instrument(jump)
            session.cancel()
            with trio.move_on_after(60) as patience:
                await session.wait_ended()
            trio.lowlevel.remove_instrument(jump)
            session._close_watch.stop()  # or a failure would last for ever
        assert not patience.cancelled_caught


async def test_a_foreign_shield_is_broken_at_close_by(autojump_clock: trio.testing.MockClock) -> None:
    async def shielded(context: SessionContext) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1000)

    async with open_session(Peer(), shielded) as session:
        await trio.sleep(1)
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() - start == pytest.approx(1.0, abs=0.03)


async def test_a_cleanup_scope_is_tightened_by_a_later_cancel(autojump_clock: trio.testing.MockClock) -> None:
    async def slow_cleanup(context: SessionContext) -> None:
        try:
            await listen(context)
            await trio.sleep_forever()
        finally:
            with cleanup(30.0):
                await trio.sleep(30)

    async with open_session(Peer(), slow_cleanup) as session:
        session.end(grace=0.5)
        await trio.sleep(0.7)
        session.cancel()
        start = trio.current_time()
    assert trio.current_time() - start <= 1.0 + 0.03


async def test_an_endless_swallower_is_named_while_the_block_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    patience = 5

    async def swallower(context: SessionContext) -> None:
        end = trio.current_time() + patience
        while trio.current_time() < end:
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.1)
                await trio.sleep(0.1)
            except BaseException:  # this is the fault under test
                pass
        raise SystemError("at last")

    seen: list[Event] = []
    with pytest.RaisesGroup(SystemError):
        async with open_session(Peer(), swallower) as session:
            with session.hub.observed_by(seen.append):
                session.cancel()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 3):
                    await session.wait_ended()
    stuck = [event for event in seen if isinstance(event, TaskStuck)]
    assert len(stuck) == 1
    assert "behaviour" in stuck[0].task
    assert "test_session.py" in stuck[0].where


async def test_an_abandoned_thread_is_listed(autojump_clock: trio.testing.MockClock) -> None:
    released = trio.Event()

    class Forever:
        async def __call__(self, job):  # type: ignore[no-untyped-def]
            job.begin()
            await released.wait()
            return job()

    async with open_workers("slow", runner=Forever()) as pool:

        async def uses_thread(context: SessionContext) -> None:
            await pool.run(lambda: None, name="decode")

        async with open_session(Peer(), uses_thread) as session:
            await trio.sleep(1)
            session.cancel()
        assert session.result.abandoned == ("decode",)


async def test_events_tell_the_session_from_start_to_end(autojump_clock: trio.testing.MockClock) -> None:
    async with open_session(Peer(), listen) as session:
        subscription = session.events()
        session.end(grace=0.1)
    events = [event async for event in subscription]
    assert [type(event) for event in events] == [SessionEnding]
    assert events[0].time == trio.current_time()


async def test_a_peer_serves_one_session_once(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    async with open_session(peer, listen, name="first"):
        pass
    with pytest.raises(StageInUse, match=r"first.*second"):
        async with open_session(peer, listen, name="second"):
            pass


async def test_a_pipeline_is_a_behaviour_and_its_outlet_is_the_peer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def echo(
        inlet: trio.abc.ReceiveChannel[AudioFrame], outlet: trio.abc.SendChannel[AudioFrame]
    ) -> None:
        async for frame in inlet:
            await outlet.send(frame)

    peer = Peer(Traits(input_rate=RATE, output_rate=RATE))
    async with open_session(peer, pipeline(echo)) as session:
        await trio.testing.wait_all_tasks_blocked()
        assert peer.inbound is not None
        position = 0
        for k in range(100):
            frame = AudioFrame.from_samples(np.full(480, k + 1, np.int16), RATE, position)
            peer.inbound.send_nowait(frame)
            position = frame.end
            await trio.sleep(0.02)
        with pytest.raises(ConfigError, match="pipeline"):
            await session.say("no")
    heard = [int(v) for v in dict.fromkeys(peer.played.tolist()) if v]
    assert heard == list(range(1, 101))


async def test_the_echo_of_a_live_pipeline_is_as_quick_after_a_stall_as_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def echo(
        inlet: trio.abc.ReceiveChannel[AudioFrame], outlet: trio.abc.SendChannel[AudioFrame]
    ) -> None:
        async for frame in inlet:
            await outlet.send(frame)

    peer = Peer(Traits(input_rate=RATE, output_rate=RATE))
    sent: dict[int, float] = {}

    async with open_session(peer, pipeline(echo)):
        await trio.testing.wait_all_tasks_blocked()
        position = 0

        async def speak(count: int, first: int, pace_s: float = 0.02) -> None:
            nonlocal position
            assert peer.inbound is not None
            for k in range(first, first + count):
                frame = AudioFrame.from_samples(np.full(480, k + 1, np.int16), RATE, position)
                sent[k + 1] = trio.current_time()
                peer.inbound.send_nowait(frame)
                position = frame.end
                await trio.sleep(pace_s)

        await speak(100, 0)
        autojump_clock.jump(0.5)
        await speak(25, 100, 0.0)  # what the microphone recorded meanwhile
        await speak(150, 125)

    def latency(first: int, last: int) -> float:
        values = [
            time - sent[value]
            for time, frame in peer.frames
            for value in set(frame.samples.tolist()) - {0}
            if first <= value <= last
        ]
        return float(np.median(values))

    assert latency(200, 270) <= latency(20, 90) + 0.021


async def test_cancel_at_any_of_1000_instants_leaves_no_frame_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    before = living()
    # The reply's beginning, its middle, its end and the silence after it.
    instants = np.random.default_rng(7).uniform(0, 0.6, 1000)
    for instant in instants:
        peer = Peer()
        async with open_session(peer, speaking(0.4)) as session:
            session.playout.start_bed(BED)
            await trio.sleep(float(instant))
            session.cancel()
            written = len(peer.operations)
            await trio.sleep(0.1)
        assert len(peer.operations) == written
    await no_tasks_left(before)


async def test_result_before_the_end_is_an_error(autojump_clock: trio.testing.MockClock) -> None:
    async with open_session(Peer(), listen) as session:
        with pytest.raises(RuntimeError, match="not over"):
            _ = session.result
    assert isinstance(session, Session)


async def test_audio_that_a_stalled_peer_never_took_counts_as_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also what the playout had given to the outbox, and the one frame that was being written."""
    peer = Peer()
    async with open_session(peer, speaking(1.0)) as session:
        await trio.sleep(0.3)
        peer.reading = trio.Event()
        await trio.sleep(0.3)
        session.end(grace=0.5)
    written = np.count_nonzero(peer.played)
    assert 0 < written < RATE
    assert written + session.result.counters.cut_samples["reply"] == RATE
    assert session.result.late == ("reply", "transport")  # neither it nor the goodbye was written


async def test_what_the_outbox_held_at_the_end_of_the_drain_is_not_written_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()
    async with open_session(peer, speaking(2.0)) as session:
        await trio.sleep(0.3)
        peer.reading = trio.Event()
        session.end(grace=0.5)
        await trio.sleep(0.6)  # the drain is over, the goodbye is not
        in_hand = 1
        written = len(peer.frames)
        peer.reading.set()
    assert len(peer.frames) <= written + in_hand
    played = np.count_nonzero(peer.played)
    assert played + session.result.counters.cut_samples["reply"] == 2 * RATE


async def test_a_failure_that_was_told_is_not_told_again_when_it_is_raised(
    autojump_clock: trio.testing.MockClock,
) -> None:
    error = ValueError("the first branch")
    told: list[BaseException] = []

    async def behaviour(context: SessionContext) -> None:
        emit(Failure(where="switch", error=error))
        raise ExceptionGroup("every branch failed", [error, KeyError("the second branch")])

    def note(event: Event) -> None:
        if isinstance(event, Failure):
            told.append(event.error)

    with watching_hubs(note), pytest.raises(SessionError):
        async with open_session(Peer(), behaviour):
            await trio.sleep_forever()
    assert [str(each) for each in told] == ["the first branch", "'the second branch'"]


async def test_leaving_the_block_does_not_shorten_a_grace_that_was_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(context: SessionContext) -> None:
        await context.wait_ending()
        await trio.sleep(20)

    async with open_session(Peer(), slow) as session:
        session.end(grace=30)
    assert trio.current_time() == pytest.approx(20)
    assert session.result.late == ()


async def test_at_the_end_of_the_drain_the_bed_is_cut_too(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    async with open_session(peer, speaking(2.0)) as session:
        session.playout.start_bed(BED)
        await trio.sleep(0.3)
        peer.reading = trio.Event()
        session.end(grace=0.5)
        await trio.sleep(0.6)
        ticks = session.playout.statistics().ticks
    assert session.playout.statistics().ticks == ticks


async def test_a_relay_passes_audio_on_as_it_comes(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer(Traits(output_rate=24000))

    async def relay(context: SessionContext) -> None:
        async with context.open_relay() as outlet:
            for level in (5, 6, 7):
                # The positions of where it came from mean nothing here.
                await outlet.send(AudioFrame(np.full(480, level, "<i2").tobytes(), 24000, position=9999))
            with pytest.raises(ConfigError, match="mono at 24000 Hz, not 1 channels at 16000 Hz"):
                await outlet.send(AudioFrame.silence(320, 16000))
        with pytest.raises(trio.ClosedResourceError):
            await outlet.send(AudioFrame.silence(480, 24000))

    async with open_session(peer, relay) as session:
        started = trio.current_time()
        await session.wait_ended()
    assert [(time, frame.position) for time, frame in peer.frames] == [(started, k * 480) for k in range(3)]
    assert set(peer.played.tolist()) == {5, 6, 7}


async def test_a_relay_drops_what_the_peer_does_not_take(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer(Traits(output_rate=24000))
    peer.reading = trio.Event()

    async def relay(context: SessionContext) -> None:
        async with context.open_relay() as outlet:
            for _ in range(40):
                await outlet.send(AudioFrame.silence(480, 24000))
            assert session.statistics().outbox.dropped_items == 14  # one is being written, 0.5 s wait
            peer.reading.set()

    async with open_session(peer, relay) as session:
        await session.wait_ended()
    assert len(peer.frames) == 26


async def test_a_transport_that_returns_by_itself_is_a_peer_that_is_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Returning(Peer):
        async def run(self, inbound: object, outbox: object) -> None:
            await trio.sleep(0.5)

    async with open_session(Returning(), listen) as session:
        await session.wait_ended()
        assert trio.current_time() == 0.5
    assert session.result.reason == "peer_gone"


async def test_what_is_no_failure_of_a_session_passes_through_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Stop(BaseException):
        pass

    for failed in ([], [ValueError("and a failure")]):

        async def behaviour(context: SessionContext) -> None:
            raise BaseExceptionGroup("from outside", [Stop(), *failed])  # noqa: B023

        told: list[Event] = []
        with pytest.RaisesGroup(Stop, flatten_subgroups=True), watching_hubs(told.append):
            async with open_session(Peer(), behaviour):
                await trio.sleep_forever()
        assert [event.error for event in told if isinstance(event, Failure)] == failed


async def test_a_peer_that_cannot_take_note_of_the_end_does_not_hinder_it(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(Peer):
        def session_over(self, session: Session) -> None:
            raise ValueError("it does not remember")

    async with open_session(Forgetful(), listen) as session:
        pass
    assert session.result.reason == "ended"
    assert session.result.error is None
    assert "failed to take note of the end" in caplog.text
