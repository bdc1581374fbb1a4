"""What a session makes of each faulty peer, under virtual time."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from tests.testing.test_simulation import speak_half_a_second
from voicetrio.errors import SessionError
from voicetrio.runtime.ending import SessionSettings
from voicetrio.runtime.session import open_session
from voicetrio.testing.faults import peers
from voicetrio.transports.memory import memory_peer


async def test_a_peer_that_stops_reading_is_gone_after_the_stall_limit(autojump_clock: MockClock) -> None:
    peer, far_end = memory_peer()
    stalling = peers.StallingPeer(peer, operations=3)
    async with open_session(stalling, speak_half_a_second, settings=SessionSettings(stall_s=2)) as session:
        await session.wait_ended()
        assert trio.current_time() == pytest.approx(2.0, abs=0.1)
    assert session.result.reason == "peer_gone"
    assert len(far_end.heard) == 3


@pytest.mark.parametrize(("delay_s", "lasts_s"), [(0.25, 0.25), (float("inf"), 1.0)])
async def test_a_slow_goodbye_is_waited_for_until_close_by(
    delay_s: float, lasts_s: float, autojump_clock: MockClock
) -> None:
    peer, _ = memory_peer()
    async with open_session(peers.SlowGoodbyePeer(peer, delay_s), speak_half_a_second) as session:
        await trio.sleep(1)
        session.cancel()
    assert trio.current_time() == pytest.approx(1 + lasts_s)


async def test_a_slow_goodbye_after_an_end_is_bounded_too(autojump_clock: MockClock) -> None:
    peer, _ = memory_peer()
    async with open_session(peers.SlowGoodbyePeer(peer), speak_half_a_second) as session:
        session.end(grace=2)
    assert trio.current_time() <= 3 + 0.03
    assert session.result.reason == "ended"


async def test_a_vanishing_peer_is_gone(autojump_clock: MockClock) -> None:
    peer, _ = memory_peer()
    async with open_session(
        peers.VanishingPeer(peer, after_s=0.2, code=1001), speak_half_a_second
    ) as session:
        await session.wait_ended()
        assert trio.current_time() == pytest.approx(0.2)
    assert session.result.reason == "peer_gone"


async def test_a_refusing_peer_is_gone_at_once(autojump_clock: MockClock) -> None:
    peer, far_end = memory_peer()
    async with open_session(peers.RefusingPeer(peer), speak_half_a_second) as session:
        await session.wait_ended()
    assert (session.result.reason, trio.current_time(), len(far_end.heard)) == ("peer_gone", 0, 0)


async def test_a_broken_peer_is_a_failure(autojump_clock: MockClock) -> None:
    peer, _ = memory_peer()
    with pytest.raises(SessionError) as caught:
        async with open_session(peers.BrokenPeer(peer, after_s=0.2), speak_half_a_second) as session:
            await trio.sleep_forever()
    assert isinstance(caught.value.exceptions[0], peers.PeerFault)
    assert session.result.reason == "failed"


async def test_a_half_closed_peer_still_hears(autojump_clock: MockClock) -> None:
    peer, far_end = memory_peer()
    half_closed = peers.HalfClosedPeer(peer, after_s=0.05)
    assert half_closed.name == peer.name
    async with open_session(half_closed, speak_half_a_second) as session:
        for _ in range(20):
            far_end.send_audio_nowait(np.zeros(320, np.int16))
            await trio.sleep(0.02)
        far_end.end_source()
        far_end.dtmf("1")
        await trio.sleep(0.5)
        assert not session.ending
    assert session.result.counters.frames_in == 3
    assert sum(frame.sample_count for frame in far_end.audio) >= 12000
