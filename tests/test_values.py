"""Small values: how they are compared, hashed and shown."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from voicetrio import events
from voicetrio.errors import ConfigError
from voicetrio.events import Ducked, ReplyOpened, SpeechStarted, SpeechStopped
from voicetrio.frames import AudioFrame, TextFrame
from voicetrio.values import Value, not_negative, positive


@attrs.frozen(eq=False, repr=False)
class Point(Value):
    x: int
    y: int = 0


@attrs.frozen(eq=False, repr=False)
class OtherPoint(Value):
    x: int
    y: int = 0


def test_values_of_one_class_with_equal_fields_are_equal():
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != OtherPoint(1, 2)
    assert Point(1, 2) != (1, 2)


def test_equal_values_are_one_key():
    assert len({Point(1), Point(1, 0), Point(2), OtherPoint(1)}) == 3


def test_a_value_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Point(1).x = 2
    assert attrs.evolve(Point(1), y=5) == Point(1, 5)


def test_a_value_shows_its_fields_and_says_itself_how_a_long_one_is_shown():
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"
    assert repr(AudioFrame.silence(160, 16_000)).startswith("AudioFrame(pcm=<320 bytes>, rate=16000, ")
    assert repr(TextFrame("hi")).startswith("TextFrame(text='hi'")


def test_an_event_without_fields_of_its_own_is_a_value_like_the_others():
    assert repr(SpeechStarted(position=3)) == "SpeechStarted(position=3, time=None)"
    assert Ducked(reply="r1") != SpeechStarted() != SpeechStopped(start=0)
    assert attrs.evolve(Ducked(reply="r1"), time=2.0) == Ducked(reply="r1", time=2.0)
    assert [field.name for field in attrs.fields(ReplyOpened)][:3] == ["position", "time", "reply"]


@pytest.mark.parametrize("name", events.__all__)
def test_no_event_has_room_for_anything_but_its_fields(name):
    kind = getattr(events, name)
    if isinstance(kind, type):
        assert not kind.__dictoffset__


@pytest.mark.parametrize(("check", "wrong"), [(positive, 0), (positive, -1.0), (not_negative, -0.1)])
def test_a_field_that_is_checked_says_what_was_wrong(check: Any, wrong: float) -> None:
    @attrs.frozen
    class Settings:
        wait_s: float = attrs.field(validator=check)

    assert Settings(1.0).wait_s == 1.0
    with pytest.raises(ConfigError, match=f"wait_s must .*{wrong}"):
        Settings(wrong)
    with pytest.raises(ConfigError, match="nan"):
        Settings(float("nan"))
