import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.barge_in import (
    BargeIn,
    BargeInSettings,
    Dismiss,
    Duck,
    Interrupt,
    Pause,
    Resume,
)

RATE = 1000  # positions are milliseconds
AUDIBLE = 10_000


def audible(settings=None, *, interruptible=True):
    machine = BargeIn(RATE, settings)
    machine.reply_audible(AUDIBLE, interruptible=interruptible)
    return machine


def voice(machine, start, lasted_ms, remaining_s=math.inf):
    """Speech from ``start`` that has lasted so long, told mark by mark."""
    actions = machine.speech_started(start, start + 80, remaining_s)
    for mark in (200, 350, 1200):
        if mark <= lasted_ms:
            actions += machine.voice_lasted(start, start + mark)
    return actions


def stop(machine, start, end):
    return machine.speech_stopped(start, end, end + 250)


def final(machine, start, end, text, remaining_s=math.inf):
    return machine.transcript(start, end, text, final=True, remaining_s=remaining_s)


def test_voice_ducks_then_pauses_then_interrupts():
    machine = audible()
    assert voice(machine, 11_000, 1200) == [
        Duck(11_200),
        Pause(11_350),
        Interrupt("sustained voice", 11_000),
    ]


def test_words_interrupt_once():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_500)
    assert final(machine, 11_000, 11_500, "Stop.") == [Interrupt("words", 11_000)]
    assert final(machine, 11_000, 11_500, "Stop.") == []
    assert machine.deadline is None


def test_interim_words_interrupt_without_waiting_for_the_end():
    machine = audible()
    voice(machine, 11_000, 200)
    actions = machine.transcript(11_000, 11_300, "wait a", final=False, remaining_s=math.inf)
    assert actions == [Interrupt("words", 11_000)]


def test_an_interim_backchannel_decides_nothing():
    machine = audible()
    voice(machine, 11_000, 200)
    assert machine.transcript(11_000, 11_300, "yeah", final=False, remaining_s=math.inf) == []
    assert machine.effect == "ducked"


def test_words_interrupt_although_the_voice_was_too_short_to_duck():
    machine = audible()
    voice(machine, 11_000, 100)
    stop(machine, 11_000, 11_150)
    assert final(machine, 11_000, 11_150, "Stop!") == [Interrupt("words", 11_000)]


def test_words_interrupt_although_no_voice_was_detected():
    assert final(audible(), 11_000, 11_500, "Stop!") == [Interrupt("words", 11_000)]


def test_an_empty_text_resumes_at_once():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    assert final(machine, 11_000, 11_400, "") == [Resume("no words")]
    assert machine.effect == "none"


def test_a_lone_backchannel_resumes_and_is_no_turn():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    assert final(machine, 11_000, 11_400, "Uh-huh.") == [Dismiss(11_000, 11_400), Resume("backchannel")]


def test_a_backchannel_that_changed_nothing_is_only_dismissed():
    machine = audible()
    voice(machine, 11_000, 150)
    stop(machine, 11_000, 11_150)
    assert final(machine, 11_000, 11_150, "mhm") == [Dismiss(11_000, 11_150)]


def test_in_the_last_second_of_the_reply_a_backchannel_is_an_answer():
    machine = audible()
    voice(machine, 11_000, 350, remaining_s=0.9)
    stop(machine, 11_000, 11_400)
    assert final(machine, 11_000, 11_400, "Yeah.") == [Interrupt("words", 11_000)]


def test_the_last_second_counts_from_the_beginning_of_the_voice():
    machine = audible()
    machine.speech_started(11_000, 11_080, 0.95)  # 1.03 s were left when the voice began
    stop(machine, 11_000, 11_300)
    assert final(machine, 11_000, 11_300, "Yeah.", remaining_s=0.1) == [Dismiss(11_000, 11_300)]


def test_without_any_text_the_reply_resumes_a_second_after_the_end_of_the_voice():
    settings = BargeInSettings(false_after_s=1.0)
    machine = BargeIn(RATE, settings, decode_wait_s=0.5)
    machine.reply_audible(AUDIBLE)
    voice(machine, 11_000, 350)
    assert machine.deadline is None
    stop(machine, 11_000, 11_400)
    assert machine.deadline == 12_400
    assert machine.tick(12_399) == []
    assert machine.tick(12_400) == [Resume("timeout")]
    assert machine.tick(99_999) == []


def test_the_timer_waits_for_a_decode():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    assert machine.deadline == 11_650 + 5_000
    assert machine.tick(13_000) == []
    assert final(machine, 11_000, 11_400, "hold on") == [Interrupt("words", 11_000)]


def test_the_timer_waits_for_voice_that_goes_on():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    voice(machine, 11_700, 100)
    assert final(machine, 11_000, 11_400, "") == []
    assert machine.deadline is None
    stop(machine, 11_700, 11_900)
    assert final(machine, 11_700, 11_900, "") == [Resume("no words")]


def test_a_late_end_of_speech_does_not_resume_twice():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    assert final(machine, 11_000, 11_400, "") == [Resume("no words")]
    assert stop(machine, 11_000, 11_400) == []
    assert final(machine, 11_000, 11_400, "") == []
    assert machine.deadline is None


def test_a_transcript_from_before_the_barge_in_confirms_nothing():
    machine = audible()
    voice(machine, 11_000, 350)
    assert final(machine, 8_000, 9_000, "what is the time") == []
    assert final(machine, 10_100, 11_000, "what is the time") == []
    assert machine.effect == "paused"


def test_a_transcript_from_before_the_reply_confirms_nothing():
    assert final(audible(), 8_000, AUDIBLE, "what is the time") == []


def test_voice_that_was_told_before_the_reply_became_audible_is_no_barge_in():
    machine = BargeIn(RATE)
    machine.speech_started(9_900, 9_980, math.inf)
    machine.reply_audible(AUDIBLE)
    assert machine.voice_lasted(9_900, 11_100) == []
    assert machine.effect == "none"


def test_a_second_barge_in_during_the_same_reply():
    machine = audible()
    voice(machine, 11_000, 350)
    stop(machine, 11_000, 11_400)
    final(machine, 11_000, 11_400, "")
    assert voice(machine, 14_000, 350) == [Duck(14_200), Pause(14_350)]


def test_a_reply_that_cannot_be_interrupted_is_left_alone():
    machine = audible(interruptible=False)
    assert voice(machine, 11_000, 1200) == []
    stop(machine, 11_000, 12_300)
    assert final(machine, 11_000, 12_300, "but listen") == []
    voice(machine, 13_000, 200)
    stop(machine, 13_000, 13_300)
    assert final(machine, 13_000, 13_300, "okay") == [Dismiss(13_000, 13_300)]


def test_with_barge_in_switched_off_nothing_happens_to_the_reply():
    settings = BargeInSettings(enabled=False)
    assert settings.marks_s == ()
    machine = audible(settings)
    assert voice(machine, 11_000, 1200) == []
    assert final(machine, 11_000, 12_300, "but listen") == []


def test_the_end_of_the_session_resumes_a_paused_reply_and_ends_barging_in():
    machine = audible()
    voice(machine, 11_000, 350)
    assert machine.shut() == [Resume("ending")]
    assert voice(machine, 13_000, 1200) == []
    assert final(machine, 13_000, 14_000, "but listen") == []
    assert machine.shut() == []


def test_a_reply_that_ends_while_ducked_needs_no_resume():
    machine = audible()
    voice(machine, 11_000, 200)
    stop(machine, 11_000, 11_300)
    machine.reply_over()
    assert final(machine, 11_000, 11_300, "") == []


def test_a_backchannel_whose_text_comes_after_the_reply_is_no_turn():
    machine = audible()
    voice(machine, 11_000, 200, remaining_s=1.5)
    stop(machine, 11_000, 11_300)
    machine.reply_over()
    assert final(machine, 11_000, 11_300, "okay") == [Dismiss(11_000, 11_300)]


def test_words_whose_text_comes_after_the_reply_are_left_to_the_turn():
    machine = audible()
    voice(machine, 11_000, 200)
    stop(machine, 11_000, 11_300)
    machine.reply_over()
    assert final(machine, 11_000, 11_300, "what next") == []


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "mark", "stop", "words", "mhm", "empty", "late stop", "tick", "over", "audible"]
        ),
        st.integers(50, 900),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_every_effect_is_undone_or_the_reply_ends(script):
    """The reply is never left ducked or paused, and never resumed twice or without cause."""
    machine = BargeIn(RATE)
    now, start, is_speaking, effect, alive = AUDIBLE, 0, False, "none", False
    spoken: list[tuple[int, int]] = []
    for step, ms in script:
        now += ms
        actions = []
        match step:
            case "audible" if not alive:
                machine.reply_audible(now)
                alive, effect = True, "none"
            case "over" if alive:
                machine.reply_over()
                alive, effect = False, "none"
            case "start" if not is_speaking:
                start, is_speaking = now, True
                actions = machine.speech_started(start, now + 80, math.inf)
            case "mark" if is_speaking:
                actions = machine.voice_lasted(start, now)
            case "stop" if is_speaking:
                is_speaking = False
                spoken.append((start, now))
                actions = machine.speech_stopped(start, now, now + 250)
            case "late stop" if spoken:
                actions = machine.speech_stopped(*spoken[-1], now)
            case "words" | "mhm" | "empty" if spoken:
                text = {"words": "go left", "mhm": "mhm", "empty": ""}[step]
                actions = final(machine, *spoken.pop(0), text)
            case "tick":
                actions = machine.tick(now)
        for action in actions:
            match action:
                case Duck():
                    assert alive
                    assert effect == "none"
                    effect = "ducked"
                case Pause():
                    assert alive
                    assert effect != "paused"
                    effect = "paused"
                case Resume():
                    assert alive
                    assert effect != "none"
                    effect = "none"
                case Interrupt():
                    assert alive
                    alive, effect = False, "none"
        assert machine.effect == effect
    if is_speaking:
        machine.speech_stopped(start, now, now)
    deadline = machine.deadline
    if effect != "none":
        assert deadline is not None
    if deadline is not None:
        assert deadline <= now + 250 + 5_000
        machine.tick(deadline)
    assert machine.effect == "none"


@pytest.mark.parametrize("name", ["duck_after_s", "pause_after_s", "sustained_s", "false_after_s"])
def test_a_negative_duration_is_refused(name):
    with pytest.raises(ValueError, match=name):
        BargeInSettings(**{name: -1.0})


def test_a_voice_that_has_hardly_lasted_does_nothing_yet():
    machine = audible()
    machine.speech_started(11_000, 11_080, math.inf)
    assert machine.voice_lasted(11_000, 11_150) == []
    assert machine.effect == "none"


def test_a_reply_that_nobody_spoke_over_ends_without_a_word():
    machine = audible()
    machine.reply_over()
    assert machine.deadline is None
    assert voice(machine, 12_000, 1200) == []
