"""Tasks that serve a block: a nursery that lets the block's own exception out as it is.

Whatever opens something with a task in it (``async with open_…() as thing``) needs a nursery around the block
of its user, and a nursery puts what the block raises into a group: ``except KeyError`` would be in vain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from voicetrio.runtime.failures import beside_cancelled

__all__ = ["open_attendants"]


@asynccontextmanager
async def open_attendants(*, wait: bool = False) -> AsyncIterator[trio.Nursery]:
    """Give a nursery for tasks that serve the block; they are cancelled when it is left.

    1. An Exception of the block comes out as it is, in no group; also when the block was being cancelled:
       a failure is worth more than a Cancelled beside it, and nothing may swallow it.
    2. What a task raises cancels the block and comes out in a group, as from any nursery; if the block has
       raised as well, that is in the group, too.

    With ``wait`` the tasks are waited for when the block is left normally: they end by themselves.
    """
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except Exception as error:
                failure = error
            if failure is not None or not wait:
                nursery.cancel_scope.cancel(reason="the block was left")
    except BaseException as raised:  # noqa: ASYNC103  # the failure is raised below
        others = beside_cancelled(raised)
        try:
            if failure is None:
                raise
            if others:
                raise BaseExceptionGroup("a block and its tasks failed", [failure, *others]) from None  # noqa: ASYNC104
        finally:
            del others
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # a frame with its own exception in it is garbage, see ``running``
