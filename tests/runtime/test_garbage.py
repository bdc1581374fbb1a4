"""What a session leaves behind goes at once: a collection would stop every other session of the process.

One that failed is apart: its result keeps the error, and the error's traceback its frames.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.runtime.peer import Peer
from tests.runtime.test_session import BED, speaking
from voicetrio.frames import Frame
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.session import open_session


class Stage:
    """Passes frames on."""

    async def __call__(
        self, inlet: trio.abc.ReceiveChannel[Frame], outlet: trio.abc.SendChannel[Frame]
    ) -> None:
        async for frame in inlet:
            await outlet.send(frame)


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def run_stages(how: str) -> list[weakref.ref[object]]:
    """Run a session of some stages, and return what shall not outlive it."""
    stages = [Stage(), Stage(), Stage()]
    async with open_session(Peer(), pipeline(*stages)) as session:
        kept = [weakref.ref[object](each) for each in (session, *stages)]
        session.playout.start_bed(BED)
        await trio.sleep(0.2)
        if how == "cancel":
            session.cancel()
    return kept


async def run_speaking(how: str) -> list[weakref.ref[object]]:
    async with open_session(Peer(), speaking(1.0)) as session:
        kept = [weakref.ref[object](session)]
        await trio.sleep(0.3)
        if how == "cancel":
            session.cancel()
    return kept


@pytest.mark.parametrize("how", ["cancel", "end"])
async def test_a_session_of_stages_is_gone_when_its_block_was_left(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    with no_collection():
        kept = await run_stages(how)
        await trio.lowlevel.checkpoint()
        assert [ref() for ref in kept] == [None] * 4


@pytest.mark.parametrize("how", ["cancel", "end"])
async def test_a_session_that_spoke_is_gone_when_its_block_was_left(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    with no_collection():
        kept = await run_speaking(how)
        await trio.lowlevel.checkpoint()
        assert [ref() for ref in kept] == [None]
