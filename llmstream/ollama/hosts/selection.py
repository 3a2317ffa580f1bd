"""The table of several hosts, refreshed in the background, and the choice among them."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from llmstream.concurrency import Newest
from llmstream.errors import LlmstreamError, ModelNotFound
from llmstream.ollama.endpoint import unreachable
from llmstream.ollama.hosts.host import Host
from llmstream.ollama.names import tagged

# How old what is known may be before it is refreshed behind a question.
_FRESH_S = 2
# How long the first host that answers is kept waiting by the others; by those that were away it is not at all.
_REFRESH_S = 0.25
# How many conversations are remembered, and how much of the messages they begin with tells them apart.
_CONVERSATIONS = 1000
_LEADING = 500


class HostTable:
    """The hosts in the order in which the settings name them, and what each has told of its models."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = tuple(hosts)
        self._pins = _pins(hosts)
        self._last: Newest[int, Host] = Newest(_CONVERSATIONS)  # from a conversation to who served it
        self._refreshed_at = -float("inf")
        self._refreshing: set[asyncio.Future[None]] = set()

    def choose(self, name: str, hosts: Sequence[Host], conversation: int = 0) -> Host:
        """The host to ask: by whether it works, has the model in memory, has few runs of ours, served this before."""
        if len(hosts) == 1:
            return hosts[0]
        now, last = time.monotonic(), self._last.get(conversation)
        return min(
            hosts,  # the first one of those that are equal, so in the order given
            key=lambda host: (host.is_avoided(now), not host.is_warm(name), host.runs, host is not last),
        )

    def remember(self, conversation: int, host: Host) -> None:
        """Notes who serves a conversation; the oldest ones are forgotten."""
        self._last[conversation] = host

    async def find_hosts(self, model: str) -> tuple[str, list[Host]]:
        """The model's own name, and the hosts that have it; raises `ModelNotFound`, or that nobody can be reached."""
        await self.refresh_in_background()
        name, found = self.hosts_with(model)
        if not found:
            await self.refresh()  # it may have come since
            name, found = self.hosts_with(model)
        if not found:
            raise self._missing(name)
        return name, found

    def hosts_with(self, model: str) -> tuple[str, list[Host]]:
        """The model's own name, and the hosts that had it the last time; the one that the name pins in any case."""
        name, at, host = model.rpartition("@")
        # A client of Ollama's gives a name that seems to have no tag the usual one.
        if at and (pinned := self._pins.get(host.lower().removesuffix(":latest"))):
            return name, [pinned]
        full = tagged(model)
        return model, [host for host in self.hosts if full in host.models]

    def there(self) -> list[Host]:
        """The hosts that answered the last time."""
        return [host for host in self.hosts if host.is_there]

    def away(self) -> list[Host]:
        """The hosts that did not answer the last time."""
        return [host for host in self.hosts if host.away is not None]

    def none_answers(self) -> LlmstreamError:
        """The error where no host answers."""
        first = self.hosts[0]
        return first.away or unreachable(first.upstream.endpoint)

    async def refresh_in_background(self) -> None:
        """Has what is old refreshed, without a wait for it; waits only where no host has told anything yet."""
        if not any(host.is_known for host in self.hosts):
            await self.refresh()
        elif time.monotonic() - self._refreshed_at > _FRESH_S:
            self._begin_refresh()

    async def refresh(self) -> None:
        """Asks all hosts; once one has answered, it waits a moment for the others, but for none that was away."""
        refreshes = self._begin_refresh()
        pending = set(refreshes.values())
        while pending and not any(refresh.done() and host.is_there for host, refresh in refreshes.items()):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if late := {refresh for host, refresh in refreshes.items() if host.away is None and not refresh.done()}:
            await asyncio.wait(late, timeout=_REFRESH_S)

    def _begin_refresh(self) -> dict[Host, asyncio.Future[None]]:
        self._refreshed_at = time.monotonic()
        refreshes: dict[Host, asyncio.Future[None]] = {}
        for host in self.hosts:
            # In contexts of their own: they go on behind the run that began them.
            refreshes[host] = refresh = asyncio.get_running_loop().create_task(
                host.upstream.once("refresh", host.refresh), context=contextvars.Context()
            )
            self._refreshing.add(refresh)
            refresh.add_done_callback(self._refreshing.discard)
        return refreshes

    def _missing(self, name: str) -> LlmstreamError:
        there = self.there()
        if not there:
            return self.none_answers()
        error = there[0].upstream.not_found(name)
        away = ", ".join(f"`{host.name}`" for host in self.hosts if host not in there)
        return ModelNotFound(f"{error.message} It may be on {away}, which can't be reached now.") if away else error


def conversation_of(name: str, body: Mapping[str, Any]) -> int:
    """A number for a conversation, by the messages up to its first question: what a server keeps of it begins so."""
    leading: list[Any] = [name, str(body.get("prompt", ""))[:_LEADING]]
    for message in body.get("messages", ()):
        leading += message.get("role"), _text(message.get("content"))[:_LEADING]
        if message.get("role") == "user":
            break
    return hash(tuple(leading))


def _text(content: Any) -> str:
    if isinstance(content, list):
        content = next((part.get("text") for part in content if isinstance(part, dict) and part.get("text")), "")
    return content if isinstance(content, str) else ""


def _pins(hosts: Sequence[Host]) -> dict[str, Host]:
    """The hosts by what may stand behind `@`: the whole name, and the name without a port where one host has it."""
    pins = {host.name.lower(): host for host in hosts}
    alone = [urlsplit(f"//{host.name}").hostname or "" for host in hosts]
    return pins | {name: host for name, host in zip(alone, hosts, strict=True) if alone.count(name) == 1}
