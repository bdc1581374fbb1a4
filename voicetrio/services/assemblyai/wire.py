"""AssemblyAI's messages (streaming v3), without I/O: binary audio and JSON commands out, turns back.

An Error comes just before the close with the same code.  Source: AssemblyAI's API reference of the streaming
API, and its page on session errors and closures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from voicetrio.connection.dialling import hide
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError
from voicetrio.machines.stream_end import EndKind, StreamEnd
from voicetrio.services.credentials import Secret
from voicetrio.services.hearing_wire import Finalized, Finished, Heard, HearingAnswer
from voicetrio.services.json_hearing import JsonHearing
from voicetrio.services.wires import Fault, numbers

__all__ = ["TurnHearing", "classify_end"]

SERVICE: Final = "assemblyai"

_MEANINGS: Final[Mapping[int, tuple[Fault, bool, str]]] = {
    1013: ("theirs", True, "it may pass"),
    3005: ("theirs", True, "it may pass"),
    3006: ("ours", False, "check the options"),
    3007: ("ours", True, "audio must come in pieces of 50 to 1000 ms"),
    3008: ("limit", True, "a new session begins"),
    3009: ("limit", True, "use fewer sessions at once, or a larger plan"),
    4000: ("ours", False, "check the rate"),
    4001: ("credentials", False, "check the key"),
    4002: ("limit", False, "the account has no credit left"),
    4003: ("limit", False, "the account needs a credit card"),
    4008: ("limit", True, "a new session begins"),
    4029: ("limit", True, "audio came too fast"),
    4031: ("theirs", True, "nothing was sent for too long"),
    4100: ("ours", False, "a message was no JSON"),
    4101: ("ours", False, "a message was not understood"),
    4102: ("limit", True, "use fewer streams at once, or a larger plan"),
}


def classify_end(end: StreamEnd) -> EndKind | None:
    """Say what AssemblyAI's own close codes mean; None for those that mean what they always do."""
    if end.code == 4031 and not end.in_use:
        return "idle"
    if end.code in (3008, 4008):
        return "restart"
    meaning = _MEANINGS.get(end.code or 0)
    if meaning is None:
        return None
    return "lost" if meaning[1] else "refused"


@final
class TurnHearing(JsonHearing):
    """The wire of ``/v3/ws``.

    Args:
        formats: turns come again with punctuation, after their end.
        key: hidden in errors.
    """

    service = SERVICE

    def __init__(self, key: Secret, *, formats: bool) -> None:
        super().__init__(key)
        self._formats = formats

    def finalize(self) -> Message:
        """Return the command that ends the turn; without a turn it has no answer."""
        return json.dumps({"type": "ForceEndpoint"})

    def finish(self) -> Message:
        """Return the command that is answered by the last turn and Termination."""
        return json.dumps({"type": "Terminate"})

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        match fields.get("type"):
            case "Turn":
                return self._turn(fields)
            case "Termination":
                return [Finished()]
            case "Error":
                raise self._error(fields)
        return []

    def _turn(self, fields: Mapping[str, Any]) -> list[HearingAnswer]:
        words = fields.get("words") or ()
        starts = numbers([word["start"] / 1000 for word in words])
        ends = numbers([word["end"] / 1000 for word in words])
        is_final = bool(fields["end_of_turn"]) and bool(fields["turn_is_formatted"] or not self._formats)
        heard = Heard(
            text=str(fields["transcript"]),
            final=is_final,
            end_s=ends[-1] if ends else None,
            words=list(zip((str(word["text"]) for word in words), starts, ends, strict=True)),
            ends_turn=is_final,
        )
        return [heard, Finalized()] if is_final else [heard]

    def _error(self, fields: Mapping[str, Any]) -> ServiceError:
        code = fields.get("error_code")
        fault, transient, advice = _MEANINGS.get(
            code if isinstance(code, int) else 0, ("theirs", True, "it may pass")
        )
        text = hide(str(fields["error"]), [self._key.reveal()])
        return ServiceError(
            f"{text} (code {code}): {advice}", service=SERVICE, fault=fault, transient=transient
        )
