"""Running a command under trio, with Ctrl-C that first asks and then insists.

The first SIGINT or SIGTERM asks the command to stop: whatever it registered with ``StopRequest.on_stop`` is
called, and it goes on to its report.  The second one cancels it.  A command that has registered nothing (it
loads models, say) has nothing to end gracefully, so the first signal cancels it at once.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, final

import trio

from voicetrio.errors import VoicetrioError
from voicetrio.runtime.failures import leaves

__all__ = ["INTERRUPTED", "Command", "StopRequest", "expected_errors", "run_command"]

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C cancelled: 128 + SIGINT, as a shell has it."""


@final
class StopRequest:
    """How a command learns that its user wants it to end."""

    def __init__(self) -> None:
        self._asked = False
        self.signal: int | None = None
        """The signal that asked; None before."""
        self._callbacks: list[Callable[[], object]] = []

    @property
    def asked(self) -> bool:
        """True once the user has asked."""
        return self._asked

    @contextmanager
    def on_stop(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call ``callback`` (synchronous, such as ``session.end``) when asked to stop inside this block.

        If that was asked already, it is called at once.
        """
        if self._asked:
            callback()
        self._callbacks.append(callback)
        try:
            yield
        finally:
            self._callbacks.remove(callback)

    def _ask(self, number: int = signal.SIGINT) -> bool:
        """Ask, and tell whether anybody took it up; only the first time counts."""
        if self._asked:
            return False
        self._asked = True
        self.signal = number
        for callback in tuple(self._callbacks):
            callback()
        return bool(self._callbacks)


Command: TypeAlias = Callable[[StopRequest], Awaitable[int]]
"""The asynchronous part of a subcommand; it returns the exit status."""


def run_command(command: Command) -> int:
    """Run ``command`` under trio and return its exit status, or ``INTERRUPTED`` when it was cancelled.

    What the command raises passes through, taken out of the exception group if it was alone.
    """
    return trio.run(_with_signals, command, strict_exception_groups=True)


async def _with_signals(command: Command) -> int:
    stop = StopRequest()
    status = INTERRUPTED
    failure: Exception | SystemExit | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed, signals, stop, nursery.cancel_scope)
            try:
                status = await command(stop)
            except (Exception, SystemExit) as error:
                # Kept aside: the nursery would wrap it into a group.  A console whose reader has left
                # raises SystemExit.
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return status


async def _heed(signals: AsyncIterator[int], stop: StopRequest, scope: trio.CancelScope) -> None:
    async for number in signals:
        if not stop._ask(number):
            scope.cancel()


def expected_errors(error: BaseException) -> list[Exception]:
    """Return the errors in ``error`` that a user can mend, or nothing if it holds a bug as well.

    Looks into exception groups.  Errors with the same text are given once.
    """
    found = list(leaves(error))
    if not all(isinstance(leaf, (VoicetrioError, OSError)) for leaf in found):
        return []
    return list({str(leaf): leaf for leaf in found if isinstance(leaf, Exception)}.values())
