"""Who a client is: seams and the two usual ways, bearer tokens and signed session tokens.

A token comes in the header ``Authorization: Bearer …``, or, because a browser's WebSocket cannot send
headers, in the query field ``token``.  Addresses are written to logs on their way: put only signed tokens
that expire soon into them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final, Protocol, final

import attrs

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.errors import ConfigError
from voicetrio.server.tokens import TokenRefused, TokenSigner

__all__ = ["ANONYMOUS", "AnyOf", "Authenticator", "BearerTokens", "Credentials", "SignedTokens", "token_of"]

SESSION_PURPOSE: Final = "session"
MIN_TOKEN_CHARS: Final = 16
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="voicetrio"'}


@attrs.frozen(kw_only=True)
class Credentials:
    """Who a client proved to be."""

    subject: str
    claims: Mapping[str, Any] = attrs.field(factory=dict)
    """What its token says beside."""


ANONYMOUS: Final = Credentials(subject="")
"""Who comes to a server that asks nobody."""


class Authenticator(Protocol):
    """Looks at a request: returns credentials, or a refusal.  Called synchronously, so it must be quick."""

    def __call__(self, request: UpgradeRequest, /) -> Credentials | Refusal:
        """Judge ``request``."""
        ...


def token_of(request: UpgradeRequest) -> str | None:
    """Return the token that came with ``request``: the header's, or else the query's; None without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.query.get("token") or None


def _refuse(text: str) -> Refusal:
    return Refusal(401, f"{text}\n", _CHALLENGE)


@final
class BearerTokens:
    """Fixed tokens, each of one subject; compared in constant time.

    Raises ConfigError when there is none, or one is shorter than 16 characters.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        if not tokens:
            raise ConfigError("no tokens: nobody could ever connect")
        for subject, token in tokens.items():
            if len(token) < MIN_TOKEN_CHARS:
                raise ConfigError(f"the token of {subject!r} is shorter than {MIN_TOKEN_CHARS} characters")
        self._tokens = {subject: token.encode() for subject, token in tokens.items()}

    def __repr__(self) -> str:
        return f"BearerTokens({len(self._tokens)} subjects)"

    def __call__(self, request: UpgradeRequest, /) -> Credentials | Refusal:
        """Return whose token came with the request."""
        given = token_of(request)
        if given is None:
            return _refuse("A token is needed: Authorization: Bearer ...")
        offered, found = given.encode(errors="replace"), None
        for subject, token in self._tokens.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(token, offered):
                found = subject
        return _refuse("The token is not known.") if found is None else Credentials(subject=found)


@final
class SignedTokens:
    """Tokens that ``issue`` signed, or another process with the same secret did."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def issue(self, subject: str, *, ttl_s: float = 300.0, claims: Mapping[str, Any] | None = None) -> str:
        """Return a token that lets ``subject`` open sessions for ``ttl_s`` seconds."""
        return self._signer.sign(SESSION_PURPOSE, subject, ttl_s=ttl_s, claims=claims)

    def __call__(self, request: UpgradeRequest, /) -> Credentials | Refusal:
        """Return what the request's token says."""
        given = token_of(request)
        if given is None:
            return _refuse("A token is needed: Authorization: Bearer ..., or ?token=...")
        try:
            claims = self._signer.verify(SESSION_PURPOSE, given)
        except TokenRefused as refused:
            return _refuse(f"The token does not count: {refused.why}.")
        return Credentials(subject=claims.subject, claims=claims.claims)


@final
class AnyOf:
    """Lets in whom one of several authenticators lets in; the last one's refusal is told."""

    def __init__(self, *authenticators: Authenticator) -> None:
        if not authenticators:
            raise ConfigError("AnyOf needs at least one authenticator")
        self._authenticators = authenticators

    def __call__(self, request: UpgradeRequest, /) -> Credentials | Refusal:
        """Ask one after the other."""
        verdicts = [authenticate(request) for authenticate in self._authenticators]
        return next((found for found in verdicts if isinstance(found, Credentials)), verdicts[-1])
