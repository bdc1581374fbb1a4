"""A vendor's wire on a connection: contexts that can be leased, and answers that find them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeAlias, final

import trio

from voicetrio.connection.connection import Connect, Connection, open_connection
from voicetrio.connection.contexts import Context, Contexts
from voicetrio.connection.faults import ConnectionLost
from voicetrio.connection.settings import ConnectionSettings, Keepalive
from voicetrio.connection.websocket.socket import Message
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.machines.stream_end import Classifier
from voicetrio.services.voice_wire import (
    ContextDone,
    ContextFailed,
    Sound,
    StretchSpoken,
    VoiceItem,
    VoiceWire,
    WordTimes,
)

__all__ = ["Lease", "VoiceContext", "VoiceLine", "open_voice_line"]


class VoiceContext(Protocol):
    """One context, as a run uses it."""

    async def say(self, text: str) -> None:
        """Give text."""
        ...

    async def end(self) -> None:
        """Give no more."""
        ...

    async def receive(self) -> VoiceItem:
        """Return what comes next; raises trio.EndOfChannel at the end, ServiceError when it failed."""
        ...

    def give_up(self, why: str) -> None:
        """The stream is not worth being used any longer: the next context shall have a new one."""
        ...


Lease: TypeAlias = Callable[[], AbstractAsyncContextManager[VoiceContext]]
"""Gives a context for as long as the block lasts."""


@final
class VoiceLine:
    """One wire on one connection; ``open_voice_line`` makes one.

    Args:
        wire: the vendor's.
        max_open: how many contexts the vendor allows on one socket.
        linger_s: how long a cancelled context that the vendor does not confirm counts as open there.

    Where the connection is opened otherwise: give it ``on_message``, and give it to ``attach``.
    """

    def __init__(self, wire: VoiceWire, *, max_open: int, linger_s: float = 2.0) -> None:
        self._wire = wire
        self._max_open = max_open
        self._linger_s = linger_s
        self._contexts: Contexts[VoiceItem] | None = None
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection."""
        assert self._connection is not None
        return self._connection

    @property
    def contexts(self) -> Contexts[VoiceItem]:
        """Its contexts."""
        assert self._contexts is not None
        return self._contexts

    def attach(self, connection: Connection) -> None:
        """Use ``connection``."""
        self._connection = connection
        self._contexts = Contexts(
            connection, max_open=self._max_open, cancel=self._wire.cancel, linger_s=self._linger_s
        )
        connection.on_lost(lambda _stream, _lost: self._wire.lost())

    def on_message(self, message: Message) -> None:
        """Give what ``message`` means to whom it concerns; never waits."""
        contexts = self.contexts
        for answer in self._wire.read(message):
            match answer:
                case Sound(context, pcm, _):
                    contexts.deliver(context, answer, len(pcm) / 2 / self._wire.rate)
                case WordTimes() | StretchSpoken():
                    contexts.deliver(answer.context, answer)
                case ContextDone(context):
                    contexts.finish(context)
                case ContextFailed(context, error):
                    contexts.fail(context, error)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[VoiceContext]:
        """Give a context; see ``Contexts.lease``."""
        with self.connection.using():
            async with self.contexts.lease() as context:
                yield _LineContext(self._wire, context, self)


@asynccontextmanager
async def open_voice_line(
    wire: VoiceWire,
    connect: Connect,
    *,
    name: str,
    max_open: int,
    linger_s: float = 2.0,
    settings: ConnectionSettings | None = None,
    reconnect: ReconnectSettings | None = None,
    keepalive: Keepalive | None = None,
    classifier: Classifier | None = None,
    dial_now: bool = True,
) -> AsyncIterator[VoiceLine]:
    """Put ``wire`` on a connection for as long as the block lasts.

    The arguments are those of ``VoiceLine`` and ``open_connection``.
    """
    line = VoiceLine(wire, max_open=max_open, linger_s=linger_s)
    async with open_connection(
        connect,
        name=name,
        settings=settings,
        reconnect=reconnect,
        keepalive=keepalive,
        on_message=line.on_message,
        classifier=classifier,
        dial_now=dial_now,
    ) as connection:
        line.attach(connection)
        yield line


@final
class _LineContext:
    def __init__(self, wire: VoiceWire, context: Context[VoiceItem], line: VoiceLine) -> None:
        self._wire = wire
        self._context = context
        self._line = line

    async def say(self, text: str) -> None:
        for message in self._wire.say(self._context.id, text):
            await self._context.send(message)
        await trio.lowlevel.checkpoint()

    async def end(self) -> None:
        for message in self._wire.end(self._context.id):
            await self._context.send(message)
        if self._wire.is_done(self._context.id):
            self._line.contexts.finish(self._context.id)
        await trio.lowlevel.checkpoint()

    async def receive(self) -> VoiceItem:
        lost: ConnectionLost | None = None
        try:
            return await self._context.receive()
        except ConnectionLost as error:
            lost = error
        if self._line.connection.state == "failed":
            await self._line.connection.wait_usable()  # raises why there is no other try
        raise lost

    def give_up(self, why: str) -> None:
        if self._line.connection.stream == self._context.stream:
            self._line.connection.recycle(why)
