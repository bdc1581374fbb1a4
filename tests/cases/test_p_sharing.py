"""What was shared, reused or left behind elsewhere."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.cases.conversations import RATE, listen, speaking, tone
from voicetrio.connection.http import open_http
from voicetrio.errors import ReplyFlushed, SessionError, StageInUse
from voicetrio.events import Event, Failure, SourceEnded
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.emit import EventHub, watching_hubs
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import Session, open_session
from voicetrio.runtime.transport import Inbound, OutboxReader, SendMessage
from voicetrio.runtime.workers import InlineRunner, open_model_pool, open_workers
from voicetrio.testing.faults import stages
from voicetrio.testing.leaks import assert_no_leaks
from voicetrio.testing.simulation import Simulation, simulate
from voicetrio.transports.memory import MemoryPeer, memory_peer


class FailingWriter:
    """A peer to which no message can be sent, and whose wire has a message for every event."""

    def __init__(self, peer: MemoryPeer) -> None:
        self._peer = peer
        self.name = peer.name
        self.traits = peer.traits
        self.tried = 0

    def operation_for(self, event: Event) -> SendMessage:
        return SendMessage(type(event).__name__)

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        while True:
            operation = await outbox.next()
            if isinstance(operation, SendMessage):
                self.tried += 1
                raise OSError("the call is over")
            outbox.written(operation)


async def test_p03_one_failed_send_is_one_report_and_the_end(autojump_clock: MockClock) -> None:
    """The report does not go through what failed: pipecat-ai/pipecat#1346, #1170, #4369, #5201."""
    told: list[Failure] = []
    peer = FailingWriter(memory_peer()[0])

    def note(event: Event) -> None:
        if isinstance(event, Failure):
            told.append(event)

    with watching_hubs(note), pytest.raises(SessionError) as caught:
        async with open_session(peer, listen):  # type: ignore[arg-type]
            await trio.sleep(60)
    assert trio.current_time() == 0
    assert [type(error) for error in caught.value.exceptions] == [OSError]
    assert len(told) == 1
    assert peer.tried == 1


def test_p05_sessions_that_share_a_model_do_not_share_what_it_hears() -> None:
    """A stage is refused to a second session, a model is lent: pipecat-ai/pipecat#1602, #3378, #764."""

    async def scenario(sim: Simulation) -> None:
        stage = stages.BurstStage()
        pipeline(stage, name="the first session's")
        with pytest.raises(StageInUse, match=r"the first session's.*the second session's"):
            pipeline(stage, name="the second session's")
        answers: dict[str, set[str]] = {}
        async with open_model_pool("echo", lambda: str, runner=InlineRunner(0.03)) as pool:

            def talking(name: str) -> object:
                async def behaviour(context: SessionContext) -> None:
                    for number in range(10):
                        text = f"{name} {number}"
                        said = await pool.run(lambda model, text=text: model(text))
                        answers.setdefault(name, set()).add(said.split()[0])

                return behaviour

            async def one(name: str) -> None:
                async with sim.open_session(memory_peer()[0], talking(name)) as session:  # type: ignore[arg-type]
                    await session.wait_ended()

            async with trio.open_nursery() as nursery:
                for name in ("a", "b", "c", "d"):
                    nursery.start_soon(one, name)
        assert answers == {name: {name} for name in "abcd"}

    for seed in range(20):
        simulate(scenario, seed)


async def test_p06_a_pipeline_runs_once(autojump_clock: MockClock) -> None:
    """No state of a last run is left, since there is no second one: pipecat-ai/pipecat#4765, #1912."""
    graph = pipeline(stages.PassingStage(), stages.SilentStage())
    async with open_session(memory_peer()[0], graph):
        await trio.sleep(0.1)
    with pytest.raises(SessionError) as caught:
        async with open_session(memory_peer()[0], graph):
            await trio.sleep_forever()
    assert isinstance(caught.value.exceptions[0], StageInUse)


async def test_p25_a_pause_that_a_flush_ends_does_not_mute_the_next_reply(autojump_clock: MockClock) -> None:
    """A pause is the reply's, and goes with it: pipecat-ai/pipecat#4418, #4431, #2698, #3269."""
    peer, far_end = memory_peer()

    async def behaviour(context: SessionContext) -> None:
        first = context.playout.open_speech("first")
        first.release()
        await first.send(tone(2.0, 1000))
        await trio.sleep(0.5)
        first.pause()
        first.flush()
        second = context.playout.open_speech("second")
        second.release()
        await second.send(tone(1.0, 2000))
        second.finish()
        await second.wait_played()

    async with open_session(peer, behaviour) as session:
        await session.wait_ended()
    samples = np.concatenate([frame.samples for frame in far_end.audio])
    assert np.count_nonzero(samples == 2000) >= RATE - 0.02 * RATE


def test_p26_no_order_of_events_leaves_a_reply_stuck() -> None:
    """One owner of each queue: no wake-up is lost under any schedule: pipecat-ai/pipecat#2941, #721."""

    async def scenario(sim: Simulation) -> None:
        async def behaviour(context: SessionContext) -> None:
            async def one(number: int) -> None:
                speech = context.playout.open_speech(f"reply-{number}")
                await trio.sleep(sim.random.choice((0.0, 0.02, 0.1)))
                speech.release()
                for _ in range(3):
                    await speech.send(tone(0.1, number + 1))
                    if sim.random.random() < 0.3:
                        speech.pause()
                        await trio.sleep(sim.random.choice((0.0, 0.02)))
                        speech.resume()
                speech.finish()
                await speech.wait_played()

            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(one, number)

        async with sim.open_session(memory_peer()[0], behaviour) as session:
            await session.wait_ended()
        assert session.result.late == ()
        assert trio.current_time() < 3

    for seed in range(60):
        simulate(scenario, seed, limit_s=60)


async def test_p27_a_late_chunk_of_an_old_reply_is_refused(autojump_clock: MockClock) -> None:
    """Its handle is flushed: sending raises, and nothing is played: pipecat-ai/pipecat#3986, #1942, #754."""
    peer, far_end = memory_peer()
    refused = 0

    async def behaviour(context: SessionContext) -> None:
        nonlocal refused
        speech = context.playout.open_speech("old")
        speech.release()
        await speech.send(tone(0.5))
        await trio.sleep(0.3)
        speech.flush()
        for _ in range(5):  # the service sends on
            try:
                await speech.send(tone(0.1))
            except ReplyFlushed:
                refused += 1
        await trio.sleep(1)

    async with open_session(peer, behaviour) as session:
        await session.wait_ended()
    assert refused == 5
    samples = np.concatenate([frame.samples for frame in far_end.audio])
    assert np.count_nonzero(samples) <= 0.5 * RATE


async def test_p31_cancelled_generations_leave_no_socket(autojump_clock: MockClock) -> None:
    """The stream of an answer is closed when it is not wanted: pipecat-ai/pipecat#3589, #3639."""
    pytest.importorskip("httpx2")

    async def answer_for_ever(stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await stream.send_all(b"5\r\nword \r\n")
                await trio.sleep(0.1)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, answer_for_ever, listeners)
        async with open_http(f"http://127.0.0.1:{port}", service="llm") as http:
            await _cancel_one(http)  # what is made once (pools, a resolver) is made now
            with assert_no_leaks(channels=False):
                for _ in range(50):
                    await _cancel_one(http)
                await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def _cancel_one(http: object) -> None:
    with trio.move_on_after(0.35) as scope:
        async with http.stream("GET", "/") as chunks:  # type: ignore[attr-defined]
            async for _ in chunks:
                pass
    assert scope.cancelled_caught


async def test_p32_threads_do_not_grow_with_the_number_of_sessions() -> None:
    """A pool has its threads, whoever uses it: pipecat-ai/pipecat#5350, #5343."""
    seen: set[int] = set()

    def job() -> None:
        seen.add(threading.get_ident())

    async def behaviour(context: SessionContext) -> None:
        await pool.run(job)

    async with open_workers("analyser", workers=2) as pool:
        before = threading.active_count()
        for _ in range(100):
            async with open_session(memory_peer()[0], behaviour) as session:
                await session.wait_ended()
        assert threading.active_count() <= before + 2
    assert len(seen) <= 4


async def test_p33_sessions_that_are_over_are_freed(autojump_clock: MockClock) -> None:
    """A thousand short sessions leave nothing of themselves: pipecat-ai/pipecat#3116, #3750, #4838."""
    sessions: weakref.WeakSet[Session] = weakref.WeakSet()

    async def run(count: int) -> int:
        for _ in range(count):
            async with open_session(memory_peer()[0], speaking(0.1)) as session:
                sessions.add(session)
                await trio.sleep(0.01)
            del session
        gc.collect()
        return len(gc.get_objects())

    await run(20)
    before = await run(20)
    after = await run(300)
    assert len(sessions) == 0
    assert after - before < 300  # less than an object a session


async def test_p34_a_model_is_not_freed_while_its_thread_is_in_it() -> None:
    """The pool waits for the call in hand before its block is left: pipecat-ai/pipecat#5410, #5408."""
    entered, leave = threading.Event(), threading.Event()
    freed_while_busy: list[bool] = []
    busy = False

    class Model:
        def __del__(self) -> None:
            freed_while_busy.append(busy)

        def work(self) -> None:
            nonlocal busy
            busy = True
            entered.set()
            leave.wait(5)
            busy = False

    async with open_model_pool("native", Model) as pool:

        async def behaviour(context: SessionContext) -> None:
            await pool.run(lambda model: model.work(), name="native call")  # noqa: F821

        async with open_session(memory_peer()[0], behaviour) as session:
            await trio.to_thread.run_sync(entered.wait)
            session.cancel()
        assert session.result.abandoned == ("native call",)
        assert pool.statistics().busy == 1
        leave.set()
    assert pool.statistics().busy == 0
    del pool, behaviour
    gc.collect()
    assert freed_while_busy == [False]


async def test_p35_an_observer_costs_nothing_when_there_is_none_and_may_leave_at_any_time(
    autojump_clock: MockClock,
) -> None:
    """Taps are called in place, and leaving one disturbs no other: pipecat-ai/pipecat#4195, #5803, #5860."""
    hub = EventHub()
    assert hub.statistics().subscribers == 0
    seen: list[str] = []
    subscription = hub.subscribe()

    def leaves(event: Event) -> None:
        seen.append("leaves")
        subscription.close()
        hub._callbacks.remove(leaves)

    hub._callbacks.append(leaves)
    with hub.observed_by(lambda _event: seen.append("stays")):
        hub.tell(SourceEnded())
        hub.tell(SourceEnded())
    hub.tell(SourceEnded())
    assert seen == ["leaves", "stays", "stays"]
    async with open_session(memory_peer()[0], listen) as session:
        before = trio.lowlevel.current_statistics().tasks_living
        with session.hub.observed_by(lambda _event: None), session.events():
            assert trio.lowlevel.current_statistics().tasks_living == before  # no task for an observer
        assert session.statistics().events.subscribers == 0


async def test_p35_a_subscription_ends_with_its_session(autojump_clock: MockClock) -> None:
    """What was told can still be read afterwards: pipecat-ai/pipecat#4195."""
    async with open_session(memory_peer()[0], listen) as session:
        events = session.events()
        await trio.sleep(0.1)
    kinds = [type(event).__name__ async for event in events]
    assert kinds[-1] == "SessionEnding"
