"""The figures of a call."""

from __future__ import annotations

import numpy as np
import pytest

from voicetrio.cli.call.figures import as_object, figures, runtime_ms
from voicetrio.cli.report import Recording, TurnRecord


def turn(**times: float | None) -> TurnRecord:
    return TurnRecord(reply="reply-1", user_text="hello", reply_text="hi", heard_text="hi", **times)


def recording(*turns: TurnRecord) -> Recording:
    return Recording(caller=np.zeros(16000, np.int16), heard=np.zeros(24000, np.int16), turns=turns)


def test_the_runtime_adds_what_no_wait_and_no_model_took() -> None:
    times = {
        "transcript_s": 1.0,
        "opened_s": 1.004,
        "first_audio_s": 1.2,
        "decided_s": 1.3,
        "first_sent_s": 1.311,
    }
    assert runtime_ms(turn(**times)) == pytest.approx(4 + 11)
    assert runtime_ms(turn(**{**times, "first_audio_s": 1.31})) == pytest.approx(4 + 1)
    assert runtime_ms(turn(**{**times, "decided_s": None})) is None


def test_typed_turns_stand_apart_from_spoken_ones() -> None:
    result = as_object(recording(turn(stt_ms=200.0), turn()), {}, (0, 0))
    assert [len(result["turns"]), len(result["typed"])] == [1, 1]
    assert set(result["typed"][0]) == {"user_text", "reply_text", "heard_text"}


def test_a_figure_says_whether_it_is_what_was_wanted() -> None:
    measured = {"playback": {"underruns": 1, "longest_gap_ms": 3.0}, "barge_in": {"speech_to_duck_ms": 300.0}}
    result = as_object(recording(turn(stt_ms=200.0, response_ms=900.0)), measured, (0, 2))
    shown = {figure.label: figure.good for figure in figures(result)}
    assert shown["response, median"]
    assert shown["speech to duck"]
    assert shown["underruns"] is False
    assert shown["threads left"] is False
    assert shown["tasks left"]
    assert "speech to silence" not in shown
