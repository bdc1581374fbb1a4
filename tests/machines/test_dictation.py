from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicetrio.events import Transcript, TranscriptWord
from voicetrio.machines.dictation import Dictation, Hypothesis

RATE = 1000


def words(text: str, start: int) -> tuple[TranscriptWord, ...]:
    return tuple(
        TranscriptWord(word, start + 100 * index, start + 100 * index + 80)
        for index, word in enumerate(text.split())
    )


def said(text: str, start: int, *, final: bool = True, end: int | None = None) -> Hypothesis:
    placed = words(text, start)
    return Hypothesis(
        text=text, final=final, start=start, end=end or (placed[-1].end if placed else start), words=placed
    )


def taken(dictation: Dictation, *, final: bool = True) -> list[tuple[str, int | None]]:
    told = []
    while (dictated := dictation.take()) is not None:
        transcript = dictated.transcript
        if transcript.final or not final:
            told.append((transcript.text, transcript.position))
    return told


@pytest.fixture
def dictation() -> Dictation:
    return Dictation(RATE, answer_s=2.0, lost_s=8.0)


def test_a_stop_is_answered_when_the_recogniser_has_finalized(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.heard(said("go forward", 1000, final=False), 1.2)
    dictation.stop(1200, 1.5)
    assert dictation.to_ask == 1200
    dictation.asked(1.5)
    assert dictation.to_ask is None
    assert taken(dictation) == []
    dictation.heard(said("go forward", 1000), 1.6)
    dictation.finalized(1.6)
    assert taken(dictation) == [("go forward", 1200)]
    assert dictation.deadline == math.inf


def test_final_text_that_covers_the_stop_answers_without_waiting(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.heard(said("go forward", 1000, end=1300), 1.4)
    dictation.stop(1200, 1.5)
    assert taken(dictation) == [("go forward", 1200)]


def test_a_recogniser_that_does_not_answer_is_not_waited_for_for_ever(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.heard(said("go for", 1000, final=False), 1.2)
    dictation.stop(1200, 1.5)
    dictation.asked(1.5)
    dictation.tick(3.4)
    assert taken(dictation) == []
    assert dictation.deadline == 3.5
    dictation.tick(3.5)
    assert taken(dictation) == [("go for", 1200)]
    # What comes late was told before.
    dictation.heard(said("go for", 1000), 3.6)
    dictation.finalized(3.6)
    dictation.start(4000)
    dictation.stop(4200, 4.5)
    dictation.asked(4.5)
    dictation.finalized(4.6)
    assert taken(dictation) == [("", 4200)]


def test_what_begins_after_the_stop_belongs_to_the_next(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.stop(1200, 1.3)
    dictation.start(1500)
    dictation.asked(1.5)
    dictation.heard(said("go forward", 1000), 1.6)
    dictation.heard(said("ten meters", 1500), 1.9)
    dictation.finalized(2.0)
    assert taken(dictation) == [("go forward", 1200)]
    dictation.stop(1700, 2.1)
    dictation.asked(2.1)
    dictation.finalized(2.2)
    assert taken(dictation) == [("ten meters", 1700)]


def test_one_final_text_over_two_stops_is_divided_between_them(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.stop(1180, 1.3)
    dictation.start(1400)
    dictation.stop(1580, 1.8)
    placed = (*words("go forward", 1000), *words("ten meters", 1400))
    dictation.heard(
        Hypothesis(text="Go forward ten meters", final=True, start=1000, end=1600, words=placed), 2.0
    )
    assert taken(dictation) == [("go forward", 1180), ("ten meters", 1580)]


def test_after_a_loss_words_that_were_final_are_not_told_again(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.heard(said("go forward", 1000), 1.3)
    dictation.heard(said("ten", 1200, final=False), 1.4)
    dictation.lost()
    dictation.heard(said("forward ten meters", 1100), 2.0)
    dictation.stop(1400, 2.1)
    dictation.asked(2.1)
    dictation.finalized(2.2)
    assert taken(dictation) == [("go forward ten meters", 1400)]


def test_a_loss_makes_the_recogniser_be_asked_again(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.stop(1400, 1.6)
    dictation.asked(1.6)
    dictation.lost()
    assert dictation.to_ask == 1400
    assert dictation.deadline == pytest.approx(9.6)
    dictation.tick(9.6)
    assert taken(dictation) == [("", 1400)]
    assert dictation.gave_up
    # What was said then goes with the next answer.
    dictation.heard(said("go forward", 1000), 10.0)
    dictation.start(10000)
    dictation.stop(10200, 10.4)
    dictation.asked(10.4)
    dictation.finalized(10.5)
    assert taken(dictation) == [("go forward", 10200)]


def test_what_the_vad_did_not_hold_for_speech_is_left_out(dictation: Dictation) -> None:
    dictation.start(100)
    dictation.stop(200, 0.4)
    dictation.asked(0.4)
    dictation.finalized(0.5)
    dictation.heard(said("mumble mumble", 3000), 3.5)
    dictation.start(9000)
    dictation.heard(said("yes", 9000), 9.2)
    dictation.stop(9100, 9.4)
    dictation.asked(9.4)
    dictation.finalized(9.5)
    assert taken(dictation)[1:] == [("yes", 9100)]


def test_without_boundaries_the_recognisers_turns_are_told(dictation: Dictation) -> None:
    assert dictation.is_between_turns
    dictation.heard(said("go", 1000), 1.2)
    assert taken(dictation) == []
    assert not dictation.is_between_turns
    turn = said("forward", 1100)
    dictation.heard(
        Hypothesis(text=turn.text, final=True, start=1100, end=1300, words=turn.words, ends_turn=True), 1.5
    )
    assert taken(dictation) == [("go forward", 1300)]
    assert dictation.is_between_turns
    dictation.start(2000)
    assert not dictation.is_between_turns  # from now on the boundaries count


def test_the_end_of_the_audio_is_a_stop(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.end(1500, 1.6)
    dictation.asked(1.6)
    dictation.heard(said("go forward", 1000), 1.7)
    dictation.finalized(1.7)
    assert taken(dictation) == [("go forward", 1500)]


def test_text_that_brings_its_own_spaces_is_joined_as_it_is(dictation: Dictation) -> None:
    dictation.start(0)
    for text in ("Hel", "lo", " there"):
        dictation.heard(Hypothesis(text=text, final=True, start=0, end=10, joins=True), 0.1)
    dictation.stop(10, 0.2)
    assert taken(dictation) == [("Hello there", 10)]


def test_an_interim_text_grows_on_the_final_one(dictation: Dictation) -> None:
    dictation.start(1000)
    dictation.heard(said("go", 1000), 1.1)
    dictation.heard(said("for", 1100, final=False), 1.2)
    dictation.heard(said("forward", 1100, final=False), 1.3)
    assert [text for text, _ in taken(dictation, final=False)] == ["go", "go for", "go forward"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.integers(100, 900)),
            st.tuples(st.just("hear"), st.booleans()),
            st.tuples(st.just("ask"), st.none()),
            st.tuples(st.just("finalized"), st.none()),
            st.tuples(st.just("lost"), st.none()),
            st.tuples(st.just("wait"), st.integers(1, 4)),
        ),
        max_size=40,
    )
)
@example([("speak", 100), ("ask", None), ("hear", False), ("wait", 2), ("hear", True), ("speak", 100)])
def test_every_stop_gets_one_answer_and_no_final_word_is_told_twice(script: list[tuple[str, object]]) -> None:
    dictation = Dictation(RATE)
    now, at = 0.0, 0
    stops: list[int] = []
    finals: list[Transcript] = []

    def collect() -> None:
        while (dictated := dictation.take()) is not None:
            if dictated.transcript.final:
                finals.append(dictated.transcript)

    for what, value in script:
        now += 0.05
        match what:
            case "speak":
                assert isinstance(value, int)
                dictation.start(at)
                at += value
                stops.append(at)
                dictation.stop(at, now)
                at += 300
            case "hear":
                word = TranscriptWord(f"w{at}", at - 90, at - 10)  # named by its place
                dictation.heard(
                    Hypothesis(text=word.text, final=bool(value), start=at - 90, end=at, words=(word,)), now
                )
                at += 100 * bool(value)  # an interim one is said again
            case "ask":
                dictation.asked(now)
            case "finalized":
                dictation.finalized(now)
            case "lost":
                dictation.lost()
            case "wait":
                assert isinstance(value, int)
                now += value
                dictation.tick(now)
        collect()
    while dictation.deadline < math.inf:
        now = max(now, dictation.deadline)
        dictation.tick(now)
        collect()
    assert [transcript.position for transcript in finals] == stops
    told = [word.text for transcript in finals for word in transcript.words]
    assert len(told) == len(set(told))


def test_two_stops_are_asked_for_in_their_order(dictation: Dictation) -> None:
    assert not dictation.is_idle  # nothing was ever said
    for start in (1000, 4000):
        dictation.start(start)
        dictation.stop(start + 200, start / 1000 + 0.5)
    assert dictation.asked_at is None
    assert dictation.to_ask == 1200
    dictation.asked(4.6)
    assert dictation.to_ask == 4200
    assert dictation.asked_at == 4.6
    dictation.asked(4.7)
    assert dictation.to_ask is None
    dictation.asked(4.8)  # nobody wanted to know
    dictation.heard(said("go forward", 1000), 4.9)
    dictation.heard(said("ten meters", 4000), 5.0)
    dictation.finalized(5.1)
    dictation.finalized(5.2)
    assert taken(dictation) == [("go forward", 1200), ("ten meters", 4200)]
    assert dictation.asked_at is None
    assert dictation.is_idle


def test_one_confirmation_of_two_stops_that_lie_close_answers_both(dictation: Dictation) -> None:
    for start in (1000, 1220):
        dictation.start(start)
        dictation.stop(start + 100, 1.5)
        dictation.asked(1.5)
    dictation.heard(said("go", 1000), 1.6)  # its end is just before the first stop
    dictation.finalized(1.7)
    assert taken(dictation) == [("go", 1100), ("", 1320)]
    dictation.finalized(1.8)  # of the second one: there is nothing left to confirm
    assert taken(dictation) == []


@pytest.mark.parametrize("final", [True, False])
def test_what_was_said_is_told_when_the_audio_ends_although_no_boundary_ever_came(
    dictation: Dictation, final: bool
) -> None:
    dictation.heard(said("go forward", 1000, final=final), 1.4)
    taken(dictation)
    dictation.end(2000, 2.0)
    dictation.tick(dictation.deadline)
    dictated = dictation.take()
    assert dictated is not None
    transcript = dictated.transcript
    assert (transcript.text, transcript.start, transcript.position) == ("go forward", 1000, 2000)


def test_an_end_after_the_last_answer_owes_nothing(dictation: Dictation) -> None:
    dictation.end(0, 0.0)
    assert dictation.deadline == math.inf
    dictation.start(1000)
    dictation.end(1500, 1.5)
    dictation.asked(1.5)
    dictation.finalized(1.6)
    assert taken(dictation) == [("", 1500)]
    dictation.end(1500, 1.7)
    assert dictation.deadline == math.inf


def test_a_hypothesis_without_a_letter_is_told_to_nobody(dictation: Dictation) -> None:
    blank = Hypothesis(text=" ", final=False, start=0, end=100, words=(TranscriptWord("", 0, 100),))
    dictation.heard(blank, 0.1)
    assert taken(dictation, final=False) == []
