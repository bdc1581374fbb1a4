from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.runtime.schedules import cancel_at_every_step
from voicetrio.errors import ConfigError, LinkBroken, LinkOverflow, ServiceError, StageInUse
from voicetrio.events import Failure
from voicetrio.frames import AudioFrame
from voicetrio.runtime.emit import EventHub, emitting_to
from voicetrio.runtime.links import open_link
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.switch import Switch
from voicetrio.runtime.transforms import transform


def numbers(count):
    async def source(outlet):
        for number in range(count):
            await outlet.send(number)

    return source


class Collect:
    def __init__(self):
        self.got = []

    async def __call__(self, inlet):
        async for frame in inlet:
            self.got.append(frame)


def branch(name, *, fails_on=(), error=None):
    """A factory of stages that put their name to each number, and fail on some."""

    def make():
        async def stage(inlet, outlet):
            async for number in inlet:
                if number in fails_on:
                    raise error or ServiceError(f"no {number}", service=name)
                await outlet.send(f"{name}{number}")

        stage.__name__ = name
        return stage

    return make


async def run(switch, count=5):
    sink = Collect()
    told = []
    hub = EventHub()
    with hub.observed_by(told.append), emitting_to(hub):
        await pipeline(numbers(count), switch, sink, name="p").run()
    return sink.got, told


async def test_without_a_failure_the_first_one_does_it_all():
    got, told = await run(Switch(branch("a"), branch("b")), 3)
    assert got == ["a0", "a1", "a2"]
    assert told == []


async def test_the_reserve_goes_on_with_the_frame_that_was_in_hand():
    switch = Switch(branch("a", fails_on=[2]), branch("b"), name="stt")
    got, told = await run(switch)
    assert got == ["a0", "a1", "b2", "b3", "b4"]
    (failure,) = told
    assert isinstance(failure, Failure)
    assert failure.where == "stt/a"
    assert isinstance(failure.error, ServiceError)
    assert failure.error.__notes__ == ["in stage a of switch stt"]
    statistics = switch.statistics()
    assert (statistics.failovers, statistics.reoffered_frames, statistics.skipped_frames) == (1, 1, 0)
    assert [(each.name, each.state) for each in statistics.branches] == [("a", "failed"), ("b", "ended")]


async def test_the_failure_tells_the_position_of_the_frame():
    def bad():
        async def stage(inlet, outlet):
            await inlet.receive()
            raise ServiceError("boo", service="x")

        return stage

    def good():
        return transform(lambda frame: frame)

    async def source(outlet):
        await outlet.send(AudioFrame.silence(10, 8000, position=70))

    sink = Collect()
    told = []
    hub = EventHub()
    with hub.observed_by(told.append), emitting_to(hub):
        await pipeline(source, Switch(bad, good), sink).run()
    assert told[0].position == 70
    assert [frame.position for frame in sink.got] == [70]


async def test_a_frame_on_which_two_branches_fail_is_skipped():
    switch = Switch(branch("a", fails_on=[1]), branch("b", fails_on=[1]), branch("c"))
    got, told = await run(switch)
    assert got == ["a0", "c2", "c3", "c4"]
    assert [event.where for event in told] == ["switch/a", "switch/b"]
    statistics = switch.statistics()
    assert (statistics.failovers, statistics.reoffered_frames, statistics.skipped_frames) == (2, 1, 1)


async def test_a_frame_that_nobody_took_again_is_still_offered():
    def never_asks():
        async def stage(inlet, outlet):
            raise ServiceError("no connection", service="x")

        return stage

    got, _ = await run(Switch(branch("a", fails_on=[1]), never_asks, branch("c")), 3)
    assert got == ["a0", "c1", "c2"]


async def test_a_frame_whose_work_was_done_is_not_offered_again():
    def fails_at_the_end():
        async def stage(inlet, outlet):
            async for number in inlet:
                await outlet.send(f"a{number}")
            raise ServiceError("goodbye failed", service="a")

        return stage

    got, told = await run(Switch(fails_at_the_end, branch("b")), 3)
    assert got == ["a0", "a1", "a2"]
    assert len(told) == 1


async def test_a_factory_that_fails_counts_as_its_branch():
    def broken_factory():
        raise ServiceError("no key", service="a", fault="credentials")

    got, told = await run(Switch(broken_factory, branch("b")), 2)
    assert got == ["b0", "b1"]
    assert told[0].where == "switch"


async def test_without_a_reserve_left_all_failures_are_raised():
    errors = [ValueError("a"), KeyError("b")]
    switch = Switch(branch("a", fails_on=[1], error=errors[0]), branch("b", fails_on=[1], error=errors[1]))
    with pytest.raises(ExceptionGroup, match="every branch of switch switch failed") as caught:
        await run(switch)
    assert list(caught.value.exceptions) == errors
    assert caught.value.__notes__ == ["in stage switch of pipeline p"]


async def test_branches_may_be_pipelines_and_transforms():
    def nested():
        return pipeline(branch("a", fails_on=[3])(), transform(lambda text: text.upper()))

    sink = Collect()
    await pipeline(numbers(5), Switch(nested, lambda: pipeline(branch("b")())), sink).run()
    assert sink.got == ["A0", "A1", "A2", "b3", "b4"]

    def keep():
        return transform(lambda number: number)

    sink = Collect()
    await pipeline(numbers(2), Switch(keep), sink).run()
    assert sink.got == [0, 1]


async def test_an_early_return_ends_it():
    def take_two():
        async def stage(inlet, outlet):
            for _ in range(2):
                await outlet.send(await inlet.receive())

        return stage

    got, told = await run(Switch(take_two, branch("b")), 100)
    assert got == [0, 1]
    assert told == []


async def test_being_stopped_is_no_failure():
    for make in (branch("a"), lambda: pipeline(branch("a")(), transform(lambda text: text))):

        async def one(inlet):
            await inlet.receive()

        switch = Switch(make, branch("b"))
        with trio.fail_after(5):
            await pipeline(numbers(100), switch, one).run()
        assert switch.statistics().failovers == 0


async def test_a_broken_inlet_is_no_failure_of_the_branch():
    error = ValueError("upstream")
    for make in (branch("a"), lambda: pipeline(branch("a")(), transform(lambda text: text))):
        sender, inlet = open_link(max_items=3)
        outlet, _ = open_link(max_items=3)
        sender.send_nowait(1)
        sender.abort(error)
        switch = Switch(make, branch("b"))
        with pytest.raises(LinkBroken) as caught:
            await switch(inlet, outlet)
        assert caught.value.cause is error
        assert switch.statistics().failovers == 0


async def test_a_transform_after_it_that_fails_is_no_failure_of_the_branch():
    def wraps():
        async def stage(inlet, outlet):
            async for number in inlet:
                try:
                    await outlet.send(number)
                except ValueError as exc:
                    raise ServiceError("cannot send", service="a") from exc

        return stage

    def nurses():
        async def stage(inlet, outlet):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(branch("a")(), inlet, outlet)

        return stage

    for make in (branch("a"), wraps, nurses):

        @transform
        def bad(frame):
            raise ValueError("boo")

        switch = Switch(make, branch("b"))
        with pytest.raises((ValueError, ServiceError, ExceptionGroup)):
            await pipeline(numbers(3), switch, bad, Collect()).run()
        assert switch.statistics().failovers == 0


async def test_a_branch_that_got_over_a_failure_of_its_outlet_fails_on_its_own():
    def forgives():
        async def stage(inlet, outlet):
            await inlet.receive()
            try:
                await outlet.send("too much")
            except LinkOverflow:
                await trio.lowlevel.checkpoint()
            try:
                raise KeyError("inner")
            except KeyError as exc:
                raise ServiceError("boo", service="a") from exc

        return stage

    sender, inlet = open_link(max_items=3)
    outlet, result = open_link(max_items=1, policy="fail")
    outlet.send_nowait("full")
    sender.send_nowait(1)
    sender.close()

    def empties():
        result.receive_nowait()
        return branch("b")()

    switch = Switch(forgives, empties)
    await switch(inlet, outlet)
    assert result.receive_nowait() == "b1"
    assert switch.statistics().failovers == 1


async def test_what_ends_the_program_is_no_failure():
    switch = Switch(branch("a", fails_on=[0], error=KeyboardInterrupt()), branch("b"))
    with pytest.raises(KeyboardInterrupt):
        await run(switch)


async def test_a_cancel_is_no_failure(autojump_clock):
    def hangs():
        async def stage(inlet, outlet):
            await trio.sleep_forever()

        return stage

    switch = Switch(hangs, branch("b"))
    with trio.move_on_after(1) as scope:
        await run(switch)
    assert scope.cancelled_caught
    assert switch.statistics().failovers == 0


async def test_a_failed_branch_cannot_send_or_receive_any_more():
    kept = []

    def leaks():
        async def stage(inlet, outlet):
            kept.extend([inlet, outlet])
            await inlet.receive()
            raise ServiceError("boo", service="x")

        return stage

    got, _ = await run(Switch(leaks, branch("b")), 2)
    assert got == ["b0", "b1"]
    with pytest.raises(trio.ClosedResourceError):
        await kept[0].receive()
    with pytest.raises(trio.ClosedResourceError):
        await kept[1].send(1)
    await kept[0].aclose()
    await kept[1].aclose()


async def test_a_reserve_that_is_not_new_is_refused():
    stage = branch("a", fails_on=[1])()
    switch = Switch(lambda: stage, lambda: stage)
    with pytest.raises(StageInUse, match="a belongs to switch switch"):
        await run(switch)


async def test_what_makes_no_branch_is_refused():
    for wrong in (branch("a")(), pipeline(branch("a")()), transform(lambda frame: frame), 3):
        with pytest.raises(ConfigError, match="makes no stages"):
            Switch(branch("b"), wrong)
    with pytest.raises(ConfigError, match="Collect cannot be a branch of switch switch: it needs both ends"):
        await run(Switch(Collect))


async def test_it_runs_once():
    switch = Switch(branch("a"))
    await run(switch)
    with pytest.raises(StageInUse):
        await switch(None, None)
    assert repr(switch) == "<switch switch: 1 branches>"


def test_cancelled_at_every_step_it_leaves_nothing_behind():
    def make():
        sink = Collect()
        switch = Switch(
            branch("a", fails_on=[1]), lambda: pipeline(branch("b", fails_on=[3])(), name="b"), branch("c")
        )
        outer = pipeline(numbers(5), switch, sink)

        def check():
            for link in outer.statistics().links:
                assert (link.open_senders, link.open_receivers) == (0, 0)
            assert sink.got == ["a0", "b1", "b2", "c3", "c4"][: len(sink.got)]

        return outer.run, check

    cancel_at_every_step(make)
