"""Who comes in: each question that an upgrade has to answer, in order, in one step of the event loop.

1. The path is short, and the origin allowed (400s: the client's mistake).
2. The client proves who it is (401).
3. A client with a resume token gets its session back: the token is ours, in time, of the same subject, and
   its session waits (403 or 410).
4. The wire has what it asks for (400).
5. There is a slot, and the process can carry one more session (503).

Only the last takes something, and what it took is given back when the connection does not open after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, final

import attrs

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.errors import ConfigError
from voicetrio.server.admission import Admission, Ticket
from voicetrio.server.authentication import ANONYMOUS, Authenticator, Credentials
from voicetrio.server.origins import OriginRule
from voicetrio.server.peer import ServedPeer
from voicetrio.server.tokens import TokenRefused, TokenSigner
from voicetrio.transports.serializers.native import NativeWire

__all__ = ["RESUME_PURPOSE", "Entrance", "Newcomer", "Returning"]

MAX_PATH_CHARS = 1024
RESUME_PURPOSE = "resume"


@attrs.frozen
class Newcomer:
    """A client that was let in; its session has ``ticket``."""

    wire: NativeWire
    credentials: Credentials
    ticket: Ticket


@attrs.frozen
class Returning:
    """A client whose session waits for it; ``reported``: the epoch and position it has played up to."""

    peer: ServedPeer
    reported: tuple[int, int] | None


Verdict: TypeAlias = Newcomer | Returning | Refusal


@final
class Entrance:
    """Judges the requests of one server."""

    def __init__(
        self,
        *,
        admission: Admission,
        origins: OriginRule,
        authenticate: Authenticator | None,
        signer: TokenSigner,
        peers: Mapping[str, ServedPeer],
        make_wire: Callable[[Mapping[str, str]], NativeWire],
    ) -> None:
        self._admission = admission
        self._origins = origins
        self._authenticate = authenticate
        self._signer = signer
        self._peers = peers
        self._make_wire = make_wire

    def judge(self, request: UpgradeRequest) -> Verdict:
        """Return what becomes of ``request``; a refusal is counted by its reason."""
        if len(request.path) > MAX_PATH_CHARS:
            return self._refuse("request", Refusal(414, "The path is too long.\n"))
        refusal = self._origins(request)
        if refusal is not None:
            return self._refuse("origin", refusal)
        who = ANONYMOUS if self._authenticate is None else self._authenticate(request)
        if isinstance(who, Refusal):
            return self._refuse("credentials", who)
        if "resume" in request.query:
            return self._find(request, who)
        try:
            wire = self._make_wire(request.query)
        except ConfigError as error:
            return self._refuse("request", Refusal(400, f"{error}.\n"))
        ticket = self._admission.admit()
        return ticket if isinstance(ticket, Refusal) else Newcomer(wire, who, ticket)

    def _find(self, request: UpgradeRequest, who: Credentials) -> Verdict:
        try:
            name = self._signer.verify(RESUME_PURPOSE, request.query["resume"]).subject
            reported = _reported(request.query)
        except TokenRefused as refused:
            return self._refuse("resume", Refusal(403, f"The resume token does not count: {refused.why}.\n"))
        except ConfigError as error:
            return self._refuse("resume", Refusal(400, f"{error}.\n"))
        peer = self._peers.get(name)
        if peer is not None and peer.credentials.subject != who.subject:
            return self._refuse("resume", Refusal(403, "The resume token is somebody else's.\n"))
        if peer is None or not peer.can_return:
            return self._refuse("resume", Refusal(410, "The session is over.\n"))
        return Returning(peer, reported)

    def _refuse(self, why: str, refusal: Refusal) -> Refusal:
        self._admission.count_refused(why)
        return refusal


def _reported(query: Mapping[str, str]) -> tuple[int, int] | None:
    """Return what the client says that it has played, from ``epoch`` and ``played``; None if it does not."""
    if "played" not in query:
        return None
    values = []
    for name in ("epoch", "played"):
        text = query.get(name, "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise ConfigError(f"{name} must be a whole number")
        values.append(int(text))
    return values[0], values[1]
