"""What the tests of the generator share: chains that take each way to Ollama, and what an answer was, in outline."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from langchain_community.llms import Ollama
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_ollama import ChatOllama

from llmstream import astream_events
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import (
    Cancelled,
    Data,
    Event,
    Failed,
    Finished,
    Reasoning,
    Started,
    Status,
    Token,
    ToolCall,
    ToolResult,
)

PROMPT = ChatPromptTemplate.from_messages([("human", "{question}")])
# LangChain's own classes never close their connections; so the server does it.
CLOSE = {"headers": {"Connection": "close"}}

DOCUMENTS = [
    Document("Air scatters blue light.", metadata={"title": "Sky", "source": "https://example.com/sky"}),
    Document("word " * 100, metadata={"source": "/home/ann/notes/sky.md"}),
    Document("Light\nhas  colors.", metadata={"source": r"C:\Users\ann\light.txt"}),
    Document("No word of where from."),
]
SOURCES = [
    {"title": "Sky", "url": "https://example.com/sky", "excerpt": "Air scatters blue light."},
    {"title": "sky.md", "url": None, "excerpt": ("word " * 60).strip()[:300] + " …"},
    {"title": "light.txt", "url": None, "excerpt": "Light has colors."},
    {"title": "Untitled", "url": None, "excerpt": "No word of where from."},
]

Outline = list[tuple[Any, ...]]
# Of an answer that says this sentence, as those of the demo's scenarios do.
ANSWER: Outline = [("token", SENTENCE), ("finished", "stop")]


def strict(model: str, **fields: Any) -> Runnable[Any, Any]:
    """`prompt | StrictChatOllama`, which is read straight from Ollama."""
    return PROMPT | StrictChatOllama(model=model, **fields)


def strict_with_callback(model: str, **fields: Any) -> Runnable[Any, Any]:
    """The same with a callback that listens, which goes through LangChain."""
    return PROMPT | StrictChatOllama(model=model, callbacks=[BaseCallbackHandler()], **fields)


def strict_with_parser(model: str, **fields: Any) -> Runnable[Any, Any]:
    """The same with a parser behind it, and a callback, so that it goes through LangChain."""
    return listened_to(PROMPT | StrictChatOllama(model=model, **fields) | StrOutputParser())


def usual(model: str, **fields: Any) -> Runnable[Any, Any]:
    """The chain that everybody writes, which is read straight from Ollama."""
    return PROMPT | ChatOllama(model=model, **fields) | StrOutputParser()


def listened_to(chain: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The chain with a callback that does nothing: it goes through LangChain then."""
    return chain.with_config(callbacks=[BaseCallbackHandler()])


def own_chat_ollama(model: str, **fields: Any) -> Runnable[Any, Any]:
    """A person's own `langchain_ollama.ChatOllama`, with a callback, so that it goes through LangChain."""
    return listened_to(PROMPT | ChatOllama(model=model, client_kwargs=CLOSE, **fields))


def own_legacy_ollama(model: str, **fields: Any) -> Runnable[Any, Any]:
    """A person's own `langchain_community.llms.Ollama`, which asks `/api/generate`; the same with a callback."""
    return listened_to(PROMPT | Ollama(model=model, **fields) | StrOutputParser())


def default_chain(model: str, **fields: Any) -> dict[str, Any]:
    """The default chain, asked for a model."""
    return {"model": model, "thinking": fields.get("reasoning")}


def of(make: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """A chain of one's own."""
    return lambda model, **fields: {"chain": make(model, **fields)}


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "default": default_chain,
    "prompt-model": of(strict),
    "callback": of(strict_with_callback),
    "parser": of(strict_with_parser),
    "usual": of(usual),
}


async def events_of(question: Any = "hi", **arguments: Any) -> list[Event]:
    """All events of an answer, read to its end."""
    async with aclosing(astream_events(question, **arguments)) as events:
        return [event async for event in events]


def outline(events: Sequence[Event]) -> Outline:
    """An answer without ids and times: texts joined where they follow each other, and what happened in between.

    The first event must be `started`, or the only one `failed`; no status tells of waiting.
    """
    found: Outline = []
    for event in events:
        row = _row(event)
        if row is None:
            continue
        if found and row[0] == found[-1][0] in ("token", "reasoning"):
            row = (row[0], found.pop()[1] + row[1])
        found.append(row)
    assert all(not isinstance(event, Started) for event in events[1:])
    return found


def _row(event: Event) -> tuple[Any, ...] | None:
    match event:
        case Token(text):
            return ("token", text)
        case Reasoning(text):
            return ("reasoning", text)
        case ToolCall(_, name, arguments):
            return ("tool_call", name, arguments)
        case ToolResult(_, output):
            return ("tool_result", output)
        case Data(name, value):
            return ("data", name, value)
        case Status("prompt_truncated"):
            return ("prompt_truncated",)
        case Finished(reason):
            return ("finished", reason)
        case Failed(code, _, retryable):
            return ("failed", code, retryable)
        case Cancelled(by):
            return ("cancelled", by)
    return None


def facts(events: Sequence[Event], url: str) -> list[Any]:
    """All that an answer of the server at `url` tells, but for its times and how it was cut into pieces."""
    last = events[-1]
    said = [event for event in events if isinstance(event, Status) and event.state != "waiting"]
    usage = (last.usage, last.prompt_truncated) if isinstance(last, Finished) else None
    own_words = isinstance(last, Failed) and last.code not in ("chain_failed", "upstream_timeout", "upstream_stalled")
    message = last.message if isinstance(last, Failed) and own_words else ""
    return [*outline(events), said, usage, message.replace(url, "")]


class Recorder(BaseCallbackHandler):
    """Hears each token of each model."""

    def __init__(self) -> None:
        self.models = 0
        self.tokens: list[str] = []

    def on_chat_model_start(self, *arguments: Any, **kwargs: Any) -> None:
        """See `BaseCallbackHandler`."""
        self.models += 1

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """See `BaseCallbackHandler`."""
        self.tokens.append(str(token))


Script = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(
    script: Script, *, tls: ssl.SSLContext | None = None, heads: list[str] | None = None
) -> AsyncGenerator[tuple[str, list[int]], None]:
    """A server that hands each request's body to `script`, which writes what it likes.

    Yields its address, and for each connection the number of requests that came over it; what stood above the bodies
    goes into `heads`.
    """
    counts: list[int] = []
    tasks: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = len(counts)
        counts.append(0)
        if task := asyncio.current_task():
            tasks.append(task)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                counts[connection] += 1
                if heads is not None:
                    heads.append(head.decode())
                await script(await reader.readexactly(length), writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield (f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"), counts
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def cut_off(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close a connection: after what was written has been sent (FIN), or at once (RST)."""
    if not reset:
        writer.close()
        return
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
