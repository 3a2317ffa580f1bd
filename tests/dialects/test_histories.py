"""Conversations as people's clients send them again with each question, and what of them reaches the model."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from llmstream.chain import StrictChatOllama
from llmstream.chain.request import request_body
from llmstream.core.question.question import to_messages
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.histories import HI, LINES, RESULT, Sent, openai_body, ui

PICTURE = base64.encodebytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode()
PDF, TEXT = "data:application/pdf;base64,JVBERi0=", "data:text/plain;base64,aGVsbG8="


@pytest.mark.parametrize(
    ("path", "role", "reaches"),
    [
        ("/ollama/api/chat", "control", "control"),
        ("/ollama/api/chat", "developer", "system"),
        ("/ollama/api/chat", "function", "tool"),
        ("/v1/chat/completions", "developer", "system"),
        ("/v1/chat/completions", "function", "tool"),
    ],
)
async def test_roles(path: str, role: str, reaches: str, sent: Sent) -> None:
    """Roles that only some servers know reach the model as the ones it knows."""
    found = await sent(path, openai_body({"role": role, "name": "now", "content": "thinking"}, HI))
    assert [(reaches, "thinking"), ("user", "hi")] == [(each["role"], each["content"]) for each in found]


async def test_unknown_role_is_refused(ask: Callable[..., Awaitable[httpx.Response]]) -> None:
    """A role that nobody knows is refused with those that there are."""
    answer = await ask("/ollama/api/chat", openai_body({"role": "narrator", "content": "Once"}, HI))
    assert (400, True) == (answer.status_code, "assistant" in answer.text)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", openai_body({"role": "user", "content": LINES})),
        ("/v1/chat/completions", openai_body({"role": "system", "content": LINES}, HI)),
        ("/v1/chat/completions", openai_body(HI, {"role": "assistant", "content": LINES}, HI)),
        ("/v1/chat/completions", openai_body(HI, {**RESULT, "content": LINES})),
        ("/api/chat", {"id": "c", "messages": [ui("user", *LINES)]}),
        ("/api/chat", {"id": "c", "messages": [ui("assistant", *LINES), ui("user", LINES[0])]}),
        ("/agui", {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": LINES}]}),
        ("/stream", {"messages": [{"role": "user", "content": LINES}]}),
    ],
)
async def test_parts_are_lines(path: str, body: Any, sent: Sent) -> None:
    """The texts of a message stand on lines of their own, in every dialect and role."""
    assert "one\ntwo" in [each["content"] for each in await sent(path, body)]


def with_file(url: str, name: str, media_type: str) -> list[tuple[str, Any]]:
    """A user's message with a file, as each dialect that knows files writes it."""
    data = url.partition(",")[2]
    openai_part = {"type": "file", "file": {"file_data": url, "filename": name}}
    ai_part = {"type": "file", "mediaType": media_type, "filename": name, "url": url}
    agui_part = {"type": "binary", "mimeType": media_type, "data": data, "filename": name}
    return [
        ("/v1/chat/completions", {"role": "user", "content": [*LINES, openai_part]}),
        ("/api/chat", ui("user", *LINES, ai_part)),
        ("/agui", {"id": "f", "role": "user", "content": [*LINES, agui_part]}),
    ]


def conversation(path: str, first: Any, *, is_old: bool) -> Any:
    """The message alone, or before an answer and a new question."""
    if path == "/api/chat":
        text = {"type": "text", "text": "hi"}
        return {"id": "c", "messages": [first, *([ui("assistant", text), ui("user", text)] if is_old else [])]}
    later = [{"id": "a", "role": "assistant", "content": "ok"}, {"id": "u", **HI}] if is_old else []
    names = {"threadId": "t", "runId": "r"} if path == "/agui" else {"model": "demo"}
    return {**names, "messages": [first, *later]}


@pytest.mark.parametrize(("path", "message"), with_file(TEXT, "a.txt", "text/plain"))
@pytest.mark.parametrize("is_old", [False, True])
async def test_text_files_are_read(path: str, message: Any, is_old: bool, sent: Sent) -> None:
    """The text of a text file is put into the message, under the file's name."""
    found = await sent(path, conversation(path, message, is_old=is_old))
    assert "one\ntwo\na.txt:\nhello" == found[0]["content"]


@pytest.mark.parametrize(("path", "message"), with_file(PDF, "a.pdf", "application/pdf"))
async def test_file_that_cant_be_read(
    path: str, message: Any, ask: Callable[..., Awaitable[httpx.Response]], sent: Sent
) -> None:
    """A file that can't be read is refused in the question, and no reason to refuse the questions after it."""
    refused = await ask(path, conversation(path, message, is_old=False))
    assert (400, True) == (refused.status_code, "application/pdf" in refused.text), refused.text
    found = await sent(path, conversation(path, message, is_old=True))
    assert found[0]["content"].startswith("one\ntwo\n[")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("data:text/csv,a%2Cb", "a,b"),
        ("data:application/json;charset=utf-8;base64,eyJhIjogMX0=", '{"a": 1}'),
        ("data:image/svg+xml;base64,PHN2Zy8+", None),
        ("data:text/plain;base64,/w==", None),
        ("data:application/octet-stream;base64,AA==", None),
    ],
)
async def test_which_files_are_text(url: str, text: str | None, ask: Callable[..., Awaitable[httpx.Response]]) -> None:
    """Files of text types are read, in base64 or not; what only looks like text is refused, never garbled."""
    part = {"type": "file", "file": {"file_data": url}}
    answer = await ask("/v1/chat/completions", openai_body({"role": "user", "content": [part]}))
    assert (text is not None) == answer.is_success, answer.text


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "image", "data": PICTURE.replace("\n", "\r\n")},
        {"type": "image_url", "image_url": PICTURE.replace("\n", " ")},
    ],
)
def test_base64_with_line_ends(part: Any) -> None:
    """Base64 as MIME writes it, in lines, is the same image."""
    body = request_body(StrictChatOllama(model="m"), to_messages([{"role": "user", "content": [part]}]))
    assert ["".join(PICTURE.split())] == body["messages"][0]["images"]


def item(kind: str, **fields: Any) -> Any:
    return {"type": kind, "call_id": "c", "name": "now", "arguments": None, **fields}


def responses_body(*items: Any) -> Any:
    return {"model": "demo", "input": list(items)}


def anthropic_result(content: Any) -> Any:
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "now", "input": None}]}
    return {"model": "demo", "messages": [HI, use, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c", "content": content}]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/v1/responses", responses_body({"role": "user", "content": {"type": "input_text", "text": "one"}}), "one"),
        ("/v1/responses", responses_body(HI, item("function_call"), item("function_call_output", output=42)), "42"),
        ("/v1/responses", responses_body(HI, item("function_call"), item("function_call_output", output={"é": 1})),
         '{"é": 1}'),
        ("/v1/messages", anthropic_result({"type": "text", "text": "one"}), "one"),
        ("/v1/chat/completions", openai_body(
            HI, {"role": "assistant", "content": None, "refusal": "I will not."}, HI), "I will not."),
        ("/api/chat", {"id": "c", "messages": [
            ui("assistant", {"type": "text", "text": None}, {"type": "text", "text": "one"}), ui("user", *LINES)]},
         "\none"),
        ("/api/chat", {"id": "c", "messages": [ui("assistant", {**LINES[0], "toolCallId": []}), ui("user", *LINES)]},
         "one"),
        ("/api/chat", {"id": "c", "messages": [ui("user", *LINES), ui("assistant", {
            "type": "tool-now", "toolCallId": "c", "state": "output-available", "input": {}, "output": {"é": 1}})]},
         '{"é": 1}'),
    ],
)  # fmt: skip
async def test_texts_in_odd_places(path: str, body: Any, text: str, sent: Sent) -> None:
    """A text that stands in another form than the usual reaches the model, and nothing that nobody wrote."""
    assert text in [each["content"] for each in await sent(path, body)]


APPROVED = {"type": "tool-x", "state": "approval-responded", "approval": {"id": f"a#{'9' * 5000}", "approved": True}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", responses_body({"role": "user", "content": 5})),
        ("/v1/messages", anthropic_result(5)),
        ("/agui", {"threadId": "t", "runId": "r", "messages": [
            {"id": "1", "role": "user", "content": [{"source": {"type": "url", "value": "https://x"}}]}]}),
        ("/api/chat", {"id": "c", "messages": [ui("user", {"type": "fish", "toolCallId": []})]}),
        ("/api/chat", {"id": "c", "messages": [ui("assistant", APPROVED)]}),
    ],
)  # fmt: skip
async def test_what_is_no_part(path: str, body: Any, ask: Callable[..., Awaitable[httpx.Response]]) -> None:
    """What is no part of a message is refused, and the server does not fail."""
    answer = await ask(path, body)
    assert 400 == answer.status_code, answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/completions"), ("POST", "/v1/embeddings"), ("GET", "/v1/batches/x"), ("DELETE", "/v1/models/x"),
        ("POST", "/ollama/v1/completions"),
    ],
)  # fmt: skip
async def test_unknown_paths(method: str, path: str, settings: Settings) -> None:
    """A client of OpenAI's that asks for what is not here reads so in its own form, and what there is."""
    transport = httpx.ASGITransport(app=create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.request(method, path, json={})
    error = answer.json()["error"]
    assert (404, "not_found", True) == (answer.status_code, error["code"], "/v1/chat/completions" in error["message"])
