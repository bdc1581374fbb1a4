"""Peers that misbehave, at the seam of the transport: each stands before another peer, and is one.

They need no network, so their timing is exact under virtual time.  What only a network can do (half a frame,
a reset) is in ``faults.sockets``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs
import trio

from voicetrio.errors import PeerGone
from voicetrio.events import Event
from voicetrio.frames import AudioFrame
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.transport import Inbound, Operation, OutboxReader, Traits, Transport

__all__ = [
    "BrokenPeer",
    "HalfClosedPeer",
    "PeerFault",
    "RefusingPeer",
    "SlowGoodbyePeer",
    "StallingPeer",
    "VanishingPeer",
]


class PeerFault(Exception):
    """What a peer of this module raises when it is to fail."""


@attrs.define(eq=False)
class _Peer:
    """A peer that passes everything on to another one."""

    peer: Transport = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The other peer's name."""
        return self.peer.name

    @property
    def traits(self) -> Traits:
        """What the other peer can do."""
        return self.peer.traits

    def operation_for(self, event: Event) -> Operation | None:
        """Return what the other peer's wire has for ``event``, if anything."""
        encode = getattr(self.peer, "operation_for", None)
        operation: Operation | None = None if encode is None else encode(event)
        return operation


@final
@attrs.define(eq=False)
class StallingPeer(_Peer):
    """Stops reading: the write after ``operations`` operations never ends."""

    operations: int = 0

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Run the other peer, with an outbox that stalls."""
        await self.peer.run(inbound, _StallingOutbox(outbox, self.operations))


@final
@attrs.define(eq=False)
class SlowGoodbyePeer(_Peer):
    """Answers the goodbye ``delay_s`` seconds late, or never; also when it is cancelled."""

    delay_s: float = math.inf

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Run the other peer, and then say goodbye slowly."""
        try:
            await self.peer.run(inbound, outbox)
        finally:
            if trio.current_effective_deadline() == -math.inf:  # it is being cancelled
                with cleanup():
                    await trio.sleep(self.delay_s)  # noqa: ASYNC102  # cleanup() is a shield with a deadline
        await trio.sleep(self.delay_s)


@final
@attrs.define(eq=False)
class VanishingPeer(_Peer):
    """Is gone after ``after_s`` seconds, without a goodbye or with a close ``code``."""

    after_s: float = 1.0
    code: int | None = None

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Run the other peer until then."""
        with trio.move_on_after(self.after_s) as scope:
            await self.peer.run(inbound, outbox)
        if scope.cancelled_caught:
            raise PeerGone("it vanished", code=self.code)


@final
@attrs.define(eq=False)
class BrokenPeer(_Peer):
    """Its transport raises PeerFault after ``after_s`` seconds: a bug, not a peer that left."""

    after_s: float = 1.0

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Run the other peer until then."""
        with trio.move_on_after(self.after_s) as scope:
            await self.peer.run(inbound, outbox)
        if scope.cancelled_caught:
            raise PeerFault("the transport broke")


@final
@attrs.define(eq=False)
class RefusingPeer(_Peer):
    """Raises PeerGone before anything was said."""

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Raise."""
        await trio.lowlevel.checkpoint()
        raise PeerGone("it refused")


@final
@attrs.define(eq=False)
class HalfClosedPeer(_Peer):
    """Says nothing any more after ``after_s`` seconds, but goes on listening."""

    after_s: float = 1.0

    async def run(self, inbound: Inbound, outbox: OutboxReader) -> None:
        """Run the other peer, and drop what it says after that."""
        await self.peer.run(_MuteInbound(inbound, trio.current_time() + self.after_s), outbox)


@final
class _StallingOutbox:
    def __init__(self, outbox: OutboxReader, operations: int) -> None:
        self._outbox = outbox
        self._left = operations

    async def next(self, at_once: Callable[[Operation], bool] | None = None) -> Operation:
        operation = await self._outbox.next()
        if self._left == 0:
            await trio.sleep_forever()
        self._left -= 1
        return operation

    def written(self, operation: Operation) -> None:
        self._outbox.written(operation)


@final
class _MuteInbound:
    def __init__(self, inbound: Inbound, until: float) -> None:
        self._inbound = inbound
        self._until = until

    @property
    def _is_mute(self) -> bool:
        return trio.current_time() >= self._until

    async def send(self, frame: AudioFrame) -> None:
        if self._is_mute:
            await trio.lowlevel.checkpoint()
        else:
            await self._inbound.send(frame)

    def send_nowait(self, frame: AudioFrame) -> None:
        if not self._is_mute:
            self._inbound.send_nowait(frame)

    def confirm(self, epoch: int, position: int) -> None:
        if not self._is_mute:
            self._inbound.confirm(epoch, position)

    def tell(self, event: Event) -> None:
        if not self._is_mute:
            self._inbound.tell(event)

    def source_ended(self) -> None:
        if not self._is_mute:
            self._inbound.source_ended()

    def end(self, reason: str, grace: float | None = None) -> None:
        self._inbound.end(reason, grace)

    def lost(self) -> None:
        self._inbound.lost()

    def back(self, reported: tuple[int, int] | None = None) -> tuple[int, int]:
        return self._inbound.back(reported)
