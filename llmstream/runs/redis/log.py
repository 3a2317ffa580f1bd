"""The run log of several processes: runs of this one in its memory, and of the others through the store."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import secrets
import socket
import threading
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from llmstream.errors import KeyConflict, RunNotFound, StoreUnavailable, TooManyRuns
from llmstream.events import CancelledBy, Event
from llmstream.runs.log import Follower, NewRun, PositionLost, RunInfo, RunLog
from llmstream.runs.memory import MemoryLog
from llmstream.runs.redis.callers import Callers
from llmstream.runs.redis.others.reader import RemoteRuns
from llmstream.runs.redis.own.owned import Owned
from llmstream.runs.redis.own.uncertain_creates import Doubts
from llmstream.runs.redis.own.writer import Writer
from llmstream.runs.redis.processes import Nodes
from llmstream.runs.redis.remote_watchers import Leaving
from llmstream.runs.redis.run_index import Names
from llmstream.runs.redis.store.address import connections_to
from llmstream.runs.redis.store.connection import Link
from llmstream.runs.redis.store.keys import Keys, Times, is_run_id
from llmstream.runs.redis.store.sentinels import MasterConnections
from llmstream.runs.redis.store.start_check import check, reach
from llmstream.runs.redis.store.subscription import Subscription
from llmstream.runs.redis.unfollowed import Elsewhere
from llmstream.runs.stored_question import stored
from llmstream.settings import Settings

logger = logging.getLogger("llmstream")

T = TypeVar("T")

# How long a process that goes down tries to store what it has.
_FLUSH_S = 2.0


class RedisLog(RunLog):
    """The `RunLog` in Redis. A run of this process is followed here as in memory, whatever becomes of the store.

    It lives in the event loop in which it is first used; followers, lookups and stops may come from any.
    """

    def __init__(self, settings: Settings) -> None:
        self.local = MemoryLog(replay_s=settings.replay_s, max_log_bytes=settings.max_log_bytes)
        self.node = secrets.token_hex(8)
        self._settings = settings
        connections_to(settings.redis_url or "", key="", name="", timeout_s=1)  # raises where that is no address
        self._keys = Keys(settings.redis_prefix)
        self._times = Times.of(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    # --- where it lives

    def _begin(self) -> None:
        """Starts the log's tasks in the running loop, unless they run already."""
        with self._starting:
            if self._loop is not None and not self._loop.is_closed():
                return
            self._loop = asyncio.get_running_loop()
            settings, keys, node, times = self._settings, self._keys, self.node, self._times
            timeout_s = settings.store_timeout_s
            url = settings.redis_url or ""
            self.link = link = Link(url, key=keys.nodes, name=f"llmstream-{node}", timeout_s=timeout_s)
            self.writer = writer = Writer(link, keys, node, times)
            subscription = Subscription(link, keys.node(node))
            self.reader = reader = RemoteRuns(link, keys, node, subscription, settings)
            about = f"{os.getpid()} {socket.gethostname()}"
            self.nodes = nodes = Nodes(link, keys, node, about, writer, reader, subscription, times, settings.lease_s)
            self._doubts = Doubts(link, keys, node)
            self._names = Names(link, keys, times.ttl, writer.owned)
            self._callers = Callers(link, keys, times.ttl)
            self._leaving = Leaving(link, self.local, writer, nodes)
            self._elsewhere = Elsewhere(link, keys, nodes, reader, settings.lease_s)
            reader.order = nodes.order
            nodes.on_unwatched, nodes.take_back = self._leaving.unwatched, self._doubts.take_back
            writer.question = lambda run_id: stored(self.local.asked(run_id))
            writer.name_again = self._names.again
            writer.on_stored = lambda owned: self._callers.dismiss(owned.new)
            link.on_cut += [writer.compare, reader.doubt]
            link.on_up += [writer.compare, reader.read_all, self._doubts.clear]
        link.live(nodes.work, subscription.listen, writer.work)
        if isinstance(link.connections, MasterConnections):
            link.live(partial(link.connections.follow, link, settings.lease_s / 3))

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        """Calls a function in the loop in which the log lives."""
        self._begin()
        if self._loop is None or asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def start(self) -> None:
        self._begin()
        if warning := await check(self.link, self._keys, self.node):
            logger.warning("the store at %s: %s", self.link.address, warning)

    def health(self) -> dict[str, object]:
        if self._loop is None:
            return {"kind": "redis", "reachable": False, "version": None}
        link, lag_s = self.link, round(self.writer.figures()["store_lag_seconds"], 3)
        return {"kind": "redis", "reachable": link.up, "version": link.version, "lag_s": lag_s}

    def figures(self) -> dict[str, float]:
        if self._loop is None:
            return {"store_up": 0}
        return {
            "store_up": self.link.up,
            **self.writer.figures(),
            **self.reader.room.figures(),
            "store_reconnects_total": self.link.reconnects,
            "store_probe_failures_total": self.nodes.probe_failures,
        }

    def leave(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            for mirror in list(self.reader.mirrors.values()):
                mirror.leave()

    async def aclose(self) -> None:
        if self._loop is None or self._loop is not asyncio.get_running_loop():
            return
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self.stored()
                await self.link.command("DEL", self._keys.node(self.node))
        except (TimeoutError, StoreUnavailable):
            logger.warning("the store at %s did not take the end of all answers", self.link.address)
        self.leave()
        await self.link.aclose()
        self._loop = None

    async def stored(self) -> None:
        """Waits until others find all that was appended here."""
        if self._loop is not None:
            await self._at_home(self.writer.clean())

    # --- runs of this process

    async def create(self, run: NewRun) -> str:
        self._begin()
        if run.key is not None and (found := await self.local.find(run.caller, run.key, run.fingerprint)) is not None:
            return found
        if self.link.version is None:  # nobody has called `start`
            await reach(self.link)
            await self.start()
        owned = self.writer.owned[run.id] = Owned(run, self._keys.of(run))
        try:
            if run.caller_limit:
                await self._callers.admit(run)
            while (run_id := await self.writer.create(run)) in self._doubts:  # nobody has it, or ever will
                await self._doubts.take_back(run_id)
        except BaseException as error:
            del self.writer.owned[run.id]
            self._callers.dismiss(run)
            if not isinstance(error, KeyConflict | TooManyRuns):
                self._doubts.add(run)
            raise
        if run_id != run.id:
            del self.writer.owned[run.id]
            self._callers.dismiss(run)
            return run_id
        await self.local.create(dataclasses.replace(run, on_cancel=lambda by: self._leaving.left(owned)))
        owned.events = self.local.recorded(run.id)
        return run.id

    def append(self, run_id: str, events: Sequence[Event]) -> None:
        self.local.append(run_id, events)
        # What joins others that wait is not even told of; the end is, by `close`.
        if run_id not in self.writer.dirty:
            self.writer.touch(run_id)

    async def close(self, run_id: str) -> None:
        await self.local.close(run_id)
        if (owned := self.writer.owned.get(run_id)) is not None:
            owned.closed = True
            self.writer.touch(run_id, soon=True)

    # --- runs of any process

    async def find(self, caller: str, key: str, fingerprint: str) -> str | None:
        if (found := await self.local.find(caller, key, fingerprint)) is not None:
            return found
        self._begin()
        known = await self._at_home(self._names.find(caller, key, fingerprint))
        return None if known is None or known in self._doubts else known

    async def info(self, run_id: str, *, allow_stale: bool = False) -> RunInfo | None:
        if (info := await self.local.info(run_id)) is not None or not is_run_id(run_id):
            return info
        self._begin()
        return await self._at_home(self._elsewhere.info(run_id, allow_stale=allow_stale))

    async def settle(self, run_id: str) -> None:
        if await self.local.info(run_id) is None and is_run_id(run_id):
            self._begin()
            await self._at_home(self._elsewhere.settle(run_id))

    def follow(self, run_id: str, after: int, *, idle_s: float, watching: bool = True, at_least: int = 0) -> Follower:
        if self.local.knows(run_id):
            return self.local.follow(run_id, after, idle_s=idle_s, watching=watching, at_least=at_least)
        if after < 0:
            raise PositionLost("invalid")
        if not is_run_id(run_id):
            raise RunNotFound
        self._begin()
        return self.reader.follow(run_id, after, idle_s=idle_s, watching=watching, at_least=at_least)

    async def cancel(self, run_id: str, by: CancelledBy) -> bool:
        info = await self.local.info(run_id)
        if info is not None:
            return not info.ended and await self._at_home(self._cancel_here(run_id, by))
        if not is_run_id(run_id):
            raise RunNotFound
        self._begin()
        return await self._at_home(self._elsewhere.cancel(run_id, by))

    async def _cancel_here(self, run_id: str, by: CancelledBy) -> bool:
        owned = self.writer.owned.get(run_id)
        return owned is not None and self.writer.ask(owned, by)

    async def question(self, run_id: str) -> bytes | None:
        self._begin()
        return await self._at_home(self._names.question(run_id))

    # --- chats

    async def swap(self, caller: str, chat: str, run_id: str, note: str) -> str | None:
        self._begin()
        return await self._at_home(self._names.swap(caller, chat, run_id, note))

    async def succeed(self, caller: str, chat: str, cut: str, run_id: str) -> bool:
        self._begin()
        return await self._at_home(self._names.succeed(caller, chat, cut, run_id))

    async def named(self, caller: str, chat: str) -> tuple[str, str] | None:
        self._begin()
        return await self._at_home(self._names.named(caller, chat))
