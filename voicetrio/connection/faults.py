"""From what went wrong on the way to a service to whose fault it is and what to do."""

from __future__ import annotations

import email.utils
import math
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal, TypeAlias, final

from voicetrio.connection.websocket.socket import HandshakeFailed, SocketClosed
from voicetrio.errors import ServiceError
from voicetrio.machines.reconnect import GaveUp
from voicetrio.machines.stream_end import StreamEnd

__all__ = ["ConnectionLost", "Fault", "end_of_dial", "explain_os_error", "failure_of", "retry_after_s"]

Fault: TypeAlias = Literal["ours", "credentials", "limit", "theirs", "network"]
"""Whose fault a failure is, see ``ServiceError``."""


@final
class ConnectionLost(ServiceError):
    """A stream ended with work on it; the connection itself may come back.

    ``stream`` is the number of the stream.
    """

    def __init__(self, service: str, stream: int, why: str) -> None:
        self.stream = stream
        self.why = why
        super().__init__(f"stream {stream} was lost: {why}", service=service, fault="network", transient=True)


def end_of_dial(error: BaseException) -> StreamEnd:
    """Tell how an attempt to open a stream ended that raised ``error``."""
    if isinstance(error, ServiceError):
        return StreamEnd(
            was_open=False,
            by="peer",
            reason=str(error),
            refused=not error.transient,
            retry_after_s=error.retry_after_s,
        )
    if isinstance(error, SocketClosed):
        # It was open for the handshake only; what its code means is the same.
        return StreamEnd(was_open=True, by=error.by, code=error.code, reason=error.reason, in_use=True)
    status = error.status if isinstance(error, HandshakeFailed) else None
    retry_after = error.retry_after if isinstance(error, HandshakeFailed) else None
    untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
    os_error = next((cause for cause in _causes(error) if isinstance(cause, OSError)), None)
    if isinstance(error, HandshakeFailed):
        reason = error.why
    else:
        reason = str(error) if os_error is None else explain_os_error(os_error)
    return StreamEnd(
        was_open=False,
        by="network" if status is None else "peer",
        status=status,
        reason=reason,
        retry_after_s=retry_after_s(retry_after),
        untrusted=untrusted,
    )


def explain_os_error(error: OSError) -> str:
    """Say what an error of name resolution, TCP or TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate does not verify ({getattr(error, 'verify_message', '') or error}): "
            "check the clock, the host's name, and the certificate authorities of this machine"
        )
    if isinstance(error, ssl.SSLError):
        said = getattr(error, "reason", "") or error
        return f"TLS failed ({said}): is it a TLS port, and is no proxy in between?"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror}): check the address and the network's DNS"
    return str(error)


def retry_after_s(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3); None if it says nothing usable.

    A date is counted from this machine's time of day.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(text)
            # Without a zone it is meant as UTC, as HTTP's dates are.
            date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def failure_of(service: str, gave_up: GaveUp) -> ServiceError:
    """Return the error of a connection that gave up: whose fault it was, and what to do."""
    end = gave_up.end
    fault = _fault(end)
    tries = f"{gave_up.tries} tries" if gave_up.tries != 1 else "1 try"
    match gave_up.because:
        case "refused":
            text = f"refused: {end}{_ADVICE[fault]}"
        case "budget":
            text = f"gave up after {tries}, the last failure: {end}"
        case "quick failures":
            text = f"it accepts and drops: gave up after {tries}, the last end: {end}"
        case "asked to wait":
            text = f"asked to wait {end.retry_after_s:g} s, which is too long: {end}"
    return ServiceError(
        text,
        service=service,
        fault=fault,
        transient=gave_up.because != "refused",
        retry_after_s=end.retry_after_s,
    )


_ADVICE = {
    "credentials": ". Check the key, and that it may use this service",
    "ours": ". Check the address and the options",
    "limit": ". Use fewer streams at once, or a larger plan",
    "theirs": "",
    "network": ". Check the address and what stands between",
}


def _fault(end: StreamEnd) -> Fault:
    if end.status in (401, 403, 407) or end.code in (3000, 3003):
        return "credentials"
    if end.status == 429 or end.code == 1013:
        return "limit"
    if end.status is not None and end.status < 500:
        return "ours"
    if end.by == "network":
        return "network"
    return "theirs"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__
