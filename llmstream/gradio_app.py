"""The chat page as an app: how it looks, its doors, launching and mounting it, the demo Ollama behind it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmstream.demo_ollama.fallback import Fallback
from llmstream.gradio_page import Page
from llmstream.runs.owner import Runs
from llmstream.security import CALLER, Security, check_public
from llmstream.settings import Settings

# Gradio's page builds functions from text, hence 'unsafe-eval'; nothing comes from elsewhere, and a picture that an
# answer names on another host is not loaded.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'none'"
)
_STARTUP, _UPLOAD = "/gradio_api/startup-events", "/gradio_api/upload"
# Events that may be under way beside the answers: lists of models, stops.
_SPARE_JOBS = 20
# How often Gradio's queue looks for work, and for progress bars (there are none), in seconds; its own milliseconds
# take a tenth of a core for nothing.
_QUEUE_PERIOD_S, _PROGRESS_PERIOD_S = 0.01, 0.5
# After how many events Gradio makes a table of all of them with pandas, for a dashboard that is off here.
_NEVER = sys.maxsize

_CSS = """
.gradio-container main { width: 100% !important; max-width: 860px !important; margin: 0 auto !important; }
.gradio-container .main.app { padding: clamp(8px, 2vw, 16px) clamp(10px, 2.5vw, 32px) !important; }
#title h1 { font-size: 1.35rem; margin: 0; }
#title p { margin: 0.25rem 0 0; color: var(--body-text-color-subdued); }
#notice { background: #fff3cd; border-radius: 6px; padding: 8px 12px; }
#notice, #notice * { color: #4d3800 !important; }
#chat { border-style: none !important; background: none; }
#chat .bubble-wrap { background: none; padding-inline: 0; }
#chat .message-row { margin-inline: 0; max-width: 100%; }
#chat .message-buttons .icon-button-wrapper { margin-inline: 0; }
#chat .message-row:has(.thought-group) { margin-block: 8px; }
#chat .message-row .flex-wrap, #chat .message, #chat .message > div { min-width: 0; max-width: 100%; }
#chat .message-content { overflow-wrap: anywhere; }
#chat pre { overflow-x: auto; }
#chat .message.bot { border: none; background: none; padding-inline: 0; box-shadow: none; }
/* Notes (thinking, tools, sources, errors) have nothing to copy. */
#chat .message-row:has(.thought-group) + .message-buttons button:first-child { display: none; }
#chat .message-row:has(.thought-group) + .message-buttons:not(:has(button + button)) { display: none; }
#line, #line * { font-size: 0.8rem; color: var(--body-text-color-subdued); min-height: 1.2rem; }
#under-box { align-items: center; flex-wrap: nowrap; }
#model { flex: 0 1 280px; margin: 0 !important; }
#theme { flex: none; margin-left: auto; font-weight: normal; color: var(--body-text-color-subdued); }
"""


class Chat(gr.Blocks):
    """A `gr.Blocks` with the chat page, whose `launch` keeps it private unless told otherwise."""

    def __init__(
        self,
        runs: Runs,
        chain: object,
        *,
        own_runs: bool,
        notice: Callable[[], str | None] | None,
        theme: Any,
        texts: Mapping[str, Any],
    ) -> None:
        super().__init__(analytics_enabled=False, title=texts["title"], fill_height=True)
        self._runs = runs
        self._own_runs = own_runs
        self._wanted_theme = theme
        self._fallback = _fallback(runs) if own_runs and chain is None else None
        with self:
            Page(self, runs, chain, notice=notice or self._notice, **texts)
        jobs = runs.settings.max_active_runs + runs.settings.max_queued_runs + _SPARE_JOBS
        self.max_threads = jobs
        self.queue()
        self._queue.sleep_when_free = _QUEUE_PERIOD_S
        self._queue.progress_update_sleep_when_free = _PROGRESS_PERIOD_S
        self._queue.ANAYLTICS_CACHE_FREQUENCY = _NEVER  # Gradio's spelling

    def launch(self, *args: Any, **options: Any) -> Any:
        """`gr.Blocks.launch`, listening on loopback, behind our doors, with nothing recorded and nothing uploaded.

        Raises `SettingsError` where it would be open to the network without a token or Gradio's `auth`.
        """
        host = options.setdefault("server_name", "127.0.0.1")
        protected = bool(options.get("auth") or options.get("auth_dependency"))
        check_public(host or "127.0.0.1", self._runs.settings, allow_public=protected)
        defaults = {**self._page_options(), "show_error": False, "ssr_mode": False, "share": False, "mcp_server": False}
        defaults |= {"enable_monitoring": False, "max_threads": self.max_threads, "pwa": False}
        return super().launch(*args, **{**defaults, **options})

    def mount(self, app: FastAPI, path: str) -> None:
        """Add the page to an app; see `llmstream.gradio.mount_chat`."""
        gr.mount_gradio_app(
            app, self, path, show_error=False, ssr_mode=False, enable_monitoring=False, **self._page_options()
        )

    def _page_options(self) -> dict[str, Any]:
        doors = Middleware(_Doors, settings=self._runs.settings)
        return {
            "theme": self._wanted_theme or open_theme(),
            "css": _CSS,
            "run_history": False,
            "footer_links": [],
            "allowed_paths": [],
            "max_file_size": "1b",
            "app_kwargs": {"lifespan": self._lifespan, "middleware": [doors]},
        }

    def _notice(self) -> str | None:
        return self._fallback.notice if self._fallback else None

    @asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncGenerator[None]:
        if self._own_runs:
            self._runs.reopen()
        async with self._fallback or _nothing():
            yield
            if self._own_runs:
                await self._runs.drain(0)


def open_theme() -> Any:
    """Gradio's plain theme with the fonts that every computer has."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=[gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")],
        font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("Consolas"), gr.themes.Font("monospace")],
    )


@asynccontextmanager
async def _nothing() -> AsyncGenerator[None]:
    yield


def _fallback(runs: Runs) -> Fallback:
    def change(settings: Settings) -> None:
        runs.settings = settings

    return Fallback(runs.settings, change)


class _Doors:
    """Who may come in, unless the app it is mounted in has doors of its own; and what its pages may load."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._guarded = Security(app, settings=settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        if path.rstrip("/").endswith(_UPLOAD):
            return await _refuse_upload(send)
        # Gradio asks this of itself when it starts, without a token; it does the same thing for everybody, once.
        is_open = CALLER in scope or path == _STARTUP
        await (self._app if is_open else self._guarded)(scope, receive, _with_policy(send))


def _with_policy(send: Send) -> Send:
    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                headers["content-security-policy"] = _POLICY
                headers["referrer-policy"] = "no-referrer"
                headers["cache-control"] = "no-store"
            headers["x-content-type-options"] = "nosniff"
        await send(message)

    return send_with_policy


async def _refuse_upload(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"detail":"This chat takes no files."}'})
