from __future__ import annotations

import numpy as np
import pytest
import trio

from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.services.llm import Message, ToolCall
from voicetrio.services.stt import SpeechBoundary
from voicetrio.testing.scripted import Heard, ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

ASK = [Message("user", "hello?")]


def windows(vad: ScriptedVAD, count: int, value: int = 0) -> list[float]:
    return [vad.probability(np.full(vad.window, value, np.int16)) for _ in range(count)]


async def run_stt(stt: ScriptedSTT, script: list[tuple[float, object]]) -> list[tuple[float, Transcript]]:
    """Give each item at its time; return the transcripts with theirs."""
    began = trio.current_time()
    items, inlet = trio.open_memory_channel[object](100)
    outlet, transcripts = trio.open_memory_channel[Transcript](100)

    async def listen() -> None:
        async with outlet:
            await stt.listen(inlet, outlet)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)

        @nursery.start_soon
        async def give() -> None:
            async with items:
                for at, item in script:
                    await trio.sleep_until(began + at)
                    await items.send(item)

        told = [(trio.current_time() - began, transcript) async for transcript in transcripts]
    return told


async def run_llm(llm: ScriptedLLM) -> list[tuple[float, object]]:
    began = trio.current_time()
    outlet, pieces = trio.open_memory_channel[object](0)

    async def answer() -> None:
        async with outlet:
            await llm.answer(ASK, [], outlet)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        got = [(trio.current_time() - began, piece) async for piece in pieces]
    return got


async def run_tts(tts: ScriptedTTS, clauses: list[str]) -> list[tuple[float, object]]:
    began = trio.current_time()
    texts, inlet = trio.open_memory_channel[TextFrame](100)
    outlet, output = trio.open_memory_channel[object](0)

    async def speak() -> None:
        async with outlet:
            await tts.speak(inlet, outlet)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        async with texts:
            for clause in clauses:
                await texts.send(TextFrame(clause))
        got = [(trio.current_time() - began, item) async for item in output]
    return got


def test_vad_hears_voice_in_its_spans_only() -> None:
    vad = ScriptedVAD([(0.032, 0.064)], voiced=0.9, unvoiced=0.1)
    assert windows(vad, 6) == [0.1, 0.1, 0.9, 0.9, 0.1, 0.1]


def test_vad_without_spans_hears_what_is_not_silent() -> None:
    vad = ScriptedVAD(threshold=10)
    assert windows(vad, 1, 9) == windows(vad, 1, 0) == [0.02]
    assert windows(vad, 1, 10) == windows(vad, 1, -32768) == [0.95]


def test_vad_script_goes_on_over_a_reset() -> None:
    vad = ScriptedVAD([(0.016, 0.032)])
    windows(vad, 1)
    vad.reset()
    assert windows(vad, 2) == [0.95, 0.02]
    assert vad.resets == 1


def test_vad_refuses_a_window_of_another_size() -> None:
    with pytest.raises(ConfigError, match="256"):
        ScriptedVAD().probability(np.zeros(160, np.int16))


async def test_stt_answers_each_stop_in_order_after_its_decode(autojump_clock) -> None:
    stt = ScriptedSTT(["one two", Heard("three", decode_s=0.1)], decode_s=0.5)
    told = await run_stt(
        stt,
        [
            (0.0, SpeechBoundary("start", 100)),
            (1.0, SpeechBoundary("stop", 1100)),
            (1.1, SpeechBoundary("start", 2000)),
            (1.2, SpeechBoundary("stop", 3000)),
            (3.0, SpeechBoundary("start", 5000)),
            (3.0, SpeechBoundary("stop", 6000)),
        ],
    )
    assert [(round(at, 6), t.text, t.final, t.start, t.position) for at, t in told] == [
        (1.5, "one two", True, 100, 1100),
        (1.5, "three", True, 2000, 3000),
        (3.5, "", True, 5000, 6000),
    ]
    assert [(w.text, w.start, w.end) for w in told[0][1].words] == [("one", 100, 600), ("two", 600, 1100)]
    assert [t.decode_s for _, t in told] == pytest.approx([0.5, 0.3, 0.5])
    assert stt.segments == [(100, 1100), (2000, 3000), (5000, 6000)]


async def test_stt_sends_interims_when_their_audio_came_and_ends_an_open_segment(autojump_clock) -> None:
    stt = ScriptedSTT([Heard("go forward", interims=((0.1, "go"), (0.2, "go for")))])
    frames = [(0.1 * k, AudioFrame.silence(1600, 16000, position=1600 * k)) for k in range(4)]
    told = await run_stt(stt, [(0.0, SpeechBoundary("start", 0)), *frames])
    assert [(t.text, t.final, t.position) for _, t in told] == [
        ("go", False, 1600),
        ("go for", False, 3200),
        ("go forward", True, 6400),
    ]


async def test_llm_streams_words_that_concatenate_with_its_delays(autojump_clock) -> None:
    llm = ScriptedLLM(["Well,  here it is."], first_piece_s=0.2, piece_s=0.1)
    got = await run_llm(llm)
    assert "".join(piece.text for _, piece in got) == "Well,  here it is."
    assert [at for at, _ in got] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    assert llm.requests == [tuple(ASK)]
    assert llm.finished == 1


async def test_llm_can_wait_call_a_tool_and_answer_by_a_function(autojump_clock) -> None:
    call = ToolCall("1", "look_up", {})
    llm = ScriptedLLM(lambda messages: [messages[-1].text, 2.0, call])
    assert await run_llm(llm) == [(0.0, TextFrame("hello?")), (2.0, call)]


async def test_llm_raises_what_its_script_says_and_when_the_script_is_over() -> None:
    outlet, _pieces = trio.open_memory_channel[object](10)
    llm = ScriptedLLM([[ServiceError("busy", service="x", transient=True)]])
    with pytest.raises(ServiceError, match="busy"):
        await llm.answer(ASK, [], outlet)
    with pytest.raises(ServiceError, match="request 2 has no answer"):
        await llm.answer(ASK, [], outlet)
    assert llm.finished == 0


async def test_tts_makes_words_whose_samples_tell_them_apart(autojump_clock) -> None:
    tts = ScriptedTTS(rate=1000, word_s=lambda word: 0.1 * len(word), gap_s=0.05, chunk_s=0.07)
    got = [item for _, item in await run_tts(tts, ["a bcd,", "  ", "ef."])]
    words = [item for item in got if isinstance(item, WordFrame)]
    frames = [item for item in got if isinstance(item, AudioFrame)]
    assert words == [
        WordFrame("a", 0, 100, 1000),
        WordFrame("bcd,", 100, 500, 1000),
        WordFrame("ef.", 550, 850, 1000),
    ]
    assert [frame.position for frame in frames] == [0, *[frame.end for frame in frames[:-1]]]
    samples = np.concatenate([frame.samples for frame in frames])
    assert len(samples) == 900
    for index, word in enumerate(words):
        assert {ScriptedTTS.word_index(sample) for sample in samples[word.start : word.end]} == {index}
    assert ScriptedTTS.word_index(samples[500]) is None
    assert got.index(words[2]) < next(i for i, item in enumerate(got) if getattr(item, "end", 0) > 900 - 50)
    assert tts.clauses == ["a bcd,", "ef."]
    assert tts.finished == 1


async def test_tts_takes_its_time(autojump_clock) -> None:
    tts = ScriptedTTS(rate=1000, word_s=0.2, first_audio_s=0.3, real_time_factor=0.5, chunk_s=0.1)
    got = await run_tts(tts, ["one", "two"])
    times = [at for at, item in got if isinstance(item, AudioFrame)]
    assert times == pytest.approx([0.3, 0.35, 0.7, 0.75])


def test_every_level_is_an_int16_and_known_again() -> None:
    for index in range(ScriptedTTS.LEVELS):
        assert 0 < ScriptedTTS.level(index) < 32768
        assert ScriptedTTS.word_index(ScriptedTTS.level(index)) == index
    assert ScriptedTTS.word_index(150) is None
