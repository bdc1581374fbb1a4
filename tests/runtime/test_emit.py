"""Telling events: in any task, to bounded observers that can break nothing."""

from __future__ import annotations

import pytest
import trio

from voicetrio.events import Dtmf, Event, SourceEnded
from voicetrio.runtime.emit import EventHub, emit, emitting_to, watching_hubs


async def test_without_a_session_an_event_is_gone() -> None:
    emit(Dtmf(digit="1"))


async def test_tasks_started_inside_tell_the_same_hub(autojump_clock: trio.testing.MockClock) -> None:
    hub = EventHub()
    seen: list[Event] = []

    async def child() -> None:
        await trio.sleep(2)
        emit(Dtmf(digit="1"))

    with hub.observed_by(seen.append), emitting_to(hub):
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
    emit(Dtmf(digit="2"))
    assert seen == [Dtmf(digit="1", time=start + 2)]


async def test_a_full_inbox_drops_and_counts() -> None:
    hub = EventHub()
    with hub.subscribe(max_items=2) as subscription:
        for digit in "123":
            hub.tell(Dtmf(digit=digit))
        hub.close()
        assert [event.digit async for event in subscription if isinstance(event, Dtmf)] == ["1", "2"]
        assert subscription.dropped == hub.statistics().dropped == 1


async def test_an_observer_that_fails_is_counted_and_breaks_nothing() -> None:
    hub = EventHub()
    seen: list[Event] = []

    def fails(event: Event) -> None:
        raise ValueError("observer")

    with hub.observed_by(fails), hub.observed_by(seen.append):
        hub.tell(Dtmf(digit="1"))
    assert len(seen) == 1
    assert hub.statistics().observer_errors == 1


async def test_a_receiver_waits_for_the_next_event_and_sees_the_end() -> None:
    hub = EventHub()
    got: list[Event] = []

    async def observe() -> None:
        async with hub.subscribe() as subscription:
            got.append(await subscription.receive())
            with pytest.raises(trio.EndOfChannel):
                await subscription.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(observe)
        await trio.testing.wait_all_tasks_blocked()
        hub.tell(Dtmf(digit="1"))
        hub.close()
    assert len(got) == 1
    assert hub.statistics().subscribers == 0


async def test_a_closed_subscription_refuses_and_takes_no_more() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    subscription.close()
    hub.tell(Dtmf(digit="1"))
    with pytest.raises(trio.ClosedResourceError):
        await subscription.receive()


async def test_a_watcher_sees_the_events_of_hubs_that_are_made_inside_its_block() -> None:
    outside = EventHub()
    seen: list[Event] = []
    with watching_hubs(seen.append):
        inside = EventHub()
    for hub in (outside, inside):
        hub.tell(SourceEnded())
    await trio.lowlevel.checkpoint()
    assert len(seen) == 1


async def test_an_event_keeps_the_time_that_it_came_with() -> None:
    hub = EventHub()
    seen: list[Event] = []
    with hub.observed_by(seen.append):
        hub.tell(SourceEnded(time=7.0))
    await trio.lowlevel.checkpoint()
    assert [event.time for event in seen] == [7.0]
