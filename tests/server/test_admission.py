from __future__ import annotations

import pytest

from voicetrio.connection.websocket import Refusal
from voicetrio.server.admission import Admission, Ticket


def make(*, max_sessions=2, overload=None) -> Admission:
    return Admission(max_sessions=max_sessions, retry_after_s=7, overload=overload or (lambda: None))


def test_slots_are_counted_and_given_back_once():
    admission = make()
    first, second = admission.admit(), admission.admit()
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    refusal = admission.admit()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "7")
    first.release()
    first.release()
    assert admission.statistics().taken == 1
    assert isinstance(admission.admit(), Ticket)
    counts = admission.statistics()
    assert (counts.taken, counts.admitted, counts.refused) == (2, 3, {"full": 1})


@pytest.mark.parametrize("why", ["lag", "pools"])
def test_an_overloaded_process_lets_nobody_in(why):
    load = [why]
    admission = make(overload=lambda: load[0])
    assert isinstance(admission.admit(), Refusal)
    assert admission.why_not() == why
    load[0] = None
    assert isinstance(admission.admit(), Ticket)
    assert admission.statistics().refused == {why: 1}


def test_a_draining_server_lets_nobody_in_whatever_room_it_has():
    admission = make()
    admission.is_draining = True
    assert isinstance(admission.admit(), Refusal)
    assert admission.statistics().refused == {"draining": 1}
