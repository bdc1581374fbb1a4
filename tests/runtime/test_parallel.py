from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.runtime.schedules import cancel_at_every_step
from voicetrio.errors import ConfigError, LinkBroken, StageInUse
from voicetrio.runtime.links import open_link
from voicetrio.runtime.parallel import Parallel
from voicetrio.runtime.pipeline import pipeline
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


async def relay(inlet, outlet):
    async for frame in inlet:
        await outlet.send(frame)


def times(factor):
    async def multiply(inlet, outlet):
        async for number in inlet:
            await outlet.send(number * factor)

    return multiply


def take(count):
    async def taking(inlet, outlet):
        for _ in range(count):
            await outlet.send(await inlet.receive())

    return taking


async def test_each_frame_goes_to_each_branch_and_all_come_out():
    sink, recorder = Collect(), Collect()
    branches = Parallel(times(10), pipeline(times(100), relay), recorder, transform(lambda number: -number))
    await pipeline(numbers(4), branches, sink).run()
    assert recorder.got == [0, 1, 2, 3]
    assert sorted(sink.got) == [-3, -2, -1, 0, 0, 0, 10, 20, 30, 100, 200, 300]
    for mine in ([10, 20, 30], [100, 200, 300], [-1, -2, -3]):
        assert [number for number in sink.got if number in mine] == mine


async def test_what_branches_send_is_merged_in_order_of_arrival(autojump_clock):
    def late(seconds, name):
        async def later(inlet, outlet):
            async for number in inlet:
                await trio.sleep(seconds)
                await outlet.send(f"{name}{number}")

        return later

    async def slowly(outlet):
        for number in range(2):
            await outlet.send(number)
            await trio.sleep(10)

    sink = Collect()
    await pipeline(slowly, Parallel(late(3, "c"), late(1, "a"), late(2, "b")), sink).run()
    assert sink.got == ["a0", "b0", "c0", "a1", "b1", "c1"]


async def test_the_branches_make_its_shape():
    assert (Parallel(relay, Collect()).takes_inlet, Parallel(relay, Collect()).gives_outlet) == (True, True)
    assert not Parallel(Collect(), Collect()).gives_outlet
    assert not Parallel(numbers(1), numbers(2)).takes_inlet
    with pytest.raises(ConfigError, match="at least one branch"):
        Parallel()
    with pytest.raises(ConfigError, match="max_s"):
        Parallel(relay, link_s=-1)
    with pytest.raises(ConfigError, match="is called with"):
        await Parallel(relay)()


async def test_sources_beside_each_other_are_merged():
    sink = Collect()
    await pipeline(Parallel(numbers(3), numbers(2)), sink).run()
    assert sorted(sink.got) == [0, 0, 1, 1, 2]


async def test_a_source_beside_a_stage_is_not_fed():
    sink = Collect()
    await pipeline(numbers(2), Parallel(times(10), numbers(3)), sink).run()
    assert sorted(sink.got) == [0, 0, 1, 2, 10]


async def test_it_owns_its_branches_and_runs_once():
    branch = times(2)
    made = Parallel(branch, name="p")
    with pytest.raises(StageInUse, match="multiply belongs to parallel stage p"):
        pipeline(branch)
    with pytest.raises(StageInUse):
        Parallel(branch)
    await pipeline(numbers(1), made, Collect()).run()
    with pytest.raises(StageInUse, match="its first run"):
        await made(None, None)
    assert repr(made) == "<parallel stage p>"


async def test_when_one_branch_returns_early_the_others_go_on():
    sink = Collect()
    made = Parallel(take(2), times(10), name="p")
    await pipeline(numbers(5), made, sink).run()
    assert sorted(sink.got) == [0, 0, 1, 10, 20, 30, 40]
    assert [branch.state for branch in made.statistics().branches] == ["ended", "ended"]


async def test_when_all_branches_have_returned_it_returns_without_waiting_for_a_frame(autojump_clock):
    async def two_then_silence(outlet):
        for number in range(3):
            await outlet.send(number)
        await trio.sleep(100)
        with pytest.raises(trio.BrokenResourceError):
            await outlet.send(3)

    sink = Collect()
    made = Parallel(take(1), take(2))
    inlet_end, inlet = open_link(max_items=10)
    outlet, result = open_link(max_items=10)
    for number in range(3):
        inlet_end.send_nowait(number)
    with trio.fail_after(1):
        await made(inlet, outlet)
    assert result.statistics().items == 3
    await pipeline(two_then_silence, Parallel(take(1), take(2)), sink).run()
    assert trio.current_time() >= 100


async def test_the_slowest_branch_sets_the_pace_but_does_not_hold_up_what_has_room(autojump_clock):
    seen = []

    async def slow(inlet):
        async for _ in inlet:
            await trio.sleep(1)

    def note(number):
        seen.append((trio.current_time() - began, number))

    async def quick(inlet):
        async for number in inlet:
            note(number)

    began = trio.current_time()
    await pipeline(numbers(5), Parallel(slow, quick)).run()
    # One frame is in the slow branch's hand and one in its link, when the third is given to the quick one.
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 3), (2, 4)]


async def test_a_branch_that_fails_fails_the_whole_once():
    error = ValueError("boo")

    async def fails(inlet, outlet):
        await inlet.receive()
        raise error

    made = pipeline(numbers(100), Parallel(relay, fails, Collect(), name="both"), relay, Collect(), name="p")
    with pytest.raises(ValueError, match="boo") as caught:
        await made.run()
    assert caught.value is error
    assert error.__notes__ == ["in stage fails of parallel stage both", "in stage both of pipeline p"]


async def test_several_failures_are_one_group(autojump_clock):
    async def fails(inlet):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async def also_fails(inlet):
        await inlet.receive()
        raise KeyError

    with pytest.raises(ExceptionGroup) as caught:
        await pipeline(numbers(10), Parallel(fails, also_fails)).run()
    assert {type(exc) for exc in caught.value.exceptions} == {ValueError, KeyError}


async def test_a_broken_inlet_breaks_every_branch_and_is_one_failure():
    error = ValueError("upstream")
    seen = []

    async def fails(outlet):
        await outlet.send(1)
        raise error

    def watch():
        async def watching(inlet, outlet):
            try:
                await relay(inlet, outlet)
            except LinkBroken as exc:
                seen.append(exc)
                raise

        return watching

    with pytest.raises(ValueError, match="upstream") as caught:
        await pipeline(fails, Parallel(watch(), Collect()), Collect()).run()
    assert caught.value is error
    assert all(exc.cause is error for exc in seen)

    sender, inlet = open_link()
    outlet, _ = open_link()
    sender.abort(error)
    with pytest.raises(LinkBroken) as broken:
        await Parallel(watch(), Collect())(inlet, outlet)
    assert broken.value.link is inlet.link


async def test_a_transform_before_it_that_fails_is_named_once():
    @transform
    def bad(number):
        raise ValueError("boo")

    made = pipeline(numbers(3), pipeline(bad, Parallel(relay, Collect(), name="both"), name="q"), Collect())
    with pytest.raises(ValueError, match="boo") as caught:
        await made.run()
    assert caught.value.__notes__[0] == "in transform bad of pipeline q"
    assert not any("stage both" in note for note in caught.value.__notes__)


async def test_when_nobody_reads_the_outlet_the_sinks_go_on():
    recorder, sink = Collect(), Collect()
    made = Parallel(relay, recorder)
    await pipeline(numbers(50), made, take(2), sink).run()
    assert sink.got == [0, 1]
    assert recorder.got == list(range(50))
    assert [branch.state for branch in made.statistics().branches] == ["stopped", "ended"]


async def test_when_nobody_reads_the_outlet_stages_stop_and_so_does_the_source():
    source_at = []

    async def source(outlet):
        for number in range(1000):
            source_at.append(number)
            await outlet.send(number)

    await pipeline(source, Parallel(relay, relay), take(2), Collect()).run()
    assert len(source_at) < 20


async def test_memory_channels_fit():
    give, inlet = trio.open_memory_channel(5)
    outlet, result = trio.open_memory_channel(100)
    for number in range(3):
        give.send_nowait(number)
    give.close()
    await Parallel(relay, times(10))(inlet, outlet)
    outlet.close()
    assert sorted([number async for number in result]) == [0, 0, 1, 2, 10, 20]


async def test_statistics():
    made = Parallel(times(2), times(3), Collect(), name="p")
    assert [branch.state for branch in made.statistics().branches] == ["ready"] * 3
    outer = pipeline(numbers(3), made, Collect())
    await outer.run()
    statistics = made.statistics()
    assert statistics.name == "p"
    assert [branch.name for branch in statistics.branches] == ["multiply", "multiply-2", "Collect"]
    assert [(branch.frames_in, branch.frames_out) for branch in statistics.branches] == [
        (3, 3),
        (3, 3),
        (3, None),
    ]
    assert [link.name for link in statistics.links] == ["p/multiply", "p/multiply-2", "p/Collect"]
    assert outer.statistics().stages[1].inner == statistics


def test_cancelled_at_every_step_it_leaves_nothing_behind():
    def make():
        sink, recorder = Collect(), Collect()
        made = Parallel(pipeline(times(2), relay), take(2), recorder)
        outer = pipeline(numbers(5), relay, made, sink)

        def check():
            for link in (*made.statistics().links, *outer.statistics().links):
                assert (link.open_senders, link.open_receivers) == (0, 0)
            assert recorder.got == list(range(5))[: len(recorder.got)]

        return outer.run, check

    cancel_at_every_step(make)
