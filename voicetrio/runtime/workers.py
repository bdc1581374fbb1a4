"""Threads for models: a limit a model, fairness between sessions, and an honest account of lost threads.

A model's call cannot be interrupted.  So:

1. Cancelling a call abandons the *wait*: the caller goes on at once, the model goes on to its end, and what
   it then returns or raises is dropped.
2. The model's slot is not reused before its thread has returned.  Until then it is counted as abandoned,
   with the name of its job.
3. A call should take about a second at most, or call ``check_cancelled`` now and then.
4. Calls that wait are served round-robin over the sessions, and first come, first served within one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict, deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

import attrs
import outcome
import trio

from voicetrio.errors import ConfigError
from voicetrio.events import TaskStuck
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.emit import emit
from voicetrio.values import Value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = [
    "InlineRunner",
    "Job",
    "ModelPool",
    "Runner",
    "WorkerPool",
    "WorkerStatistics",
    "abandoned_jobs",
    "check_cancelled",
    "current_session",
    "open_model_pool",
    "open_workers",
    "usable_cpus",
]

T = TypeVar("T")
M = TypeVar("M")

GRACE_S = 2.0
RECENT = 512
"""So many of the last calls are kept for the medians."""

current_session: ContextVar[str] = ContextVar("voicetrio_session", default="")
"""The session that this task works for: pools are fair between sessions.  The session sets it."""

abandoned_jobs: ContextVar[set[Job[Any]] | None] = ContextVar("voicetrio_abandoned_jobs", default=None)
"""Where a session collects the jobs that it left behind; one that returns takes itself out."""


def usable_cpus() -> int:
    """Return how many CPUs this process may use: fewer than there are in many containers."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def check_cancelled() -> None:
    """Raise ``trio.Cancelled`` in a job whose caller was cancelled; elsewhere do nothing.

    For the inside of a job that can take longer than about a second.
    """
    # RuntimeError: not a thread of trio's, so the job runs inline, where trio cancels by itself.
    with suppress(RuntimeError):
        trio.from_thread.check_cancelled()


@attrs.frozen(eq=False, repr=False)
class WorkerStatistics(Value):
    """What a pool has done so far; times are seconds, medians are over the last calls."""

    name: str
    workers: int
    """Slots: how many jobs can run at once."""
    busy: int
    """Slots whose job has not returned, the abandoned ones included."""
    waiting: int
    """Calls that wait for a slot."""
    waiting_sessions: int
    """Sessions that these calls are for: each is served in its turn."""
    longest_wait_s: float
    """How long the call that waits longest has waited by now."""
    abandoned: tuple[str, ...]
    """Jobs whose caller is gone and whose thread has not returned: capacity that is lost for now."""
    abandoned_total: int
    completed: int
    """Jobs that returned or raised to their caller."""
    wait_p50_s: float
    """From the call to the start of its job."""
    wait_max_s: float
    job_p50_s: float
    """From the start of a job to its return."""
    job_max_s: float


@final
class Job(Generic[T]):
    """One call on its way through a pool.  A runner calls it, once, in whatever thread it likes."""

    def __init__(self, name: str, call: Callable[[], T], on_return: Callable[[Job[T]], None]) -> None:
        self.name = name
        self._call = call
        self._on_return = on_return
        self._token = trio.lowlevel.current_trio_token()
        self._home = threading.get_ident()
        self._state_lock = threading.Lock()
        self._begun = False
        self._given_up = False
        self.started_at = trio.current_time()
        self._left_in: set[Job[Any]] | None = None

    def begin(self) -> bool:
        """Take the model into use; False when the caller gave up before, and the job must not run.

        Calling the job does this by itself.  A runner that waits before it calls the job, and means the
        model to be busy meanwhile, calls this first.
        """
        with self._state_lock:
            self._begun = not self._given_up
            return self._begun

    def __call__(self) -> T:
        """Run; return or raise what the call returns or raises; then give the slot back."""
        if not (self._begun or self.begin()):
            raise trio.RunFinishedError("the caller gave up before the job began")
        try:
            return self._call()
        finally:
            if threading.get_ident() == self._home:
                self._on_return(self)
            else:
                # Without a run there is no pool either.
                with suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._on_return, self)

    def _give_up(self) -> bool:
        """Say that the caller is gone; return whether the job has begun, and so must be waited for."""
        with self._state_lock:
            self._given_up = True
            return self._begun


class Runner(Protocol):
    """How a job gets to run: ``await runner(job)`` calls ``job`` and returns or raises what it does.

    Cancelling may return before the job does.
    """

    def __call__(self, job: Job[T], /) -> Awaitable[T]:
        """Run ``job``."""
        ...


@final
class InlineRunner:
    """Runs jobs in the event loop, each taking a given time on trio's clock: for simulations.

    A thread does not hold up a mock clock, so a simulation must not use one.

    Args:
        duration_s: seconds that a job takes, or a function from the job's name to them.
        nursery: where a job whose caller was cancelled goes on to its end, as it would in a thread.  Without
            one its slot is free at once.
    """

    def __init__(
        self, duration_s: float | Callable[[str], float] = 0.0, *, nursery: trio.Nursery | None = None
    ) -> None:
        self._duration_s = duration_s
        self._nursery = nursery

    async def __call__(self, job: Job[T], /) -> T:
        """Wait for the job's duration, then run it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        duration_s = self._duration_s(job.name) if callable(self._duration_s) else self._duration_s
        done_at = trio.current_time() + duration_s
        if self._nursery is not None:
            job.begin()
        try:
            await trio.sleep_until(done_at)
        except trio.Cancelled:
            if self._nursery is not None:
                self._nursery.start_soon(self._run_late, job, done_at, name=f"abandoned {job.name}")
            raise
        return job()

    @staticmethod
    async def _run_late(job: Job[Any], done_at: float) -> None:
        await trio.sleep_until(done_at)
        outcome.capture(job)  # nobody is left to be told


async def _run_in_thread(limiter: trio.CapacityLimiter, thread_name: str, job: Job[T], /) -> T:
    return await trio.to_thread.run_sync(
        job, abandon_on_cancel=True, limiter=limiter, thread_name=thread_name
    )


def _name_of(fn: Callable[..., object]) -> str:
    return str(getattr(fn, "__qualname__", repr(fn)))


@final
class ModelPool(Generic[M]):
    """Instances of one model, each lent to one call at a time.  Made by ``open_model_pool``."""

    def __init__(self, name: str, models: Sequence[M], runner: Runner | None = None) -> None:
        self.name = name
        self._free = deque(models)
        self._size = len(models)
        limiter = trio.CapacityLimiter(self._size)
        # A system thread's name has room for 15 characters.
        self._runner: Runner = runner or partial(_run_in_thread, limiter, f"vt-{name}"[:15])
        self._queues: OrderedDict[str, deque[trio.lowlevel.Task]] = OrderedDict()
        self._asked_at: dict[trio.lowlevel.Task, float] = {}
        self._busy: dict[Job[Any], M] = {}
        self._abandoned: dict[Job[Any], None] = {}
        self._abandoned_total = 0
        self._completed = 0
        self._waits_s: deque[float] = deque(maxlen=RECENT)
        self._jobs_s: deque[float] = deque(maxlen=RECENT)
        self._wait_max_s = 0.0
        self._job_max_s = 0.0
        self._closed = False
        self._idle = trio.Event()

    async def run(self, fn: Callable[[M], T], *, session: str | None = None, name: str | None = None) -> T:
        """Call ``fn`` with an instance of the model, in a worker; return or raise what it does.

        Args:
            fn: the job; it has the instance for itself until it returns.
            session: whose turn in the round this takes; by default that of ``current_session``.
            name: what statistics call the job; by default the function's name.

        Raises trio.ClosedResourceError when the pool is closed.  Cancelling abandons the wait, see above.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        asked_at = trio.current_time()
        if self._closed:
            raise trio.ClosedResourceError(f"the pool {self.name!r} is closed")
        key = current_session.get() if session is None else session
        model = self._free.popleft() if self._free else await self._wait_turn(key)
        job = Job(name or _name_of(fn), partial(fn, model), self._returned)
        self._busy[job] = model
        self._note_wait(trio.current_time() - asked_at)
        try:
            result: T = await self._runner(job)
        except BaseException:
            if job in self._busy:
                self._leave_behind(job)
            else:
                self._completed += 1
            raise
        self._completed += 1
        return result

    def statistics(self) -> WorkerStatistics:
        """Return the counts so far."""
        return WorkerStatistics(
            name=self.name,
            workers=self._size,
            busy=len(self._busy),
            waiting=sum(map(len, self._queues.values())),
            waiting_sessions=len(self._queues),
            longest_wait_s=max(
                (trio.current_time() - asked_at for asked_at in self._asked_at.values()), default=0.0
            ),
            abandoned=tuple(job.name for job in self._abandoned),
            abandoned_total=self._abandoned_total,
            completed=self._completed,
            wait_p50_s=_median(self._waits_s),
            wait_max_s=self._wait_max_s,
            job_p50_s=_median(self._jobs_s),
            job_max_s=self._job_max_s,
        )

    async def _wait_turn(self, session: str) -> M:
        """Wait until it is this session's turn to get an instance."""
        waiter = trio.lowlevel.current_task()
        self._queues.setdefault(session, deque()).append(waiter)

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            queue = self._queues[session]
            queue.remove(waiter)
            if not queue:
                del self._queues[session]
            return trio.lowlevel.Abort.SUCCEEDED

        self._asked_at[waiter] = trio.current_time()
        try:
            model: M = await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            del self._asked_at[waiter]
        return model

    def _release(self, model: M) -> None:
        """Hand the instance to the session whose turn it is; its next one waits a round."""
        if not self._queues:
            self._free.append(model)
            return
        session, queue = self._queues.popitem(last=False)
        waiter = queue.popleft()
        if queue:
            self._queues[session] = queue
        trio.lowlevel.reschedule(waiter, outcome.Value(model))

    def _returned(self, job: Job[Any]) -> None:
        model = self._busy.pop(job)
        self._abandoned.pop(job, None)
        if job._left_in is not None:
            job._left_in.discard(job)
        job_s = trio.current_time() - job.started_at
        self._jobs_s.append(job_s)
        self._job_max_s = max(self._job_max_s, job_s)
        self._release(model)
        if not self._busy:
            self._idle.set()

    def _leave_behind(self, job: Job[Any]) -> None:
        """The caller goes; a job that has begun keeps its instance, one that has not gives it back."""
        if job._give_up():
            self._abandoned[job] = None
            job._left_in = abandoned_jobs.get()
            if job._left_in is not None:
                job._left_in.add(job)
            self._abandoned_total += 1
        else:
            self._release(self._busy.pop(job))

    def _note_wait(self, wait_s: float) -> None:
        self._waits_s.append(wait_s)
        self._wait_max_s = max(self._wait_max_s, wait_s)

    def _refuse(self) -> None:
        """Take no more calls, and refuse those that wait."""
        self._closed = True
        while self._queues:
            _, queue = self._queues.popitem()
            for waiter in queue:
                error = trio.ClosedResourceError(f"the pool {self.name!r} was closed")
                trio.lowlevel.reschedule(waiter, outcome.Error(error))

    async def _close(self, grace_s: float) -> None:
        """Take no more calls, wait for the jobs in hand within ``grace_s``, tell which stayed."""
        self._refuse()
        with cleanup(grace_s):
            await trio.lowlevel.checkpoint()
            while self._busy:
                self._idle = trio.Event()
                await self._idle.wait()
        for job in self._busy:
            why = f"its thread had not returned {grace_s:g} s after the pool was closed"
            emit(TaskStuck(task=job.name, where=f"pool {self.name}", why=why))


@asynccontextmanager
async def _lending(pool: ModelPool[M], grace_s: float) -> AsyncIterator[ModelPool[M]]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool._close, grace_s)
        yield pool


@final
class WorkerPool:
    """Workers that have no state of their own.  Made by ``open_workers``."""

    def __init__(self, pool: ModelPool[None]) -> None:
        self._pool = pool

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._pool.name

    async def run(
        self, fn: Callable[..., T], *args: Any, session: str | None = None, name: str | None = None
    ) -> T:
        """Call ``fn(*args)`` in a worker; otherwise as ``ModelPool.run``."""
        return await self._pool.run(lambda _model: fn(*args), session=session, name=name or _name_of(fn))

    def statistics(self) -> WorkerStatistics:
        """Return the counts so far."""
        return self._pool.statistics()


@asynccontextmanager
async def open_model_pool(
    name: str,
    factory: Callable[[], M],
    *,
    size: int = 1,
    reentrant: bool = False,
    runner: Runner | None = None,
    grace_s: float = GRACE_S,
) -> AsyncIterator[ModelPool[M]]:
    """Make the instances of a model, in workers one after the other, and lend them until the block is left.

    Leaving the block waits for the jobs in hand, shielded, for at most ``grace_s`` seconds; what is then
    still running is told as ``TaskStuck``, and stays in ``statistics()`` as busy and abandoned.

    Args:
        name: for statistics and thread names.
        factory: makes one instance; a call that blocks.
        size: how many jobs can run at once.
        reentrant: one instance serves all ``size`` slots at once (it must be safe to call from threads).
        runner: how jobs run; by default in threads of trio's.
        grace_s: seconds.

    Raises ConfigError for a size below 1, and what ``factory`` raises.
    """
    if size < 1:
        raise ConfigError(f"the pool {name!r} needs a size of at least 1, not {size}")
    async with open_workers(f"{name} load", runner=runner, grace_s=grace_s) as loader:
        models = [await loader.run(factory, name=f"load {name}") for _ in range(1 if reentrant else size)]
    async with _lending(ModelPool(name, models * size if reentrant else models, runner), grace_s) as pool:
        yield pool


@asynccontextmanager
async def open_workers(
    name: str, *, workers: int = 1, runner: Runner | None = None, grace_s: float = GRACE_S
) -> AsyncIterator[WorkerPool]:
    """Open ``workers`` workers for calls that block; leaving the block is as with ``open_model_pool``.

    Raises ConfigError for fewer than 1 worker.
    """
    if workers < 1:
        raise ConfigError(f"the pool {name!r} needs at least 1 worker, not {workers}")
    async with _lending(ModelPool[None](name, [None] * workers, runner), grace_s) as pool:
        yield WorkerPool(pool)


def _median(values: Sequence[float]) -> float:
    """Return the median; 0 of nothing.  The module ``statistics`` would cost every program its fractions."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return 0.0
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
