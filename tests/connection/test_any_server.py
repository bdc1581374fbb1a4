"""Whatever a server does: budgets hold, waits are exact, one socket at a time, and none after the session."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connection.fake_server import FakeServer, Meeting
from tests.connection.test_connection import MEETINGS
from tests.runtime.peer import Peer
from voicetrio.connection.connection import Connection, open_connection
from voicetrio.errors import ServiceError
from voicetrio.events import ConnectionChanged, Event
from voicetrio.machines.reconnect import MINUTE_S, ReconnectSettings
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.session import open_session

BOUNDS = ReconnectSettings(per_minute=4, per_session=9)
SERVERS = st.lists(MEETINGS, min_size=1, max_size=10)


def run(main: object) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))  # type: ignore[arg-type]


async def keep_using(connection: Connection, every_s: float, count: int) -> None:
    """Use it as a service does, until it gives up; nothing but its own errors may come of that."""
    for _ in range(count):
        try:
            connection.send_nowait("work")
        except trio.WouldBlock:
            pass
        except ServiceError:
            return
        await trio.sleep(every_s)


@settings(max_examples=80, deadline=None)
@given(meetings=SERVERS, seed=st.integers(0, 2**32), every_s=st.sampled_from([0.3, 7.0, 80.0]))
def test_waits_are_exact_and_never_longer_than_their_bound(
    meetings: list[Meeting], seed: int, every_s: float
) -> None:
    server = FakeServer(*meetings)
    waits: list[float] = []
    allowed: list[float] = []
    due: list[float] = []
    ended_at = 0.0

    def note(event: Event) -> None:
        assert isinstance(event, ConnectionChanged)
        if event.new == "backoff":
            waits.append(event.retry_in_s or 0.0)
            allowed.append(trio.current_time() + waits[-1])
        elif event.old == "backoff" and event.new == "connecting":
            due.append(trio.current_time())

    async def main() -> None:
        nonlocal ended_at
        hub = EventHub()
        with emitting_to(hub), hub.observed_by(note):
            async with open_connection(
                server.connect, reconnect=BOUNDS, chance=random.Random(seed), dial_now=False
            ) as connection:
                with connection.using():
                    await keep_using(connection, every_s, 60)
                ended_at = trio.current_time()

    run(main)
    assert all(0 <= wait_s <= max(BOUNDS.max_s, BOUNDS.retry_after_max_s, MINUTE_S) for wait_s in waits)
    # The clock is virtual: not a moment early, and not one late.  The last wait may be cut by the end.
    assert due == pytest.approx(allowed[: len(due)], abs=1e-9)
    assert len(allowed) - len(due) <= 1
    # A try begins when its wait is over and the socket before it is gone, whichever is later; never, if that
    # is after the end.
    for at in due:
        latest = next((time for time in server.gone if time >= at), at)
        assert latest >= ended_at or any(at <= dial <= latest + 1e-9 for dial in server.dials), at


@settings(max_examples=80, deadline=None)
@given(meetings=SERVERS, seed=st.integers(0, 2**32), every_s=st.sampled_from([0.3, 7.0, 80.0]))
def test_tries_never_exceed_the_budgets_of_a_minute_and_of_the_session(
    meetings: list[Meeting], seed: int, every_s: float
) -> None:
    server = FakeServer(*meetings)
    tries: list[float] = []
    connections: list[Connection] = []

    def note(_event: Event) -> None:
        now = connections[0].statistics().tries if connections else 0
        tries.extend([trio.current_time()] * (now - len(tries)))

    async def main() -> None:
        hub = EventHub()
        with emitting_to(hub), hub.observed_by(note):
            async with open_connection(
                server.connect, reconnect=BOUNDS, chance=random.Random(seed), dial_now=False
            ) as connection:
                connections.append(connection)
                await keep_using(connection, every_s, 60)

    run(main)
    assert len(tries) == connections[0].statistics().tries <= BOUNDS.per_session
    for index, at in enumerate(tries):
        within = [other for other in tries[: index + 1] if at - other < MINUTE_S - 1e-6]
        assert len(within) <= BOUNDS.per_minute
    assert len(server.dials) >= len(tries)  # the first dial, and those after a clean end, need no budget
    assert server.most_alive <= 1


@settings(max_examples=60, deadline=None)
@given(
    meetings=SERVERS,
    seed=st.integers(0, 2**32),
    cancel_at_s=st.floats(0.0, 40.0),
    lingers_s=st.sampled_from([0.0, 0.5]),
)
def test_a_session_that_is_cancelled_at_any_moment_leaves_no_socket_and_dials_no_more(
    meetings: list[Meeting], seed: int, cancel_at_s: float, lingers_s: float
) -> None:
    server = FakeServer(*meetings)

    async def behaviour(context: SessionContext) -> None:
        async with open_connection(
            server.connect, reconnect=BOUNDS, chance=random.Random(seed)
        ) as connection:
            try:
                with connection.using():
                    await keep_using(connection, 0.7, 1000)
                    await trio.sleep_forever()
            finally:
                with context.cleanup(lingers_s + 0.1):
                    await trio.sleep(lingers_s)

    async def main() -> None:
        async with open_session(Peer(), behaviour) as session:
            await trio.sleep(cancel_at_s)
            before = len(server.dials)
            session.cancel()
            cancelled_at = trio.current_time()
        assert len(server.dials) == before
        assert server.alive == 0
        assert trio.current_time() - cancelled_at <= 1.0
        await trio.sleep(500)
        assert len(server.dials) == before

    run(main)


@settings(max_examples=40, deadline=None)
@given(
    idle_s=st.floats(300.0, 3000.0),
    connect_s=st.sampled_from([0.0, 0.05, 0.4, 2.0]),
    answer_s=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_idle_for_five_minutes_and_more_the_next_use_costs_one_connect(
    idle_s: float, connect_s: float, answer_s: float, seed: int
) -> None:
    server = FakeServer(Meeting(lives_s=300.0, delay_s=connect_s), Meeting(delay_s=connect_s))

    async def main() -> None:
        async with open_connection(server.connect, chance=random.Random(seed)) as connection:
            await connection.wait_usable()
            await trio.sleep(idle_s + 1.0)
            assert server.dials == [0.0]
            spoken_at = trio.current_time()
            await connection.send("say this")
            await trio.sleep(answer_s)
            assert server.texts == ["say this"]
            assert trio.current_time() - spoken_at == pytest.approx(connect_s + answer_s)
            assert len(server.dials) == 2
            assert connection.statistics().tries == connection.statistics().lost == 0

    run(main)
