"""Failures that come several at once, or beside a cancellation: taking them apart, and keeping them in.

A nursery raises a group, and when its task is being cancelled as well, the group holds a Cancelled beside
the failure.  ``except Exception`` does not see such a group: who must let no failure out uses ``contained``.

A name that holds an exception is deleted before its frame is left: see ``running``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

__all__ = ["beside_cancelled", "contained", "failures_of", "leaves"]


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what is in the group ``error``, and in the groups inside; or ``error`` itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def failures_of(error: BaseException) -> list[Exception]:
    """Return the failures in ``error``, one by one: what is no Exception is left out."""
    return [leaf for leaf in leaves(error) if isinstance(leaf, Exception)]


def beside_cancelled(error: BaseException) -> list[BaseException]:
    """Return what ``error`` holds beside cancellations; nothing for a mere cancellation."""
    return [leaf for leaf in leaves(error) if not isinstance(leaf, trio.Cancelled)]


@contextmanager
def contained(note: Callable[[Exception], object]) -> Iterator[None]:
    """Give what the block raises to ``note`` and go on; what is no failure (a cancellation) is raised.

    Where both come in one group, ``note`` is given the failures, as a group, and the rest is raised.
    """
    try:
        yield
    except Exception as error:
        note(error)
    except BaseExceptionGroup as group:
        failures, rest = group.split(Exception)
        try:
            if failures is not None:
                note(failures)
            assert rest is not None  # or else it were an ExceptionGroup
            raise rest from None
        finally:
            del failures, rest
