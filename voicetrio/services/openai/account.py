"""Where an OpenAI-compatible server is, and the key for it."""

from __future__ import annotations

import os
import ssl
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Final

import attrs

from voicetrio.connection.http import HttpClient, HttpSettings, open_http
from voicetrio.errors import ConfigError
from voicetrio.services.credentials import Secret, find_key

__all__ = ["KEY_VARIABLE", "OPENAI_URL", "Account", "find_account"]

OPENAI_URL: Final = "https://api.openai.com/v1"
KEY_VARIABLE: Final = "OPENAI_API_KEY"
URL_VARIABLE: Final = "OPENAI_BASE_URL"


@attrs.frozen(kw_only=True)
class Account:
    """A server that speaks OpenAI's API, and how it is asked; ``find_account`` makes one."""

    base_url: str = OPENAI_URL
    """Up to and with ``/v1``."""
    key: Secret | None = None
    """None for a server that wants none."""
    organization: str | None = None
    project: str | None = None
    settings: HttpSettings = attrs.Factory(HttpSettings)
    """The bounds of HTTP."""
    ssl_context: ssl.SSLContext | None = None
    """Instead of the default one, which verifies."""

    def headers(self) -> dict[str, str]:
        """Return what every request carries; the key is among it."""
        own = {"OpenAI-Organization": self.organization, "OpenAI-Project": self.project}
        named = {name: value for name, value in own.items() if value is not None}
        return named if self.key is None else {"Authorization": f"Bearer {self.key.reveal()}", **named}

    def open_http(self, service: str) -> AbstractAsyncContextManager[HttpClient]:
        """Open a client of the server; ``service`` is its name in errors."""
        return open_http(
            self.base_url,
            service=service,
            headers=self.headers(),
            settings=self.settings,
            ssl_context=self.ssl_context or _shared_context(),
        )


@lru_cache(maxsize=1)
def _shared_context() -> ssl.SSLContext:
    """Return the verifying context that all clients share: loading the authorities takes some 20 ms."""
    return ssl.create_default_context()


def find_account(
    api_key: str | Secret | None = None,
    base_url: str | None = None,
    *,
    organization: str | None = None,
    project: str | None = None,
    settings: HttpSettings | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Account:
    """Return the account that the arguments and the environment name.

    The key is ``api_key``, or that of OPENAI_API_KEY; the address is ``base_url``, or OPENAI_BASE_URL, or
    OpenAI's own.  A server at another address than OpenAI's may do without a key.  Raises ConfigError when
    a key is missing, or when the address cannot be used.
    """
    url = (base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL).rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"base_url begins with https:// (or http:// on a trusted network), not {url!r}")
    is_keyless = url != OPENAI_URL and api_key is None and not os.environ.get(KEY_VARIABLE)
    return Account(
        base_url=url,
        key=None if is_keyless else find_key("OpenAI", api_key, KEY_VARIABLE),
        organization=organization,
        project=project,
        settings=settings or HttpSettings(),
        ssl_context=ssl_context,
    )
