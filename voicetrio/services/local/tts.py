"""Text to speech with a Piper voice, clause by clause, in the workers of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, TextFrame, WordFrame

if TYPE_CHECKING:
    import trio

    from voicetrio.runtime.workers import ModelPool
    from voicetrio.services.local.piper import PiperVoice
    from voicetrio.services.tts import TtsOutput

__all__ = ["PiperTTS"]

FRAME_S = 0.1
MAX_WORDS = 24
"""A longer clause is spoken in parts, so that a worker is free again after a second at most."""
SPEEDS = (0.25, 4.0)


@final
class PiperTTS:
    """The voice of one session.

    Word times are the network's own; see ``voicetrio.services.local.piper``.

    Args:
        pool: the voices.
        rate: hertz of the voices in ``pool``.
        speed: 1 is the voice's own; from 0.25 to 4.

    Raises ConfigError for another speed.
    """

    def __init__(self, pool: ModelPool[PiperVoice], *, rate: int, speed: float = 1.0) -> None:
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise ConfigError(f"a speed is from {SPEEDS[0]} to {SPEEDS[1]}, not {speed}")
        self._pool = pool
        self._rate = rate
        self._speed = speed

    @property
    def rate(self) -> int:
        """Hertz."""
        return self._rate

    async def speak(
        self, inlet: trio.abc.ReceiveChannel[TextFrame], outlet: trio.abc.SendChannel[TtsOutput]
    ) -> None:
        """Speak each clause of ``inlet``; see ``voicetrio.services.tts``.

        A clause's words are sent before its audio, its audio in frames of 100 ms.  Cancelling abandons the
        clause that is being made; its worker is free when the network has returned.
        """
        position = 0
        async for clause in inlet:
            for text in _parts(clause.text):
                position = await self._speak_part(text, position, outlet)

    async def _speak_part(self, text: str, position: int, outlet: trio.abc.SendChannel[TtsOutput]) -> int:
        """Speak ``text`` from ``position`` on; return the position behind it."""
        speed = self._speed
        spoken = await self._pool.run(lambda voice: voice.speak(text, speed=speed), name="speak a clause")
        for word, start, end in spoken.words:
            await outlet.send(WordFrame(word, position + start, position + end, self._rate))
        step = round(FRAME_S * self._rate)
        for start in range(0, len(spoken.samples), step):
            samples = spoken.samples[start : start + step]
            await outlet.send(AudioFrame.from_samples(samples, self._rate, position + start))
        return position + len(spoken.samples)


def _parts(text: str) -> list[str]:
    """Cut a text after at most ``MAX_WORDS`` words, after punctuation where the second half has some."""
    words = text.split()
    parts = []
    while len(words) > MAX_WORDS:
        stops = [
            count
            for count in range(MAX_WORDS // 2, MAX_WORDS + 1)
            if words[count - 1].endswith((",", ".", ";", ":", "!", "?"))
        ]
        cut = stops[-1] if stops else MAX_WORDS
        parts.append(" ".join(words[:cut]))
        words = words[cut:]
    return [*parts, " ".join(words)] if words else parts
