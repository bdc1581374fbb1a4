import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.machines.voice import VoiceActivity, VoiceLasted, VoiceSettings, VoiceStarted, VoiceStopped

RATE = 16000
WINDOW = 256  # 16 ms


def run(probabilities, machine=None, start=0):
    """Feed windows back to back; return what was told, each with the end of the window that told it."""
    machine = machine or VoiceActivity(RATE)
    told = []
    for index, probability in enumerate(probabilities):
        at = start + index * WINDOW
        told += [
            (at + WINDOW, change)
            for change in machine.feed(at, at + WINDOW, probability, (at + WINDOW) / RATE)
        ]
    return told


def test_speech_starts_at_its_first_voiced_window_once_it_lasted_80_ms():
    assert run([0.1] * 3 + [0.9] * 5) == [(8 * WINDOW, VoiceStarted(3 * WINDOW))]


def test_less_than_80_ms_of_voice_is_nothing():
    assert run([0.1] * 3 + [0.9] * 4 + [0.0] * 30) == []


def test_speech_ends_just_past_its_last_voiced_window_after_250_ms_of_silence():
    told = run([0.9] * 10 + [0.1] * 16)
    assert told == [(5 * WINDOW, VoiceStarted(0)), (26 * WINDOW, VoiceStopped(0, 10 * WINDOW))]


def test_a_pause_shorter_than_250_ms_stays_inside_the_speech():
    told = run([0.9] * 10 + [0.1] * 14 + [0.9] * 2 + [0.0] * 16)
    assert [change for _, change in told] == [VoiceStarted(0), VoiceStopped(0, 26 * WINDOW)]


def test_hysteresis_keeps_what_would_not_have_begun():
    told = run([0.4] * 10 + [0.5] + [0.36] * 20 + [0.34] * 16)
    assert [change for _, change in told] == [
        VoiceStarted(10 * WINDOW),
        VoiceStopped(10 * WINDOW, 31 * WINDOW),
    ]


def test_marks_are_told_once_in_order_when_the_voice_has_lasted_that_long():
    told = run([0.9] * 100, VoiceActivity(RATE, marks_s=(1.2, 0.2, 0.35)))
    marks = [(at, change.mark_s) for at, change in told if isinstance(change, VoiceLasted)]
    assert marks == [(13 * WINDOW, 0.2), (22 * WINDOW, 0.35), (75 * WINDOW, 1.2)]


def test_silence_does_not_count_towards_a_mark():
    told = run([0.9] * 6 + [0.1] * 14, VoiceActivity(RATE, marks_s=(0.2,)))
    assert [change for _, change in told] == [VoiceStarted(0)]


def test_a_gap_is_silence():
    machine = VoiceActivity(RATE)
    run([0.9] * 10, machine)
    told = run([0.9] * 10, machine, start=10 * WINDOW + RATE)
    assert [change for _, change in told] == [
        VoiceStopped(0, 10 * WINDOW),
        VoiceStarted(10 * WINDOW + RATE),
    ]


def test_a_gap_drops_a_candidate():
    machine = VoiceActivity(RATE)
    run([0.9] * 4, machine)
    assert run([0.9] * 4, machine, start=100 * WINDOW) == []


def test_a_short_gap_stays_inside_the_speech():
    machine = VoiceActivity(RATE)
    run([0.9] * 10, machine)
    assert run([0.9] * 10, machine, start=14 * WINDOW) == []


def test_no_audio_for_a_second_ends_speech():
    machine = VoiceActivity(RATE)
    run([0.9] * 10, machine)
    last = 10 * WINDOW / RATE
    assert machine.deadline == last + 1.0
    assert machine.tick(last + 0.99) == []
    assert machine.tick(last + 1.0) == [VoiceStopped(0, 10 * WINDOW)]
    assert machine.deadline is None


def test_quiet_has_no_deadline():
    machine = VoiceActivity(RATE)
    run([0.1] * 10, machine)
    assert machine.deadline is None


def test_the_end_of_the_input_ends_speech_and_drops_a_candidate():
    machine = VoiceActivity(RATE)
    run([0.9] * 2, machine)
    assert machine.finish() == []
    run([0.9] * 10, machine, start=2 * WINDOW)
    assert machine.finish() == [VoiceStopped(2 * WINDOW, 12 * WINDOW)]


def test_off_above_on_is_refused():
    with pytest.raises(ValueError, match="off"):
        VoiceSettings(on=0.4, off=0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 0, 0, 1, 40])), max_size=200))
def test_starts_and_stops_alternate_and_never_overlap(windows):
    machine = VoiceActivity(RATE, marks_s=(0.2, 0.35))
    changes = []
    at = 0
    for probability, skipped in windows:
        at += skipped * WINDOW
        changes += machine.feed(at, at + WINDOW, probability, at / RATE)
        at += WINDOW
    changes += machine.finish()
    last_end = 0
    open_start = None
    for change in changes:
        match change:
            case VoiceStarted(start):
                assert open_start is None
                assert start >= last_end
                open_start = start
            case VoiceLasted(start, until, mark_s):
                assert start == open_start
                assert until - start >= mark_s * RATE
            case VoiceStopped(start, end):
                assert start == open_start
                assert end - start >= 0.08 * RATE
                open_start, last_end = None, end
    assert open_start is None
