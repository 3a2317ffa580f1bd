"""The demo Ollama for commands and apps while no real one answers, and the change over to the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from llmstream.demo_ollama.server import DemoOllama
from llmstream.logger import logger
from llmstream.ollama.upstream import Upstream
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings

_POLL_S = 2.0

# What the notice of a demo begins with.
DEMO = "Demo model:"


class Fallback:
    """An async context: inside it, `settings` point to an Ollama that answers, if need be to the demo.

    wanted: the settings that are wanted, asked for when the context is entered. on_change: told the settings whenever
    they change. What `settings.demo` says is obeyed; while the demo answers for a missing Ollama, a real one is looked
    for every two seconds and used as soon as it is there.
    """

    def __init__(
        self, wanted: Callable[[], Settings], on_change: Callable[[Settings], None] = lambda settings: None
    ) -> None:
        self.settings = self._wanted = wanted()
        self.active = False
        self._find_wanted = wanted
        self._on_change = on_change
        self._upstream: Upstream | None = None  # that is wanted
        self._demo: DemoOllama | None = None
        self._polling: asyncio.Task[None] | None = None

    @property
    def notice(self) -> str | None:
        """The notice that every page and the terminal show while the demo answers."""
        if not self.active:
            return None
        upstream = self._upstream
        if upstream is None:
            return f"{DEMO} started with --demo."
        how = f"{upstream.endpoint.server.start_one}; it will be used at once."
        return f"{DEMO} no {upstream.endpoint.server.noun} at {upstream.address}. {how}"

    async def __aenter__(self) -> Fallback:
        self.settings = self._wanted = self._find_wanted()
        always = self._wanted.demo == "always"
        if always or not await self._is_there():
            await self._start_demo()
            if not always:
                self._polling = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        if self._demo is not None:
            await asyncio.to_thread(self._demo.close)
        if self.active:  # who enters again looks for what was wanted
            self.active = False
            self._change(self._wanted)

    async def _is_there(self) -> bool:
        """True if what is wanted answers, or has to."""
        if self._wanted.demo == "never":
            return True
        self._upstream = await upstream_of(self._wanted)
        return await self._upstream.running()

    async def _start_demo(self) -> None:
        self._demo = await asyncio.to_thread(DemoOllama().__enter__)
        self.active = True
        # Its own models only: the wanted one is not there.
        self._change(self._wanted.change(ollama_url=self._demo.url, model=None, allowed_models=()))
        logger.warning(self.notice)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            self._upstream = upstream = await upstream_of(self._wanted)
            if await upstream.running():
                break
        self.active = False
        self._change(self._wanted)
        # The demo is closed with the app: answers it has begun go on to their end.
        logger.warning("%s answers at %s now: using it.", upstream.endpoint.server.title, upstream.address)

    def _change(self, settings: Settings) -> None:
        self.settings = settings
        self._on_change(settings)
