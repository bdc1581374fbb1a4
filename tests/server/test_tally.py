"""What a server counts over all its sessions."""

from __future__ import annotations

from voicetrio.errors import ServiceError
from voicetrio.events import ConnectionChanged, Failure, Interrupted, LinkDropped, ReplyAudible, TurnEnded
from voicetrio.server.tally import MAX_PARTS, Tally


class Peer:
    name = "peer-1"


def failure(where: str, repeated: int = 0) -> Failure:
    return Failure(where=where, error=ServiceError("no", service="x"), repeated=repeated)


def test_failures_are_counted_by_the_part_that_failed_whatever_its_number():
    tally = Tally()
    for where in ("reply-1", "reply-17", "tool weather", "transport"):
        tally.observe(Peer(), failure(where))
    tally.observe(Peer(), failure("transport", repeated=4))
    assert tally.failures == {"reply": 2, "tool weather": 1, "transport": 6}


def test_parts_without_end_are_put_together():
    tally = Tally()
    for number in range(3 * MAX_PARTS):
        tally.observe(Peer(), failure(f"tool {chr(0x4E00 + number)}"))
        tally.observe(
            Peer(),
            ConnectionChanged(connection=f"c{chr(0x4E00 + number)}", old="open", new="backoff", why="lost"),
        )
    for counts in (tally.failures, tally.reconnects):
        assert len(counts) == MAX_PARTS + 1
        assert counts["other"] == 2 * MAX_PARTS


async def test_turns_barge_ins_reconnections_and_drops_are_counted():
    tally = Tally()
    tally.observe(Peer(), TurnEnded(text="hello", waited_s=0.7, stt_s=0.15))
    tally.observe(Peer(), ReplyAudible(reply="reply-1"))
    tally.observe(Peer(), Interrupted(reply="reply-1", because="words"))
    tally.observe(Peer(), ConnectionChanged(connection="llm", old="open", new="backoff", why="lost"))
    tally.observe(Peer(), ConnectionChanged(connection="llm", old="backoff", new="connecting", why=""))
    tally.observe(Peer(), LinkDropped(link="inbound", items=3, seconds=0.06))
    assert tally.counts == {"turns": 1, "interruptions": 1, "link_items_dropped": 3}
    assert tally.reconnects["llm"] == 1
    assert tally.endpoint_s.sum == 0.7
    assert tally.stt_s.sum == 0.15
    assert tally.turn_s.count == 1
