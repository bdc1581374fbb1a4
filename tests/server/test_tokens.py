from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.server.tokens import TokenRefused, TokenSigner

SECRET = b"a secret of 24 bytes ..."


def test_a_token_says_what_was_signed():
    signer = TokenSigner(SECRET, now=lambda: 1000.0)
    token = signer.sign("session", "ada", ttl_s=60, claims={"room": 7})
    found = signer.verify("session", token)
    assert (found.subject, found.expires_at, found.claims) == ("ada", 1060.0, {"room": 7})


@pytest.mark.parametrize("name", ["for", "sub", "exp"])
def test_no_claim_takes_the_place_of_what_the_token_says_itself(name):
    with pytest.raises(ConfigError, match=f"'{name}'"):
        TokenSigner(SECRET).sign("session", "ada", ttl_s=60, claims={name: "eve"})


def test_another_process_with_the_same_secret_knows_it_and_one_without_does_not():
    token = TokenSigner(SECRET).sign("session", "ada", ttl_s=60)
    assert TokenSigner(SECRET).verify("session", token).subject == "ada"
    for other in (TokenSigner(b"another secret of mine"), TokenSigner()):
        with pytest.raises(TokenRefused, match="foreign"):
            other.verify("session", token)


def test_it_expires():
    now = [1000.0]
    signer = TokenSigner(SECRET, now=lambda: now[0])
    token = signer.sign("session", "ada", ttl_s=60)
    now[0] = 1059.9
    signer.verify("session", token)
    now[0] = 1060.0
    with pytest.raises(TokenRefused, match="expired"):
        signer.verify("session", token)


def test_it_counts_for_its_purpose_only():
    signer = TokenSigner(SECRET)
    with pytest.raises(TokenRefused, match="purpose"):
        signer.verify("session", signer.sign("resume", "ada", ttl_s=60))


@given(st.data())
def test_no_changed_token_counts(data):
    signer = TokenSigner(SECRET, now=lambda: 1000.0)
    token = signer.sign("session", "ada", ttl_s=60)
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.characters()) + token[at + 1 :]
    if changed != token:
        with pytest.raises(TokenRefused):
            signer.verify("session", changed)


@given(st.text(max_size=100))
def test_no_text_is_a_token(text):
    signer = TokenSigner(SECRET)
    for token in (text, f"vt1.{text}", f"vt1.{text}.{text}"):
        with pytest.raises(TokenRefused):
            signer.verify("session", token)


def test_a_payload_that_we_would_never_write_is_malformed_even_when_signed():
    signer = TokenSigner(SECRET)
    for payload in ([], {"sub": "a"}, {"sub": "a", "exp": "soon", "for": "session"}, "x"):
        body = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
        signature = base64.urlsafe_b64encode(signer._mac(f"vt1.{body}")).rstrip(b"=").decode()
        with pytest.raises(TokenRefused, match="malformed"):
            signer.verify("session", f"vt1.{body}.{signature}")


def test_a_short_secret_is_refused():
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        TokenSigner(b"short")


def test_a_very_long_token_is_not_looked_at():
    with pytest.raises(TokenRefused, match="malformed"):
        TokenSigner(SECRET).verify("session", "vt1." + "a" * 5000 + ".b")
