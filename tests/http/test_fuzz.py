"""Whatever is sent to an endpoint, it answers: never with a failure of the server, never not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmstream.fastapi import create_app
from llmstream.settings import Settings

EXAMPLES = int(os.environ.get("LLMSTREAM_TEST_EXAMPLES", "100"))
HANG_S = 30


async def echo(question: str) -> str:
    """A chain that needs no model."""
    return f"You asked {question}"


APP = create_app(Settings(demo="never", hold_s=0, replay_s=1), chain=echo)

TEXT, OBJECT = {"type": "string"}, {"type": "object"}
MESSAGES = {"type": "array", "items": {"type": "object", "properties": {
    "role": {"enum": ["user", "assistant", "system", "tool", "control"]}, "content": TEXT, "thinking": TEXT,
    "images": {"type": "array", "items": TEXT}, "tool_calls": {"type": "array", "items": OBJECT}}}}  # fmt: skip
# The bodies of Ollama's endpoints are documented as objects.
OLLAMA = {"type": "object", "required": ["model"], "properties": {
    "model": {"enum": ["chain", "other"]}, "messages": MESSAGES, "prompt": TEXT, "options": OBJECT, "format": OBJECT,
    "tools": {"type": "array", "items": OBJECT}, "stream": {"type": "boolean"}, "think": {"type": "boolean"},
    "images": {"type": "array", "items": TEXT}, "keep_alive": {}}}  # fmt: skip

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
# What makes a request get further than its first field.
KNOWN = {"model": "chain", "role": "user", "type": "text", "text": "hi", "mediaType": "text/plain", "name": "now"}


def values(schema: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a schema, and now and then something else."""
    made = _values(schema)
    if name in KNOWN:
        made = st.just(KNOWN[name]) | made
    return st.one_of(made, made, made, ANYTHING)


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of(*map(values, choices))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(schema)
        case "array":
            return st.lists(values(schema.get("items", {})), max_size=3)
        case "string":
            return st.text(max_size=20)
        case "boolean":
            return st.booleans()
        case "integer" | "number":
            return st.integers(-2, 100)
    return ANYTHING


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {name: values(each, name) for name, each in schema.get("properties", {}).items()}
    if not fields:  # message parts, options, arguments: anything may stand in them
        return st.dictionaries(
            st.sampled_from([*KNOWN, "url", "input", "x"]), ANYTHING | st.sampled_from([*KNOWN.values()])
        )
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


def bodies() -> Iterator[Any]:
    """Each endpoint that takes a body, and what it takes."""
    for path, operations in APP.openapi()["paths"].items():
        stays_open = path.startswith("/threads/") and "/stream" in path  # and so would wait for ever here
        if "requestBody" in operations.get("post", {}) and not stays_open:
            schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
            yield pytest.param(path, OLLAMA if path.startswith("/ollama/api") else schema, id=path)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all requests: the app's runs belong to it."""
    with asyncio.Runner() as made:
        yield made


@pytest.mark.timeout(60 + EXAMPLES * 2)
@pytest.mark.parametrize(("path", "schema"), list(bodies()))
def test_every_body_is_answered(path: str, schema: dict[str, Any], runner: asyncio.Runner) -> None:
    """A body of an endpoint's form, or nearly so, is answered or refused."""
    # Making a client takes longer than an answer.
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=APP), base_url="http://localhost")

    async def post(body: Any) -> httpx.Response:
        async with asyncio.timeout(HANG_S):
            return await client.post(path, json=body)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES == 100,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(values(schema))
    def answered(body: Any) -> None:
        answer = runner.run(post(body))
        # Ollama's own status for an option of the wrong type.
        assert answer.status_code < 500 or "must be of" in answer.text, (answer.status_code, answer.text)

    answered()
    runner.run(client.aclose())
