"""The parts of a report: escaping, stacking labels, envelopes, and what the events tell."""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.report.synthetic import GREETING, GREETING_HEARD, synthetic_recording
from voicetrio import events as ev
from voicetrio.cli.report import Recording, TurnRecord, measure_turns, reply_threshold_db
from voicetrio.cli.report.html import Html, join, tag
from voicetrio.cli.report.layout import stack_labels
from voicetrio.cli.report.story import agent_states, marks, replies, speech, transcripts, user_turns
from voicetrio.cli.report.timeline import clock
from voicetrio.cli.report.waveform import draw_waveform, envelope

EMPTY = np.zeros(0, np.int16)


def test_text_and_attributes_are_escaped_and_html_is_not() -> None:
    assert tag("p", "<b> & co", title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt; &amp; co</p>'
    assert join(Html("<br>"), "<br>") == "<br>&lt;br&gt;"


def test_attributes_that_are_none_or_false_are_left_out() -> None:
    assert tag("audio", controls=True, loop=False, id=None, class_="a", data_time=1) == (
        '<audio controls class="a" data-time="1"></audio>'
    )


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(1, 200)), max_size=40).map(sorted))
def test_no_two_labels_of_a_row_overlap_and_no_row_is_empty(labels: list[tuple[float, float]]) -> None:
    rows = stack_labels(labels)
    for row in range(max(rows, default=-1) + 1):
        placed = [label for label, its_row in zip(labels, rows, strict=True) if its_row == row]
        assert placed
        for (left, width), (next_left, _) in itertools.pairwise(placed):
            assert left + width <= next_left


def test_an_envelope_holds_the_lowest_and_the_highest_sample_of_each_column() -> None:
    samples = np.array([1, -5, 3, 7, 0, 0, -2, 9], np.int16)
    lowest, highest = envelope(samples, 4)
    assert lowest.tolist() == [-5, 3, 0, -2]
    assert highest.tolist() == [1, 7, 0, 9]
    assert len(envelope(EMPTY, 4)[0]) == 0


def test_a_waveform_of_nothing_is_still_a_picture() -> None:
    assert draw_waveform(EMPTY, 16000, 1.0, label="a <b>").startswith("<svg")
    assert "a &lt;b&gt;" in draw_waveform(EMPTY, 16000, 1.0, label="a <b>")


def test_speech_lies_where_the_positions_say_not_where_it_was_told() -> None:
    spans = [(span.start_s, span.end_s) for span in speech(synthetic_recording())]
    assert spans == [(4.85, 6.75), (14.3, 14.6), (24.2, 26.1)]


def test_speech_that_never_stopped_lasts_to_the_end() -> None:
    recording = Recording(
        caller=np.zeros(32000, np.int16), heard=EMPTY, events=((0.6, ev.SpeechStarted(position=8000)),)
    )
    assert [(span.start_s, span.end_s) for span in speech(recording)] == [(0.5, 2.0)]


def test_only_final_transcripts_with_words_are_shown() -> None:
    texts = [span.text for span in transcripts(synthetic_recording())]
    assert texts == ["Go forward ten meters.", "2-9-3-4-0"]


def test_a_turn_without_a_transcript_was_typed() -> None:
    recording = Recording(
        caller=EMPTY, heard=EMPTY, events=((0.5, ev.TurnEnded(text="what time is it", waited_s=0.0)),)
    )
    assert [(span.start_s, span.text) for span in transcripts(recording)] == [(0.5, "typed: what time is it")]


def test_a_users_turn_ends_with_the_decision() -> None:
    assert [(turn.start_s, turn.end_s) for turn in user_turns(synthetic_recording())] == [
        (4.85, 7.46),
        (24.2, 27.3),
    ]


def test_an_interrupted_reply_ends_at_the_interruption_and_knows_what_was_not_heard() -> None:
    first = replies(synthetic_recording())[0]
    assert (first.start_s, first.end_s, first.kind) == (0.38, 5.62, "interrupted")
    assert first.text + first.unheard == GREETING
    assert first.text == GREETING_HEARD


def test_agent_states_cover_the_session_without_a_gap() -> None:
    recording = synthetic_recording()
    states = agent_states(recording)
    assert states[0].start_s == 0.0
    assert states[-1].end_s == recording.duration_s
    assert all(one.end_s == other.start_s for one, other in itertools.pairwise(states))
    assert {state.kind for state in states} == {"idle", "speaking", "listening", "thinking"}


def test_marks_name_what_happened_in_order() -> None:
    assert [mark.label for mark in marks(synthetic_recording())] == [
        "duck",
        "pause",
        "interrupted: words",
        "turn over",
        "duck",
        "pause",
        "false alarm: no words",
        "resume",
        "turn over",
        "ending",
        "slip 140 ms",
        "failure: listening/stt",
        "end: ended",
    ]


def test_both_sides_become_one_stereo_sound_of_the_longer_ones_length() -> None:
    caller = np.full(1600, 1000, np.int16)
    both = Recording(caller=caller, heard=np.full(4800, -7, np.int16)).stereo()
    assert both.shape == (4800, 2)
    assert both[1000, 0] == pytest.approx(1000, abs=20)
    assert both[3000].tolist() == [0, -7]


def test_turns_are_measured_from_voice_to_voice() -> None:
    first, second = measure_turns(synthetic_recording())
    assert isinstance(first, TurnRecord)
    assert (first.reply, first.user_text) == ("reply-2", "Go forward ten meters.")
    assert first.stt_ms == pytest.approx(290)
    assert first.endpoint_ms is not None
    assert first.voiced_end_s is not None
    assert first.first_played_s is not None
    # The recording of the caller begins at 4.6 s and its last word ends about 2.2 s later; the reply's
    # begins at 8.2 s with some silence.
    assert 6.0 < first.voiced_end_s < 7.4
    assert 8.2 <= first.first_played_s < 8.9
    assert first.response_ms == pytest.approx((first.first_played_s - first.voiced_end_s) * 1000)
    assert first.endpoint_ms == pytest.approx((7.46 - first.voiced_end_s) * 1000)
    assert first.decided_s == 7.46
    assert first.first_text_s is None
    assert second.reply == "reply-4"


def test_a_typed_turn_has_no_last_voiced_sample_to_measure_from() -> None:
    typed = [
        (29.0, ev.TurnEnded(text="what time is it", waited_s=0.0)),
        (29.0, ev.ReplyOpened(reply="reply-9", source="turn", user_text="what time is it")),
        (29.4, ev.ReplyFirstAudio(reply="reply-9")),
        (29.5, ev.ReplyAudible(reply="reply-9")),
        (
            30.8,
            ev.ReplyEnded(
                reply="reply-9",
                source="turn",
                text="Noon.",
                heard="Noon.",
                how="played",
                heard_quality="exact",
            ),
        ),
    ]
    recording = synthetic_recording()
    events = sorted((*recording.events, *typed), key=lambda pair: pair[0])
    turn = measure_turns(attrs.evolve(recording, events=tuple(events)))[1]
    assert turn.user_text == "what time is it"
    assert turn.first_audio_ms == pytest.approx(400)
    assert turn.response_ms is turn.endpoint_ms is turn.voiced_end_s is turn.speech_stopped_s is None


def test_the_threshold_for_a_reply_lies_above_the_bed_and_below_the_voice() -> None:
    # The bed of the synthetic recording is noise with an RMS of 260: 42 dB below full scale.
    assert -40 < reply_threshold_db(synthetic_recording()) < -30


def test_times_are_written_as_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 7.26, 59.96, 61.0, -0.1)] == [
        "0:00.0",
        "0:07.3",
        "1:00.0",
        "1:01.0",
        "0:00.0",
    ]
