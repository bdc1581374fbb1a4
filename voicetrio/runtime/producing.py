"""A task that makes items while another one uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

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
    failure: Exception | None = None
    sender, receiver = trio.open_memory_channel[T](ahead)

    async def run() -> None:
        nonlocal failure
        async with sender:
            try:
                await produce(sender)
            except trio.BrokenResourceError:
                pass  # nobody takes the items any more
            except Exception as error:
                failure = error
                user.cancel("the producer failed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.CancelScope() as user, receiver:  # noqa: ASYNC100 - the block has checkpoints
            try:
                yield receiver
            except Exception as error:
                failure = failure or error
        nursery.cancel_scope.cancel("the items are not wanted any more")
    if failure is not None:
        raise failure
