"""Counts and times of the runs, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Terminal
from llmstream.ollama.upstream import HostState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Store(Collector):
    """The figures of a shared store, read each time that Prometheus asks."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for name, value in self._figures().items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(f"llmstream_{name}", f"Of the shared store: {name.replace('_', ' ')}", value=value)


class _Hosts(Collector):
    """The figures of the model hosts, where there are several."""

    states: Sequence[HostState] = ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        if not self.states:
            return
        up = GaugeMetricFamily("llmstream_host_up", "1 if the model host answers", labels=["host"])
        active = GaugeMetricFamily("llmstream_host_runs_active", "Runs that it answers now", labels=["host"])
        failed = CounterMetricFamily("llmstream_host_failures", "Answers that it could not begin", labels=["host"])
        for state in self.states:
            up.add_metric([state.name], not state.away)
            active.add_metric([state.name], state.runs)
            failed.add_metric([state.name], state.failures)
        yield from (up, active, failed)


class Metrics:
    """The figures of one `Runs`; the functions give the number of active and of queued runs, and a store's figures."""

    def __init__(
        self, active: Callable[[], int], queued: Callable[[], int], store: Callable[[], Mapping[str, float]] = dict
    ) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_Store(store))
        self._hosts = _Hosts()
        registry.register(self._hosts)
        self._uncounted = 0
        Gauge("llmstream_runs_active", "Runs that generate now", registry=registry).set_function(active)
        Gauge("llmstream_runs_queued", "Runs that wait for a place", registry=registry).set_function(queued)
        self._events = Counter("llmstream_events", "Events logged, tokens among them", registry=registry)
        self._ended = Counter("llmstream_runs_ended", "Terminal events", ["kind", "detail"], registry=registry)
        self._tokens = Counter("llmstream_output_tokens", "Tokens made, as the model counts them", registry=registry)
        self._first = Histogram(
            "llmstream_time_to_first_token_seconds",
            "From the start of a run to its first token",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=registry,
        )
        self._speed = Histogram(
            "llmstream_tokens_per_second",
            "Speed of finished answers",
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000),
            registry=registry,
        )

    def observe(self, events: Sequence[Event]) -> None:
        """Counts logged events; called for every token, so the counter itself is brought up to date when it is read."""
        self._uncounted += len(events)

    def ended(self, event: Terminal) -> None:
        """Counts a run that has ended."""
        match event:
            case Finished():
                self._ended.labels("finished", event.reason).inc()
                self._answered(event)
            case Failed():
                self._ended.labels("failed", event.code).inc()
            case Cancelled():
                self._ended.labels("cancelled", event.by).inc()
            case Interrupted():
                self._ended.labels("interrupted", "").inc()
                self._answered(event)

    def _answered(self, event: Finished | Interrupted) -> None:
        if event.usage.output_tokens:
            self._tokens.inc(event.usage.output_tokens)
        if event.timings.time_to_first_token_s is not None:
            self._first.observe(event.timings.time_to_first_token_s)
        if event.timings.tokens_per_s is not None:
            self._speed.observe(event.timings.tokens_per_s)

    def text(self, hosts: Sequence[HostState] = ()) -> bytes:
        """The exposition in Prometheus' text format; hosts: the model hosts, where there are several."""
        self._hosts.states = hosts
        self._events.inc(self._uncounted)
        self._uncounted = 0
        return generate_latest(self._registry)
