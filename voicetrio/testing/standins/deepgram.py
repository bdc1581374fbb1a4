"""A stand-in for Deepgram: ``/v1/listen`` and ``/v2/listen`` (Flux) recognise, ``/v1/speak`` speaks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar, Final, final

from voicetrio.connection.websocket import Refusal, UpgradeRequest
from voicetrio.testing.standins.deepgram_flux import serve_flux
from voicetrio.testing.standins.deepgram_listen import serve_listen
from voicetrio.testing.standins.deepgram_speak import serve_speak
from voicetrio.testing.standins.fault import Fault
from voicetrio.testing.standins.server import Standin, StandinConnection
from voicetrio.testing.standins.speech import VOCABULARY

__all__ = ["DeepgramStandin"]

PATHS: Final = {"/v1/listen": "nova", "/v2/listen": "flux", "/v1/speak": "aura"}
"""Each endpoint, and how the names of its models begin."""


@final
class DeepgramStandin(Standin):
    """Deepgram, as far as its WebSockets show it.

    Args:
        key: the only key that it accepts.
        faults: see ``Standin``.
        idle_s: seconds without audio or KeepAlive after which it closes with code 1011 and NET-0001.
        speed: how many seconds of audio it makes in a second.
        answers_finalize: False: a Finalize gives results without ``from_finalize``, as the real one may.
        vocabulary: what its recognisers know.
    """

    name = "deepgram"
    errors: ClassVar = {
        "net-0000": (1011, "NET-0000"),
        "net-0001": (1011, "NET-0001"),
        "data-0000": (1008, "DATA-0000"),
        "schema": None,
        "server error": (1011, "INTERNAL_SERVER_ERROR"),
    }
    """A close code and its reason; the error of the schema closes nothing."""

    def __init__(
        self,
        *,
        key: str = "standin-key",
        faults: Iterable[Fault | None] = (),
        idle_s: float = 10.0,
        speed: float = 20.0,
        answers_finalize: bool = True,
        vocabulary: Iterable[str] = VOCABULARY,
    ) -> None:
        super().__init__(key=key, faults=faults)
        self.idle_s = idle_s
        self.speed = speed
        self.answers_finalize = answers_finalize
        self.vocabulary = tuple(vocabulary)

    def check(self, request: UpgradeRequest) -> Refusal | None:
        """Refuse a wrong path, key or model as Deepgram does."""
        family = PATHS.get(request.path)
        if family is None:
            return _refusal(404, "NOT_FOUND", "no such path")
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or key != self.key:
            return _refusal(401, "INVALID_AUTH", f"Invalid credentials: {key}")
        if family not in request.query.get("model", "nova" if family == "nova" else "aura"):
            return _refusal(400, "Bad Request", "No such model/language/tier combination found.")
        rate = request.query.get("sample_rate", "16000")
        if not rate.isdigit() or not 8000 <= int(rate) <= 48000:
            return _refusal(400, "Bad Request", "Unsupported sample rate.")
        return None

    async def talk(self, connection: StandinConnection) -> None:
        """Serve the endpoint that was asked for."""
        match PATHS[connection.request.path]:
            case "nova":
                await serve_listen(
                    connection, self.vocabulary, self.idle_s, answers_finalize=self.answers_finalize
                )
            case "flux":
                await serve_flux(connection, self.vocabulary, self.idle_s)
            case _:
                await serve_speak(connection, self.speed)

    async def fail(self, connection: StandinConnection, error: str) -> None:
        """Send the error, and close with its code."""
        ending = self.errors[error]
        if ending is None:
            text = {"type": "Error", "variant": "SchemaError", "description": "Could not deserialize"}
            await connection.send(text)
            return
        code, reason = ending
        if PATHS[connection.request.path] == "flux":
            fatal = {
                "type": "Error",
                "sequence_id": len(connection.sent),
                "code": reason,
                "description": reason,
            }
            await connection.send(fatal)
        await connection.close(code, reason)


def _refusal(status: int, code: str, text: str) -> Refusal:
    body: dict[str, Any] = {"err_code": code, "err_msg": text, "request_id": "standin"}
    return Refusal(status, json.dumps(body), {"dg-error": text})
