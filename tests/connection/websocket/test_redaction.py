from __future__ import annotations

import logging

import pytest

from tests.connection.websocket.raw import REQUEST
from tests.connection.websocket.test_handshake import answer_to
from voicetrio.connection.websocket.redaction import hide, is_secret, redacted


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "xi-api-key", "Cookie", "token", "resume"])
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["Host", "Origin", "input_rate", "User-Agent", "room"])
def test_names_of_what_is_no_secret(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "< Authorization: Bearer S3CR3T",
        "> xi-api-key: S3CR3T",
        "< GET /call?room=7&token=S3CR3T&x=1 HTTP/1.1",
        """> TEXT '{"type":"hello","resume":"S3CR3T","resume_within_s":20}' [60 bytes]""",
        "the token vt1.S3CR3T.S3CR3T was refused",
    ],
)
def test_secrets_are_hidden_wherever_they_stand(text):
    assert "S3CR3T" not in hide(text)
    assert "[hidden]" in hide(text)


def test_the_rest_stays():
    assert hide("< GET /call?room=7 HTTP/1.1") == "< GET /call?room=7 HTTP/1.1"
    assert redacted({"token": "t", "room": "7"}) == "{'token': '[hidden]', 'room': '7'}"


async def test_nothing_secret_is_logged_even_when_everything_is(caplog):
    with caplog.at_level(logging.DEBUG, "voicetrio.websocket"):
        secret = (
            REQUEST.replace(b"/call?", b"/call?token=S3CR3T&")[:-2] + b"Authorization: Bearer S3CR3T\r\n\r\n"
        )
        answer, _failure = await answer_to(secret)
    assert answer.startswith("HTTP/1.1 101 ")
    assert "input_rate" in caplog.text
    assert "S3CR3T" not in caplog.text
