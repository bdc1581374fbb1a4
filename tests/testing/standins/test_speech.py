from __future__ import annotations

import numpy as np
import pytest

from voicetrio.testing.standins.ear import Hearing
from voicetrio.testing.standins.speech import (
    VOCABULARY,
    WordEar,
    decode_speech,
    encode_speech,
    hear_words,
    speak_words,
    word_times,
)

TEXT = "go forward ten meters"


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_what_is_spoken_is_heard_with_its_times(rate: int) -> None:
    heard = hear_words(speak_words(TEXT, rate), rate)
    assert [word.text for word in heard] == TEXT.split()
    for word, true in zip(heard, word_times(TEXT), strict=True):
        assert (word.start_s, word.end_s) == pytest.approx((true.start_s, true.end_s))


def test_words_of_the_vocabulary_do_not_sound_alike() -> None:
    assert len({speak_words(word, 8000)[0] for word in VOCABULARY}) == len(set(VOCABULARY))


def test_capitals_and_punctuation_are_not_heard() -> None:
    assert [word.text for word in hear_words(speak_words("Go, FORWARD.", 8000), 8000)] == ["go", "forward"]


def test_a_stream_is_heard_in_pieces_of_any_size() -> None:
    samples = speak_words(TEXT, 8000)
    ear = WordEar(8000)
    words = [word for start in range(0, len(samples), 333) for word in ear.feed(samples[start : start + 333])]
    assert [*words, *ear.flush()] == list(hear_words(samples, 8000))


def test_a_word_that_is_torn_off_short_is_not_heard() -> None:
    assert hear_words(speak_words("forward", 8000)[:300], 8000) == ()


def test_floats_carry_the_same_levels() -> None:
    samples = speak_words(TEXT, 8000)
    assert np.array_equal(decode_speech(encode_speech(samples, "f32le"), "f32le"), samples)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="opus"):
        encode_speech(np.zeros(1, np.int16), "opus")


def test_a_pause_is_counted_from_the_last_word() -> None:
    hearing = Hearing(8000, VOCABULARY)
    assert not hearing.is_speech
    hearing.feed(speak_words("go", 8000).tobytes())
    assert hearing.is_speech
    hearing.feed(bytes(2 * 8000))
    assert hearing.pause_s == pytest.approx(1.06)
    assert [word.text for word in hearing.take()] == ["go"]
    assert hearing.untold == ()
    assert hearing.untold_from_s == hearing.heard_s
