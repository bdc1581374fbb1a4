"""OpenAI's services over one HTTP client, which the application opens and its sessions share."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

from voicetrio.connection.http import HttpClient, HttpSettings, HttpStatistics
from voicetrio.services.credentials import Secret
from voicetrio.services.openai.account import find_account
from voicetrio.services.openai.llm import OpenAILLM
from voicetrio.services.openai.stt import OpenAISTT
from voicetrio.services.openai.tts import OpenAITTS

__all__ = ["OpenAIServices", "open_services"]


@final
class OpenAIServices:
    """Makes what each session needs; goes where an ``Agent`` takes models.  Made by ``open_services``."""

    def __init__(
        self, client: HttpClient, llm: dict[str, Any], tts: dict[str, Any], stt: dict[str, Any]
    ) -> None:
        self._client = client
        self._llm = llm
        self._tts = tts
        self._stt = stt

    def llm(self) -> OpenAILLM:
        """Make the language model of one session."""
        return OpenAILLM(client=self._client, **self._llm)

    def tts(self) -> OpenAITTS:
        """Make the voice of one session."""
        return OpenAITTS(client=self._client, **self._tts)

    def stt(self) -> OpenAISTT:
        """Make the recogniser of one session."""
        return OpenAISTT(client=self._client, **self._stt)

    def statistics(self) -> HttpStatistics:
        """Return the counts of the client so far."""
        return self._client.statistics()


@asynccontextmanager
async def open_services(
    *,
    api_key: str | Secret | None = None,
    base_url: str | None = None,
    llm: dict[str, Any] | None = None,
    tts: dict[str, Any] | None = None,
    stt: dict[str, Any] | None = None,
    settings: HttpSettings | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[OpenAIServices]:
    """Open a client, and close its connections when the block is left.

    Args:
        api_key, base_url: as of ``OpenAILLM``.
        llm, tts, stt: arguments of ``OpenAILLM``, ``OpenAITTS`` and ``OpenAISTT``.
        settings: the bounds of HTTP.
        ssl_context: instead of the default one, which verifies.

    Raises ConfigError when there is no key, MissingExtra without the extra ``http``.
    """
    account = find_account(api_key, base_url, settings=settings, ssl_context=ssl_context)
    async with account.open_http("OpenAI") as client:
        yield OpenAIServices(client, llm or {}, tts or {}, stt or {})
