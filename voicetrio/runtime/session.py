"""A session: one conversation with one peer, and the order in which it ends.

The tasks, and who owns them::

    the application's task ── body of ``async with open_session(...)``
    root nursery
     └─ supervisor
         ├─ guard nursery ── close watch, once it ends (breaks what outlives ``close_by``)
         ├─ outer nursery ── transport · playout · watch (a stalled peer, a cancellation)
         └─ inner nursery ── the behaviour: listening, conversation, replies

The inner nursery ends first.  Then the playout drains, the bed fades, the transport says goodbye, and the
outer nursery ends.  ``cancel`` shuts a gate before anything else, so from its return nothing is written.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, final

import trio

from voicetrio.errors import ConfigError, PeerGone, SessionEnded, SessionError
from voicetrio.events import Event, Failure, SessionEnding, SessionStarted, SourceEnded, TaskStuck
from voicetrio.runtime.behaviour import (
    AnyBehaviour,
    Conversational,
    SessionContext,
    is_pipeline,
    run_behaviour,
)
from voicetrio.runtime.close_watch import CloseWatch
from voicetrio.runtime.deadlines import Deadlines, using_deadlines
from voicetrio.runtime.emit import EventHub, Subscription, emitting_to
from voicetrio.runtime.ending import SessionEnd, SessionSettings, SessionStatistics
from voicetrio.runtime.failures import beside_cancelled, contained, failures_of
from voicetrio.runtime.hosts import Alarm, alarm_host
from voicetrio.runtime.inbound import SessionInbound
from voicetrio.runtime.outbox import Gate, Outbox, using_gate
from voicetrio.runtime.playout import Playout, PlayoutSettings
from voicetrio.runtime.reporting import Reporter, send_last_notice
from voicetrio.runtime.stages import adopt
from voicetrio.runtime.transport import HangUp, Transport
from voicetrio.runtime.workers import Job, abandoned_jobs, current_session

__all__ = ["Session", "open_session"]

_log = logging.getLogger("voicetrio.session")
# Counted by run, so that a run names its sessions the same whatever ran before it in this process.
_sessions: trio.lowlevel.RunVar[int] = trio.lowlevel.RunVar("voicetrio sessions", default=0)

TOLD_FAILURES = 64
"""So many of the last failures are remembered, so that none is told twice."""


@final
class Session:
    """A running session; made by ``open_session`` only."""

    def __init__(
        self,
        peer: Transport,
        behaviour: AnyBehaviour,
        name: str,
        settings: SessionSettings,
        playout_settings: PlayoutSettings,
    ) -> None:
        self.name = name
        """The session's name: it stands in its tasks' names and in its events."""
        self.peer = peer
        """The transport."""
        self.opened_at = trio.current_time()
        """When it was opened (``trio.current_time()``)."""
        self._reporter = Reporter(name)
        self.hub = EventHub(self._reporter.screen)
        """Where the session's events are told."""
        self._behaviour = behaviour
        self._settings = settings
        self._gate = Gate()
        self._deadlines = Deadlines()
        self._outbox = Outbox(self._gate, max_s=settings.outbox_s)
        self.playout = Playout(peer.traits, self._outbox, self._gate, playout_settings)
        """The way to the peer's ear."""
        self._inbound = SessionInbound(
            peer.traits, self._gate, self.hub, self.playout, self._outbox, self._source_ended, self.end
        )
        self._context = SessionContext(
            name=name,
            traits=peer.traits,
            inlet=self._inbound.inlet,
            playout=self.playout,
            hub=self.hub,
            outbox=self._outbox,
            deadlines=self._deadlines,
            on_end_request=lambda reason: self.end(reason=reason),
        )
        self._state: Literal["open", "ending", "cancelled", "over"] = "open"
        self._reason = ""
        self._failures: list[Exception] = []
        self._told: deque[BaseException] = deque(maxlen=TOLD_FAILURES)
        self._late: list[str] = []
        self._abandoned: set[Job[Any]] = set()
        self._cut: dict[str, int] = {}
        self._body_scope = trio.CancelScope()
        self._outer_scope = trio.CancelScope()
        self._inner_scope = trio.CancelScope()
        self._drain_scope = trio.CancelScope()
        self._inside_over = False
        self._close_watch = CloseWatch(name, self._deadlines)
        self._transport_over = trio.Event()
        self._ended = trio.Event()
        self._result: SessionEnd | None = None

    # --- what the application calls ---

    def end(self, grace: float | None = None, *, reason: str = "ended") -> None:
        """End gracefully: finish the reply in hand, play what was accepted, say goodbye.

        Synchronous and idempotent; a later call can only shorten.  What is not done after ``grace``
        seconds is cut, counted and named.  Default: the audio still to play and 2 s, at most 15 s.
        """
        if self._state in ("cancelled", "over"):
            return
        if grace is None:
            settings = self._settings
            to_play_s = self.playout.statistics().queued_s
            grace = min(to_play_s + settings.grace_extra_s, settings.grace_max_s)
        drain_by = trio.current_time() + max(0.0, grace)
        self._tighten(drain_by, drain_by + self._settings.close_s)
        if self._state == "open":
            self._state = "ending"
            self._reason = reason
            self._inbound.shut()
            self._context._ending.set()
            self.hub.tell(
                SessionEnding(
                    position=self.playout.position, reason=reason, drain_by=self._deadlines.drain_by
                )
            )

    def cancel(self, reason: str = "cancelled") -> None:
        """Stop now.  From the return of this call no media is written and no connection is tried.

        Synchronous and idempotent, from any task of the run.  Cleaning up goes on in the background
        until ``close_by`` at the latest; leaving the session's block waits for it.
        """
        self._shut_down(reason)

    async def wait_ended(self) -> None:
        """Wait until the session is over; ``result`` is complete then."""
        await self._ended.wait()

    async def say(
        self, text: str, *, interruptible: bool = True, priority: int = 0, wait_played: bool = True
    ) -> Any:
        """Speak ``text``, and wait until it was heard (or interrupted) unless told not to.

        Raises SessionEnded when it is too late, and ConfigError when the behaviour cannot talk.
        Cancelling this call does not take back what it said.
        """
        conversation = await self.wait_conversation()
        if self._state != "open":
            raise SessionEnded(self._reason)
        return await conversation.say(
            text, interruptible=interruptible, priority=priority, wait_played=wait_played
        )

    async def wait_conversation(self) -> Conversational:
        """Return the behaviour's conversation, as soon as there is one.

        Raises SessionEnded when there will be none, and ConfigError when the behaviour is a pipeline.
        """
        if is_pipeline(self._behaviour):
            raise ConfigError("a session whose behaviour is a pipeline cannot say anything: use an Agent")
        await self._context._provided.wait()
        if self._context._conversation is None:
            raise SessionEnded(self._reason)
        return self._context._conversation

    def send_message(self, data: Any) -> bool:
        """Send ``data`` (anything that JSON can carry) to the peer's application; False if it has no room."""
        return self._context.send_message(data)

    def events(self, max_items: int = 1024) -> Subscription:
        """Return a channel of the session's events from now on; close it when done."""
        return self.hub.subscribe(max_items)

    @property
    def ending(self) -> bool:
        """True from the first ``end``, ``cancel`` or failure on."""
        return self._state != "open"

    @property
    def result(self) -> SessionEnd:
        """How it ended.  Raises RuntimeError before it has."""
        if self._result is None:
            raise RuntimeError("the session is not over: its result is complete after the block")
        return self._result

    def statistics(self) -> SessionStatistics:
        """Return the session's counts at this moment."""
        return SessionStatistics(
            name=self.name,
            state=self._state,
            playout=self.playout.statistics(),
            outbox=self._outbox.statistics(),
            inbound=self._inbound.statistics(),
            inlet=self._inbound.inlet.statistics(),
            events=self.hub.statistics(),
        )

    # --- the tasks ---

    async def _supervise(  # noqa: ASYNC114, ASYNC128  # _run_inside calls started()
        self, task_status: trio.TaskStatus[None]
    ) -> None:
        current_session.set(self.name)
        abandoned_jobs.set(self._abandoned)
        try:
            with emitting_to(self.hub), using_deadlines(self._deadlines), using_gate(self._gate):
                with self.hub.observed_by(self._forward):
                    await self._close_watch.stand_beside(partial(self._run_inside, task_status))
        finally:
            self._finish()

    async def _run_inside(self, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC114
        async with trio.open_nursery() as outer:
            self._outer_scope = outer.cancel_scope
            for what, task in (
                ("transport", self._run_transport),
                ("playout", self._run_playout),
            ):
                outer.start_soon(self._guarded, what, task, name=f"{self.name}/{what}")
            async with trio.open_nursery() as inner:
                self._inner_scope = inner.cancel_scope
                self.hub.tell(SessionStarted(position=0, session=self.name))
                inner.start_soon(
                    self._guarded, "behaviour", self._run_behaviour, name=f"{self.name}/behaviour"
                )
                task_status.started()
            await self._drain()
            await self._say_goodbye()
            self._inside_over = True
            outer.cancel_scope.cancel(reason="the session is over")

    async def _guarded(self, what: str, task: Callable[[], Awaitable[None]]) -> None:
        """Run ``task``; what it raises is a failure of the session, told once."""
        with contained(partial(self._fail, what)):
            await task()
        await trio.lowlevel.checkpoint()

    async def _run_behaviour(self) -> None:
        await run_behaviour(self._behaviour, self._context)

    async def _run_transport(self) -> None:
        try:
            await self.peer.run(self._inbound, self._outbox)
        except PeerGone as gone:
            self._peer_gone(gone)
        else:
            if not self.ending:
                self._peer_gone(PeerGone("the transport returned"))
        finally:
            self._transport_over.set()
        await trio.lowlevel.checkpoint()

    async def _run_playout(self) -> None:
        """Run the playout; notice a peer that takes nothing, and a cancellation from outside."""
        host = alarm_host()
        alarm = host.alarm(lambda: self._look_for_stall(alarm))
        alarm.set(trio.current_time() + self._settings.stall_s)
        try:
            await self.playout.run(host)
        except trio.Cancelled:
            if not self._inside_over:
                closing_late = trio.current_time() >= self._deadlines.close_by
                self._shut_down(self._reason if closing_late else "cancelled")
            raise
        finally:
            alarm.close()

    def _look_for_stall(self, alarm: Alarm) -> None:
        stall_s = self._settings.stall_s
        since = self._outbox.stuck_since
        now = trio.current_time()
        if since is not None and now - since >= stall_s:
            try:
                self._peer_stalled(f"the peer took nothing for {stall_s:g} s")
            except Exception as exc:
                self._fail("transport", exc)
            since = None
        alarm.set((now if since is None else since) + stall_s)

    def _peer_stalled(self, why: str) -> None:
        """A peer that may come back on another connection is lost; any other is gone."""
        take_for_lost = getattr(self.peer, "take_for_lost", None)
        if take_for_lost is None or not take_for_lost(why):
            self._peer_gone(PeerGone(why))

    # --- the ending, in order ---

    async def _drain(self) -> None:
        """The behaviour is over: play what was accepted, fade the bed."""
        if self._state == "open":
            self.end(reason="completed")
        if self._inner_scope.cancelled_caught:
            self._late.append("behaviour")
        self.playout.finish_all()
        with self._drain_scope:
            await self.playout.wait_drained()
            self.playout.stop_bed()
            await self.playout.wait_silent()
        if self._drain_scope.cancelled_caught:
            self._cut = self.playout.cut()
            self._late.extend(self._cut)

    async def _say_goodbye(self) -> None:
        """Let the transport write what is left, and hang up; bounded by ``close_by``."""
        self._outbox.put(HangUp(reason=self._reason))
        try:
            await self._transport_over.wait()
        except trio.Cancelled:
            if trio.current_time() >= self._deadlines.close_by:
                self._late.append("transport")  # what it held was never written
            raise

    def _tighten(self, drain_by: float, close_by: float) -> None:
        self._deadlines.tighten(drain_by=drain_by, close_by=close_by)
        for scope in (self._inner_scope, self._drain_scope):
            scope.deadline = min(scope.deadline, self._deadlines.drain_by)
        self._outer_scope.deadline = min(self._outer_scope.deadline, self._deadlines.close_by)
        # Only a session that ends has a ``close_by``, so only now is there something to watch.
        self._close_watch.begin(self._outer_scope, self._note_stuck)

    def _shut_down(self, reason: str) -> None:
        if self._state in ("cancelled", "over"):
            return
        self._gate.shut()
        self._outbox.discard()
        self._state = "cancelled"
        self._reason = reason
        self._inbound.shut()
        self._context._ending.set()
        now = trio.current_time()
        self._tighten(now, now + self._settings.close_s)
        self.hub.tell(SessionEnding(position=self.playout.position, reason=reason, drain_by=None))
        self._inner_scope.cancel(reason=reason)
        self._outer_scope.cancel(reason=reason)

    def _source_ended(self) -> None:
        if self._state == "open":
            self.hub.tell(SourceEnded())
            self.end(reason="source_ended")

    def _peer_gone(self, gone: PeerGone) -> None:
        if self._state == "open":
            _log.info("%s: %s", self.name, gone)
            self._shut_down("peer_gone")
        else:
            # It left while we were saying goodbye: nothing more can reach it.
            if not self._inside_over and self.playout.is_active:
                self._late.append("transport")
            self._shut_down(self._reason)

    def _fail(self, what: str, error: Exception) -> None:
        for leaf in failures_of(error):
            # One error can end several tasks: a transform raises it again, whoever asks.
            if not any(leaf is known for known in self._failures):
                self._failures.append(leaf)
            # A part that has reserves told its failures when a reserve took over.
            if not any(leaf is told for told in self._told):
                self.hub.tell(Failure(where=what, error=leaf))
        if self._gate.is_open:
            # The outbox will be dropped with what it holds, so this notice goes a way of its own.
            notice = Failure(where=what, error=failures_of(error)[0], time=trio.current_time())
            send_last_notice(self.peer, notice)
        self._shut_down("failed")
        self._reason = "failed"
        self._body_scope.cancel(reason=f"{self.name} failed in its {what}")

    def _note_stuck(self, task: str, place: str) -> None:
        self._late.append(task)
        self.hub.tell(TaskStuck(task=task, where=place, why="still running after close_by"))

    def _finish(self) -> None:
        self._state = "over"
        self._gate.shut()
        self._inbound.shut()
        self._inbound.inlet.close()
        self._inbound._let_go()
        self._context._provided.set()
        self._context._let_go()
        self._cut = self.playout.cut()
        error: Exception | None = None
        if self._failures:
            error = self._failures[0] if len(self._failures) == 1 else self._error([])
        self._result = SessionEnd(
            reason=self._reason,
            late=tuple(self._late),
            error=error,
            abandoned=tuple(sorted(job.name for job in self._abandoned)),
            counters=self.statistics().counters(
                cut_samples=self._cut, failures_folded=self._reporter.statistics().folded
            ),
        )
        self.hub.close()
        self._ended.set()
        tell_over = getattr(self.peer, "session_over", None)
        if tell_over is not None:
            try:
                tell_over(self)
            except Exception:
                _log.exception("%s: its peer failed to take note of the end", self.name)

    # --- small things ---

    def _error(self, others: list[Exception]) -> SessionError:
        return SessionError(f"{self.name} failed", [*self._failures, *others])

    def _forward(self, event: Event) -> None:
        """Let the peer see the events that its wire has words for; remember what was told as a failure."""
        if isinstance(event, Failure):
            self._told.append(event.error)
        observe = getattr(self.peer, "observe", None)
        if observe is not None:
            observe(event)
        encode = getattr(self.peer, "operation_for", None)
        operation = encode(event) if encode is not None else None
        if operation is not None:
            self._outbox.put(operation)


def _next_name() -> str:
    number = _sessions.get() + 1
    _sessions.set(number)
    return f"session-{number}"


@asynccontextmanager
async def open_session(
    peer: Transport,
    behaviour: AnyBehaviour,
    *,
    name: str | None = None,
    settings: SessionSettings | None = None,
    playout: PlayoutSettings | None = None,
) -> AsyncIterator[Session]:
    """Open a session with ``peer``, and close everything of it when the block is left.

    Leaving the block normally is ``end()``, with an exception ``cancel()``; cancellation from outside
    equals ``cancel()``.  When the session ends by itself, the body goes on, and later calls raise
    SessionEnded; when it fails, the body is cancelled.

    Raises:
        SessionError: something of the session failed; the body's own exception is in the group, too.
            An exception of the body alone passes through unwrapped.
        StageInUse: ``peer`` was used by another session.
    """
    name = name or _next_name()
    adopt([peer], name)
    session = Session(peer, behaviour, name, settings or SessionSettings(), playout or PlayoutSettings())
    raised: list[Exception] = []
    try:
        async with trio.open_nursery() as nursery:
            session._body_scope = nursery.cancel_scope
            await nursery.start(session._supervise, name=name)
            try:
                with contained(raised.append):
                    yield session
            except BaseException:
                session.cancel("the body raised" if raised else "cancelled")
                raise
            if raised:
                session.cancel("the body raised")
            elif not session.ending:  # a grace that the application gave is not shortened to the default
                session.end()
    except BaseException as error:  # noqa: ASYNC103  # a failure is worth more than a Cancelled beside it
        if not (raised or session._failures) or beside_cancelled(error):
            raise
    if session._failures:
        raise session._error(raised) from None
    if raised:
        raise raised.pop()
