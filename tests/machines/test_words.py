import pytest

from voicetrio.machines.words import is_backchannel, is_number, words_of


def test_words_are_lower_case_without_punctuation():
    assert words_of("Don\u2019t, I said: 'STOP!' \u2014 now...") == ["don't", "i", "said", "stop", "now"]


@pytest.mark.parametrize("text", ["", "...", "\u266a", " - "])
def test_what_is_no_word(text):
    assert words_of(text) == []


@pytest.mark.parametrize("text", ["Mhm.", "uh-huh", "Yeah, yeah.", "Okay. I see.", "mm-hmm", "Mm hmm, right"])
def test_backchannels(text):
    assert is_backchannel(words_of(text))


@pytest.mark.parametrize("text", ["", "yeah but", "stop", "okay wait", "I see a problem"])
def test_what_is_no_backchannel(text):
    assert not is_backchannel(words_of(text))


def test_a_number_is_figures_or_a_short_number_word():
    assert all(map(is_number, ["7", "29340", "seven", "oh"]))
    assert not any(map(is_number, ["meters", "10th", "million"]))
