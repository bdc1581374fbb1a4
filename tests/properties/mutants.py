"""Runtimes and stages that are broken on purpose: each must be caught by a property.

``python -m tests.properties.mutants`` prints which property caught which mutant, and how many seeds it took.
A mutant that survives is a hole in the properties.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import attrs
import trio

from tests.properties import claims
from voicetrio.conversation.tool_calls import ToolRunner
from voicetrio.errors import PeerGone
from voicetrio.events import Event, Failure
from voicetrio.frames import AudioFrame
from voicetrio.runtime import close_watch as close_watch_module
from voicetrio.runtime import pipeline as pipeline_module
from voicetrio.runtime.deadlines import Deadlines
from voicetrio.runtime.inbound import SessionInbound
from voicetrio.runtime.outbox import Gate, Outbox
from voicetrio.runtime.playout import Playout
from voicetrio.runtime.reporting import Reporter
from voicetrio.runtime.running import Job, run_together
from voicetrio.runtime.session import Session
from voicetrio.runtime.speech import Speech
from voicetrio.transports.memory import MemoryPeer

MOST_SEEDS = 500


@attrs.frozen
class Mutant:
    """One broken runtime."""

    name: str
    broken: Callable[[], AbstractContextManager[Any]]
    """Breaks it, inside a block."""
    claim: Callable[[int], None]
    """What must find fault with it."""


@attrs.frozen
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    seeds: int | None
    """How many seeds it took; None: it survived."""
    finding: str = ""


# --- the mutants -----------------------------------------------------------------------------------


@contextmanager
def mixer_with_its_own_loop() -> Iterator[None]:
    """The mixer makes audio by itself, and asks neither the gate nor the network."""

    async def run(self: Playout, clock: Any = None) -> None:
        async def mix() -> None:
            while True:
                if self.is_active:
                    self._tick()
                await trio.sleep(self._frame_s)

        trio.lowlevel.spawn_system_task(mix, name="mixer")
        await trio.sleep_forever()

    with patch.object(Playout, "run", run):
        yield


@contextmanager
def end_as_an_item() -> Iterator[None]:
    """The end is put into the queue behind the audio, for the stages to pass on."""

    def shut(self: SessionInbound) -> None:
        if not self._shut:
            self._shut = True
            self._put(AudioFrame(b"", 16000, 1, position=10**9))

    with patch.object(SessionInbound, "shut", shut):
        yield


@contextmanager
def writer_that_nobody_joins() -> Iterator[None]:
    """The transport's writer is started and forgotten."""
    write = MemoryPeer._write

    async def forget(self: MemoryPeer, inbound: Any, outbox: Any) -> None:
        done = trio.Event()

        async def run() -> None:
            try:
                await write(self, inbound, outbox)
            finally:
                done.set()

        trio.lowlevel.spawn_system_task(run, name="writer")
        await done.wait()

    with patch.object(MemoryPeer, "_write", forget):
        yield


@contextmanager
def shield_without_a_deadline() -> Iterator[None]:
    """Cleaning up may take for ever, and nobody breaks a shield."""

    @contextmanager
    def cleanup(self: Deadlines, within_s: float = 1.0) -> Iterator[trio.CancelScope]:
        with trio.CancelScope(shield=True) as scope:
            yield scope

    def leave_alone(*_arguments: object) -> int:
        return 0

    with (
        patch.object(close_watch_module, "break_shields", leave_alone),
        patch.object(Deadlines, "cleanup", cleanup),
    ):
        yield


@contextmanager
def report_through_the_failed_part() -> Iterator[None]:
    """A report that the peer does not take is itself reported to the peer."""
    forward = Session._forward

    def loud(self: Session, event: Event) -> None:
        dropped = self._outbox.statistics().queued_items
        forward(self, event)
        if isinstance(event, Failure) and self._outbox.statistics().queued_items == dropped:
            number = self.hub.statistics().told
            self.hub.tell(Failure(where="report", error=PeerGone(f"report {number} was not taken")))

    def let_through(_self: Reporter, event: Event) -> Event:
        return event

    with patch.object(Session, "_forward", loud), patch.object(Reporter, "screen", let_through):
        yield


@contextmanager
def shared_stage() -> Iterator[None]:
    """A stage belongs to whoever used it last."""
    with patch.object(pipeline_module, "adopt", lambda _stages, _owner: None):
        yield


@contextmanager
def child_that_nobody_awaits() -> Iterator[None]:
    """The last stage of a pipeline is started and forgotten."""

    async def forget_one(what: str, jobs: Any, *rest: Any) -> None:
        *others, last = jobs

        async def alone() -> None:
            try:
                await last.run()
            except Exception:
                logging.getLogger("mutant").debug("nobody hears of it")

        def start(_self: Job = last) -> None:
            trio.lowlevel.spawn_system_task(alone, name=last.name)

        start()
        await run_together(what, others or [attrs.evolve(last, run=trio.lowlevel.checkpoint)], *rest)

    with patch.object(pipeline_module, "run_together", forget_one):
        yield


@contextmanager
def late_chunk_after_a_flush() -> Iterator[None]:
    """A chunk that was on its way when the reply was flushed is played."""
    flush = Speech.flush

    def flush_but_one(self: Speech) -> None:
        was_flushed = self.flushed
        chunk = self._read(self._next, min(4800, self._generated - self._next))
        flush(self)
        if self.flushed and not was_flushed and chunk.size:
            late = self._playout.open_speech(f"{self.name} again")
            late._append(chunk)
            late.finish()
            late.release()

    with patch.object(Speech, "flush", flush_but_one):
        yield


@contextmanager
def tool_left_running() -> Iterator[None]:
    """A reply's tool runs in the conversation, whatever it declares."""
    run = ToolRunner.run

    async def run_apart(
        self: ToolRunner, reply: str, entry: Any, calls: Any, tools: Any, is_wanted: Any
    ) -> bool:
        apart = [attrs.evolve(tool, on_interrupt="finish") for tool in tools]
        return await run(self, reply, entry, calls, apart, is_wanted)

    with patch.object(ToolRunner, "run", run_apart):
        yield


@contextmanager
def gate_that_is_not_asked() -> Iterator[None]:
    """After a cancel the outbox still gives what it holds, and is not emptied."""

    ask = Outbox.next

    async def next_operation(self: Outbox, at_once: Any = None) -> Any:
        self._gate = Gate()  # one that nobody shuts
        return await ask(self)

    with patch.object(Outbox, "next", next_operation), patch.object(Outbox, "discard", lambda self: None):
        yield


@contextmanager
def cut_that_forgets_the_outbox() -> Iterator[None]:
    """What waits for the network at the end of the drain is neither written in time nor counted."""

    def cut(self: Playout) -> dict[str, int]:
        lost = {speech.name: speech._generated - speech._next for speech in self._queue}
        for speech in self._queue:
            speech._cut_short()
        self._queue.clear()
        return {name: samples for name, samples in lost.items() if samples}

    with patch.object(Playout, "cut", cut):
        yield


@contextmanager
def outbox_without_a_bound() -> Iterator[None]:
    """Whatever the peer takes, more audio is made."""
    with patch.object(Outbox, "has_room", lambda _self, _duration_s: True):
        yield


@contextmanager
def close_by_that_nobody_keeps() -> Iterator[None]:
    """The deadlines are announced, and no scope has them."""

    def tighten(self: Session, drain_by: float, close_by: float) -> None:
        self._deadlines.drain_by = min(self._deadlines.drain_by, drain_by)
        self._deadlines.close_by = min(self._deadlines.close_by, close_by)

    with patch.object(Session, "_tighten", tighten), patch.object(Deadlines, "cleanup", _unbounded):
        yield


@contextmanager
def _unbounded(self: Deadlines, within_s: float = math.inf) -> Iterator[trio.CancelScope]:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + within_s) as scope:
        yield scope


MUTANTS = (
    Mutant("a mixer with its own loop", mixer_with_its_own_loop, claims.sessions),
    Mutant("an end that is a queued item", end_as_an_item, claims.goodbyes),
    Mutant("a writer that nobody joins", writer_that_nobody_joins, claims.sessions),
    Mutant("a shield without a deadline", shield_without_a_deadline, claims.stuck_goodbyes),
    Mutant("a report through the failed part", report_through_the_failed_part, claims.reports),
    Mutant("a stage shared by two sessions", shared_stage, claims.sharing),
    Mutant("a child that nobody awaits", child_that_nobody_awaits, claims.sessions),
    Mutant("a late chunk after a flush", late_chunk_after_a_flush, claims.flushes),
    Mutant("a reply's tool left running", tool_left_running, claims.tools),
    Mutant("a gate that is not asked", gate_that_is_not_asked, claims.sessions),
    Mutant("a cut that forgets the outbox", cut_that_forgets_the_outbox, claims.sessions),
    Mutant("an outbox without a bound", outbox_without_a_bound, claims.sessions),
    Mutant("a close_by that nobody keeps", close_by_that_nobody_keeps, claims.stuck_goodbyes),
)


def try_mutant(mutant: Mutant, most_seeds: int = MOST_SEEDS) -> Verdict:
    """Return after how many seeds its claim fails."""
    with mutant.broken():
        for seed in range(most_seeds):
            try:
                mutant.claim(seed)
            except AssertionError as caught:
                cause = caught.__cause__ or caught
                return Verdict(mutant, seed + 1, " ".join(str(cause).split("\n")[:2]))
    return Verdict(mutant, None)


def main() -> int:
    """Print the table; return 1 if a mutant survived."""
    print(f"{'mutant':34} {'property':16} {'seeds':>5}  finding")
    verdicts = [try_mutant(mutant) for mutant in MUTANTS]
    for verdict in verdicts:
        seeds = "-" if verdict.seeds is None else str(verdict.seeds)
        finding = "SURVIVED" if verdict.seeds is None else verdict.finding[:90]
        print(f"{verdict.mutant.name:34} {verdict.mutant.claim.__name__:16} {seeds:>5}  {finding}")
    return int(any(verdict.seeds is None for verdict in verdicts))


if __name__ == "__main__":
    logging.getLogger("voicetrio").setLevel(logging.CRITICAL + 1)
    sys.exit(main())
