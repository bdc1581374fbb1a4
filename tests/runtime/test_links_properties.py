"""A link under random operations and schedules, beside a model that is a list."""

from __future__ import annotations

from collections import deque

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.schedules import run_seeded
from voicetrio.errors import LinkBroken, LinkOverflow, LinkStopped
from voicetrio.runtime.links import open_link


@attrs.frozen
class Item:
    number: int
    duration_s: float


class Model:
    """What a link does when nobody waits."""

    def __init__(self, max_items, max_s, policy):
        self.max_items, self.max_s, self.policy = max_items, max_s, policy
        self.items: deque[Item] = deque()
        self.ended = self.broken = self.stopped = False

    def fits(self, item: Item) -> bool:
        if len(self.items) >= self.max_items:
            return False
        seconds = sum(each.duration_s for each in self.items)
        return self.max_s is None or not self.items or seconds + item.duration_s <= self.max_s + 1e-9

    def send(self, item: Item) -> str:
        if self.ended or self.broken:
            return "ClosedResourceError"
        if self.stopped:
            return "LinkStopped"
        if not self.fits(item):
            if self.policy == "block":
                return "WouldBlock"
            if self.policy == "fail":
                return "LinkOverflow"
            while self.items and not self.fits(item):
                self.items.popleft()
        self.items.append(item)
        return "sent"

    def receive(self) -> object:
        if self.stopped:
            return "ClosedResourceError"
        if self.items:
            return self.items.popleft()
        if self.broken:
            return "LinkBroken"
        return "EndOfChannel" if self.ended else "WouldBlock"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([0.0, 0.02, 0.05, 0.5])),
        st.tuples(st.just("receive")),
        st.tuples(st.just("receive")),
        st.tuples(st.sampled_from(["close", "abort", "stop"])),
    ),
    max_size=40,
)


def attempt(operation):
    try:
        return operation()
    except (
        trio.WouldBlock, trio.ClosedResourceError, trio.EndOfChannel, LinkBroken, LinkStopped, LinkOverflow
    ) as exc:  # fmt: skip
        return type(exc).__name__


@settings(deadline=None, max_examples=200)
@given(
    operations=OPERATIONS,
    max_items=st.integers(1, 4),
    max_s=st.sampled_from([None, 0.06, 0.2]),
    policy=st.sampled_from(["block", "drop_oldest", "fail"]),
)
def test_a_link_does_what_its_model_does(operations, max_items, max_s, policy):
    async def scenario():
        await trio.lowlevel.checkpoint()
        sender, receiver = open_link[Item](max_items=max_items, max_s=max_s, policy=policy)
        model = Model(max_items, max_s, policy)
        for number, (kind, *rest) in enumerate(operations):
            if kind == "send":
                item = Item(number, rest[0])
                assert (attempt(lambda item=item: sender.send_nowait(item)) or "sent") == model.send(item)
            elif kind == "receive":
                assert attempt(receiver.receive_nowait) == model.receive()
            elif kind == "stop":
                receiver.close()
                model.stopped = True
                model.items.clear()
            elif not (model.ended or model.broken):
                (sender.close if kind == "close" else sender.abort)()
                model.ended, model.broken = kind == "close", kind == "abort"
        statistics = sender.statistics()
        assert statistics.items == len(model.items)
        assert statistics.seconds == pytest.approx(sum(item.duration_s for item in model.items))
        assert statistics.peak_items <= max_items

    run_seeded(scenario, 0)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    receivers=st.integers(1, 3),
    max_items=st.integers(0, 3),
    max_s=st.sampled_from([None, 0.03]),
    patience=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.5]), min_size=1, max_size=20),
    pauses=st.lists(st.sampled_from([0.0, 0.7, 1.3]), min_size=1, max_size=20),
)
def test_impatient_tasks_lose_nothing_and_send_nothing_twice(
    seed, counts, receivers, max_items, max_s, patience, pauses
):
    """Sends and receives time out at random; what was sent is what was received, in each sender's order."""
    sent: list[list[int]] = [[] for _ in counts]
    got: list[Item] = []

    async def send_some(who, sender):
        with sender:
            for index in range(counts[who]):
                number = 100 * who + index
                await trio.sleep(pauses[number % len(pauses)])
                with trio.move_on_after(patience[number % len(patience)]) as scope:
                    await sender.send(Item(number, 0.02))
                if not scope.cancelled_caught:
                    sent[who].append(number)

    async def receive_some(who, receiver):
        with receiver:
            for turn in range(1000):
                with trio.move_on_after(patience[(who + turn) % len(patience)] + 0.1):
                    try:
                        got.append(await receiver.receive())
                    except trio.EndOfChannel:
                        return
                await trio.sleep(pauses[(who + turn) % len(pauses)])

    async def scenario():
        sender, receiver = open_link[Item](max_items=max_items, max_s=max_s)
        async with trio.open_nursery() as nursery:
            for who in range(len(counts)):
                nursery.start_soon(send_some, who, sender.clone())
            for who in range(receivers):
                nursery.start_soon(receive_some, who, receiver.clone())
            sender.close()
            receiver.close()
        statistics = sender.statistics()
        assert (statistics.tasks_waiting_send, statistics.tasks_waiting_receive) == (0, 0)
        assert (statistics.open_senders, statistics.open_receivers) == (0, 0)
        assert statistics.sent == statistics.received == sum(map(len, sent))

    run_seeded(scenario, seed)
    for who, numbers in enumerate(sent):
        # With several receivers the order in which they note what they got is not the order of the link.
        mine = [item.number for item in got if item.number // 100 == who]
        assert (mine if receivers == 1 else sorted(mine)) == numbers
