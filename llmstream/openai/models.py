"""One OpenAI-compatible server: chat with a model, and what it tells of its models."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from llmstream.errors import InvalidRequest, ModelNotFound, UpstreamBusy, UpstreamError, UpstreamUnreachable
from llmstream.ollama.chat import fetch
from llmstream.ollama.endpoint import BUSY_S, Endpoint, limits_of
from llmstream.ollama.names import nearest_model, same_model
from llmstream.ollama.response import Receive
from llmstream.ollama.retry import Retry
from llmstream.ollama.server_kinds import OPENAI, Disconnected
from llmstream.ollama.upstream import ServedModel, Upstream, format_cannot_continue, with_answer
from llmstream.ollama.waiting import Notify, Waiting, ignore
from llmstream.openai.errors import model_not_found, status_error
from llmstream.openai.response import read_completion
from llmstream.settings import Settings
from llmstream.untrusted_json import json_object

# What `owned_by` of a model says of the server.
_KINDS = {"vllm": "vLLM", "llamacpp": "llama.cpp", "me": "llama-cpp-python", "library": "Ollama"}


class OpenAIServer(Upstream):
    """One OpenAI-compatible server; use `OpenAIServer.of(settings)`, which shares instances.

    kept_s: how long what it told of its models is not asked again, which would delay each answer; it changes when the
    server is started anew. look_s: how long an answer waits for it to be told anew.
    """

    def __init__(self, endpoint: Endpoint, *, kept_s: float = 60, look_s: float = 1) -> None:
        super().__init__(endpoint)
        self._kept_s, self._look_s = kept_s, look_s
        self._told: tuple[float, list[dict[str, Any]]] | None = None

    @staticmethod
    def of(settings: Settings, url: str, *, busy_timeout_s: float = BUSY_S) -> OpenAIServer:
        """The shared instance for an address, the settings' key and their time limits."""
        return _shared(url, settings.upstream_key, busy_timeout_s=busy_timeout_s, **limits_of(settings))

    async def chat(self, body: Mapping[str, Any], receive: Receive, *, notify: Notify = ignore) -> None:
        """Asks and hands over the chunks, as `Upstream.chat`; body: of `chat/completions`.

        It is asked to stream and to tell the usage. Before the first chunk a busy server is retried for 5 s. A prompt
        that is too long is never truncated here.
        """
        if not body.get("messages"):
            raise InvalidRequest("There is nothing to answer: the messages are empty.")
        request = {"stream_options": {"include_usage": True}, **self._progress(), **body, "stream": True}
        retry = Retry(self.endpoint.busy_timeout_s)
        with Waiting(self.endpoint, body, notify, self.loaded) as waiting:
            while True:
                try:
                    return await read_completion(self.endpoint, request, receive, waiting)
                except (UpstreamBusy, Disconnected) as error:  # each of them comes before the first chunk
                    if not await retry.wait(error):
                        raise

    def _progress(self) -> dict[str, Any]:
        """The field by which llama.cpp's server tells how much of the prompt it has read; nothing for any other."""
        is_llama = self._told is not None and any(_owner(each) == "llamacpp" for each in self._told[1])
        return {"return_progress": True} if is_llama else {}

    async def version(self) -> str:
        """The kind of server, as its models tell it; raises `UpstreamError`s."""
        return _kind_of(await self._list())

    async def kind(self) -> str:
        """The kind of the server, looked up at most once a minute."""
        return _kind_of(await self._known())

    async def models(self) -> list[ServedModel]:
        """The models in the server's order."""
        models = await self._list()
        told = await self._properties() if any(_owner(each) == "llamacpp" for each in models) else {}
        length = _number(told, "default_generation_settings", "n_ctx")
        # llama.cpp's server tells the size of each model and one length of the context, vLLM the length of each.
        return [
            ServedModel(each["id"], _number(each, "meta", "size"), True, length or _number(each, "max_model_len"))
            for each in models
        ]

    async def loaded(self, name: str) -> bool:
        """True: what these servers list they serve; from now on it is known, too, of which kind this one is."""
        await self._known()
        return True

    async def capabilities(self, model: str) -> frozenset[str]:
        """The abilities of a model where the server tells them, as llama.cpp's does; else none at all."""
        known = await self._known()
        found = next((each for each in known if same_model(each["id"], model)), None)
        if found is None:
            raise model_not_found(model, nearest_model(model, [each["id"] for each in known]))
        return _abilities(await self._properties()) if _owner(found) == "llamacpp" else frozenset()

    async def continuing(self, body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
        """The request that ends with the answer so far, in the way of this kind of server; without thinking."""
        if body.get("response_format"):
            raise format_cannot_continue()
        kind, messages = await self.kind(), body["messages"]
        if kind == "Ollama":
            return {**body, "messages": with_answer(messages, text), "reasoning_effort": "none"}
        if kind not in ("vLLM", "llama.cpp"):
            raise InvalidRequest(
                "Nobody knows how to have this model server go on with an answer that was cut; Ollama, vLLM and "
                "llama.cpp's own can. Ask again."
            )
        if messages[-1].get("role") == "assistant":
            raise InvalidRequest("An answer to a conversation that ends with an answer can't be continued. Ask again.")
        template = {**(body.get("chat_template_kwargs") or {}), "enable_thinking": False}
        going_on = {"continue_final_message": True, "add_generation_prompt": False, "chat_template_kwargs": template}
        return {**body, "messages": with_answer(messages, text), **going_on}

    def not_found(self, model: str) -> ModelNotFound:
        """The error for a model that is not there, with how to get it."""
        return model_not_found(model)

    async def running(self) -> bool:
        """True if something answers: what is wrong with it, such as a missing key, each answer tells."""
        try:
            await self.version()
        except UpstreamUnreachable:
            return False
        except UpstreamError:
            pass
        return True

    async def choose_model(self) -> str:
        """The first model that is not one for embeddings."""
        names = [each["id"] for each in await self._known()]
        for name in names:
            if "embed" not in name.lower():
                return str(name)
        raise ModelNotFound("The model server has no model that can answer. Start it with one, or set LLMSTREAM_MODEL.")

    async def _known(self) -> list[dict[str, Any]]:
        """The models as they were told a while ago: some servers tell nothing while they answer somebody."""
        if self._told is None:
            await self.once("models", self._look)
        elif time.monotonic() - self._told[0] > self._kept_s:
            with suppress(TimeoutError, UpstreamUnreachable):  # the question itself will tell
                async with asyncio.timeout(self._look_s):
                    await self.once("models", self._look)
        return self._told[1] if self._told else []

    async def _look(self) -> None:
        self._told = time.monotonic(), await self._list()

    async def _list(self) -> list[dict[str, Any]]:
        status, body = await fetch(self.endpoint, "/models")
        if status != 200:
            raise status_error(status, body, "")
        try:
            return [each for each in json.loads(body)["data"] or () if isinstance(each["id"], str)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OPENAI.protocol("an answer without models") from error

    async def _properties(self) -> dict[str, Any]:
        """The properties that llama.cpp's server tells of itself; empty for another server."""
        return await self.kept("props", self._ask_properties, age_s=self._kept_s)

    async def _ask_properties(self) -> dict[str, Any]:
        root = dataclasses.replace(self.endpoint, url=self.endpoint.url.removesuffix("/v1"))
        try:
            status, body = await fetch(root, "/props")
        except UpstreamError:
            return {}
        return json_object(body) if status == 200 else {}


def _kind_of(models: Iterable[Mapping[str, Any]]) -> str:
    return next((_KINDS.get(owner, owner) for each in models if (owner := _owner(each))), "unknown")


def _owner(model: Mapping[str, Any]) -> str:
    owner = model.get("owned_by")
    return owner if isinstance(owner, str) else ""


def _at(value: Any, *names: str) -> Any:
    """The value that these names lead to in what a server told; None where they lead nowhere."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _number(value: Mapping[str, Any], *names: str) -> int | None:
    return number if isinstance(number := _at(value, *names), int) else None


def _abilities(properties: Mapping[str, Any]) -> frozenset[str]:
    """The abilities that llama.cpp's server tells, by Ollama's names."""
    template = str(properties.get("chat_template", ""))
    told = {
        "completion": bool(properties),
        "vision": bool(_at(properties, "modalities", "vision")),
        "tools": bool(_at(properties, "chat_template_caps", "supports_tools")),
        "thinking": "enable_thinking" in template or "<think>" in template,
    }
    return frozenset(name for name, has in told.items() if has)


@functools.lru_cache(maxsize=64)
def _shared(url: str, key: str | None, **limits: Any) -> OpenAIServer:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return OpenAIServer(Endpoint(url=url, headers=headers, server=OPENAI, **limits))
