"""Signed tokens that expire: what a server gives to a client, and knows again without remembering it.

::

    vt1.<payload>.<signature>

The payload is JSON in base64url without padding: ``for`` (the purpose), ``sub`` (the subject), ``exp``
(seconds of Unix time), and the claims.  The signature is HMAC-SHA-256 (RFC 2104) over everything before it,
compared in constant time.  A token is not encrypted: whoever has it can read it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, final

import attrs

from voicetrio.errors import ConfigError, VoicetrioError

__all__ = ["Claims", "TokenRefused", "TokenSigner"]

PREFIX = "vt1"
MAX_TOKEN_CHARS = 4096
MIN_SECRET_BYTES = 16


class TokenRefused(VoicetrioError):
    """A token that does not count; ``why`` is ``malformed``, ``foreign``, ``expired`` or ``purpose``."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the token does not count: {why}")


@attrs.frozen(kw_only=True)
class Claims:
    """What a token says."""

    subject: str
    expires_at: float
    """Unix time in seconds."""
    claims: Mapping[str, Any] = attrs.field(factory=dict)


@final
class TokenSigner:
    """Makes and reads tokens with one secret.

    Args:
        secret: at least 16 bytes; by default random ones, so that tokens count in this process only.
        now: the Unix time in seconds.
    """

    def __init__(self, secret: bytes | None = None, *, now: Callable[[], float] = time.time) -> None:
        if secret is not None and len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"a secret needs at least {MIN_SECRET_BYTES} bytes, not {len(secret)}")
        self._secret = secrets.token_bytes(32) if secret is None else secret
        self._now = now

    def sign(
        self, purpose: str, subject: str, *, ttl_s: float, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Return a token for ``subject`` that counts for ``ttl_s`` seconds, for ``purpose`` only.

        Raises ConfigError for a claim that would take the place of one of these.
        """
        payload = {"for": purpose, "sub": subject, "exp": round(self._now() + ttl_s, 3)}
        taken = sorted(payload.keys() & (claims or {}).keys())
        if taken:
            raise ConfigError(f"a claim cannot be called {taken[0]!r}: that is the token's own")
        payload |= claims or {}
        body = f"{PREFIX}.{_encode(json.dumps(payload, separators=(',', ':')).encode())}"
        return f"{body}.{_encode(self._mac(body))}"

    def verify(self, purpose: str, token: str) -> Claims:
        """Return what ``token`` says.  Raises TokenRefused."""
        body, _, signature = token.rpartition(".")
        if len(token) > MAX_TOKEN_CHARS or not body.startswith(f"{PREFIX}."):
            raise TokenRefused("malformed")
        # The signature comes first: nothing that we did not write is looked at.
        if not hmac.compare_digest(_encode(self._mac(body)).encode(), signature.encode(errors="replace")):
            raise TokenRefused("foreign")
        try:
            payload = json.loads(_decode(body.removeprefix(f"{PREFIX}.")))
            subject, expires_at = str(payload.pop("sub")), float(payload.pop("exp"))
            found = payload.pop("for")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenRefused("malformed") from error
        if found != purpose:
            raise TokenRefused("purpose")
        if self._now() >= expires_at:
            raise TokenRefused("expired")
        return Claims(subject=subject, expires_at=expires_at, claims=payload)

    def _mac(self, body: str) -> bytes:
        return hmac.new(self._secret, body.encode(errors="replace"), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
