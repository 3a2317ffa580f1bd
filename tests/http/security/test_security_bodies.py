"""What a request brings: its size, its form, and what of a failure is told."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda

from llmstream.demo_ollama import DemoOllama, Model
from llmstream.errors import SettingsError
from llmstream.fastapi import create_app, create_router
from llmstream.http.origins import check_public
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.doors import server_log
from tests.support.faultkit import Exchange, ask, eventually
from tests.support.serving import Serve, generations


def test_a_large_body_is_refused_before_it_is_read(url: str) -> None:
    """By its length, before a byte of it came; without a length, as soon as it is over the limit."""
    head = b"POST /runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for length in (b"200001", b"50000000", b"-1", b"x", b"9" * 30):
        answer = Exchange(url, raw=head + b"content-length: %s\r\n\r\n" % length).head()
        assert answer.status in (413, 400), length
        answer.close()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with Exchange(url, raw=head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 5) as answer:
        assert (413, "body_too_large") == (answer.until(lambda it: it.complete).status, answer.json["code"])


def test_a_body_in_chunks_is_read(url: str) -> None:
    """Without a length and under the limit it is a body like another."""
    head = b"POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"transfer-encoding: chunked\r\n\r\n"
    body = b'1\r\n{\r\n10\r\n"question": "q"}\r\n0\r\n\r\n'
    with Exchange(url, raw=head + body) as answer:
        assert " 1 2" == answer.until(lambda it: it.complete).text


async def test_a_body_of_no_known_length_is_limited(settings: Settings) -> None:
    """HTTP/2 tells neither a length nor that there are chunks: under another server that speaks it the limit holds."""
    pieces = [b"x" * 0x10000] * 10
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "http_version": "2", "method": "POST", "path": "/stream", "query_string": b""}
    await create_app(settings)({**scope, "scheme": "https", "headers": headers}, receive, send)
    assert (413, 6) == (sent[0]["status"], len(pieces))


def test_images_come_on_top_of_the_text(upstream: DemoOllama, settings: Settings, serve: Serve) -> None:
    """A body may be larger by its images, but not by text, be it one that looks like an image."""
    upstream.models["sees:latest"] = Model("sees:latest", capabilities=("completion", "vision"))
    served = serve(create_app(settings.change(max_image_bytes=500_000, model="sees")))

    def status(url: str, *earlier: str) -> int:
        image = {"type": "image_url", "image_url": {"url": url}}
        said = [{"role": "user", "content": text} for text in (*earlier, "")]
        said[-1]["content"] = [{"type": "text", "text": "What is it?"}, image]  # type: ignore[assignment]
        return ask(f"{served.url}/runs", "POST", messages=said).status

    try:
        assert 201 == status("data:image/png;base64," + "A" * 400_000)
        assert 413 == status("data:image/png;base64," + "A" * 600_000)
        assert 413 == status("data:image/png;base64," + "A" * 100_000, "some words " * 30_000)
        assert 413 == status("data:image/png;base64," + "A" * 4, "A" * 300_000)
    finally:
        del upstream.models["sees:latest"]


@pytest.mark.parametrize("path", ["/stream", "/runs", "/v1/chat/completions"])
@pytest.mark.parametrize("length", [b"content-length: 100\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"])
def test_a_body_that_breaks_off_is_no_fault_of_ours(
    path: str, length: bytes, settings: Settings, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that goes while it sends its question leaves no traceback in the log."""
    served = serve(create_app(settings))
    head = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % path.encode()
    with server_log(caplog) as records:
        leaving = Exchange(served.url, raw=head + length)
        assert eventually(lambda: served.server.server_state.tasks)
        leaving.close()
        assert eventually(lambda: not served.server.server_state.tasks)
    assert [] == [record.getMessage() for record in records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "body", [b"[" * 90_000, b'{"a":' * 30_000, b'{"question": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"]
)
def test_deep_json_is_refused(body: bytes, url: str) -> None:
    """4xx, not a crash."""
    for path in ("/stream", "/stream-with-post", "/nostream", "/runs"):
        answer = ask(url + path, "POST", body=body)
        assert (422, "invalid_request") == (answer.status, answer.json["code"])


@pytest.mark.parametrize("image", ["/etc/passwd", "file:///etc/passwd", "pyproject.toml", "http://127.0.0.1:1/x.png"])
def test_images_are_neither_files_nor_addresses(image: str, url: str, upstream: DemoOllama) -> None:
    """A name of a file or an address as an image is refused: nothing is opened, nothing is asked."""
    before = generations(upstream)
    parts = [{"type": "image_url", "image_url": {"url": image}}, {"type": "image_url", "image_url": image}]
    parts += [{"type": "image", "url": image}, {"type": "image", "source_type": "url", "url": image}]
    for part in parts:
        content = [{"type": "text", "text": "what?"}, part]
        answer = ask(f"{url}/stream", "POST", messages=[{"role": "user", "content": content}])
        assert (422, True) == (answer.status, "code" in answer.json)
        assert b"root:" not in answer.body
    assert before == generations(upstream)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_the_network_needs_a_token(host: str) -> None:
    """Listening beyond loopback without a token is refused unless it is asked for."""
    with pytest.raises(SettingsError, match="LLMSTREAM_TOKEN"):
        check_public(host, Settings(), allow_public=False)
    check_public(host, Settings(token="x"), allow_public=False)
    check_public(host, Settings(), allow_public=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.0.0.2"])
def test_loopback_needs_none(host: str) -> None:
    """It is the default."""
    check_public(host, Settings(), allow_public=False)


@pytest.mark.parametrize("prefix", ["", "/llm"])
def test_a_router_checks_origins_without_our_doors(
    prefix: str, settings: Settings, serve: Serve, upstream: DemoOllama
) -> None:
    """In somebody else's app, whatever it does itself, pages of other sites start nothing and bodies are limited."""
    app = FastAPI()
    app.state.runs = runs = Runs(settings)
    app.include_router(create_router(runs=runs, identify=lambda request: request.headers.get("x-user")), prefix=prefix)
    url = f"{serve(app).url}{prefix}"
    before = generations(upstream)
    user = {"x-user": "ann"}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert 403 == ask(f"{url}/stream", "POST", headers={**user, **headers}, question="q").status
        assert 403 == ask(f"{url}/stream-with-get?question=q", headers={**user, **headers}).status
    assert 401 == ask(f"{url}/stream", "POST", question="q").status
    assert 413 == ask(f"{url}/stream", "POST", headers=user, question="q" * 300_000).status
    assert before == generations(upstream)
    assert " 1 2" == ask(f"{url}/stream", "POST", headers=user, question="q").text


def test_a_router_obeys_the_names_it_is_told(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """In somebody else's app any name will do, and its own pages may ask; once names are set, no other is answered."""
    names = ("chat.example", "localhost", "evil.example")
    statuses = []
    for told in ((), ("chat.example",)):
        app = FastAPI()
        app.state.runs = runs = Runs(settings.change(allowed_hosts=told) if told else settings)
        app.include_router(create_router(runs=runs))
        url = serve(app).url
        rebound = [{"host": name, "origin": f"http://{name}"} for name in names]
        statuses.append([ask(f"{url}/stream", "POST", headers=each, question="q").status for each in rebound])
    assert [[200, 200, 200], [200, 200, 421]] == statuses


def failing(question: object) -> str:
    """Raises what a careless chain would."""
    raise ValueError(f"secret-key in /home/ann/chain.py at {question}\r\n\x1b[31mINFO forged")


def test_a_failing_chain_tells_nothing(settings: Settings, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """No text of the exception, no path, no prompt; the log has one line, escaped, under the id that the client got."""
    url = serve(create_app(settings.change(hold_s=10), chain=RunnableLambda(failing))).url
    with caplog.at_level(logging.ERROR, "llmstream"):
        answer = ask(f"{url}/stream", "POST", question="private\r\n\x1b[31mFORGED")
    assert (500, "chain_failed") == (answer.status, answer.json["code"])
    assert not [word for word in ("secret", "/home", "private", "Error", "Traceback") if word in answer.body.decode()]
    (line,) = [record.getMessage() for record in caplog.records if "chain failed" in record.getMessage()]
    assert answer.json["message"].rstrip(".").split()[-1] in line
    assert not {"\r", "\n", "\x1b"} & set(line)


@pytest.mark.parametrize("model", ["demo:error-path", "demo:error-500"])
def test_an_upstreams_words_are_not_passed_on(model: str, url: str) -> None:
    """Its own error can hold paths and addresses; the client gets ours."""
    answer = ask(f"{url}/stream", "POST", question="q", model=model)
    assert not [word for word in (b"/home", b"/usr", b"127.0.0.1", b"sha256", b"blobs") if word in answer.body]


def test_the_system_prompt_is_never_told(settings: Settings, serve: Serve, upstream: DemoOllama) -> None:
    """Not in events, errors, the run, or the description of the API."""
    url = serve(create_app(settings.change(system_prompt="Only Ann may know this."))).url
    stream = ask(f"{url}/stream", "POST", question="q")
    assert "Only Ann may know this." == upstream.requests[-1].body["messages"][0]["content"]
    run = stream.headers["x-run-id"]
    failed = ask(f"{url}/stream", "POST", question="q", model="demo:error-first")
    bodies = [
        stream.body,
        failed.body,
        *(ask(f"{url}{path}").body for path in (f"/runs/{run}", "/health", "/openapi.json")),
    ]
    assert not [body for body in bodies if b"Ann" in body]


def test_names_are_one_line_in_logs_and_errors(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A line end or an escape in a model's name, an option or a run's id makes no line of its own."""
    odd = "x\r\nINFO forged \x1b[31m\x07"
    with server_log(caplog) as records:
        for fields in ({"model": odd}, {"options": {odd: 1}}, {"request_id": odd}, {odd: 1}):
            answer = ask(f"{url}/runs", "POST", question="q", **fields)
            assert not {"\r", "\x1b"} & set(json.dumps(answer.json, ensure_ascii=True))
        ask(f"{url}/runs/x%0d%0aINFO%20forged%1b[31m")
    lines = [line for record in records for line in record.getMessage().splitlines()]
    assert ["GET /runs/x%0D%0AINFO%20forged%1B%5B31m"] == [
        line.split('"')[1].removesuffix(" HTTP/1.1") for line in lines if "/runs/x" in line
    ]
    assert not [line for line in lines if line.startswith("INFO forged") or "\x1b" in line]


_connections: list[str] | None = None


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    """Where this process connects to, and which names it looks up, while somebody wants to know."""
    if _connections is not None and event in ("socket.connect", "socket.getaddrinfo"):
        found = arguments[1][0] if event == "socket.connect" else arguments[0]
        _connections.append(str(found))


@pytest.fixture(scope="module")
def audited() -> None:
    """An audit hook can't be taken away again, so there is one for all these tests."""
    sys.addaudithook(_record)


@pytest.mark.usefixtures("audited")
@pytest.mark.parametrize("path", ["/stream", "/runs", "/api/chat", "/v1/chat/completions", "/ollama/api/chat", "/agui"])
@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "http://evil.example"},
        {"client_kwargs": {"headers": {"authorization": "x"}}},
        {"model": "http://evil.example/model"},
        {"model": "hf.co/evil/model"},
        {"options": {"base_url": "http://evil.example"}},
    ],
)
def test_a_request_takes_the_server_nowhere(path: str, fields: dict[str, Any], url: str) -> None:
    """No address in a request has the server connect anywhere but to its Ollama, or look up a name."""
    global _connections
    messages = [{"id": "1", "role": "user", "content": "q", "parts": [{"type": "text", "text": "q"}]}]
    agui = {"threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {}}
    asked = {"question": "q"} if path in ("/stream", "/runs") else {"messages": messages, "id": "c", "model": "demo"}
    seen: list[str] = []
    _connections = seen
    try:
        answer = ask(f"{url}{path}", "POST", **{**asked, **(agui if path == "/agui" else {}), **fields})
    finally:
        _connections = None
    assert set(seen) <= {"127.0.0.1"}
    if path in ("/stream", "/runs"):
        assert answer.status in (403, 404, 422)


def test_serialized_objects_are_data(settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What LangChain's own loader would take for a secret or a class comes out as it went in."""
    monkeypatch.setenv("LLMSTREAM_TEST_SECRET", "sesame")
    secret = {"lc": 1, "type": "secret", "id": ["LLMSTREAM_TEST_SECRET"]}
    url = serve(create_app(settings, chain=RunnableLambda(lambda _: {"found": secret}))).url
    answered = ask(f"{url}/stream", "POST", question=json.dumps(secret))
    assert b"sesame" not in answered.body
    assert secret in [json.loads(message.data).get("value") for message in answered.messages]
    message = {"role": "user", "content": "q", "lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}
    assert 422 == ask(f"{url}/stream", "POST", question=None, messages=[message]).status
