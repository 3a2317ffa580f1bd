"""Several model servers as one: asks the best one, and the next one where it can't begin an answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from llmstream.errors import (
    InvalidRequest,
    LlmstreamError,
    ModelNotFound,
    UpstreamBusy,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmstream.events import Status
from llmstream.ollama.endpoint import BUSY_S
from llmstream.ollama.hosts.host import COOLING_S, Host, trouble_of
from llmstream.ollama.hosts.selection import HostTable, conversation_of
from llmstream.ollama.response import Receive
from llmstream.ollama.retry import Retry
from llmstream.ollama.server_kinds import ProxyAnswered, ServerFailed
from llmstream.ollama.upstream import HostState, ServedModel, Upstream
from llmstream.ollama.waiting import Notify, ignore

T = TypeVar("T")

# Each of these comes before the first chunk.
_BEFORE_THE_ANSWER = (UpstreamUnreachable, ProxyAnswered, ServerFailed, UpstreamBusy, UpstreamTimeout, ModelNotFound)


class Hosts(Upstream):
    """Several servers as one; a model's name may end in `@host`, which pins the host."""

    def __init__(self, servers: Sequence[Upstream]) -> None:
        super().__init__(servers[0].endpoint)
        self._table = HostTable([Host(server) for server in servers])

    @property
    def address(self) -> str:
        """The addresses of all hosts, to be shown."""
        return ", ".join(host.upstream.address for host in self._table.hosts)

    async def chat(self, body: Mapping[str, Any], receive: Receive, *, notify: Notify = ignore) -> None:
        """Asks the best host, and the next one where it can't begin an answer: dead, busy, silent or failing.

        One that fails (status 500) is at fault only if another one answers; where two fail, no third one is asked.

        `notify` is told of each change; from the first chunk on no other host is asked. See `Upstream.chat`.
        """
        retry = Retry(BUSY_S)
        while True:
            try:
                return await self._chat(body, receive, notify)
            except UpstreamBusy as error:  # all of them are
                if not await retry.wait(error):
                    raise

    async def _chat(self, body: Mapping[str, Any], receive: Receive, notify: Notify) -> None:
        table = self._table
        name, left = await table.find_hosts(str(body["model"]))
        request, conversation = {**body, "model": name}, conversation_of(name, body)
        failed: tuple[Host, LlmstreamError] | None = None
        while True:
            host = table.choose(name, left, conversation)
            left.remove(host)
            table.remember(conversation, host)
            began = time.monotonic()
            try:
                with host.serving():
                    await host.upstream.chat(request, receive, notify=notify)
                host.served_at = time.monotonic()
                if failed:
                    failed[0].fail(failed[1])
                return
            except _BEFORE_THE_ANSWER as error:
                _blame(host, error, began)
                fails = isinstance(error, ServerFailed)
                if failed and (fails or not left):  # where two fail it is the question that makes them
                    raise failed[1] from error
                if not left:
                    raise
                failed = (host, error) if fails else failed
                following = table.choose(name, left, conversation)
                notify(Status("waiting", f"`{host.name}` {trouble_of(error)}: asking `{following.name}` instead."))

    async def version(self) -> str:
        """The version of the first host that answers."""
        await self._table.refresh()
        return await self._ask(self._table.hosts, lambda upstream: upstream.version())

    async def kind(self) -> str:
        """The kind of the first server that answers."""
        await self._table.refresh_in_background()
        return await self._ask(self._table.hosts, lambda upstream: upstream.kind())

    async def running(self) -> bool:
        """True if any of the hosts answers."""
        await self._table.refresh()
        return bool(self._table.there())

    async def models(self) -> list[ServedModel]:
        """The models of all hosts that are there, each once, with the hosts that have it; in the order of the hosts."""
        await self._table.refresh()
        if not self._table.there():
            raise self._table.none_answers()
        merged: dict[str, ServedModel] = {}
        for host in self._table.there():
            for full, model in host.models.items():
                merged[full] = merged.get(full, model).also_at(host.name, loaded=model.loaded)
        return list(merged.values())

    async def loaded(self, name: str) -> bool:
        """True if the model is in the memory of a host that would be asked."""
        await self._table.refresh()
        name, found = self._table.hosts_with(name)
        return any(host.is_warm(name) for host in found)

    async def capabilities(self, model: str) -> frozenset[str]:
        """The abilities of a model, as the first of its hosts tells them."""
        name, found = await self._table.find_hosts(model)
        return await self._ask(found, lambda upstream: upstream.capabilities(name))

    async def continuing(self, body: Mapping[str, Any], text: str) -> Mapping[str, Any]:
        """The request that has the model go on, as the first of its hosts takes it.

        Any of them may get it, and one of another kind would begin anew: then it raises `InvalidRequest`.
        """
        name, found = await self._table.find_hosts(str(body["model"]))
        if len({kind for host in found if (kind := await _kind_of(host))}) > 1:
            raise InvalidRequest(
                "Servers of several kinds have this model, and each goes on in its own way. Ask again."
            )
        request = await self._ask(found, lambda upstream: upstream.continuing({**body, "model": name}, text))
        return {**request, "model": body["model"]}

    def not_found(self, model: str) -> ModelNotFound:
        """The error for a model that is not there, with how to get it."""
        return self._table.hosts[0].upstream.not_found(model)

    async def choose_model(self) -> str:
        """The choice of the first host that has its own in memory, else of the first one that has any."""
        await self._table.refresh_in_background()
        if not self._choosing():
            await self._table.refresh()
        if there := self._choosing():
            return min(there, key=lambda host: not host.is_warm(host.choice or "")).choice or ""
        if not (there := self._table.there()):
            raise self._table.none_answers()
        return await self._ask(there, lambda upstream: upstream.choose_model())  # which tells how to get one

    def _choosing(self) -> list[Host]:
        return [host for host in self._table.there() if host.choice]

    async def hosts(self) -> Sequence[HostState]:
        """The hosts, as they are known; nobody waits for one of them but for the first time."""
        await self._table.refresh_in_background()
        return [host.state() for host in self._table.hosts]

    async def servers(self, model: str) -> Sequence[Upstream]:
        """The servers of the hosts that are there and have the model."""
        await self._table.refresh()
        return [host.upstream for host in self._table.hosts_with(model)[1] if host.is_there]

    @property
    def notice(self) -> str | None:
        """The notice about hosts that are away, while others answer."""
        away, there = (", ".join(host.name for host in hosts) for hosts in (self._table.away(), self._table.there()))
        return f"Model hosts that can't be reached: {away}. Those that answer: {there}." if away and there else None

    async def _ask(self, hosts: Sequence[Host], question: Callable[[Upstream], Awaitable[T]]) -> T:
        """The answer of the first host that gives one; raises the error of the last one, where none does."""
        now = time.monotonic()
        left = sorted(hosts, key=lambda host: (host.is_avoided(now), not host.is_known))
        while True:
            host = left.pop(0)
            try:
                return await question(host.upstream)
            except (UpstreamError, ModelNotFound) as error:
                if isinstance(error, UpstreamUnreachable):
                    host.fail(error)
                if not left:
                    raise


async def _kind_of(host: Host) -> str | None:
    """The kind of a host's server; None where it is away."""
    try:
        return await host.upstream.kind() if host.is_there else None
    except UpstreamError:
        return None


def _blame(host: Host, error: LlmstreamError, began: float) -> None:
    """Notes why a host did not begin an answer, unless it is clear that nothing is wrong with it, or not yet clear."""
    if isinstance(error, UpstreamTimeout):
        # Ollama's `/api/ps` does not tell a model that is stuck from one that is at work; an answer since then does.
        if host.served_at < began:
            host.fail(error, cooling_s=max(COOLING_S, time.monotonic() - began))
    elif not isinstance(error, ModelNotFound | ServerFailed):  # the model was removed; its question may be bad
        host.fail(error)
