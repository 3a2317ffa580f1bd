"""Whatever a body holds, it costs a bounded amount, and is answered or refused with a sentence: never a 5xx."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from llmstream.fastapi import create_app
from llmstream.settings import Settings

# What each endpoint needs beside its messages.
PATHS = {
    "/stream": "",
    "/runs": '"request_id":"k",',
    "/nostream": '"question":"hi",',
    "/v1/chat/completions": '"model":"chain",',
    "/api/chat": '"id":"c",',
    "/v1/responses": '"model":"chain",',
    "/v1/messages": '"model":"chain","max_tokens":9,',
    "/agui": '"threadId":"t","runId":"r",',
    "/ollama/api/chat": '"model":"chain",',
    "/ollama/api/generate": '"model":"chain","prompt":"hi",',
    "/ollama/api/show": '"model":"chain",',
}
# Where an endpoint has them under another name.
MESSAGES = {"/v1/responses": '"input"'}
MESSAGE = {
    "/api/chat": '{"role":"user","parts":[{"type":"text","text":"%"}]}',
    "/agui": '{"id":"1","role":"user","content":"%"}',
}
LARGE = {
    "ones": '"messages":[' + ",".join(["1"] * 500_000) + "]}",
    "lists": '"messages":[' + ",".join(["[]"] * 330_000) + "]}",
    "bad messages": '"messages":[' + ",".join(['{"role":1}'] * 90_000) + "]}",
    "names": ",".join(f'"k{n}":1' for n in range(90_000)) + "}",
    "deep": '"messages":' + "[" * 500_000,
    "deep objects": '"metadata":' + '{"a":' * 300 + "1" + "}" * 301,
    "escapes": '"messages":"' + '\\"' * 480_000,
    "halves": '"messages":"' + "\\ud83d" * 160_000,
}
# A pattern that tries each place anew would take hours for one of these, and the test would end by its time limit.
REPEATING = {
    "half an escape": '"messages":' + "[" * 101 + '"' + '\\"' * 450_000 + "\\",
    "a duration of digits": f'"messages":[],"keep_alive":"{"1" * 900_000}"}}',
    "a duration of numbers": f'"messages":[],"keep_alive":"{"1.5" * 300_000}"}}',
}
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "1" + "0" * 4200, "-" + "9" * 30)
ODD = (
    *("null", "[null]", "[1]", "[[]]", "{}", '[{"role":null}]'),
    '[{"role":"user","content":[{"type":null}]}]',
    '[{"role":"user","content":"x","images":[1]}]',
    '[{"role":"assistant","content":"","tool_calls":[null]}]',
)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """An app over a chain that repeats the question."""

    async def chain(question: str) -> str:
        return question

    return create_app(Settings(demo="never", max_active_runs=1000), chain=chain)


def post(app: FastAPI, path: str, body: bytes) -> httpx.Response:
    """One POST, in this process."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, content=body, headers={"content-type": "application/json"})

    return asyncio.run(send())


def body_of(path: str, rest: str) -> bytes:
    """A body with what the endpoint needs, and its messages under its own name for them."""
    return ("{" + PATHS[path] + rest.replace('"messages"', MESSAGES.get(path, '"messages"'))).encode()


def message(path: str, text: str) -> str:
    """A message as the clients of an endpoint send it."""
    return MESSAGE.get(path, '{"role":"user","content":"%"}').replace("%", text)


@pytest.mark.parametrize("path", PATHS)
def test_large(app: FastAPI, path: str) -> None:
    """What is made to be dear is refused, at no more than 20 times its size."""
    post(app, path, b"{}")
    for name, rest in LARGE.items():
        body = body_of(path, rest)
        tracemalloc.start()
        answer = post(app, path, body)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 400 <= answer.status_code < 500, (name, answer.status_code)
        assert peak < 20 * len(body) + 2**20, (name, peak)
        assert len(answer.content) < 1000, name


@pytest.mark.parametrize("path", PATHS)
def test_repeating(app: FastAPI, path: str) -> None:
    """What is made to be read again and again is read once, and the answer does not repeat it."""
    for name, rest in REPEATING.items():
        answer = post(app, path, body_of(path, rest))
        assert answer.status_code < 500, (name, answer.status_code)
        assert len(answer.content) < 1000, name


@pytest.mark.parametrize("path", PATHS)
def test_numbers(app: FastAPI, path: str) -> None:
    """A number that can't be one is nobody's fault but the client's, wherever it stands."""
    for number in NUMBERS:
        for rest in (f'"temperature":{number}', f'"options":{{"seed":{number}}}', f'"metadata":[{number}]'):
            answer = post(app, path, body_of(path, f'"messages":[{message(path, "hi")}],{rest}' + "}"))
            assert answer.status_code < 500, (rest[:40], answer.status_code, answer.text)
            assert "Ollama" not in answer.text
            assert '"retryable":true' not in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_odd_messages(app: FastAPI, path: str) -> None:
    """Messages that are none are refused, or left out of account where an endpoint does not read them."""
    for odd in ODD:
        answer = post(app, path, body_of(path, f'"messages":{odd}' + "}"))
        assert answer.status_code < 500, (odd, answer.status_code, answer.text)


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("/nostream", "/ollama/api/show")])
def test_half_an_emoji(app: FastAPI, path: str) -> None:
    """What JavaScript's `slice` left of an emoji is a replacement character; whole ones and backslashes stay."""
    body = body_of(path, f'"messages":[{message(path, TEXT)}]' + "}")
    answer = post(app, path, body.replace(b'"prompt":"hi"', f'"prompt":"{TEXT}"'.encode()))
    assert answer.status_code in (200, 201), answer.text
    if "stream" in path:  # the chain repeats it
        assert json.loads(f'"{TEXT}"').replace("\ud83d", "\ufffd") == _text(answer.text)


TEXT = r"a\ud83d \ud83d\ude00 \\ud83d"


def _text(stream: str) -> str:
    found = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    return "".join(event["text"] for event in found if event["type"] == "token")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["role", "content", "parts", "type", "x"]), inner),
    max_leaves=8,
)
_fields = st.sampled_from(["messages", "options", "tools", "model", "stream", "question", "id", "format", "keep_alive",
                           "think", "metadata", "tool_choice", "context", "resume", "images", "stop", "input",
                           "text"])  # fmt: skip


@tried(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(list(PATHS)), fields=st.dictionaries(_fields, _json, max_size=4), cut=st.none() | st.binary()
)
def test_anything(app: FastAPI, path: str, fields: dict[str, object], cut: bytes | None) -> None:
    """Fields of any form, and bytes that are nothing, are answered or refused, at a bounded cost."""
    valid = json.loads(body_of(path, f'"messages":[{message(path, "hi")}]' + "}"))
    body = json.dumps({**valid, **fields}).encode()
    if cut is not None:
        body = body[: len(cut)] + cut
    tracemalloc.start()
    answer = post(app, path, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code < 500, answer.text
    assert '"retryable":true' not in answer.text
    assert peak < 20 * len(body) + 2 * 2**20
