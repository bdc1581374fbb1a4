"""The options of ``voicetrio serve``, and what they make."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from cyclopts import Group, Parameter
from cyclopts.validators import Number

from voicetrio.cli.files import read_text
from voicetrio.connection.websocket import SocketLimits
from voicetrio.errors import ConfigError
from voicetrio.server.authentication import AnyOf, Authenticator, BearerTokens, SignedTokens
from voicetrio.server.listening import is_loopback, open_tls
from voicetrio.server.settings import ServerSettings
from voicetrio.server.tokens import TokenSigner

__all__ = ["ServeOptions", "read_secret", "read_tokens"]

_AGENT: Final = Group("The agent", sort_key=1)
_LIMITS: Final = Group("Limits", sort_key=2)
_ACCESS: Final = Group("Who may come", sort_key=3)
_LIFE: Final = Group("Life and death", sort_key=4)
_DEFAULT: Final = ServerSettings()
_SOCKET: Final = _DEFAULT.limits


def _number(what: str, group: Group, *, least: float | None = None) -> Parameter:
    validator = Number(gt=0) if least is None else Number(gte=least)
    return Parameter(help=what, group=group, validator=validator)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class ServeOptions:
    """What ``voicetrio serve`` can be told; a file of ``--config`` has the same names."""

    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Parameter(help="Port to listen on; 0 takes a free one.", validator=Number(gte=0, lte=65535))
    ] = 8765
    config: Annotated[Path | None, Parameter(help="A TOML file with options, by these names.")] = None

    handler: Annotated[
        str | None,
        Parameter(help="MODULE:NAME of a handler of your own, instead of the embedded agent.", group=_AGENT),
    ] = None
    greeting: Annotated[
        bool, Parameter(help="Let the agent greet first.", negative="--no-greeting", group=_AGENT)
    ] = True
    bed: Annotated[
        bool, Parameter(help="Put room noise under the agent.", negative="--no-bed", group=_AGENT)
    ] = True
    page: Annotated[
        bool, Parameter(help="Serve the page to talk to it at /.", negative="--no-page", group=_AGENT)
    ] = True
    workers: Annotated[int, _number("Threads for each model.", _AGENT)] = 1

    max_sessions: Annotated[int, _number("Sessions at once; one more is refused with 503.", _LIMITS)] = (
        _DEFAULT.max_sessions
    )
    max_handshakes: Annotated[
        int, _number("Connections at once that have not said what they want.", _LIMITS)
    ] = _DEFAULT.max_handshakes
    max_lag_ms: Annotated[
        float, _number("Lag of the event loop beyond which nobody new is let in.", _LIMITS)
    ] = _DEFAULT.max_lag_s * 1000
    max_pool_wait_s: Annotated[
        float, _number("Wait for a model beyond which nobody new is let in.", _LIMITS)
    ] = _DEFAULT.max_pool_wait_s
    retry_after_s: Annotated[int, _number("What who is refused is told to wait.", _LIMITS)] = (
        _DEFAULT.retry_after_s
    )
    handshake_s: Annotated[float, _number("Longest opening handshake.", _LIMITS)] = _SOCKET.handshake_s
    max_message_bytes: Annotated[int, _number("Longest message.", _LIMITS)] = _SOCKET.max_message_bytes
    max_bytes_per_s: Annotated[float, _number("Most that a client may send a second.", _LIMITS)] = (
        _SOCKET.max_bytes_per_s
    )
    max_messages_per_s: Annotated[float, _number("Most messages a client may send a second.", _LIMITS)] = (
        _SOCKET.max_messages_per_s
    )
    idle_s: Annotated[float, _number("A client that sends nothing for so long is ended.", _LIMITS)] = (
        _DEFAULT.idle_s
    )
    max_session_s: Annotated[float, _number("Longest session.", _LIMITS)] = _DEFAULT.max_session_s
    warn_s: Annotated[float, _number("So long before its end the caller is told.", _LIMITS, least=0)] = (
        _DEFAULT.warn_s
    )
    lead_ms: Annotated[float, _number("How far ahead of the caller's ear audio is sent.", _LIMITS)] = (
        _DEFAULT.lead_s * 1000
    )

    token_file: Annotated[
        Path | None, Parameter(help="Bearer tokens, one `NAME: TOKEN` a line.", group=_ACCESS)
    ] = None
    secret_file: Annotated[
        Path | None, Parameter(help="The secret of signed tokens (see `voicetrio token`).", group=_ACCESS)
    ] = None
    open_to_all: Annotated[
        bool, Parameter(help="Serve strangers from other machines, on purpose.", group=_ACCESS)
    ] = False
    allowed_origin: Annotated[
        tuple[str, ...],
        Parameter(help="Origin of a web page that may connect; may be repeated.", group=_ACCESS),
    ] = ()
    tls_certificate: Annotated[
        Path | None, Parameter(help="Certificate chain in PEM: serve wss:// and https://.", group=_ACCESS)
    ] = None
    tls_key: Annotated[
        Path | None, Parameter(help="Its key, where it is not in the same file.", group=_ACCESS)
    ] = None

    resume_s: Annotated[float, _number("A lost client is waited for so long; 0: not.", _LIFE, least=0)] = (
        _DEFAULT.resume_s
    )
    drain_s: Annotated[float, _number("So long may sessions go on after SIGTERM.", _LIFE, least=0)] = 30.0
    last_words_s: Annotated[
        float, _number("So long before the end of that, those that are left are ended.", _LIFE, least=0)
    ] = _DEFAULT.last_words_s
    admin_port: Annotated[
        int | None,
        Parameter(
            help="Port of /healthz, /readyz and /metrics; none unless given.",
            group=_LIFE,
            validator=Number(gte=0, lte=65535),
        ),
    ] = None
    admin_host: Annotated[str, Parameter(help="Address of that port.", group=_LIFE)] = "127.0.0.1"

    def settings(self) -> ServerSettings:
        """Return the server's parameters.  Raises ConfigError."""
        limits: SocketLimits = attrs.evolve(
            _SOCKET,
            handshake_s=self.handshake_s,
            max_message_bytes=self.max_message_bytes,
            max_bytes_per_s=self.max_bytes_per_s,
            max_messages_per_s=self.max_messages_per_s,
        )
        names = {field.name for field in attrs.fields(ServerSettings)} & {
            field.name for field in attrs.fields(ServeOptions)
        }
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        return ServerSettings(
            **same, max_lag_s=self.max_lag_ms / 1000, lead_s=self.lead_ms / 1000, limits=limits
        )

    def authenticator(self) -> Authenticator | None:
        """Return who lets clients in; None when nobody is asked.

        Raises ConfigError, also when somebody must be asked: other machines reach the address.
        """
        found: list[Authenticator] = []
        if self.token_file is not None:
            found.append(BearerTokens(read_tokens(self.token_file)))
        if self.secret_file is not None:
            found.append(SignedTokens(TokenSigner(read_secret(self.secret_file))))
        if not (found or self.open_to_all or is_loopback(self.host)):
            raise ConfigError(
                f"{self.host} can be reached from other machines: say who may come (--token-file,"
                " --secret-file), or that everybody may (--open-to-all)"
            )
        return AnyOf(*found) if found else None

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context, if there is to be one.  Raises ConfigError."""
        if self.tls_certificate is None:
            if self.tls_key is not None:
                raise ConfigError("--tls-key needs --tls-certificate")
            return None
        return open_tls(self.tls_certificate, self.tls_key)


def read_tokens(path: Path) -> dict[str, str]:
    """Read bearer tokens by name from lines ``NAME: TOKEN``; ``#`` starts a comment.  Raises ConfigError."""
    tokens: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, token = line.partition(":")
        name, token = name.strip(), token.strip()
        if not (colon and name and token):
            raise ConfigError(f"{path}:{number}: write NAME: TOKEN")
        if name in tokens:
            raise ConfigError(f"{path}:{number}: {name} has a token already")
        tokens[name] = token
    return tokens


def read_secret(path: Path) -> bytes:
    """Read the secret of signed tokens: the file's text, stripped.  Raises ConfigError."""
    return read_text(path).strip().encode()
