"""The embedded models themselves: accuracy, word times, bounds.  Nothing here looks at the wall clock."""

from __future__ import annotations

import re
import wave

import numpy as np
import pytest
import trio

from voicetrio.data import speech_files, speech_path
from voicetrio.errors import ConfigError
from voicetrio.events import Transcript
from voicetrio.frames import AudioFrame, TextFrame, WordFrame
from voicetrio.services.local import EarshotVAD, open_models
from voicetrio.services.local.piper import load_piper
from voicetrio.services.local.stt import load_whisper
from voicetrio.services.speech_text.spelling import spell_out
from voicetrio.services.stt import SpeechBoundary

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def whisper():
    return load_whisper()


@pytest.fixture(scope="module")
def voice():
    return load_piper()


def read(path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (16000, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def plain(text: str) -> list[str]:
    """Return the words of a text as they are spoken, a number of three digits or more digit by digit."""
    text = re.sub(r"\d{3,}", lambda match: " ".join(match[0]), text)
    return [spoken.lower() for word in spell_out(text) for spoken in word.spoken]


def word_errors(reference: list[str], heard: list[str]) -> int:
    """Return the edit distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def test_speech_is_recognised_with_few_errors_and_without_losing_its_ends(whisper) -> None:
    errors = count = 0
    for file in speech_files():
        heard = plain(whisper.decode(read(file.path), 16000).text)
        reference = plain(file.transcript)
        errors += word_errors(reference, heard)
        count += len(reference)
        assert (heard[0], heard[-1]) == (reference[0], reference[-1]), file.name
    assert errors <= 0.05 * count


def test_words_lie_in_order_inside_of_the_segment(whisper) -> None:
    samples = read(speech_path("go-forward.wav"))
    recognised = whisper.decode(samples, 16000)
    assert recognised.text == " ".join(word for word, _, _ in recognised.words)
    times = [time for _, start, end in recognised.words for time in (start, end)]
    assert times == sorted(times)
    assert 0.2 < times[0] < times[-1] <= len(samples) / 16000


@pytest.mark.parametrize("level", [0, 30, 3000])
def test_noise_and_silence_are_not_understood(whisper, level) -> None:
    noise = np.random.default_rng(1).standard_normal(16000) * level
    assert whisper.decode(noise.astype(np.int16), 16000).text == ""


@pytest.mark.parametrize("dampening", [1.0, 0.3])
def test_a_cough_is_not_understood(whisper, dampening) -> None:
    cough = np.random.default_rng(2).standard_normal(4800) * np.hanning(4800) * 6000 * dampening
    samples = np.concatenate([np.zeros(8000), cough, np.zeros(4000)]).astype(np.int16)
    assert whisper.decode(samples, 16000).text == ""


def test_nothing_at_all_and_too_much_are_bounded(whisper) -> None:
    assert whisper.decode(np.zeros(0, np.int16), 16000).text == ""
    with pytest.raises(ConfigError, match="at most 29 s"):
        whisper.decode(np.zeros(30 * 16000, np.int16), 16000)
    with pytest.raises(ConfigError, match="16000 Hz"):
        whisper.decode(np.zeros(100, np.int16), 8000)


def test_voice_activity_tells_speech_from_silence_and_noise() -> None:
    vad = EarshotVAD()
    samples = read(speech_path("go-forward.wav"))
    voiced = [vad.probability(samples[k : k + 256]) for k in range(0, len(samples) - 255, 256)]
    assert 0.3 < np.mean(np.array(voiced) > 0.5) < 0.95
    vad.reset()
    assert max(vad.probability(np.zeros(256, np.int16)) for _ in range(100)) < 0.35


SENTENCES = [
    "Hello, how can I help you today?",
    "The answer is eighty four.",
    "It is a quarter past nine in the morning.",
    "and rather selfish people seldom notice what they miss.",
    "Thank you, and have a wonderful afternoon.",
]


def to_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    times = np.arange(int(len(samples) * 16000 / rate)) * rate / 16000
    return np.interp(times, np.arange(len(samples)), samples).astype(np.int16)


def test_what_the_voice_says_is_understood(voice, whisper) -> None:
    errors = count = 0
    for sentence in SENTENCES:
        spoken = voice.speak(sentence)
        heard = plain(whisper.decode(to_16k(spoken.samples, voice.rate), 16000).text)
        errors += word_errors(plain(sentence), heard)
        count += len(plain(sentence))
    assert errors <= 0.1 * count


def test_word_times_agree_with_the_sound_and_with_a_recogniser(voice, whisper) -> None:
    """Against Whisper: a median of 50 ms early, 95 % within 250 ms; against the sound: within 60 ms."""
    differences = []
    for sentence in SENTENCES:
        spoken = voice.speak(sentence)
        loud = np.flatnonzero(np.abs(spoken.samples.astype(int)) > 300)
        assert abs(spoken.words[0][1] - loud[0]) <= 0.06 * voice.rate
        assert abs(spoken.words[-1][2] - loud[-1]) <= 0.1 * voice.rate
        heard = whisper.decode(to_16k(spoken.samples, voice.rate), 16000).words
        if len(heard) == len(spoken.words):
            differences += [
                start / voice.rate - start_s
                for (_, start, _), (_, start_s, _) in zip(spoken.words, heard, strict=True)
            ]
    assert len(differences) >= 20
    assert abs(np.median(differences)) <= 0.08
    assert np.percentile(np.abs(differences), 95) <= 0.25


def test_a_clause_begins_soon_and_ends_with_its_pause(voice) -> None:
    for sentence in SENTENCES:
        samples = np.abs(voice.speak(sentence).samples.astype(int))
        loud = np.flatnonzero(samples > 300) / voice.rate
        assert loud[0] <= 0.06
        assert 0.08 <= len(samples) / voice.rate - loud[-1] <= 0.4
        assert 6000 < samples.max() <= 32768


def test_words_stay_as_they_were_written_and_cover_what_is_said(voice) -> None:
    text = "Mr. Smith owes $12.50 \N{EM DASH} at 3:45 pm."
    spoken = voice.speak(text)
    assert [word for word, _, _ in spoken.words] == text.split()
    times = [time for _, start, end in spoken.words for time in (start, end)]
    assert times == sorted(times)
    assert times[-1] <= len(spoken.samples)
    lengths = {word: end - start for word, start, end in spoken.words}
    assert lengths["\N{EM DASH}"] == 0
    assert lengths["$12.50"] > 2 * lengths["owes"]


def test_what_cannot_be_said_is_silent(voice) -> None:
    for text in ("...", "\N{EM DASH} -", "\N{SNOWMAN}"):
        spoken = voice.speak(text)
        assert len(spoken.samples) == 0
        assert [word for word, _, _ in spoken.words] == text.split()


def test_speed_changes_the_length(voice) -> None:
    lengths = [
        len(voice.speak("Going forward ten meters.", speed=speed).samples) for speed in (0.5, 1.0, 2.0)
    ]
    assert lengths[0] > 1.5 * lengths[1] > 2.0 * lengths[2]


async def test_models_serve_a_session_from_pools() -> None:
    progress = []
    async with open_models(on_progress=lambda name, done: progress.append((name, done))) as models:
        assert sorted(progress) == [
            (name, done) for name in ("speech recognition", "voice") for done in (False, True)
        ]
        samples = read(speech_path("go-forward.wav"))
        send, inlet = trio.open_memory_channel[object](10)
        outlet, transcripts = trio.open_memory_channel[Transcript](10)
        for item in (
            AudioFrame.from_samples(samples[:16000], 16000),
            SpeechBoundary("start", 8000),
            AudioFrame.from_samples(samples[16000:], 16000, 16000),
            SpeechBoundary("stop", len(samples)),
        ):
            send.send_nowait(item)
        send.close()
        with outlet:
            await models.stt().listen(inlet, outlet)
        (transcript,) = [transcript async for transcript in transcripts]
        assert plain(transcript.text) == ["go", "forward", "ten", "meters"]
        assert (transcript.start, transcript.position) == (8000, len(samples))
        assert 0 <= transcript.words[0].start < transcript.words[-1].end <= len(samples)

        texts, clauses = trio.open_memory_channel[TextFrame](10)
        audio_out, audio = trio.open_memory_channel[object](100)
        for clause in ("Hello there.", "Goodbye."):
            texts.send_nowait(TextFrame(clause))
        texts.close()
        with audio_out:
            await models.tts().speak(clauses, audio_out)
        items = [item async for item in audio]
        frames = [item for item in items if isinstance(item, AudioFrame)]
        words = [item for item in items if isinstance(item, WordFrame)]
        assert [frame.position for frame in frames] == [0, *[frame.end for frame in frames[:-1]]]
        assert " ".join(word.text for word in words) == "Hello there. Goodbye."
        assert words[-1].end <= frames[-1].end

        statistics = models.statistics()
        assert (statistics.stt.completed, statistics.tts.completed) == (1, 2)
        assert statistics.load_s.keys() == {"speech recognition", "voice"}
