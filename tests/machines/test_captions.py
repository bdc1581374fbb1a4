from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicetrio.frames import WordFrame
from voicetrio.machines.captions import NEAR_WORDS, Captions

RATE = 1000


def told(frames: list[WordFrame]) -> list[tuple[str, int, int]]:
    return [(frame.text, frame.start, frame.end) for frame in frames]


def test_a_word_is_given_with_the_audio_that_it_begins_in() -> None:
    captions = Captions(RATE)
    captions.say("Hello there.")
    assert captions.times([("Hello", 0.0, 0.4), ("there", 0.5, 0.9)]) == []
    assert told(captions.audio(500)) == [("Hello", 0, 400)]
    assert told(captions.audio(500)) == [("there.", 500, 900)]
    assert not captions.owes


def test_times_that_come_after_their_audio_are_given_at_once() -> None:
    captions = Captions(RATE)
    captions.say("Hello there.")
    assert captions.audio(1000) == []
    assert told(captions.times([("Hello", 0.0, 0.4), ("there", 0.5, 0.9)])) == [
        ("Hello", 0, 400),
        ("there.", 500, 900),
    ]


def test_words_that_are_said_otherwise_belong_to_what_is_written_there() -> None:
    captions = Captions(RATE)
    captions.say("It costs $25 today.")
    captions.audio(2000)
    captions.times([("it", 0.0, 0.1), ("costs", 0.2, 0.4)])
    captions.times([("twenty", 0.5, 0.7), ("five", 0.7, 0.9), ("dollars", 0.9, 1.2)])
    assert told(captions.times([("today", 1.3, 1.6)])) == [("$25", 500, 1200), ("today.", 1300, 1600)]


def test_what_the_voice_never_tells_is_placed_in_the_rest_of_the_audio() -> None:
    captions = Captions(RATE)
    captions.say("Hello my friend.")
    captions.audio(1000)
    captions.times([("Hello", 0.0, 0.4)])
    assert told(captions.voice_ended()) == [("my", 400, 563), ("friend.", 563, 1000)]


def test_a_voice_that_claims_more_than_its_audio_is_cut_to_it() -> None:
    captions = Captions(RATE)
    captions.say("Hello.")
    captions.times([("Hello", 0.0, 5.0)])
    assert told(captions.audio(100)) == [("Hello.", 0, 5000)]  # more audio may come
    captions.say("My friend.")
    captions.times([("My", 5.5, 6.0)])
    assert all(frame.end <= 100 for frame in captions.voice_ended())


def test_a_lost_voice_leaves_what_the_next_will_say() -> None:
    captions = Captions(RATE)
    captions.say("Hello there. How are you?")
    captions.times([("Hello", 0.0, 0.4), ("there", 0.5, 0.9), ("How", 1.2, 1.5), ("are", 1.6, 1.8)])
    captions.audio(450)
    # "there." will not be said; "How are you?" is said by the next voice.
    assert told(captions.voice_ended(3)) == [("there.", 400, 450)]
    captions.times([("How", 0.0, 0.3), ("are", 0.4, 0.6), ("you", 0.7, 1.0)])
    assert told(captions.audio(1000)) == [("How", 450, 750), ("are", 850, 1050), ("you?", 1150, 1450)]


def test_without_times_words_are_placed_by_length_and_the_speed_is_learned() -> None:
    captions = Captions(RATE, timed=False)
    clause = "abcd efgh ijkl"
    errors = []
    for number in range(3):
        captions.say(clause)
        # 200 ms a character: three times slower than ordinary speech.
        frames = [*captions.audio(3000), *captions.stretch_ended(clause)]
        true = [3000 * number + 1000 * index for index in range(3)]
        errors.append(sum(abs(frame.start - start) for frame, start in zip(frames, true, strict=True)))
        assert frames[-1].end <= captions.end
    assert errors[0] > errors[1] > errors[2]


def test_without_times_what_was_not_placed_lies_in_the_rest_of_the_stretch() -> None:
    captions = Captions(RATE, timed=False)
    captions.say("abcd efgh ijkl")
    assert told(captions.audio(400)) == [("abcd", 0, 333)]
    assert told(captions.stretch_ended("abcd efgh ijkl")) == [("efgh", 333, 366), ("ijkl", 366, 400)]
    assert not captions.owes


TEXT = st.lists(st.sampled_from(["a", "bee", "Cat,", "5", "$20", "…", "dog."]), min_size=1, max_size=12)
SAID = st.lists(
    st.tuples(st.sampled_from(["a", "bee", "cat", "five", "twenty", "dollars", "dog"]), st.integers(0, 400)),
    max_size=20,
)


@given(TEXT, SAID, st.lists(st.integers(0, 500), min_size=1, max_size=20), st.booleans(), st.integers(0, 3))
def test_whatever_a_voice_says_every_word_comes_once_in_order_inside_the_audio(
    text: list[str], said: list[tuple[str, int]], chunks: list[int], timed: bool, left: int
) -> None:
    captions = Captions(RATE, timed=timed)
    captions.say(" ".join(text))
    frames: list[WordFrame] = []
    at = 0.0
    for index, chunk in enumerate(chunks):
        if timed and index < len(said):
            word, length = said[index]
            frames += captions.times([(word, at, at + length / RATE)])
            at += length / RATE
        frames += captions.audio(chunk)
    frames += captions.voice_ended(left)
    frames += captions.voice_ended()
    assert [frame.text for frame in frames] == text
    starts = [frame.start for frame in frames]
    assert starts == sorted(starts)
    assert all(0 <= frame.start <= frame.end for frame in frames)
    assert all(frame.start <= captions.end for frame in frames)


def test_a_pause_that_the_voice_tells_as_a_word_is_none() -> None:
    captions = Captions(RATE)
    captions.say("Hello there.")
    captions.audio(1000)
    given = captions.times([("Hello", 0.0, 0.4), ("—", 0.4, 0.5), ("there", 0.5, 0.9)])
    assert told(given) == [("Hello", 0, 400), ("there.", 500, 900)]


def test_a_stretch_without_audio_says_nothing_about_the_speed() -> None:
    captions = Captions(RATE, timed=False)
    captions.say("Hello there, my friend.")
    assert told(captions.stretch_ended("Hello there,")) == [("Hello", 0, 0), ("there,", 0, 0)]
    captions.audio(1000)
    untouched = Captions(RATE, timed=False)
    untouched.say("my friend.")
    untouched.audio(1000)
    assert told(captions.stretch_ended("my friend.")) == told(untouched.stretch_ended("my friend."))


def test_what_a_voice_says_instead_is_where_its_last_words_lie() -> None:
    captions = Captions(RATE)
    captions.say("It costs $25")
    captions.audio(2000)
    captions.times([("it", 0.0, 0.1), ("costs", 0.2, 0.4), ("twenty", 0.8, 1.0), ("five", 1.0, 1.2)])
    assert told(captions.voice_ended()) == [("$25", 800, 2000)]


def test_a_voice_that_says_something_else_for_long_takes_the_text_along() -> None:
    captions = Captions(RATE)
    captions.say("one two")
    captions.audio(5000)
    spoken = [(f"la{number}", number / 2, number / 2 + 0.4) for number in range(NEAR_WORDS + 1)]
    assert captions.times(spoken[:-1]) == []
    assert told(captions.times(spoken[-1:])) == [("one", 0, 400)]
    assert told(captions.voice_ended()) == [("two", 500, 5000)]


def test_a_word_whose_audio_never_came_is_left_for_the_next_voice() -> None:
    captions = Captions(RATE)
    captions.say("one two")
    captions.audio(500)
    assert told(captions.times([("one", 0.0, 0.4), ("two", 0.6, 1.0)])) == [("one", 0, 400)]
    assert captions.voice_ended(left=1) == []
    assert captions.owes
    captions.audio(500)
    assert told(captions.times([("two", 0.1, 0.4)])) == [("two", 600, 900)]
