"""A program: the agent of `real_agent` behind a server, with its threads in SQLite, as somebody writes it whose saver
needs an event loop. Its arguments are the address of an Ollama and the path of the database.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.real_agent import weather_agent


async def main(ollama: str, path: str) -> None:
    """Says where it listens, and serves until it is killed."""
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        app = create_app(Settings(ollama_url=ollama, demo="never"), chain=weather_agent(ollama, saver))
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
