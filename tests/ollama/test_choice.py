"""Which model of Ollama's answers where nobody named one, and names of models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.events import Failed
from llmstream.ollama.names import is_cloud, same_model
from llmstream.settings import Settings
from tests.support.answering import ANSWER, events_of, outline
from tests.support.ollama_models import load, models, ollama


async def test_loaded_model_that_expires_last(upstream: DemoOllama) -> None:
    """What is in memory answers first: of several the one that stays longest."""
    there = [(name, "2026-01-01", ("completion",)) for name in ("a:latest", "b:latest", "c:latest")]
    models(upstream, *there)
    for name, keep_alive in (("a", "5m"), ("b", "1h"), ("c", "10m")):
        await asyncio.to_thread(load, upstream, name, keep_alive)

    assert "b:latest" == await ollama(upstream).choose_model()


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ([("old:1", "2025-01-01", ("completion",)), ("new:1", "2026-01-01", ("completion",))], "new:1"),
        ([("new:1", "2026-01-01", ("embedding",)), ("old:1", "2025-01-01", ("completion", "tools"))], "old:1"),
        ([("big:480b-cloud", "2026-01-01", ("completion",)), ("old:1", "2025-01-01", ("completion",))], "old:1"),
        ([("big:cloud", "2026-01-01", ("completion",)), ("old:1", "2025-01-01", ("completion",))], "old:1"),
    ],
)
async def test_newest_model_that_can_answer(upstream: DemoOllama, there: list[Any], chosen: str) -> None:
    """With none in memory the newest one answers; one for embeddings can't, and one in the cloud is not local."""
    models(upstream, *there)

    assert chosen == await ollama(upstream).choose_model()


@pytest.mark.parametrize(
    "there", [[], [("e:1", "2026-01-01", ("embedding",))], [("big:cloud", "2026-01-01", ("completion",))]]
)
async def test_no_model_that_can_answer(upstream: DemoOllama, there: list[Any]) -> None:
    """Where there is none, the error has the command that gets one."""
    models(upstream, *there)
    events = await events_of(settings=Settings(ollama_url=upstream.url))

    assert [("failed", "model_not_found", False)] == outline(events)
    assert isinstance(events[-1], Failed)
    assert "`ollama pull llama3.2`" in events[-1].message


async def test_model_of_the_settings_is_not_chosen(upstream: DemoOllama) -> None:
    """A model that is named, in the settings or in the call, is not looked for."""
    settings = Settings(ollama_url=upstream.url, model="demo:one-chunk")
    named = await events_of(settings=settings)
    other = await events_of(settings=settings, model="demo:length")

    assert (ANSWER, ("finished", "length")) == (outline(named), outline(other)[-1])
    assert not [request for request in upstream.requests if request.path in ("/api/tags", "/api/ps")]


async def test_many_ask_at_once(upstream: DemoOllama) -> None:
    """A hundred runs that begin together ask once which model there is and what it can do."""
    asked = ollama(upstream)
    await asyncio.gather(*(asked.choose_model() for _ in range(100)))
    await asyncio.gather(*(asked.capabilities("demo") for _ in range(100)))
    paths = [request.path for request in upstream.requests]

    assert [1, 2] == [paths.count("/api/tags"), paths.count("/api/show")]


async def test_one_of_many_leaves(upstream: DemoOllama) -> None:
    """Whoever leaves while all wait for one question takes it from nobody."""
    asked = ollama(upstream)
    tasks = [asyncio.create_task(asked.capabilities("demo")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()

    assert [frozenset({"completion"})] * 2 == await asyncio.gather(*tasks[1:])


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("a", "a:latest", True),
        ("a:latest", "a", True),
        ("a:1", "a", False),
        ("host:5000/a", "host:5000/a:latest", True),
        ("a", "b", False),
    ],
)
def test_same_model(left: str, right: str, same: bool) -> None:
    """A name without a tag means the latest."""
    assert same == same_model(left, right)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [("a:cloud", True), ("a:480b-cloud", True), ("a:cloud@gpu", True), ("cloud", False), ("cloudy:1", False)],
)
def test_is_cloud(name: str, cloud: bool) -> None:
    """The tag tells that a model runs elsewhere."""
    assert cloud == is_cloud(name)
