"""Whether a block of code left something behind.

``assert_no_leaks()`` compares what there is after the block with what there was before it: tasks of this run,
file descriptors and sockets, threads, temporary files, and, since a search of the whole heap is slow, if
asked for: open ends of links and memory channels, and limiters with borrowed tokens.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
import trio

from voicetrio.runtime._foreign import where
from voicetrio.runtime.links import LinkReceiver, LinkSender
from voicetrio.testing.trace import plain_name
from voicetrio.testing.tree import format_task_tree, living_tasks

__all__ = ["LeakError", "Leaks", "assert_no_leaks"]

THREAD_PATIENCE_S: Final = 0.5
"""How long a thread that was told to end may take, in real seconds: threads do not follow a virtual clock."""
_FD_FOLDERS: Final = ("/proc/self/fd", "/dev/fd")
_IDLE_THREAD: Final = "Trio thread "
"""How trio names a thread that waits for its next job; it goes by itself, and serves every run."""
# All of them final, so that their types can be compared: isinstance() of an abstract base class is slow.
_ENDS: Final = frozenset({LinkSender, LinkReceiver, trio.MemorySendChannel, trio.MemoryReceiveChannel})


@attrs.frozen(kw_only=True)
class Leaks:
    """What was left behind, each as one line."""

    tasks: tuple[str, ...] = ()
    """Name and place of each task."""
    descriptors: tuple[str, ...] = ()
    """Number and target of each open file descriptor, sockets among them."""
    threads: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Paths of temporary files and folders that still exist."""
    ends: tuple[str, ...] = ()
    """Ends of links and memory channels that were not closed."""
    limiters: tuple[str, ...] = ()
    """Limiters with tokens that somebody holds."""

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return any(attrs.astuple(self, recurse=False))

    def __str__(self) -> str:
        """Return a line for each."""
        return "\n".join(
            f"{field.name}: {line}" for field in attrs.fields(Leaks) for line in getattr(self, field.name)
        )


class LeakError(AssertionError):
    """Something was left behind; ``leaks`` says what."""

    def __init__(self, leaks: Leaks, tree: str) -> None:
        self.leaks = leaks
        super().__init__(f"left behind:\n{leaks}" + (f"\nthe tasks:\n{tree}" if tree else ""))


@contextmanager
def assert_no_leaks(*, channels: bool = True) -> Iterator[None]:
    """Raise LeakError if something that began inside this block is still there at its end.

    It works inside a run of trio and outside of one, where there are no tasks.  A block that raises is not
    checked.  ``channels`` decides about the search of the heap, which takes some tens of milliseconds.
    """
    before = _Inventory(channels)
    with _noting_temporary_files() as made:
        yield
        leaks = before.compare(made)
    if leaks:
        raise LeakError(leaks, format_task_tree() if leaks.tasks else "")


class _Inventory:
    """What there is at one moment."""

    def __init__(self, channels: bool) -> None:
        self._channels = channels
        self._tasks = set(living_tasks())
        self._descriptors = _descriptors()
        self._threads = set(threading.enumerate())
        # Kept alive, lest a new object get the identity of an old one.
        self._ends = _open_ends() if channels else {}
        self._limiters = _borrowed() if channels else {}

    def compare(self, made: Iterable[str]) -> Leaks:
        """Return what is there now and was not there before."""
        new_tasks = (task for task in living_tasks() if task not in self._tasks)
        ends = _open_ends() if self._channels else {}
        limiters = _borrowed() if self._channels else {}
        return Leaks(
            tasks=tuple(sorted(f"{plain_name(task.name)} at {where(task)}" for task in new_tasks)),
            descriptors=tuple(
                f"{number} {target}"
                for number, target in _descriptors().items()
                if self._descriptors.get(number) != target
            ),
            threads=tuple(sorted(thread.name for thread in self._new_threads())),
            files=tuple(path for path in made if os.path.lexists(path)),
            ends=tuple(sorted(_end_text(end) for key, end in ends.items() if key not in self._ends)),
            limiters=tuple(
                f"{limiter.borrowed_tokens:g} of {limiter.total_tokens:g} tokens held"
                for key, limiter in limiters.items()
                if key not in self._limiters
            ),
        )

    def _new_threads(self) -> Iterator[threading.Thread]:
        for thread in threading.enumerate():
            if thread in self._threads or _is_idle(thread):
                continue
            _wait_for(thread)
            if thread.is_alive() and not _is_idle(thread):
                yield thread


def _descriptors() -> dict[int, str]:
    """Return what each file descriptor is; empty where the system cannot tell."""
    for folder in _FD_FOLDERS:
        with suppress(OSError):
            return {int(name): target for name in os.listdir(folder) if (target := _target(folder, name))}
    return {}


def _target(folder: str, name: str) -> str:
    try:
        return os.readlink(f"{folder}/{name}")
    except FileNotFoundError:
        return ""  # the one that listing the folder had opened
    except OSError:
        return "a file descriptor"  # this system has no links there


def _is_idle(thread: threading.Thread) -> bool:
    return thread.name.startswith(_IDLE_THREAD)


def _wait_for(thread: threading.Thread) -> None:
    """Give a thread the time that it needs between its last result and its end."""
    for _ in range(50):
        if _is_idle(thread) or not thread.is_alive():
            return
        thread.join(THREAD_PATIENCE_S / 50)


def _open_ends() -> dict[int, Any]:
    gc.collect()  # what nobody can reach any more is not open
    return {id(found): found for found in gc.get_objects() if type(found) in _ENDS and not found._closed}


def _end_text(end: Any) -> str:
    if isinstance(end, LinkSender | LinkReceiver):
        kind = "sender" if isinstance(end, LinkSender) else "receiver"
        return f"{kind} of the link {end.link.name!r}"
    kind = "send" if isinstance(end, trio.MemorySendChannel) else "receive"
    return f"{kind} end of a memory channel ({end.statistics().current_buffer_used} items wait)"


def _borrowed() -> dict[int, trio.CapacityLimiter]:
    return {
        id(found): found
        for found in gc.get_objects()
        if type(found) is trio.CapacityLimiter and found.borrowed_tokens
    }


# --- temporary files ---------------------------------------------------------------------------

# An audit hook cannot be taken away again, so there is one for good, and what it fills comes and goes.
_listeners: Final[list[list[str]]] = []
_hook_lock = threading.Lock()
_hooked = False


@contextmanager
def _noting_temporary_files() -> Iterator[list[str]]:
    """Collect the paths that the ``tempfile`` module makes inside this block, in any thread."""
    global _hooked
    with _hook_lock:
        if not _hooked:
            sys.addaudithook(_note)
            _hooked = True
    made: list[str] = []
    _listeners.append(made)
    try:
        yield made
    finally:
        _listeners.remove(made)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _listeners and event in ("tempfile.mkstemp", "tempfile.mkdtemp"):
        for made in _listeners:
            made.append(str(arguments[0]))
