"""Random pipelines under random schedules, beside what they should do: each part applied to a list."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.schedules import run_cancelled_at, run_seeded
from voicetrio.runtime.parallel import Parallel
from voicetrio.runtime.pipeline import Pipeline, pipeline
from voicetrio.runtime.transforms import transform


@attrs.frozen
class Part:
    """A stage or transform, and what it makes of a whole stream."""

    name: str
    make: Callable[[], object]
    expected: Callable[[list[int]], list[int]]


# --- transforms ------------------------------------------------------------------------------------


class PairSums:
    """Two in, one out; the odd one comes with the flush."""

    def __init__(self):
        self.held = None

    def __call__(self, number):
        if self.held is None:
            self.held = number
            return None
        total, self.held = self.held + number, None
        return total

    def flush(self):
        return None if self.held is None else self.held


class Tail:
    """Delays by two, and flushes two."""

    def __init__(self):
        self.held = []

    def __call__(self, number):
        self.held.append(number)
        return self.held.pop(0) if len(self.held) > 2 else None

    def flush(self):
        return list(self.held)


def pair_sums(numbers):
    return [sum(numbers[at : at + 2]) for at in range(0, len(numbers), 2)]


def spread(number):
    return [number] * (number % 4)


# --- stages ----------------------------------------------------------------------------------------


def relay(pauses):
    def make():
        async def relaying(inlet, outlet):
            count = 0
            async for number in inlet:
                await trio.sleep(pauses[count % len(pauses)])
                count += 1
                await outlet.send(number)

        return relaying

    return make


def take(count):
    def make():
        async def taking(inlet, outlet):
            for _ in range(count):
                try:
                    number = await inlet.receive()
                except trio.EndOfChannel:
                    return
                await outlet.send(number)
            await trio.lowlevel.checkpoint()

        return taking

    return make


def gather():
    """Sends nothing before the end."""

    async def gathering(inlet, outlet):
        for number in [number async for number in inlet]:
            await outlet.send(number)

    return gathering


def impatient():
    """Gives up each receive after a while and tries again: nothing may be lost by that."""

    async def trying(inlet, outlet):
        while True:
            with trio.move_on_after(0.3):
                try:
                    number = await inlet.receive()
                except trio.EndOfChannel:
                    return
                await trio.lowlevel.cancel_shielded_checkpoint()
                with trio.CancelScope(shield=True):
                    await outlet.send(number)

    return trying


def next_too(number):
    yield number
    yield number + 1


def even(number):
    return None if number % 2 else number


TRANSFORMS = st.sampled_from(
    [
        Part("negate", lambda: transform(lambda number: -number), lambda ns: [-n for n in ns]),
        Part("evens", lambda: transform(even), lambda ns: [n for n in ns if n % 2 == 0]),
        Part("spread", lambda: transform(spread), lambda ns: [n for n in ns for _ in range(n % 4)]),
        Part("pairs", lambda: transform(PairSums()), pair_sums),
        Part("tail", lambda: transform(Tail()), lambda ns: ns),
        Part("lazy", lambda: transform(next_too), lambda ns: [m for n in ns for m in (n, n + 1)]),
    ]
)  # fmt: skip
PAUSES = st.lists(st.sampled_from([0.0, 0.2, 1.0]), min_size=1, max_size=4)
STAGES = st.one_of(
    PAUSES.map(lambda pauses: Part("relay", relay(pauses), lambda ns: ns)),
    st.integers(0, 6).map(lambda n: Part(f"take{n}", take(n), lambda ns: ns[:n])),
    st.sampled_from([Part("gather", gather, lambda ns: ns), Part("impatient", impatient, lambda ns: ns)]),
    PAUSES.map(lambda pauses: Part("one", lambda: Parallel(relay(pauses)()), lambda ns: ns)),
)


def nest(parts: list[Part], name: str) -> Part:
    def expected(numbers):
        for part in parts:
            numbers = part.expected(numbers)
        return numbers

    return Part(name, lambda: pipeline(*(part.make() for part in parts), name=name), expected)


def rows(parts):
    return st.lists(parts, min_size=1, max_size=4).map(
        lambda row: nest(row, f"[{' '.join(part.name for part in row)}]")
    )


PARTS = st.recursive(st.one_of(TRANSFORMS, TRANSFORMS, STAGES), rows, max_leaves=6)


@attrs.frozen
class Scenario:
    """A pipeline with a source and a sink."""

    made: Pipeline
    got: list[int]


def scenario_of(parts: list[Part], count: int, link_items: int) -> Scenario:
    got: list[int] = []

    async def source(outlet):
        for number in range(1, count + 1):
            await outlet.send(number)
        await trio.lowlevel.checkpoint()

    async def sink(inlet):
        async for number in inlet:
            got.append(number)  # noqa: PERF401  # what came before a cancel counts

    made = pipeline(source, *(part.make() for part in parts), sink, name="p", link_items=link_items)
    return Scenario(made, got)


def assert_closed(statistics) -> None:
    """Check that no link of a pipeline, nor of what is in it, is open."""
    for link in statistics.links:
        assert (link.open_senders, link.open_receivers) == (0, 0), link
        assert (link.tasks_waiting_send, link.tasks_waiting_receive) == (0, 0), link
        assert link.peak_items <= max(link.max_items, 0), link
    for stage in getattr(statistics, "stages", None) or statistics.branches:
        assert stage.state != "running", stage
        if stage.inner is not None:
            assert_closed(stage.inner)


SCENARIOS = {
    "parts": st.lists(PARTS, max_size=5),
    "count": st.integers(0, 12),
    "link_items": st.integers(0, 3),
    "seed": st.integers(0, 2**32),
}


@settings(deadline=None, max_examples=300)
@given(**SCENARIOS)
def test_fused_and_nested_it_does_what_its_parts_do_one_after_the_other(parts, count, link_items, seed):
    scenario = scenario_of(parts, count, link_items)
    expected = nest(parts, "all").expected(list(range(1, count + 1)))
    run_seeded(scenario.made.run, seed)
    assert scenario.got == expected
    assert_closed(scenario.made.statistics())


@settings(deadline=None, max_examples=150)
@given(**SCENARIOS, step=st.integers(1, 120))
def test_cancelled_at_any_step_it_is_a_prefix_and_all_is_closed(parts, count, link_items, seed, step):
    scenario = scenario_of(parts, count, link_items)
    expected = nest(parts, "all").expected(list(range(1, count + 1)))
    run_cancelled_at(scenario.made.run, step, seed)
    assert scenario.got == expected[: len(scenario.got)]
    assert_closed(scenario.made.statistics())


@settings(deadline=None, max_examples=150)
@given(**SCENARIOS, place=st.integers(0, 5), when=st.integers(0, 8), in_transform=st.booleans())
def test_one_failure_anywhere_is_one_report(parts, count, link_items, seed, place, when, in_transform):
    error = ValueError("boo")
    seen = 0

    def count_and_fail(number):
        nonlocal seen
        seen += 1
        if seen > when:
            raise error
        return number

    async def failing(inlet, outlet):
        async for number in inlet:
            await outlet.send(count_and_fail(number))

    bad = Part("bad", lambda: transform(count_and_fail) if in_transform else failing, lambda ns: ns)
    scenario = scenario_of([*parts[:place], bad, *parts[place:]], count, link_items)
    expected = nest(parts, "all").expected(list(range(1, count + 1)))
    kind = "transform count_and_fail" if in_transform else "stage failing"
    failed = None
    try:
        run_seeded(scenario.made.run, seed)
    except ValueError as exc:
        failed = exc
    assert (failed is error) == (seen > when)
    if failed is None:
        assert scenario.got == expected
    else:
        assert len(scenario.got) <= len(expected)
        assert failed.__notes__ == [f"in {kind} of pipeline p"]
    assert_closed(scenario.made.statistics())


@settings(deadline=None, max_examples=100)
@given(
    branches=st.lists(
        st.lists(st.one_of(TRANSFORMS, STAGES), min_size=1, max_size=3), min_size=1, max_size=3
    ),
    count=st.integers(0, 10),
    seed=st.integers(0, 2**32),
    link_items=st.integers(0, 2),
)
def test_parallel_loses_nothing_and_keeps_each_branchs_order(branches, count, seed, link_items):
    came_out: dict[int, list[int]] = {which: [] for which in range(len(branches))}
    numbers = list(range(1, count + 1))
    rows = [nest(row, f"row{which}") for which, row in enumerate(branches)]

    def tagged(which):
        # A tag is a string, so that it is another type than what comes in: still one frame.
        return transform(lambda number: Tagged(which, number))

    async def source(outlet):
        for number in numbers:
            await outlet.send(number)
        await trio.lowlevel.checkpoint()

    async def sink(inlet):
        async for tag in inlet:
            came_out[tag.which].append(tag.number)

    made = Parallel(
        *(pipeline(row.make(), tagged(which)) for which, row in enumerate(rows)), link_items=link_items
    )
    outer = pipeline(source, made, sink)
    run_seeded(outer.run, seed)
    assert list(came_out.values()) == [row.expected(numbers) for row in rows]
    assert_closed(outer.statistics())


@attrs.frozen
class Tagged:
    which: int
    number: int
