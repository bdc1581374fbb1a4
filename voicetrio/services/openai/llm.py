"""A language model behind OpenAI's chat completions: OpenAI's own, or any server that speaks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, final

import attrs
import trio

from voicetrio.connection.http import HttpClient
from voicetrio.errors import ServiceError
from voicetrio.runtime.keeper import Opener
from voicetrio.services.credentials import Secret
from voicetrio.services.llm import LlmOutput, Message, ToolSpec
from voicetrio.services.openai.account import Account, find_account
from voicetrio.services.openai.wire import ChatDecoder, Usage, chat_body, check_options

__all__ = ["LlmStatistics", "OpenAILLM"]

BROKEN_TRIES = 2
"""How often an answer may be begun that breaks off before its first word."""


@attrs.frozen(kw_only=True)
class LlmStatistics:
    """What a language model did so far."""

    requests: int
    finished: int
    """Answers that came to their end."""
    failed: int
    """Answers that a failure ended; the others were cancelled."""
    usage: Usage
    """Of the answers that came to their end."""


@final
class OpenAILLM:
    """A language model that streams; see ``voicetrio.services.llm.LLM``.

    Args:
        model: its name.
        api_key: by default that of OPENAI_API_KEY; a server at another address may want none.
        base_url: of the server, up to and with ``/v1``; by default OPENAI_BASE_URL, or OpenAI's.
        options: further fields of the request (``temperature``, ``max_completion_tokens``, …).
        account: in place of ``api_key`` and ``base_url``.
        client: a client that the application opened, which this one shares.

    Raises ConfigError when there is no key.
    """

    def __init__(
        self,
        model: str = "gpt-4o-mini",
        *,
        api_key: str | Secret | None = None,
        base_url: str | None = None,
        options: Mapping[str, Any] | None = None,
        account: Account | None = None,
        client: HttpClient | None = None,
    ) -> None:
        self.name = f"language model {model}"
        """For errors."""
        self._model = model
        self._options = check_options(options or {})
        self._client = client
        self._opener: Opener[HttpClient] | None = None
        if client is None:
            own = account or find_account(api_key, base_url)
            self._opener = Opener(lambda: own.open_http(self.name))
        self._requests = self._finished = self._failed = 0
        self._usage = Usage()

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def warm_up(self) -> None:
        """Open the client before it is needed."""
        if self._opener is not None:
            self._opener.begin()

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        outlet: trio.abc.SendChannel[LlmOutput],
    ) -> None:
        """Stream the answer to ``messages`` into ``outlet``; see ``LLM``.

        An answer that breaks off before its first word is asked for once more.  Cancelling closes its
        connection, which is how the server learns that it may stop.  Raises ServiceError.
        """
        body = chat_body(self._model, messages, tools, self._options)
        async with nullcontext(self._client) if self._opener is None else self._opener.use() as client:
            assert client is not None
            for tries_left in reversed(range(BROKEN_TRIES)):
                self._requests += 1
                counted = _Counted(outlet)
                try:
                    await self._answer_once(client, body, counted)
                    break
                except ServiceError as error:
                    if not error.transient or counted.sent or not tries_left or not counted.began:
                        self._failed += 1
                        raise
        self._finished += 1

    async def _answer_once(self, client: HttpClient, body: Mapping[str, Any], outlet: _Counted) -> None:
        decoder = ChatDecoder(self.name)
        async with client.stream_sse("chat/completions", json=body) as events:
            outlet.began = True
            async for event in events:
                for output in decoder.feed(event.data):
                    await outlet.send(output)
            for output in decoder.finish():
                await outlet.send(output)
        self._usage += decoder.usage or Usage()

    def statistics(self) -> LlmStatistics:
        """Return the counts so far."""
        return LlmStatistics(
            requests=self._requests, finished=self._finished, failed=self._failed, usage=self._usage
        )


@final
class _Counted:
    """An outlet, and whether anything of one answer came, and went out."""

    def __init__(self, outlet: trio.abc.SendChannel[LlmOutput]) -> None:
        self._outlet = outlet
        self.began = False
        self.sent = 0

    async def send(self, output: LlmOutput) -> None:
        self.sent += 1
        await self._outlet.send(output)
