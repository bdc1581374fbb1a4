"""Two minutes, a hundred sessions at a time over real sockets, a quarter of the callers up to no good."""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from tests.soak.chaos_handlers import STORY
from voicetrio.connection.websocket import HandshakeFailed, SocketClosed, open_websocket_client
from voicetrio.testing.faults import sockets
from voicetrio.testing.faults.proxy import NetworkFaults, open_fault_proxy

ROOT = Path(__file__).parents[2]
SESSIONS = 100
LASTS_S = 120.0
DRAIN_S = 8.0
RESUME_S = 2.0
RATES = "input_rate=16000&output_rate=16000"
FRAME_S = 0.06
FRAME = round(FRAME_S * 16000)
RAMP = np.tile((np.arange(30000) % 30000 + 1).astype("<i2"), 3).tobytes()


def ramp(position: int, samples: int) -> bytes:
    """Return what every caller says, and the story-teller tells, from ``position`` on."""
    first = 2 * (position % 30000)
    return RAMP[first : first + 2 * samples]


@attrs.define
class Call:
    """What one well-behaved caller found."""

    kind: str
    sent: int = 0
    received: int = 0
    wrong: list[str] = attrs.Factory(list)
    code: int | None = None
    seen: Counter[str] = attrs.Factory(Counter)
    was_stopped: bool = False
    """By the server, because it stops."""


@attrs.define
class Run:
    """The whole of it."""

    url: str
    server_port: int
    ends: Path
    numbers: Any = attrs.Factory(lambda: itertools.count(1))
    source: random.Random = attrs.Factory(lambda: random.Random(5))
    calls: list[Call] = attrs.Factory(list)
    expected: dict[str, tuple[str, set[str]]] = attrs.Factory(dict)
    """By the name of a faulty call: what it did, and how its session may end."""
    is_stopping: bool = False
    ended_before: int = 0
    """Sessions that were over when the server was told to stop."""

    def name_call(self) -> str:
        return f"call-{next(self.numbers)}"


# --- callers who behave ----------------------------------------------------------------------------


async def behave(run: Run, kind: str, lasts_s: float) -> None:
    """Call, speak all the time, check every sample that comes, and hang up."""
    call = Call(kind)
    name = run.name_call()
    async with open_websocket_client(f"{run.url}/{kind}?{RATES}&call={name}") as socket:
        run.calls.append(call)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak, socket, call, lasts_s)
            await listen(socket, call)
            nursery.cancel_scope.cancel()
    if not call.was_stopped:
        check_whole(call)


async def speak(socket, call: Call, lasts_s: float) -> None:
    due = trio.current_time()
    voice = np.full(FRAME, 900, "<i2").tobytes()
    try:
        for number in range(round(lasts_s / FRAME_S)):
            due += FRAME_S
            await trio.sleep_until(due)
            if call.kind == "talk":
                # A word of half a second, every four seconds.
                frame = voice if 2.0 <= number * FRAME_S % 4 < 2.5 else bytes(2 * FRAME)
            else:
                frame = ramp(call.sent, FRAME)
            await socket.send(frame)
            call.sent += FRAME
        await socket.send('{"type":"end"}')
    except trio.BrokenResourceError:
        await trio.lowlevel.checkpoint()


async def listen(socket, call: Call) -> None:
    try:
        while True:
            message = await socket.receive()
            if isinstance(message, str):
                take_text(call, json.loads(message))
            elif call.kind == "talk":
                call.received += len(message) // 2
            else:
                take_ramp(call, message)
    except SocketClosed as closed:
        call.code = closed.code


def take_text(call: Call, fields: dict[str, Any]) -> None:
    kind = fields["type"]
    if kind in ("clear", "skip") and call.kind == "relay":
        call.wrong.append(f"a {kind} at {call.received}")
    if kind == "bye":
        call.was_stopped = fields["reason"] == "server_restart"
    if kind == "event":
        call.seen[fields["event"]] += 1
        if fields["event"] == "reply_ended" and fields["how"] == "played" and fields["heard"] != STORY:
            call.wrong.append(f"heard {fields['heard']!r}")


def take_ramp(call: Call, message: bytes) -> None:
    """Compare with what must come next; what is paced is faded in and out, and padded with silence."""
    if call.kind == "tell":
        samples = np.frombuffer(message, "<i2")
        kept = samples[samples != 0]
        expected = np.frombuffer(ramp(call.received, kept.size), "<i2")
        if call.received > FRAME and not call.seen["session_ending"] and not np.array_equal(kept, expected):
            call.wrong.append(f"other samples at {call.received}")
        call.received += kept.size
        return
    if message != ramp(call.received, len(message) // 2):
        call.wrong.append(f"other samples at {call.received}")
    call.received += len(message) // 2


def check_whole(call: Call) -> None:
    # 1012: it was saying goodbye already when the server was stopped.
    if call.code not in (1000, 1012):
        call.wrong.append(f"closed with {call.code}")
    if call.kind == "relay" and call.received != call.sent:
        call.wrong.append(f"{call.sent} samples sent, {call.received} came back")


# --- callers who do not ----------------------------------------------------------------------------

BY_THE_STOP = {"server_restart", "cancelled"}
GONE = {"peer_gone"}
HUNG_UP = {"source_ended"}


async def offend(run: Run, path: str, fault: sockets.SocketFault, reasons: set[str]) -> None:
    """Connect and do what ``fault`` does; the session must end for one of ``reasons``."""
    name = run.name_call()
    run.expected[name] = (f"{fault} at {path}", reasons)
    with trio.move_on_after(40):
        await sockets.connect_faulty_client(f"{run.url}{path}?{RATES}&call={name}", fault)


async def suffer(
    run: Run, path: str, reasons: set[str], *, url: str = "", about: str = "", lasts_s: float = 2.0
) -> None:
    """Behave, over ``url``, where the fault is the application's or the network's."""
    name = run.name_call()
    run.expected[name] = (about or path, reasons)
    call = Call("talk" if path.startswith("/talk") else "suffer")
    try:
        async with open_websocket_client(f"{url or run.url}{path}?{RATES}&call={name}") as socket:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speak, socket, call, lasts_s)
                with trio.move_on_after(lasts_s + 12):
                    while True:
                        await socket.receive()
                nursery.cancel_scope.cancel()
    except* SocketClosed:
        await trio.lowlevel.checkpoint()


async def behind(run: Run, network: NetworkFaults, lasts_s: float, reasons: set[str]) -> None:
    """The same over a bad network."""
    async with open_fault_proxy("127.0.0.1", run.server_port, network, seed=next(run.numbers)) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}"
        await suffer(run, "/tell", reasons, url=url, about=str(network), lasts_s=lasts_s)


async def come_back(run: Run) -> None:
    """Lose the network in the midst of a story, and take the session up again: it is the same one."""
    name = run.name_call()
    run.expected[name] = ("comes back", GONE)
    async with open_websocket_client(f"{run.url}/tell?{RATES}&call={name}") as socket:
        hello = json.loads(await socket.receive())
        for _ in range(50):
            await socket.receive()
        socket.abort()
    async with open_websocket_client(f"{run.url}/?resume={hello['resume']}") as socket:
        again = json.loads(await socket.receive())
        assert again["session"] == hello["session"]
        for _ in range(50):
            await socket.receive()


async def dawdle(run: Run) -> None:
    """Send an opening request byte by byte, and never finish it."""
    async with await trio.open_tcp_stream("127.0.0.1", run.server_port) as stream:
        try:
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 50:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.1)
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()


def service_reasons(kind: str, how: str) -> set[str]:
    """Return how a session ends whose service of this kind fails or hangs."""
    if kind != "stt":
        return HUNG_UP  # it costs replies only
    # Without ears it fails; one whose recogniser hangs fails when too much waits for it.
    return {"failed"} if how == "fail" else {"failed", *HUNG_UP}


def offences(run: Run) -> list[Callable[[], Awaitable[None]]]:
    """Every way to misbehave: of sockets, networks, peers, stages, services and handlers."""
    too_long = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
    by_socket: list[sockets.SocketFault] = [
        sockets.StopReading(),
        sockets.IgnoreEverything(),
        sockets.HalfClose(),
        sockets.Reset(after_s=1.0),
        sockets.Garbage(),
        sockets.Garbage(data=too_long),
        sockets.TornFrame(),
        *(sockets.CloseWith(code, after_s=0.5) for code in (1000, 1001, 1005, 1006, 4000)),
        sockets.CloseWith(999),
    ]
    after_its_end: list[sockets.SocketFault] = [sockets.SocketFault(), sockets.LateCloseAnswer()]
    by_network = [
        (NetworkFaults(cut_after_bytes=30_000), 2.0, GONE),
        (NetworkFaults(delay_s=0.15, jitter_s=0.1), 2.0, HUNG_UP),
        # Buffers on the way hold some seconds; then the server notices that nothing is taken.
        (NetworkFaults(bytes_per_s=3000.0), 20.0, GONE),
    ]
    by_stage = {
        "PassingStage": HUNG_UP,
        "SlowStage": HUNG_UP,
        "BurstStage": HUNG_UP,
        "SilentStage": HUNG_UP,
        "BlockingStage": HUNG_UP,
        "SwallowingStage": HUNG_UP,
        "ShieldingStage": HUNG_UP,
        "SlowCleanupStage": HUNG_UP,
        "NeverEndingStage": HUNG_UP,
        "ImpatientStage": {"completed"},
        "FailingStage": {"failed"},
        "FailingCleanupStage": {"failed"},
    }
    by_peer = {
        "VanishingPeer": GONE,
        "RefusingPeer": GONE,
        "StallingPeer": GONE,
        "BrokenPeer": {"failed"},
        "SlowGoodbyePeer": HUNG_UP,
        "HalfClosedPeer": GONE,
    }
    by_service = {
        f"{kind}.{at}.{how}": service_reasons(kind, how)
        for kind in ("stt", "llm", "tts")
        for at in ("connect", "send", "receive", "close")
        for how in ("fail", "hang")
    }
    by_service["vad.send.fail"] = {"failed"}
    return [
        *(partial(offend, run, "/tell", fault, GONE) for fault in by_socket),
        *(partial(offend, run, "/little", fault, {"completed"}) for fault in after_its_end),
        *(partial(behind, run, *network) for network in by_network),
        *(partial(suffer, run, f"/stage/{name}", reasons) for name, reasons in by_stage.items()),
        *(partial(suffer, run, f"/peer/{name}", reasons, lasts_s=8.0) for name, reasons in by_peer.items()),
        *(
            partial(suffer, run, f"/talk/{name}", reasons, lasts_s=6.0)
            for name, reasons in by_service.items()
        ),
        partial(suffer, run, "/raise-later", {"the body raised"}),
        partial(refused_by_its_handler, run),
        partial(come_back, run),
        partial(dawdle, run),
    ]


async def refused_by_its_handler(run: Run) -> None:
    """A handler that raises before it opens a session: the peer is told, in WebSocket's words."""
    async with open_websocket_client(f"{run.url}/raise") as socket:
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1011


# --- the run ----------------------------------------------------------------------------------------


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Run, trio.Process, Path]]:
    """Run ``voicetrio serve`` with the chaos handlers in a process of its own."""
    log = folder / "server.log"
    options = {
        "handler": "tests.soak.chaos_handlers:open_handler",
        "port": 0,
        "max-sessions": 4 * SESSIONS,
        "max-lag-ms": 10_000,
        "handshake-s": 3,
        "resume-s": RESUME_S,
        "drain-s": DRAIN_S,
        "last-words-s": 4,
    }
    command = [sys.executable, "-m", "voicetrio", "serve", "--no-page"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    ends = folder / "ends.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHAOS_ENDS": str(ends), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as errors:
        process = await trio.lowlevel.open_process(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        try:
            said = b""
            with trio.fail_after(60):
                while b"\n" not in said:
                    said += bytes(await process.stdout.receive_some())
            url = said.decode().split("talk to ")[1].split()[0]
            yield Run(url, int(url.rpartition(":")[2]), ends), process, log
        finally:
            process.kill()
            await process.wait()


async def keep_calling(run: Run, call: Callable[[], Awaitable[None]]) -> None:
    """Call again and again; a server that stops refuses."""
    while not run.is_stopping:
        try:
            await call()
        except* (HandshakeFailed, SocketClosed) as failure:
            if not run.is_stopping:
                raise AssertionError("a call did not come through") from failure
        await trio.lowlevel.checkpoint()


def healthy_call(run: Run, number: int) -> Callable[[], Awaitable[None]]:
    kind = ("relay", "tell", "relay", "talk")[number % 4]
    return lambda: behave(run, kind, run.source.uniform(5, 50))


async def chaos(folder: Path) -> tuple[Run, int, float, str]:
    """Run it; return the run, the server's exit status, how long it took to stop, and its log."""
    async with served(folder) as (run, process, log):
        faulty = itertools.cycle(offences(run))
        async with trio.open_nursery() as nursery:
            for number in range(SESSIONS * 3 // 4):
                nursery.start_soon(keep_calling, run, healthy_call(run, number))
            for _ in range(SESSIONS // 4):
                nursery.start_soon(keep_calling, run, lambda: next(faulty)())
            await trio.sleep(LASTS_S)
            run.is_stopping = True
            run.ended_before = run.ends.read_text().count("\n")
            stopped_at = trio.current_time()
            process.send_signal(signal.SIGTERM)
            await trio.sleep(0.5)
            with pytest.raises(HandshakeFailed) as refused:
                async with open_websocket_client(f"{run.url}/relay"):
                    pass
            assert refused.value.status == 503
            with trio.move_on_after(DRAIN_S + 4):
                status = await process.wait()
            took_s = trio.current_time() - stopped_at
            if process.returncode is None:
                process.send_signal(signal.SIGUSR1)  # it writes its tasks to the log
                await trio.sleep(1)
                raise AssertionError(f"the server did not stop:\n{log.read_text()[-20000:]}")
        return run, status, took_s, log.read_text()


@pytest.mark.soak
async def test_a_hundred_sessions_of_which_a_quarter_misbehave(tmp_path):
    faulthandler.cancel_dump_traceback_later()  # pytest's, for tests that hang: this one takes its time
    run, status, took_s, log = await chaos(tmp_path)
    assert status == 0, log[-5000:]
    assert took_s < DRAIN_S + 0.5  # an interpreter's own end
    # Those who behave lose nothing.
    wrong = [f"{call.kind}: {problem}" for call in run.calls for problem in call.wrong]
    assert wrong == []
    kinds = Counter(call.kind for call in run.calls)
    assert kinds["relay"] >= SESSIONS // 4
    assert kinds["tell"] >= SESSIONS // 8
    assert kinds["talk"] >= SESSIONS // 8
    assert sum(call.received for call in run.calls) > SESSIONS * LASTS_S / 4 * 16000
    assert sum(call.seen["reply_ended"] for call in run.calls) > SESSIONS
    assert any(call.was_stopped for call in run.calls)
    # The others end for the right reason, every kind of fault at least once.
    ended = [json.loads(line) for line in run.ends.read_text().splitlines()]
    reasons = {about["call"]: about["reason"] for about in ended}
    surprises = [
        f"{what}: {reasons[name]}"
        for name, (what, expected) in run.expected.items()
        if name in reasons and reasons[name] not in expected | BY_THE_STOP
    ]
    assert surprises == []
    tried = {what for what, _reasons in run.expected.values()}
    seen = {what for name, (what, _reasons) in run.expected.items() if name in reasons}
    assert tried == seen
    healthy = [about for about in ended if about["call"] not in run.expected]
    assert [about for about in healthy if about["dropped_in"]] == []
    # What is cut, the stop cuts.
    before = [about for about in ended[: run.ended_before] if about["call"] not in run.expected]
    assert [about for about in before if about["late"] or about["cut"]] == []
    assert "LeakError" not in log
    assert "never retrieved" not in log
