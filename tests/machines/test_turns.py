import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.endpointing import TurnSettings
from voicetrio.machines.turns import Ended, LateText, Speculate, Started, Turns

RATE = 1000  # positions are milliseconds


def run_out(turns, now):
    """Let time pass until nothing more will happen by itself; return what was decided, and when it is."""
    actions = []
    while (deadline := turns.deadline) is not None:
        now = max(now, deadline)
        actions += turns.tick(now)
    return actions, now


def say(turns, start, end, text, decode_ms=300):
    """One segment in the usual order: start, stop 250 ms after the voice, text."""
    actions = turns.speech_started(start)
    actions += turns.speech_stopped(start, end, end + 250)
    return actions + turns.transcript(start, end, text, end + 250 + decode_ms, stt_s=decode_ms / 1000)


def test_one_segment_is_speculated_upon_when_its_text_comes_and_ends_after_the_wait():
    turns = Turns(RATE)
    assert say(turns, 1000, 2000, "Go forward.") == [Started(1000), Speculate("Go forward.")]
    assert turns.deadline == 2700
    assert turns.tick(2699) == []
    assert turns.tick(2700) == [Ended("Go forward.", 2000, 0.7, 0.3)]
    assert not turns.is_open
    assert turns.deadline is None


def test_decoding_and_waiting_overlap():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.", decode_ms=900)
    assert turns.deadline == 2700  # past already: the turn ends at the next tick
    assert turns.tick(3150) == [Ended("Go forward.", 2000, 1.15, 0.9)]


def test_the_end_waits_for_a_decode():
    turns = Turns(RATE)
    turns.speech_started(1000)
    turns.speech_stopped(1000, 2000, 2250)
    assert turns.tick(2700) == []
    assert turns.deadline == 7250
    assert turns.transcript(1000, 2000, "Go.", 4000) == [Started(1000), Speculate("Go.")]
    assert turns.tick(4000) == [Ended("Go.", 2000, 2.0, pytest.approx(1.75))]


def test_a_decode_that_never_comes_is_given_up():
    turns = Turns(RATE, TurnSettings(decode_wait_s=3.0))
    turns.speech_started(1000)
    turns.speech_stopped(1000, 2000, 2250)
    assert turns.tick(5250) == []
    assert not turns.is_open


def test_an_interim_counts_when_its_final_never_comes():
    turns = Turns(RATE)
    turns.speech_started(1000)
    turns.transcript(1000, 1800, "go forw", 1900, final=False)
    turns.speech_stopped(1000, 2000, 2250)
    actions, _ = run_out(turns, 2250)
    assert actions == [Started(1000), Speculate("go forw"), Ended("go forw", 2000, 5.25, None)]


def test_speech_without_words_is_no_turn():
    turns = Turns(RATE)
    assert say(turns, 1000, 1200, "") == []
    assert say(turns, 2000, 2200, " ... ") == []
    assert not turns.is_open
    assert turns.deadline is None


def test_speech_without_words_between_words_joins_nothing_and_prolongs_nothing():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.speech_started(2500)
    assert turns.deadline is None
    turns.speech_stopped(2500, 2600, 2850)
    assert turns.transcript(2500, 2600, "", 3000) == []
    assert turns.tick(3000) == [Ended("Go forward.", 2000, 1.0, 0.3)]


def test_segments_within_the_wait_are_one_turn():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward")
    assert say(turns, 2400, 3000, "ten meters.") == [Speculate("Go forward ten meters.")]
    assert turns.tick(3700) == [Ended("Go forward ten meters.", 3000, 0.7, 0.3)]


def test_no_timer_ends_a_turn_while_speech_is_on():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward")
    turns.speech_started(2400)
    assert turns.deadline is None
    assert turns.tick(60_000) == []


def test_the_wait_follows_the_text():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "two nine three")
    assert turns.deadline == 3200
    say(turns, 2500, 3000, "four zero and")
    assert turns.deadline == 4600


def test_a_turn_model_is_believed_until_the_user_speaks_on():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.completeness(0.9)
    assert turns.deadline == 2500
    say(turns, 2400, 3000, "Ten meters.")
    assert turns.deadline == 3700


def test_a_late_transcript_neither_starts_nor_ends_a_turn():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.tick(2700)
    assert turns.transcript(1000, 2000, "ten meters", 3000) == [LateText("ten meters", 1000, 2000)]
    assert not turns.is_open
    assert turns.transcript(1000, 2000, "", 3100) == []


def test_the_text_of_a_segment_that_was_given_up_is_late():
    turns = Turns(RATE, TurnSettings(decode_wait_s=0.5))
    say(turns, 1000, 1500, "Go forward")
    turns.speech_started(1700)
    turns.speech_stopped(1700, 2000, 2250)
    assert turns.tick(2750) == []
    assert turns.tick(2750) == [Ended("Go forward", 1500, 1.25, 0.3)]
    assert turns.transcript(1700, 2000, "ten meters", 2900) == [LateText("ten meters", 1700, 2000)]
    turns.reopen()
    assert turns.transcript(1700, 2000, "ten meters", 2900) == [Speculate("Go forward ten meters")]


def test_a_late_transcript_does_not_end_the_turn_that_has_begun():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.tick(2700)
    turns.speech_started(3000)
    assert turns.transcript(1000, 2000, "ten meters", 3100) == [LateText("ten meters", 1000, 2000)]
    turns.speech_stopped(3000, 4000, 4250)
    assert turns.tick(4700) == []
    assert turns.transcript(3000, 4000, "Stop.", 4800) == [Started(3000), Speculate("Stop.")]


def test_texts_are_in_the_order_of_positions_not_of_arrival():
    turns = Turns(RATE)
    turns.speech_started(1000)
    turns.speech_stopped(1000, 2000, 2250)
    turns.speech_started(2400)
    turns.speech_stopped(2400, 3000, 3250)
    assert turns.transcript(2400, 3000, "ten meters.", 3300) == [Started(2400)]
    assert turns.transcript(1000, 2000, "Go forward", 3400) == [Speculate("Go forward ten meters.")]


def test_a_recogniser_may_cut_a_segment_into_several_finals():
    turns = Turns(RATE)
    turns.speech_started(1000)
    assert turns.transcript(1000, 1500, "Go", 1600) == [Started(1000)]
    assert turns.transcript(1500, 1900, "forward.", 2000) == []
    turns.speech_stopped(1000, 2000, 2250)
    assert not turns.pending
    actions, _ = run_out(turns, 2250)
    assert [action.text for action in actions if isinstance(action, Ended)] == ["Go forward."]


def test_words_that_no_voice_announced_are_a_turn():
    turns = Turns(RATE)
    assert turns.transcript(1000, 2000, "Psst.", 2100) == [Started(1000), Speculate("Psst.")]
    assert turns.tick(2700) == [Ended("Psst.", 2000, 0.7, 0.0)]


def test_a_transcript_may_come_before_the_voice_is_announced():
    turns = Turns(RATE)
    turns.transcript(1000, 1900, "Go", 1950)
    turns.speech_started(1000)
    assert turns.speaking
    assert turns.tick(60_000) == []
    turns.speech_stopped(1000, 2000, 2250)
    assert turns.tick(2700) == [Ended("Go", 2000, 0.7, 0.0)]


def test_a_dismissed_backchannel_is_no_turn():
    turns = Turns(RATE)
    turns.speech_started(1000)
    turns.speech_stopped(1000, 1300, 1550)
    assert turns.dismiss(1000, 1300) == []
    assert not turns.is_open


def test_dismissing_a_backchannel_leaves_the_words_around_it():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.speech_started(2300)
    turns.speech_stopped(2300, 2500, 2750)
    turns.dismiss(2300, 2500)
    assert turns.tick(2750) == [Ended("Go forward.", 2000, 0.75, 0.3)]


def test_a_whole_turn_ends_at_once_and_takes_what_was_said_before_with_it():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward")
    assert turns.whole(" ten meters ", 2100, 2100) == [Ended("Go forward ten meters", 2100, 0.0, None)]
    assert not turns.is_open
    assert turns.whole("Stop", 3000, 3000) == [Started(3000), Ended("Stop", 3000, 0.0, None)]
    turns.reopen()
    assert say(turns, 3100, 3500, "now.") == [Speculate("Stop now.")]


def test_speech_that_a_whole_turn_took_over_comes_late():
    turns = Turns(RATE)
    turns.speech_started(1000)
    turns.whole("Stop", 1500, 1500)
    assert turns.speech_stopped(1000, 1400, 1650) == []
    assert turns.transcript(1000, 1400, "hey", 1800) == [LateText("hey", 1000, 1400)]


def test_a_reopened_turn_joins_what_is_said_next():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.tick(2700)
    turns.reopen()
    assert say(turns, 2800, 3500, "Ten meters.") == [Speculate("Go forward. Ten meters.")]
    assert turns.tick(4200) == [Ended("Go forward. Ten meters.", 3500, 0.7, 0.3)]


def test_a_reopened_turn_that_hears_only_noise_ends_again_at_once():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward.")
    turns.tick(2700)
    turns.reopen()
    turns.speech_started(2800)
    turns.speech_stopped(2800, 2900, 3150)
    assert turns.transcript(2800, 2900, "", 3200) == [Speculate("Go forward.")]
    assert turns.tick(3200) == [Ended("Go forward.", 2000, 1.2, 0.3)]


def test_the_end_of_the_input_ends_the_turn_without_speculating():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "Go forward")
    turns.speech_started(2200)
    turns.transcript(2200, 2600, "ten", 2700, final=False)
    assert turns.finish(2800) == [Ended("Go forward ten", 2800, 0.0, None)]
    assert not turns.is_open


def test_the_end_of_the_input_without_words_ends_nothing():
    turns = Turns(RATE)
    turns.speech_started(2200)
    assert turns.finish(2800) == []
    assert not turns.is_open


# The orders of speech start (S), interim (I), final transcript (T) and speech end (E) in a turn; each digit
# is a segment.  Whatever the order, there is one turn with one end and the right text.
ORDERS = [
    "S1 E1 T1",
    "S1 I1 E1 T1",
    "S1 T1 E1",
    "S1 I1 T1 E1",
    "T1 S1 E1",
    "S1 E1 I1 T1",
    "S1 E1 T1 S2 E2 T2",
    "S1 T1 E1 S2 T2 E2",
    "S1 E1 S2 T1 E2 T2",
    "S1 E1 S2 E2 T1 T2",
    "S1 E1 S2 E2 T2 T1",
    "S1 I1 E1 T1 I1 S2 I2 E2 T2",
    "S1 E1 S2 T1 T2 E2",
    "T1",
    "I1 T1",
    "S1 E1 T1 T2",
]
SPANS = {"1": (1000, 1500, "one,"), "2": (1700, 2200, "two.")}


def play(turns, events, start_at=1600, step=40):
    actions = []
    now = start_at
    for kind, number in (event for event in events):
        now += step
        start, end, text = SPANS[number]
        match kind:
            case "S":
                actions += turns.speech_started(start)
            case "E":
                actions += turns.speech_stopped(start, end, now)
            case "T":
                actions += turns.transcript(start, end, text, now)
            case "I":
                actions += turns.transcript(start, end - 200, text, now, final=False)
    return actions, now


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_news_gives_one_turn_with_one_end_and_the_right_text(order):
    turns = Turns(RATE, TurnSettings(unfinished_wait_s=1.0))
    actions, now = play(turns, order.split())
    rest, _ = run_out(turns, now)
    actions += rest
    expected = " ".join(SPANS[number][2] for number in sorted({event[1] for event in order.split()}))
    assert [action.text for action in actions if isinstance(action, Ended)] == [expected]
    assert [action for action in actions if isinstance(action, Started)] != []
    assert len([action for action in actions if isinstance(action, Started)]) == 1
    assert not any(isinstance(action, LateText) for action in actions)
    speculated = [action.text for action in actions if isinstance(action, Speculate)]
    assert speculated[-1] == expected
    assert len(speculated) == len(set(speculated))


@st.composite
def interleavings(draw):
    """Segments with their texts, in an order that keeps S before E and each kind in its own order."""
    count = draw(st.integers(1, 5))
    segments, at = [], 1000
    for index in range(count):
        at += draw(st.integers(50, 400))
        end = at + draw(st.integers(100, 900))
        has_words = draw(st.booleans())
        segments.append((at, end, f"w{index}" if has_words else ""))
        at = end
    vad = [(kind, index) for index in range(count) for kind in "SE"]
    stt = [("T", index) for index in range(count)]
    order = []
    while vad or stt:
        can_decode = stt and ("E", stt[0][1]) not in vad
        if can_decode and (not vad or draw(st.booleans())):
            order.append(stt.pop(0))
        else:
            order.append(vad.pop(0))
    return segments, order


@given(interleavings())
def test_generated_orders_give_one_turn_with_the_words_in_order(drawn):
    segments, order = drawn
    turns = Turns(RATE)
    actions, now = [], segments[-1][1]
    for kind, index in order:
        start, end, text = segments[index]
        now += 1
        if kind == "S":
            actions += turns.speech_started(start)
        elif kind == "E":
            actions += turns.speech_stopped(start, end, now)
        else:
            actions += turns.transcript(start, end, text, now)
    assert not turns.pending
    rest, _ = run_out(turns, now)
    actions += rest
    words = [text for _, _, text in segments if text]
    ended = [action for action in actions if isinstance(action, Ended)]
    assert [action.text for action in ended] == ([" ".join(words)] if words else [])
    assert len([action for action in actions if isinstance(action, Started)]) == len(ended)
    if words:
        assert ended[0].position == max(end for _, end, text in segments if text)
    assert not turns.is_open


@given(st.lists(st.tuples(st.sampled_from("SETIXWF"), st.integers(0, 3), st.integers(1, 2000)), max_size=40))
def test_whatever_comes_turns_alternate_and_every_turn_ends(script):
    turns = Turns(RATE)
    now, actions = 10_000, []
    for kind, back, ms in script:
        now += ms
        start, end = now - 500 * (back + 1), now - 400 * back
        match kind:
            case "S":
                actions += turns.speech_started(start)
            case "E":
                actions += turns.speech_stopped(start, end, now)
            case "T":
                actions += turns.transcript(start, end, "word", now)
            case "X":
                actions += turns.transcript(start, end, "", now)
            case "I":
                actions += turns.transcript(start, end, "word", now, final=False)
            case "W":
                actions += turns.tick(now)
            case "F":
                actions += turns.finish(now)
    actions += turns.finish(now)
    is_open = False
    for action in actions:
        if isinstance(action, Started):
            assert not is_open
            is_open = True
        elif isinstance(action, Ended):
            assert is_open
            assert action.text
            is_open = False
    assert not turns.is_open


def test_a_retraction_before_any_turn_reopens_nothing():
    turns = Turns(RATE)
    turns.reopen()
    assert not turns.is_open
    assert say(turns, 1000, 2000, "Go forward.") == [Started(1000), Speculate("Go forward.")]


def test_a_source_that_decides_ends_the_turn_without_a_wait():
    turns = Turns(RATE)
    say(turns, 1000, 2000, "One two,")  # digits and an open comma would wait longest
    assert turns.over(2600) == [Ended("One two,", 2000, 0.6, 0.3)]
    assert not turns.is_open


def test_a_source_cannot_end_what_is_spoken_or_has_no_text_yet():
    turns = Turns(RATE)
    assert turns.over(500) == []
    turns.speech_started(1000)
    assert turns.over(1500) == []
    turns.speech_stopped(1000, 2000, 2250)
    assert turns.over(2300) == []
    assert turns.transcript(1000, 2000, "Go.", 2500) == [Started(1000), Speculate("Go.")]
    assert turns.over(2500) == [Ended("Go.", 2000, 0.5, 0.25)]
