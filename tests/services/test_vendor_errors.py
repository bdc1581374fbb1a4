"""Each error that a vendor may send, and each close code that is its own: whose fault, and may it pass."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.kinds import RECOGNISERS, VOICES, Kind
from tests.services.vendors import finals, listen, plain, speak, speech
from voicetrio.errors import ServiceError
from voicetrio.testing.standins.fault import CloseWith, Fail
from voicetrio.testing.standins.server import open_standin

RATE = 16000
WORDS = "go forward ten meters"
KINDS = {f"{kind.name} voice": kind for kind in VOICES} | {f"{kind.name} ear": kind for kind in RECOGNISERS}

FATAL = [
    ("cartesia voice", "bad request", "ours"),
    ("cartesia voice", "unauthorized", "credentials"),
    ("cartesia voice", "no credits", "limit"),
    ("cartesia voice", "voice not found", "ours"),
    ("cartesia voice", "model not found", "ours"),
    ("cartesia ear", "model not found", "ours"),
    ("cartesia ear", "unauthorized", "credentials"),
    ("deepgram ear", "schema", "ours"),
    ("elevenlabs voice", "voice_not_found", "ours"),
    ("elevenlabs voice", "model_not_found", "ours"),
    ("elevenlabs voice", "quota_exceeded", "limit"),
    ("elevenlabs voice", "invalid_request", "ours"),
    ("elevenlabs ear", "auth_error", "credentials"),
    ("elevenlabs ear", "quota_exceeded", "limit"),
    ("elevenlabs ear", "unaccepted_terms", "credentials"),
    ("elevenlabs ear", "chunk_size_exceeded", "ours"),
    ("elevenlabs ear", "input_error", "ours"),
    ("elevenlabs ear", "invalid_request", "ours"),
    ("assemblyai ear", "invalid input", "ours"),
    ("assemblyai ear", "unauthorized", "credentials"),
    ("assemblyai ear", "no funds", "limit"),
]
PASSING = [
    ("cartesia voice", "too many"),
    ("cartesia voice", "server error"),
    ("cartesia voice", "unavailable"),
    ("cartesia ear", "unavailable"),
    ("deepgram voice", "server error"),
    ("deepgram voice", "net-0001"),
    ("deepgram ear", "net-0000"),
    ("deepgram ear", "net-0001"),
    ("flux ear", "server error"),
    ("elevenlabs voice", "max_active_conversations"),
    ("elevenlabs voice", "input_timeout_exceeded"),
    ("elevenlabs voice", "system_busy"),
    ("elevenlabs ear", "commit_throttled"),
    ("elevenlabs ear", "insufficient_audio_activity"),
    ("elevenlabs ear", "rate_limited"),
    ("elevenlabs ear", "queue_overflow"),
    ("elevenlabs ear", "resource_exhausted"),
    ("elevenlabs ear", "session_time_limit_exceeded"),
    ("elevenlabs ear", "transcriber_error"),
    ("elevenlabs ear", "error"),
    ("assemblyai ear", "server error"),
    ("assemblyai ear", "chunk duration"),
    ("assemblyai ear", "session expired"),
    ("assemblyai ear", "too many sessions"),
    ("assemblyai ear", "too fast"),
    ("assemblyai ear", "idle"),
    ("assemblyai ear", "too many streams"),
    ("assemblyai ear", "try again"),
]


async def use(kind: Kind, client: Any) -> list[str]:
    """Let the client do its work once; return the words that came."""
    if kind in VOICES:
        return plain((await speak(client, f"{WORDS}.", "yes.")).heard).split()
    items, _ = speech(RATE, 1.0, WORDS, 1.0)
    return " ".join(finals(await listen(client, items, after_s=1.0))).split()


def fault(name: str, error: str) -> Fail:
    # A voice fails while it speaks; a recogniser while it listens.
    return Fail(error=error, after=1) if name.endswith("voice") else Fail(error=error, after_s=1.4)


@pytest.mark.parametrize(("name", "error", "whose"), FATAL)
async def test_an_error_that_will_not_pass_ends_the_tries(
    name: str, error: str, whose: str, autojump_clock: object
) -> None:
    kind = KINDS[name]
    async with open_standin(kind.standin(faults=[fault(name, error)] * 3)) as standin:
        with pytest.raises(ServiceError) as caught:
            await use(kind, kind.client(standin))
        assert caught.value.fault == whose
        assert not caught.value.transient
        assert len(standin.connections) == 1
        # It says what to do.
        assert ":" in str(caught.value).removeprefix(caught.value.service)


@pytest.mark.parametrize(("name", "error"), PASSING)
async def test_an_error_that_may_pass_is_tried_again(name: str, error: str, autojump_clock: object) -> None:
    kind = KINDS[name]
    async with open_standin(kind.standin(faults=[fault(name, error)])) as standin:
        words = await use(kind, kind.client(standin))
    if kind in VOICES:
        # It had begun the first sentence: the rest of that may be lost.
        assert words[-1] == "yes"
        assert words[:-1] == WORDS.split()[: len(words) - 1]
    else:
        assert words == WORDS.split()


def test_every_error_of_every_standin_is_tried() -> None:
    tried = {(KINDS[name].standin, error) for name, error, _ in FATAL}
    tried |= {(KINDS[name].standin, error) for name, error in PASSING}
    known = {(kind.standin, error) for kind in KINDS.values() for error in kind.standin.errors}  # type: ignore[attr-defined]
    # A close that says nothing of its own is tried with the other codes.
    assert {error for _, error in known - tried} <= {"data-0000"}


@pytest.mark.parametrize(
    ("name", "code", "reason", "again"),
    [
        ("deepgram ear", 1011, "NET-0001", True),
        ("deepgram ear", 1011, "NET-0000", True),
        ("deepgram ear", 1008, "DATA-0000", False),
        (
            "elevenlabs voice",
            1008,
            "Maximum simultaneous contexts per WebSocket connection exceeded (5).",
            True,
        ),
        ("elevenlabs voice", 1008, "closed due to inactivity", True),
        ("elevenlabs voice", 1008, "policy", False),
        ("assemblyai ear", 3005, "", True),
        ("assemblyai ear", 3006, "", False),
        ("assemblyai ear", 3007, "", True),
        ("assemblyai ear", 3008, "", True),
        ("assemblyai ear", 3009, "", True),
        ("assemblyai ear", 4001, "", False),
        ("assemblyai ear", 4002, "", False),
        ("assemblyai ear", 4029, "", True),
        ("assemblyai ear", 4031, "", True),
        ("assemblyai ear", 4102, "", True),
        ("assemblyai ear", 1013, "", True),
    ],
)
async def test_a_close_without_an_error_means_what_its_code_says(
    name: str, code: int, reason: str, again: bool, autojump_clock: object
) -> None:
    kind = KINDS[name]
    when = {"after": 1} if name.endswith("voice") else {"after_s": 1.4}
    async with open_standin(kind.standin(faults=[CloseWith(code=code, reason=reason, **when)])) as standin:  # type: ignore[arg-type]
        if again:
            assert await use(kind, kind.client(standin))
            assert len(standin.connections) == 2
        else:
            with pytest.raises(ServiceError):
                await use(kind, kind.client(standin))
            assert len(standin.connections) == 1
