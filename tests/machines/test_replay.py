"""What a recogniser hears again: everything that is not transcribed, and nothing that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicetrio.errors import ConfigError
from voicetrio.frames import AudioFrame
from voicetrio.machines.replay import AudioReplay, Missed

RATE = 16000
FRAME = 320


def frame(number: int) -> AudioFrame:
    return AudioFrame.silence(FRAME, RATE, position=number * FRAME)


def taken(replay: AudioReplay, now: float) -> list[int]:
    numbers = []
    while (it := replay.take(now)) is not None:
        numbers.append(it.position // FRAME)
    return numbers


def test_what_is_not_transcribed_is_heard_again() -> None:
    replay = AudioReplay(RATE)
    for number in range(10):
        replay.push(frame(number))
    assert taken(replay, 0) == list(range(10))
    replay.cover(4 * FRAME)
    rewound = replay.rewind(1)
    assert (rewound.start, rewound.lost) == (4 * FRAME, None)
    assert rewound.again_s == pytest.approx(0.12)
    replay.push(frame(10))
    assert taken(replay, 1) == [4, 5, 6, 7, 8, 9, 10]


def test_the_memory_is_bounded_and_what_it_lost_is_told_once() -> None:
    replay = AudioReplay(RATE, max_s=0.1)
    for number in range(5):
        replay.push(frame(number))
    taken(replay, 0)
    for number in range(5, 8):
        replay.push(frame(number))
    assert replay.kept_s == pytest.approx(0.1)
    assert replay.take_missed() is None  # the stream had them
    rewound = replay.rewind(0)
    assert rewound.lost == Missed(0, 3 * FRAME, RATE)
    assert rewound.start == 3 * FRAME
    assert replay.rewind(0).lost is None


def test_what_was_dropped_before_a_stream_had_it_is_missed() -> None:
    replay = AudioReplay(RATE, max_s=0.1)
    for number in range(8):
        replay.push(frame(number))
    assert replay.take_missed() == Missed(0, 3 * FRAME, RATE)
    assert replay.take_missed() is None
    assert taken(replay, 0) == [3, 4, 5, 6, 7]


def test_what_was_dropped_after_it_was_transcribed_is_not_lost() -> None:
    replay = AudioReplay(RATE, max_s=0.1)
    for number in range(5):
        replay.push(frame(number))
    taken(replay, 0)
    for number in range(5, 8):
        replay.push(frame(number))
    replay.cover(3 * FRAME)
    assert replay.rewind(0).lost is None


def test_a_new_stream_gets_its_burst_and_then_the_services_pace() -> None:
    replay = AudioReplay(RATE, pace=2.0, burst_s=0.2)
    for number in range(100):
        replay.push(frame(number))
    replay.rewind(10.0)
    # The burst, and the one frame that crosses it.
    assert len(taken(replay, 10.0)) == 11
    assert replay.ready_at == pytest.approx(10.01)
    assert len(taken(replay, 11.0)) == 89
    assert not replay.has_more


def test_times_of_a_stream_are_brought_to_the_capture_clock_across_gaps() -> None:
    replay = AudioReplay(RATE)
    for number in (5, 6, 7, 50, 51):
        replay.push(frame(number))
    replay.rewind(0)
    taken(replay, 0)
    assert replay.position_at(0.0) == 5 * FRAME
    assert replay.position_at(0.05) == 5 * FRAME + 800
    assert replay.position_at(0.06) == 50 * FRAME
    assert replay.position_at(0.07) == 50 * FRAME + 160


def test_a_word_at_the_seam_is_new_if_its_middle_is() -> None:
    replay = AudioReplay(RATE)
    replay.cover(1000)
    assert not replay.is_new(500, 1400)
    assert replay.is_new(600, 1400)
    assert replay.is_new(1000, 1100)


def test_a_pace_that_never_catches_up_is_refused() -> None:
    with pytest.raises(ConfigError, match="pace must be above 1"):
        AudioReplay(RATE, pace=1.0)


@given(
    losses=st.lists(st.integers(1, 300), max_size=6, unique=True),
    finals=st.lists(st.integers(1, 300), max_size=12, unique=True),
    pace=st.sampled_from([1.25, 2.0, 1e9]),
)
def test_every_frame_reaches_a_stream_and_none_that_was_transcribed_does_again(
    losses: list[int], finals: list[int], pace: float
) -> None:
    replay = AudioReplay(RATE, pace=pace)
    replay.rewind(0)
    heard: set[int] = set()
    covered = 0
    for number in range(301):
        now = number * 0.02
        replay.push(frame(number))
        for each in taken(replay, now):
            assert each >= covered
            heard.add(each)
        if number in finals and heard:
            covered = max(covered, max(heard) - 3)
            replay.cover(covered * FRAME)
        if number in losses:
            assert replay.rewind(now).lost is None
    # Audio that a transcript covers need not reach the stream that came after.
    assert heard | set(taken(replay, 1e6)) == set(range(301))


def test_audio_that_was_transcribed_before_it_came_is_not_lost_with_the_memory() -> None:
    """A recogniser may claim more than it was given: the end of its final text is a guess of its own."""
    replay = AudioReplay(RATE, max_s=0.1)
    replay.cover(100 * FRAME)
    for number in range(5):
        replay.push(frame(number))
    assert replay.behind_s == pytest.approx(0.1)
    taken(replay, 0)
    assert replay.behind_s == 0
    replay.push(frame(5))
    assert replay.rewind(0).lost is None


def test_what_no_stream_ever_had_is_lost_with_what_was_not_answered() -> None:
    replay = AudioReplay(RATE, max_s=0.1)
    for number in range(5):
        replay.push(frame(number))
    assert replay.take(0) is not None
    for number in range(5, 8):  # the first one was given, the next two were not
        replay.push(frame(number))
    lost = replay.rewind(0).lost
    assert lost == Missed(0, 3 * FRAME, RATE)
    assert lost.seconds == pytest.approx(0.06)
    assert replay.take_missed() is None
    for number in range(8, 10):
        replay.push(frame(number))
    assert replay.rewind(0).lost == Missed(3 * FRAME, 2 * FRAME, RATE)


def test_a_time_in_a_stream_that_was_given_nothing_counts_from_what_is_covered() -> None:
    replay = AudioReplay(RATE)
    replay.cover(480)
    assert replay.position_at(0.5) == 480 + RATE // 2
