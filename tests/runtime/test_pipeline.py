from __future__ import annotations

import signal

import attrs
import pytest
import trio
import trio.testing

from tests.runtime.schedules import cancel_at_every_step, run_seeded
from voicetrio.errors import ConfigError, LinkBroken, LinkStopped, StageInUse
from voicetrio.events import Event
from voicetrio.runtime.emit import EventHub, emit, emitting_to
from voicetrio.runtime.links import open_link
from voicetrio.runtime.pipeline import Pipeline, pipeline
from voicetrio.runtime.transforms import transform


class Numbers:
    """A source of numbers."""

    def __init__(self, count: int = 10):
        self.count = count
        self.stopped_at = None

    async def __call__(self, outlet):
        for number in range(self.count):
            self.stopped_at = number
            await outlet.send(number)
        await trio.lowlevel.checkpoint()
        self.stopped_at = None


class Collect:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.got = []

    async def __call__(self, inlet):
        async for frame in inlet:
            self.got.append(frame)


async def relay(inlet, outlet):
    async for frame in inlet:
        await outlet.send(frame)


def fail_at(when, error):
    async def failing(inlet, outlet):
        async for frame in inlet:
            if frame == when:
                raise error
            await outlet.send(frame)

    return failing


async def first_three(inlet, outlet):
    for _ in range(3):
        await outlet.send(await inlet.receive())


@transform
def double(number):
    return number * 2


@transform
def odd_only(number):
    return number if number % 2 else None


@transform
def and_next(number):
    return [number, number + 1]


class Count:
    """Holds everything back until the end, then gives the sum."""

    def __init__(self):
        self.total = 0

    def __call__(self, number):
        self.total += number

    def flush(self):
        return [self.total]


class Sum(Count):
    """Passes everything on, and at the end the sum."""

    def __call__(self, number):
        if isinstance(number, int):
            self.total += number
        return number

    def flush(self):
        return iter([Total(self.total)])


class Tail:
    """Holds back what came last."""

    def __init__(self):
        self.held = None

    def __call__(self, number):
        before, self.held = self.held, number
        return before

    def flush(self):
        return self.held


@attrs.frozen
class Total:
    value: int

    def __mod__(self, other):
        return 1

    def __mul__(self, other):
        return Total(self.value * other)

    def __add__(self, other):
        return Total(self.value + other)


# --- shape and names --------------------------------------------------------------------------


async def test_stages_in_a_row():
    sink = Collect()
    await pipeline(Numbers(4), relay, relay, sink).run()
    assert sink.got == [0, 1, 2, 3]


def test_trio_can_run_it():
    sink = Collect()
    trio.run(pipeline(Numbers(2), sink).run)
    assert sink.got == [0, 1]


def test_its_ends_make_its_shape():
    for stages, shape in (
        ((Numbers(), relay), (False, True)),
        ((relay, Collect()), (True, False)),
        ((relay, relay), (True, True)),
        ((double,), (True, True)),
        ((Numbers(), double), (False, True)),
        ((Numbers(), Collect()), (False, False)),
    ):
        made = pipeline(*stages)
        assert (made.takes_inlet, made.gives_outlet) == shape


def test_what_does_not_fit_is_refused_and_named():
    with pytest.raises(ConfigError, match="at least one stage"):
        pipeline()
    with pytest.raises(ConfigError, match="Collect is a sink: relay cannot follow it in pipeline p"):
        pipeline(Numbers(), Collect(), relay, name="p")
    with pytest.raises(ConfigError, match="Numbers is a source: it cannot follow double"):
        pipeline(double, Numbers())
    with pytest.raises(ConfigError, match="max_items"):
        pipeline(relay, link_items=-1)
    with pytest.raises(ConfigError, match="Collect is a class"):
        pipeline(Numbers(), Collect)


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        ((relay,), "needs a source before relay and a sink after relay"),
        ((Numbers(), double), "needs a sink after Numbers"),
        ((relay, Collect()), "needs a source before relay"),
    ],
)
async def test_run_says_what_is_missing(stages, why):
    with pytest.raises(ConfigError, match=why):
        await pipeline(*stages).run()


async def test_it_runs_once():
    made = pipeline(Numbers(), Collect(), name="p")
    await made.run()
    with pytest.raises(StageInUse, match="pipeline p belongs to its first run"):
        await made.run()


async def test_a_wrong_number_of_ends_is_refused():
    with pytest.raises(ConfigError, match=r"is called with \(inlet, outlet\): it was given 1 ends"):
        await pipeline(relay)(None)


def test_a_stage_with_state_has_one_pipeline():
    sink = Collect()
    pipeline(Numbers(), sink, name="a")
    with pytest.raises(StageInUse, match="Collect belongs to pipeline a and cannot be used by pipeline b"):
        pipeline(Numbers(), sink, name="b")
    counter = Count()
    pipeline(transform(counter), name="c")
    with pytest.raises(StageInUse, match="Count belongs to pipeline c"):
        pipeline(transform(counter))
    inner = pipeline(relay, name="inner")
    pipeline(inner)
    with pytest.raises(StageInUse, match="inner belongs to"):
        pipeline(inner)


async def test_a_pipeline_whose_transforms_were_fused_into_another_cannot_run():
    inner = pipeline(double, name="inner")
    pipeline(Numbers(), inner, Collect())
    with pytest.raises(StageInUse, match="pipeline inner belongs to"):
        await inner(None, None)


async def test_tasks_are_named_for_pipeline_and_stage():
    names = []

    async def name_me(inlet, outlet):
        names.append(trio.lowlevel.current_task().name)
        await relay(inlet, outlet)

    def again():
        async def name_me_too(inlet, outlet):
            await name_me(inlet, outlet)

        return name_me_too

    await pipeline(
        Numbers(), name_me, again(), again(), pipeline(again(), name="in"), Collect(), name="p"
    ).run()
    assert sorted(names) == ["in/name_me_too", "p/name_me", "p/name_me_too", "p/name_me_too-2"]
    assert pipeline(Numbers(), relay, Collect()).name == "Numbers..Collect"
    assert repr(pipeline(Numbers(), double, Collect(), name="p")) == "<pipeline p: Numbers > Collect>"


async def test_pipelines_nest():
    sink = Collect()
    inner = pipeline(relay, pipeline(double, relay), and_next)
    await pipeline(pipeline(Numbers(3), double), inner, pipeline(odd_only, sink)).run()
    assert sink.got == [1, 5, 9]


async def test_emit_works_without_a_session_and_reaches_the_observers_of_a_run():
    async def tells(inlet):
        async for number in inlet:
            emit(Event(position=number))

    await pipeline(Numbers(2), tells).run()
    told = []
    hub = EventHub()
    with hub.observed_by(told.append), emitting_to(hub):
        await pipeline(Numbers(2), tells).run()
    assert [event.position for event in told] == [0, 1]


# --- links in a pipeline -----------------------------------------------------------------------------


async def test_the_slowest_stage_sets_the_pace(autojump_clock):
    ahead = []

    class Slow(Collect):
        async def __call__(self, inlet):
            async for frame in inlet:
                ahead.append(source.stopped_at)
                await trio.sleep(1)
                self.got.append(frame)

    source = Numbers(20)
    await pipeline(source, relay, Slow()).run()
    in_flight = [at - done for done, at in enumerate(ahead) if at is not None]
    assert max(in_flight) <= 5  # two links of one, two stages with one in hand, one at the source


@attrs.frozen
class Sound:
    duration_s: float


async def test_links_are_bounded_in_seconds_if_asked(autojump_clock):
    async def source(outlet):
        for _ in range(20):
            await outlet.send(Sound(0.02))

    async def slow(inlet):
        async for _ in inlet:
            await trio.sleep(1)

    made = pipeline(source, slow, link_s=0.1, link_items=100)
    await made.run()
    (link,) = made.statistics().links
    assert link.peak_s == pytest.approx(0.1)
    assert link.peak_items == 5


async def test_statistics_of_stages_and_links():
    made = pipeline(Numbers(10), odd_only, relay, double, pipeline(relay, name="in"), Collect(), name="p")
    assert {stage.state for stage in made.statistics().stages} == {"ready"}
    await made.run()
    statistics = made.statistics()
    assert [stage.name for stage in statistics.stages] == ["Numbers", "relay", "in", "Collect"]
    assert {stage.state for stage in statistics.stages} == {"ended"}
    assert [(stage.frames_in, stage.frames_out) for stage in statistics.stages] == [
        (None, 5),
        (5, 5),
        (5, 5),
        (5, None),
    ]
    assert [stage.transforms for stage in statistics.stages] == [("odd_only",), ("double",), (), ()]
    assert statistics.stages[2].inner.stages[0].frames_in == 5
    assert [link.name for link in statistics.links] == ["p/Numbers>relay", "p/relay>in", "p/in>Collect"]
    assert {link.state for link in statistics.links} == {"ended"}
    assert {link.open_receivers + link.open_senders for link in statistics.links} == {0}


# --- transforms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ((double, odd_only), []),
        ((odd_only, double), [2, 6]),
        ((and_next, odd_only), [1, 1, 3, 3]),
        ((relay, and_next, double), [0, 2, 2, 4, 4, 6, 6, 8]),
        ((and_next, relay, odd_only, relay, double), [2, 2, 6, 6]),
    ],
)
async def test_transforms_anywhere_do_what_they_do(stages, expected):
    sink = Collect()
    await pipeline(Numbers(4), *stages, sink).run()
    assert sink.got == expected
    sink = Collect()
    await pipeline(Numbers(4), pipeline(*stages), sink).run()
    assert sink.got == expected


async def test_flushed_frames_pass_through_what_comes_after():
    for wrap in (lambda *stages: stages, lambda *stages: (pipeline(*stages),)):
        sink = Collect()
        middle = wrap(relay, transform(Count()), double)
        await pipeline(Numbers(4), *middle, sink).run()
        assert sink.got == [12]

        sink = Collect()
        await pipeline(
            Numbers(3), *wrap(transform(Sum()), and_next, transform(Sum()), double), relay, sink
        ).run()
        assert sink.got == [0, 2, 2, 4, 4, 6, Total(6), Total(8), Total(18)]


async def test_transforms_before_any_stage_run_in_the_first_stage():
    sender, receiver = open_link(max_items=10)
    sink = Collect()
    made = pipeline(double, transform(Count()), and_next, sink)
    for number in range(3):
        sender.send_nowait(number)
    sender.close()
    await made(receiver)
    assert sink.got == [6, 7]
    assert made.statistics().stages[0].transforms == ("double", "Count", "and_next")


async def test_transforms_have_no_tasks_of_their_own():
    tasks = []

    @transform
    def who(number):
        tasks.append(trio.lowlevel.current_task().name)
        return number

    who2, who3, who4 = (transform(lambda number: who(number)) for _ in range(3))
    row = pipeline(who4, name="row")
    await pipeline(Numbers(1), who, who2, row, relay, who3, Collect(), name="p").run()
    assert tasks == ["p/Numbers"] * 3 + ["p/relay"]


async def test_a_pipeline_of_transforms_only_is_one_loop():
    sender, receiver = open_link(max_items=10)
    out, result = open_link(max_items=10)
    for number in range(3):
        sender.send_nowait(number)
    sender.close()
    made = pipeline(double, transform(Count()), and_next)
    await made(receiver, out)
    assert [number async for number in result] == [6, 7]
    assert [stage.name for stage in made.statistics().stages] == ["double+Count+and_next"]
    assert made.statistics().links == ()


async def test_transforms_are_reset_before_the_first_frame():
    resets = []

    class Reset(Count):
        def reset(self):
            resets.append(self)
            self.total = 0

    counter = Reset()
    counter.total = 1000
    sink = Collect()
    made = pipeline(Numbers(3), transform(counter), sink)
    assert resets == []
    await made.run()
    assert resets == [counter]
    assert sink.got == [3]


@pytest.mark.parametrize("place", ["outlet", "inlet", "alone", "nested"])
async def test_a_transform_that_fails_fails_the_pipeline_and_is_named(place):
    error = ValueError("boo")

    @transform
    def picky(number):
        if number == 3:
            raise error
        return number

    sink = Collect()
    stages = {
        "outlet": lambda: (Numbers(), picky, sink),
        "inlet": lambda: (Numbers(), pipeline(picky, relay, name="p"), sink),
        "alone": lambda: (Numbers(), pipeline(picky, name="q"), sink),
        "nested": lambda: (Numbers(), pipeline(relay, name="q"), picky, sink),
    }[place]()
    with pytest.raises(ValueError, match="boo") as caught:
        await pipeline(*stages, name="p").run()
    assert caught.value is error
    assert error.__notes__[0] == "in transform picky of pipeline p"
    assert set(sink.got) <= {0, 1, 2}


async def test_a_stage_cannot_hide_the_failure_of_a_fused_transform():
    @transform
    def picky(number):
        raise ValueError("boo")

    async def hides_sends(inlet, outlet):
        async for frame in inlet:
            try:
                await outlet.send(frame)
            except ValueError:
                await trio.lowlevel.checkpoint()

    async def hides_receives(inlet):
        try:
            await inlet.receive()
        except ValueError:
            await trio.lowlevel.checkpoint()

    for stages in ((Numbers(), hides_sends, picky, Collect()), (Numbers(), pipeline(picky, hides_receives))):
        with pytest.raises(ValueError, match="boo"):
            await pipeline(*stages).run()


async def test_a_fused_inlet_can_be_closed_by_its_stage():
    async def closes(inlet):
        assert await inlet.receive() == 0
        await inlet.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await inlet.receive()

    source = Numbers(1000)
    await pipeline(source, pipeline(and_next, closes)).run()
    assert source.stopped_at is not None


async def test_a_transform_that_failed_is_not_called_again():
    calls = []

    @transform
    def picky(number):
        calls.append(number)
        raise ValueError("boo")

    async def tries_again(inlet):
        for _ in range(3):
            with pytest.raises(ValueError, match="boo"):
                await inlet.receive()

    with pytest.raises(ValueError, match="boo"):
        await pipeline(Numbers(), pipeline(picky, tries_again)).run()
    assert calls == [0]


def test_tasks_that_receive_at_once_share_what_the_transforms_make():
    for seed in range(30):
        got = []

        async def two_hands(inlet, got=got):
            async def hand():
                async for number in inlet:
                    got.append(number)
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hand)
                nursery.start_soon(hand)

        made = pipeline(Numbers(6), pipeline(and_next, transform(Tail()), two_hands))
        run_seeded(made.run, seed)
        assert sorted(got) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_tasks_that_send_at_once_do_not_mix_the_results_of_one_frame():
    for seed in range(30):
        sink = Collect()

        async def two_hands(outlet):
            async def hand(first):
                for number in (first, first + 2):
                    await outlet.send(number)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hand, 10)
                nursery.start_soon(hand, 20)

        run_seeded(pipeline(two_hands, and_next, sink, name="p").run, seed)
        assert sorted(sink.got[::2]) == [10, 12, 20, 22]
        assert [number + 1 for number in sink.got[::2]] == sink.got[1::2]


async def test_a_fused_inlet_that_is_closed_tells_every_task_that_waits():
    told = []

    async def closes(inlet):
        async def wait():
            with pytest.raises(trio.ClosedResourceError):
                await inlet.receive()
            told.append(True)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await inlet.aclose()

    sender, inlet = open_link()
    await pipeline(double, closes)(inlet)
    assert len(told) == 3
    sender.close()


def test_a_fused_inlet_that_is_closed_while_a_result_is_on_its_way():
    async def closes(inlet):
        async def wait():
            with pytest.raises(trio.ClosedResourceError):
                await inlet.receive()

        await inlet.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(inlet.aclose)

    for seed in range(10):
        run_seeded(pipeline(Numbers(1), pipeline(and_next, closes)).run, seed)


async def test_a_result_that_is_no_frame_is_a_clear_error():
    with pytest.raises(TypeError, match="returned str 'text': neither a frame") as caught:
        await pipeline(Numbers(), transform(lambda number: "text"), Collect(), name="p").run()
    assert caught.value.__notes__[0] == "in transform <lambda> of pipeline p"


async def test_a_stage_may_close_its_fused_outlet_itself():
    async def closes(inlet, outlet):
        async with outlet:
            await relay(inlet, outlet)

    async def closes_early(inlet, outlet):
        await outlet.send(await inlet.receive())
        await outlet.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await outlet.send(1)

    sink = Collect()
    await pipeline(Numbers(4), closes, transform(Count()), sink).run()
    assert sink.got == [6]
    sink = Collect()
    await pipeline(Numbers(4), closes_early, and_next, sink).run()
    assert sink.got == [0, 1]


async def test_a_failure_under_async_with_breaks_the_outlet_and_does_not_flush():
    async def fails(inlet, outlet):
        async with outlet:
            await outlet.send(1)
            raise ValueError("boo")

    out, result = open_link(max_items=5)
    with pytest.raises(ValueError, match="boo"):
        await pipeline(Numbers(), fails, transform(Count()))(out)
    with pytest.raises(LinkBroken):
        await result.receive()


# --- early return ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [False, True])
async def test_a_stage_that_returns_early_stops_what_is_before_it(wrap):
    source, sink = Numbers(1000), Collect()
    before = pipeline(relay, double, relay) if wrap else relay
    made = pipeline(source, and_next, before, first_three, relay, sink)
    await made.run()
    assert len(sink.got) == 3
    assert source.stopped_at is not None
    assert source.stopped_at < 10
    states = [stage.state for stage in made.statistics().stages]
    assert states == ["stopped", "ended" if wrap else "stopped", "ended", "ended", "ended"]


async def test_an_early_return_flushes_what_is_after_it_and_not_what_is_before_it():
    sink = Collect()
    flushed = []

    class Tells(Sum):
        def flush(self):
            flushed.append(self)
            return ()

    await pipeline(Numbers(1000), transform(Tells()), first_three, transform(Count()), sink).run()
    assert sink.got == [3]
    assert flushed == []


async def test_an_early_return_inside_stops_the_outside():
    source, sink = Numbers(1000), Collect()
    await pipeline(source, pipeline(double, relay, first_three, relay), sink).run()
    assert sink.got == [0, 2, 4]
    assert source.stopped_at is not None


async def test_a_stage_may_notice_that_it_is_stopped():
    noticed = []

    async def polite(inlet, outlet):
        try:
            await relay(inlet, outlet)
        except LinkStopped:
            noticed.append("stopped")

    await pipeline(Numbers(1000), polite, first_three, Collect()).run()
    assert noticed == ["stopped"]


async def test_being_stopped_inside_a_nursery_of_the_stage_is_no_failure():
    async def with_nursery(inlet, outlet):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(relay, inlet, outlet)

    sink = Collect()
    await pipeline(Numbers(1000), with_nursery, first_three, sink).run()
    assert len(sink.got) == 3


async def test_the_stop_of_another_link_is_a_failure():
    other, gone = open_link()
    gone.close()

    async def uses_another(inlet, outlet):
        async for frame in inlet:
            await other.send(frame)

    with pytest.raises(LinkStopped) as caught:
        await pipeline(Numbers(), uses_another, Collect(), name="p").run()
    assert caught.value.link is other.link
    assert caught.value.__notes__ == ["in stage uses_another of pipeline p"]


async def test_a_broken_resource_of_something_else_is_a_failure():
    async def peer_is_gone(inlet, outlet):
        raise trio.BrokenResourceError("the socket")

    with pytest.raises(trio.BrokenResourceError, match="the socket"):
        await pipeline(Numbers(), peer_is_gone, Collect()).run()


async def test_what_fails_beside_a_stop_is_reported():
    async def stops_and_fails(inlet, outlet):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay, inlet, outlet)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("cleanup")

    with pytest.raises(ExceptionGroup) as caught:
        await pipeline(Numbers(1000), stops_and_fails, first_three, Collect()).run()
    assert [type(exc) for exc in caught.value.exceptions] == [ValueError]


# --- as a stage, with ends from outside ---------------------------------------------------------------


async def test_it_closes_the_ends_it_was_given():
    inlet_end, inlet = open_link(max_items=5)
    outlet, result = open_link(max_items=5)
    inlet_end.send_nowait(1)
    inlet_end.close()
    await pipeline(double)(inlet, outlet)
    assert [number async for number in result] == [2]
    assert inlet.statistics().open_receivers == 0


async def test_trios_memory_channels_fit():
    give, inlet = trio.open_memory_channel(10)
    outlet, take = trio.open_memory_channel(10)
    for number in range(4):
        give.send_nowait(number)
    give.close()
    await pipeline(relay, and_next, relay)(inlet, outlet)
    assert [number async for number in take] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert (inlet.statistics().open_receive_channels, take.statistics().open_send_channels) == (0, 0)


@pytest.mark.parametrize("stages", [(relay,), (relay, double), (double,), (pipeline(relay, double, relay),)])
async def test_a_memory_channel_whose_receiver_is_closed_stops_the_pipeline(stages):
    source = Numbers(1000)
    outlet, take = trio.open_memory_channel(0)
    made = pipeline(source, *stages)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made, outlet)
        assert await take.receive() == 0
        take.close()
    assert source.stopped_at is not None
    assert made.statistics().stages[0].state == "stopped"
    assert take.statistics().open_send_channels == 0
    assert made.statistics().stages[-1].frames_out is None


class Foreign(trio.abc.SendChannel):
    """A channel of somebody else, over a link, whose close waits."""

    def __init__(self, sender, close_s=0.0):
        self.sender = sender
        self.close_s = close_s
        self.closed_at = None

    async def send(self, value):
        await self.sender.send(value)

    async def aclose(self):
        try:
            await trio.sleep(self.close_s)
        finally:
            self.closed_at = trio.current_time()
            self.sender.close()


async def test_a_channel_of_somebody_else_is_stopped_by_the_stop_of_its_link(autojump_clock):
    sender, receiver = open_link()
    outlet = Foreign(sender, close_s=0.1)
    source = Numbers(1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipeline(source, double), outlet)
        assert await receiver.receive() == 0
        receiver.close()
    assert source.stopped_at is not None
    assert outlet.closed_at == trio.current_time()


async def test_a_foreign_close_holds_up_a_cancel_for_a_bounded_time(autojump_clock):
    sender, receiver = open_link()
    outlet = Foreign(sender, close_s=100)
    began = trio.current_time()
    with trio.move_on_after(1):
        await pipeline(Numbers(1000), double)(outlet)
    assert trio.current_time() - began == 2
    assert outlet.closed_at == trio.current_time()
    assert receiver.statistics().open_senders == 0


async def test_a_failure_breaks_the_outlet_that_was_given():
    error = ValueError("boo")
    outlet, result = open_link(max_items=100)
    with pytest.raises(ValueError, match="boo"):
        await pipeline(Numbers(), fail_at(3, error), double)(outlet)
    assert [await result.receive() for _ in range(3)] == [0, 2, 4]
    with pytest.raises(LinkBroken) as caught:
        await result.receive()
    assert caught.value.cause is error


async def test_a_cancel_breaks_the_outlet_that_was_given():
    outlet, result = open_link(max_items=100)
    with trio.CancelScope() as scope:

        async def cancels(inlet, outlet):
            await outlet.send(await inlet.receive())
            scope.cancel()
            await trio.lowlevel.checkpoint()

        await pipeline(Numbers(), cancels)(outlet)
    assert scope.cancelled_caught
    assert await result.receive() == 0
    with pytest.raises(LinkBroken):
        await result.receive()


async def test_a_broken_inlet_is_passed_on_and_raised():
    cause = ValueError("upstream")
    sender, inlet = open_link(max_items=5)
    outlet, result = open_link(max_items=5)
    sender.send_nowait(1)
    sender.abort(cause)
    with pytest.raises(LinkBroken) as caught:
        await pipeline(double, relay, relay)(inlet, outlet)
    assert caught.value.link is inlet.link
    with pytest.raises(LinkBroken) as caught:
        await Collect()(result)
    assert caught.value.cause is cause


async def test_ends_are_closed_when_a_transform_cannot_be_reset():
    class BadReset(Count):
        def reset(self):
            raise ValueError("reset")

    _, inlet = open_link()
    outlet, result = open_link()
    with pytest.raises(ValueError, match="reset"):
        await pipeline(relay, transform(BadReset()))(inlet, outlet)
    with pytest.raises(LinkBroken):
        await result.receive()
    assert inlet.statistics().open_receivers == 0


# --- failures ----------------------------------------------------------------------------------------


async def test_one_failure_is_raised_as_itself_with_a_note():
    error = ValueError("boo")
    with pytest.raises(ValueError, match="boo") as caught:
        await pipeline(Numbers(), relay, fail_at(3, error), relay, Collect(), name="p").run()
    assert caught.value is error
    assert error.__notes__ == ["in stage failing of pipeline p"]
    assert error.__context__ is None


async def test_one_failure_deep_inside_is_one_failure_with_a_note_a_level():
    error = ValueError("boo")
    inner = pipeline(relay, fail_at(3, error), relay, name="inner")
    made = pipeline(Numbers(), inner, relay, Collect(), name="outer")
    with pytest.raises(ValueError, match="boo") as caught:
        await made.run()
    assert caught.value is error
    assert error.__notes__ == ["in stage failing of pipeline inner", "in stage inner of pipeline outer"]
    assert [stage.state for stage in made.statistics().stages][1] == "failed"
    assert {stage.state for stage in made.statistics().stages[2:]} <= {"broken", "cancelled"}


async def test_several_failures_are_one_flat_group(autojump_clock):
    def fails(error, after=0.0):
        async def failing(inlet, outlet):
            try:
                await trio.sleep(1)
                raise error
            except trio.Cancelled:
                raise error from None

        return failing

    errors = [ValueError("a"), KeyError("b"), OSError("c")]
    inner = pipeline(fails(errors[0]), relay, fails(errors[1]), name="inner")
    with pytest.raises(ExceptionGroup) as caught:
        await pipeline(Numbers(), inner, fails(errors[2]), Collect(), name="outer").run()
    assert set(caught.value.exceptions) == set(errors)
    assert "3 failures in pipeline outer" in str(caught.value)
    assert "in stage inner of pipeline outer" in errors[0].__notes__


async def test_a_group_that_a_stage_raises_stays_what_it_is():
    class Special(ExceptionGroup):
        def derive(self, excs):
            return Special(self.message, excs)

    for group in (ExceptionGroup("plain", [ValueError()]), Special("special", [ValueError()])):
        with pytest.raises(ExceptionGroup) as caught:
            await pipeline(Numbers(), fail_at(3, group), Collect()).run()
        assert caught.value is group


async def test_a_stage_that_breaks_its_outlet_and_returns_is_still_reported():
    async def breaks(inlet, outlet):
        outlet.abort(ValueError("boo"))
        await trio.lowlevel.checkpoint()

    with pytest.raises(LinkBroken, match="boo"):
        await pipeline(Numbers(), breaks, relay, Collect()).run()


async def test_a_failure_that_answers_a_broken_link_is_reported_beside_it(autojump_clock):
    async def answers(inlet):
        try:
            async for _ in inlet:
                pass
        except LinkBroken:
            raise KeyError("mine") from None

    with pytest.raises(ExceptionGroup) as caught:
        await pipeline(Numbers(), fail_at(3, ValueError("boo")), answers).run()
    assert {type(exc) for exc in caught.value.exceptions} == {ValueError, KeyError}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_propagates(kind):
    with pytest.raises(kind):
        await pipeline(Numbers(), fail_at(3, kind()), Collect()).run()

    async def cleanup_fails(inlet):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    with pytest.raises(BaseExceptionGroup) as caught:
        await pipeline(Numbers(), fail_at(1, kind()), cleanup_fails).run()
    assert {type(exc) for exc in caught.value.exceptions} == {kind, ValueError}


async def test_an_error_in_cleanup_is_not_lost_in_a_cancel(autojump_clock):
    async def cleanup_fails(inlet):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    with pytest.raises(ValueError, match="cleanup"):
        with trio.move_on_after(1):
            await pipeline(Numbers(), cleanup_fails).run()


async def test_a_failure_in_a_group_with_a_cancel_is_raised(autojump_clock):
    async def cleanup_fails():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async def with_nursery(inlet):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cleanup_fails)
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(ExceptionGroup) as caught:
        with trio.move_on_after(1):
            await pipeline(Numbers(), with_nursery).run()
    assert [str(exc) for exc in caught.value.exceptions] == ["cleanup"]


def test_ctrl_c_while_it_runs_is_a_keyboard_interrupt():
    @trio.lowlevel.enable_ki_protection
    def press():
        # It is protected, so the interrupt goes to the main task, which waits in the nursery.
        signal.raise_signal(signal.SIGINT)

    async def interrupts(inlet):
        press()
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(pipeline(Numbers(), interrupts).run)


async def test_a_cancel_is_a_cancel(autojump_clock):
    made = pipeline(Numbers(), relay, Collect())

    async def forever(inlet):
        await trio.sleep_forever()

    made = pipeline(Numbers(), relay, pipeline(relay, forever))
    with trio.move_on_after(1) as scope:
        await made.run()
    assert scope.cancelled_caught
    assert {stage.state for stage in made.statistics().stages} == {"cancelled"}


async def test_only_the_pipeline_is_left_not_the_callers_nursery(autojump_clock):
    async with trio.open_nursery() as nursery:

        async def beside():
            await trio.sleep(5)
            done.append(True)

        done = []
        nursery.start_soon(beside)
        with pytest.raises(ValueError, match="boo"):
            await pipeline(Numbers(), fail_at(1, ValueError("boo")), Collect()).run()
    assert done == [True]


# --- cancelled at every step --------------------------------------------------------------------------


def everything_closed(made: Pipeline) -> None:
    for link in made.statistics().links:
        assert (link.open_senders, link.open_receivers) == (0, 0)
        assert (link.tasks_waiting_send, link.tasks_waiting_receive) == (0, 0)
    for stage in made.statistics().stages:
        assert stage.state not in ("ready", "running")


def test_cancelled_at_every_step_it_leaves_nothing_behind():
    def make():
        sink = Collect()
        async_with = pipeline(double, relay, and_next, transform(Sum()), relay, name="inner")
        made = pipeline(Numbers(6), async_with, first_three, relay, sink, name="outer")

        def check():
            everything_closed(made)
            assert sink.got == [0, 1, 2][: len(sink.got)]

        return made.run, check

    cancel_at_every_step(make)


def test_cancelled_at_every_step_its_given_ends_are_closed():
    def make():
        outlet, result = trio.open_memory_channel(2)
        sender, inlet = open_link(max_items=10)
        for number in range(8):
            sender.send_nowait(number)
        sender.close()
        made = pipeline(double, relay, transform(Count()), relay, and_next)

        async def scenario():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(made, inlet, outlet)
                with result:
                    async for _ in result:
                        pass

        def check():
            if made.statistics().stages[0].state == "ready":
                return  # cancelled before the test's own nursery had begun it
            everything_closed(made)
            assert inlet.statistics().open_receivers == 0
            assert result.statistics().open_send_channels == 0

        return scenario, check

    cancel_at_every_step(make)


def test_cancelled_at_every_step_a_failure_is_itself_or_nothing():
    def make():
        error = ValueError("boo")
        made = pipeline(Numbers(), relay, pipeline(fail_at(2, error), relay), relay, Collect())

        raised = []

        async def scenario():
            try:
                await made.run()
            except ValueError as exc:
                raised.append(exc)

        def check():
            everything_closed(made)
            assert raised in ([], [error])

        return scenario, check

    cancel_at_every_step(make)
