"""Who is let in, and what never gets out: raw requests against every address of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from llmstream.cli.serve import served_app
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import SettingsError
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.doors import server_log
from tests.support.faultkit import ask, raw_answer
from tests.support.serving import Serve, generations, serving

ROUTES = [
    ("POST", "/stream"),
    ("GET", "/stream-with-get?question=q"),
    ("POST", "/stream-with-post"),
    ("POST", "/nostream"),
    ("POST", "/runs"),
    ("GET", "/runs/x"),
    ("GET", "/runs/x/events"),
    ("POST", "/runs/x/stop"),
    ("GET", "/models"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/docs/assets/swagger-ui.css"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("GET", "/gradio/"),
    ("POST", "/gradio/gradio_api/queue/join"),
    ("GET", "/nowhere"),
    ("HEAD", "/stream-with-get?question=q"),
    ("OPTIONS", "/stream"),
]

TOKEN = "a secret that nobody guesses"


@pytest.fixture(scope="module")
def guarded(upstream: DemoOllama) -> Iterator[str]:
    """One server with a token."""
    settings = Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-2", token=TOKEN)
    with serving(served_app(settings)[0]) as served:
        yield served.url


@pytest.fixture(scope="module")
def behind(upstream: DemoOllama) -> Iterator[str]:
    """One server that is known by a name of its own."""
    settings = Settings(ollama_url=upstream.url, demo="never", model="demo:tokens-2", allowed_hosts=("chat.example",))
    with serving(create_app(settings)) as served:
        yield served.url


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example", b"evil.example:8000", b":8000", b"localhost.evil", b"user@localhost", b"localhost@evil",
        b"localhost:8000:8000", b"localhost:x", b"127.0.0.1.evil", b"[::1", b"[::2]", b"0.0.0.0", b"localhost,evil",
        b"localhost/..", b"LOCALHOST.", b"2130706433", b"127.1", b"\xc3\xbclocalhost",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused_everywhere(host: bytes, url: str, upstream: DemoOllama) -> None:
    """421 before any address is looked up, static files and unknown ones too."""
    before = generations(upstream)
    for method, path in ROUTES:
        body = b'{"question": "q"}'
        head = b"%s %s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        answer = raw_answer(url, head % (method.encode(), path.encode(), host, len(body)) + body)
        assert 421 == answer.status, (method, path, answer.status)
    assert before == generations(upstream)


@pytest.mark.parametrize("hosts", [b"", b"host:\r\n", b"host: localhost\r\nhost: evil.example\r\n", b"host: \r\n"])
def test_a_missing_or_second_host_is_refused(hosts: bytes, url: str) -> None:
    """One Host, and one that is known."""
    assert raw_answer(url, b"GET /health HTTP/1.1\r\n%sconnection: close\r\n\r\n" % hosts).status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1:1", "[::1]:9"])
def test_our_own_names_are_answered(host: str, url: str) -> None:
    """Loopback names with any port."""
    assert 200 == ask(f"{url}/health", headers={"host": host}).status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost:5173@evil.example"},
        {"origin": "file://"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"},
    ],
)
def test_pages_of_other_origins_start_nothing(headers: dict[str, str], url: str, upstream: DemoOllama) -> None:
    """403 everywhere, whatever the content type."""
    before = generations(upstream)
    for method, path in ROUTES:
        answer = ask(url + path, method, headers=headers, body=b'{"question": "q"}')
        assert (403, True) == (answer.status, method == "HEAD" or "forbidden" == answer.json["code"]), (method, path)
    assert before == generations(upstream)


@pytest.mark.parametrize("destination", ["image", "script", "iframe", "document", "audio", "style", "embed"])
def test_a_link_or_an_image_starts_nothing(destination: str, url: str, upstream: DemoOllama) -> None:
    """A GET that would generate is refused where a browser wants something other than data, from any site."""
    before = generations(upstream)
    for site in ("same-origin", "same-site", "none", "cross-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-dest": destination, "sec-fetch-mode": "navigate"}
        for path in ("/stream-with-get?question=q", "/runs/x/events"):
            assert 403 == ask(url + path, headers=headers).status
    assert before == generations(upstream)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_forms_start_nothing(kind: str | None, url: str, upstream: DemoOllama) -> None:
    """What a page can send to another site without a preflight is not JSON to us."""
    before = generations(upstream)
    for path in ("/stream", "/stream-with-post", "/nostream", "/runs"):
        body = b'{"question": "q"}'
        lines = [f"POST {path} HTTP/1.1", "host: localhost", "connection: close", f"content-length: {len(body)}"]
        lines += [f"content-type: {kind}"] if kind else []
        answer = raw_answer(url, "\r\n".join([*lines, "", ""]).encode() + body)
        assert 400 <= answer.status < 500, (path, answer.status, answer.body)
    assert before == generations(upstream)


@pytest.mark.parametrize("path", ["/api/chat", "/ollama/api/chat"])
def test_text_with_a_cookie(path: str, url: str, upstream: DemoOllama) -> None:
    """Where JSON may say that it is text, as `curl -d` does, a browser's cookie takes more: the origin, or JSON."""
    said = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "q"}], "content": "q"}
    body = json.dumps({"messages": [said], "model": "demo:tokens-2"}).encode()

    def status(**headers: str) -> int:
        told = {"host": "localhost", "connection": "close", "content-length": len(body), "content-type": "text/plain"}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**told, **headers}.items()]
        return raw_answer(url, "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body).status

    assert [200, 200] == [status(), status(cookie="a=b", origin="http://localhost")]
    before = generations(upstream)
    assert status(cookie="a=b") in (400, 422)
    assert before == generations(upstream)


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "http://127.0.0.1:3000", "https://[::1]:1", "http://localhost"]
)
def test_local_pages_are_let_in(origin: str, url: str) -> None:
    """Development servers on any local port may ask and read."""
    answer = ask(f"{url}/stream", "POST", headers={"origin": origin, "sec-fetch-site": "cross-site"}, question="q")
    assert (200, origin) == (answer.status, answer.headers["access-control-allow-origin"])
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-run-id", "location", "retry-after"} <= exposed


def test_the_preflight(url: str) -> None:
    """The headers our clients send are allowed; a foreign origin gets no leave."""
    wanted = "content-type, last-event-id, idempotency-key, authorization"
    headers = {"access-control-request-method": "POST", "access-control-request-headers": wanted}
    answer = ask(f"{url}/stream", "OPTIONS", headers={"origin": "http://localhost:1", **headers})
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert (200, True) == (answer.status, set(wanted.split(", ")) <= allowed)
    assert 403 == ask(f"{url}/stream", "OPTIONS", headers={"origin": "http://evil", **headers}).status


def test_an_origin_can_be_allowed(settings: Settings, serve: Serve) -> None:
    """By its exact name."""
    url = serve(create_app(settings.change(allowed_origins=("https://chat.example",)))).url
    for origin, status in (
        ("https://chat.example", 200),
        ("http://chat.example", 403),
        ("https://x.chat.example", 403),
    ):
        assert status == ask(f"{url}/stream", "POST", headers={"origin": origin}, question="q").status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("chat.example", "https://chat.example", 200),  # the proxy ends TLS and speaks http to us
        ("chat.example", "http://chat.example", 200),
        ("chat.example:8443", "https://chat.example:8443", 200),
        ("chat.example:443", "https://chat.example", 200),
        ("chat.example:80", "http://chat.example", 200),
        ("Chat.Example", "https://chat.example", 200),
        ("chat.example", "https://chat.example:8443", 403),
        ("chat.example:8443", "https://chat.example", 403),
        ("chat.example:443", "http://chat.example", 403),
        ("chat.example", "https://x.chat.example", 403),
        ("chat.example", "ftp://chat.example", 403),
        ("chat.example", "https://chat.example/", 403),
        ("evil.example", "https://evil.example", 421),
    ],
)
def test_our_own_pages_are_let_in(host: str, origin: str, status: int, behind: str) -> None:
    """A page of the address that is asked, whatever scheme the proxy in front has."""
    assert status == ask(f"{behind}/stream", "POST", headers={"host": host, "origin": origin}, question="q").status


@pytest.mark.parametrize("field", ["allowed_hosts", "allowed_origins"])
def test_a_star_is_refused(field: str) -> None:
    """Everybody is nobody's setting."""
    with pytest.raises(SettingsError):
        Settings().change(**{field: ("*",)})


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": "Basic " + TOKEN},
     {"authorization": "Bearer "}, {"authorization": "Bearer \u00e9"}, {"cookie": f"llmstream_token={TOKEN}"}],
)  # fmt: skip
def test_without_the_token_nothing_is_answered(headers: dict[str, str], guarded: str, upstream: DemoOllama) -> None:
    """401 everywhere, known address or not, and the secret is not in the answer."""
    before = generations(upstream)
    for method, path in ROUTES:
        answer = ask(guarded + path, method, headers=headers, body=b'{"question": "q"}')
        assert (401, False) == (answer.status, TOKEN.encode() in answer.body), (method, path)
    assert 401 == ask(f"{guarded}/health?token=wrong").status
    assert before == generations(upstream)


def test_the_token_opens(guarded: str) -> None:
    """As a bearer; as ?token= once, which gives a cookie that opens from then on and is not the token."""
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert " 1 2" == ask(f"{guarded}/stream", "POST", headers=bearer, question="q").text
    query = "token=" + TOKEN.replace(" ", "+")
    opened = ask(f"{guarded}/health?{query}")
    cookie, *flags = opened.headers["set-cookie"].split("; ")
    assert (200, {"HttpOnly", "SameSite=Strict", "Path=/"}) == (opened.status, set(flags))
    assert TOKEN not in cookie
    assert 200 == ask(f"{guarded}/health", headers={"cookie": cookie}).status
    name = cookie.partition("=")[0]
    for wrong in (cookie[:-1], f"{name}=", f"{name}={TOKEN}"):
        assert 401 == ask(f"{guarded}/health", headers={"cookie": wrong}).status
    assert 200 == ask(f"{guarded}/health", headers={"cookie": f'other={{"a": 1, "b"}}; x; {cookie}'}).status
    https = {"x-forwarded-proto": "https"}
    assert ask(f"{guarded}/health?{query}", headers=https).headers["set-cookie"].endswith("; Secure")
    page = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
    moved = ask(f"{guarded}/docs?x=1&{query}", headers=page)
    assert (303, "./docs?x=1") == (moved.status, moved.headers["location"])
    assert "./" == ask(f"{guarded}/?{query}", headers=page).headers["location"]
    # An address that a browser would read as another host.
    assert "./evil.example" == ask(f"{guarded}//evil.example?{query}", headers=page).headers["location"]


def test_servers_on_two_ports_share_no_cookie(guarded: str, settings: Settings, serve: Serve) -> None:
    """A browser sends both of them all cookies of the host: who logs in at one stays logged in at the other."""
    other = serve(create_app(settings.change(token="another"))).url
    with httpx.Client() as browser:
        for url, token in ((guarded, TOKEN), (other, "another")):
            browser.get(f"{url}/health", params={"token": token})
        assert 2 == len(browser.cookies)
        assert [200, 200] == [browser.get(f"{url}/health").status_code for url in (guarded, other)]


def test_a_preflight_needs_no_token(guarded: str) -> None:
    """Browsers send none with it."""
    headers = {"origin": "http://localhost:1", "access-control-request-method": "POST"}
    assert 200 == ask(f"{guarded}/stream", "OPTIONS", headers=headers).status


def test_no_log_holds_a_question_or_a_token(guarded: str, caplog: pytest.LogCaptureFixture) -> None:
    """The access log has paths without their query."""
    with server_log(caplog):
        ask(f"{guarded}/stream-with-get?question=confidential&token=" + TOKEN.replace(" ", "+"))
        ask(f"{guarded}/health?token=wrong")
    assert "/stream-with-get" in caplog.text
    assert not [word for word in ("confidential", TOKEN, TOKEN.replace(" ", "+"), "wrong") if word in caplog.text]
