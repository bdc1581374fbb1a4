from __future__ import annotations

import pytest

from tests.server.calls import request
from voicetrio.connection.websocket import Refusal
from voicetrio.errors import ConfigError
from voicetrio.server.authentication import AnyOf, BearerTokens, Credentials, SignedTokens, token_of
from voicetrio.server.tokens import TokenSigner

ADA, BOB = "ada's token, quite long", "bob's token, quite long"


@pytest.fixture
def bearer() -> BearerTokens:
    return BearerTokens({"ada": ADA, "bob": BOB})


def test_a_bearer_token_tells_who_comes(bearer):
    assert bearer(request(authorization=f"Bearer {ADA}")) == Credentials(subject="ada")
    assert bearer(request(authorization=f"bearer  {BOB} ")) == Credentials(subject="bob")
    assert bearer(request(query={"token": BOB})) == Credentials(subject="bob")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong token, but long", f"Basic {ADA}", ADA, "Bearer é"]
)
def test_without_a_known_token_nobody_comes_in(bearer, header):
    refusal = bearer(request(authorization=header))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    assert "Bearer" in refusal.headers["WWW-Authenticate"]
    assert ADA not in refusal.text


def test_tokens_are_shown_by_nothing(bearer):
    assert ADA not in repr(bearer)
    asked = request(query={"token": ADA, "room": "7"}, authorization=f"Bearer {BOB}", cookie="a=b", host="x")
    assert ADA not in repr(asked)
    assert BOB not in repr(asked)
    assert "a=b" not in repr(asked)
    assert "'room': '7'" in repr(asked)


def test_the_header_goes_before_the_query():
    assert token_of(request(query={"token": "q"}, authorization="Bearer h")) == "h"
    assert token_of(request(query={"token": ""})) is None


@pytest.mark.parametrize("tokens", [{}, {"ada": "short"}])
def test_tokens_that_protect_nothing_are_refused(tokens):
    with pytest.raises(ConfigError):
        BearerTokens(tokens)


def test_signed_tokens_expire_and_carry_claims():
    now = [0.0]
    signed = SignedTokens(TokenSigner(now=lambda: now[0]))
    asked = request(query={"token": signed.issue("ada", ttl_s=10, claims={"plan": "free"})})
    assert signed(asked) == Credentials(subject="ada", claims={"plan": "free"})
    now[0] = 10.0
    refusal = signed(asked)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, "expired" in refusal.text) == (401, True)
    assert isinstance(signed(request()), Refusal)


def test_any_of_several_ways_lets_in(bearer):
    signed = SignedTokens(TokenSigner())
    either = AnyOf(bearer, signed)
    assert either(request(authorization=f"Bearer {ADA}")) == Credentials(subject="ada")
    assert either(request(query={"token": signed.issue("eve")})) == Credentials(subject="eve")
    assert isinstance(either(request(query={"token": "neither"})), Refusal)
    with pytest.raises(ConfigError):
        AnyOf()
