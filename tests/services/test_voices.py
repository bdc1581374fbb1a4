"""What every vendor's voice does, against its stand-in, in virtual time."""

from __future__ import annotations

import itertools

import pytest
import trio

from tests.services.kinds import VOICES, Kind
from tests.services.vendors import noting_events, plain, speak
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import ConnectionChanged, WorkLost
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.machines.reconnect import ReconnectSettings
from voicetrio.runtime.keeper import open_keeper
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

TEXTS = ("Hello there, my friend.", "How are you today?", "It is sunny.")
WHOLE = " ".join(TEXTS)


@pytest.fixture(params=VOICES, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def test_it_speaks_all_words_in_order(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        spoken = await speak(kind.client(standin), *TEXTS)
        assert spoken.text == WHOLE
        assert plain(spoken.heard) == plain(WHOLE)
        assert len(standin.connections) == 1


async def test_words_lie_where_they_are_heard(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        spoken = await speak(kind.client(standin), *TEXTS)
    tolerance_s = 0.6 if kind.name == "deepgram" else 0.01  # it tells no times: they are estimated
    start = 0
    for word in spoken.words:
        assert word.start / word.rate == pytest.approx(start / spoken.rate, abs=tolerance_s)
        start += (len(word.text) + 1) * round(0.06 * spoken.rate)


async def test_the_first_audio_does_not_wait_for_the_last_text(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        start = trio.current_time()
        spoken = await speak(kind.client(standin), TEXTS[0], 5.0, TEXTS[1])
        assert spoken.first_audio_at is not None
        assert spoken.first_audio_at - start < 0.2
        assert plain(spoken.heard) == plain(" ".join(TEXTS[:2]))


async def test_text_without_words_makes_no_audio_and_no_connection(
    kind: Kind, autojump_clock: object
) -> None:
    async with open_standin(kind.standin()) as standin:
        spoken = await speak(kind.client(standin), "", "  ")
        assert spoken.frames == []
        assert all(not connection.received for connection in standin.connections)


async def test_a_long_text_is_given_in_parts(kind: Kind, autojump_clock: object) -> None:
    long = " ".join(itertools.islice(itertools.cycle(["hello", "my", "friend"]), 900))
    async with open_standin(kind.standin(speed=1000.0)) as standin:
        spoken = await speak(kind.client(standin), long)
        assert spoken.heard == long
        assert all(len(message) < 2500 for message in standin.last.received)


async def test_several_replies_may_be_in_the_making(kind: Kind, autojump_clock: object) -> None:
    results: dict[int, str] = {}
    async with open_standin(kind.standin()) as standin:
        voice = kind.client(standin)

        async def one(number: int, text: str) -> None:
            results[number] = plain((await speak(voice, text)).heard)

        async with open_keeper(), trio.open_nursery() as nursery:
            for number, text in enumerate(TEXTS):
                nursery.start_soon(one, number, text)
        assert results == {number: plain(text) for number, text in enumerate(TEXTS)}


# --- cancelling ------------------------------------------------------------------------------------------


async def cancel_after(voice: object, text: str, frames: int) -> None:
    """Speak ``text``, and stop after so many frames of audio, as an interruption does."""
    to_voice, clauses = trio.open_memory_channel[TextFrame](1)
    to_ear, audio = trio.open_memory_channel[object](0)
    to_voice.send_nowait(TextFrame(text))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(voice.speak, clauses, to_ear)  # type: ignore[attr-defined]
        while frames:
            frames -= isinstance(await audio.receive(), AudioFrame)
        nursery.cancel_scope.cancel()
    to_voice.close()
    audio.close()


async def test_nothing_of_a_cancelled_reply_is_heard_in_the_next(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        voice = kind.client(standin)
        async with open_keeper():
            for _ in range(3):
                await cancel_after(voice, "one two three four five six seven eight nine ten.", 2)
                spoken = await speak(voice, "goodbye my friend.")
                assert spoken.text == "goodbye my friend."
                assert plain(spoken.heard) == "goodbye my friend"


async def test_many_interruptions_in_a_row_never_exceed_what_the_vendor_allows(
    kind: Kind, autojump_clock: object
) -> None:
    async with open_standin(kind.standin()) as standin:
        voice = kind.client(standin)
        async with open_keeper():
            for _ in range(12):
                await cancel_after(voice, "one two three four five six seven eight nine ten. " * 3, 1)
            assert plain((await speak(voice, "goodbye.")).heard) == "goodbye"
        assert all(connection.close_code in (1000, None) for connection in standin.connections)
        assert len(standin.connections) <= 3
        texts = [text for connection in standin.connections for text in connection.sent]
        assert not any('"error"' in str(text) for text in texts)


# --- connections -----------------------------------------------------------------------------------------


async def test_idle_for_five_minutes_it_speaks_with_one_reconnect_at_most(
    kind: Kind, autojump_clock: object
) -> None:
    async with open_standin(kind.standin()) as standin:
        voice = kind.client(standin)
        async with open_keeper(), noting_events() as events:
            await speak(voice, TEXTS[0])
            await trio.sleep(330)
            before = len(standin.connections)
            start = trio.current_time()
            spoken = await speak(voice, TEXTS[1])
            assert plain(spoken.heard) == plain(TEXTS[1])
            assert spoken.first_audio_at is not None
            assert spoken.first_audio_at - start < 0.2
            assert len(standin.connections) - before <= 1
        waits = [event for event in events if isinstance(event, ConnectionChanged) and event.new == "backoff"]
        assert waits == []


async def test_in_a_session_it_connects_before_it_is_needed(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        async with open_keeper():
            voice = kind.client(standin)
            voice.warm_up()
            await trio.sleep(1)
            assert len(standin.connections) == 1
        assert not standin.last.is_open


FAULTS: list[Fault] = [
    Drop(after=0),
    Drop(after=5),
    Tear(after=4),
    CloseWith(after=5, code=1000),
    CloseWith(after=5, code=1001),
    CloseWith(after=5, code=1011, reason="internal"),
    CloseWith(after=5, code=1012),
    Stall(after=5),
    Stall(after=0),
    StopReading(after_s=0.05),
    IgnoreUpgrade(),
    Garble(after=5),
    Garble(after=2, message='{"type": 5}'),
    Garble(after=2, message="[]"),
    Refuse(503, "busy"),
    Refuse(429, "slow down", {"Retry-After": "2"}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_after_a_fault_it_speaks_on_and_says_nothing_twice(
    kind: Kind, fault: Fault, autojump_clock: object
) -> None:
    async with open_standin(kind.standin(faults=[fault])) as standin, noting_events() as events:
        with trio.fail_after(30):
            spoken = await speak(kind.client(standin), *TEXTS)
        lost = [event for event in events if isinstance(event, WorkLost)]
        assert spoken.text == WHOLE
        heard = plain(spoken.heard).split()
        assert len(set(heard)) == len(heard)
        missing = set(plain(WHOLE).split()) - set(heard)
        # Only the rest of the sentence that was being spoken may be lost, and that is told.
        assert missing <= set(plain(TEXTS[0]).split())
        told = plain(" ".join(event.text for event in lost)).split()
        assert len(missing - set(told)) <= (1 if kind.name != "deepgram" else 2)  # a word was cut short
        assert not set(told) & set(plain(" ".join(TEXTS[1:])).split())


# --- errors ----------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_one_error_that_does_not_repeat_it(kind: Kind, autojump_clock: object) -> None:
    async with open_standin(kind.standin()) as standin:
        voice = kind.client(standin, api_key="wrong-key-12345")
        with pytest.raises(ServiceError) as caught:
            await speak(voice, *TEXTS)
        assert caught.value.fault == "credentials"
        assert not caught.value.transient
        assert "wrong-key-12345" not in f"{caught.value} {caught.value!r} {voice!r} {vars(voice)}"
        assert "key" in str(caught.value)
        assert len(standin.refused) == 1


def test_a_missing_key_is_one_line(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kind.variable, raising=False)
    with pytest.raises(
        ConfigError, match=f"^[A-Za-z]+ needs a key: give it api_key=…, or set {kind.variable}$"
    ):
        kind.make()


async def test_the_key_comes_from_the_environment(
    kind: Kind, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kind.variable, "standin-key")
    async with open_standin(kind.standin()) as standin:
        assert (await speak(kind.client(standin, api_key=None), TEXTS[0])).heard


async def test_a_server_that_is_down_is_tried_within_the_budget_and_then_an_error(
    kind: Kind, autojump_clock: object
) -> None:
    async with open_standin(kind.standin(faults=[Refuse(503)] * 1000)) as standin:
        voice = kind.client(standin, reconnect=ReconnectSettings(per_session=6))
        with pytest.raises(ServiceError, match="gave up after 6 tries") as caught:
            await speak(voice, *TEXTS)
        assert caught.value.transient
        assert len(standin.refused) == 7


async def test_a_page_instead_of_a_websocket_is_refused_with_what_came(
    kind: Kind, autojump_clock: object
) -> None:
    async with open_standin(
        kind.standin(faults=[Refuse(200, "<html><title>a proxy</title></html>")] * 9)
    ) as standin:
        with pytest.raises(ServiceError, match=r"a web page \(a proxy\)"):
            await speak(kind.client(standin), *TEXTS)


@pytest.mark.parametrize("option", [{"rate": 12345}, {"rate": 0}, {"speed": 9.0}, {"url": "http://x"}])
def test_an_option_that_the_vendor_does_not_take_is_refused_at_once(
    kind: Kind, option: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        kind.make(**{"api_key": "key", **option})
