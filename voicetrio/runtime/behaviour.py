"""What a session does: the seam between a session and whatever talks in it."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, final

import trio

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, DtmfFrame, Frame, MessageFrame
from voicetrio.runtime.deadlines import Deadlines
from voicetrio.runtime.emit import EventHub
from voicetrio.runtime.outbox import Outbox
from voicetrio.runtime.playout import Playout
from voicetrio.runtime.speech import Speech
from voicetrio.runtime.transport import SendDtmf, SendMessage, Traits

if TYPE_CHECKING:
    from voicetrio.runtime.pipeline import Pipeline

__all__ = ["Behaviour", "Conversational", "SessionContext", "is_pipeline", "run_behaviour"]


class Conversational(Protocol):
    """What makes ``session.say`` and its kin work; a behaviour that talks provides one."""

    async def say(
        self, text: str, *, interruptible: bool = True, priority: int = 0, wait_played: bool = True
    ) -> Any:
        """Speak ``text`` as a reply of its own; see ``Session.say``."""
        ...


@final
class SessionContext:
    """What a behaviour is given: the session from inside."""

    def __init__(
        self,
        *,
        name: str,
        traits: Traits,
        inlet: trio.abc.ReceiveChannel[Frame],
        playout: Playout,
        hub: EventHub,
        outbox: Outbox,
        deadlines: Deadlines,
        on_end_request: Callable[[str], object],
    ) -> None:
        self.name = name
        """The session's name."""
        self.traits = traits
        """What the peer can do."""
        self.inlet = inlet
        """What the peer sends: AudioFrame (capture clock), DtmfFrame, MessageFrame.  Ends when the session
        begins to end."""
        self.playout = playout
        """The way to the peer's ear."""
        self.hub = hub
        """Where the session's events are told."""
        self._outbox = outbox
        self._deadlines = deadlines
        self._ending = _Ending()
        self._provided = trio.Event()
        self._conversation: Conversational | None = None
        self._on_end_request = on_end_request

    @property
    def ending(self) -> bool:
        """True once the session began to end: no new reply, no barge-in; finish what is in hand."""
        return self._ending.is_set()

    async def wait_ending(self) -> None:
        """Wait until the session begins to end."""
        await self._ending.event.wait()

    def when_ending(self, call: Callable[[], object]) -> None:
        """Call ``call`` once when the session begins to end; at once when it has.

        It runs inside of the call that ends the session, so it should only note that.
        """
        self._ending.tell(call)

    @property
    def drain_by(self) -> float:
        """When what is not finished will be cut (``trio.current_time()``); infinite before the end."""
        return self._deadlines.drain_by

    def request_end(self, reason: str) -> None:
        """Ask the session to end, as its owner would with ``session.end``."""
        self._on_end_request(reason)

    def _let_go(self) -> None:
        """Forget the session, which is over: it would be kept by its own parts."""
        self._on_end_request = _ignore

    def provide(self, conversation: Conversational) -> None:
        """Let ``conversation`` answer ``session.say``, and ``session.wait_conversation`` return it."""
        self._conversation = conversation
        self._provided.set()

    def send_message(self, data: Any) -> bool:
        """Send ``data`` (anything that JSON can carry) to the peer's application; False if it has no room."""
        return self._outbox.put(SendMessage(data))

    def open_relay(self) -> trio.abc.SendChannel[Frame]:
        """Return an outlet that passes audio on as it comes: unpaced, unmixed, and not counted as heard.

        For what is paced already, such as another peer's microphone.  Frames are mono at the output rate
        (else ConfigError).  ``send`` never waits: what the outbox has no room for is dropped, and counted
        among its drops.  Not to be used beside the playout, because a peer has one clock.
        """
        return _RelayOutlet(self)

    @contextmanager
    def cleanup(self, within_s: float = 1.0) -> Iterator[trio.CancelScope]:
        """Shield what is inside, until ``within_s`` seconds are over or the session's ``close_by``."""
        with self._deadlines.cleanup(within_s) as scope:
            yield scope


def _ignore(_reason: str) -> None:
    """Do nothing: a session that is over cannot end."""


@final
class _Ending:
    """That the session began to end: an event, and calls for those who need no task to wait for it."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self._calls: list[Callable[[], object]] = []

    def is_set(self) -> bool:
        return self.event.is_set()

    def set(self) -> None:
        self.event.set()
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def tell(self, call: Callable[[], object]) -> None:
        self._calls.append(call)
        if self.is_set():
            self.set()


class Behaviour(Protocol):
    """What a session does.  It returns when it has nothing more to do, or after ``inlet`` ended."""

    async def __call__(self, context: SessionContext) -> None:
        """Run the session's inside, once."""
        ...


AnyBehaviour: TypeAlias = "Behaviour | Pipeline"


def is_pipeline(behaviour: object) -> TypeGuard[Pipeline]:
    """Tell whether ``behaviour`` is a pipeline, without loading them: an agent needs none."""
    loaded = sys.modules.get("voicetrio.runtime.pipeline")
    return loaded is not None and isinstance(behaviour, loaded.Pipeline)


async def run_behaviour(behaviour: AnyBehaviour, context: SessionContext) -> None:
    """Run ``behaviour``; a pipeline reads the peer and its outlet is the playout."""
    if is_pipeline(behaviour):
        await behaviour(context.inlet, _PlayoutOutlet(context))
    else:
        await behaviour(context)


class _PeerOutlet(trio.abc.SendChannel[Frame]):
    """A pipeline's outlet that is the peer."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self._closed = False

    async def send(self, frame: Frame) -> None:
        """Play or send ``frame``; text has no way to a peer and raises TypeError."""
        if self._closed:
            raise trio.ClosedResourceError
        match frame:
            case AudioFrame():
                await self._send_audio(frame)
                return
            case MessageFrame(data=data):
                self._context.send_message(data)
            case DtmfFrame(digit=digit):
                self._context._outbox.put(SendDtmf(digit))
            case _:
                raise TypeError(f"a peer cannot be sent a {type(frame).__name__}: send audio")
        await trio.lowlevel.checkpoint()

    @abstractmethod
    async def _send_audio(self, frame: AudioFrame) -> None:
        """Send audio to the peer's ear."""


@final
class _RelayOutlet(_PeerOutlet):
    """See ``SessionContext.open_relay``."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        self._position = 0

    async def _send_audio(self, frame: AudioFrame) -> None:
        rate = self._context.traits.output_rate
        if frame.rate != rate or frame.channels != 1:
            raise ConfigError(
                f"a relay passes on mono at {rate} Hz, not {frame.channels} channels at {frame.rate} Hz"
            )
        moved = frame.at(self._position)
        self._context._outbox.offer(moved)
        self._position = moved.end
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Send no more."""
        self._closed = True
        await trio.lowlevel.checkpoint()


@final
class _PlayoutOutlet(_PeerOutlet):
    """Audio is played, live; other frames are sent.

    Audio that piles up (the loop stalled, or the pipeline makes bursts) is dropped from its old end, so
    that the live path is as quick after a stall as before it.
    """

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)
        playout = context.playout
        live_s = 2 * playout.lead_s if context.traits.live else None
        self._speech: Speech = playout.open_speech("pipeline", live_s=live_s)
        self._speech.release()

    async def _send_audio(self, frame: AudioFrame) -> None:
        await self._speech.send(frame)

    async def aclose(self) -> None:
        """Play what was sent to its end."""
        self._closed = True
        self._speech.finish()
        await trio.lowlevel.checkpoint()
