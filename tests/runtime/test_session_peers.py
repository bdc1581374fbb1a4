"""What a session does with what its peer can do: take note of events, come back, leave too early."""

from __future__ import annotations

import pytest
import trio

from tests.runtime.peer import Peer
from tests.runtime.test_session import BED, constant, listen, speaking
from voicetrio.errors import SessionError
from voicetrio.events import Event, Failure, SessionEnding
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.outbox import OutboxStatistics
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Inbound, Operation, OutboxReader, SendMessage, Traits


class ToldPeer(Peer):
    """Its wire has words for the end, and it looks at all events."""

    def __init__(self) -> None:
        super().__init__()
        self.observed: list[Event] = []

    def observe(self, event: Event) -> None:
        self.observed.append(event)

    def operation_for(self, event: Event) -> Operation | None:
        return SendMessage(event.reason) if isinstance(event, SessionEnding) else None


async def test_a_peer_sees_the_events_and_is_sent_those_it_has_words_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = ToldPeer()
    async with open_session(peer, listen) as session:
        await trio.sleep(1)
        session.end(reason="enough")
    assert [type(event).__name__ for event in peer.observed] == ["SessionStarted", "SessionEnding"]
    assert SendMessage("enough") in [operation for _, operation in peer.operations]


class PatientPeer(Peer):
    """It may come back on another connection."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.lost: list[float] = []
        self._times = times

    def take_for_lost(self, why: str) -> bool:
        self.lost.append(trio.current_time())
        return len(self.lost) <= self._times


async def test_a_stalled_peer_that_may_come_back_is_lost_and_not_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = PatientPeer(2)
    async with open_session(peer, speaking(9.0)) as session:
        await trio.sleep(1)
        peer.reading = trio.Event()
        await session.wait_ended()
    assert session.result.reason == "peer_gone"
    # Twice it was waited for again, for the stall limit of 5 s each.
    assert [round(after - before) for before, after in zip(peer.lost, peer.lost[1:], strict=False)] == [5, 5]


async def test_a_peer_that_leaves_during_the_goodbye_cuts_what_it_should_have_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()
    async with open_session(peer, speaking(3.0)) as session:
        await trio.sleep(0.5)
        session.end(reason="enough")
        await trio.sleep(0.5)
        peer.hang_up()
        await session.wait_ended()
    assert session.result.reason == "enough"
    assert "transport" in session.result.late
    assert session.result.counters.cut_samples["reply"] > 0


async def test_a_peer_that_leaves_when_nothing_was_left_to_say_cuts_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()

    async def tidy_up(context: SessionContext) -> None:
        await context.wait_ending()
        await trio.sleep(1)

    async with open_session(peer, tidy_up) as session:
        session.end(reason="enough")
        await trio.sleep(0.5)
        peer.hang_up()
    assert (session.result.reason, session.result.late) == ("enough", ())


async def test_a_behaviour_that_does_not_end_in_time_is_late(autojump_clock: trio.testing.MockClock) -> None:
    async def endless(context: SessionContext) -> None:
        await trio.sleep_forever()

    async with open_session(Peer(), endless) as session:
        session.end(grace=2.0)
    assert trio.current_time() == pytest.approx(2.0)
    assert session.result.late == ("behaviour",)
    assert session.result.reason == "ended"


async def test_a_cancel_during_the_goodbye_does_not_make_it_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_session(Peer(goodbye_s=0.9), listen) as session:
        session.end()
        await trio.sleep(0.5)
        session.cancel("enough")
    assert session.result.late == ()
    assert session.result.reason == "enough"


class FailingPeer(Peer):
    """Fails with a given error when its event is set."""

    def __init__(self, error: Exception, when: trio.Event) -> None:
        super().__init__()
        self._error = error
        self._when = when

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        await self._when.wait()
        raise self._error


async def test_one_error_in_two_parts_is_one_failure(autojump_clock: trio.testing.MockClock) -> None:
    error = ValueError("shared")
    now = trio.Event()

    async def behaviour(context: SessionContext) -> None:
        await now.wait()
        raise error

    failures: list[Event] = []
    with pytest.RaisesGroup(ValueError) as caught:
        async with open_session(FailingPeer(error, now), behaviour) as session:
            session.hub._callbacks.append(
                lambda event: failures.append(event) if isinstance(event, Failure) else None
            )
            await trio.testing.wait_all_tasks_blocked()
            now.set()  # both of them go on in one step of the loop
            await trio.sleep_forever()
    assert isinstance(caught.value, SessionError)
    assert caught.value.exceptions == (error,)
    assert len(failures) == 1
    assert session.result.error is error


async def test_a_session_that_failed_leaves_its_statistics(autojump_clock: trio.testing.MockClock) -> None:
    async def behaviour(context: SessionContext) -> None:
        context.playout.start_bed(BED)
        speech = context.playout.open_speech("reply")
        speech.release()
        await speech.send(constant(1.0))
        await trio.sleep(0.5)
        raise ValueError("broken")

    with pytest.RaisesGroup(ValueError):
        async with open_session(Peer(Traits(output_rate=24000)), behaviour) as session:
            await trio.sleep_forever()
    statistics = session.statistics()
    assert statistics.state == "over"
    assert isinstance(statistics.outbox, OutboxStatistics)
    assert statistics.outbox.queued_items == 0


async def test_a_stalled_peer_that_cannot_be_taken_for_lost_fails_the_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class BrokenPeer(Peer):
        def take_for_lost(self, why: str) -> bool:
            raise ValueError("no slot to wait in")

    peer = BrokenPeer()

    async def call() -> None:
        async with open_session(peer, speaking(9.0)):
            await trio.sleep(1)
            peer.reading = trio.Event()
            await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="no slot")):
        await call()
