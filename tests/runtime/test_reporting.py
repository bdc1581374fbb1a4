"""Failures are reported once, and no report causes another."""

from __future__ import annotations

import logging

import pytest
import trio

from tests.runtime.peer import Peer
from voicetrio.errors import PeerGone, ServiceError, SessionError
from voicetrio.events import Event, Failure
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import emit
from voicetrio.runtime.reporting import Reporter
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import HangUp, Inbound, Operation, OutboxReader, SendMessage


def down() -> ServiceError:
    return ServiceError("it is down", service="talker", transient=True)


class Vanished(Peer):
    """A client that is gone: every write fails, and nothing has noticed yet."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[Operation] = []
        self.notices: list[Event] = []

    def operation_for(self, event: Event) -> Operation | None:
        return SendMessage(event) if isinstance(event, Failure) else None

    def send_last_notice(self, event: Event) -> None:
        self.notices.append(event)
        raise OSError("nobody is there")

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        try:
            self.tried.append(await outbox.next())
            raise PeerGone("the connection is over")
        finally:
            self.left = trio.current_time()


async def test_a_client_that_vanished_while_a_service_fails_at_every_call(autojump_clock):
    calls: list[float] = []

    async def behaviour(context: SessionContext) -> None:
        async for _frame in context.inlet:
            pass

    async def failing(context: SessionContext) -> None:
        with context.hub.observed_by(reports.append):
            await fail_at_every_call(context)

    async def fail_at_every_call(context: SessionContext) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(behaviour, context)
            while not context.ending:
                calls.append(trio.current_time())
                emit(Failure(where=f"reply-{len(calls)}", error=down()))
                await trio.lowlevel.checkpoint()

    peer = Vanished()
    reports: list[Event] = []
    async with open_session(peer, failing) as session:
        await session.wait_ended()
    failures = [event for event in reports if isinstance(event, Failure)]
    assert len(calls) >= 1
    assert len(failures) == 1
    assert session.result.reason == "peer_gone"
    assert session.result.counters.failures_folded == len(calls) - 1
    # The one notice failed, and was the end; after it nothing was written.
    assert len(peer.tried) == 1
    assert session.result.counters.operations_written == 0


async def test_a_service_that_fails_for_minutes_is_told_a_few_times_with_counts(autojump_clock):
    reports: list[Failure] = []

    async def behaviour(context: SessionContext) -> None:
        for number in range(3000):
            emit(Failure(where=f"reply-{number}", error=down()))
            await trio.sleep(0.1)

    async with open_session(Peer(), behaviour) as session:
        with session.hub.observed_by(
            lambda event: reports.append(event) if isinstance(event, Failure) else None
        ):
            await session.wait_ended()
    # After 0, 10, 30, 70 and 150 s; the first may be before the observer.
    assert [event.repeated for event in reports][-4:] == pytest.approx([100, 200, 400, 800], abs=2)
    assert session.result.counters.failures_folded == 3000 - 5


async def test_different_failures_are_all_told(autojump_clock):
    reports: list[str] = []

    async def behaviour(context: SessionContext) -> None:
        await trio.sleep(0.1)
        for text in ("a", "b", "a", "c"):
            emit(Failure(where="x", error=ValueError(text)))

    async with open_session(Peer(), behaviour) as session:
        with session.hub.observed_by(
            lambda event: reports.append(str(event.error)) if isinstance(event, Failure) else None
        ):
            await session.wait_ended()
    assert reports == ["a", "b", "c"]


async def test_a_failing_session_lets_its_peer_know_beside_the_outbox(autojump_clock):
    class Told(Peer):
        notices: list[Event]

        def send_last_notice(self, event: Event) -> None:
            self.notices.append(event)

    async def behaviour(context: SessionContext) -> None:
        await trio.sleep(1)
        raise down()

    peer = Told()
    peer.notices = []
    with pytest.raises(SessionError):
        async with open_session(peer, behaviour):
            await trio.sleep_forever()
    assert [type(event) for event in peer.notices] == [Failure]
    assert not any(isinstance(operation, HangUp) for _time, operation in peer.operations)


async def test_a_notice_that_fails_is_no_failure(autojump_clock):
    async def behaviour(context: SessionContext) -> None:
        await trio.sleep(1)
        raise down()

    class Raising(Peer):
        def send_last_notice(self, event: Event) -> None:
            raise OSError("nobody is there")

    reports: list[Event] = []
    with pytest.raises(SessionError) as caught:  # noqa: PT012
        async with open_session(Raising(), behaviour) as session:
            with session.hub.observed_by(reports.append):
                await trio.sleep_forever()
    assert [str(error) for error in caught.value.exceptions] == ["talker: it is down"]
    assert len([event for event in reports if isinstance(event, Failure)]) == 1


async def test_the_log_has_fields_and_a_bounded_number_of_lines(
    caplog: pytest.LogCaptureFixture, autojump_clock
):
    reporter = Reporter("session-9")
    with caplog.at_level(logging.ERROR, "voicetrio.failures"):
        for number in range(1000):
            error = ServiceError(f"{number} " + "x" * 5000, service="talker", fault="limit")
            assert reporter.screen(Failure(where="tts", error=error)) is not None
    assert len(caplog.records) == 30
    assert all(len(record.getMessage()) < 700 for record in caplog.records)
    first = caplog.records[0].__dict__
    assert [first[name] for name in ("session", "where", "kind", "service", "fault", "repeated")] == [
        "session-9",
        "tts",
        "ServiceError",
        "talker",
        "limit",
        0,
    ]
    assert reporter.statistics().unlogged == 970
    await trio.sleep(61)
    with caplog.at_level(logging.ERROR, "voicetrio.failures"):
        reporter.screen(Failure(where="tts", error=ValueError("later")))
    assert len(caplog.records) == 31
