from __future__ import annotations

import pytest
import trio

from tests.server.speech.fakes import Tone
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.runtime.idle_models import open_idle_model
from voicetrio.runtime.workers import InlineRunner
from voicetrio.services.speech.available import available_engines
from voicetrio.services.speech.engine import Voice, VoiceError, parse_voice
from voicetrio.services.speech.engines import VOICE_ALIASES, UnknownModel, open_engines


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("a", [("a", 1.0)]),
        (" a ", [("a", 1.0)]),
        ("en-us", [("en-us", 1.0)]),
        ("a+b", [("a", 0.5), ("b", 0.5)]),
        ("a(2)+b(1)", [("a", 2 / 3), ("b", 1 / 3)]),
        ("a( 0.5 ) + b", [("a", 1 / 3), ("b", 2 / 3)]),
        ("a+a(3)", [("a", 1.0)]),
        ("a(1e-300)+b", [("a", 1e-300), ("b", 1.0)]),
    ],
)
def test_a_voice_or_a_mix_is_read(text, mix) -> None:
    read = parse_voice(text)
    assert [name for name, _ in read] == [name for name, _ in mix]
    assert [weight for _, weight in read] == pytest.approx([weight for _, weight in mix])


@pytest.mark.parametrize(
    "text",
    ["", " ", "+", "a+", "+a", "a++b", "a(", "a()", "a(x)", "a(0)", "a(-1)", "a(nan)", "a(inf)", "a b",
     "a(1)(2)", "a(1)b", "a,b", "+".join("abcdefghijklmnopq"), "a(1e308)+b(1e308)", "x" * 5000],
)  # fmt: skip
def test_what_is_no_voice_is_told(text) -> None:
    with pytest.raises(VoiceError):
        parse_voice(text)


async def test_a_model_and_a_voice_choose_an_engine() -> None:
    first = Tone()
    second = Tone("second", (Voice("far"), Voice("low")), can_mix=False)
    async with open_engines([first, second]) as engines:

        def chosen(model, voice):
            found = engines.choose(model, voice)
            return found.engine.name, found.name

        assert chosen(None, None) == ("tone", "low")
        assert chosen("second", None) == ("second", "far")
        assert chosen("tts-1", "far") == ("second", "far")
        assert chosen(None, "low") == ("tone", "low")
        assert chosen("second", "low") == ("second", "low")
        assert chosen(None, "low(3)+high") == ("tone", "low(0.75)+high(0.25)")
        assert {chosen("tts-1", alias) for alias in VOICE_ALIASES} == {("tone", "low"), ("tone", "high")}
        for model, voice, error, told in (
            ("zork", None, UnknownModel, "choose from tone, second, tts-1"),
            (None, "zork", VoiceError, "choose from far, high, low"),
            ("tone", "far", VoiceError, "no voice 'far'"),
            ("second", "far+low", VoiceError, "cannot be mixed"),
            (None, "far+high", VoiceError, "one engine"),
        ):
            with pytest.raises(error, match=told):
                engines.choose(model, voice)


async def test_engines_need_names_of_their_own() -> None:
    for engines in ([], [Tone(), Tone()]):
        with pytest.raises(ConfigError):
            async with open_engines(engines):
                pass


def test_engines_are_chosen_by_name() -> None:
    assert [engine.name for engine in available_engines(["flite", "piper", "flite"])] == ["flite", "piper"]
    assert available_engines()[0].name == "piper"
    with pytest.raises(ConfigError, match="there is no engine 'zork'"):
        available_engines(["zork"])


class Loads:
    """Counts loads, which take a second; the given ones fail."""

    def __init__(self, *failing: int) -> None:
        self.count = 0
        self.failing = failing

    def __call__(self) -> int:
        self.count += 1
        if self.count in self.failing:
            raise OSError("disk on fire")
        return self.count


async def test_a_model_is_loaded_once_for_all_that_wait_and_again_after_it_was_idle(autojump_clock) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, size=2, idle_s=60, runner=InlineRunner(1.0)) as model:
        assert not model.statistics().is_loaded

        async def use(seconds: float) -> None:
            async with model.lease() as pool:
                assert await pool.run(lambda number: number) >= 1
                await trio.sleep(seconds)

        async with trio.open_nursery() as nursery:
            for seconds in (0, 0, 100):
                nursery.start_soon(use, seconds)
        # Two instances, for two slots; the long lease kept them.
        assert loads.count == 2
        assert model.statistics().load_s == pytest.approx(2.0)
        await trio.sleep(59)
        assert model.statistics().is_loaded
        await trio.sleep(2)
        assert not model.statistics().is_loaded
        await use(0)
        assert (loads.count, model.statistics().loads) == (4, 2)
        assert model.unload()
        await trio.testing.wait_all_tasks_blocked()
        assert not model.statistics().is_loaded


async def test_a_load_that_fails_fails_everybody_and_is_tried_again(autojump_clock) -> None:
    failures = []
    async with open_idle_model("m", Loads(1), runner=InlineRunner(1.0)) as model:

        async def use() -> None:
            try:
                async with model.lease():
                    pass
            except ServiceError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(use)
            nursery.start_soon(use)
        assert failures == ["m: it cannot be loaded: disk on fire"] * 2
        await use()
        assert len(failures) == 2


async def test_a_wait_for_a_load_can_be_cancelled_and_leaves_it_to_the_others(autojump_clock) -> None:
    loads = Loads()
    async with open_idle_model("m", loads, runner=InlineRunner(10.0)) as model:
        with trio.move_on_after(1):
            async with model.lease():
                pass
        async with model.lease():
            assert trio.current_time() < 1 + 10
        assert loads.count == 1


async def test_what_the_block_raises_comes_out_in_no_group() -> None:
    with pytest.raises(KeyError):
        async with open_idle_model("m", Loads()):
            raise KeyError
