"""What imitates Ollama, and where it stands behind a key or another address: a complete answer is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import Runnable

from llmstream.errors import UpstreamProtocol
from llmstream.events import Finished
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings
from tests.support.answering import Script, events_of, outline, raw_server, strict, strict_with_parser

Make = Callable[..., Runnable[Any, Any]]
END = {"done": True, "done_reason": "stop"}


def answering(*lines: Any, status: str = "200 OK", head: str = "") -> Script:
    """A server that answers every question with these lines."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return script


def says(text: object, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}, **more}


@pytest.mark.parametrize("make", [strict, strict_with_parser])
@pytest.mark.parametrize(
    "lines",
    [
        [says("Hi"), says("", done_reason="stop")],
        [says("Hi", done_reason=None), says("", done=None, done_reason="stop")],
        [says("Hi", done=False), says(None, **END)],
        [{"message": {"role": "assistant", "content": "Hi", "thinking": None}}, says("", **END)],
        [says("Hi"), says("", total_duration=1.5e9, load_duration=2.5, eval_duration=1.0, eval_count=1, **END)],
        [says("Hi"), says("", total_duration=None, eval_count=None, model=None, created_at=None, **END)],
        [says("Hi"), says("", created_at=1764000000, **END)],
        [
            says("Hi"),
            says("", total_duration="1.5s", eval_count="3", prompt_eval_count=[], model=5, created_at={}, **END),
        ],
        [says("Hi"), says("", total_duration=float("nan"), eval_duration=float("nan"), eval_count=10**400, **END)],
    ],
)
async def test_complete_answers(lines: list[Any], make: Make) -> None:
    """Null for nothing, numbers of any form, a reason for the end without the end: the answer is complete."""
    async with raw_server(answering(*lines)) as (url, _):
        assert [("token", "Hi"), ("finished", "stop")] == outline(await events_of(chain=make("m", base_url=url)))


async def test_counts_as_fractions() -> None:
    """A whole number that is written as a fraction is the same number."""
    end = says("", prompt_eval_count=2.0, eval_count=3.0, eval_duration=1.5e9, **END)
    async with raw_server(answering(says("Hi"), end)) as (url, _):
        finished = (await events_of(chain=strict("m", base_url=url)))[-1]
    assert isinstance(finished, Finished)
    assert (2, 3, 2.0) == (finished.usage.input_tokens, finished.usage.output_tokens, finished.timings.tokens_per_s)


@pytest.mark.parametrize("make", [strict, strict_with_parser])
@pytest.mark.parametrize("arguments", [{"zone": "UTC"}, '{"zone": "UTC"}'])
async def test_arguments_as_a_text(arguments: object, make: Make) -> None:
    """A call's arguments may be an object or its JSON."""
    call = {"message": {"content": "", "tool_calls": [{"function": {"name": "now", "arguments": arguments}}]}}
    async with raw_server(answering(call, says("", **END))) as (url, _):
        found = outline(await events_of(chain=make("m", base_url=url)))
    assert ("tool_call", "now", {"zone": "UTC"}) in found


@pytest.mark.parametrize("arguments", ["", " ", None])
async def test_arguments_that_are_none(arguments: object) -> None:
    """A call's arguments may be left empty, as text too."""
    call = {"message": {"content": "", "tool_calls": [{"function": {"name": "now", "arguments": arguments}}]}}
    async with raw_server(answering(call, says("", **END))) as (url, _):
        found = outline(await events_of(chain=strict("m", base_url=url)))
    assert ("tool_call", "now", {}) in found


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_redirect_names_the_setting(status: str) -> None:
    """An address that leads on to https is told as such, with the setting that mends it."""
    async with raw_server(answering(status=status, head="Location: https://localhost/\r\n")) as (url, _):
        asked = outline(await events_of(chain=strict("m", base_url=url)))
        with pytest.raises(UpstreamProtocol, match=r"redirects.*OLLAMA_HOST.*https://127\.0\.0\.1"):
            await Ollama.of(Settings(ollama_url=url)).version()
    assert [("failed", "upstream_protocol", False)] == asked


@pytest.mark.parametrize(
    ("environ", "user", "sent"),
    [
        ({"OLLAMA_API_KEY": "key"}, "", "Bearer key"),
        ({"LLMSTREAM_OLLAMA_API_KEY": "own", "OLLAMA_API_KEY": "key"}, "", "Bearer own"),
        ({"OLLAMA_API_KEY": " "}, "", None),
        ({"OLLAMA_API_KEY": "key"}, "ann:x@", "Basic YW5uOng="),
    ],
)
async def test_api_key(environ: dict[str, str], user: str, sent: str | None) -> None:
    """The key is sent with a question, as the `ollama` package sends it; a user in the address goes before it."""
    heads: list[str] = []
    async with raw_server(answering(says("Hi", **END)), heads=heads) as (url, _):
        settings = Settings.load({"OLLAMA_HOST": url.replace("//", f"//{user}"), **environ})
        await Ollama.of(settings).chat({"model": "m", "messages": [{"role": "user"}]}, lambda chunks: None)
    lines = [line.partition(": ")[2] for line in heads[0].split("\r\n") if line.startswith("Authorization")]
    assert ([sent] if sent else []) == lines
