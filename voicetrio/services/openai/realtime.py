"""OpenAI's Realtime API: a model that hears and speaks, over one WebSocket a session."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import final
from urllib.parse import urlencode

from voicetrio.connection.connection import open_connection
from voicetrio.connection.dialling import websocket_dialler
from voicetrio.connection.settings import ConnectionSettings
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.runtime.attendants import open_attendants
from voicetrio.services.credentials import Secret
from voicetrio.services.llm import ToolSpec
from voicetrio.services.openai.account import find_account
from voicetrio.services.openai.realtime_session import RealtimeSession
from voicetrio.services.openai.realtime_wire import RealtimeSettings

__all__ = ["OpenAIRealtime"]


@final
class OpenAIRealtime:
    """A model that hears and speaks; a ``SpeechModel``: ``SpeechAgent(OpenAIRealtime())`` talks.

    Args:
        model: its name.
        api_key, base_url: as of ``OpenAILLM``; the WebSocket is at the same address.
        settings: how it hears and speaks.
        connection: the bounds of the connection.
        reconnect: how the connection comes back.
        ssl_context: instead of the default one, which verifies.

    Raises ConfigError when there is no key.
    """

    def __init__(
        self,
        model: str = "gpt-realtime",
        *,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        settings: RealtimeSettings | None = None,
        connection: ConnectionSettings | None = None,
        reconnect: ReconnectSettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = f"speech model {model}"
        """For errors and events."""
        self._account = find_account(api_key, base_url)
        self._settings = settings or RealtimeSettings()
        self._connection = connection or ConnectionSettings()
        self._reconnect = reconnect
        address = "ws" + self._account.base_url.removeprefix("http")
        self._url = f"{address}/realtime?{urlencode({'model': model})}"
        self._ssl_context = ssl_context

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @asynccontextmanager
    async def open_session(
        self, instructions: str, tools: Sequence[ToolSpec]
    ) -> AsyncIterator[RealtimeSession]:
        """Open a session of its own for as long as the block lasts; does not wait for the connection.

        Leaving the block says goodbye within the connection's bounds.
        """
        key = self._account.key
        secrets = () if key is None else (key.reveal(),)
        session = RealtimeSession(self.name, self._settings, instructions, tools, secrets)
        dial = websocket_dialler(
            self._url,
            headers=tuple(self._account.headers().items()),
            secrets=secrets,
            ssl_context=self._ssl_context,
        )
        async with open_connection(
            dial,
            name=self.name,
            settings=self._connection,
            reconnect=self._reconnect,
            prepare=session._prepare,
            on_message=session._take,
        ) as connection:
            session._connection = connection
            connection.on_lost(session._lost)
            async with open_attendants() as nursery:
                nursery.start_soon(session._watch, name=f"{self.name} watch")
                nursery.start_soon(session._send_audio, name=f"{self.name} audio")
                with connection.using():
                    yield session
