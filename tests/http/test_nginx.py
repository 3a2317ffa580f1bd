"""Behind nginx as people set it up: nothing is buffered, silence is survived, and a dead server is no answer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from llmstream.client import Client
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import NEWLINES
from llmstream.events import Token
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.command import forked, served
from tests.support.faultkit import Exchange, Fault, Proxy, ask
from tests.support.nginx import nginx
from tests.support.page import chromium, opening
from tests.support.serving import Serve

DEPLOY = ROOT / "docs" / "deploy.md"
TOKEN = "secret"


def test_the_first_token_comes_before_the_last(settings: Settings, serve: Serve, tmp_path: Path) -> None:
    """Buffering and gzip on: a header of ours keeps nginx from waiting for the rest."""
    url = serve(create_app(settings.change(drain_s=0))).url
    with nginx(url, tmp_path) as front:
        headers = {"accept-encoding": "gzip"}
        with Exchange(f"{front}/stream", "POST", headers=headers, question="q", model="demo:stall-3") as stream:
            stream.until(lambda exchange: b'" 3"' in zlib.decompressobj(31).decompress(exchange.body))
            assert "gzip" == stream.headers["content-encoding"]
        with Exchange(f"{front}/stream", "POST", question="q", model="demo:stall-3") as stream:
            stream.until(lambda exchange: exchange.text == " 1 2 3")
        whole = ask(f"{front}/stream", "POST", question="q", model="demo:tokens-500")
    assert ("finished", True) == (whole.types[-1], whole.text.endswith(" 500"))


def test_heartbeats_keep_a_silent_stream(settings: Settings, serve: Serve, tmp_path: Path) -> None:
    """A model that says nothing for longer than nginx waits is waited for."""
    url = serve(create_app(settings.change(heartbeat_s=0.2, hold_s=0.2))).url
    with nginx(url, tmp_path, read_timeout_s=1) as front:
        stream = ask(f"{front}/stream", "POST", question="q", model="demo:slow-2.5")
    assert "finished" == stream.types[-1]


def test_leaving_through_nginx_frees_the_model(
    settings: Settings, serve: Serve, tmp_path: Path, upstream: DemoOllama
) -> None:
    """Nginx tells that its client has gone."""
    url = serve(create_app(settings.change(grace_s=0.05, hold_s=0.05))).url
    with nginx(url, tmp_path) as front:
        with Exchange(f"{front}/stream", "POST", question="q", model="demo:silent") as stream:
            stream.until(lambda exchange: exchange.messages)
            assert upstream.wait_active()
        assert upstream.wait_idle()


def documented(url: str) -> str:
    """The block of the documentation, with this server's address."""
    blocks = re.findall(r"```nginx\n(.*?)```", DEPLOY.read_text(encoding="utf-8"), re.DOTALL)
    assert 1 == len(blocks)
    return str(blocks[0]).replace("http://127.0.0.1:8000", url)


@pytest.fixture
def below(upstream: DemoOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`llmstream serve` set up as the documentation says, with a token; the address people use."""
    monkeypatch.setenv("LLMSTREAM_TOKEN", TOKEN)
    monkeypatch.setenv("LLMSTREAM_ALLOWED_HOSTS", "chat.example.com")
    arguments = ("serve", "--port", "0", "--no-demo", "--root-path", "/llm/")
    with forked(*arguments, ollama=upstream.url) as process:
        url = process.stdout.readline().split()[-1]
        with nginx(url, tmp_path, location=documented(url)) as front:
            yield f"{front}/llm"


def test_below_a_prefix(below: str) -> None:
    """Every address that is given out leads back through nginx; pages of the public name are our own."""
    bearer = {"authorization": f"Bearer {TOKEN}"}
    created = ask(f"{below}/runs", "POST", headers=bearer, question="q", model="demo:tokens-2")
    base = f"/llm/runs/{created.json['run_id']}"
    assert (base, f"{base}/events") == (created.headers["location"], created.json["events_url"])
    front = below.removesuffix("/llm")
    assert " 1 2" == ask(front + created.json["events_url"], headers=bearer).text
    assert 204 == ask(front + created.json["stop_url"], "POST", headers=bearer).status
    assert [{"url": "/llm"}] == ask(f"{below}/openapi.json", headers=bearer).json["servers"]
    page = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
    moved = ask(f"{below}/docs?token={TOKEN}", headers=page)
    assert f"{below}/docs" == urljoin(f"{below}/docs?token={TOKEN}", moved.headers["location"])
    # A slash too many is sent on by FastAPI, to the name and the port that people use.
    assert f"{below}/models" == ask(f"{below}/models/", headers=bearer).headers["location"]
    for origin, status in (("https://chat.example.com", 201), ("https://evil.example", 403)):
        public = {"host": "chat.example.com", "origin": origin, **bearer}
        asked = ask(f"{below}/runs", "POST", headers=public, question="q", model="demo:tokens-2")
        assert status == asked.status


def test_the_page_below_a_prefix(below: str, upstream: DemoOllama) -> None:
    """A person opens it with the token, asks, and is answered; nothing is asked for outside of the prefix."""
    upstream.answers["Why?"] = "Because."
    with chromium() as profile, opening(profile) as pages:
        chat = pages.open(f"{below}/?token={TOKEN}")
        assert f"{below}/" == chat.page.url
        chat.ask("Why?").ends()
        assert "Because." == chat.copied()
        assert [] == [request.url for request in chat.asked if not request.url.startswith(f"{below}/")]


@pytest.mark.parametrize("kill", [True, False])
def test_a_server_that_goes_is_no_complete_answer(kill: bool, upstream: DemoOllama, tmp_path: Path) -> None:
    """A killed server is a clean end through nginx: only the terminal event tells; SIGTERM sends one."""
    with served(upstream, drain_s="0.2") as server, nginx(server.url, tmp_path) as front:
        with Exchange(f"{front}/stream", "POST", question="q", model="demo:stall-3") as stream:
            stream.until(lambda exchange: exchange.text == " 1 2 3")
            (server.process.kill if kill else server.process.terminate)()
            stream.all()
        assert ("token" if kill else "failed") == stream.types[-1]
        assert 502 == ask(f"{front}/health").status or not kill


def test_a_client_waits_while_the_server_is_away(
    settings: Settings, serve: Serve, upstream: DemoOllama, tmp_path: Path
) -> None:
    """What nginx says for a server that is being restarted ends nothing: the run goes on where it was cut."""
    url = serve(create_app(settings)).url
    faults = iter([Fault(), Fault(cut_down=800), Fault(cut_down=0), Fault(cut_down=0)])
    with Proxy(url, faults) as relay, nginx(relay.url, tmp_path) as front, Client(front) as client:
        run = client.start("q", model="demo:newlines")
        assert NEWLINES == "".join(event.text for event in client.follow(run) if isinstance(event, Token))
        assert 5 == relay.connections
    assert 1 == sum(request.path == "/api/chat" for request in upstream.requests)
