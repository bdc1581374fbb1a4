"""The opening handshake of either side, over a stream (RFC 6455, section 4)."""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import NoReturn, Self
from urllib.parse import parse_qsl, urlsplit

import attrs
import trio
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidURI
from websockets.http11 import Request, Response
from websockets.protocol import Protocol
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI, parse_uri

from voicetrio.connection.error_text import text_of_error
from voicetrio.connection.websocket.driver import Driver
from voicetrio.connection.websocket.redaction import HideSecrets, redacted
from voicetrio.connection.websocket.socket import HandshakeFailed, SocketLimits
from voicetrio.errors import ConfigError

__all__ = [
    "AnsweredPlainly",
    "PlainAnswer",
    "Refusal",
    "UpgradeRequest",
    "accept_websocket",
    "parse_url",
    "request_websocket",
]

_log = logging.getLogger("voicetrio.websocket")
_log.addFilter(HideSecrets())

END_OF_HEAD = b"\r\n\r\n"
LINGER_S = 1.0
LINGER_BYTES = 1 << 20
NOT_A_WEBSOCKET = "This address speaks WebSocket: connect to it with a WebSocket client.\n"


@attrs.frozen
class UpgradeRequest:
    """What a client asked for, before it is accepted."""

    path: str
    """Without the query."""
    query: Mapping[str, str] = attrs.field(repr=redacted)
    """Decoded; of a name that is given twice the last value counts."""
    headers: Mapping[str, str] = attrs.field(repr=redacted)
    """Names in lower case; of a header that is given twice the values are joined by commas."""
    remote: str
    """The peer's address and port, for logs."""

    @classmethod
    def from_target(cls, target: str, headers: Iterable[tuple[str, str]], remote: str) -> Self:
        """Take apart the target of the request line.  Raises ValueError if it cannot be read."""
        parts = urlsplit(target)
        joined: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64))
        return cls(parts.path, query, joined, remote)


@attrs.frozen
class Refusal:
    """Why a request is not accepted: an HTTP status, and a line for people."""

    status: int
    text: str
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class PlainAnswer:
    """What a GET that asks for no WebSocket is answered: a page, or how the server is."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    """``Content-Type`` among them; length, date and the closing of the connection are added."""


class AnsweredPlainly(HandshakeFailed):
    """There was no handshake: a plain request came, and was given its answer."""


async def _flush(stream: trio.abc.Stream, protocol: Protocol) -> None:
    output = b"".join(protocol.data_to_send())
    try:
        await stream.send_all(output)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HandshakeFailed("the peer left during the opening handshake") from error


async def _receive(stream: trio.abc.Stream, max_bytes: int = 65536) -> bytes:
    try:
        return bytes(await stream.receive_some(max_bytes))
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HandshakeFailed("the peer left during the opening handshake") from error


def _feed(protocol: Protocol, data: bytes) -> None:
    if data:
        protocol.receive_data(data)
    else:
        protocol.receive_eof()


async def accept_websocket(
    stream: trio.abc.Stream,
    limits: SocketLimits,
    *,
    remote: str = "",
    refuse: Callable[[UpgradeRequest], Refusal | None] | None = None,
    plain: Callable[[UpgradeRequest], PlainAnswer | None] | None = None,
) -> tuple[Driver, UpgradeRequest]:
    """Answer a client's opening handshake on ``stream``.

    ``refuse`` is asked last, when nothing else is wrong, and may return a Refusal; when it returns None, the
    client is being accepted in the same step.  ``plain`` may answer a GET that asks for no
    WebSocket; what it does not answer is told to upgrade (426).  No extension is accepted: speech compresses
    by 3 % at most.  The stream is left open either way.  Raises HandshakeFailed when it led to nothing (the
    client was told, if it still listened), and also after ``limits.handshake_s``; AnsweredPlainly when
    ``plain`` had an answer.
    """
    protocol = ServerProtocol(max_size=limits.max_message_bytes, logger=_log)
    with trio.move_on_after(limits.handshake_s):
        try:
            request, rest = await _read_request(stream, protocol, limits)
        except HandshakeFailed:
            await _let_it_read(stream)  # noqa: ASYNC120  # the time that is over is told instead
            raise
        response = protocol.accept(request)
        refusal: Refusal | None = None
        try:
            asked = UpgradeRequest.from_target(request.path, request.headers.raw_items(), remote)
        except ValueError:
            refusal = Refusal(400, "The address cannot be read.\n")
        else:
            if response.status_code == 426:
                answer = plain(asked) if plain is not None else None
                if answer is not None:
                    protocol.send_response(_plain_response(answer))
                    await _flush(stream, protocol)
                    raise AnsweredPlainly("a plain request was answered", status=answer.status)
                refusal = Refusal(426, NOT_A_WEBSOCKET, {"Upgrade": "websocket"})
            elif response.status_code == 101:
                # Asked last: what is reserved for a client is not lost to a bad request.
                refusal = refuse(asked) if refuse is not None else None
                if refusal is None:
                    protocol.send_response(response)
                    await _flush(stream, protocol)
                    return Driver(protocol, limits, early=rest), asked
        await _reject(stream, protocol, response, refusal)
    raise HandshakeFailed(f"the opening handshake took longer than {limits.handshake_s:g} s")


async def _read_request(
    stream: trio.abc.Stream, protocol: ServerProtocol, limits: SocketLimits
) -> tuple[Request, bytes]:
    """Read the request; return it with what came after it.

    A client should wait for the answer.  What it sends before is kept away from the protocol, which would
    answer a ping, or give up because of a broken frame, before it has answered the request.
    """
    received = bytearray()
    while True:
        data = await _receive(stream, limits.max_handshake_bytes)
        begin = max(0, len(received) - len(END_OF_HEAD) + 1)
        received += data
        if len(received) > limits.max_handshake_bytes:
            why = f"The request is longer than {limits.max_handshake_bytes} bytes.\n"
            await _reject(stream, protocol, protocol.reject(431, why), None)
        end = received.find(END_OF_HEAD, begin)
        rest = b"" if end < 0 else bytes(received[end + len(END_OF_HEAD) :])
        _feed(protocol, data[: len(data) - len(rest)])
        if protocol.events:
            request = protocol.events.pop(0)
            assert isinstance(request, Request)
            return request, rest
        if protocol.handshake_exc is not None:
            await _flush(stream, protocol)
            raise HandshakeFailed(str(protocol.handshake_exc))


async def _reject(
    stream: trio.abc.Stream, protocol: ServerProtocol, response: Response, refusal: Refusal | None
) -> NoReturn:
    if refusal is not None:
        response = protocol.reject(refusal.status, refusal.text)
        response.headers.update(refusal.headers)
    # What a client sent may be quoted: no browser shall take it for anything but text.
    response.headers["X-Content-Type-Options"] = "nosniff"
    protocol.send_response(response)
    await _flush(stream, protocol)
    raise HandshakeFailed(bytes(response.body).decode().strip(), status=response.status_code)


async def _let_it_read(stream: trio.abc.Stream) -> None:
    """Give a client that is still sending the time to read its answer.

    A socket that is closed with unread data is reset, and the answer is lost on the way.
    """
    left = LINGER_BYTES
    with trio.move_on_after(LINGER_S), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.lowlevel.checkpoint()
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
        while left > 0 and (data := await stream.receive_some(65536)):
            left -= len(data)
    await trio.lowlevel.checkpoint()


def _plain_response(answer: PlainAnswer) -> Response:
    status = http.HTTPStatus(answer.status)
    headers = Headers(answer.headers)
    headers["Date"] = formatdate(usegmt=True)
    headers["Connection"] = "close"
    headers["Content-Length"] = str(len(answer.body))
    return Response(status.value, status.phrase, headers, answer.body)


def parse_url(url: str) -> WebSocketURI:
    """Return the parts of a ``ws://`` or ``wss://`` address.  Raises ConfigError."""
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise ConfigError(f"{url!r} is not a WebSocket address: {error}") from error


async def request_websocket(
    stream: trio.abc.Stream,
    uri: WebSocketURI,
    limits: SocketLimits,
    *,
    headers: Sequence[tuple[str, str]] = (),
) -> Driver:
    """Ask the server at the other end of ``stream`` for a WebSocket.

    Raises HandshakeFailed with the HTTP status when the server refuses, and without one when what it
    answers is not HTTP, or when it leaves.
    """
    protocol = ClientProtocol(uri, max_size=limits.max_message_bytes, logger=_log)
    request = protocol.connect()
    for name, value in headers:
        request.headers[name] = value
    protocol.send_request(request)
    await _flush(stream, protocol)
    while True:
        _feed(protocol, await _receive(stream))
        failure = protocol.handshake_exc
        # Frames may have come with the response: they stay where the driver finds them.
        if failure is None and not any(isinstance(event, Response) for event in protocol.events):
            continue
        if failure is None:
            return Driver(protocol, limits)
        for event in protocol.events_received():
            if isinstance(event, Response) and event.status_code != 101:
                body = bytes(event.body or b"").decode(errors="replace")
                raise HandshakeFailed(
                    text_of_error(body, event.headers.get("Content-Type", "")) or event.reason_phrase,
                    status=event.status_code,
                    retry_after=event.headers.get("Retry-After"),
                ) from failure
        raise HandshakeFailed(str(failure)) from failure
