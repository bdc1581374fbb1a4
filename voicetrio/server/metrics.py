"""A session server's figures for Prometheus, read from its own counts when they are asked for."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, final

from voicetrio.errors import MissingExtra
from voicetrio.machines.histogram import Histogram
from voicetrio.server.serve import SessionServer

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "ServerCollector", "render_metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "voicetrio"


@final
class ServerCollector:
    """A collector in the sense of ``prometheus_client``: register it, or render it alone."""

    def __init__(self, server: SessionServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Yield every metric at this moment."""
        yield from self._sessions()
        yield from self._what_became()
        yield from self._load()
        yield from self._queues()
        yield from self._pools()

    def _sessions(self) -> Iterator[Metric]:
        now = self._server.statistics()
        admission = now.admission
        yield _gauge("sessions", "Sessions that are open", now.open_sessions)
        yield _gauge("sessions_max", "Slots for sessions", admission.max_sessions)
        yield _gauge("sockets", "Connections that are open", now.open_sockets)
        yield _gauge("lost_peers", "Sessions whose client is waited for", now.lost_peers)
        yield _gauge("draining", "1 while nobody new is let in because the server stops", admission.draining)
        yield _counter("admitted", "Sessions that were let in", admission.admitted)
        yield _counters("refused", "Upgrades that were refused", "reason", admission.refused)
        yield _counter("not_opened", "Connections that became no WebSocket, refused or not", now.refused)
        yield _counter("plain_answers", "Plain requests that were answered", now.answered)
        yield _counter("resumed", "Connections that brought a lost client back", now.resumed)
        yield _counter("handler_failures", "Handlers that raised", now.failed)

    def _what_became(self) -> Iterator[Metric]:
        tally = self._server.tally
        yield _counters("session_ends", "Sessions that ended", "reason", tally.ends)
        yield _counters("events", "What happened in sessions", "event", tally.counts)
        yield _counters("failures", "Failures in sessions", "part", tally.failures)
        yield _counters("reconnects", "Reconnections to services", "connection", tally.reconnects)
        yield _counter(
            "frames_late", "Frames for which the loop came 20 ms or more too late", tally.frames_late
        )
        yield _counter("frames_blocked", "Frames that a full outbox did not take", tally.frames_blocked)
        yield _counter("frames_dropped_in", "Frames that a lagging behaviour lost", tally.frames_dropped_in)
        yield _counter("threads_abandoned", "Threads that sessions left behind", tally.threads_abandoned)
        yield _histogram("session_seconds", "How long sessions lasted", tally.duration_s)
        yield _histogram("turn_seconds", "From a turn's end to its reply's first sample", tally.turn_s)
        yield _histogram(
            "endpoint_seconds", "From the last voiced sample to the turn's end", tally.endpoint_s
        )
        yield _histogram("stt_seconds", "From a segment's end to its text", tally.stt_s)

    def _load(self) -> Iterator[Metric]:
        now = self._server.statistics()
        lag = now.lag
        lags = {"0.5": lag.p50_s, "0.99": lag.p99_s, "0.999": lag.p999_s, "1": lag.max_s}
        yield _gauges("loop_lag_seconds", "How late the event loop was, last ten minutes", "quantile", lags)
        steps = now.slow_steps
        yield _counters(
            "slow_steps", "Steps that held up the loop", "stage", {s.stage: s.count for s in steps}
        )
        yield _counters(
            "slow_step_seconds", "Time that they took", "stage", {s.stage: s.total_s for s in steps}
        )
        yield _gauges(
            "slow_step_longest_seconds", "The longest", "stage", {s.stage: s.longest_s for s in steps}
        )
        yield _gauge("threads", "Threads of the process", threading.active_count())

    def _queues(self) -> Iterator[Metric]:
        queues = {queue.name: queue for queue in self._server.statistics().queues}
        for name, what, field in (
            ("queue_items", "Items that wait in the queues of all sessions", "items"),
            ("queue_most_items", "Items in the fullest one", "most_items"),
            ("queue_longest_seconds", "Seconds of media in the one that has most", "longest_s"),
        ):
            yield _gauges(name, what, "queue", {name: getattr(now, field) for name, now in queues.items()})

    def _pools(self) -> Iterator[Metric]:
        pools = {pool.name: pool for pool in self._server.load.pools()}
        for name, what, field in (
            ("pool_workers", "Jobs that can run at once", "workers"),
            ("pool_busy", "Jobs that run", "busy"),
            ("pool_waiting", "Calls that wait", "waiting"),
            ("pool_waiting_sessions", "Sessions that wait", "waiting_sessions"),
            ("pool_longest_wait_seconds", "Of the call that waits longest now", "longest_wait_s"),
            ("pool_wait_p50_seconds", "Median wait of the last calls", "wait_p50_s"),
            ("pool_job_p50_seconds", "Median length of the last jobs", "job_p50_s"),
        ):
            yield _gauges(name, what, "pool", {pool: getattr(now, field) for pool, now in pools.items()})
        done = {name: pool.completed for name, pool in pools.items()}
        yield _counters("pool_jobs", "Jobs that were done", "pool", done)
        left = {name: pool.abandoned_total for name, pool in pools.items()}
        yield _counters("pool_abandoned", "Jobs whose caller had left", "pool", left)


def render_metrics(server: SessionServer) -> bytes:
    """Return the metrics of ``server`` in Prometheus's text format.  Raises MissingExtra."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise MissingExtra("server", "/metrics") from error
    registry = CollectorRegistry()
    registry.register(ServerCollector(server))
    return generate_latest(registry)


def _gauge(name: str, what: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"{PREFIX}_{name}", what, value=float(value))


def _gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, what: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"{PREFIX}_{name}", what, value=value)


def _counters(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"{PREFIX}_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, what: str, histogram: Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    buckets = [("+Inf" if math.isinf(le) else str(float(le)), n) for le, n in histogram.cumulative()]
    return HistogramMetricFamily(f"{PREFIX}_{name}", what, buckets=buckets, sum_value=histogram.sum)
