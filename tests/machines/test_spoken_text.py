"""What a voice says again: nothing twice, and no more lost than the rest of a sentence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.spoken_text import SpokenText, TextToRecover


def spoken(text: str, words: list[tuple[str, float]], audio_s: float) -> TextToRecover:
    it = SpokenText()
    for clause in text.split("|"):
        it.say(clause)
    it.words(words)
    it.audio(audio_s)
    return it.recover()


def test_text_whose_audio_had_not_begun_is_said_again_whole() -> None:
    assert spoken("Hello there.|How are you?", [], 0) == TextToRecover("Hello there. How are you?", "")


def test_words_that_were_announced_but_have_no_audio_were_not_spoken() -> None:
    assert spoken("Hello there.", [("Hello", 0.0)], 0).again == "Hello there."


def test_once_audio_went_out_the_next_sentence_is_next() -> None:
    words = [("Hello", 0.0), ("there.", 0.3), ("How", 0.9), ("are", 1.1), ("you?", 1.2)]
    text = "Hello there. How are you? I am fine."
    assert spoken(text, words, 0.2) == TextToRecover("How are you? I am fine.", "there.")
    assert spoken(text, words, 0.5) == TextToRecover("How are you? I am fine.", "")
    assert spoken(text, words, 1.0) == TextToRecover("I am fine.", "are you?")
    assert spoken(text, words, 9.0) == TextToRecover("I am fine.", "")


def test_a_full_stop_that_ends_no_sentence_is_passed_over() -> None:
    words = [("Ask", 0.0), ("Dr.", 0.3)]
    assert spoken("Ask Dr. Smith about 3.5 of them. Bye.", words, 0.4).again == "Bye."


def test_a_voice_that_says_a_number_otherwise_is_still_found() -> None:
    words = [("It", 0.0), ("costs", 0.2), ("five", 0.4), ("dollars.", 0.6), ("Shall", 1.0)]
    assert spoken("It costs $5 dollars. Shall I? Yes.", words, 1.1) == TextToRecover("Yes.", "I?")


def test_a_voice_without_word_times_is_placed_at_or_behind_the_truth() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert spoken(text, [], 0.1).again == "Four five six. Seven eight nine."
    assert spoken(text, [], 0.8).again == "Seven eight nine."
    assert spoken(text, [], 60.0).again == ""


def test_the_next_voice_begins_anew() -> None:
    it = SpokenText()
    it.say("One. Two. Three.")
    it.words([("One.", 0.0)])
    it.audio(0.5)
    again = it.recover().again
    assert again == "Two. Three."
    it.say(again)
    assert not it.has_audio
    it.audio(0.1)
    it.words([("Two.", 0.0)])
    assert it.recover().again == "Three."


def test_nothing_said_is_nothing_to_recover() -> None:
    assert spoken("", [], 0) == TextToRecover("", "")
    assert spoken(" ", [("word", 0.0)], 1.0) == TextToRecover("", "")


SENTENCES = st.lists(
    st.lists(st.sampled_from("alpha bravo charlie delta echo".split()), min_size=1, max_size=6).map(
        lambda words: " ".join(words).capitalize() + "."
    ),
    min_size=1,
    max_size=6,
)


@given(sentences=SENTENCES, share=st.floats(0, 1), timed=st.booleans())
def test_no_word_is_spoken_twice_and_no_later_sentence_is_lost(
    sentences: list[str], share: float, timed: bool
) -> None:
    """A voice of 15 characters a second, lost anywhere in its audio."""
    text = " ".join(sentences)
    words, at = [], 0.0
    for word in text.split():
        words.append((word, at))
        at += (len(word) + 1) / 15
    audio_s = at * share
    result = spoken(text, words if timed else [], audio_s)
    heard = sum(start < audio_s for _word, start in words)
    total = len(words)
    again = len(result.again.split())
    assert text.endswith(result.again)
    # The words that were heard and those that are said again do not overlap.
    assert heard + again <= total or audio_s == 0
    if timed and audio_s > 0:
        # What is lost is inside one sentence.
        assert total - heard - again == len(result.lost.split())
        assert len(result.lost.split()) < max(len(sentence.split()) for sentence in sentences)
