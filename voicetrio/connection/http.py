"""HTTP to services: streams that end with their block, and errors that say whose fault it is.

The client is httpx2, on trio.  Around it:

1. A stream is read by a task of its own, which waits on the network only: what comes is put into a bounded
   buffer, and the task ends with the block.  So no generator of the library is ever left half-way, and a
   cancelled stream has closed its connection when its block is left.
2. Every phase has a deadline: connecting, the first byte of the answer, and each next one.
3. A request that failed in passing (429, 5xx, the network) is tried again before anything of the answer was
   given away, after a jittered wait or the one that the service asked for; no more than ``tries`` times, and
   no more than ``tries_per_minute`` for the whole client.
4. No redirect is followed: it would carry the key to another place.
"""

from __future__ import annotations

import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, final

import attrs
import trio

from voicetrio.connection.answers import check_json_object, error_of_status
from voicetrio.connection.dialling import hide
from voicetrio.connection.error_text import text_of_error
from voicetrio.connection.faults import end_of_dial
from voicetrio.connection.inbox import Inbox
from voicetrio.errors import ConfigError, MissingExtra, ServiceError, SessionEnded
from voicetrio.machines.reconnect import MINUTE_S, ReconnectSettings
from voicetrio.runtime.attendants import open_attendants
from voicetrio.runtime.deadlines import cleanup
from voicetrio.runtime.outbox import dialling_allowed

if TYPE_CHECKING:
    import httpx2

__all__ = ["HttpClient", "HttpSettings", "HttpStatistics", "HttpStream", "ServerSentEvent", "open_http"]

T = TypeVar("T")
MAX_ERROR_BYTES = 65536


@attrs.frozen(kw_only=True)
class HttpSettings:
    """The bounds of a client; times in seconds."""

    connect_s: float = 5.0
    """Name, TCP and TLS together."""
    answer_s: float = 15.0
    """From the request to the first byte of the answer, and from there to each next one."""
    max_connections: int = 32
    idle_s: float = 60.0
    """How long an unused connection is kept."""
    tries: int = 3
    """Of one request, the first among them."""
    tries_per_minute: int = 30
    """Second and later tries, of all requests of the client."""
    waits: ReconnectSettings = attrs.field(factory=ReconnectSettings)
    """How long to wait before a try: ``first_s``, ``base_s``, ``max_s``, ``retry_after_max_s``."""
    max_buffered_bytes: int = 1 << 24
    """What one stream may hold that nobody has taken; more fails that stream."""


@attrs.frozen(kw_only=True)
class HttpStatistics:
    """Counts of one client."""

    requests: int
    """Requests that were sent, with every try."""
    retries: int
    failures: int
    """Requests that were given up."""
    open_streams: int


@attrs.frozen
class ServerSentEvent:
    """One event of an event stream."""

    event: str
    data: str


@final
class HttpStream(Inbox[T]):
    """An answer while it comes.  Iterate over it, or ``receive``; made by ``HttpClient`` only.

    ``receive`` raises ServiceError when the stream broke or stalled.
    """

    def __init__(self, service: str, max_bytes: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self._service = service
        self._max_bytes = max_bytes

    def _offer(self, item: T, size: int) -> bool:
        """Buffer ``item``; False if there is no room."""
        has_room = self._held + size <= self._max_bytes
        if has_room:
            self._put(item, size)
        else:
            text = f"more than {self._max_bytes} bytes wait to be taken"
            self._end(ServiceError(text, service=self._service, fault="ours"))
        return has_room


@final
class HttpClient:
    """A client of one service; made by ``open_http`` only."""

    def __init__(
        self,
        library: ModuleType,
        client: httpx2.AsyncClient,
        service: str,
        settings: HttpSettings,
        secrets: tuple[str, ...],
        chance: random.Random,
    ) -> None:
        self.service = service
        """For errors."""
        self._library = library
        self._client = client
        self._settings = settings
        self._secrets = secrets
        self._chance = chance
        self._recent: deque[float] = deque(maxlen=settings.tries_per_minute)
        self._requests = self._retries = self._failures = self._streams = 0

    def __repr__(self) -> str:
        return f"<http client of {self.service}>"

    # --- requests ---

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        content_type: str = "",
    ) -> AsyncIterator[HttpStream[bytes]]:
        """Send a request and give its answer as chunks of bytes, for as long as the block lasts.

        ``path`` is relative to the client's address.  With ``content_type``, an answer of another type
        (its beginning is compared) is refused.  Raises ServiceError.  Leaving the block, or cancelling it,
        closes the stream; what was not received is lost.
        """
        request = self._build(
            method, path, json=json, params=params, headers=headers, content=content, data=data, files=files
        )
        async with self._open(request, content_type) as response:
            async with self._pump(
                response, response.aiter_bytes(), lambda chunk: (chunk, len(chunk))
            ) as stream:
                yield stream

    @asynccontextmanager
    async def stream_sse(
        self,
        path: str,
        *,
        method: str = "POST",
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[HttpStream[ServerSentEvent]]:
        """Send a request and give the server-sent events of its answer; see ``stream``."""
        accept = {"Accept": "text/event-stream", "Cache-Control": "no-store", **(headers or {})}
        request = self._build(method, path, json=json, params=params, headers=accept)
        async with self._open(request, "text/event-stream") as response:
            events = self._library.EventSource(response).__aiter__()
            async with self._pump(
                response, events, lambda it: (ServerSentEvent(it.event, it.data), len(it.data))
            ) as stream:
                yield stream

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Send a request and return the whole body of its answer; ``options`` as of ``stream``."""
        async with self.stream(method, path, **options) as stream:
            return b"".join([chunk async for chunk in stream])

    async def request_json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request and return the JSON object that it is answered with."""
        body = await self.request(method, path, content_type="application/json", **options)
        return check_json_object(self.service, body)

    def statistics(self) -> HttpStatistics:
        """Return the counts so far."""
        return HttpStatistics(
            requests=self._requests,
            retries=self._retries,
            failures=self._failures,
            open_streams=self._streams,
        )

    # --- inside ---

    def _build(self, method: str, path: str, **options: Any) -> httpx2.Request:
        given = {name: value for name, value in options.items() if value is not None}
        return self._client.build_request(method, path, **given)

    @asynccontextmanager
    async def _open(self, request: httpx2.Request, content_type: str) -> AsyncIterator[httpx2.Response]:
        """Send ``request``, again where that may help, and give the good answer's head."""
        response = await self._send(request, content_type)
        self._streams += 1
        try:
            yield response
        finally:
            self._streams -= 1
            with cleanup():
                await response.aclose()

    async def _send(self, request: httpx2.Request, content_type: str) -> httpx2.Response:
        failures = 0
        while True:
            if not dialling_allowed():
                raise SessionEnded("cancelled")
            self._requests += 1
            try:
                return await self._send_once(request, content_type)
            except ServiceError as error:
                failures += 1
                wait_s = self._wait_s(error, failures)
                if wait_s is None:
                    self._failures += 1
                    raise
            await trio.sleep(wait_s)
            self._retries += 1
            self._recent.append(trio.current_time())

    def _wait_s(self, error: ServiceError, failures: int) -> float | None:
        """Return how long to wait before the next try; None if there is none."""
        waits = self._settings.waits
        asked_s = error.retry_after_s or 0.0
        since = trio.current_time() - MINUTE_S
        is_spent = sum(at > since for at in self._recent) >= self._settings.tries_per_minute
        if not error.transient or failures >= self._settings.tries or is_spent:
            return None
        if asked_s > waits.retry_after_max_s:
            return None
        return max(asked_s, self._chance.uniform(0.0, waits.longest_wait_s(failures)))

    async def _send_once(self, request: httpx2.Request, content_type: str) -> httpx2.Response:
        """Send ``request``; raise ServiceError unless the answer's head is a good one."""
        response: httpx2.Response | None = None
        is_good = False
        try:
            response = await self._client.send(request, stream=True)
            given = response.headers.get("content-type", "")
            if response.is_success and given.lower().startswith(content_type):
                is_good = True
                return response
            body = await self._read_error(response)
            if not response.is_success:
                raise error_of_status(
                    self.service,
                    response.status_code,
                    hide(body, self._secrets),
                    content_type=given,
                    retry_after=response.headers.get("retry-after"),
                )
            said = text_of_error(hide(body, self._secrets), given)
            raise ServiceError(
                f"answered with {given or 'no content type'}: {said}",
                service=self.service,
                fault="network" if "html" in given else "theirs",
            )
        except self._library.HTTPError as error:
            raise self._explain(error) from error
        finally:
            if response is not None and not is_good:
                with cleanup():
                    await response.aclose()

    async def _read_error(self, response: httpx2.Response) -> str:
        """Return the beginning of a refusal, as far as it comes in time."""
        async with self._pump(response, response.aiter_bytes(), lambda chunk: (chunk, len(chunk))) as stream:
            body = b""
            with trio.move_on_after(self._settings.answer_s):
                async for chunk in stream:
                    body += chunk
                    if len(body) > MAX_ERROR_BYTES:
                        break
            return body[:MAX_ERROR_BYTES].decode(errors="replace")

    @asynccontextmanager
    async def _pump(
        self,
        response: httpx2.Response,
        source: AsyncIterator[Any],
        convert: Callable[[Any], tuple[T, int]],
    ) -> AsyncIterator[HttpStream[T]]:
        """Run a task that reads ``source`` into a buffer, for as long as the block lasts."""
        stream: HttpStream[T] = HttpStream(
            self.service, self._settings.max_buffered_bytes, response.status_code, dict(response.headers)
        )

        async def read() -> None:  # noqa: ASYNC910  # a task; the library waits
            try:
                # No await in the loop: cancelling must meet the library where it waits on the network.
                # Anywhere else, its generators would be left half-way.
                with trio.CancelScope() as reading:
                    async for piece in source:
                        if not stream._offer(*convert(piece)):
                            reading.cancel()
                stream._end()
            except self._library.HTTPError as error:
                stream._end(self._explain(error))

        async with open_attendants() as nursery:
            nursery.start_soon(read, name=f"{self.service} stream")
            yield stream

    def _explain(self, error: Exception) -> ServiceError:
        """Return the ServiceError that says what ``error`` of the library means."""
        library = self._library
        settings = self._settings
        if isinstance(error, library.ConnectTimeout):
            return self._network(f"could not be reached within {settings.connect_s:g} s")
        if isinstance(error, library.PoolTimeout):
            text = f"all its {settings.max_connections} connections were in use for {settings.answer_s:g} s"
            return ServiceError(text, service=self.service, fault="ours", transient=True)
        if isinstance(error, library.TimeoutException):
            text = f"sent nothing for {settings.answer_s:g} s"
            return ServiceError(text, service=self.service, fault="theirs", transient=True)
        if isinstance(error, library.NetworkError | library.ProxyError):
            end = end_of_dial(error)
            return self._network(hide(end.reason, self._secrets), transient=not end.untrusted)
        if isinstance(error, library.LocalProtocolError | library.UnsupportedProtocol):
            return ServiceError(hide(str(error), self._secrets), service=self.service, fault="ours")
        text = hide(str(error), self._secrets) or type(error).__name__
        return ServiceError(f"broke off or garbled its answer: {text}", service=self.service, transient=True)

    def _network(self, text: str, *, transient: bool = True) -> ServiceError:
        return ServiceError(text, service=self.service, fault="network", transient=transient)


@asynccontextmanager
async def open_http(
    base_url: str,
    *,
    service: str,
    headers: Mapping[str, str] | None = None,
    settings: HttpSettings | None = None,
    ssl_context: ssl.SSLContext | None = None,
    chance: random.Random | None = None,
) -> AsyncIterator[HttpClient]:
    """Open a client for ``base_url``, and close its connections when the block is left.

    Args:
        base_url: ``https://…`` (or ``http://…`` on a trusted network); paths of requests are relative to it.
        service: its name, for errors.
        headers: of every request, the key among them; their values never stand in an error.
        settings: the bounds.
        ssl_context: instead of the default one, which verifies.
        chance: where the jitter comes from; default is seeded from ``random``.

    A proxy is taken from the environment.  Raises MissingExtra without the extra ``http``, ConfigError for
    a bad address.
    """
    try:
        import httpx2
    except ImportError:
        raise MissingExtra("http", "HTTP to services") from None
    settings = settings or HttpSettings()
    own = dict(headers or {})
    try:
        url = httpx2.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(
                f"{base_url!r} is not an HTTP address: it begins with https:// and names a host"
            )
    except httpx2.InvalidURL as error:
        raise ConfigError(f"{base_url!r} is not an HTTP address: {error}") from error
    client = httpx2.AsyncClient(
        base_url=url,
        headers=own,
        verify=ssl_context or True,
        timeout=httpx2.Timeout(settings.answer_s, connect=settings.connect_s),
        limits=httpx2.Limits(max_connections=settings.max_connections, keepalive_expiry=settings.idle_s),
    )
    try:
        yield HttpClient(
            httpx2,
            client,
            service,
            settings,
            tuple(own.values()),
            chance or random.Random(random.getrandbits(64)),
        )
    finally:
        with cleanup():
            await client.aclose()
