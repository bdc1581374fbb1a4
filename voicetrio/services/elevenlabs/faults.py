"""What ElevenLabs' errors mean: whose fault each is, whether it may pass, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from voicetrio.connection.dialling import hide
from voicetrio.errors import ServiceError
from voicetrio.machines.stream_end import EndKind, StreamEnd
from voicetrio.services.credentials import Secret
from voicetrio.services.wires import Fault

__all__ = ["classify_end", "error_named"]

SERVICE: Final = "elevenlabs"

_MEANINGS: Final[Mapping[str, tuple[Fault, bool, str]]] = {
    "auth_error": ("credentials", False, "check the key"),
    "invalid_api_key": ("credentials", False, "check the key"),
    "unaccepted_terms": ("credentials", False, "accept ElevenLabs' terms in the account"),
    "unaccepted_terms_error": ("credentials", False, "accept ElevenLabs' terms in the account"),
    "quota_exceeded": ("limit", False, "the account has no credit left"),
    "rate_limited": ("limit", True, "use fewer streams at once, or a larger plan"),
    "max_active_conversations": ("limit", True, "fewer contexts at once"),
    "too_many_concurrent_requests": ("limit", True, "use fewer streams at once, or a larger plan"),
    "resource_exhausted": ("limit", True, "it may pass"),
    "queue_overflow": ("limit", True, "audio came too fast"),
    "session_time_limit_exceeded": ("limit", True, "a new session begins"),
    "system_busy": ("theirs", True, "it may pass"),
    "input_timeout_exceeded": ("theirs", True, "nothing was sent for too long"),
    "transcriber_error": ("theirs", True, "it may pass"),
    "error": ("theirs", True, "it may pass"),
    "chunk_size_exceeded": ("ours", False, "give audio in smaller pieces"),
    "input_error": ("ours", False, "check the format of the audio"),
    "invalid_request": ("ours", False, "check the options"),
    "voice_not_found": ("ours", False, "check the id of the voice"),
    "voice_id_does_not_exist": ("ours", False, "check the id of the voice"),
    "model_not_found": ("ours", False, "check the id of the model"),
    "unsupported_model": ("ours", False, "check the id of the model"),
}


def error_named(name: str, text: str, key: Secret) -> ServiceError:
    """Return the error that ElevenLabs calls ``name``; one without a meaning here is held to be theirs."""
    fault, transient, advice = _MEANINGS.get(name, ("theirs", True, "it may pass"))
    shown = hide(text, [key.reveal()])
    return ServiceError(f"{shown} [{name}]: {advice}", service=SERVICE, fault=fault, transient=transient)


def classify_end(end: StreamEnd) -> EndKind | None:
    """Say what ElevenLabs' closes mean: 1008 is also its code for inactivity and for too many contexts."""
    if end.code == 1008:
        reason = end.reason.lower()
        if "inactiv" in reason or "timeout" in reason:
            return "lost" if end.in_use else "idle"
        if "simultaneous contexts" in reason or "concurrent" in reason:
            return "lost"
    return None
