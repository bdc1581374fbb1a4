"""The session's side of what the peer sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs
import trio

from voicetrio.events import Dtmf, Event, MessageReceived
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame
from voicetrio.runtime.emit import EventHub
from voicetrio.runtime.links import LinkReceiver, LinkSender, open_link
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.playout import Playout
from voicetrio.runtime.transport import Traits

__all__ = ["InboundStatistics", "SessionInbound"]

MAX_LIVE_S = 5.0
"""Seconds of live audio that wait for a lagging behaviour before the oldest is dropped."""
MAX_FILE_S = 0.5
"""Seconds of a file that are read ahead."""
MAX_ITEMS = 512


@attrs.frozen
class InboundStatistics:
    """Counts of what came in."""

    frames: int
    seconds: float
    refused_frames: int
    """Audio that came after the session began to end."""
    confirmations: int
    stale_confirmations: int


@final
class SessionInbound:
    """Takes what the transport reads; its ``inlet`` is what the behaviour is given."""

    def __init__(
        self,
        traits: Traits,
        gate: Gate,
        hub: EventHub,
        playout: Playout,
        outbox: Outbox,
        on_source_ended: Callable[[], object],
        end: Callable[..., object],
    ) -> None:
        self._gate = gate
        self._hub = hub
        self._playout = playout
        self._on_source_ended = on_source_ended
        self._outbox = outbox
        self._end = end
        self._shut = False
        self._frames = 0
        self._seconds = 0.0
        self._refused = 0
        self._confirmations = 0
        self._stale = 0
        self._sender: LinkSender[Frame]
        self.inlet: LinkReceiver[Frame]
        self._sender, self.inlet = open_link(
            name="inbound",
            max_items=MAX_ITEMS,
            max_s=MAX_LIVE_S if traits.live else MAX_FILE_S,
            policy="drop_oldest" if traits.live else "block",
        )

    def shut(self) -> None:
        """Take no more media; the inlet ends after what it holds."""
        if not self._shut:
            self._shut = True
            self._sender.close()

    def _let_go(self) -> None:
        """Forget the session, which is over: it would be kept by its own parts."""
        self._on_source_ended = self._end = _ignore

    async def send(self, frame: AudioFrame) -> None:
        """Give audio and wait for room; see Inbound."""
        if self._count(frame):
            try:
                await self._sender.send(frame)
                return
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._refuse()
        await trio.lowlevel.checkpoint()

    def send_nowait(self, frame: AudioFrame) -> None:
        """Give live audio; see Inbound."""
        if self._count(frame):
            self._put(frame)

    def confirm(self, epoch: int, position: int) -> None:
        """The peer has played up to ``position``; see Inbound."""
        if self._playout.confirm(epoch, position):
            self._confirmations += 1
        else:
            self._stale += 1

    def tell(self, event: Event) -> None:
        """Tell what the peer's application did, and give it to the behaviour as a frame."""
        if not self._gate.is_open:
            return
        self._hub.tell(event)
        if self._shut:
            return
        if isinstance(event, Dtmf):
            self._put(DtmfFrame(event.digit, event.position))
        elif isinstance(event, MessageReceived):
            self._put(MessageFrame(event.data))

    def source_ended(self) -> None:
        """The peer will send no more audio; see Inbound."""
        self._on_source_ended()

    def end(self, reason: str, grace: float | None = None) -> None:
        """Ask the session to end; see Inbound."""
        self._end(grace, reason=reason)

    def lost(self) -> None:
        """Let the playout stand still; see Inbound."""
        self._playout.hold()
        self._outbox.begin_again()

    def back(self, reported: tuple[int, int] | None = None) -> tuple[int, int]:
        """Play what the peer has not heard; see Inbound."""
        self._outbox.begin_again()
        return self._playout.release(reported)

    def statistics(self) -> InboundStatistics:
        """Return the counts so far."""
        return InboundStatistics(self._frames, self._seconds, self._refused, self._confirmations, self._stale)

    def _count(self, frame: AudioFrame) -> bool:
        if self._shut or not self._gate.is_open:
            self._refused += 1
            return False
        self._frames += 1
        self._seconds += frame.duration_s
        return True

    def _put(self, frame: Frame) -> None:
        try:
            self._sender.send_nowait(frame)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._refuse()

    def _refuse(self) -> None:
        self._refused += 1


def _ignore(*_arguments: object, **_named: object) -> None:
    """Do nothing: a session that is over does nothing about it either."""
