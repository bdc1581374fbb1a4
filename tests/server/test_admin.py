from __future__ import annotations

import re
from functools import partial

import pytest
import trio

from tests.server.calls import Handler, calling, serving, tell_a_story, until
from tests.server.test_limits import refused
from voicetrio.runtime.workers import InlineRunner, open_model_pool
from voicetrio.server.admin import serve_admin
from voicetrio.server.metrics import render_metrics
from voicetrio.server.settings import ServerSettings

pytest.importorskip("starlette")
pytest.importorskip("hypercorn")
pytest.importorskip("prometheus_client")


async def get(port: int, path: str) -> tuple[int, str]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while data := await stream.receive_some():
            got += bytes(data)
    head, _, body = got.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def sample(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in\n{text}"
    return float(found[1])


async def test_health_readiness_and_metrics(nursery, autojump_clock):
    async with serving(Handler(), settings=ServerSettings(max_sessions=1)) as server:
        admin = await nursery.start(partial(serve_admin, server, 0))
        assert await get(admin.port, "/healthz") == (200, "ok\n")
        assert await get(admin.port, "/readyz") == (200, "ready\n")
        async with calling(server):
            assert await get(admin.port, "/readyz") == (503, "full\n")
            status, text = await get(admin.port, "/metrics")
            assert status == 200
            assert sample(text, "voicetrio_sessions") == 1
            server.drain(30)
            assert await get(admin.port, "/readyz") == (503, "draining\n")
            assert await get(admin.port, "/healthz") == (200, "ok\n")
        assert (await get(admin.port, "/nothing"))[0] == 404
        nursery.cancel_scope.cancel()


async def test_the_metrics_say_what_became_of_sessions(autojump_clock):
    async with open_model_pool("stt", object, runner=InlineRunner()) as pool:
        async with serving(
            Handler(tell_a_story), pools=[pool], settings=ServerSettings(resume_s=0)
        ) as server:
            async with calling(server) as (socket, _hello):
                assert (await refused(server, headers=[("Origin", "http://evil.example")])).status == 403
                await trio.sleep(3)
                await pool.run(lambda _model: None)
                socket.abort()
            await until(lambda: server.statistics().open_sessions == 0)
            text = render_metrics(server).decode()
    assert sample(text, "voicetrio_admitted_total") == 1
    assert sample(text, 'voicetrio_refused_total{reason="origin"}') == 1
    assert sample(text, 'voicetrio_session_ends_total{reason="peer_gone"}') == 1
    assert sample(text, "voicetrio_session_seconds_count") == 1
    assert sample(text, 'voicetrio_session_seconds_bucket{le="1.0"}') == 0
    assert sample(text, 'voicetrio_session_seconds_bucket{le="5.0"}') == 1
    assert sample(text, 'voicetrio_pool_jobs_total{pool="stt"}') == 1
    assert sample(text, 'voicetrio_loop_lag_seconds{quantile="0.99"}') >= 0
    assert sample(text, "voicetrio_draining") == 0


async def test_the_metrics_say_what_waits_between_stages_and_for_the_network(autojump_clock):
    async def deaf(context) -> None:
        await context.wait_ending()

    async with serving(Handler(deaf), settings=ServerSettings(resume_s=0)) as server:
        async with calling(server) as (first, _hello), calling(server) as (second, _hello):
            for socket, frames in ((first, 3), (second, 5)):
                for _ in range(frames):
                    await socket.send(bytes(640))
            await until(
                lambda: {q.name: q.items for q in server.statistics().queues if q.items} == {"inbound": 8}
            )
            text = render_metrics(server).decode()
    assert sample(text, 'voicetrio_queue_items{queue="inbound"}') == 8
    assert sample(text, 'voicetrio_queue_most_items{queue="inbound"}') == 5
    assert sample(text, 'voicetrio_queue_longest_seconds{queue="inbound"}') == pytest.approx(0.1)
    assert sample(text, 'voicetrio_queue_items{queue="outbox"}') == 0
