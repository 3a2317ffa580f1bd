"""A model server as llmstream needs it, whatever its API."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from llmstream.errors import CapabilityMissing, InvalidRequest, ModelNotFound, UpstreamError, UpstreamTimeout
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.response import Receive
from llmstream.ollama.server_kinds import OLLAMA
from llmstream.ollama.waiting import Notify, ignore

T = TypeVar("T")

_LACKING = {
    "vision": "images. Ask without them, or use a model that sees, such as llava or gemma3.",
    "tools": "tool calls. Ask without tools, or use a model that has them, such as llama3.2 or qwen3.",
    "thinking": "thinking. Ask with thinking off, or use a model that thinks, such as qwen3 or deepseek-r1.",
}


@dataclass(frozen=True)
class ServedModel:
    """A model of a server; `size` is in bytes, None where that is not told, `context_length` in tokens.

    expires_at: until when it stays in memory, in seconds since 1970; None where that is not told. hosts: those of
    several that have it.
    """

    name: str
    size: int | None
    loaded: bool
    context_length: int | None = None
    expires_at: float | None = None
    hosts: tuple[str, ...] = ()

    def also_at(self, host: str, *, loaded: bool) -> ServedModel:
        """The model with one more host that has it."""
        return replace(self, hosts=(*self.hosts, host), loaded=self.loaded or loaded)


@dataclass(frozen=True)
class HostState:
    """One of several hosts as it was seen last.

    models: how many it has. runs: how many of ours it answers now. failures: how many answers it could not begin.
    trouble: why it is not asked just now, empty where it is. away: True if it did not answer the last time.
    """

    name: str
    models: int
    runs: int
    failures: int
    trouble: str
    away: bool


class Upstream(ABC):
    """A model server: its models, and the chat with one of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._asking: dict[tuple[object, str], asyncio.Future[Any]] = {}
        self._kept: dict[str, tuple[float, Any]] = {}  # when it was asked, and the result

    @property
    def address(self) -> str:
        """The address, as it may be shown."""
        return self.endpoint.shown_url

    @abstractmethod
    async def chat(self, body: Mapping[str, Any], receive: Receive, *, notify: Notify = ignore) -> None:
        """Asks, and calls `receive` with the chunks, in lists of those that came together, up to a `LastChunk`.

        Where it gives a future, nothing more is read until that is done. Raises `UpstreamError`s and `ModelNotFound`;
        what came before the fault was handed over before.
        """

    @abstractmethod
    async def version(self) -> str:
        """The version of the server that answers; raises `UpstreamUnreachable` and other `UpstreamError`s."""

    async def kind(self) -> str:
        """The program that serves, where that can be told."""
        return self.endpoint.server.name

    @abstractmethod
    async def models(self) -> list[ServedModel]:
        """The models that are there, the one to prefer first."""

    @abstractmethod
    async def loaded(self, name: str) -> bool:
        """True if the model is in memory."""

    @abstractmethod
    async def capabilities(self, model: str) -> frozenset[str]:
        """The abilities of a model, by Ollama's names; empty where the server tells none. Raises `ModelNotFound`."""

    async def check_able(self, model: str, *wanted: str) -> None:
        """Raises `CapabilityMissing` for a model that is known to lack one of these abilities."""
        able = await self.capabilities(model) if wanted else ()
        # A server that tells none at all, such as an old Ollama, has to answer for itself.
        if missing := [name for name in wanted if able and name not in able]:
            raise CapabilityMissing(f"The model {model!r} can't do {_LACKING[missing[0]]}")

    async def continuing(self, body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
        """The request that has the model go on after `text`, its answer to the request `body` so far.

        Raises `InvalidRequest` where it can't be asked for that.
        """
        raise InvalidRequest("This model server can't go on with an answer that was cut. Ask again.")

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

    async def hosts(self) -> Sequence[HostState]:
        """The hosts, where there are several."""
        return ()

    async def servers(self, model: str) -> Sequence[Upstream]:
        """The servers that may be asked for a model, each on its own."""
        return (self,)

    @property
    def notice(self) -> str | None:
        """The notice for every page that a part of what answers is away."""
        return None

    async def first_token_s(self, model: str, *, within_s: float) -> float | None:
        """The seconds that a model takes for an answer of one token; None if it makes none in time.

        Ollama may never free the place of a client that left (https://github.com/ollama/ollama/issues/17131), and then
        answers nobody.
        """
        began = time.monotonic()
        one_token = {"options": {"num_predict": 1}} if self.endpoint.server is OLLAMA else {"max_tokens": 1}
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **one_token}
        try:
            async with asyncio.timeout(within_s):
                await self.chat(body, lambda chunks: None)
        except (TimeoutError, UpstreamTimeout):
            return None
        return time.monotonic() - began

    async def has(self, model: str) -> bool:
        """True if the server answers under this name, listed or not."""
        try:
            await self.capabilities(model)
        except ModelNotFound:
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

    async def kept(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]], *, age_s: float) -> T:
        """The result of `ask` under this name, which is asked `once` again where it is older than `age_s`."""
        now = time.monotonic()
        found = self._kept.get(name)
        if found is None or now - found[0] > age_s:
            self._kept[name] = found = now, await self.once(name, ask)
        result: T = found[1]
        return result

    def forget(self, name: str) -> None:
        """Has `kept` ask anew under this name."""
        self._kept.pop(name, None)


def with_answer(messages: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with the answer so far; one that the client began grows, since Ollama refuses two in a row."""
    last = messages[-1]
    if last.get("role") == "assistant" and isinstance(said := last.get("content"), str) and not last.get("tool_calls"):
        return [*messages[:-1], {**last, "content": said + text}]
    return [*messages, {"role": "assistant", "content": text}]


def format_cannot_continue() -> InvalidRequest:
    """The error for a cut answer in a given format: the model would begin the format anew."""
    return InvalidRequest("An answer in a given format can't be continued: its beginning would not fit. Ask again.")
