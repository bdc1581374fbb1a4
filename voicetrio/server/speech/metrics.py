"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from voicetrio.runtime.idle_models import IdleModelStatistics
from voicetrio.server.speech.limits import AdmissionStatistics

__all__ = ["SpeechMetrics"]


@final
class SpeechMetrics:
    """The metrics of one server, in a registry of its own.

    Args:
        admission, models: what is asked when the metrics are read.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        admission: Callable[[], AdmissionStatistics],
        models: Callable[[], Sequence[IdleModelStatistics]],
    ) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "voicetrio_speech_requests",
            "Requests by route and status",
            ("route", "status"),
            registry=registry,
        )
        self.cut = Counter(
            "voicetrio_speech_cut",
            "Responses that broke off after their first byte",
            ("route", "why"),
            registry=registry,
        )
        self.first_byte_s = Histogram(
            "voicetrio_speech_first_byte_seconds",
            "From the request to the first byte of its body",
            ("route",),
            buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30),
            registry=registry,
        )
        self.audio_s = Counter(
            "voicetrio_speech_audio_seconds", "Audio that was spoken", ("engine", "format"), registry=registry
        )
        self.recorded_s = Counter(
            "voicetrio_speech_recorded_seconds", "Recordings that were transcribed", registry=registry
        )
        registry.register(_Gauges(admission, models))

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


@final
class _Gauges(Collector):
    def __init__(
        self,
        admission: Callable[[], AdmissionStatistics],
        models: Callable[[], Sequence[IdleModelStatistics]],
    ) -> None:
        self._admission = admission
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now = self._admission()
        yield GaugeMetricFamily("voicetrio_speech_active", "Requests worked on now", value=now.active)
        yield GaugeMetricFamily(
            "voicetrio_speech_waiting", "Requests that wait for a slot", value=now.waiting
        )
        refused = GaugeMetricFamily("voicetrio_speech_refused", "Requests refused so far", labels=["why"])
        refused.add_metric(["rate"], now.refused_rate)
        refused.add_metric(["concurrent"], now.refused_concurrent)
        refused.add_metric(["full"], now.refused_full)
        yield refused
        loaded = GaugeMetricFamily("voicetrio_model_loaded", "1 while the model is loaded", labels=["model"])
        queue = GaugeMetricFamily("voicetrio_model_waiting", "Calls that wait for a worker", labels=["model"])
        wait = GaugeMetricFamily(
            "voicetrio_model_wait_seconds", "Median wait of the last calls", labels=["model"]
        )
        for model in self._models():
            loaded.add_metric([model.name], float(model.is_loaded))
            if model.pool is not None:
                queue.add_metric([model.name], model.pool.waiting)
                wait.add_metric([model.name], model.pool.wait_p50_s)
        yield from (loaded, queue, wait)
