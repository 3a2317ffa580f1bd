"""The demo answers while there is no Ollama, says so, and gives way to a real one."""

from __future__ import annotations

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import ask, eventually, following, start
from tests.support.serving import Serve


@pytest.fixture
def absent() -> DemoOllama:
    """An Ollama that has an address and does not run yet; its models are not the demo's."""
    ollama = DemoOllama(tokens_per_s=None, scenarios=True).start()
    ollama.close()
    return ollama


def test_the_demo_answers_and_says_so(absent: DemoOllama, serve: Serve) -> None:
    """Without an Ollama there are answers, and a notice wherever a person looks."""
    url = serve(create_app(Settings(ollama_url=absent.url))).url
    health = ask(f"{url}/health").json
    assert (True, "ok") == (health["demo"], health["status"])
    assert "Demo model: no Ollama at" in health["notice"]
    assert b"Demo model: no Ollama at" in ask(f"{url}/docs").body
    assert "done" == ask(f"{url}/stream-with-get?question=hello").messages[-1].event
    assert [] == absent.requests


def test_a_real_ollama_takes_over(absent: DemoOllama, serve: Serve) -> None:
    """As soon as one answers at the address it is used, and answers under way go on to their end."""
    served = serve(create_app(Settings(ollama_url=absent.url, grace_s=20)))
    run = start(served.url, question="How do I mount llmstream in my FastAPI app?")
    with following(served.url, run) as stream:
        stream.until(lambda exchange: exchange.text)
        with absent:
            assert eventually(lambda: not ask(f"{served.url}/health").json["demo"])
            answer = ask(f"{served.url}/stream", "POST", question="q", model="demo:tokens-3")
            assert " 1 2 3" == answer.text
            assert "notice" not in ask(f"{served.url}/health").json
            assert b"Demo model" not in ask(f"{served.url}/docs").body
            assert "finished" == stream.all().types[-1]


def test_no_demo_where_none_is_wanted(absent: DemoOllama, serve: Serve) -> None:
    """With `never` a missing Ollama is an error with the next step in it."""
    url = serve(create_app(Settings(ollama_url=absent.url, demo="never"))).url
    answer = ask(f"{url}/stream", "POST", question="q")
    assert (502, "upstream_unreachable", True) == (answer.status, answer.json["code"], answer.json["retryable"])
    assert "ollama serve" in answer.json["message"]
    assert not ask(f"{url}/health").json["demo"]


def test_no_demo_where_an_ollama_runs(upstream: DemoOllama, serve: Serve) -> None:
    """One that answers is used."""
    url = serve(create_app(Settings(ollama_url=upstream.url))).url
    assert not ask(f"{url}/health").json["demo"]
    assert " 1 2" == ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2").text


def test_the_demo_on_demand(upstream: DemoOllama, serve: Serve) -> None:
    """With `always` it answers though an Ollama runs."""
    url = serve(create_app(Settings(ollama_url=upstream.url, demo="always"))).url
    assert "Demo model: started with --demo." == ask(f"{url}/health").json["notice"]
    assert "done" == ask(f"{url}/stream-with-get?question=hello").messages[-1].event
    assert [] == [record for record in upstream.requests if record.path == "/api/chat"]
