"""One run of a connected recogniser where its stream ends in the midst of something, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.connection.fake_server import FakeServer, Meeting
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame
from voicetrio.services.hearing_wire import Finalized, Heard, HearingAnswer
from voicetrio.services.streaming_stt import HearingSettings
from voicetrio.services.streaming_turns import ConnectedTurnSTT
from voicetrio.services.stt import SpeechBoundary, SttInput, TurnHeard

RATE = 8000
CHUNK_S = 0.1
AUDIO = b"audio"


class Wire:
    """A vendor that says texts; ``!`` in front makes one final, and ``error`` ends the stream."""

    def opened(self) -> None:
        pass

    def audio(self, pcm: bytes) -> bytes:
        return AUDIO

    def finalize(self) -> str:
        return "finalize"

    def finish(self) -> None:
        return None

    def read(self, message: str | bytes) -> Sequence[HearingAnswer]:
        text = str(message)
        if text == "error":
            raise ServiceError("not now", service="vendor", transient=True)
        is_final = text.startswith("!")
        heard = Heard(text=text.removeprefix("!"), final=is_final, ends_turn=is_final)
        return [heard, Finalized()] if is_final else [heard]


def recogniser(server: FakeServer, **bounds: Any) -> ConnectedTurnSTT:
    return ConnectedTurnSTT(
        "vendor",
        RATE,
        Wire,
        server.connect,  # type: ignore[arg-type]
        HearingSettings(chunk_s=CHUNK_S),
        connection=ConnectionSettings(**bounds),
    )


@pytest.mark.parametrize("name", ["chunk_s", "answer_s", "lost_s", "replay_s"])
def test_settings_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be above 0, not 0"):
        HearingSettings(**{name: 0})


def frame(number: int) -> AudioFrame:
    return AudioFrame.silence(round(CHUNK_S * RATE), RATE, position=number * round(CHUNK_S * RATE))


@asynccontextmanager
async def listening(listen: Callable[..., Any]) -> AsyncIterator[tuple[Any, Any]]:
    """Run ``listen``; give what it is fed by, and what it tells."""
    to_stt, inlet = trio.open_memory_channel[SttInput](100)
    told, heard = trio.open_memory_channel[Any](100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, inlet, told)
        yield to_stt, heard
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("steps", range(6))
async def test_cancelled_at_its_first_steps_it_leaves_nothing_behind(
    steps: int, autojump_clock: MockClock
) -> None:
    server = FakeServer()
    to_stt, inlet = trio.open_memory_channel[SttInput](1)
    told, _heard = trio.open_memory_channel[Transcript](1)
    to_stt.send_nowait(frame(0))
    async with trio.open_nursery() as nursery:
        # A task that was never begun would be a warning, and warnings are errors.
        nursery.start_soon(recogniser(server).listen, inlet, told)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert server.alive == 0


async def test_who_asks_on_a_stream_that_is_ending_waits_for_the_next(autojump_clock: MockClock) -> None:
    # The vendor takes nothing, so what was asked is not answered; its stream is recycled, and takes a while
    # to end.  Meanwhile speech stops again: asking once more must not be tried again and again.
    server = FakeServer(Meeting(takes_nothing=True), Meeting())
    server.on_message = lambda socket, message: socket.say("!again") if message == "finalize" else None
    async with listening(recogniser(server).listen) as (to_stt, heard):
        for number in range(5):
            await to_stt.send(frame(number))
        await trio.sleep(0.5)
        await to_stt.send(SpeechBoundary("start", 0))
        await to_stt.send(SpeechBoundary("stop", RATE // 4))
        first = await heard.receive()
        assert (first.text, first.final, first.position) == ("", True, RATE // 4)
        await to_stt.send(SpeechBoundary("start", RATE // 4))
        await to_stt.send(SpeechBoundary("stop", RATE // 2))
        await trio.sleep(2.0)
        await to_stt.send(frame(5))
        second = await heard.receive()
    assert (second.text, second.final, second.position) == ("again", True, RATE // 2)
    assert server.texts.count(AUDIO) == 6


async def test_a_turn_goes_on_although_its_stream_ended_while_the_last_audio_was_given(
    autojump_clock: MockClock,
) -> None:
    # One message is being written, one waits, and the third is in the sender's hand: it finds the stream over
    # before the connection tells that.  No more audio comes.
    server = FakeServer(Meeting(takes_nothing=True), Meeting())
    heard: list[TurnHeard] = []
    async with listening(recogniser(server, max_queued_items=1).listen_turns) as (to_stt, turns):
        for number in range(3):
            await to_stt.send(frame(number))
        await trio.sleep(0.5)
        server.socket.say("good")
        await trio.sleep(0.5)
        server.socket.say("error")
        await trio.sleep(1.0)
        assert server.texts == [AUDIO] * 3
        server.socket.say("!good morning")
        await trio.sleep(0.5)
        while True:
            try:
                heard.append(turns.receive_nowait())
            except trio.WouldBlock:
                break
    assert [(turn.transcript.text, turn.transcript.final) for turn in heard] == [
        ("good", False),
        ("good morning", True),
    ]


async def test_a_change_that_a_lost_stream_did_not_take_is_the_first_that_the_next_one_hears(
    autojump_clock: MockClock,
) -> None:
    server = FakeServer(Meeting(takes_nothing=True), Meeting())
    stt = recogniser(server, max_queued_items=1)
    async with listening(stt.listen_turns) as (to_stt, _turns):
        for number in range(3):
            await to_stt.send(frame(number))
        await trio.sleep(0.5)
        stt._configure("change")
        await trio.sleep(0.5)
        server.socket.end(1011)
        await trio.sleep(0.1)
        await to_stt.send(frame(3))
        await trio.sleep(1.0)
    assert server.texts == ["change", *[AUDIO] * 4]
