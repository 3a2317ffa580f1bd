"""The Gradio chat in an app that starts without it: importing Gradio takes seconds, so it waits for a first visitor."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec

from fastapi import FastAPI
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from llmstream.runs.manager import Runs

PATH = "/gradio"
MISSING = 'The Gradio chat needs Gradio. Get it with: pip install "llmstream-toolkit[gradio]"\n'

_LOADING = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>llmstream</title>
<p role="status" style="font: 16px/1.5 system-ui, sans-serif; margin: 20vh auto; text-align: center">Loading Gradio …"""


class LazyChat:
    """An ASGI app to be mounted at `PATH`: the page of `create_chat` over these runs.

    The first request has Gradio imported, beside what else the server does; until then a browser is shown that it is
    loading, and other requests wait. Without Gradio it says how to get it.
    """

    def __init__(self, runs: Runs, notice: Callable[[], str | None]) -> None:
        self._runs = runs
        self._notice = notice
        self._loading: asyncio.Task[ASGIApp] | None = None
        self._open = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if find_spec("gradio") is None:
            return await PlainTextResponse(MISSING, 501)(scope, receive, send)
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        if not self._loading.done() and scope["path"].rstrip("/").endswith(PATH):
            headers = {
                "cache-control": "no-store",
                "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
            }
            return await HTMLResponse(_LOADING, headers=headers)(scope, receive, send)
        app = await asyncio.shield(self._loading)
        # The page's own app is mounted at the same path, so it must see what this one saw before its mount.
        await app({**scope, "root_path": scope["root_path"].removesuffix(PATH)}, receive, send)

    async def close(self) -> None:
        """Ends what the page has begun."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        await self._open.aclose()

    async def _load(self) -> ASGIApp:
        gradio = await asyncio.to_thread(importlib.import_module, "llmstream.gradio")
        app = FastAPI(openapi_url=None)
        gradio.mount_chat(app, gradio.create_chat(runs=self._runs, notice=self._notice), PATH)
        await self._open.enter_async_context(app.router.lifespan_context(app))
        gc.freeze()  # as the server does when it starts: the collector need not walk all of Gradio again and again
        return app
