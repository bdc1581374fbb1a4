from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
import trio.testing

from tests.transports.inbound import Run, running
from voicetrio.connection.websocket import SocketLimits, accept_websocket, open_stream_socket
from voicetrio.errors import ConfigError, PeerGone
from voicetrio.events import Dtmf, Interrupted, MessageReceived, TurnStarted
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import Clear, HangUp, SendMessage
from voicetrio.testing.reference_client import ReferenceClient, open_reference_client
from voicetrio.transports.serializers.native import NativeWire
from voicetrio.transports.websocket import WebSocketPeer

FRAME = AudioFrame.from_samples(np.full(480, 1000), 24000)


@asynccontextmanager
async def call(**options) -> AsyncIterator[tuple[ReferenceClient, Run]]:
    """Give a client and the transport that it is connected to, over memory."""
    near, far = trio.testing.memory_stream_pair()
    limits = SocketLimits()
    async with trio.open_nursery() as nursery:
        opened: list[Run] = []
        ready, done = trio.Event(), trio.Event()

        async def serve() -> None:
            driver, request = await accept_websocket(near, limits)
            async with open_stream_socket(near, driver, limits) as socket:
                peer = WebSocketPeer(socket, NativeWire.from_query(request.query), name="p", request=request)
                async with running(peer) as run:
                    opened.append(run)
                    ready.set()
                    await done.wait()

        nursery.start_soon(serve)
        async with open_reference_client("ws://test/", stream=far, **options) as client:
            await ready.wait()
            yield client, opened[0]
        done.set()


async def pace(run: Run, frames: int, *, start: int = 0, lead: int = 3) -> None:
    """Offer ``frames`` as a playout does: a lead's worth at once, then one each 20 ms."""
    started = trio.current_time()
    for number in range(frames):
        await trio.sleep_until(started + max(0, number - lead + 1) * 0.02)
        assert run.outbox.offer(FRAME.at(start + 480 * number))


async def test_the_microphone_never_stops_and_speaks_what_it_is_given(autojump_clock):
    async with call() as (client, run):
        await trio.sleep_until(client.microphone_started + 0.05)
        speech = np.arange(1, 1001, dtype=np.int16)
        at = client.speak(speech)
        assert at == pytest.approx(client.microphone_started + 0.04)
        assert client.speak(speech) == pytest.approx(at + 1000 / 16000)
        await client.wait_spoken()
        await trio.sleep_until(client.microphone_started + 1.001)
        frames = run.inbound.frames
        assert [frame.position for frame in frames] == [320 * k for k in range(50)]
        expected = [client.microphone_started + 0.02 * (k + 1) for k in range(50)]
        assert run.inbound.times == pytest.approx(expected)
        heard = np.concatenate([frame.samples for frame in frames])
        assert np.array_equal(heard[640:2640], np.concatenate((speech, speech)))
        assert not heard[:640].any()
        assert not heard[2640:].any()
        track = client.spoken_track(at - 0.01, at + 0.1)
        assert np.array_equal(track[:160], np.zeros(160))
        assert np.array_equal(track[160:1160], speech)
        assert client.statistics().microphone_late_s == 0


async def test_a_paced_stream_plays_without_a_gap_and_is_reported(autojump_clock):
    async with call() as (client, run):
        started = trio.current_time()
        await pace(run, 100)
        await trio.sleep(0.059)
        counts = client.statistics()
        assert (counts.playback.underruns, counts.audio_messages) == (0, 100)
        assert counts.playback.played_samples == pytest.approx(480 * 100, abs=48)
        assert all(epoch == 0 for _time, epoch, _position in run.inbound.confirmed)
        for time, _epoch, position in run.inbound.confirmed:
            assert position == pytest.approx((time - started) * 24000, abs=1)
        assert len(run.inbound.confirmed) >= 19
        track = client.played_track(started - 0.01, started + 1)
        assert not track[:240].any()
        assert (track[240:] == 1000).all()


async def test_a_stall_is_counted_as_an_underrun_with_its_length(autojump_clock):
    async with call() as (client, run):
        await pace(run, 10)
        await trio.sleep(0.2)
        await pace(run, 10, start=4800)
        playback = client.statistics().playback
        assert playback.underruns == 1
        # 60 ms were buffered when the stall began, and 60 ms came at once when it ended.
        assert playback.longest_gap_s == pytest.approx(0.2 - 0.06)


async def test_a_clear_silences_at_once_and_starts_an_epoch(autojump_clock):
    async with call() as (client, run):
        await pace(run, 10)
        run.outbox.put(Clear(1, 48000))
        await trio.testing.wait_all_tasks_blocked(0.001)
        cleared = trio.current_time()
        await pace(run, 5, start=48000)
        await trio.sleep(0.1)
        assert client.epoch == 1
        assert [arrival.epoch for arrival in client.arrivals] == [0] * 10 + [1] * 5
        assert [arrival.position for arrival in client.arrivals[9:]] == [
            4320 + 48000 * 0,
            *range(48000, 50400, 480),
        ]
        playback = client.statistics().playback
        assert (playback.clears, playback.underruns) == (1, 0)
        assert playback.longest_clear_gap_s <= 0.002
        assert {epoch for time, epoch, _position in run.inbound.confirmed if time > cleared} == {1}
        positions = [stretch.position for stretch in client.played_stretches()]
        assert positions == sorted(positions)


async def test_a_script_can_wait_for_one_event_after_another(autojump_clock):
    async with call() as (client, run):

        async def server() -> None:
            await trio.sleep(1)
            run.outbox.put(SendMessage(TurnStarted(position=7)))
            run.outbox.put(SendMessage({"mine": 1}))
            await trio.sleep(1)
            run.outbox.put(SendMessage(Interrupted(reply="reply-1", because="words")))
            await trio.sleep(1)
            run.outbox.put(HangUp(1000, "ended"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(server)
            hello = await client.wait_message(lambda message: message.fields["type"] == "hello")
            assert hello.fields["output_rate"] == 24000
            await trio.sleep(2.5)
            first = await client.wait_event("turn_started")
            assert (first.event, first.fields["position"]) == ("turn_started", 7)
            second = await client.wait_event(lambda fields: fields.get("reply") == "reply-1")
            assert second.event == "interrupted"
            with pytest.raises(PeerGone, match="ended"):
                await client.wait_event("turn_started")
            closed = await client.wait_closed()
            assert (closed.code, closed.reason) == (1000, "ended")
        assert client.statistics().audio_after_bye == 0


async def test_audio_after_the_goodbye_is_counted():
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def rude() -> None:
            driver, _request = await accept_websocket(near, SocketLimits())
            async with open_stream_socket(near, driver, SocketLimits()) as socket:
                await socket.send('{"type":"bye","reason":""}')
                await socket.send(bytes(960))

        nursery.start_soon(rude)
        async with open_reference_client("ws://test/", stream=far) as client:
            await client.wait_closed()
            assert client.statistics().audio_after_bye == 1


async def test_keys_messages_text_and_hanging_up_reach_the_server(autojump_clock):
    async with call() as (client, run):
        await client.press("5")
        await client.type_text("hi")
        await client.send_message({"a": 1})
        await client.hang_up()
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert run.inbound.events == [
            Dtmf(digit="5"),
            MessageReceived(data={"type": "text", "text": "hi"}),
            MessageReceived(data={"a": 1}),
        ]
        assert run.inbound.source_ended_at is not None


async def test_leaving_the_block_closes_and_an_exception_passes_as_it_is(autojump_clock):
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with call() as (_client, run):
            raise KeyError("mine")
    assert run.gone.code == 1000


async def test_what_a_microphone_cannot_take_is_refused(autojump_clock):
    async with call() as (client, _run):
        with pytest.raises(ConfigError, match="int16"):
            client.speak(np.zeros(10))
        with pytest.raises(ConfigError, match="before it starts"):
            client.played_track(2, 1)
