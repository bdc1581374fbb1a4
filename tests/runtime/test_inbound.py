"""What the peer sends, on its way to the behaviour."""

from __future__ import annotations

import pytest
import trio

from tests.runtime.peer import Peer
from voicetrio.events import Dtmf, Event, MessageReceived, PeerLost, SourceEnded
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame
from voicetrio.runtime.behaviour import SessionContext
from voicetrio.runtime.session import open_session
from voicetrio.runtime.transport import Inbound, Traits


def audio(k: int) -> AudioFrame:
    return AudioFrame.silence(320, 16000, position=320 * k)


class Listener:
    """A behaviour that keeps what it is given."""

    def __init__(self, *, asleep_s: float = 0.0) -> None:
        self.got: list[Frame] = []
        self._asleep_s = asleep_s

    async def __call__(self, context: SessionContext) -> None:
        await trio.sleep(self._asleep_s)
        async for frame in context.inlet:
            self.got.append(frame)


async def inbound_of(peer: Peer) -> Inbound:
    await trio.testing.wait_all_tasks_blocked()
    assert peer.inbound is not None
    return peer.inbound


async def test_audio_keys_and_messages_arrive_in_order(autojump_clock: trio.testing.MockClock) -> None:
    peer, listener = Peer(), Listener()
    async with open_session(peer, listener):
        inbound = await inbound_of(peer)
        inbound.send_nowait(audio(0))
        inbound.tell(Dtmf(digit="7", position=320))
        inbound.tell(MessageReceived(data=[1]))
        inbound.send_nowait(audio(1))
        await trio.sleep(0.1)
    assert listener.got == [audio(0), DtmfFrame("7", 320), MessageFrame([1]), audio(1)]


async def test_live_audio_never_blocks_and_the_oldest_is_dropped_and_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer, listener = Peer(), Listener(asleep_s=60)
    async with open_session(peer, listener) as session:
        inbound = await inbound_of(peer)
        for k in range(1000):
            inbound.send_nowait(audio(k))
        await trio.sleep(61)
    kept = [frame.position for frame in listener.got if isinstance(frame, AudioFrame)]
    assert kept == [320 * k for k in range(750, 1000)]  # five seconds, and the gap is in the positions
    assert session.result.counters.frames_dropped_in == 750


async def test_a_file_waits_for_a_slow_behaviour(autojump_clock: trio.testing.MockClock) -> None:
    peer, listener = Peer(Traits(live=False)), Listener(asleep_s=60)
    async with open_session(peer, listener) as session:
        inbound = await inbound_of(peer)
        start = trio.current_time()
        for k in range(100):
            await inbound.send(audio(k))
        assert trio.current_time() - start == pytest.approx(60)
        await trio.sleep(1)
    assert len(listener.got) == 100
    assert session.result.counters.frames_dropped_in == 0


async def test_nothing_is_taken_after_the_end_began(autojump_clock: trio.testing.MockClock) -> None:
    peer, listener = Peer(), Listener()
    async with open_session(peer, listener) as session:
        inbound = await inbound_of(peer)
        session.end()
        inbound.send_nowait(audio(0))
        await inbound.send(audio(1))
        inbound.tell(Dtmf(digit="1"))
    assert listener.got == []
    assert session.result.counters.frames_refused == 2


async def test_nothing_is_told_after_a_cancel(autojump_clock: trio.testing.MockClock) -> None:
    peer, listener = Peer(), Listener()
    seen: list[object] = []

    async with open_session(peer, listener) as session:
        inbound = await inbound_of(peer)
        session.cancel()
        with session.hub.observed_by(seen.append):
            inbound.tell(Dtmf(digit="1"))
            inbound.send_nowait(audio(0))
    assert seen == []


async def test_a_source_waiting_for_room_is_let_go_by_the_end(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer(Traits(live=False))

    async def stuck(context: SessionContext) -> None:
        await context.wait_ending()
        await trio.sleep(0.1)

    async def read_file(inbound: Inbound) -> None:
        for k in range(100):
            await inbound.send(audio(k))

    async with open_session(peer, stuck) as session:
        inbound = await inbound_of(peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_file, inbound)
            await trio.sleep(1.0)
            taken = session.statistics().inbound.frames
            assert taken < 100
            session.end(grace=0.5)
    assert session.result.counters.frames_in == taken
    assert session.result.counters.frames_refused == 100 - taken + 1


async def test_confirmations_are_counted_and_stale_ones_apart(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer(Traits(output_rate=24000, confirms=True))
    async with open_session(peer, Listener()) as session:
        inbound = await inbound_of(peer)
        inbound.confirm(0, 0)
        inbound.confirm(3, 0)
        inbound.confirm(0, 480)
        statistics = session.statistics().inbound
        assert (statistics.confirmations, statistics.stale_confirmations) == (1, 2)


async def test_a_behaviour_that_stopped_listening_refuses_audio(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer = Peer()

    async def deaf(context: SessionContext) -> None:
        await context.inlet.aclose()
        await context.wait_ending()

    async with open_session(peer, deaf) as session:
        inbound = await inbound_of(peer)
        inbound.send_nowait(audio(0))
        await inbound.send(audio(1))
    assert session.result.counters.frames_refused == 2


async def test_what_is_no_frame_is_told_and_goes_no_further(autojump_clock: trio.testing.MockClock) -> None:
    peer, listener = Peer(), Listener()
    seen: list[object] = []
    async with open_session(peer, listener) as session:
        inbound = await inbound_of(peer)
        with session.hub.observed_by(seen.append):
            inbound.tell(PeerLost(why="a tunnel", wait_s=5.0))
            assert [type(event) for event in seen] == [PeerLost]
    assert listener.got == []


async def test_a_peer_may_ask_for_the_end(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    async with open_session(peer, Listener()) as session:
        inbound = await inbound_of(peer)
        inbound.end("the caller hung up", 0.5)
        await session.wait_ended()
    assert session.result.reason == "the caller hung up"


async def test_a_source_ends_once(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    ends: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, SourceEnded):
            ends.append(event)

    async with open_session(peer, Listener()) as session:
        inbound = await inbound_of(peer)
        with session.hub.observed_by(note):
            inbound.source_ended()
            inbound.source_ended()
            await session.wait_ended()
    assert session.result.reason == "source_ended"
    assert len(ends) == 1


async def test_while_the_peer_is_lost_the_playout_stands_still(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def speak(context: SessionContext) -> None:
        speech = context.playout.open_speech("reply")
        speech.release()
        await speech.send(AudioFrame.silence(24000, 24000))
        await context.wait_ending()

    peer = Peer()
    async with open_session(peer, speak) as session:
        inbound = await inbound_of(peer)
        await trio.sleep(0.5)
        inbound.lost()
        ticks = session.playout.statistics().ticks
        await trio.sleep(5)
        assert session.playout.statistics().ticks == ticks
        epoch, position = inbound.back()
        assert (epoch, position) == (1, session.playout.position)
        await trio.sleep(0.2)
        assert session.playout.statistics().ticks > ticks
