"""The figures for Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from llmstream.demo_ollama import DemoOllama
from llmstream.events import Interrupt, Interrupted, Timings, Usage
from llmstream.fastapi import create_app
from llmstream.runs.metrics import Metrics
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, start
from tests.support.serving import Serve


def figures(text: str) -> dict[str, float]:
    """Each sample by its name and the values of its labels."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items(), reverse=True))]): sample.value
        for sample in samples
    }


def test_the_figures_of_a_server(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Counts by how runs ended, tokens, times, and what goes on now."""
    url = serve(create_app(settings.change(max_active_runs=1, drain_s=0))).url
    for model in ("demo:tokens-3", "demo:length", "demo:cut"):
        ask(f"{url}/stream", "POST", question="q", model=model)
    stopped = start(url, question="q", model="demo:silent")
    ask(f"{url}/runs/{stopped}/stop", "POST")
    assert upstream.wait_idle()
    start(url, question="q", model="demo:silent")
    waiting = Exchange(f"{url}/stream", "POST", question="q", model="demo:silent").until(lambda it: it.messages)
    answer = ask(f"{url}/metrics")
    waiting.close()
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    found = figures(answer.body.decode())
    assert (1, 1) == (found["llmstream_runs_active"], found["llmstream_runs_queued"])
    assert 1 == found["llmstream_runs_ended_total finished stop"]
    assert 1 == found["llmstream_runs_ended_total finished length"]
    assert 1 == found["llmstream_runs_ended_total failed upstream_truncated"]
    assert 1 == found["llmstream_runs_ended_total cancelled stop"]
    assert 9 == found["llmstream_output_tokens_total"]  # as Ollama counts: 3 and the end, and 5
    assert 2 == found["llmstream_time_to_first_token_seconds_count"]
    assert found["llmstream_events_total"] >= 5 + 7 + 7 + 2 + 1 + 2


def test_the_figures_name_nothing_private(settings: Settings, serve: Serve) -> None:
    """Labels are few and fixed: no model, no caller, no question."""
    url = serve(create_app(settings)).url
    ask(f"{url}/stream", "POST", question="private", model="demo:tokens-3")
    text = ask(f"{url}/metrics").body
    assert not [word for word in (b"private", b"tokens-3") if word in text]


def test_a_run_that_asks_a_person_is_counted() -> None:
    """A run that waits for a person is an ending of its own kind, and its tokens count."""
    metrics = Metrics(lambda: 0, lambda: 0)
    metrics.ended(Interrupted([Interrupt(id="i", value="Go on?")], Usage(3, 4), Timings()))
    found = figures(metrics.text().decode())
    assert (1, 4) == (found["llmstream_runs_ended_total interrupted "], found["llmstream_output_tokens_total"])
