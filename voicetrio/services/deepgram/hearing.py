"""Deepgram's messages of recognition, without I/O: listen v1, and Flux (listen v2).

Audio is binary, commands are JSON as text.  Sources: Deepgram's API reference of both endpoints, and its
pages on KeepAlive, Finalize and CloseStream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from voicetrio.connection.dialling import hide
from voicetrio.connection.settings import Keepalive
from voicetrio.connection.websocket.socket import Message
from voicetrio.errors import ServiceError
from voicetrio.machines.stream_end import EndKind, StreamEnd
from voicetrio.services.credentials import Secret
from voicetrio.services.hearing_wire import Finalized, Finished, Heard, HearingAnswer, NotTaken
from voicetrio.services.json_hearing import JsonHearing
from voicetrio.services.wires import numbers

__all__ = ["FluxHearing", "NovaHearing", "classify_end", "keep_alive"]

SERVICE: Final = "deepgram"
KEEPALIVE_S: Final = 4.0
"""Deepgram closes after 10 s without audio or KeepAlive, and asks for one every 3 to 5 s."""


def keep_alive() -> Keepalive:
    """Return what keeps a stream of listen v1 open while no audio comes."""
    text = json.dumps({"type": "KeepAlive"})
    return Keepalive(KEEPALIVE_S, lambda: text)


def classify_end(end: StreamEnd) -> EndKind | None:
    """Say what Deepgram's own close codes mean; None for those that mean what they always do."""
    if end.code == 1011 and "NET-0001" in end.reason and not end.in_use:
        return "idle"
    return None


@final
class NovaHearing(JsonHearing):
    """The wire of ``/v1/listen``; ``key`` is hidden in errors."""

    service = SERVICE

    def finalize(self) -> Message:
        """Return the command whose result mostly says ``from_finalize``."""
        return json.dumps({"type": "Finalize"})

    def finish(self) -> Message:
        """Return the command that is answered by the last results and Metadata."""
        return json.dumps({"type": "CloseStream"})

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        match fields.get("type"):
            case "Results":
                heard = _results(fields)
                return [heard, Finalized()] if fields.get("from_finalize") else [heard]
            case "Metadata":
                return [Finished()]
            case "Error":
                text = fields.get("description") or fields.get("message") or "an error"
                raise _ours(f"{text} [{fields.get('variant')}]", self._key)
        return []


def _results(fields: Mapping[str, Any]) -> Heard:
    start_s, duration_s = numbers([fields["start"], fields["duration"]])
    alternative = fields["channel"]["alternatives"][0]
    return Heard(
        text=str(alternative["transcript"]),
        final=bool(fields.get("is_final")),
        start_s=start_s,
        end_s=start_s + duration_s,
        words=_words(alternative.get("words") or ()),
        ends_turn=bool(fields.get("speech_final")),
    )


@final
class FluxHearing(JsonHearing):
    """The wire of ``/v2/listen``; ``key`` is hidden in errors."""

    service = SERVICE

    def finalize(self) -> Message:
        """Return the command that ends the turn; without a turn it has no answer."""
        return json.dumps({"type": "ForceEndTurn"})

    def finish(self) -> Message:
        """Return the command after which the rest is told, and the stream closed."""
        return json.dumps({"type": "CloseStream"})

    def take(self, fields: Mapping[str, Any]) -> Sequence[HearingAnswer]:
        """Return what a message means."""
        match fields.get("type"):
            case "TurnInfo":
                return _turn(fields)
            case "ConfigureFailure":
                said = fields.get("description") or fields.get("code") or "it does not say why"
                return [NotTaken(_ours(f"it did not take the changed options: {said}", self._key))]
            case "Error":
                text = hide(f"{fields['description']} [{fields['code']}]", [self._key.reveal()])
                raise ServiceError(text, service=SERVICE, transient=True)
        return []


def _turn(fields: Mapping[str, Any]) -> list[HearingAnswer]:
    is_end = fields["event"] == "EndOfTurn"
    (end_s,) = numbers([fields["audio_window_end"]])
    words = [word for word in fields["words"] if word.get("start") is not None]
    heard = Heard(
        text=str(fields["transcript"]),
        final=is_end,
        end_s=end_s,
        words=_words(words) if len(words) == len(fields["words"]) else (),
        ends_turn=is_end,
        drafts_turn=fields["event"] == "EagerEndOfTurn",
    )
    return [heard, Finalized()] if is_end and fields.get("trigger") == "manual" else [heard]


def _words(words: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    texts = [str(word.get("punctuated_word") or word["word"]) for word in words]
    starts, ends = numbers([word["start"] for word in words]), numbers([word["end"] for word in words])
    return list(zip(texts, starts, ends, strict=True))


def _ours(text: str, key: Secret) -> ServiceError:
    shown = hide(text, [key.reveal()])
    return ServiceError(f"{shown}: check the model and the options", service=SERVICE, fault="ours")
