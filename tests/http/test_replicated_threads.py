"""A thread of LangChain's protocol in several server processes with one store."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from llmstream.demo_ollama import DemoOllama
from tests.support.command import served
from tests.support.redis import RedisServer
from tests.support.serving import get, post


def test_a_thread_is_one_in_all_processes(tmp_path: Path) -> None:
    """A stream of a thread shows what another process starts in it, and any of them knows what was said."""
    with (
        DemoOllama(tokens_per_s=None, scenarios=True) as upstream,
        RedisServer(tmp_path) as store,
        served(upstream, redis_url=store.url, drain_s="0.2") as one,
        served(upstream, redis_url=store.url, drain_s="0.2") as two,
        httpx.stream("POST", f"{one.url}/threads/t/stream", json={"channels": ["values"]}, timeout=30) as stream,
    ):
        values = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        for url, question in ((two.url, "Why?"), (one.url, "And?"), (two.url, "So?")):
            given = {"input": {"messages": question}, "config": {"configurable": {"model": "demo:tokens-2"}}}
            post(f"{url}/threads/t/commands", {"id": 1, "method": "run.start", "params": given})
            said = [next(values)["params"]["data"]["messages"] for _ in range(2)][-1]
        assert ["Why?", " 1 2", "And?", " 1 2", "So?", " 1 2"] == [each["content"] for each in said]
        assert said == get(f"{two.url}/threads/t/state").json()["values"]["messages"]
