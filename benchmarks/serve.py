"""The servers that are compared, each on uvicorn with uvloop and httptools: `python -m benchmarks.serve PORT NAME`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from json.encoder import encode_basestring_ascii as escape
from typing import Any

import aiohttp
import msgspec
import uvicorn

from benchmarks.processes import MODEL, USUAL_GRAPH

_SSE = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
_sessions: list[aiohttp.ClientSession] = []

Forward = Callable[[aiohttp.StreamReader, Any], Awaitable[None]]


class _Message(msgspec.Struct, gc=False):
    content: str = ""


class _Chunk(msgspec.Struct, gc=False):
    message: _Message


async def _pass(content: aiohttp.StreamReader, send: Any) -> None:
    while data := await content.readany():
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _parse(content: aiohttp.StreamReader, send: Any) -> None:
    decode = msgspec.json.Decoder(_Chunk).decode_lines
    rest = b""
    while data := await content.readany():
        lines, _, rest = (rest + data).rpartition(b"\n")
        frames = [f'data: {{"text":{escape(chunk.message.content)}}}\n\n' for chunk in decode(lines)]
        if frames:
            await send({"type": "http.response.body", "body": "".join(frames).encode("ascii"), "more_body": True})


def bare(forward: Forward) -> Any:
    """The least that an ASGI app can do: ask the upstream, and hand its bytes to `forward`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        question = json.loads((await receive())["body"])["question"]
        if not _sessions:
            _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": question}]}
        async with _sessions[0].post(f"http://{os.environ['OLLAMA_HOST']}/api/chat", json=body) as response:
            await send({"type": "http.response.start", "status": 200, "headers": _SSE})
            await forward(response.content, send)
        await send({"type": "http.response.body"})

    return app


def _usual_app(texts: Callable[[str], AsyncIterator[str]]) -> Any:
    """FastAPI's StreamingResponse over the texts of an answer, as the usual examples have it."""
    from fastapi import Body, FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    async def frames(question: str) -> AsyncGenerator[str]:
        async for text in texts(question):
            yield f"data: {json.dumps({'text': text})}\n\n"

    @app.post("/stream")
    async def stream(question: str = Body(embed=True)) -> StreamingResponse:
        return StreamingResponse(frames(question), media_type="text/event-stream")

    return app


def _usual() -> Any:
    """The usual way: prompt | ChatOllama, and `astream`."""
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_ollama import ChatOllama

    model = ChatOllama(model=MODEL, base_url=f"http://{os.environ['OLLAMA_HOST']}")
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model

    async def texts(question: str) -> AsyncIterator[str]:
        async for chunk in chain.astream({"question": question}):
            yield str(chunk.content)

    return _usual_app(texts)


def _usual_graph() -> Any:
    """The usual way with a graph of one node: `astream` of its messages."""
    from benchmarks.chains import CHAINS

    graph = CHAINS["graph, LangChain's ChatOllama"]()

    async def texts(question: str) -> AsyncIterator[str]:
        async for message, _ in graph.astream({"question": question}, stream_mode="messages"):
            yield message.content

    return _usual_app(texts)


def _llmstream(port: int, *, chain: object = None, gradio: bool = False) -> None:
    from llmstream.fastapi import create_app
    from llmstream.server import Server
    from llmstream.settings import Settings

    app = create_app(Settings(), chain=chain)
    if gradio:
        from llmstream.gradio import create_chat, mount_chat

        mount_chat(app, create_chat(runs=app.state.runs))
    Server(app, app.state.runs, port=port, access_log=False).run()


def main(port: int, name: str) -> None:
    """Serve until SIGTERM."""
    if name in ("llmstream", "gradio"):
        return _llmstream(port, gradio=name == "gradio")
    apps = {
        "pass-through": lambda: bare(_pass),
        "bare loop": lambda: bare(_parse),
        "usual way": _usual,
        USUAL_GRAPH: _usual_graph,
    }
    if name not in apps:
        from benchmarks.chains import CHAINS  # brings in LangGraph, which the others are measured without

        return _llmstream(port, chain=CHAINS[name]())
    app = apps[name]()
    uvicorn.run(app, port=port, lifespan="off", loop="uvloop", http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
