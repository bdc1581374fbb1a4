from __future__ import annotations

import pytest

from tests.server.speech.fakes import Tone
from voicetrio.errors import ConfigError
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
