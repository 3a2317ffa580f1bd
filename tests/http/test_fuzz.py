"""Whatever is sent to an endpoint, it answers: never with a failure of the server, never not at all."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmstream.dialects.langgraph.request import InputRespond, RunStart
from llmstream.fastapi import create_app
from llmstream.http.schemas import inlined
from llmstream.settings import Settings
from tests.support.leaving import Leaving

FEW = 40  # the same each time
EXAMPLES = int(os.environ.get("LLMSTREAM_TEST_EXAMPLES", FEW))
HANG_S = 30


async def echo(question: str) -> str:
    """A chain that needs no model."""
    return f"You asked {question}"


# A stream that is left is left within a heartbeat.
APP = create_app(Settings(demo="never", hold_s=0, replay_s=1, heartbeat_s=0.01), chain=echo)
APP.add_middleware(Leaving)

TEXT, OBJECT = {"type": "string"}, {"type": "object"}
MESSAGES = {"type": "array", "items": {"type": "object", "properties": {
    "role": {"enum": ["user", "assistant", "system", "tool", "control"]}, "content": TEXT, "thinking": TEXT,
    "images": {"type": "array", "items": TEXT}, "tool_calls": {"type": "array", "items": OBJECT}}}}  # fmt: skip
OLLAMA = {"type": "object", "required": ["model"], "properties": {
    "model": {"enum": ["chain", "other"]}, "messages": MESSAGES, "prompt": TEXT, "options": OBJECT, "format": OBJECT,
    "tools": {"type": "array", "items": OBJECT}, "stream": {"type": "boolean"}, "think": {"type": "boolean"},
    "images": {"type": "array", "items": TEXT}, "keep_alive": {}}}  # fmt: skip
STARTING, ANSWERING = (
    inlined(schema, schema.pop("$defs", {}))
    for schema in (RunStart.model_json_schema(), InputRespond.model_json_schema())
)
COMMAND = {"oneOf": [
    {"type": "object", "required": ["id", "method", "params"], "properties": {
        "id": {"type": "integer"}, "method": {"const": method}, "params": params}}
    for method, params in (("run.start", STARTING), ("input.respond", ANSWERING), ("state.get", OBJECT))]}  # fmt: skip
# The bodies that are documented as objects, though there is more to know of them.
UNDOCUMENTED = {
    "/threads/{thread}/commands": COMMAND,
    **{f"/ollama/api/{name}": OLLAMA for name in ("chat", "generate", "show", "pull")},
}

# What makes a request get further than its first field.
KNOWN = {"model": "chain", "type": "text", "text": "hi", "mediaType": "text/plain", "name": "now"}
TELLING: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, "", "{}", [], {}, "data:text/plain;base64,aGk=", "9" * 5000]
)
LEAVES = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
STRICT, WILD = 0, 6  # of how many values one is something else than its schema says


class Maker:
    """Makes values of a schema; path: of the endpoint that they are for. wild: see `WILD`."""

    def __init__(self, draw: st.DrawFn, path: str, wild: int) -> None:
        self._draw = draw
        code = code_of(path)
        self._words = st.sampled_from(sorted({*KNOWN, *re.findall(r'"([A-Za-z][\w.-]{0,30})"', code)}))
        self._fields = st.sampled_from(sorted({*KNOWN, *re.findall(r'(?:get\(|\[|\{|, )"(\w+)"[,):\]]', code)}))
        self._wild = wild

    def value(self, schema: Any, name: str = "") -> Any:
        """A value of a schema, and now and then something else."""
        if self._wild and self._draw(st.integers(0, self._wild)) == 0:
            return self.anything()
        if name in KNOWN and (not self._wild or self._draw(st.booleans())):
            return KNOWN[name]
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            said = [each for each in choices if self._wild or each.get("type") != "null"]
            return self.value(self._draw(st.sampled_from(said)))
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._draw(st.sampled_from(schema["enum"]))
        return self._of_type(schema)

    def _of_type(self, schema: Any) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                size = self._draw(st.integers(schema.get("minItems", 0), 3))
                return [self.value(schema.get("items", {})) for _ in range(size)]
            case "string":
                return self._draw(self._words | st.text(min_size=schema.get("minLength", 0), max_size=20))
            case "boolean":
                return self._draw(st.booleans())
            case "integer" | "number":
                return self._draw(st.integers(-2, 100))
            case "null":
                return None
        return self.anything()

    def _object(self, schema: Any) -> dict[str, Any]:
        fields, required = schema.get("properties", {}), schema.get("required", [])
        if not fields:  # message parts, options, arguments: anything may stand in them
            return self._part(depth=0)
        sure = [*required, *({"messages"} & (fields.keys() - set(required)))]
        # What is asked instead of messages.
        others = sorted(fields.keys() - set(sure) - (set() if self._wild else {"question", "resume"}))
        chosen = self._draw(st.lists(st.sampled_from(others), max_size=3, unique=True)) if others else []
        return {name: self.value(fields[name], name) for name in [*sure, *chosen]}

    def _part(self, depth: int) -> dict[str, Any]:
        known = self._draw(st.lists(st.sampled_from(["text", "name", "mediaType"]), max_size=2))
        part = {name: KNOWN[name] for name in known}
        if self._draw(st.integers(0, 3)):
            part["type"] = self._draw(self._words)
        for field in self._draw(st.lists(self._fields, max_size=4)):
            part[field] = self.anything(depth)
        return part

    def anything(self, depth: int = 0) -> Any:
        """Some JSON."""
        match self._draw(st.integers(0, 4 if depth < 3 else 2)):
            case 0:
                return self._draw(TELLING)
            case 1:
                return self._draw(LEAVES)
            case 2:
                return self._draw(self._words)
            case 3:
                return [self.anything(depth + 1) for _ in range(self._draw(st.integers(0, 2)))]
        return self._part(depth + 1)


@st.composite
def bodies(draw: st.DrawFn, path: str) -> Any:
    """Bodies of an endpoint; half of them break their form nowhere."""
    return Maker(draw, path, draw(st.sampled_from((STRICT, WILD)))).value(SCHEMAS[path])


def schemas() -> Iterator[tuple[str, Any]]:
    """Each endpoint that is asked by POST, and what it takes."""
    for path, operations in APP.openapi()["paths"].items():
        if "post" in operations:
            body = operations["post"].get("requestBody")
            yield path, UNDOCUMENTED.get(path) or (body["content"]["application/json"]["schema"] if body else {})


@functools.cache
def code_of(path: str) -> str:
    """The code of an endpoint's dialect, which names fields, kinds of parts, roles, methods, states."""
    routes = iter_route_contexts(APP.routes)
    found = next(each for each in routes if each.path == path and "POST" in (each.methods or ()))
    endpoint: Any = found.endpoint
    folder = Path(inspect.getfile(endpoint)).parent
    return "".join(module.read_text() for module in sorted(folder.glob("*.py")))


SCHEMAS = dict(schemas())


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all requests: the app's runs belong to it."""
    with asyncio.Runner() as made:
        yield made


@pytest.mark.timeout(60 + EXAMPLES * 2)
@pytest.mark.parametrize("path", SCHEMAS)
def test_every_body_is_answered(path: str, runner: asyncio.Runner) -> None:
    """A body of an endpoint's form, or nearly so, is answered or refused."""
    # Making a client takes longer than an answer.
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=APP), base_url="http://localhost")

    async def post(body: Any) -> httpx.Response:
        async with asyncio.timeout(HANG_S):
            return await client.post(path, json=body)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES == FEW,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(bodies(path))
    def answered(body: Any) -> None:
        answer = runner.run(post(body))
        # Ollama's own status for an option of the wrong type.
        assert answer.status_code < 500 or "must be of" in answer.text, (answer.status_code, answer.text)

    answered()
    runner.run(client.aclose())
