"""The circuit breaker."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.machines import breaker as module
from voicetrio.machines.breaker import BREAKER_TABLE, Breaker, BreakerSettings, BreakerState

SETTINGS = BreakerSettings(failures=3, window_s=60, open_s=10, open_max_s=40)


def test_failures_within_the_window_open_it() -> None:
    it = Breaker(SETTINGS)
    for now in (0, 30):
        it.failed(now)
    assert it.allows(30)
    it.failed(59)
    assert not it.allows(59)
    assert it.retry_at == 69


def test_failures_far_apart_do_not() -> None:
    it = Breaker(SETTINGS)
    for now in range(0, 1000, 31):
        it.failed(now)
    assert it.state == "closed"


def test_a_success_forgets_the_failures() -> None:
    it = Breaker(SETTINGS)
    it.failed(0)
    it.failed(1)
    it.succeeded()
    it.failed(2)
    it.failed(3)
    assert it.state == "closed"


def test_a_failure_in_vain_opens_it_at_once() -> None:
    it = Breaker(SETTINGS)
    it.failed(0, in_vain=True)
    assert not it.allows(0)


def test_half_open_one_use_decides_and_the_time_doubles() -> None:
    it = Breaker(SETTINGS)
    it.failed(0, in_vain=True)
    opened_for = []
    for _ in range(4):
        now = it.retry_at
        assert not it.allows(now - 0.001)
        assert it.allows(now)
        it.failed(now)
        opened_for.append(it.retry_at - now)
    assert opened_for == [20, 40, 40, 40]
    assert it.allows(it.retry_at)
    it.succeeded()
    it.failed(1000, in_vain=True)
    assert it.retry_at == 1010


def test_a_failure_while_it_is_open_does_not_put_it_off() -> None:
    it = Breaker(SETTINGS)
    it.failed(0, in_vain=True)
    it.failed(5)
    assert it.retry_at == 10


def test_the_table_in_the_docstring_is_the_table() -> None:
    assert module.__doc__ is not None
    lines = module.__doc__.splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("state"))
    events = lines[begin].split()[1:]
    rows = {row.split()[0]: row.split()[1:] for row in lines[begin + 2 : begin + 5]}
    shown = {
        state: {event: new for event, new in zip(events, row, strict=True) if new != "(never)"}
        for state, row in rows.items()
    }
    assert shown == BREAKER_TABLE
    assert set(shown) == set(get_args(BreakerState))


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["use", "fail", "vain"])), max_size=60))
def test_it_is_never_left_alone_longer_than_its_bound(steps: list[tuple[float, str]]) -> None:
    it = Breaker(SETTINGS)
    now = 0.0
    for pause, what in steps:
        now += pause
        if it.allows(now):
            if what == "use":
                it.succeeded()
            else:
                it.failed(now, in_vain=what == "vain")
        else:
            assert it.retry_at - now <= SETTINGS.open_max_s + 1e-9
    assert it.allows(now + SETTINGS.open_max_s + 1e-9)


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": 0}, {"window_s": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BreakerSettings(**wrong)  # type: ignore[arg-type]
