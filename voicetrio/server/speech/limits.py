"""Who is let in now, who waits, and who is told to come back.

1. A client (a key, or an address where there are no keys) has a bucket of requests that fills up by the
   minute, and a number of requests that it may have at once.  Beyond either it gets 429.
2. Of all clients, ``max_active`` requests are worked on and ``max_waiting`` wait, first come, first served.
   Beyond that a client gets 503.
3. ``Retry-After`` is computed: the time until the bucket holds a request, or until the queue has moved on,
   by the mean of the last requests.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, final

import attrs
import trio

from voicetrio.server.speech.errors import ApiError
from voicetrio.server.speech.settings import SpeechSettings

__all__ = ["Admission", "AdmissionStatistics"]

RECENT: Final = 64
MOST_CLIENTS: Final = 10_000
"""Clients that are remembered; the one that was silent for longest is forgotten first."""


@attrs.frozen
class AdmissionStatistics:
    """Counts of one server."""

    active: int
    waiting: int
    admitted: int
    refused_rate: int
    refused_concurrent: int
    refused_full: int


@attrs.define
class _Client:
    tokens: float
    filled_at: float
    open: int = 0


@final
class Admission:
    """The door of a server."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._limiter = trio.CapacityLimiter(settings.max_active)
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._durations_s: deque[float] = deque(maxlen=RECENT)
        self._admitted = self._refused_rate = self._refused_concurrent = self._refused_full = 0

    @property
    def is_full(self) -> bool:
        """True while everybody who comes is refused."""
        waiting = self._limiter.statistics().tasks_waiting
        return self._limiter.available_tokens < 1 and waiting >= self._settings.max_waiting

    def check(self, client_name: str) -> None:
        """Raise ApiError 429 or 503 if a request of this client would be refused now.

        It is for a request whose body is large: the client learns it before it has sent all of it.
        """
        self._check_client(self._client(client_name))
        if self.is_full:
            self._refused_full += 1
            waiting = self._limiter.statistics().tasks_waiting
            raise ApiError(
                503,
                f"the server is busy: {waiting} requests wait already",
                code="server_busy",
                retry_after_s=self._mean_s() * (waiting + 1) / self._settings.max_active,
            )

    @asynccontextmanager
    async def slot(self, client_name: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it in this block.  Raises ApiError 429 or 503, at once."""
        self.check(client_name)
        client = self._client(client_name)
        client.tokens -= 1
        client.open += 1
        holder = object()
        try:
            await self._limiter.acquire_on_behalf_of(holder)
            began = trio.current_time()
            self._admitted += 1
            try:
                yield
            finally:
                self._limiter.release_on_behalf_of(holder)
                self._durations_s.append(trio.current_time() - began)
        finally:
            client.open -= 1

    def statistics(self) -> AdmissionStatistics:
        """Return the counts so far."""
        limiter = self._limiter.statistics()
        return AdmissionStatistics(
            active=limiter.borrowed_tokens,
            waiting=limiter.tasks_waiting,
            admitted=self._admitted,
            refused_rate=self._refused_rate,
            refused_concurrent=self._refused_concurrent,
            refused_full=self._refused_full,
        )

    def _client(self, name: str) -> _Client:
        now = trio.current_time()
        rate = self._settings.requests_a_minute
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client(rate, now)
            for other, state in list(self._clients.items())[: max(0, len(self._clients) - MOST_CLIENTS)]:
                if not state.open:
                    del self._clients[other]
        self._clients.move_to_end(name)
        if math.isfinite(rate):
            client.tokens = min(max(rate, 1.0), client.tokens + (now - client.filled_at) * rate / 60)
        client.filled_at = now
        return client

    def _check_client(self, client: _Client) -> None:
        if client.tokens < 1:
            self._refused_rate += 1
            raise ApiError(
                429,
                f"too many requests: at most {self._settings.requests_a_minute:g} a minute",
                code="rate_limit_exceeded",
                retry_after_s=(1 - client.tokens) * 60 / self._settings.requests_a_minute,
            )
        if client.open >= self._settings.max_active_a_key:
            self._refused_concurrent += 1
            raise ApiError(
                429,
                f"too many requests at once: at most {self._settings.max_active_a_key}",
                code="rate_limit_exceeded",
                retry_after_s=self._mean_s(),
            )

    def _mean_s(self) -> float:
        return sum(self._durations_s) / len(self._durations_s) if self._durations_s else 1.0
