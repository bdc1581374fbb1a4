"""Whose fault it was, and what to do."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicetrio.connection.answers import check_json_object, error_of_status
from voicetrio.connection.error_text import text_of_error
from voicetrio.connection.faults import end_of_dial, explain_os_error, failure_of, retry_after_s
from voicetrio.connection.websocket import HandshakeFailed, SocketClosed
from voicetrio.errors import ServiceError
from voicetrio.machines.reconnect import GaveUp
from voicetrio.machines.stream_end import StreamEnd


def test_retry_after_may_be_seconds_or_a_date():
    assert retry_after_s(None) is None
    assert retry_after_s("7") == 7
    assert retry_after_s("-1") == 0
    assert retry_after_s("soon") is None
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert retry_after_s(later) == pytest.approx(100, abs=5)
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "text",
    [
        "Mon, {} Jan 2024 00:00:00 GMT",
        "Mon, 01 Jan {} 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 {}",
        "Mon, 01 Jan 2024 {}:00:00 GMT",
        "{}",
    ],
)
@given(number=st.integers(-(10**30), 10**30))
@example(number=1 << 31)
def test_a_retry_after_that_no_calendar_has_says_nothing(text: str, number: int) -> None:
    seconds = retry_after_s(text.format(number))
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "Wed, 21 Oct 2015 07:28:00"])
def test_a_retry_after_that_makes_no_sense_is_no_wait_for_ever(text: str):
    seconds = retry_after_s(text)
    assert seconds is None or seconds == 0


def test_what_the_network_said_stands_in_the_end_of_a_dial():
    failed = HandshakeFailed("service:443 cannot be reached: no")
    failed.__cause__ = socket.gaierror(-2, "Name or service not known")
    end = end_of_dial(failed)
    assert (end.by, end.was_open, end.reason) == ("network", False, "service:443 cannot be reached: no")
    assert end_of_dial(OSError("broken")).reason == "broken"
    closed = end_of_dial(SocketClosed(1008, "no", "peer"))
    assert (closed.was_open, closed.code) == (True, 1008)
    assert end_of_dial(ServiceError("x", service="s")).refused


def test_a_certificate_that_does_not_verify_is_found_behind_other_errors():
    failed = HandshakeFailed("no")
    failed.__cause__ = RuntimeError()
    failed.__cause__.__cause__ = ssl.SSLCertVerificationError(1, "bad certificate")
    assert end_of_dial(failed).untrusted


def test_errors_of_the_system_say_what_to_look_at():
    assert "DNS" in explain_os_error(socket.gaierror(-2, "Name or service not known"))
    assert "TLS port" in explain_os_error(ssl.SSLError(1, "wrong version number"))
    assert (
        explain_os_error(ConnectionRefusedError(111, "Connection refused"))
        == "[Errno 111] Connection refused"
    )


@pytest.mark.parametrize(
    ("end", "fault", "advice"),
    [
        (StreamEnd(was_open=False, by="peer", status=401), "credentials", "Check the key"),
        (StreamEnd(was_open=True, by="peer", code=3000), "credentials", "Check the key"),
        (StreamEnd(was_open=False, by="peer", status=404), "ours", "Check the address"),
        (StreamEnd(was_open=False, by="network", untrusted=True), "network", "what stands between"),
        (StreamEnd(was_open=True, by="peer", code=1008), "theirs", ""),
    ],
)
def test_a_refusal_says_what_to_do(end: StreamEnd, fault: str, advice: str):
    error = failure_of("talker", GaveUp("refused", end, 0))
    assert (error.fault, error.transient) == (fault, False)
    assert advice in str(error)


def test_other_reasons_to_give_up_are_transient_and_say_why():
    busy = StreamEnd(was_open=False, by="peer", status=429, retry_after_s=600.0)
    error = failure_of("talker", GaveUp("asked to wait", busy, 1))
    assert (error.fault, error.transient, error.retry_after_s) == ("limit", True, 600.0)
    assert "asked to wait 600 s, which is too long" in str(error)
    lost = StreamEnd(was_open=True, by="network", reason="cut")
    assert "gave up after 1 try, the last failure: cut" in str(
        failure_of("talker", GaveUp("budget", lost, 1))
    )
    assert "accepts and drops" in str(failure_of("talker", GaveUp("quick failures", lost, 4)))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"error": {"message": "a", "type": "b"}}', "a"),
        ('{"error": "a"}', "a"),
        ('{"message": "a"}', "a"),
        ('{"err_code": "X", "err_msg": "a"}', "a"),
        ('{"detail": [{"loc": ["text"], "msg": "a"}]}', "a"),
        ('{"title": "a", "status": 400}', "a"),
        ('{"other": 1}', '{"other": 1}'),
        ("plain\n  text", "plain text"),
        ("", ""),
    ],
)
def test_what_a_body_says_to_people_is_found(body: str, text: str):
    assert text_of_error(body) == text


def test_long_bodies_are_cut_to_one_line():
    assert len(text_of_error("x " * 5000)) == 300


def test_an_answer_that_is_not_an_object():
    assert check_json_object("s", b'{"a": 1}') == {"a": 1}
    for wrong in ("", "nope", b"\xff", "[]", "3"):
        with pytest.raises(ServiceError):
            check_json_object("s", wrong)


def test_statuses_between_good_and_bad():
    moved = error_of_status("s", 307, "")
    assert (moved.fault, moved.transient) == ("ours", False)
    paid = error_of_status("s", 402, "")
    assert (paid.fault, paid.transient) == ("limit", False)
    assert error_of_status("s", 409, "").transient
