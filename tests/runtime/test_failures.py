"""Taking failures apart, and keeping them in."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from voicetrio.runtime.failures import contained, leaves


def test_leaves_are_what_groups_hold_however_deep() -> None:
    one, two, three = KeyError(1), ValueError(2), KeyboardInterrupt()
    inner = BaseExceptionGroup("inner", [two, three])
    assert list(leaves(BaseExceptionGroup("outer", [one, inner]))) == [one, two, three]
    assert list(leaves(one)) == [one]


def test_a_failure_is_noted_and_the_program_goes_on() -> None:
    noted: list[Exception] = []
    error = KeyError("one")
    with contained(noted.append):
        raise error
    assert noted == [error]


def test_without_a_failure_nothing_is_noted() -> None:
    noted: list[Exception] = []
    with contained(noted.append):
        pass
    assert noted == []


def test_what_is_no_failure_passes() -> None:
    noted: list[Exception] = []
    with pytest.raises(KeyboardInterrupt), contained(noted.append):
        raise KeyboardInterrupt
    with pytest.RaisesGroup(KeyboardInterrupt, SystemExit), contained(noted.append):
        raise BaseExceptionGroup("both", [KeyboardInterrupt(), SystemExit()])
    assert noted == []


async def test_a_failure_beside_a_cancellation_is_noted_and_the_cancellation_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    noted: list[Exception] = []
    went_on = False
    with trio.move_on_after(1) as scope:
        with contained(noted.append):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    await trio.sleep_forever()
                finally:
                    raise KeyError("in cleanup")
        went_on = True
    assert scope.cancelled_caught
    assert not went_on
    (group,) = noted
    (leaf,) = leaves(group)
    assert isinstance(leaf, KeyError)
