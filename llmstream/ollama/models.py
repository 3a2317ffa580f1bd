"""Ollama as llmstream uses it: is one there, which models, which one to use, pull one, chat.

The chat stream goes through `reader`; everything else through the `ollama` package, whose client is synchronous here
and runs in threads: one client serves every event loop.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llmstream.concurrency import questions
from llmstream.errors import (
    CapabilityMissing,
    InvalidRequest,
    ModelNotFound,
    UpstreamBusy,
    UpstreamEmpty,
    UpstreamError,
    UpstreamTimeout,
)
from llmstream.events import Status
from llmstream.ollama.chat import read_chat, read_version
from llmstream.ollama.connection import Disconnected
from llmstream.ollama.endpoint import Endpoint, unreachable
from llmstream.ollama.response import PromptTooLong, Receive, model_not_found
from llmstream.settings import Settings, plain_ollama_host

if TYPE_CHECKING:
    import ollama
from llmstream.ollama.names import is_cloud, same_model

NO_MODEL = "Ollama has no model that can answer. Get one with `ollama pull llama3.2`, or set LLMSTREAM_MODEL."
PROMPT_TRUNCATED = "The prompt was longer than the model's context, so Ollama cut its beginning. Raise num_ctx."

# A model's capabilities change only when it is pulled anew, and which one is loaded rarely changes: asking again for
# every answer would cost more than the answer's first token.
_CAPABILITIES_AGE_S = 60
_CHOICE_AGE_S = 2
_BUSY_RETRIES = 3
_ADMIN_TIMEOUT_S = 10


@dataclass(frozen=True)
class Model:
    """A model that Ollama has; `size` is in bytes."""

    name: str
    size: int
    loaded: bool


class Ollama:
    """One Ollama server; use `Ollama.of(settings)`, which shares instances."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._capabilities: dict[str, tuple[float, frozenset[str]]] = {}
        self._choice: tuple[float, str] | None = None
        self._clients: dict[float | None, ollama.Client] = {}
        self._asking: dict[tuple[object, str], asyncio.Future[Any]] = {}

    @staticmethod
    def of(settings: Settings) -> Ollama:
        """The shared instance for an address and its time limits."""
        return _shared(
            settings.ollama_url,
            settings.ollama_api_key,
            settings.connect_timeout_s,
            settings.first_token_timeout_s,
            settings.token_timeout_s,
        )

    async def chat(
        self,
        body: Mapping[str, Any],
        receive: Receive,
        *,
        notify: Callable[[Status], None] = lambda status: None,
    ) -> None:
        """Ask, and have `receive` called with the chunks, in lists of those that came together, up to a `LastChunk`.

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
        retry = _Retry(self.endpoint.busy_timeout_s)
        while True:
            try:
                return await read_chat(self.endpoint, request, receive)
            except PromptTooLong:
                if "truncate" in body or request["truncate"]:
                    raise
                request["truncate"] = True
                notify(Status("prompt_truncated", PROMPT_TRUNCATED))
            except (UpstreamBusy, UpstreamEmpty, Disconnected) as error:  # each of them comes before the first chunk
                if not await retry.wait(error):
                    raise

    async def _check(self, body: Mapping[str, Any]) -> None:
        wanted = {
            "vision": any(each.get("images") for each in (body, *body.get("messages", ()))),
            "tools": bool(body.get("tools")),
            "thinking": bool(body.get("think")),
        }
        if any(wanted.values()):
            model = str(body["model"])
            able = await self.capabilities(model)
            # An Ollama that tells no capabilities at all is an old one: let it answer for itself.
            missing = [name for name, asked in wanted.items() if asked and able and name not in able]
            if missing:
                raise CapabilityMissing(f"The model {model!r} can't do {_LACKING[missing[0]]}")

    async def running(self) -> bool:
        """Whether an Ollama answers at the address."""
        try:
            await self.version()
        except UpstreamError:
            return False
        return True

    async def version(self) -> str:
        """The version of the Ollama that answers; raises `UpstreamUnreachable` and other `UpstreamError`s."""
        return await read_version(self.endpoint)

    async def models(self) -> list[Model]:
        """The models that are there, the newest first."""
        found = await self._ask(lambda client: client.list().models)
        loaded = {model.model for model in await self._ask(lambda client: client.ps().models)}
        found = sorted(found, key=lambda model: model.modified_at.timestamp() if model.modified_at else 0, reverse=True)
        return [Model(model.model, model.size or 0, model.model in loaded) for model in found if model.model]

    async def loaded(self, name: str) -> bool:
        """Whether the model is in memory."""
        loaded = await self.once("ps", lambda: self._ask(lambda client: client.ps().models))
        return any(same_model(name, str(model.model)) for model in loaded)

    async def capabilities(self, model: str) -> frozenset[str]:
        """What a model can do: completion, tools, thinking, vision, embedding …; raises `ModelNotFound`."""
        now = time.monotonic()
        known = self._capabilities.get(model)
        if known is None or now - known[0] > _CAPABILITIES_AGE_S:
            ask = functools.partial(self._ask, lambda client: client.show(model), model=model)
            shown = await self.once(f"show {model}", ask)
            self._capabilities[model] = known = (now, frozenset(shown.capabilities or ()))
        return known[1]

    async def choose_model(self) -> str:
        """The loaded model that expires last, else the newest one, of the local ones that can complete text."""
        now = time.monotonic()
        if self._choice is None or now - self._choice[0] > _CHOICE_AGE_S:
            self._choice = now, await self.once("choose", self._choose)
        return self._choice[1]

    async def _choose(self) -> str:
        running = await self._ask(lambda client: client.ps().models)
        last_expiring = sorted(running, key=lambda model: str(model.expires_at or ""), reverse=True)
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

    async def answers(self, model: str, *, within_s: float = _ADMIN_TIMEOUT_S) -> bool:
        """Whether a model that is loaded makes a token in that time.

        Ollama may never free the place of a client that left (https://github.com/ollama/ollama/issues/17131).
        """
        options = {"num_predict": 1}
        try:
            await self._ask(
                lambda client: client.generate(model, "Hi", options=options, keep_alive=None),
                model=model,
                timeout_s=within_s,
            )
        except UpstreamTimeout:
            return False
        return True

    def pull(self, model: str) -> Iterator[ollama.ProgressResponse]:
        """Progress of a download, with `status`, and `completed` and `total` in bytes.

        Synchronous; raises `ModelNotFound` where Ollama can't get it.
        """
        with _translated(self.endpoint, model):
            try:
                yield from self._client().pull(model, stream=True)
            except _package().ResponseError as error:
                raise ModelNotFound(f"Ollama could not pull {model!r}: {error.error}") from error
        self._choice = None

    async def once(self, name: str, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What `ask` gives, where many runs want it at the same moment: it is called once for all of them."""
        key = asyncio.get_running_loop(), name
        asking = self._asking.get(key)
        if asking is None:
            self._asking[key] = asking = asyncio.ensure_future(ask())
            asking.add_done_callback(lambda done: self._asking.pop(key) and (done.cancelled() or done.exception()))
        return await asyncio.shield(asking)

    async def _ask(
        self, question: Callable[[ollama.Client], Any], *, model: str = "", timeout_s: float = _ADMIN_TIMEOUT_S
    ) -> Any:
        def ask() -> Any:
            with _translated(self.endpoint, model):
                return question(self._client(timeout_s))

        return await questions.run(ask)

    def _client(self, timeout_s: float | None = None) -> ollama.Client:
        client = self._clients.get(timeout_s)
        if client is None:
            self._clients[timeout_s] = client = self._new_client(timeout_s)
        return client

    def _new_client(self, timeout_s: float | None) -> ollama.Client:
        """A client that reaches what the reader reaches, by the same user, headers and certificates."""
        import httpx

        endpoint, parts = self.endpoint, urlsplit(self.endpoint.url)
        client: ollama.Client = _package().Client(
            host=endpoint.url,
            timeout=httpx.Timeout(timeout_s, connect=endpoint.connect_timeout_s),
            auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
            verify=endpoint.tls,
            headers=dict(endpoint.headers),
            cookies=dict(endpoint.cookies),
            proxy=endpoint.proxy,
            # These questions are rare: no connection is kept, so that there is none to close at the end.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # a proxy of the environment is not for Ollama; the reader takes none either
        )
        return client


_LACKING = {
    "vision": "images. Ask without them, or use a model that sees, such as llava or gemma3.",
    "tools": "tool calls. Ask without tools, or use a model that has them, such as llama3.2 or qwen3.",
    "thinking": "thinking. Ask with thinking off, or use a model that thinks, such as qwen3 or deepseek-r1.",
}


@functools.lru_cache(maxsize=32)
def _shared(url: str, key: str | None, connect_s: float, first_token_s: float, token_s: float) -> Ollama:
    return Ollama(
        Endpoint(
            url=url,
            connect_timeout_s=connect_s,
            first_token_timeout_s=first_token_s,
            token_timeout_s=token_s,
            # A user in the address goes before it, as in the `ollama` package.
            headers={"authorization": f"Bearer {key}"} if key and "@" not in url else {},
        )
    )


def _package() -> ModuleType:
    """The `ollama` package, which takes 50 ms to import."""
    with plain_ollama_host():
        import ollama
    return ollama


@contextmanager
def _translated(endpoint: Endpoint, model: str) -> Iterator[None]:
    """What the `ollama` package raises, as our errors."""
    import httpx

    ollama = _package()

    try:
        yield
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.RemoteProtocolError) as error:
        raise unreachable(endpoint) from error
    except httpx.TimeoutException as error:
        raise UpstreamTimeout(f"Ollama at {endpoint.shown_url} did not answer in time. Is it overloaded?") from error
    except ollama.ResponseError as error:
        if error.status_code in (400, 404) and model:  # 400: no model can have this name
            raise model_not_found(model) from error
        raise UpstreamError(f"Ollama answered with status {error.status_code}. Its log says more.") from error
    except (httpx.HTTPError, ValueError) as error:
        raise UpstreamError(f"What answers at {endpoint.shown_url} is not an Ollama. Check OLLAMA_HOST.") from error


class _Retry:
    """Retries before the first chunk: a full queue 3 times in 5 s with jitter, each other fault once and at once."""

    def __init__(self, busy_timeout_s: float) -> None:
        self._busy = 0
        self._others: set[type[UpstreamError]] = set()
        self._until = time.monotonic() + busy_timeout_s

    async def wait(self, error: UpstreamError) -> bool:
        """Whether to ask again, after waiting as long as is due."""
        if not isinstance(error, UpstreamBusy):
            first = type(error) not in self._others
            self._others.add(type(error))
            return first
        self._busy += 1
        pause_s = 0.25 * 2**self._busy * random.uniform(0.5, 1)
        if self._busy > _BUSY_RETRIES or time.monotonic() + pause_s > self._until:
            return False
        await asyncio.sleep(pause_s)
        return True
