"""One run of a connected voice, with contexts that a test makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from voicetrio.errors import ServiceError
from voicetrio.frames import TextFrame
from voicetrio.services.streaming_tts import Speaking, VoiceSettings
from voicetrio.services.tts import TtsOutput
from voicetrio.services.voice_line import VoiceContext
from voicetrio.services.voice_wire import VoiceItem


class Failing:
    """A context that fails as it is told, each time."""

    def __init__(self, error: ServiceError) -> None:
        self._error = error

    async def say(self, text: str) -> None:
        await trio.lowlevel.checkpoint()

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> VoiceItem:
        await trio.lowlevel.checkpoint()
        raise self._error

    def give_up(self, why: str) -> None:
        pass


async def time_until_it_fails(error: ServiceError) -> float:
    """Let a voice fail again and again; return after how many seconds that is raised."""

    @asynccontextmanager
    async def lease() -> AsyncIterator[VoiceContext]:
        await trio.lowlevel.checkpoint()
        yield Failing(error)

    to_voice, inlet = trio.open_memory_channel[TextFrame](1)
    outlet, _audio = trio.open_memory_channel[TtsOutput](100)
    to_voice.send_nowait(TextFrame("Hello."))
    start = trio.current_time()
    with pytest.raises(ServiceError) as caught:
        await Speaking("vendor", 16000, lease, VoiceSettings(retry_s=0.25)).run(inlet, outlet)
    assert caught.value is error
    return trio.current_time() - start


async def test_a_voice_that_fails_is_tried_again_after_growing_waits(autojump_clock: MockClock) -> None:
    error = ServiceError("not now", service="vendor", transient=True)
    assert await time_until_it_fails(error) == pytest.approx(0.25 + 0.5 + 1.0)


async def test_the_wait_that_a_vendor_asks_for_is_kept(autojump_clock: MockClock) -> None:
    error = ServiceError("not now", service="vendor", transient=True, retry_after_s=2.0)
    assert await time_until_it_fails(error) == pytest.approx(3 * 2.0)


async def test_a_vendor_that_asks_for_a_wait_no_reply_can_stand_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    error = ServiceError("not now", service="vendor", transient=True, retry_after_s=600.0)
    assert await time_until_it_fails(error) == 0.0


async def test_what_will_not_pass_is_not_tried_again(autojump_clock: MockClock) -> None:
    assert await time_until_it_fails(ServiceError("never", service="vendor")) == 0.0
