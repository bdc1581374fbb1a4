"""A Switch that remembers: deadlines of attempts, circuit breakers, probes."""

from __future__ import annotations

import pytest
import trio

from tests.runtime.test_switch import branch, numbers, run
from voicetrio.errors import ConfigError, ServiceError
from voicetrio.events import Failure
from voicetrio.machines.breaker import BreakerSettings
from voicetrio.runtime.branch_health import open_branch_health
from voicetrio.runtime.pipeline import pipeline
from voicetrio.runtime.switch import Switch

SETTINGS = BreakerSettings(failures=2, open_s=10)


def stuck(on=2):
    """A factory of stages that hang on one number."""

    def make():
        async def hanging(inlet, outlet):
            async for number in inlet:
                if number == on:
                    await trio.sleep_forever()
                await outlet.send(f"s{number}")

        return hanging

    return make


async def test_a_branch_that_hangs_is_replaced_after_its_deadline(autojump_clock):
    got, told = await run(Switch(stuck(), branch("b"), attempt_s=3))
    assert got == ["s0", "s1", "b2", "b3", "b4"]
    assert trio.current_time() == pytest.approx(3)
    failure = next(event for event in told if isinstance(event, Failure))
    assert str(failure.error) == "hanging: it gave nothing and asked for nothing for 3 s"


async def test_a_branch_that_hangs_before_its_first_frame_is_replaced(autojump_clock):
    def make():
        async def never_ready(inlet, outlet):
            await trio.sleep_forever()

        return never_ready

    got, _told = await run(Switch(make, branch("b"), attempt_s=3))
    assert got == ["b0", "b1", "b2", "b3", "b4"]


async def test_a_branch_that_hangs_at_the_end_is_replaced(autojump_clock):
    def make():
        async def hanging(inlet, outlet):
            async for number in inlet:
                await outlet.send(f"s{number}")
            await trio.sleep_forever()

        return hanging

    got, _told = await run(Switch(make, branch("b"), attempt_s=3))
    assert got == [f"s{number}" for number in range(5)]
    assert trio.current_time() == pytest.approx(3)


async def test_waiting_for_others_is_not_the_branchs_fault(autojump_clock):
    async def slow_source(outlet):
        for number in range(3):
            await trio.sleep(10)
            await outlet.send(number)

    got = []

    async def slow_sink(inlet):
        async for frame in inlet:
            got.append(frame)
            await trio.sleep(10)

    def make():
        async def two_tasks(inlet, outlet):
            """One task waits for the inlet while another one sends."""
            give, take = trio.open_memory_channel(10)

            async def sender():
                async for number in take:
                    await trio.sleep(0.5)
                    await outlet.send(f"t{number}")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender)
                async for number in inlet:
                    await give.send(number)
                give.close()

        return two_tasks

    await pipeline(slow_source, Switch(make, branch("b"), attempt_s=3), slow_sink, name="p").run()
    assert got == ["t0", "t1", "t2"]


async def test_without_a_deadline_a_branch_may_take_its_time(autojump_clock):
    def make():
        async def slow(inlet, outlet):
            async for number in inlet:
                await trio.sleep(1000)
                await outlet.send(f"s{number}")

        return slow

    got, _told = await run(Switch(make, branch("b")), count=2)
    assert got == ["s0", "s1"]


async def test_what_failed_twice_is_not_tried_first_until_it_is_due(autojump_clock):
    down = True
    made = []

    def primary():
        made.append(trio.current_time())
        return branch("a", fails_on=range(5) if down else ())()

    async with open_branch_health(None, None, settings=SETTINGS) as health:
        for _ in range(4):
            got, _told = await run(Switch(primary, branch("b"), health=health))
            assert got[-1] == "b4"
        assert len(made) == 2
        assert [each.state for each in health.statistics()] == ["open", "closed"]
        await trio.sleep(10)
        await run(Switch(primary, branch("b"), health=health))  # the try that is due
        assert len(made) == 3
        down = False
        await trio.sleep(19)
        await run(Switch(primary, branch("b"), health=health))
        assert len(made) == 3
        await trio.sleep(1)
        got, _told = await run(Switch(primary, branch("b"), health=health))
        assert got[0] == "a0"
        assert health.statistics()[0].state == "closed"
        assert health.statistics()[0].opened == 2


async def test_a_refused_key_is_not_tried_again_with_every_reply(autojump_clock):
    error = ServiceError("bad key", service="a", fault="credentials")
    made = []

    def primary():
        made.append(None)
        return branch("a", fails_on=[0], error=error)()

    async with open_branch_health(None, None, settings=SETTINGS) as health:
        for _ in range(5):
            await run(Switch(primary, branch("b"), health=health))
    assert len(made) == 1


async def test_with_nothing_else_left_a_branch_that_may_be_down_is_tried(autojump_clock):
    async with open_branch_health(None, None, settings=SETTINGS) as health:
        for _ in range(3):
            with pytest.raises(ExceptionGroup):
                await run(Switch(branch("a", fails_on=[0, 1]), branch("b", fails_on=[0, 1]), health=health))
        assert [each.state for each in health.statistics()] == ["open", "open"]
        got, _told = await run(Switch(branch("a"), branch("b"), health=health))
        assert len(got) == 5
        assert "closed" in [each.state for each in health.statistics()]


async def test_a_probe_in_the_background_brings_the_primary_back(autojump_clock):
    down = True
    probed = []

    async def probe():
        probed.append(trio.current_time())
        await trio.sleep(0.5)
        if down:
            raise ServiceError("still down", service="a", transient=True)

    made = []

    def primary():
        made.append(trio.current_time())
        return branch("a", fails_on=range(5) if down else ())()

    async with open_branch_health(probe, None, settings=SETTINGS) as health:
        for _ in range(3):
            await run(Switch(primary, branch("b"), health=health))
        assert len(made) == 2
        await trio.sleep(45)
        # After 10 s, and then after twice as long.
        assert probed == pytest.approx([10, 30.5])
        down = False
        assert len(made) == 2  # no reply paid for finding out
        await trio.sleep(30)
        assert probed[-1] == pytest.approx(71)
        got, _told = await run(Switch(primary, branch("b"), health=health))
        assert got[0] == "a0"
        assert health.statistics()[0].probes == 3


async def test_a_probe_that_hangs_is_a_failure(autojump_clock):
    async def probe():
        await trio.sleep_forever()

    async with open_branch_health(probe, settings=SETTINGS, probe_s=2) as health:
        for _ in range(2):
            health.failed(0, OSError())
        await trio.sleep(12.5)
        assert health.statistics()[0].probes == 1
        assert health.statistics()[0].state == "open"


async def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="there is no branch"):
        async with open_branch_health():
            pass
    async with open_branch_health(None) as health:
        with pytest.raises(ConfigError, match="has 2 branches, its health 1"):
            Switch(branch("a"), branch("b"), health=health)
    with pytest.raises(ConfigError, match="attempt_s must be above 0"):
        Switch(branch("a"), attempt_s=0)


async def test_a_switch_without_numbers_ends_with_its_inlet(autojump_clock):
    sink = []

    async def collect(inlet):
        sink.extend([frame async for frame in inlet])

    await pipeline(numbers(0), Switch(branch("a"), attempt_s=1), collect, name="p").run()
    assert sink == []


async def test_what_its_block_raises_comes_out_as_it_is(autojump_clock):
    async def probe():
        await trio.sleep_forever()

    with pytest.raises(KeyError, match="mine"):
        async with open_branch_health(probe, None):
            raise KeyError("mine")
