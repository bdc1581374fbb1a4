"""What can go wrong, as one tree.

::

    VoicetrioError
     ├─ MissingExtra            an optional package is not installed; says which extra brings it
     ├─ ConfigError             an argument, a file or a setting is wrong (yours to mend)
     ├─ AudioError              audio that cannot be read, or a format that is not supported
     ├─ CodecMisuse             an encoder or decoder was shared, used after its end, or called twice
     ├─ StageInUse              a stage with state was given to a second pipeline, or run twice
     ├─ LinkError
     │   ├─ LinkStopped         the receiver is gone: stop sending      (a trio.BrokenResourceError)
     │   ├─ LinkBroken          the sender failed: this is not an end   (a trio.BrokenResourceError)
     │   └─ LinkOverflow        the bound is reached and the policy is ``fail``
     ├─ ReplyFlushed            the reply was interrupted or retracted: nothing of it may be sent
     ├─ SessionEnded            the session is over, or ending: the call came too late
     ├─ TransportError
     │   ├─ PeerGone            the peer left without a goodbye, or stopped taking what we send
     │   └─ ProtocolError
     │       ├─ LocalProtocolError    we broke the protocol
     │       └─ RemoteProtocolError   the peer broke it
     └─ ServiceError            a model or a vendor failed; says whose fault it is

    SessionError                the failures of one session, as an exception group

An error keeps its facts in fields, so that a program need not parse its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import trio

__all__ = [
    "AudioError",
    "CodecMisuse",
    "ConfigError",
    "LinkBroken",
    "LinkError",
    "LinkOverflow",
    "LinkStopped",
    "LocalProtocolError",
    "MissingExtra",
    "PeerGone",
    "ProtocolError",
    "RemoteProtocolError",
    "ReplyFlushed",
    "ServiceError",
    "SessionEnded",
    "SessionError",
    "StageInUse",
    "TransportError",
    "VoicetrioError",
]


class VoicetrioError(Exception):
    """The root of every error that voicetrio raises by itself."""


class MissingExtra(VoicetrioError):
    """An optional package is not installed."""

    def __init__(self, extra: str, what_for: str) -> None:
        self.extra = extra
        self.what_for = what_for
        super().__init__(f"{what_for} needs the extra {extra!r}: pip install 'voicetrio[{extra}]'")


class ConfigError(VoicetrioError, ValueError):
    """An argument, a file or a setting is wrong; the text says what to do."""


class AudioError(VoicetrioError, ValueError):
    """Audio that cannot be read, or a format that is not supported."""


class CodecMisuse(VoicetrioError):
    """An encoder or decoder was shared, used after its end, or called twice at once.

    The call was refused before it reached the codec's library, which would have crashed or mixed the
    audio of two users.
    """

    def __init__(self, codec: str, why: str) -> None:
        self.codec = codec
        self.why = why
        super().__init__(f"{codec} {why}")


class StageInUse(VoicetrioError):
    """A stage that has state was adopted twice; names both owners."""

    def __init__(self, stage: str, owner: str, claimant: str) -> None:
        self.stage = stage
        self.owner = owner
        self.claimant = claimant
        super().__init__(
            f"{stage} belongs to {owner} and cannot be used by {claimant}: make a new one for each pipeline"
        )


class LinkError(VoicetrioError):
    """A link between two stages cannot carry the item."""

    def __init__(self, message: str, *, link: object = None) -> None:
        self.link = link
        super().__init__(message)


class LinkStopped(LinkError, trio.BrokenResourceError):
    """The receiving end is closed: whatever is sent from now on has no reader."""


class LinkBroken(LinkError, trio.BrokenResourceError):
    """The sending end was aborted: the stream is not complete.  ``cause`` says why."""

    def __init__(self, message: str, *, link: object = None, cause: BaseException | None = None) -> None:
        super().__init__(message, link=link)
        self.cause = cause


class LinkOverflow(LinkError):
    """The link is full and its policy is ``fail``."""


class ReplyFlushed(VoicetrioError):
    """The reply was interrupted or retracted; nothing of it may be sent any more."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        super().__init__(f"{reply} was flushed: none of its audio will be played")


class SessionEnded(VoicetrioError):
    """The session is over or ending, so the call can do nothing."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the session has ended ({reason})")


class TransportError(VoicetrioError):
    """The peer cannot be reached, or what it sent cannot be used."""


class PeerGone(TransportError):
    """The peer left, or stopped taking what we send.

    ``code`` is the protocol's close code, where it has one; None means that no goodbye was heard.
    """

    def __init__(self, why: str, *, code: int | None = None) -> None:
        self.why = why
        self.code = code
        super().__init__(why if code is None else f"{why} (code {code})")


class ProtocolError(TransportError):
    """The rules of the wire were broken; ``code`` is what the wire's close should carry."""

    def __init__(self, message: str, *, code: int = 1002) -> None:
        self.code = code
        super().__init__(message)


class LocalProtocolError(ProtocolError):
    """We broke the protocol: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class ServiceError(VoicetrioError):
    """A model or a vendor failed.

    Attributes:
        service: which one.
        fault: ``ours`` (the request was wrong, mend it), ``credentials``, ``limit`` (too much, too
            fast), ``theirs`` (it failed), or ``network``.
        transient: True when the same request may work later.
        retry_after_s: seconds that the service asked us to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        fault: Literal["ours", "credentials", "limit", "theirs", "network"] = "theirs",
        transient: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.service = service
        self.fault = fault
        self.transient = transient
        self.retry_after_s = retry_after_s
        super().__init__(f"{service}: {message}")


class SessionError(ExceptionGroup[Exception]):
    """The failures of one session: what its tasks raised, and what its body raised beside them."""

    def derive(self, excs: Sequence[Exception]) -> SessionError:  # type: ignore[override]
        """Keep the type when the group is split."""
        return SessionError(self.message, excs)
