"""I5: one failure, one report; a report that cannot be delivered is counted and dropped."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from voicetrio.errors import SessionError
from voicetrio.events import Event, Failure
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.ending import SessionSettings
from voicetrio.runtime.outbox import Outbox
from voicetrio.runtime.transport import Operation, SendMessage
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import MemoryPeer, memory_peer


class TellingPeer:
    """A peer whose wire has a message for every event, as a wire that reports errors to its client has."""

    def __init__(self, peer: MemoryPeer) -> None:
        self._peer = peer
        self.name = peer.name
        self.traits = peer.traits

    def operation_for(self, event: Event) -> Operation:
        return SendMessage(type(event).__name__)

    async def run(self, *arguments: object) -> None:
        await self._peer.run(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40))
def test_every_failure_is_told_once_and_raised_once(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        count = sim.random.randint(1, 5)
        errors = [ValueError(f"error {number}") for number in range(count)]
        told: list[Failure] = []

        async def fail(error: Exception) -> None:
            await trio.sleep(sim.random.choice((0.1, 0.1, 0.2)))
            raise error

        async def behaviour(context: SessionContext) -> None:
            async with trio.open_nursery() as outer:
                for error in errors:
                    async with trio.open_nursery() as inner:
                        inner.start_soon(fail, error)
                        outer.start_soon(fail, error)  # the same error, from two tasks

        raised: list[BaseException] = []
        try:
            async with sim.open_session(TellingPeer(memory_peer()[0]), behaviour) as session:
                with session.hub.observed_by(
                    lambda event: told.append(event) if isinstance(event, Failure) else None
                ):
                    await trio.sleep_forever()
        except SessionError as failure:
            raised.extend(failure.exceptions)
        assert sorted(map(id, raised)) == sorted(id(event.error) for event in told)
        assert max(Counter(map(id, raised)).values()) == 1

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_report_that_cannot_be_delivered_causes_none(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer reads nothing and every event wants to be sent to it: they are counted, and that is all."""
    monkeypatch.setattr(Outbox.__init__, "__kwdefaults__", {"max_s": 0.5, "max_items": 8})

    async def scenario(sim: Simulation) -> None:
        peer, far_end = memory_peer()
        far_end.stop_reading()
        settings = SessionSettings(stall_s=sim.random.choice((0.5, 5.0)))

        async def behaviour(context: SessionContext) -> None:
            for number in range(100):
                context.hub.tell(Failure(where="a part that goes on", error=ValueError(str(number))))
                await trio.sleep(0.01)

        async with sim.open_session(TellingPeer(peer), behaviour, settings=settings) as session:
            await session.wait_ended()
        assert session.result.error is None
        told = session.result.counters.events_told
        assert 50 <= told <= 110  # the hundred, and the session's own: no report of a report
        assert session.statistics().outbox.queued_items <= 9

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(10))
def test_an_observer_that_raises_is_counted(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        def broken(event: Event) -> None:
            raise RuntimeError("an observer")

        async with sim.open_session(memory_peer()[0], SessionContext.wait_ending) as session:
            with session.hub.observed_by(broken):
                session.hub.tell(Failure(where="here", error=ValueError()))
                session.end()
        assert session.statistics().events.observer_errors == 2
        assert session.result.error is None

    simulate(scenario, seed)
