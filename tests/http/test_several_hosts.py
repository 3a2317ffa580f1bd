"""Several model hosts, one of them dead: the endpoints, the page's notice and the commands show all of them."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from llmstream.cli import main
from llmstream.demo_ollama import DemoOllama, Model
from llmstream.fastapi import create_app, create_router
from llmstream.settings import Settings
from tests.support.faultkit import ask
from tests.support.serving import Serve


@pytest.fixture
def dead() -> str:
    """The address of a host that was there."""
    with DemoOllama() as server:
        pass
    return server.url


def test_endpoints(upstream: DemoOllama, dead: str, serve: Serve) -> None:
    """The models say which hosts have them; the dead host is told, and nobody waits for it."""
    there, away = (url.removeprefix("http://") for url in (upstream.url, dead))
    url = serve(create_app(Settings(upstream=f"{dead},{upstream.url}", model="demo", demo="auto", drain_s=0))).url
    assert 200 == ask(f"{url}/nostream", "POST", question="q").status
    models = ask(f"{url}/models").json["models"]
    assert [[there]] * len(models) == [model["hosts"] for model in models]
    health = ask(f"{url}/health").json
    assert "ok" == health["status"]
    assert f"Model hosts that can't be reached: {away}. Those that answer: {there}." == health["notice"]
    assert [(away, True), (there, False)] == [(host["name"], host["away"]) for host in health["hosts"]]
    assert ["Ollama is not running at", ""] == [host["trouble"][:24] for host in health["hosts"]]
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    assert f'llmstream_host_up{{host="{away}"}} 0.0' in lines
    assert f'llmstream_host_up{{host="{there}"}} 1.0' in lines
    assert f'llmstream_host_runs_active{{host="{there}"}} 0.0' in lines


async def test_strangers_learn_no_names(upstream: DemoOllama, dead: str) -> None:
    """Who is neither the developer nor has a token is told that another host is asked, but of no host."""
    app = FastAPI()
    app.include_router(create_router(settings=Settings(upstream=f"{dead},{upstream.url}", demo="never")))
    names = [url.removeprefix("http://") for url in (upstream.url, dead)]
    said: dict[str, str] = {}
    for base in ("http://localhost", "http://chat.example.com"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            texts = [(await client.get(path)).text for path in ("/models", "/health", "/metrics")]
            for model in ("demo:busy", f"demo@{names[1]}", "nobody"):
                texts += (await client.post("/stream", json={"question": "q", "model": model})).text
        said[base] = "".join(texts)
    assert all(name in said["http://localhost"] for name in names)
    assert [] == [name for name in names if name in said["http://chat.example.com"]]
    assert 'llmstream_host_up{host="1"} 0.0\nllmstream_host_up{host="2"} 1.0\n' in said["http://chat.example.com"]


def test_commands(
    upstream: DemoOllama, dead: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` names the dead host and finds nothing missing that an answer needs; `models` lists what is there."""
    monkeypatch.setenv("LLMSTREAM_UPSTREAM", f"{upstream.url},{dead}")
    there, away = (url.removeprefix("http://") for url in (upstream.url, dead))
    assert 0 == main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert f"ok       host {there}: 2 models" in lines
    assert any(line.startswith(f"missing  host {away}: Ollama is not running") for line in lines)
    assert 0 == main(["models"])
    assert "demo:latest" in capsys.readouterr().out
    upstream.close()
    assert 1 == main(["doctor"])


def test_doctor_tries_each_host(
    upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host whose loaded model answers nobody is named, with how to free it; another one that answers is enough."""
    with DemoOllama(tokens_per_s=None) as second:
        for host in (upstream, second):
            host.models["demo:slow-0.6"] = Model("demo:slow-0.6")  # which is a scenario of the first one alone
        httpx.post(f"{upstream.url}/api/generate", json={"model": "demo:slow-0.6", "keep_alive": "5m"})
        monkeypatch.setenv("LLMSTREAM_UPSTREAM", f"{upstream.url},{second.url}")
        monkeypatch.setenv("LLMSTREAM_MODEL", "demo:slow-0.6")
        monkeypatch.setenv("LLMSTREAM_FIRST_TOKEN_TIMEOUT_S", "0.2")
        assert 0 == main(["doctor"])
        lines = capsys.readouterr().out.splitlines()
    told = next(line for line in lines if f"at {upstream.url}: no token within 0.2 s, though it is loaded" in line)
    assert told.startswith("missing  model demo:slow-0.6 at")
    assert f"curl {upstream.url}/api/generate" in told
    assert any(line.startswith(f"ok       model demo:slow-0.6 answers at {second.url}: ") for line in lines)
