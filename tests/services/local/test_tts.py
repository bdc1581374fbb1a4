from __future__ import annotations

import numpy as np
import pytest
import trio

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.runtime.workers import InlineRunner, open_model_pool
from voicetrio.services.local.piper import SpokenClause
from voicetrio.services.local.tts import PiperTTS

RATE = 1000


class Voice:
    """Speaks every word in 100 ms of its own level."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def speak(self, text: str, *, speed: float) -> SpokenClause:
        self.asked.append((text, speed))
        words = text.split()
        places = tuple((word, 100 * k, 100 * k + 90) for k, word in enumerate(words))
        return SpokenClause(np.repeat(np.arange(len(words)) + 1, 100).astype(np.int16), places)


async def speak(voice: Voice, clauses: list[str], speed: float = 1.0) -> list[tuple[float, object]]:
    send, inlet = trio.open_memory_channel[TextFrame](100)
    outlet, output = trio.open_memory_channel[object](1000)
    for clause in clauses:
        send.send_nowait(TextFrame(clause))
    send.close()
    got = []
    async with (
        open_model_pool("voice", lambda: voice, runner=InlineRunner(0.5)) as pool,
        trio.open_nursery() as nursery,
    ):
        tts = PiperTTS(pool, rate=RATE, speed=speed)
        assert tts.rate == RATE
        began = trio.current_time()

        @nursery.start_soon
        async def run() -> None:
            with outlet:
                await tts.speak(inlet, outlet)

        async for item in output:
            got.append((trio.current_time() - began, item))  # noqa: PERF401
    return got


async def test_clauses_follow_each_other_with_their_words_in_front(autojump_clock) -> None:
    voice = Voice()
    got = await speak(voice, ["Hello there,", " ", "you."], speed=2.0)
    assert voice.asked == [("Hello there,", 2.0), ("you.", 2.0)]
    items = [item for _, item in got]
    words = [item for item in items if isinstance(item, WordFrame)]
    frames = [item for item in items if isinstance(item, AudioFrame)]
    assert words == [
        WordFrame("Hello", 0, 90, RATE),
        WordFrame("there,", 100, 190, RATE),
        WordFrame("you.", 200, 290, RATE),
    ]
    assert [frame.position for frame in frames] == [0, 100, 200]
    assert {len(frame.samples) for frame in frames} == {100}
    assert [type(item) for item in items[:4]] == [WordFrame, WordFrame, AudioFrame, AudioFrame]


async def test_the_first_clause_does_not_wait_for_the_second(autojump_clock) -> None:
    got = await speak(Voice(), ["One.", "Two."])
    assert [at for at, item in got if isinstance(item, AudioFrame)] == pytest.approx([0.5, 1.0])


async def test_a_long_clause_is_spoken_in_parts_cut_after_punctuation(autojump_clock) -> None:
    voice = Voice()
    words = [f"word{k}" + ("," if k == 15 else "") for k in range(60)]
    got = await speak(voice, [" ".join(words)])
    assert [len(text.split()) for text, _ in voice.asked] == [16, 24, 20]
    assert [item.text for _, item in got if isinstance(item, WordFrame)] == words


@pytest.mark.parametrize("speed", [0.0, 0.2, 4.1])
async def test_a_speed_out_of_range_is_refused(speed) -> None:
    async with open_model_pool("voice", Voice, runner=InlineRunner()) as pool:
        with pytest.raises(ConfigError, match=r"from 0.25 to 4.0"):
            PiperTTS(pool, rate=RATE, speed=speed)
