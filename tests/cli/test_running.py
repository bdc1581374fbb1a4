"""Ctrl-C: the first asks, the second insists; and which errors are the user's to mend."""

from __future__ import annotations

import signal

import pytest
import trio

from voicetrio.cli.running import INTERRUPTED, StopRequest, expected_errors, run_command
from voicetrio.errors import ConfigError, SessionError


def test_a_command_returns_its_status() -> None:
    async def command(stop: StopRequest) -> int:
        await trio.lowlevel.checkpoint()
        return 3

    assert run_command(command) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_the_command_which_goes_on_to_its_report(number: signal.Signals) -> None:
    async def command(stop: StopRequest) -> int:
        asked = trio.Event()
        with stop.on_stop(asked.set):
            signal.raise_signal(number)
            await asked.wait()
        assert stop.asked
        await trio.lowlevel.checkpoint()  # the report: nothing is cancelled here
        return 0

    assert run_command(command) == 0


def test_the_second_signal_cancels() -> None:
    async def command(stop: StopRequest) -> int:
        def again() -> None:
            signal.raise_signal(signal.SIGINT)

        with stop.on_stop(again):
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    assert run_command(command) == INTERRUPTED


def test_a_signal_cancels_a_command_that_has_nothing_to_end_gracefully() -> None:
    async def command(stop: StopRequest) -> int:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    assert run_command(command) == INTERRUPTED


def test_what_was_asked_before_is_told_at_once() -> None:
    async def command(stop: StopRequest) -> int:
        first, second = trio.Event(), trio.Event()
        with stop.on_stop(first.set):
            signal.raise_signal(signal.SIGINT)
            await first.wait()
        with stop.on_stop(second.set):
            assert second.is_set()
        return 0

    assert run_command(command) == 0


def test_an_error_is_not_wrapped_into_a_group() -> None:
    async def command(stop: StopRequest) -> int:
        await trio.lowlevel.checkpoint()
        raise ConfigError("no such voice")

    with pytest.raises(ConfigError, match="no such voice"):
        run_command(command)


def test_expected_errors_are_found_inside_groups_and_told_once() -> None:
    group = SessionError("two", [ConfigError("a"), ExceptionGroup("inner", [OSError("b"), ConfigError("a")])])
    assert [str(error) for error in expected_errors(group)] == ["a", "b"]


def test_a_group_that_holds_a_bug_is_not_expected() -> None:
    assert expected_errors(ExceptionGroup("both", [ConfigError("a"), KeyError("bug")])) == []
