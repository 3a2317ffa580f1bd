"""A model server as llmstream needs it, whatever its API."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from llmstream.errors import ModelNotFound, UpstreamError
from llmstream.events import Status
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.response import Receive


@dataclass(frozen=True)
class Model:
    """A model of a server; `size` is in bytes, None where that is not told, `context_length` in tokens."""

    name: str
    size: int | None
    loaded: bool
    context_length: int | None = None


class Upstream(ABC):
    """A model server: its models, and the chat with one of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._asking: dict[tuple[object, str], asyncio.Future[Any]] = {}

    @abstractmethod
    async def chat(
        self,
        body: Mapping[str, Any],
        receive: Receive,
        *,
        notify: Callable[[Status], None] = lambda status: None,
    ) -> None:
        """Asks, and calls `receive` with the chunks, in lists of those that came together, up to a `LastChunk`.

        Where it gives a future, nothing more is read until that is done. Raises `UpstreamError`s and `ModelNotFound`;
        what came before the fault was handed over before.
        """

    @abstractmethod
    async def version(self) -> str:
        """The version of the server that answers; raises `UpstreamUnreachable` and other `UpstreamError`s."""

    @abstractmethod
    async def models(self) -> list[Model]:
        """The models that are there, the one to prefer first."""

    @abstractmethod
    async def loaded(self, name: str) -> bool:
        """True if the model is in memory."""

    @abstractmethod
    async def capabilities(self, model: str) -> frozenset[str]:
        """The abilities of a model, by Ollama's names; empty where the server tells none. Raises `ModelNotFound`."""

    @abstractmethod
    def not_found(self, model: str) -> ModelNotFound:
        """The error for a model that is not there, with how to get it."""

    @abstractmethod
    async def choose_model(self) -> str:
        """The model that answers where nobody named one; raises `ModelNotFound`."""

    async def running(self) -> bool:
        """True if a server of this kind answers at the address."""
        try:
            await self.version()
        except UpstreamError:
            return False
        return True

    async def once(self, name: str, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result of `ask`, which is called once for all callers that want it under this name at the same moment."""
        key = asyncio.get_running_loop(), name
        asking = self._asking.get(key)
        if asking is None:
            self._asking[key] = asking = asyncio.ensure_future(ask())
            asking.add_done_callback(lambda done: self._asking.pop(key) and (done.cancelled() or done.exception()))
        return await asyncio.shield(asking)
