"""The chat page as an app: how it looks, its doors, launching and mounting it, the demo Ollama behind it."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.context import Context
from starlette.middleware import Middleware

from llmstream.demo_ollama.stand_in import Fallback
from llmstream.gradio.options import Options
from llmstream.gradio.page import Page
from llmstream.gradio.security import KEPT_S, Doors
from llmstream.gradio.sessions import forget_values
from llmstream.gradio.style import STYLE
from llmstream.http.origins import check_public
from llmstream.runs.manager import Runs

logger = logging.getLogger("llmstream")

# Events that may be under way beside the answers: lists of models, stops.
_SPARE_JOBS = 20

# How often Gradio's queue looks for work, and for progress bars (there are none), in seconds; its own milliseconds
# take a tenth of a core for nothing.
_QUEUE_PERIOD_S, _PROGRESS_PERIOD_S = 0.01, 0.5

# After how many events Gradio makes a table of all of them with pandas, for a dashboard that is off here.
_NEVER = sys.maxsize
_NO_FILES = "1b"

_PRIVATE: dict[str, Any] = {"show_error": False, "ssr_mode": False, "enable_monitoring": False}

_CSS = """
.gradio-container main { width: 100% !important; max-width: 860px !important; margin: 0 auto !important; }
.gradio-container .main.app { padding: clamp(8px, 2vw, 16px) clamp(10px, 2.5vw, 32px) !important; }
"""
_OPEN = (
    "The chat page stands without llmstream's doors: every host name and every other page can reach it, and it loads "
    "what answers name. Mount it with llmstream.gradio.mount_chat(app, demo), or launch the Blocks it is in."
)


class Chat(gr.Blocks):
    """A `gr.Blocks` with the chat page, whose `launch` keeps it private unless told otherwise."""

    def __init__(
        self,
        runs: Runs,
        chain: object,
        options: Options,
        *,
        own_runs: bool,
        notice: Callable[[], str | None] | None,
        theme: Any,
    ) -> None:
        around, Context.root_block, Context.block = (Context.root_block, Context.block), None, None
        title = options.title or "llmstream"
        super().__init__(analytics_enabled=False, title=title, fill_height=True, delete_cache=KEPT_S)
        self._runs = runs
        self._own_runs = own_runs
        self._wanted_theme = theme
        self._has_doors = False
        self._root: Any = None
        self._fallback = None
        if own_runs and chain is None:
            self._fallback = Fallback(lambda: runs.settings, functools.partial(setattr, runs, "settings"))
        with self:
            page = Page(self, runs, chain, options, notice or self._notice)
        self._takes_files = page.takes_files
        jobs = runs.settings.max_active_runs + runs.settings.max_queued_runs + _SPARE_JOBS
        self.max_threads = jobs
        self.queue(max_size=jobs)  # and no more that wait for one of them
        self._queue.sleep_when_free = _QUEUE_PERIOD_S
        self._queue.progress_update_sleep_when_free = _PROGRESS_PERIOD_S
        self._queue.ANAYLTICS_CACHE_FREQUENCY = _NEVER  # Gradio's spelling
        self.extra_startup_events.append(self._starting)
        Context.root_block, Context.block = around
        if Context.root_block is not None:
            self.render()

    def launch(self, *args: Any, **options: Any) -> Any:
        """`gr.Blocks.launch`, listening on loopback, behind our doors, with nothing recorded and nothing uploaded.

        Raises `SettingsError` where it would be open to the network without a token or Gradio's `auth`.
        """
        options = self.launch_options({**self._page_options(), **options})
        return super().launch(*args, **options)

    def mount(self, app: FastAPI, path: str, blocks: gr.Blocks | None = None) -> None:
        """Adds the page, or the Blocks it is in, to an app; see `llmstream.gradio.mount_chat`."""
        options = _PRIVATE if blocks else {**_PRIVATE, **self._page_options()}
        root: Any = blocks or self
        root.has_launched = True  # only then Gradio checks that a file that a page names was uploaded
        gr.mount_gradio_app(
            app, root, path, app_kwargs=self.app_kwargs(uploads=self._takes_files or bool(blocks)), **options
        )

    def render(self) -> Chat:
        """Puts the page into the `gr.Blocks` around it, which then has the same doors, and no analytics either."""
        root: Any = Context.root_block
        if root is self._root:  # there already, as it was made there
            return self
        super().render()  # type: ignore[no-untyped-call]
        self._root, root.analytics_enabled = root, False
        guard(root, self)
        return self

    def launch_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options to launch a page with, this one or the one it is in: on loopback, behind our doors.

        Raises `SettingsError` where it would be open to the network without a token or Gradio's `auth`.
        """
        host = options.get("server_name") or "127.0.0.1"
        protected = bool(options.get("auth") or options.get("auth_dependency"))
        check_public(host, self._runs.settings, allow_public=protected)
        threads = max(self.max_threads, options.get("max_threads", 40))
        ours = {
            **_PRIVATE,
            "server_name": host,
            "share": False,
            "mcp_server": False,
            "pwa": False,
            "max_threads": threads,
        }
        uploads = options.get("max_file_size") != _NO_FILES
        return {**ours, **options, "app_kwargs": self.app_kwargs(options.get("app_kwargs"), uploads=uploads)}

    def app_kwargs(self, theirs: Mapping[str, Any] | None = None, *, uploads: bool = True) -> dict[str, Any]:
        """The arguments that give an app of Gradio's our doors and our lifespan, around those of its user."""
        self._has_doors = True
        theirs = dict(theirs or {})
        doors = Middleware(Doors, runs=self._runs, uploads=uploads)
        lifespan = functools.partial(self._lifespan, inner=theirs.get("lifespan"))
        return {**theirs, "lifespan": lifespan, "middleware": [doors, *theirs.get("middleware", ())]}

    def _page_options(self) -> dict[str, Any]:
        return {
            "theme": self._wanted_theme or open_theme(),
            "css": _CSS + STYLE,
            "run_history": False,
            "footer_links": [],
            "allowed_paths": [],
            "max_file_size": self._max_file_size(),
        }

    def _max_file_size(self) -> str:
        """The size of a file that may be an image, or of none; in base64, as the limit has it, it is a third larger."""
        return f"{self._runs.settings.max_image_bytes * 3 // 4}b" if self._takes_files else _NO_FILES

    async def _starting(self) -> None:
        if not self._has_doors:
            logger.warning(_OPEN)

    def _notice(self) -> str | None:
        if not self._has_doors:
            return _OPEN
        return self._fallback.notice if self._fallback else None

    @asynccontextmanager
    async def _lifespan(self, app: Any, inner: Any) -> AsyncGenerator[Any]:
        forget_values(app)
        if self._own_runs:
            await self._runs.reopen()
        async with self._fallback or nullcontext(), inner(app) if inner else nullcontext() as state:
            yield state
            if self._own_runs:
                await self._runs.drain(0)


def is_inside_blocks() -> bool:
    """True where Blocks of a user are being made."""
    return Context.root_block is not None


def fills_window() -> bool:
    """True where Blocks of a user are being made that give their window's rest to what stands in them just here."""
    return Context.block is Context.root_block and bool(getattr(Context.root_block, "fill_height", False))


def guard(root: Any, chat: Chat) -> None:
    """Makes the `launch` of other Blocks behave as that of the chat in them."""
    launch = root.launch

    def launch_guarded(*args: Any, **options: Any) -> Any:
        return launch(*args, **chat.launch_options(options))

    root.launch = functools.wraps(launch)(launch_guarded)
    root.llmstream_chat = chat


def chat_in(blocks: Any) -> Chat | None:
    """The chat that Blocks of a user hold."""
    return blocks if isinstance(blocks, Chat) else getattr(blocks, "llmstream_chat", None)


def open_theme() -> Any:
    """Gradio's plain theme with the fonts that every computer has, and greys that can be read."""
    theme = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=[gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")],
        font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("Consolas"), gr.themes.Font("monospace")],
    )
    return theme.set(
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
