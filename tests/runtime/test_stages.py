from __future__ import annotations

import functools
import gc

import attrs
import pytest

from voicetrio.errors import ConfigError, StageInUse
from voicetrio.runtime.stages import Shape, adopt, has_state, is_async, name_of, shape_of


async def both(inlet, outlet): ...


async def source(outlet): ...


async def sink(inlet, gain=1.0, *rest, **options): ...


class Device:
    """An object with two stages."""

    def __init__(self, name=""):
        self.name = name

    async def microphone(self, outlet): ...

    async def speaker(self, inlet): ...

    @classmethod
    async def beep(cls, outlet): ...

    async def __call__(self, inlet, outlet): ...


class Marked:
    takes_inlet = False
    gives_outlet = True

    async def __call__(self, *ends): ...


@attrs.define
class Unhashable:
    gain: float = 1.0

    async def __call__(self, inlet, outlet): ...


class Slotted:
    __slots__ = ()

    async def __call__(self, inlet, outlet): ...


def closure():
    heard = []

    async def keep(inlet):
        heard.append(inlet)

    return keep


@pytest.mark.parametrize(
    ("stage", "shape"),
    [
        (both, Shape(True, True)),
        (source, Shape(False, True)),
        (sink, Shape(True, False)),
        (Device(), Shape(True, True)),
        (Device().microphone, Shape(False, True)),
        (Device().speaker, Shape(True, False)),
        (Device.beep, Shape(False, True)),
        (Marked(), Shape(False, True)),
        (functools.partial(sink, gain=2.0), Shape(True, False)),
    ],
)
def test_the_parameters_or_the_marks_tell_the_shape(stage, shape):
    assert shape_of(stage) == shape


async def generator(inlet):
    yield 1


async def wrong_order(outlet, inlet): ...


async def by_keyword(*, inlet): ...


async def needs_more(inlet, gain): ...


def louder(frame): ...


async def no_end(frame): ...


class Nothing:
    takes_inlet = False
    gives_outlet = False

    async def __call__(self): ...


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (Device, "Device is a class: give an object of it"),
        (3, "3 is not a stage: it cannot be called"),
        (louder, "louder is not a stage.*decorate it with @transform"),
        (no_end, "no_end is not a stage: no parameter is named inlet or outlet$"),
        (generator, "generator is an async generator"),
        (wrong_order, "first parameters must be inlet, outlet"),
        (by_keyword, "first parameters must be inlet"),
        (needs_more, r"needs a value for gain: give it with functools.partial"),
        (Nothing(), "neither an inlet nor an outlet"),
        (dict.fromkeys, "not a stage"),
        (iter, "its parameters are not known"),
    ],
)
def test_what_is_no_stage_is_refused_with_the_reason(stage, why):
    with pytest.raises(ConfigError, match=why):
        shape_of(stage)


def test_names():
    assert name_of(both) == "both"
    assert name_of(functools.partial(both, gain=1)) == "both"
    assert name_of(Device()) == "Device"
    assert name_of(Device("kitchen")) == "kitchen"
    assert name_of(Device().speaker) == "speaker"


def test_what_is_async():
    assert is_async(both)
    assert is_async(Device())
    assert is_async(functools.partial(both))
    assert not is_async(louder)
    assert not is_async(lambda: both)


def test_only_what_keeps_nothing_may_be_shared():
    for free in (both, lambda: None, Device.beep, len):
        assert not has_state(free)
    for owned in (
        Device(),
        Device().speaker,
        closure(),
        functools.partial(both),
        functools.partial(Device()),
    ):
        assert has_state(owned)
    for _ in range(2):
        adopt([both, Device.beep], "anybody")


@pytest.mark.parametrize(
    "make", [Device, Unhashable, Slotted, closure, lambda: functools.partial(sink, gain=2)]
)
def test_a_stage_with_state_belongs_to_one_owner_once(make):
    stage = make()
    adopt([stage], "pipeline a")
    with pytest.raises(StageInUse) as caught:
        adopt([stage], "pipeline b")
    assert (caught.value.owner, caught.value.claimant) == ("pipeline a", "pipeline b")
    with pytest.raises(StageInUse):
        adopt([stage], "pipeline a")
    stage = make()
    with pytest.raises(StageInUse):
        adopt([stage, stage], "pipeline c")


def test_methods_of_one_object_have_one_owner():
    device = Device()
    adopt([device.microphone, functools.partial(device.speaker)], "pipeline a")
    with pytest.raises(StageInUse):
        adopt([device], "pipeline b")
    device = Device()
    with pytest.raises(StageInUse):
        adopt([device.speaker, device.speaker], "pipeline c")


def test_an_adoption_that_fails_adopts_nothing():
    mine, taken = Device(), Device()
    adopt([taken], "pipeline a")
    with pytest.raises(StageInUse):
        adopt([mine, taken], "pipeline b")
    adopt([mine], "pipeline c")
    with pytest.raises(StageInUse):
        adopt([taken], "pipeline b")


def test_a_claim_goes_with_its_stage():
    from voicetrio.runtime import stages

    gc.collect()
    before = len(stages._claims)
    made = [Device() for _ in range(10)]
    adopt(made, "pipeline a")
    assert len(stages._claims) == before + 10
    del made
    gc.collect()
    assert len(stages._claims) == before
