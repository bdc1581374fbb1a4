"""How many sessions a core carries: the tries, and what counts as carried."""

from __future__ import annotations

import pytest
import sessions


def machine(us_a_frame: float, *, runs_dry_from: int = 1 << 30):
    """A probe of a server whose sessions cost so much."""

    def probe(_scenario: str, wanted: int, _seconds: float, _python: str) -> dict[str, float]:
        tried.append(wanted)
        cpu = min(1.0, wanted * sessions.TICK_HZ * us_a_frame / 1e6)
        dry = int(cpu >= 1.0 or wanted >= runs_dry_from)
        return {
            "sessions": wanted, "cpu": cpu, "underruns": dry, "lost": 0, "unsent": 0, "load_cpu": 0.3,
            "late_frames": 0,
        }  # fmt: skip

    tried: list[int] = []
    return probe, tried


def rounds(monkeypatch, probe, count: int) -> list[dict[str, float]]:
    monkeypatch.setattr(sessions, "probe", probe)
    monkeypatch.setattr(sessions, "_aims", {})
    return [sessions.carried("agent") for _ in range(count)]


@pytest.mark.parametrize("us_a_frame", [20.0, 100.0, 155.0, 400.0])
def test_the_tries_go_to_what_the_share_of_the_core_is_enough_for(monkeypatch, us_a_frame):
    probe, _ = machine(us_a_frame)
    *_, last = rounds(monkeypatch, probe, 3)
    fits = sessions.CORE_SHARE / (us_a_frame * 1e-6 * sessions.TICK_HZ)
    assert last["fits"] == pytest.approx(fits)
    assert fits * 0.85 <= last["sessions"] <= fits
    assert last["us_a_frame"] == pytest.approx(us_a_frame)


def test_a_core_that_is_not_full_and_runs_dry_is_given_less(monkeypatch):
    probe, tried = machine(100.0, runs_dry_from=100)
    *_, last = rounds(monkeypatch, probe, 4)
    assert last["sessions"] < 100
    assert tried[0] >= 100 > min(tried)


def test_a_round_goes_on_until_something_is_carried(monkeypatch):
    probe, tried = machine(100.0, runs_dry_from=80)
    assert rounds(monkeypatch, probe, 1)[0]["sessions"] >= 70
    assert len(tried) > sessions.TRIES


def test_where_the_carried_count_more_are_tried_while_there_is_room(monkeypatch):
    probe, tried = machine(100.0)
    monkeypatch.setattr(sessions, "probe", probe)
    monkeypatch.setattr(sessions, "_aims", {})
    fits = sessions.CORE_SHARE / (100e-6 * sessions.TICK_HZ)
    assert fits * 0.97 <= sessions.carried("agent", counts=True)["sessions"] <= fits
    assert tried == sorted(tried)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"cpu": 0.81}, False),
        ({"underruns": 1}, False),
        ({"lost": 1}, False),
        ({"unsent": 1}, False),
    ],
)
def test_what_is_carried(changed, expected):
    row = {"cpu": 0.8, "underruns": 0, "lost": 0, "unsent": 0, **changed}
    assert sessions.carries(row) is expected


def test_every_side_is_a_scenario():
    for side in sessions.question().sides:
        assert side.arguments["scenario"] in sessions.SCENARIOS
        assert (side.peer is not None) == bool(sessions.SCENARIOS[side.arguments["scenario"]].get("peer"))
