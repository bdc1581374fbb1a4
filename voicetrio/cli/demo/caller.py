"""What the demo's caller does: recorded speech, a cough, and ears that react to what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import trio

from voicetrio.audio import read_wav
from voicetrio.cli.call.record import Act
from voicetrio.data import speech_path
from voicetrio.errors import PeerGone
from voicetrio.frames import Samples
from voicetrio.testing.reference_client import ReferenceClient

__all__ = ["QUESTION", "call", "cough"]

PATIENCE_S: Final = 30.0
"""How long the caller waits for any one thing before the call goes on without it."""
INTO_GREETING_S: Final = 2.6
"""How much of the greeting the caller listens to before speaking over it."""
INTO_REPLY_S: Final = 1.1
"""How far into a reply the cough comes."""
PAUSE_S: Final = 0.7
"""Between the end of a reply and the caller's next words."""
QUESTION: Final = "What did I hear before I interrupted you?"
"""What the caller types: no recording asks for it."""

FORMANTS: Final = ((650.0, 90.0, 1.0), (1200.0, 120.0, 0.7), (2500.0, 200.0, 0.4))
"""Frequency and bandwidth (Hz) and gain of three resonances, near those of an open vowel."""


def cough(rate: int = 16000, duration_s: float = 0.42, *, seed: int = 3) -> Samples:
    """Make a sound like a cough: a voiced, breathy burst, int16, shape ``(n,)``.

    A source of falling pitch with noise in it goes through three resonators (Klatt, "Software for a
    cascade/parallel formant synthesizer", 1980) and dies away.
    """
    count = round(duration_s * rate)
    time = np.arange(count) / rate
    noise = np.random.default_rng(seed).normal(size=count)
    phase = 2 * np.pi * np.cumsum(170.0 - 60.0 * time / duration_s) / rate
    source = 0.6 * np.sign(np.sin(phase)) + np.sin(phase) + 0.8 * noise
    sound = 0.02 * noise
    for frequency, bandwidth, gain in FORMANTS:
        sound += gain * _resonate(source, frequency, bandwidth, rate)
    sound *= np.minimum(1.0, time / 0.015) * np.exp(-2.2 * (time / duration_s) ** 3)
    loud: Samples = np.rint(sound / np.abs(sound).max() * 12000).astype(np.int16)
    return loud


def _resonate(
    source: npt.NDArray[np.float64], frequency: float, bandwidth: float, rate: int
) -> npt.NDArray[np.float64]:
    radius = np.exp(-np.pi * bandwidth / rate)
    back1, back2 = 2 * radius * np.cos(2 * np.pi * frequency / rate), -radius * radius
    output = np.zeros_like(source)
    last = before = 0.0
    for k, value in enumerate(source):
        output[k] = (1 - radius) * value + back1 * last + back2 * before
        last, before = output[k], last
    return output


async def call(client: ReferenceClient, did: Callable[[Act], object]) -> None:
    """Hold the conversation, then hang up; tell ``did`` about each act.

    The caller barges into the greeting, asks (typing) what of it was heard, coughs into a reply, and has
    digits read back.  Whatever does not happen within a while is not waited for, so the call always ends.
    """
    caller = _Caller(client, did)
    try:
        if await caller.hears("reply_audible"):
            await trio.sleep(INTO_GREETING_S)
        await caller.says("go-forward.wav", "go forward ten meters")
        await caller.hears("reply_ended", source="turn")
        await trio.sleep(PAUSE_S)

        await caller.types(QUESTION)
        await caller.hears("reply_ended", source="turn")
        await trio.sleep(PAUSE_S)

        await caller.says("austen-0880.wav", "he was not an ill disposed young man")
        if await caller.hears("reply_audible"):
            await trio.sleep(INTO_REPLY_S)
            caller.utters("cough", "", cough(client.input_rate))
        await caller.hears("reply_ended", source="turn")
        await trio.sleep(PAUSE_S)

        await caller.says("digits-29340.wav", "two nine three four zero")
        await caller.hears("reply_ended", source="turn")
        await trio.sleep(PAUSE_S)
        await client.hang_up()
        with trio.move_on_after(PATIENCE_S):
            await client.wait_closed()
    except PeerGone:
        # The line went dead (the server is stopping): there is nobody left to talk to.
        await trio.lowlevel.checkpoint()


class _Caller:
    def __init__(self, client: ReferenceClient, did: Callable[[Act], object]) -> None:
        self._client = client
        self._did = did

    def utters(self, what: str, text: str, samples: Samples) -> None:
        start = self._client.speak(samples)
        self._did(Act(what, text, start, samples.size / self._client.input_rate))

    async def says(self, name: str, text: str) -> None:
        samples, _ = read_wav(speech_path(name))
        self.utters("speech", text, samples)
        await self._client.wait_spoken()

    async def types(self, text: str) -> None:
        self._did(Act("text", text, trio.current_time(), 0.0))
        await self._client.type_text(text)

    async def hears(self, event: str, **fields: Any) -> bool:
        """Wait for an event of the session; return whether it came in time."""
        with trio.move_on_after(PATIENCE_S) as scope:
            await self._client.wait_event(
                lambda seen: seen["event"] == event and all(seen.get(k) == v for k, v in fields.items())
            )
        return not scope.cancelled_caught
