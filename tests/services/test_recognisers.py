"""What every vendor's recogniser does, against its stand-in, in virtual time."""

from __future__ import annotations

import attrs
import pytest
import trio

from tests.services.kinds import RECOGNISERS, Kind
from tests.services.vendors import check_answers, finals, listen, noting_events, plain, speech
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import ConnectionChanged, WorkLost
from voicetrio.frames import AudioFrame
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.services.stt import SpeechBoundary
from voicetrio.testing.standins.fault import (
    CloseWith,
    Drop,
    Fault,
    Garble,
    IgnoreUpgrade,
    Refuse,
    Stall,
    StopReading,
    Tear,
)
from voicetrio.testing.standins.server import open_standin
from voicetrio.testing.standins.speech import word_times

RATE = 16000
FIRST, SECOND, THIRD = "go forward ten meters", "what time is it", "yes please"


@pytest.fixture(params=RECOGNISERS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def call(*, position: int = 0) -> tuple[list[object], list[SpeechBoundary]]:
    """Three utterances; Flux and AssemblyAI end the first turn themselves before the second one begins."""
    return speech(RATE, 1.0, FIRST, 1.2, SECOND, 0.4, THIRD, 1.0, position=position)  # type: ignore[return-value]


async def test_each_stop_is_answered_by_what_was_said(kind: Kind, autojump_clock: object) -> None:
    items, stops = call()
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
        assert finals(transcripts) == [FIRST, SECOND, THIRD]
        check_answers(transcripts, stops)
        assert len(standin.connections) == 1


async def test_interim_texts_come_while_speech_goes_on(kind: Kind, autojump_clock: object) -> None:
    items, _ = speech(RATE, 1.0, FIRST, 1.0)
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
    interims = [plain(each.text) for each in transcripts if not each.final]
    assert interims[0] == "go"
    assert FIRST in interims


async def test_words_lie_where_they_were_said(kind: Kind, autojump_clock: object) -> None:
    position = 5 * RATE
    items, _ = call(position=position)
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
    first = next(each for each in transcripts if each.final)
    start = position + RATE
    assert [plain(word.text) for word in first.words] == FIRST.split()
    for heard, true in zip(first.words, word_times(FIRST), strict=True):
        assert heard.start == pytest.approx(start + true.start_s * RATE, abs=0.03 * RATE)
        assert heard.end == pytest.approx(start + true.end_s * RATE, abs=0.03 * RATE)


async def test_positions_stay_true_through_gaps(kind: Kind, autojump_clock: object) -> None:
    items, stops = call()
    skipped = [item for item in items if not (isinstance(item, AudioFrame) and item.end <= RATE // 2)]
    late = [attrs.evolve(item, position=item.position + 7 * RATE) for item in call()[0]]  # type: ignore[attr-defined]
    stops = [*stops, *(attrs.evolve(stop, position=stop.position + 7 * RATE) for stop in stops)]
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), [*skipped, *late])
    check_answers(transcripts, stops)
    assert finals(transcripts) == [FIRST, SECOND, THIRD] * 2
    last = [each for each in transcripts if each.final][-1]
    assert last.start <= last.words[0].start + RATE // 20
    assert last.words[-1].end <= last.position + RATE // 20


async def test_a_stop_without_words_is_answered_by_an_empty_text(kind: Kind, autojump_clock: object) -> None:
    items, _ = speech(RATE, 4.0)
    stop = SpeechBoundary("stop", 2 * RATE)
    at = next(i for i, item in enumerate(items) if item.end >= 2.3 * RATE)  # type: ignore[union-attr]
    items[at:at] = [SpeechBoundary("start", RATE), stop]
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
    check_answers(transcripts, [stop])
    assert finals(transcripts) == [""]


async def test_without_boundaries_everything_is_told_by_the_end(kind: Kind, autojump_clock: object) -> None:
    items = [item for item in call()[0] if isinstance(item, AudioFrame)]
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
    assert " ".join(finals(transcripts)) == f"{FIRST} {SECOND} {THIRD}"


async def test_speech_that_is_cut_by_the_end_of_the_audio_is_told(kind: Kind, autojump_clock: object) -> None:
    items, stops = speech(RATE, 1.0, FIRST)
    items = [item for item in items if item not in stops]
    async with open_standin(kind.standin()) as standin:
        transcripts = await listen(kind.client(standin), items)
    assert finals(transcripts) == [FIRST]


async def test_no_audio_makes_no_connection(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        to_stt, inlet = trio.open_memory_channel[object](0)
        told, transcripts = trio.open_memory_channel[object](0)
        to_stt.close()
        await kind.client(standin).listen(inlet, told)
        told.close()
        inlet.close()
        assert [each async for each in transcripts] == []
        assert standin.connections == []


async def test_another_rate_is_refused(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        with pytest.raises(ConfigError, match=r"16000 Hz, not 1 channel\(s\) of 8000 Hz"):
            await listen(kind.client(standin), [AudioFrame.silence(160, 8000)])


# --- connections -------------------------------------------------------------------------------------------

FAULTS: list[Fault] = [
    Drop(after=1),
    Drop(after=3),
    Drop(after_s=1.7),
    Drop(after_s=3.4),
    Drop(after_s=5.0),
    Tear(after=2),
    CloseWith(after=2, code=1000),
    CloseWith(after_s=2.2, code=1000),
    CloseWith(after=2, code=1001),
    CloseWith(after=2, code=1011, reason="internal"),
    CloseWith(after_s=2.5, code=1012),
    CloseWith(after_s=2.5, code=1013),
    Garble(after=2),
    Garble(after=2, message=b"\0\1"),
    Garble(after=2, message='{"type":"Turn","message_type":"partial_transcript"}'),
    StopReading(after_s=1.5),
    IgnoreUpgrade(),
    Refuse(503, "busy"),
    Refuse(429, "slow down", {"Retry-After": "1"}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_after_a_fault_every_word_is_heard_and_none_twice(
    kind: Kind, fault: Fault, autojump_clock: object
) -> None:
    items, stops = call()
    async with open_standin(kind.standin(faults=[fault])) as standin, noting_events() as events:
        with trio.fail_after(60):
            transcripts = await listen(kind.client(standin), items)
        check_answers(transcripts, stops)
        heard = " ".join(finals(transcripts)).split()
        assert heard == f"{FIRST} {SECOND} {THIRD}".split()
        assert not [event for event in events if isinstance(event, WorkLost)]
        assert len([each for each in standin.connections if each.closed_at is None]) <= 1


async def test_a_vendor_that_says_nothing_is_replaced_and_its_words_come_later(
    kind: Kind, autojump_clock: object
) -> None:
    items, stops = call()
    async with open_standin(kind.standin(faults=[Stall(after=2)])) as standin:
        with trio.fail_after(60):
            transcripts = await listen(kind.client(standin), items, after_s=2.0)
        check_answers(transcripts, stops)
        heard = " ".join(finals(transcripts)).split()
        assert heard == f"{FIRST} {SECOND} {THIRD}".split()
        assert len(standin.connections) == 2


async def test_a_long_outage_loses_only_what_does_not_fit_and_says_so(
    kind: Kind, autojump_clock: object
) -> None:
    items, stops = speech(RATE, *([FIRST, 0.6] * 30))
    # Eight tries of 5 s each lead to nothing; at most 30 s of audio are kept.
    faults: list[Fault] = [CloseWith(after_s=3.0, code=1011), *[IgnoreUpgrade()] * 8]
    async with open_standin(kind.standin(faults=faults)) as standin, noting_events() as events:
        reconnect = ReconnectSettings(first_s=0.01, base_s=0.01, max_s=0.01)
        transcripts = await listen(kind.client(standin, reconnect=reconnect), items)
    check_answers(transcripts, stops)
    lost = [event for event in events if isinstance(event, WorkLost)]
    assert lost
    assert lost[0].kind == "audio"
    assert lost[0].seconds > 10
    assert lost[0].position is not None


async def test_audio_that_no_stream_ever_had_is_told_as_lost(kind: Kind, autojump_clock: object) -> None:
    items, stops = speech(RATE, 1.0, FIRST, 1.0)
    async with open_standin(kind.standin(faults=[Refuse(503)] * 100)) as standin, noting_events() as events:
        transcripts = await listen(kind.client(standin), items)
    check_answers(transcripts, stops)
    assert finals(transcripts) == [""]
    lost = [event for event in events if isinstance(event, WorkLost)]
    assert [event.kind for event in lost] == ["audio"]
    assert lost[0].seconds > 1.3


async def test_a_server_that_closes_again_and_again_is_given_up(kind: Kind, autojump_clock: object) -> None:
    items, _ = call()
    faults: list[Fault] = [CloseWith(after_s=0.1, code=1000)] * 100
    async with open_standin(kind.standin(faults=faults)) as standin:
        with pytest.raises(ServiceError, match="accepts and drops") as caught:
            await listen(kind.client(standin), items, after_s=60)
        assert caught.value.transient
        assert len(standin.connections) <= 6


async def test_closed_while_nobody_speaks_it_is_dialled_again_with_the_next_audio(
    kind: Kind, autojump_clock: object
) -> None:
    items, stops = call()
    later = [attrs.evolve(item, position=item.position + 400 * RATE) for item in call()[0]]  # type: ignore[attr-defined]
    stops = [*stops, *(attrs.evolve(stop, position=stop.position + 400 * RATE) for stop in stops)]
    # The peer is muted: for minutes no audio comes.
    async with open_standin(kind.standin()) as standin, noting_events() as events:
        transcripts = await listen(kind.client(standin), [*items, *later])
        check_answers(transcripts, stops)
        assert finals(transcripts) == [FIRST, SECOND, THIRD] * 2
        assert len(standin.connections) <= 2
        assert not [event for event in events if isinstance(event, WorkLost)]
        waits = [event for event in events if isinstance(event, ConnectionChanged) and event.new == "backoff"]
        assert waits == []


async def test_cancelled_it_leaves_nothing_open(kind: Kind, autojump_clock: object) -> None:
    items, _ = call()
    async with open_standin(kind.standin()) as standin:
        with trio.move_on_after(2.0):
            await listen(kind.client(standin), items)
        await trio.sleep(0.1)
        assert not standin.last.is_open


# --- errors ------------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_one_error_that_does_not_repeat_it(kind: Kind, autojump_clock: object) -> None:
    items, _ = call()
    async with open_standin(kind.standin()) as standin:
        stt = kind.client(standin, api_key="wrong-key-12345")
        with pytest.raises(ServiceError) as caught:
            await listen(stt, items)
        assert caught.value.fault == "credentials"
        assert not caught.value.transient
        assert "wrong-key-12345" not in f"{caught.value} {caught.value!r} {stt!r} {vars(stt)}"
        assert len(standin.refused) == 1


@pytest.mark.parametrize("code", [1008, 3000])
async def test_a_refusal_inside_the_stream_ends_the_tries(
    kind: Kind, code: int, autojump_clock: object
) -> None:
    items, _ = call()
    faults: list[Fault] = [CloseWith(after_s=1.0, code=code, reason="not you")] * 3
    async with open_standin(kind.standin(faults=faults)) as standin:
        with pytest.raises(ServiceError, match="not you"):
            await listen(kind.client(standin), items)
        assert len(standin.connections) == 1


def test_a_missing_key_is_one_line(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kind.variable, raising=False)
    with pytest.raises(ConfigError, match=f"needs a key: give it api_key=…, or set {kind.variable}$"):
        kind.make()


@pytest.mark.parametrize(
    "option", [{"rate": 4000}, {"rate": 96000}, {"url": "https://x"}, {"keyterms": "voicetrio"}]
)
def test_an_option_that_the_vendor_does_not_take_is_refused_at_once(
    kind: Kind, option: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        kind.make(**{"api_key": "key", **option})
