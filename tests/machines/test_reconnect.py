"""The reconnect machine: every end has one meaning, and no order of events breaks a budget."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.machines.reconnect import (
    TABLE,
    ConnectionState,
    ReconnectEvent,
    ReconnectMachine,
    ReconnectSettings,
)
from voicetrio.machines.stream_end import StreamEnd, classify

LOST = StreamEnd(was_open=True, by="network")
DIAL_LOST = StreamEnd(was_open=False, by="network")
IDLE = StreamEnd(was_open=True, by="peer", code=1000)
RESTART = StreamEnd(was_open=True, by="peer", code=1012)
REFUSED = StreamEnd(was_open=True, by="peer", code=1008)
ASKED = StreamEnd(was_open=True, by="us", was_asked=True)


class Highest(random.Random):
    """Chance that always draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def machine(**settings: float) -> ReconnectMachine:
    return ReconnectMachine(ReconnectSettings(**settings), Highest())  # type: ignore[arg-type]


def opened(at: float = 0.0, **settings: float) -> ReconnectMachine:
    new = machine(**settings)
    new.use(at)
    new.opened(at)
    return new


# --- what an end means ---


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (ASKED, "wanted"),
        (IDLE, "idle"),
        (StreamEnd(was_open=True, by="peer"), "idle"),
        (StreamEnd(was_open=True, by="peer", code=1000, in_use=True), "lost"),
        (StreamEnd(was_open=True, by="network"), "lost"),
        (StreamEnd(was_open=True, by="peer", code=1011), "lost"),
        (StreamEnd(was_open=True, by="peer", code=1013), "lost"),
        (StreamEnd(was_open=True, by="peer", code=4001), "lost"),
        (StreamEnd(was_open=True, by="us", code=1008), "lost"),
        (StreamEnd(was_open=True, by="us", code=1009), "lost"),
        (RESTART, "restart"),
        (StreamEnd(was_open=True, by="peer", code=1001, in_use=True), "restart"),
        (REFUSED, "refused"),
        (StreamEnd(was_open=True, by="peer", code=3000), "refused"),
        (StreamEnd(was_open=True, by="peer", reason="bad voice", refused=True), "refused"),
        (StreamEnd(was_open=True, by="peer", code=1008, refused=False), "lost"),
        (DIAL_LOST, "lost"),
        (StreamEnd(was_open=False, by="network", untrusted=True), "refused"),
        *[
            (StreamEnd(was_open=False, by="peer", status=s), "refused")
            for s in (200, 301, 400, 401, 403, 404)
        ],
        *[(StreamEnd(was_open=False, by="peer", status=s), "lost") for s in (408, 425, 429, 500, 503)],
    ],
)
def test_every_end_has_one_meaning(end: StreamEnd, kind: str) -> None:
    assert classify(end) == kind


def test_a_service_may_give_its_own_codes_a_meaning() -> None:
    def own(end: StreamEnd) -> str | None:
        return "refused" if end.code == 4001 else None

    assert classify(StreamEnd(was_open=True, by="peer", code=4001), own) == "refused"  # type: ignore[arg-type]
    assert classify(IDLE, own) == "idle"  # type: ignore[arg-type]
    assert classify(ASKED, lambda _end: "lost") == "wanted"


# --- the table ---


def test_the_table_names_every_state_and_leads_nowhere_else() -> None:
    states = set(get_args(ConnectionState))
    events = set(get_args(ReconnectEvent))
    assert TABLE.keys() == states
    assert {new for row in TABLE.values() for new in row.values()} <= states
    assert {event for row in TABLE.values() for event in row} == events


def test_every_state_can_be_closed_and_closed_is_the_end() -> None:
    assert all(row["close"] == "closed" for row in TABLE.values())
    assert set(TABLE["closed"]) == {"close"}


def test_what_cannot_happen_raises() -> None:
    with pytest.raises(ValueError, match="'opened' cannot happen to a connection that is idle"):
        machine().opened(0)
    waiting = opened()
    waiting.ended(LOST, 20)
    with pytest.raises(ValueError, match=r"a dial is allowed at 20\.25, and it is 20\.1"):
        waiting.due(20.1)


# --- waits ---


def test_the_backoff_doubles_from_half_a_second_to_its_bound() -> None:
    it = machine()
    it.use(0)
    now, waits = 0.0, []
    for _ in range(10):
        it.dial_failed(DIAL_LOST, now)
        waits.append(round(it.retry_at - now, 6))
        now = it.retry_at
        it.due(now)
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_jitter_is_full_and_comes_from_the_given_chance() -> None:
    waits = []
    for seed in range(300):
        it = ReconnectMachine(ReconnectSettings(), random.Random(seed))
        it.use(0)
        it.dial_failed(DIAL_LOST, 0)
        assert it.retry_at == random.Random(seed).uniform(0, 0.25)
        waits.append(it.retry_at)
    assert min(waits) < 0.01
    assert max(waits) > 0.24


def test_a_wait_that_the_peer_asked_for_is_obeyed() -> None:
    it = machine()
    it.use(0)
    it.dial_failed(StreamEnd(was_open=False, by="peer", status=429, retry_after_s=7.0), 0)
    assert it.retry_at == 7.0
    assert it.state == "backoff"


def test_a_peer_that_asks_for_too_much_is_given_up() -> None:
    it = machine(retry_after_max_s=60)
    it.use(0)
    it.dial_failed(StreamEnd(was_open=False, by="peer", status=503, retry_after_s=61.0), 0)
    assert it.state == "failed"
    assert it.gave_up is not None
    assert it.gave_up.because == "asked to wait"


def test_a_stable_spell_lets_the_count_begin_anew() -> None:
    it = opened(stable_s=10, quick_s=5)
    it.ended(LOST, 6)  # neither quick nor stable
    assert it.failures == 1
    it.due(it.retry_at)
    it.opened(7)
    it.ended(LOST, 13)
    assert (it.failures, it.retry_at) == (2, 13.5)
    it.due(13.5)
    it.opened(14)
    it.ended(LOST, 24)
    assert (it.failures, it.retry_at) == (1, 24.25)


# --- idle, wanted ---


def test_an_idle_close_waits_for_the_next_use_and_then_dials_at_once() -> None:
    it = opened()
    it.ended(IDLE, 300)
    assert it.state == "idle"
    it.use(1000)
    assert it.state == "connecting"
    assert it.tries == 0


def test_a_stream_that_we_ended_waits_for_the_next_use() -> None:
    it = opened()
    it.ended(ASKED, 0.1)
    assert it.state == "idle"
    it.use(0.1)
    assert it.state == "connecting"


def test_a_server_that_closes_at_once_cannot_be_hammered_by_use() -> None:
    it = opened(quick_max=5)
    now = 0.0
    for count in range(1, 5):
        it.ended(IDLE, now, was_used=False)
        assert it.state == "idle"
        it.use(now)
        assert it.state == "backoff"
        assert it.failures == count
        now = it.retry_at
        it.due(now)
        it.opened(now)
    it.ended(IDLE, now, was_used=False)
    assert it.state == "failed"


def test_a_stream_that_did_its_work_and_was_closed_cleanly_is_no_failure() -> None:
    it = opened()
    for now in range(20):
        it.ended(IDLE, now, was_used=True)
        it.use(now)
        it.opened(now)
    assert (it.state, it.tries, it.quick_failures) == ("open", 0, 0)


# --- giving up ---


def test_a_refusal_stops_at_once_and_says_why() -> None:
    it = machine()
    it.use(0)
    end = StreamEnd(was_open=False, by="peer", status=401, reason="bad key")
    it.dial_failed(end, 0)
    assert it.state == "failed"
    assert it.gave_up is not None
    assert (it.gave_up.because, it.gave_up.end) == ("refused", end)


def test_openings_that_die_at_once_are_counted() -> None:
    it = opened(quick_max=3)
    now = 0.0
    for _ in range(2):
        now += 4.9
        it.ended(LOST, now)
        now = it.retry_at
        it.due(now)
        it.opened(now)
    it.ended(LOST, now + 4.9)
    assert it.state == "failed"
    assert it.gave_up is not None
    assert it.gave_up.because == "quick failures"


def test_the_sessions_budget_is_the_end() -> None:
    it = machine(per_session=3)
    it.use(0)
    now = 0.0
    for _ in range(3):
        it.dial_failed(DIAL_LOST, now)
        now = it.retry_at
        it.due(now)
    it.dial_failed(DIAL_LOST, now)
    assert it.state == "failed"
    assert it.gave_up is not None
    assert (it.gave_up.because, it.gave_up.tries) == ("budget", 3)


def test_the_minutes_budget_makes_the_next_try_wait() -> None:
    it = machine(per_minute=3, max_s=1)
    it.use(0)
    now, times = 0.0, []
    for _ in range(6):
        it.dial_failed(DIAL_LOST, now)
        now = it.retry_at
        it.due(now)
        times.append(now)
    assert times[3] == times[0] + 60
    assert times[4] == times[3] + 1


# --- handover ---


def test_a_peer_that_will_go_is_replaced_while_it_is_used() -> None:
    it = opened()
    assert it.notice(100)
    assert (it.state, it.has_stream, it.retry_at) == ("handover backoff", True, 100.25)
    it.due(100.25)
    assert (it.state, it.has_stream) == ("handover", True)
    it.opened(100.5)
    assert it.state == "open"


def test_a_successor_that_is_refused_leaves_the_old_stream_in_use() -> None:
    it = opened()
    it.notice(100)
    it.due(it.retry_at)
    it.dial_failed(StreamEnd(was_open=False, by="peer", status=403), 101)
    assert it.state == "open"
    assert it.gave_up is None


def test_an_old_stream_that_ends_during_the_handover_leaves_the_dial_under_way() -> None:
    it = opened()
    it.notice(100)
    it.due(it.retry_at)
    it.ended(RESTART, 101)
    assert it.state == "connecting"
    it.opened(102)
    assert it.state == "open"


def test_a_notice_at_another_time_means_nothing() -> None:
    it = machine()
    assert not it.notice(0)
    it.use(0)
    assert not it.notice(0)
    assert it.state == "connecting"


# --- settings ---


@pytest.mark.parametrize(
    "wrong", [{"first_s": -1}, {"per_minute": 0}, {"quick_max": 0}, {"max_s": float("nan")}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ReconnectSettings(**wrong)  # type: ignore[arg-type]


# --- whatever the server does ---

ENDS = st.sampled_from(
    [LOST, IDLE, RESTART, ASKED, StreamEnd(was_open=True, by="peer", code=1000, in_use=True)]
)
SETTINGS = st.builds(
    ReconnectSettings,
    first_s=st.floats(0, 1),
    base_s=st.floats(0, 2),
    max_s=st.floats(0, 40),
    per_minute=st.integers(1, 10),
    per_session=st.integers(1, 30),
    quick_max=st.integers(1, 10),
)


@given(settings=SETTINGS, seed=st.integers(0, 2**32), data=st.data())
def test_no_order_of_events_breaks_a_budget_or_a_wait(
    settings: ReconnectSettings, seed: int, data: st.DataObject
) -> None:
    it = ReconnectMachine(settings, random.Random(seed))
    now = 0.0
    retries: list[float] = []
    for _ in range(data.draw(st.integers(0, 60))):
        now += data.draw(st.sampled_from([0.0, 0.001, 1.0, 6.0, 20.0]))
        before = it.tries
        match it.state:
            case "idle":
                it.use(now)
            case "connecting" | "handover":
                if data.draw(st.booleans()):
                    it.opened(now)
                else:
                    it.dial_failed(DIAL_LOST, now)
            case "open":
                if data.draw(st.integers(0, 3)) == 0:
                    it.notice(now)
                else:
                    it.ended(data.draw(ENDS), now, was_used=data.draw(st.booleans()))
            case "backoff" | "handover backoff":
                failures = it.failures
                # Never longer than the bound, unless the minute's budget is spent.
                latest = now + settings.longest_wait_s(failures) + 1e-9
                assert it.retry_at <= latest or len(retries) >= settings.per_minute
                now = max(now, it.retry_at)
                it.due(now)
            case _:
                break
        retries += [now] * (it.tries - before)
    assert it.tries == len(retries) <= settings.per_session
    for index, time in enumerate(retries):
        within = [other for other in retries[: index + 1] if time - other < 60 - 1e-6]
        assert len(within) <= settings.per_minute


def test_a_use_of_what_is_in_use_changes_nothing() -> None:
    it = opened()
    it.use(1.0)
    assert (it.state, it.tries) == ("open", 0)


def test_a_stream_that_ends_with_a_refusal_is_given_up() -> None:
    it = opened()
    assert it.ended(REFUSED, 1.0) == "refused"
    assert it.state == "failed"
    assert it.gave_up is not None
    assert (it.gave_up.because, it.gave_up.end) == ("refused", REFUSED)


def test_nobody_needs_it_any_more() -> None:
    it = opened()
    it.close()
    assert (it.state, it.has_stream) == ("closed", False)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (StreamEnd(was_open=True, by="network"), "it broke"),
        (StreamEnd(was_open=True, by="peer", code=1011, reason="oops"), "oops (code 1011)"),
        (StreamEnd(was_open=False, by="peer", status=401), "the peer closed it (HTTP 401)"),
    ],
)
def test_an_end_is_told_in_words(end: StreamEnd, text: str) -> None:
    assert str(end) == text


def test_a_use_after_the_budget_is_spent_is_the_end() -> None:
    it = opened(per_session=1, quick_max=9)
    it.ended(IDLE, 0.1, was_used=False)  # it died at once
    it.use(it.retry_at)
    it.opened(it.retry_at)
    it.ended(IDLE, it.retry_at + 0.1, was_used=False)
    assert it.state == "idle"
    it.use(it.retry_at)
    assert it.state == "failed"
    assert it.gave_up is not None
    assert (it.gave_up.because, it.gave_up.end) == ("budget", IDLE)


def test_a_notice_without_a_try_left_keeps_the_stream_until_it_ends() -> None:
    it = opened(per_session=1)
    assert it.notice(0.1)  # too early to be stable
    it.due(it.retry_at)
    assert it.failures == 1
    it.dial_failed(DIAL_LOST, it.retry_at)
    assert (it.state, it.gave_up) == ("open", None)  # no successor, and the old stream goes on
    assert not it.notice(1.0)
    assert it.state == "open"
