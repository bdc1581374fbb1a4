"""Our own wire: binary messages are audio, text messages are JSON objects with a ``type``.

The page for client authors is ``docs/wire.md``; this module is the server's side of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, final

from voicetrio.errors import ConfigError, LocalProtocolError
from voicetrio.events import Dtmf, Event, MessageReceived
from voicetrio.frames import AudioFrame
from voicetrio.runtime.transport import (
    Clear,
    HangUp,
    Mark,
    Operation,
    SendAudio,
    SendDtmf,
    SendMessage,
    Traits,
)
from voicetrio.transports.serializers import Hello, Leaving, Malformed, Played, Received
from voicetrio.transports.serializers.event_json import encode_event

__all__ = ["RATES_HZ", "WIRE_VERSION", "NativeWire"]

WIRE_VERSION: Final = 1
RATES_HZ: Final = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Rates that a client may ask for: each has a whole number of samples in 20 ms."""
BURST_S: Final = 0.06
"""How much audio a client is sent in one message, at most, while a reply has it ready."""
DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")
MAX_POSITION: Final = 2**53
"""Integers up to here are exact in every JSON library."""


class _Wrong(Exception):
    """A field of a message is wrong; the text says how."""


@final
class NativeWire:
    """One connection on our own wire."""

    def __init__(
        self,
        *,
        input_rate: int = 16000,
        output_rate: int = 24000,
        lead_s: float = 0.06,
        burst_s: float = BURST_S,
        rewind_s: float = 0.0,
    ) -> None:
        for name, rate in (("input_rate", input_rate), ("output_rate", output_rate)):
            if rate not in RATES_HZ:
                raise ConfigError(f"{name} must be one of {', '.join(map(str, RATES_HZ))}, not {rate}")
        self._traits = Traits(
            input_rate=input_rate,
            output_rate=output_rate,
            lead_s=lead_s,
            burst_s=burst_s,
            can_clear=True,
            confirms=True,
            rewind_s=rewind_s,
        )
        self._input_rate = input_rate
        self._resume: dict[str, Any] = {}
        self._standing: dict[str, int] = {}
        self._captured = 0
        self._next_position = 0

    @classmethod
    def from_query(
        cls, query: Mapping[str, str], *, lead_s: float = 0.06, rewind_s: float = 0.0
    ) -> NativeWire:
        """Make the wire that a client asked for in its address; raises ConfigError naming the field."""
        rates = {}
        for name in ("input_rate", "output_rate"):
            text = query.get(name)
            if text is not None:
                if not (text.isascii() and text.isdigit() and len(text) <= 6):
                    raise ConfigError(f"{name} must be a whole number of hertz")
                rates[name] = int(text)
        return cls(**rates, lead_s=lead_s, rewind_s=rewind_s)

    @property
    def traits(self) -> Traits:
        """What a peer on this wire can do."""
        return self._traits

    # --- a client that may come back ---

    def offer_resume(self, token: str, within_s: float) -> None:
        """Tell the client in each ``hello`` how it can come back after its network was lost."""
        self._resume = {"resume": token, "resume_within_s": within_s}

    def came_back(self, epoch: int, position: int) -> None:
        """The client is connected anew; the next ``hello`` tells it where both clocks stand."""
        self._next_position = position
        self._standing = {"epoch": epoch, "position": position, "captured": self._captured}

    # --- out ---

    def greet(self, session: str) -> Sequence[str]:
        """Return the ``hello`` that is sent first."""
        traits = self._traits
        return [
            _json(
                "hello",
                version=WIRE_VERSION,
                session=session,
                input_rate=traits.input_rate,
                output_rate=traits.output_rate,
                lead_ms=round(traits.lead_s * 1000),
                **self._standing,
                **self._resume,
            )
        ]

    def encode(self, operation: Operation) -> Sequence[bytes | str | memoryview]:
        """Return the messages that carry ``operation``; raises LocalProtocolError if JSON cannot."""
        match operation:
            case SendAudio(frame=frame):
                return self._encode_audio(frame)
            case Clear(epoch=epoch, position=position):
                self._next_position = position
                return [_json("clear", epoch=epoch, position=position)]
            case Mark(epoch=epoch, position=position):
                return [_json("mark", epoch=epoch, position=position)]
            case SendDtmf(digit=digit):
                return [_json("dtmf", digit=digit)]
            case SendMessage(data=Event() as event):
                encoded = encode_event(event)
                return [] if encoded is None else [_json("event", **encoded)]
            case SendMessage(data=data):
                return [_json("message", data=data)]
            case HangUp(reason=reason):
                return [_json("bye", reason=reason)]

    def complain(self, malformed: Malformed) -> str:
        """Return the ``error`` message for what a client got wrong."""
        return _json("error", code=malformed.code, message=malformed.message)

    def _encode_audio(self, frame: AudioFrame) -> Sequence[bytes | str | memoryview]:
        if frame.rate != self._traits.output_rate or frame.channels != 1:
            raise LocalProtocolError(
                f"the wire carries mono at {self._traits.output_rate} Hz,"
                f" not {frame.channels} channels at {frame.rate} Hz"
            )
        messages: list[bytes | str | memoryview] = []
        if frame.position != self._next_position:
            # Audio has no header, so a client counts samples; where the count jumps it is told.
            messages.append(_json("skip", position=frame.position))
        self._next_position = frame.end
        messages.append(frame.pcm)
        return messages

    # --- in ---

    def decode(self, message: bytes | str) -> Received | None:
        """Return what ``message`` means; None for nothing (empty audio)."""
        if isinstance(message, bytes):
            return self._decode_audio(message)
        try:
            fields = _DECODER.decode(message)
        except (ValueError, RecursionError):
            return Malformed("bad_json", "a text message must be a JSON object")
        if not isinstance(fields, dict):
            return Malformed("bad_json", "a text message must be a JSON object")
        kind = fields.get("type")
        decode = _DECODERS.get(kind) if isinstance(kind, str) else None
        if decode is None:
            known = ", ".join(_DECODERS)
            return Malformed("unknown_type", f"the field 'type' must be one of {known}")
        try:
            return decode(fields)
        except _Wrong as error:
            return Malformed("bad_field", f"{kind}: {error}")

    def _decode_audio(self, pcm: bytes) -> AudioFrame | Malformed | None:
        size = len(pcm)
        if size % 2:
            return Malformed("odd_length", "audio is 16-bit: a binary message needs an even byte count", 1003)
        if not size:
            return None
        frame = AudioFrame(pcm, self._input_rate, 1, self._captured)
        self._captured += size // 2
        return frame


def _json(kind: str, **fields: Any) -> str:
    try:
        # ASCII only: half a surrogate pair, which a client may send escaped, has no UTF-8.
        return _ENCODER.encode({"type": kind, **fields})
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"a {kind!r} message is not JSON: {error}", code=1011) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: given options, the json module's own functions make a new one for each message.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


# --- the types that a client may send ---------------------------------------------------------------


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= MAX_POSITION:
        raise _Wrong(f"the field {name!r} must be a whole number from 0 to 2**53")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _Wrong(f"the field {name!r} must be a string")
    return value


def _hello(fields: Mapping[str, Any]) -> Hello:
    return Hello(_text(fields, "client") if "client" in fields else "")


def _played(fields: Mapping[str, Any]) -> Played:
    return Played(_count(fields, "epoch"), _count(fields, "position"))


def _typed(fields: Mapping[str, Any]) -> MessageReceived:
    text = _text(fields, "text")
    if not text.strip():
        raise _Wrong("the field 'text' must not be empty")
    return MessageReceived(data={"type": "text", "text": text})


def _dtmf(fields: Mapping[str, Any]) -> Dtmf:
    digit = _text(fields, "digit")
    if digit not in DTMF_DIGITS:
        raise _Wrong("the field 'digit' must be one of 0-9, *, #, A-D")
    return Dtmf(digit=digit)


def _message(fields: Mapping[str, Any]) -> MessageReceived:
    if "data" not in fields:
        raise _Wrong("the field 'data' is missing")
    return MessageReceived(data=fields["data"])


def _end(_fields: Mapping[str, Any]) -> Leaving:
    return Leaving()


_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Received]]] = {
    "hello": _hello,
    "played": _played,
    "text": _typed,
    "dtmf": _dtmf,
    "message": _message,
    "end": _end,
}
