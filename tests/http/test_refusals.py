"""What the doors refuse is told to each dialect's clients in their own form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import openai
import pytest
from ollama import Client, ResponseError

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.faultkit import ask
from tests.support.serving import serving

TOKEN = "secret"
NEEDED = "This server wants a token: `Authorization: Bearer …`, or ?token=… once in a browser."


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """A server with a token; nothing here gets as far as Ollama."""
    settings = Settings(ollama_url="http://127.0.0.1:9", demo="never", model="demo", token=TOKEN, max_body_bytes=1000)
    with serving(create_app(settings)) as served:
        yield served.url


def test_openai(guarded: str) -> None:
    """OpenAI's client raises its own errors, with the server's sentence."""
    with openai.OpenAI(base_url=f"{guarded}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        with pytest.raises(openai.APIStatusError) as large:
            client.with_options(api_key=TOKEN).completions.create(model="demo", prompt="x" * 1000)
    assert (NEEDED, "unauthorized") == (refused.value.body["message"], refused.value.code)  # type: ignore[index]
    assert (413, "body_too_large") == (large.value.status_code, large.value.code)


def test_ollama(guarded: str) -> None:
    """Ollama's client raises its own error, with the server's sentence."""
    with closing(Client(host=f"{guarded}/ollama")) as client, pytest.raises(ResponseError) as refused:
        client.list()
    assert (NEEDED, 401) == (refused.value.error, refused.value.status_code)


def test_ai_sdk(guarded: str) -> None:
    """The AI SDK's hook shows the body as it is, so the body is the sentence."""
    answer = ask(f"{guarded}/api/chat", "POST", body=b"{}")
    assert (401, NEEDED) == (answer.status, answer.body.decode())
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/agui", "/stream", "/v1x", "/api/chats"])
def test_others(guarded: str, path: str) -> None:
    """Where no dialect has a form of its own, it is the code, the sentence and whether to ask again."""
    answer = ask(guarded + path, "POST", body=b"{}")
    assert {"code": "unauthorized", "message": NEEDED, "retryable": False} == answer.json


def test_foreign_host_and_origin(guarded: str) -> None:
    """What comes before the token is told in the same form."""
    host = ask(f"{guarded}/v1/models", headers={"host": "evil.example"})
    origin = ask(f"{guarded}/ollama/api/tags", headers={"origin": "https://evil.example"})
    assert (421, "host_not_allowed") == (host.status, host.json["error"]["code"])
    assert (403, True) == (origin.status, "origin" in origin.json["error"])


def test_page_can_read_why(guarded: str) -> None:
    """A page of an allowed origin reads the refusal; one of another site does not."""
    own, foreign = "http://localhost:5173", "https://evil.example"
    answers = {origin: ask(f"{guarded}/v1/models", headers={"origin": origin}) for origin in (own, foreign)}
    assert {own: (401, own), foreign: (403, None)} == {
        origin: (answer.status, answer.headers.get("access-control-allow-origin")) for origin, answer in answers.items()
    }
