"""A task that makes items while another one uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from voicetrio.runtime.attendants import open_attendants

__all__ = ["open_produced"]

T = TypeVar("T")


@asynccontextmanager
async def open_produced(
    produce: Callable[[trio.abc.SendChannel[T]], Awaitable[object]], *, ahead: int
) -> AsyncIterator[trio.abc.ReceiveChannel[T]]:
    """Run ``produce(outlet)`` in a task, at most ``ahead`` items ahead, and give what it sends.

    The channel ends when ``produce`` returns.  When it raises, the block is cancelled and the exception
    comes out of it as it is, in no group.  Leaving the block stops the task.
    """
    sender, receiver = trio.open_memory_channel[T](ahead)
    failures: list[Exception] = []

    async def run() -> None:
        async with sender:
            try:
                await produce(sender)
            except trio.BrokenResourceError:
                pass  # nobody takes the items any more
            except Exception as error:
                failures.append(error)
                user.cancel("the producer failed")

    try:
        async with open_attendants() as nursery:
            nursery.start_soon(run)
            with trio.CancelScope() as user, receiver:  # noqa: ASYNC100 - the block has checkpoints
                yield receiver
    except (Exception, trio.Cancelled):  # noqa: ASYNC103  # what is not raised here is raised below
        if not failures:
            raise
        # The producer's failure is worth more than what it has led to.
    if failures:
        raise failures.pop()
