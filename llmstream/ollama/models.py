"""One Ollama: chat with a model, and which models there are; which one to use where nobody named one."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmstream.errors import (
    InvalidRequest,
    LlmstreamError,
    ModelNotFound,
    UpstreamBusy,
    UpstreamEmpty,
    UpstreamTimeout,
    UpstreamTruncated,
)
from llmstream.events import Status
from llmstream.ollama.chat import fetch, read_chat
from llmstream.ollama.endpoint import BUSY_S, Endpoint, key_header, limits_of
from llmstream.ollama.model_info import Listed, abilities, listed, unload
from llmstream.ollama.names import is_cloud, nearest_model, same_model
from llmstream.ollama.pull import pulling
from llmstream.ollama.response import PromptTooLong, Receive, model_not_found
from llmstream.ollama.retry import Retry
from llmstream.ollama.server_kinds import OLLAMA, Disconnected
from llmstream.ollama.upstream import ServedModel, Upstream, format_cannot_continue, with_answer
from llmstream.ollama.waiting import Notify, Waiting, ignore
from llmstream.settings import Settings

if TYPE_CHECKING:
    import ollama

NO_MODEL = "Ollama has no model that can answer. Get one with `ollama pull llama3.2`, or set LLMSTREAM_MODEL."
_FREED = "Ollama sent nothing for {:g} s. The model was loaded, so it has been unloaded to answer again. Ask again."
PROMPT_TRUNCATED = "The prompt was longer than the model's context, so Ollama cut its beginning. Raise num_ctx."

# A model's capabilities change only when it is pulled anew, and which one is loaded rarely changes: asking again for
# every answer would cost more than the answer's first token.
_CAPABILITIES_AGE_S = 60
_CHOICE_AGE_S = 2


class Ollama(Upstream):
    """One Ollama server; use `Ollama.of(settings)`, which shares instances."""

    @staticmethod
    def of(settings: Settings, url: str | None = None, *, busy_timeout_s: float = BUSY_S) -> Ollama:
        """The shared instance for an address, the settings' own where None is given, and its time limits."""
        limits = limits_of(settings) | {"busy_timeout_s": busy_timeout_s}
        url, free = url or settings.ollama_url, settings.free_stuck_models
        return _shared(url, settings.ollama_api_key, free_stuck_models=free, **limits)

    async def chat(self, body: Mapping[str, Any], receive: Receive, *, notify: Notify = ignore) -> None:
        """Asks, and calls `receive` with the chunks, in lists of those that came together, up to a `LastChunk`.

        Where it gives a future, nothing more is read until that is done.

        body: of `/api/chat`, or of `/api/generate`, which has a prompt. What it asks for is checked against the model's
        capabilities first. Where it does not say otherwise, a prompt that is too long is truncated only after asking
        without truncation, and `notify` is told so. Before the first chunk a full queue is retried for 5 s, and an
        answer that only loaded the model once.
        """
        if not body.get("messages") and "prompt" not in body:
            raise InvalidRequest("There is nothing to answer: the messages are empty.")
        await self._check(body)
        request = {"truncate": False, **body}
        retry = Retry(self.endpoint.busy_timeout_s)
        with Waiting(self.endpoint, body, notify, self.loaded) as waiting:
            while True:
                try:
                    return await read_chat(self.endpoint, request, receive, waiting)
                except PromptTooLong:
                    if "truncate" in body or request["truncate"]:
                        raise
                    request["truncate"] = True
                    waiting.cut()
                    notify(Status("prompt_truncated", PROMPT_TRUNCATED))
                except (UpstreamBusy, UpstreamEmpty, Disconnected) as error:  # they come before the first chunk
                    if not await retry.wait(error):
                        raise
                except UpstreamTimeout as error:  # so does this one
                    if self.endpoint.free_stuck_models and await self._free(str(body["model"])):
                        raise UpstreamTimeout(_FREED.format(self.endpoint.first_token_timeout_s)) from error
                    raise

    async def _check(self, body: Mapping[str, Any]) -> None:
        wanted = {
            "vision": any(each.get("images") for each in (body, *body.get("messages", ()))),
            "tools": bool(body.get("tools")),
            "thinking": bool(body.get("think")),
        }
        await self.check_able(str(body["model"]), *(name for name, asked in wanted.items() if asked))

    async def version(self) -> str:
        """The version of the Ollama that answers; raises `UpstreamUnreachable` and other `UpstreamError`s."""
        try:
            return str(json.loads((await fetch(self.endpoint, "/api/version"))[1])["version"])
        except (ValueError, KeyError, TypeError, RecursionError, UpstreamTruncated) as error:
            raise OLLAMA.protocol("an answer without a version") from error

    async def models(self) -> list[ServedModel]:
        """The models that are there, the newest first."""
        found = await listed(self.endpoint, "/api/tags")
        loaded = {model.model: _seconds(model.expires_at) for model in await self._in_memory()}
        return [
            ServedModel(str(each.model), each.size or 0, each.model in loaded, expires_at=loaded.get(each.model))
            for each in sorted(found, key=lambda model: _seconds(model.modified_at) or 0, reverse=True)
        ]

    async def _in_memory(self) -> list[Listed]:
        return await listed(self.endpoint, "/api/ps")

    async def loaded(self, name: str) -> bool:
        """True if the model is in memory."""
        loaded = await self.once("ps", self._in_memory)
        return any(same_model(name, str(model.model)) for model in loaded)

    async def capabilities(self, model: str) -> frozenset[str]:
        """The abilities of a model: completion, tools, thinking, vision, embedding …; raises `ModelNotFound`."""
        ask = functools.partial(abilities, self.endpoint, model)
        try:
            return await self.kept(f"show {model}", ask, age_s=_CAPABILITIES_AGE_S)
        except ModelNotFound as error:
            raise model_not_found(model, await self._nearest(model)) from error

    async def _nearest(self, model: str) -> str:
        try:
            there = await self.once("tags", lambda: listed(self.endpoint, "/api/tags"))
        except LlmstreamError:  # that the model is not there is told, then, and no more
            return ""
        return nearest_model(model, [str(each.model) for each in there])

    async def continuing(self, body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
        """The request of `/api/chat` that ends with the answer so far; the thinking before it is over."""
        if "prompt" in body:
            raise InvalidRequest("A text model can't go on with an answer that was cut: it begins anew. Ask again.")
        if body.get("format"):
            raise format_cannot_continue()
        thinks = body.get("think") or "thinking" in await self.capabilities(str(body["model"]))
        return {**body, "messages": with_answer(body["messages"], text), **({"think": False} if thinks else {})}

    def not_found(self, model: str) -> ModelNotFound:
        """The error for a model that is not there, with how to get it."""
        return model_not_found(model)

    async def choose_model(self) -> str:
        """The loaded model that expires last, else the newest one, of the local ones that can complete text."""
        return await self.kept("choose", self._choose, age_s=_CHOICE_AGE_S)

    async def _choose(self) -> str:
        running = await self._in_memory()
        last_expiring = sorted(running, key=lambda model: _seconds(model.expires_at) or 0, reverse=True)
        for name in [str(model.model) for model in last_expiring]:
            if await self._completes(name):
                return name
        for model in await self.models():
            if await self._completes(model.name):
                return model.name
        raise ModelNotFound(NO_MODEL)

    async def _completes(self, name: str) -> bool:
        if is_cloud(name):
            return False
        try:
            return "completion" in await self.capabilities(name)
        except ModelNotFound:
            return False

    async def _free(self, model: str) -> bool:
        """Unloads a model that may be stuck; false where it was not loaded, or can't be unloaded.

        One that is only busy comes to no harm: Ollama unloads it when its last answer has ended.
        """
        try:
            if not await self.loaded(model):
                return False
            await unload(self.endpoint, model)
        except LlmstreamError:  # what the question itself failed of is told
            return False
        return True

    def pull(self, model: str) -> Iterator[ollama.ProgressResponse]:
        """The progress of a download, with `status`, and `completed` and `total` in bytes.

        Synchronous; raises `ModelNotFound` where Ollama can't get it.
        """
        yield from pulling(self.endpoint, model)
        self.forget("choose")


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


@functools.lru_cache(maxsize=64)
def _shared(url: str, key: str | None, **rest: Any) -> Ollama:
    return Ollama(Endpoint(url=url, headers=key_header(key, url), **rest))
