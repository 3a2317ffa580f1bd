"""What single servers do in their own way: keys asked for everywhere, models told only when idle, no null taken."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.server_kinds import OPENAI
from llmstream.openai.models import OpenAIServer
from llmstream.settings import Settings
from tests.support.answering import events_of, raw_server
from tests.support.openai_server import DONE, VLLM, openai_server, piece, stream, text, usage
from tests.support.reading import response

ANSWER = stream(text("The sky is"), piece("stop"), usage(), DONE)


async def test_refused_key_of_an_address_without_v1() -> None:
    """llama.cpp's server refuses all that it is asked without its key: how it says so tells what it speaks."""
    fields = {"message": "Invalid API Key", "type": "authentication_error", "code": 401}

    async def refuse(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(json.dumps({"error": fields}).encode(), status="401 Unauthorized"))

    async with raw_server(refuse) as (url, _):
        told: Any = (await events_of(settings=Settings(upstream=url)))[-1]
    assert "LLMSTREAM_UPSTREAM_KEY" in told.message


async def test_server_that_tells_no_models_while_it_answers() -> None:
    """What is known of its models is used on; nobody waits long to hear it anew."""
    heads: list[str] = []

    async def busy(body: bytes, writer: asyncio.StreamWriter) -> None:
        if len(heads) == 1:
            writer.write(response(json.dumps({"data": VLLM}).encode()))

    async with raw_server(busy, heads=heads) as (url, _):
        server = OpenAIServer(Endpoint(url=f"{url}/v1", server=OPENAI), kept_s=0, look_s=0.1)
        told = [await server.choose_model() for _ in range(2)]
    assert ([VLLM[0]["id"]] * 2, 2) == (told, len(heads))


async def test_no_null_is_sent() -> None:
    """A message without a text has no `content`: llama-cpp-python refuses null there."""
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    messages = [{"role": "user", "content": "hi"}, asked, {"role": "tool", "tool_call_id": "1", "content": "noon"}]
    async with openai_server(ANSWER) as server:
        await events_of(messages, settings=Settings(upstream=server.url))
    assert "null" not in json.dumps(server.bodies[0])
    assert [call] == server.bodies[0]["messages"][1]["tool_calls"]


async def test_form_of_llama_cpp_python() -> None:
    """It takes the schema of an answer beside `json_object`, and refuses OpenAI's way."""
    async with openai_server(ANSWER, models=[{"id": "m", "owned_by": "me"}]) as server:
        await events_of(settings=Settings(upstream=server.url), format={"type": "object"})
    assert {"type": "json_object", "schema": {"type": "object"}} == server.bodies[0]["response_format"]
