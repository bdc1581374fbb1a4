"""A connection that stays usable, against a server that does what the test says, in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connection.fake_server import FakeServer, Meeting
from tests.runtime.peer import Peer
from tests.runtime.schedules import cancel_at_every_step
from voicetrio.connection.connection import Connection, open_connection
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.connection.websocket import MessageSocket
from voicetrio.errors import ServiceError
from voicetrio.events import ConnectionChanged, Event
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.outbox import Gate, using_gate
from voicetrio.runtime.session import open_session


class Highest(random.Random):
    """Chance that always draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


@asynccontextmanager
async def opened(
    server: FakeServer, **options: Any
) -> AsyncIterator[tuple[Connection, list[ConnectionChanged]]]:
    """Give a connection and the list of its transitions."""
    told: list[ConnectionChanged] = []

    def note(event: Event) -> None:
        assert isinstance(event, ConnectionChanged)
        told.append(event)

    hub = EventHub()
    options.setdefault("chance", Highest())
    with emitting_to(hub), hub.observed_by(note):
        async with open_connection(server.connect, name="talker", **options) as connection:
            yield connection, told


async def test_messages_go_both_ways(autojump_clock):
    server = FakeServer()
    server.on_message = lambda socket, message: socket.say(f"echo {message}")
    async with opened(server) as (connection, told):
        await connection.send("one")
        assert await connection.receive() == "echo one"
        assert connection.is_usable
        assert connection.stream == 1
    assert [event.new for event in told] == ["connecting", "open", "closed"]
    assert server.alive == 0
    assert server.socket.closed_with == (1000, "")
    with pytest.raises(trio.ClosedResourceError):
        await connection.send("too late")
    with pytest.raises(trio.EndOfChannel):
        await connection.receive()


async def test_the_end_writes_what_was_queued(autojump_clock):
    server = FakeServer()
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
        for number in range(5):
            connection.send_nowait(str(number))
    assert server.texts == ["0", "1", "2", "3", "4"]


async def test_a_server_that_takes_nothing_cannot_hold_the_end(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True, goodbye_s=99))
    async with opened(server, settings=ConnectionSettings(close_s=1)) as (connection, _told):
        await connection.send("stuck")
        with trio.move_on_after(0.1):
            await trio.sleep_forever()
    # What is queued has its second; the closing handshake is the socket's own to bound.
    assert trio.current_time() <= 0.1 + 1 + 99


async def test_a_lost_stream_comes_back_after_the_jittered_wait(autojump_clock):
    server = FakeServer(Meeting(lives_s=20, code=1011), Meeting())
    async with opened(server) as (connection, told):
        await connection.send("one")
        with pytest.raises(ConnectionLost, match=r"as the test says \(code 1011\)") as caught:
            await connection.receive()
        assert caught.value.stream == 1
        assert await connection.wait_usable() == 2
    assert server.dials == [0, 20.25]
    assert [event.new for event in told] == ["connecting", "open", "backoff", "connecting", "open", "closed"]
    assert told[2].retry_in_s == 0.25
    assert server.most_alive == 1


async def test_after_five_idle_minutes_one_dial_makes_it_usable(autojump_clock):
    server = FakeServer(Meeting(lives_s=300, delay_s=0.1), Meeting(delay_s=0.1))
    server.on_message = lambda socket, message: socket.say(b"audio")
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
        await trio.sleep(1000)
        assert connection.state == "idle"
        assert server.dials == [0]
        started = trio.current_time()
        await connection.send("say this")
        with pytest.raises(ConnectionLost):
            await connection.receive()  # the first stream's end is told once
        assert await connection.receive() == b"audio"
        # Late by one connect, and no more.
        assert trio.current_time() - started == pytest.approx(0.1)
    assert len(server.dials) == 2
    assert connection.statistics().tries == 0
    assert connection.statistics().lost == 0


async def test_a_clean_close_in_the_midst_of_work_is_a_loss(autojump_clock):
    server = FakeServer(Meeting(lives_s=20), Meeting())
    async with opened(server) as (connection, _told):
        with connection.using():
            await connection.wait_usable()
            await trio.sleep(21)
            assert connection.state == "open"
    assert server.dials == [0, 20.25]
    assert connection.statistics().lost == 1


@pytest.mark.parametrize(("status", "fault"), [(401, "credentials"), (403, "credentials"), (404, "ours")])
async def test_a_refusal_stops_at_once_and_says_whose_fault_it_is(status: int, fault: str, autojump_clock):
    server = FakeServer(Meeting(status=status))
    async with opened(server) as (connection, _told):
        with pytest.raises(ServiceError, match=f"talker: refused: refused .HTTP {status}") as caught:
            await connection.wait_usable()
        assert (caught.value.fault, caught.value.transient) == (fault, False)
        await trio.sleep(1000)
        with pytest.raises(ServiceError):
            connection.send_nowait("x")
        with pytest.raises(ServiceError):
            connection.send_audio(b"x", 0.1)
        with pytest.raises(ServiceError):
            await connection.receive()
    assert server.dials == [0]


async def test_a_policy_close_stops_at_once(autojump_clock):
    server = FakeServer(Meeting(lives_s=1, code=1008))
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
        await trio.sleep(100)
        with pytest.raises(ServiceError, match="code 1008"):
            await connection.wait_usable()
    assert server.dials == [0]


async def test_too_many_requests_wait_as_long_as_they_are_told(autojump_clock):
    server = FakeServer(Meeting(status=429, retry_after="7"), Meeting())
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
    assert server.dials == [0, 7]


async def test_a_server_that_does_not_answer_costs_the_connect_deadline(autojump_clock):
    server = FakeServer(Meeting(delay_s=math.inf), Meeting())
    async with opened(server, settings=ConnectionSettings(connect_s=3)) as (connection, told):
        await connection.wait_usable()
    assert server.dials == [0, 3.25]
    assert told[1].why == "it did not answer within 3 s"


async def test_a_server_that_accepts_and_drops_is_given_up(autojump_clock):
    server = FakeServer(Meeting(lives_s=0.5, code=1000))
    async with opened(server) as (connection, _told):
        with connection.using():
            await trio.sleep(1000)
            with pytest.raises(ServiceError, match="it accepts and drops: gave up after 4 tries") as caught:
                await connection.wait_usable()
    assert caught.value.transient
    assert len(server.dials) == 5


async def test_a_write_that_is_not_taken_ends_the_stream(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True), Meeting())
    async with opened(server, settings=ConnectionSettings(send_s=2)) as (connection, told):
        await connection.send("stuck")
        await trio.sleep(3)
        assert connection.stream == 2
    assert "it took nothing for 2 s" in [event.why for event in told]
    assert server.dials == [0, 2.25]


async def test_the_old_socket_is_gone_before_the_next_is_dialled(autojump_clock):
    server = FakeServer(Meeting(lives_s=20, code=1011, goodbye_s=5), Meeting())
    async with opened(server) as (connection, _told):
        with connection.using():
            await trio.sleep(40)
    assert server.most_alive == 1
    assert server.dials[1] >= server.gone[0]


# --- making before breaking ---


async def test_a_server_that_says_it_will_go_is_replaced_first(autojump_clock):
    server = FakeServer(Meeting(), Meeting(delay_s=1))
    async with opened(server) as (connection, told):
        await connection.send("one")
        await trio.sleep(30)
        assert connection.going_away("it said so")
        await trio.sleep(0.5)
        await connection.send("two")  # the old stream is used as long as it lasts
        await trio.sleep(2)
        await connection.send("three")
    assert [message for _time, message in server.sockets[0].written] == ["one", "two"]
    assert [message for _time, message in server.sockets[1].written] == ["three"]
    assert server.most_alive == 2
    assert server.sockets[0].closed_with is not None
    assert [event.new for event in told][2:] == ["handover backoff", "handover", "open", "closed"]


async def test_a_successor_that_cannot_be_had_leaves_the_old_stream(autojump_clock):
    server = FakeServer(Meeting(), Meeting(status=403))
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
        connection.going_away("it said so")
        await trio.sleep(5)
        assert connection.stream == 1
        await connection.send("still here")
    assert server.texts == ["still here"]


# --- queues ---


async def test_audio_that_is_not_taken_is_dropped_from_its_old_end(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True))
    async with opened(server, settings=ConnectionSettings(max_queued_s=1, send_s=100)) as (connection, _told):
        await connection.wait_usable()
        for number in range(20):
            assert connection.send_audio(bytes([number]), 0.1)
        assert connection.statistics().dropped_audio_s == pytest.approx(1.0)
        assert connection.statistics().queued_items == 10


async def test_audio_without_a_stream_is_not_queued(autojump_clock):
    server = FakeServer(Meeting(unreachable=True), Meeting())
    async with opened(server) as (connection, _told):
        assert not connection.send_audio(b"x", 0.1)
        await trio.sleep(5)
        assert connection.send_audio(b"y", 0.1)
    assert server.texts == [b"y"]


async def test_text_waits_for_room_or_is_refused(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True))
    bounds = ConnectionSettings(max_queued_items=3, send_s=100)
    async with opened(server, settings=bounds) as (connection, _told):
        await connection.wait_usable()
        for number in range(3):
            connection.send_nowait(str(number))
        with pytest.raises(trio.WouldBlock):
            connection.send_nowait("no room")
        with trio.move_on_after(1) as scope:
            await connection.send("no room")
            await connection.send("no room")
        assert scope.cancelled_caught


async def test_what_was_queued_on_a_lost_stream_is_not_written_on_the_next(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True, lives_s=20, code=1011), Meeting())
    async with opened(server, settings=ConnectionSettings(send_s=100)) as (connection, _told):
        number = await connection.wait_usable()
        await connection.send("a", stream=number)
        await connection.send("b", stream=number)
        await trio.sleep(25)
        with pytest.raises(ConnectionLost):
            await connection.send("c", stream=number)
        await connection.send("d")
    assert server.texts == ["d"]


async def test_a_message_waits_for_the_stream(autojump_clock):
    server = FakeServer(Meeting(unreachable=True), Meeting(unreachable=True), Meeting())
    async with opened(server) as (connection, _told):
        await connection.send("patient")
    assert server.texts == ["patient"]
    assert server.dials == [0, 0.25, 0.75]


async def test_messages_that_nobody_receives_end_the_stream(autojump_clock):
    server = FakeServer()
    async with opened(server, settings=ConnectionSettings(max_inbox_bytes=100)) as (connection, told):
        await connection.wait_usable()
        for _ in range(20):
            server.socket.say("x" * 10)
        await trio.sleep(0.1)
        assert "faster than they are received" in told[2].why


# --- keepalive, first words, the service's own words ---


async def test_the_services_keepalive_is_sent_when_nothing_else_is(autojump_clock):
    server = FakeServer()
    keepalive = Keepalive(5, lambda: '{"type": "KeepAlive"}')
    async with opened(server, keepalive=keepalive) as (connection, _told):
        await connection.send("a")
        await trio.sleep(3)
        await connection.send("b")
        await trio.sleep(10.5)
    assert [time for time, _message in server.socket.written] == [0, 3, 8, 13]


async def test_a_keepalive_does_not_make_an_idle_close_a_loss(autojump_clock):
    server = FakeServer(Meeting(lives_s=60))
    async with opened(server, keepalive=Keepalive(5, lambda: "alive")) as (connection, _told):
        await connection.wait_usable()
        await trio.sleep(100)
        assert connection.state == "idle"


async def test_first_words_come_before_everything_else(autojump_clock):
    server = FakeServer()
    server.on_message = lambda socket, message: socket.say(f"re {message}")

    async def prepare(socket: MessageSocket) -> None:
        await socket.send("hello")
        assert await socket.receive() == "re hello"
        await trio.sleep(1)

    async with opened(server, prepare=prepare) as (connection, _told):
        await connection.send("work")
        assert await connection.receive() == "re work"
    assert server.socket.written == [(0, "hello"), (1, "work")]


async def test_a_close_in_place_of_first_words_means_what_its_code_means(autojump_clock):
    server = FakeServer(Meeting(lives_s=0.1, code=1011), Meeting(lives_s=0.1, code=1008))

    async def prepare(socket: MessageSocket) -> None:
        await socket.receive()

    async with opened(server, prepare=prepare) as (connection, _told):
        with pytest.raises(ServiceError, match="code 1008"):
            await connection.wait_usable()
    assert len(server.dials) == 2


@pytest.mark.parametrize(("transient", "dials"), [(False, 1), (True, 3)])
async def test_first_words_that_are_refused(transient: bool, dials: int, autojump_clock):
    server = FakeServer()
    error = ServiceError("no such voice", service="talker", fault="ours", transient=transient)

    async def prepare(socket: MessageSocket) -> None:
        await trio.lowlevel.checkpoint()
        if len(server.dials) < 3:
            raise error

    async with opened(server, prepare=prepare) as (connection, _told):
        if transient:
            await connection.wait_usable()
        else:
            with pytest.raises(ServiceError) as caught:
                await connection.wait_usable()
            assert caught.value is error
            await trio.sleep(100)
    assert len(server.dials) == dials


async def test_an_error_that_the_service_says_in_its_stream_is_what_users_get(autojump_clock):
    server = FakeServer()
    error = ServiceError("your plan ended", service="talker", fault="limit")

    def on_message(_message: str | bytes) -> None:
        raise error

    async with opened(server, on_message=on_message) as (connection, _told):
        await connection.wait_usable()
        server.socket.say("error")
        await trio.sleep(1)
        with pytest.raises(ServiceError) as caught:
            await connection.wait_usable()
        assert caught.value is error
    assert len(server.dials) == 1


async def test_a_stream_that_is_recycled_comes_back_on_use(autojump_clock):
    server = FakeServer()
    async with opened(server) as (connection, _told):
        await connection.send("one")
        connection.recycle("one stream a reply")
        await trio.sleep(100)
        assert connection.state == "idle"
        await connection.send("two")
    assert [socket.written for socket in server.sockets] == [[(0, "one")], [(100, "two")]]


# --- blocks and sessions ---


async def test_an_exception_of_the_block_passes_as_it_is_and_drops_the_socket(autojump_clock):
    server = FakeServer(Meeting(goodbye_s=50))
    with pytest.raises(KeyError):  # noqa: PT012
        async with opened(server) as (connection, _told):
            await connection.wait_usable()
            raise KeyError("mine")
    assert server.alive == 0
    assert trio.current_time() == 0


@pytest.mark.parametrize("phase", ["dialling", "open", "backoff"])
async def test_a_cancelled_block_leaves_nothing_in_any_phase(phase: str, autojump_clock):
    meeting = {
        "dialling": Meeting(delay_s=100),
        "open": Meeting(goodbye_s=100),
        "backoff": Meeting(unreachable=True),
    }[phase]
    server = FakeServer(meeting)
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(0.1):
        async with opened(server) as (connection, _told):
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(0.1)
    assert server.alive == 0
    dials = len(server.dials)
    await trio.sleep(100)
    assert len(server.dials) == dials
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert connection.state == "closed"


async def test_a_cancelled_session_dials_no_more(autojump_clock):
    server = FakeServer(Meeting(unreachable=True))
    cancelled: list[float] = []

    async def behaviour(context: SessionContext) -> None:
        async with open_connection(server.connect, chance=Highest()):
            try:
                await trio.sleep_forever()
            finally:
                # A behaviour that lingers: its connection must not dial meanwhile.
                with context.cleanup(0.9):
                    await trio.sleep(0.9)

    async with open_session(Peer(), behaviour) as session:
        await trio.sleep(10)
        session.cancel()
        cancelled.append(trio.current_time())
    assert [time for time in server.dials if time > cancelled[0]] == []
    assert len(server.dials) > 3


# --- whatever the server does ---

MEETINGS = st.builds(
    Meeting,
    status=st.sampled_from([None, None, None, 429, 500, 503, 401]),
    unreachable=st.booleans(),
    delay_s=st.sampled_from([0.0, 0.1, 3.0, 20.0]),
    lives_s=st.sampled_from([0.0, 0.5, 4.0, 7.0, 30.0, 200.0, math.inf]),
    code=st.sampled_from([1000, 1001, 1011, 1012, None, 4000]),
    by=st.sampled_from(["peer", "network"]),
    retry_after=st.sampled_from([None, None, "3"]),
    goodbye_s=st.sampled_from([0.0, 0.5]),
)


@settings(max_examples=60, deadline=None)
@given(
    meetings=st.lists(MEETINGS, min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
    use_every_s=st.sampled_from([0.7, 11.0, 90.0]),
    notices=st.booleans(),
)
def test_no_server_gets_two_sockets_or_more_tries_than_the_budget(
    meetings: list[Meeting], seed: int, use_every_s: float, notices: bool
) -> None:
    random.seed(seed)
    bounds = ReconnectSettings(per_minute=6, per_session=12)
    server = FakeServer(*meetings)

    async def main() -> float:
        async with open_connection(
            server.connect, reconnect=bounds, chance=random.Random(seed), dial_now=False
        ) as connection:
            for count in range(40):
                try:
                    connection.send_nowait("work")
                except trio.WouldBlock:
                    pass
                except ServiceError:
                    break
                if notices and count % 5 == 4:
                    connection.going_away("a notice")
                await trio.sleep(use_every_s)
            tries = connection.statistics().tries
            left = trio.current_time()
        await trio.sleep(1000)
        assert [time for time in server.dials if time > left] == []
        assert connection.statistics().dials == len(server.dials)
        return tries

    tries = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert tries <= bounds.per_session
    assert server.alive == 0
    assert server.most_alive <= (2 if notices else 1)


async def test_the_same_seed_gives_the_same_dials(autojump_clock):
    times = []
    for _ in range(2):
        server = FakeServer(Meeting(unreachable=True))
        random.seed(7)
        started = trio.current_time()
        async with open_connection(server.connect):
            await trio.sleep(20)
        times.append([round(time - started, 9) for time in server.dials])
    assert times[0] == times[1]
    assert len(times[0]) > 4


async def test_several_senders_all_get_their_turn(autojump_clock):
    server = FakeServer()

    async with opened(server, settings=ConnectionSettings(max_queued_items=1)) as (connection, _told):
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(connection.send, str(number))
    assert sorted(server.texts, key=int) == [str(number) for number in range(30)]


async def test_a_gate_that_is_shut_lets_no_dial_pass(autojump_clock):
    gate = Gate()
    server = FakeServer(Meeting(lives_s=20, code=1011), Meeting())
    with using_gate(gate):
        async with opened(server) as (connection, _told):
            await connection.wait_usable()
            gate.shut()
            await trio.sleep(100)
            assert connection.state == "closed"
            with pytest.raises(trio.ClosedResourceError):
                await connection.wait_usable()
    assert server.dials == [0]


async def test_a_service_may_refuse_its_stream_from_outside(autojump_clock):
    server = FakeServer()
    error = ServiceError(
        "too many sessions", service="talker", fault="limit", transient=True, retry_after_s=9
    )
    async with opened(server) as (connection, _told):
        await connection.wait_usable()
        connection.refuse(error)
        await connection.wait_usable()
    assert server.dials == [0, 9]


async def test_a_send_that_waits_for_room_is_told_of_the_loss(autojump_clock):
    server = FakeServer(Meeting(takes_nothing=True, lives_s=20, code=1011), Meeting())
    bounds = ConnectionSettings(max_queued_items=1, send_s=100)
    async with opened(server, settings=bounds) as (connection, _told):
        await connection.wait_usable()
        await connection.send("written")
        await trio.sleep(0.1)
        await connection.send("queued")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, "for any stream")
            with pytest.raises(ConnectionLost):
                await connection.send("for this stream", stream=1)
    assert server.texts == ["for any stream"]


async def test_what_does_not_fit_is_told_in_time(autojump_clock):
    server = FakeServer(Meeting(delay_s=1))
    async with opened(server, dial_now=False, on_message=lambda _message: None) as (connection, _told):
        assert repr(connection) == "<connection talker: idle>"
        assert connection.stream == 0
        with pytest.raises(trio.WouldBlock):
            connection.send_nowait("no stream yet")
        with pytest.raises(RuntimeError, match="talker gives its messages to on_message"):
            await connection.receive()
        with connection.using():
            await connection.wait_usable()


def test_cancelled_at_every_step_it_leaves_no_socket_and_dials_no_more():
    def make():
        server = FakeServer(
            Meeting(delay_s=0.1, lives_s=1, code=1011),
            Meeting(status=503),
            Meeting(lives_s=3, code=1012),
            Meeting(),
        )
        ended: list[int] = []

        async def scenario() -> None:
            try:
                async with open_connection(server.connect, chance=Highest()) as connection:
                    with connection.using():
                        for count in range(5):
                            await connection.send(str(count))
                            await trio.sleep(1)
            finally:
                ended.append(len(server.dials))

        def check() -> None:
            assert server.alive == 0
            assert ended == [len(server.dials)]
            assert server.most_alive <= 1

        return scenario, check

    cancel_at_every_step(make)
