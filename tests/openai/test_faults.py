"""Every fault of an OpenAI-compatible server, on both ways to it: straight through the reader, or LangChain."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from llmstream.errors import UpstreamTruncated
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.server_kinds import OPENAI
from llmstream.openai.response import read_completion
from tests.support.answering import Outline, Script, cut_off, raw_server
from tests.support.openai_faults import END, LONG, SKY, STOP, WORDS, both_ways, error
from tests.support.openai_server import DONE, event, openai_server, piece, stream, usage
from tests.support.reading import BODY, response, sending

TRUNCATED = ("failed", "upstream_truncated", True)
PROTOCOL = ("failed", "upstream_protocol", False)
ERROR = ("failed", "upstream_error", True)
PARIS = ("tool_call", "get_weather", {"city": "Paris"})
ROME = ("tool_call", "get_weather", {"city": "Rome"})
CALLS = ("finished", "tool_calls")
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"  # its end is that of the connection


def call(index: int | None, arguments: Any = "", *, id: str | None = None, name: str | None = None) -> bytes:
    """A piece of a tool call."""
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    fields: dict[str, Any] = {"function": function} if index is None else {"index": index, "function": function}
    return piece(tool_calls=[fields | ({"id": id, "type": "function"} if id else {})])


ANSWERS: dict[str, tuple[bytes, Outline]] = {
    "whole": (stream(piece(role="assistant", content=""), WORDS, END, usage(), DONE), [SKY, STOP]),
    "no usage": (stream(WORDS, END, DONE), [SKY, STOP]),
    "no done": (stream(WORDS, END, usage()), [SKY, STOP]),
    "no reason": (stream(WORDS, usage(), DONE), [SKY, TRUNCATED]),
    "nothing at its end": (stream(WORDS), [SKY, TRUNCATED]),
    "nothing at all": (stream(), [TRUNCATED]),
    "done alone": (stream(DONE), [TRUNCATED]),
    "half an event": (stream(WORDS, piece(content="blue")[:40]), [SKY, PROTOCOL]),
    "no newline at its end": (stream(WORDS, END, DONE.strip()), [SKY, STOP]),
    "after the end": (stream(WORDS, END, piece(content="more"), DONE, piece(content="yet more")), [SKY, STOP]),
    "reason with the last piece": (stream(piece("stop", content="blue"), DONE), [("token", "blue"), STOP]),
    "an empty reason in each piece": (
        stream(piece("", content="blue "), piece("", content="sky"), END, DONE), [("token", "blue sky"), STOP]
    ),
    "an empty reason and no other": (stream(piece("", content="blue"), DONE), [("token", "blue"), TRUNCATED]),
    "length": (stream(WORDS, piece("length"), DONE), [SKY, ("finished", "length")]),
    "filtered": (stream(WORDS, piece("content_filter"), DONE), [SKY, ("finished", "content_filter")]),
    "aborted": (stream(WORDS, piece("abort"), DONE), [SKY, TRUNCATED]),
    "reason is an error": (stream(WORDS, piece("error"), DONE), [SKY, ERROR]),
    "empty": (stream(END, DONE), [STOP]),
    "error": (stream(WORDS, event({"error": {"message": "Compute error."}}), DONE), [SKY, ERROR]),
    "error is a text": (stream(WORDS, event({"error": "x"})), [SKY, ERROR]),
    "error with its own event": (stream(b"event: error\n", event({"error": {"code": 500}})), [ERROR]),
    "comments": (stream(b": ping\n\n:\n\n", WORDS, b":\n\n", END, b": ping\n\n", DONE), [SKY, STOP]),
    "crlf": (stream(WORDS.replace(b"\n", b"\r\n"), END.replace(b"\n", b"\r\n"), DONE), [SKY, STOP]),
    "no space": (stream(WORDS.replace(b"data: ", b"data:"), END, DONE.replace(b" ", b"")), [SKY, STOP]),
    "no blank lines": (stream(WORDS.replace(b"\n\n", b"\n"), END, DONE), [SKY, STOP]),
    "id and retry": (stream(b"id: 1\nretry: 5\n", WORDS, END, DONE), [SKY, STOP]),
    "order of keys": (
        stream(
            event({"choices": [{"finish_reason": None, "delta": {"content": "a"}, "index": 0}], "id": "c"}),
            event({"usage": None, "choices": [{"finish_reason": "stop", "delta": {}}]}),
            DONE,
        ),
        [("token", "a"), STOP],
    ),
    "reasoning_content": (stream(piece(reasoning_content="Hm."), WORDS, END, DONE), [("reasoning", "Hm."), SKY, STOP]),
    "reasoning": (stream(piece(reasoning="Hm.", content=""), WORDS, END, DONE), [("reasoning", "Hm."), SKY, STOP]),
    "refusal": (stream(piece(refusal="I can't."), END, DONE), [("token", "I can't."), STOP]),
    "other answers": (stream(WORDS, piece(index=1, content="x"), piece("stop", index=1), DONE), [SKY, TRUNCATED]),
    "not streamed in an event": (
        stream(event({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}), DONE),
        [("token", "a"), STOP],
    ),
    "not streamed": (response(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'), [PROTOCOL]),
    "web page": (response(b"<html>\n</html>", kind="text/html"), [PROTOCOL]),
    "null": (stream(WORDS, event(None)), [SKY, PROTOCOL]),
    "no choices": (stream(WORDS, event({"object": "x"}), END, DONE), [SKY, PROTOCOL]),
    "no delta": (stream(WORDS, event({"choices": [{"index": 0}]}), END, DONE), [SKY, PROTOCOL]),
    "of another type": (stream(WORDS, event({"choices": [{"delta": {"content": 5}}]}), END, DONE), [SKY, PROTOCOL]),
    "an infinite depth": (stream(WORDS, b"data: " + b"[" * 100_000 + b"\n\n"), [SKY, PROTOCOL]),
    "separators": (
        stream(event({"choices": [{"delta": {"content": "a\x85\u2028\ufeff\x00z"}}]}), END, DONE),
        [("token", "a\x85\u2028\ufeff\x00z"), STOP],
    ),
    "raw separators": (
        stream('data: {"choices":[{"delta":{"content":"a\x85\u2028z"}}]}\n\n'.encode(), END, DONE),
        [("token", "a\x85\u2028z"), STOP],
    ),
    "bad utf-8": (
        stream(b'data: {"choices":[{"delta":{"content":"a\xffz"}}]}\n\n', END, DONE), [("token", "a\ufffdz"), STOP]
    ),
    "split surrogate": (
        stream(
            b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\\ude00z"}}]}\n\n',
            END,
            DONE,
        ),
        [("token", "a😀z"), STOP],
    ),
    "tool call in pieces": (
        stream(
            call(0, id="a", name="get_weather"), call(0, '{"ci'), call(0, 'ty": "Par'), call(0, 'is"}'),
            piece("tool_calls"), usage(), DONE,
        ),
        [PARIS, CALLS],
    ),
    "tool calls by index": (
        stream(
            call(0, '{"city"', id="a", name="get_weather"), call(1, '{"city": "Rome"', id="b", name="get_weather"),
            call(0, ': "Paris"}'), call(1, "}"), piece("tool_calls"), DONE,
        ),
        [PARIS, ROME, CALLS],
    ),
    "tool calls of one index": (
        stream(
            call(0, '{"city": "Paris"}', id="a", name="get_weather"),
            call(0, '{"city": "Rome"}', id="b", name="get_weather"), piece("stop"), DONE,
        ),
        [PARIS, ROME, CALLS],
    ),
    "tool call without index": (
        stream(call(None, {"city": "Paris"}, id="a", name="get_weather"), piece("stop"), DONE), [PARIS, CALLS]
    ),
    "tool call that is cut": (
        stream(call(0, '{"city": "Pa', id="a", name="get_weather"), piece("length"), DONE), [("finished", "length")]
    ),
    "tool call without an end": (stream(call(0, '{"city": "Paris"}', id="a", name="get_weather")), [TRUNCATED]),
    "text and a tool call": (
        stream(WORDS, call(0, '{"city": "Paris"}', id="a", name="get_weather"), piece("tool_calls"), DONE),
        [SKY, PARIS, CALLS],
    ),
    "error 500": (response(error("at /root/x"), status="500 Internal Server Error"), [ERROR]),
    "page 502": (response(b"<html>", status="502 Bad Gateway"), [PROTOCOL]),
    "no key": (response(error("Incorrect API key provided: sk-1"), status="401 Unauthorized"), [ERROR]),
    "model not found": (
        response(error("The model `m` does not exist."), status="404 Not Found"),
        [("failed", "model_not_found", False)],
    ),
    "wrong path": (response(b'{"detail":"Not Found"}', status="404 Not Found"), [PROTOCOL]),
    "redirect": (response(b"", status="301 Moved\r\nLocation: https://localhost/"), [PROTOCOL]),
    "prompt too long": (
        response(error("This model's maximum context length is 4096 tokens."), status="400 Bad Request"), [ERROR]
    ),
    "old vLLM's error": (
        response(b'{"object":"error","message":"x","type":"BadRequestError"}', status="400 Bad Request"), [ERROR]
    ),
}  # fmt: skip

SCRIPTS: dict[str, tuple[Script, Outline]] = {
    "cut": (sending(LONG + WORDS, then=lambda writer: cut_off(writer, reset=False)), [SKY, TRUNCATED]),
    "cut in a chunk": (sending(LONG + WORDS + END[:30], then=lambda writer: writer.close()), [SKY, TRUNCATED]),
    "end of the connection": (sending(OPEN + WORDS + END, then=lambda writer: writer.close()), [SKY, STOP]),
    "open connection is cut": (sending(OPEN + WORDS, then=lambda writer: writer.close()), [SKY, TRUNCATED]),
    "hangs after the end": (sending(LONG + WORDS + END + DONE), [SKY, STOP]),
    "hangs before done": (sending(LONG + WORDS + END), [SKY, ("failed", "upstream_stalled", True)]),
    "stalls": (sending(LONG + WORDS), [SKY, ("failed", "upstream_stalled", True)]),
    "silent": (sending(LONG), [("failed", "upstream_timeout", True)]),
    "single bytes": (sending(*(bytes([each]) for each in stream(WORDS, END, usage(), DONE))), [SKY, STOP]),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is complete, or ends with the code of its fault; what came before it is kept."""
    answer, expected = ANSWERS[name]
    async with openai_server(answer) as server:
        straight, by_langchain = await both_ways(server, monkeypatch)

    assert expected == straight
    assert expected == by_langchain


@pytest.mark.parametrize("name", SCRIPTS)
async def test_connections(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the connection is cut, stays open, or falls silent."""
    script, expected = SCRIPTS[name]
    async with openai_server(script) as server:
        straight, by_langchain = await both_ways(server, monkeypatch)

    assert expected == straight
    assert expected == by_langchain


async def test_cut_at_every_byte() -> None:
    """Wherever the connection breaks off, the whole lines before it are delivered, and no cut is taken for the end."""
    answer = LONG + piece(reasoning="Hm.") + WORDS + END + usage() + DONE
    positions = iter(range(len(LONG), len(answer)))
    complete = len(answer) - 1  # the line is whole, if not the blank one after it
    lines_end = [end for end in range(len(LONG), len(answer)) if answer[end - 1 : end] == b"\n"]

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer[: json.loads(body)["position"]])
        cut_off(writer, reset=False)

    async def check(url: str) -> None:
        for position in positions:
            chunks: list[Chunk] = []
            body = {**BODY, "position": position}
            reading = read_completion(Endpoint(url=url, server=OPENAI), body, chunks.extend)
            if position >= complete:
                await reading
            else:
                with pytest.raises(UpstreamTruncated):
                    await reading
            whole = max((end for end in lines_end if end <= position), default=len(LONG))
            texts = re.findall(rb'"(?:content|reasoning)": "([^"]*)"', answer[len(LONG) : whole])
            told = [each.message.content or each.message.thinking for each in chunks if each.message and not each.done]
            assert [each.decode() for each in texts] == told, position

    async with raw_server(script) as (url, _):
        await asyncio.gather(*(check(url) for _ in range(20)))
